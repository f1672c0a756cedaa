//! [`RequestId`]: names one request in its answer, in the log, and in what a client reports.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use vigil_core::random::Random;

/// The header that carries it, both ways.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// 1 to 128 visible ASCII characters: the client's own, or 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    const MAX: usize = 128;

    /// The client's, if it sent one that is sane.
    fn sent(headers: &HeaderMap) -> Option<Self> {
        let sent = headers.get(X_REQUEST_ID)?;
        let is_sane = (1..=Self::MAX).contains(&sent.len()) && sent.as_bytes().iter().all(u8::is_ascii_graphic);
        is_sane.then(|| Self(sent.clone()))
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().expect("it is visible ASCII")
    }

    /// As a header's value.
    pub(crate) fn into_header(self) -> HeaderValue {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Where the ids of requests come from that bring none: 64 random bits of this process, and a number. They need be different,
/// also from those of other replicas, and not hard to guess.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u64,
    given: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(random: &dyn Random) -> Self {
        Self { process: random.next_u64(), given: AtomicU64::default() }
    }

    /// The client's own, if it sent one that is sane; a new one otherwise.
    pub(crate) fn of(&self, headers: &HeaderMap) -> RequestId {
        RequestId::sent(headers).unwrap_or_else(|| {
            let number = self.given.fetch_add(1, Ordering::Relaxed);
            let both = u128::from(self.process) << 64 | u128::from(number);
            let digits: [u8; 32] = std::array::from_fn(|place| DIGITS[(both >> (124 - 4 * place)) as usize & 15]);
            RequestId(HeaderValue::from_bytes(&digits).expect("hexadecimal digits are a header's value"))
        })
    }
}
