//! [`RequestId`]: names one request in its answer, in the log, and in what a client reports.

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use vigil_core::random::Random;

/// The header that carries it, both ways.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// 1 to 128 visible ASCII characters: the client's own, or 128 random bits in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    const MAX: usize = 128;

    /// The client's, if it sent one that is sane; a new one otherwise.
    pub(crate) fn of(headers: &HeaderMap, random: &dyn Random) -> Self {
        let sent = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let sane = sent.filter(|id| (1..=Self::MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()));
        sane.map_or_else(
            || Self(format!("{:016x}{:016x}", random.next_u64(), random.next_u64()).into()),
            |id| Self(id.into()),
        )
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As a header's value.
    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("visible ASCII is a header's value")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
