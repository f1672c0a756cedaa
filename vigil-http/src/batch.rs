//! [`BatchBody`]: many samples in one body, read one by one.

use axum::extract::{FromRequest, Request};
use futures_util::FutureExt;
use serde::de::IgnoredAny;
use serde_json::Value;
use vigil_core::policy::FieldError;
use vigil_core::store::Idempotency;

use crate::body::{self, BodyRoom, Text};
use crate::problem::{ApiError, MAX_ERRORS};
use crate::router::App;
use crate::structure::{member, parts};

/// One sample, a list of them, or a list under the key `metrics`, with the client's `Idempotency-Key` if it sent one.
///
/// It is never one JSON value: of the text of a batch that would be a hundred times as much.
pub(crate) struct BatchBody {
    text: Text,
    pub(crate) idempotency: Option<Idempotency>,
}

impl FromRequest<App> for BatchBody {
    type Rejection = ApiError;

    fn from_request(request: Request, app: &App) -> impl Future<Output = Result<Self, ApiError>> {
        body::keyed_text(request, app).map(|read| read.map(|(text, idempotency)| Self { text, idempotency }))
    }
}

impl BatchBody {
    /// How many samples a batch may have.
    pub(crate) const MOST: usize = 50_000;
    /// How many values one of them may have.
    const WEIGHT: usize = 1_000;
    const KEY: &str = "metrics";

    /// Reads each with its pointer: all of them, or what is wrong with the first that are.
    ///
    /// # Errors
    /// 400 if it is not JSON, 422 if the list is none, is empty or too long, or for what `read` finds.
    pub(crate) async fn each<T: Send + 'static>(
        self,
        app: &App,
        read: impl FnMut(&Value, &str) -> Result<T, Vec<FieldError>> + Send + 'static,
    ) -> Result<Vec<T>, ApiError> {
        if self.text.len() <= BodyRoom::FREE {
            return Self::read(&self.text, read);
        }
        body::heavily(app, move || Self::read(&self.text, read)).await?
    }

    fn read<T>(
        text: &str,
        mut read: impl FnMut(&Value, &str) -> Result<T, Vec<FieldError>>,
    ) -> Result<Vec<T>, ApiError> {
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| body::not_json(text, "", &error))?;
        let whole = text.trim();
        let listed = if whole.starts_with('{') { member(whole, Self::KEY) } else { None };
        let (list, base) = match listed {
            Some(list) => (list, format!("/{}", Self::KEY)),
            None => (whole, String::new()),
        };
        if !list.starts_with('[') {
            if !base.is_empty() {
                return Err(ApiError::field(base, "must be a list of metrics"));
            }
            let value = body::value(list, &base, Self::WEIGHT)?;
            return Ok(vec![read(&value, &base).map_err(ApiError::invalid)?]);
        }
        let (mut read_so_far, mut errors) = (Vec::new(), Vec::new());
        for (part, index) in parts(list).zip(0_usize..) {
            if index >= Self::MOST {
                return Err(ApiError::field(base, format!("must have at most {} metrics", Self::MOST)));
            }
            let pointer = format!("{base}/{index}");
            match read(&body::value(part, &pointer, Self::WEIGHT)?, &pointer) {
                Ok(item) => read_so_far.push(item),
                Err(found) => errors.extend(found),
            }
            if errors.len() > MAX_ERRORS {
                break; // more are not told
            }
        }
        match (errors.is_empty(), read_so_far.is_empty()) {
            (false, _) => Err(ApiError::invalid(errors)),
            (true, true) => Err(ApiError::field(base, "must have at least one metric")),
            (true, false) => Ok(read_so_far),
        }
    }
}
