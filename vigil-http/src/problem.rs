//! [`ApiError`]: everything that can go wrong, as problem+json (RFC 9457). The only place that knows which error of a
//! seam is which status: clients get a code and a sentence, the log gets the chain of causes.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use vigil_core::policy::{FieldError, PolicyError};
use vigil_core::queue::QueueError;
use vigil_core::store::StoreError;
use vigil_core::{CatalogError, DeadLetterError};

use crate::request_id::RequestId;

/// How long a client is asked to wait when a backend is down.
const RETRY: Duration = Duration::from_secs(5);

/// How many wrong fields an answer lists: a batch of thousands of bad samples must not make an answer of megabytes.
pub(crate) const MAX_ERRORS: usize = 100;

/// Why a request is not answered as asked.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    /// After how many seconds it may be tried again, if that is known.
    wait: Option<u64>,
}

/// The closed set of problems. Each has one status and one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request cannot be read at all.
    Malformed,
    /// A filter has a value that does not exist.
    UnknownValue,
    /// No key, or none that is known.
    Unauthenticated,
    /// The key may not do this.
    Forbidden,
    NotFound,
    MethodNotAllowed,
    /// It was there already.
    Duplicate,
    /// What is there does not allow it.
    Conflict,
    /// A newer revision is there.
    Stale,
    /// The body did not arrive in time.
    SlowBody,
    TooLarge,
    UnsupportedMediaType,
    /// The path speaks another protocol.
    UpgradeRequired,
    /// Fields are wrong.
    Invalid,
    TooMany,
    /// A defect of ours.
    Internal,
    /// A backend is down.
    Unavailable,
    /// It took too long.
    TimedOut,
    /// Any other status that a layer gave.
    Other(StatusCode),
}

impl Kind {
    fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::UnknownValue => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Duplicate | Self::Conflict => StatusCode::CONFLICT,
            Self::Stale => StatusCode::PRECONDITION_FAILED,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::Other(status) => status,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownValue => "unknown-value",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Stale => "stale",
            Self::SlowBody => "slow-body",
            Self::TooLarge => "too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::UpgradeRequired => "upgrade-required",
            Self::Invalid => "invalid",
            Self::TooMany => "too-many",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed-out",
            Self::Other(_) => "other",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Malformed => "Malformed request",
            Self::UnknownValue => "Unknown value",
            Self::Unauthenticated => "No valid key",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::Duplicate => "Exists already",
            Self::Conflict => "Conflict",
            Self::Stale => "Stale revision",
            Self::SlowBody => "Body too slow",
            Self::TooLarge => "Too large",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::UpgradeRequired => "Upgrade required",
            Self::Invalid => "Invalid request",
            Self::TooMany => "Too many requests",
            Self::Internal => "Internal error",
            Self::Unavailable => "Unavailable",
            Self::TimedOut => "Timed out",
            Self::Other(status) => status.canonical_reason().unwrap_or("Error"),
        }
    }

    /// What a bare status, given by a layer and not by a handler, means.
    fn of(status: StatusCode) -> (Self, &'static str) {
        match status {
            StatusCode::BAD_REQUEST => (Self::Malformed, "The request cannot be read."),
            StatusCode::NOT_FOUND => (Self::NotFound, "There is nothing at this path."),
            StatusCode::METHOD_NOT_ALLOWED => {
                (Self::MethodNotAllowed, "This path does not take this method; the header Allow lists those it does.")
            }
            StatusCode::CONFLICT => (Self::Conflict, "What is there does not allow it."),
            StatusCode::PRECONDITION_FAILED => (Self::Stale, "A newer revision is there; read it and try again."),
            StatusCode::REQUEST_TIMEOUT => (Self::SlowBody, "The request did not arrive in time."),
            StatusCode::PAYLOAD_TOO_LARGE => (Self::TooLarge, "The request is too large."),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => (Self::UnsupportedMediaType, "Send application/json."),
            StatusCode::UNPROCESSABLE_ENTITY => (Self::Invalid, "The request is invalid."),
            StatusCode::TOO_MANY_REQUESTS => (Self::TooMany, "Too many requests; wait as Retry-After says."),
            StatusCode::INTERNAL_SERVER_ERROR => (Self::Internal, INTERNAL),
            StatusCode::SERVICE_UNAVAILABLE => (Self::Unavailable, "A backend is unavailable; try again later."),
            StatusCode::GATEWAY_TIMEOUT => {
                (Self::TimedOut, "The request took too long and was given up; it may have had its effect.")
            }
            other => (Self::Other(other), "The request cannot be answered."),
        }
    }

    /// What a problem of this status looks like, for the documentation.
    pub(crate) fn example(status: u16, id: &str) -> Value {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = ApiError::of_status(status);
        serde_json::to_value(error.problem(id)).expect("text, numbers and lists are JSON")
    }
}

const INTERNAL: &str = "Something went wrong inside; the log has the details under this request_id.";

impl ApiError {
    /// A problem in one sentence.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), wait: None }
    }

    /// 404.
    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("{what} does not exist."))
    }

    /// 422 for wrong fields.
    pub(crate) fn invalid(mut errors: Vec<FieldError>) -> Self {
        let mut detail = errors.first().map_or_else(|| "The request is invalid".to_owned(), subject_of);
        if errors.len() > 1 {
            // Writing to a String cannot fail.
            let _ = write!(detail, " (and {} more)", errors.len() - 1);
        }
        detail.push('.');
        errors.truncate(MAX_ERRORS);
        Self { kind: Kind::Invalid, detail, errors, wait: None }
    }

    /// 422 for one wrong field.
    pub(crate) fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { pointer: pointer.into(), detail: detail.into(), place: None }])
    }

    /// 503.
    pub(crate) fn unavailable(detail: &str) -> Self {
        Self::new(Kind::Unavailable, detail)
    }

    /// The same, to be tried again after so many seconds.
    pub(crate) fn waiting(self, seconds: u64) -> Self {
        Self { wait: Some(seconds), ..self }
    }

    /// 500, with the cause in the log only.
    pub(crate) fn internal() -> Self {
        Self::new(Kind::Internal, INTERNAL)
    }

    fn of_status(status: StatusCode) -> Self {
        let (kind, detail) = Kind::of(status);
        Self::new(kind, detail)
    }

    fn body(&self, id: &RequestId) -> Body {
        Body::from(serde_json::to_vec(&self.problem(id.as_str())).expect("text, numbers and lists are JSON"))
    }

    fn problem<'a>(&'a self, id: &'a str) -> Problem<'a> {
        Problem {
            kind: format!("urn:vigil:problem:{}", self.kind.word()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            request_id: id,
            errors: self.errors.iter().map(Wrong::of).collect(),
        }
    }
}

/// Why a request was not answered as asked (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem<'a> {
    /// Which kind of problem it is: `urn:vigil:problem:` and a word that programs may rely on.
    #[serde(rename = "type")]
    #[schema(format = "uri", pattern = "^urn:vigil:problem:[a-z-]+$")]
    kind: String,
    /// The kind in words.
    title: &'a str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// One sentence for people.
    detail: &'a str,
    /// The `X-Request-Id` of the answer.
    request_id: &'a str,
    /// What is wrong with which field; absent when it is about no field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Wrong<'a>>,
}

/// What is wrong with one field.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProblemField)]
struct Wrong<'a> {
    /// A JSON pointer (RFC 6901) into the body, or to the name of a parameter of path or query. Empty for the whole body.
    pointer: &'a str,
    /// What it must be.
    detail: &'a str,
    /// The line in the policy file, when it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    line: Option<u64>,
    /// The column in the policy file, when it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    column: Option<u64>,
}

impl<'a> Wrong<'a> {
    fn of(error: &'a FieldError) -> Self {
        let (line, column) = error.place.unzip();
        Self { pointer: &error.pointer, detail: &error.detail, line, column }
    }
}

/// The body is written by [`render`], which knows the request's id.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        if let Some(seconds) = self.wait {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if self.kind == Kind::Unauthenticated {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"vigil\""));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Makes problem+json of every error: of those handlers gave, and of bare statuses from layers and the router. An error
/// that brings its own JSON (a failed health check) is left as it is.
pub(crate) fn render(response: Response, id: &RequestId) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        parts.headers.entry(RETRY_AFTER).or_insert(HeaderValue::from(RETRY.as_secs()));
    }
    let error = match parts.extensions.remove::<ApiError>() {
        Some(error) => error,
        None if is_json(parts.headers.get(CONTENT_TYPE)) => return Response::from_parts(parts, body),
        None => ApiError::of_status(status),
    };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    Response::from_parts(parts, error.body(id))
}

fn is_json(content_type: Option<&HeaderValue>) -> bool {
    content_type.and_then(|value| value.to_str().ok()).is_some_and(|value| value.starts_with("application/json"))
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let detail = || sentence(&error.to_string());
        match &error {
            StoreError::NotFound(_) => Self::new(Kind::NotFound, detail()),
            StoreError::Duplicate(_) => Self::new(Kind::Duplicate, detail()),
            StoreError::Conflict(_)
            | StoreError::Illegal(_)
            | StoreError::Occupied { .. }
            | StoreError::Braked { .. } => Self::new(Kind::Conflict, detail()),
            StoreError::KeyReused | StoreError::Invalid(_) => Self::new(Kind::Invalid, detail()),
            StoreError::Unavailable(_) => {
                tracing::warn!(error = chain(&error), "the store is unavailable");
                Self::unavailable("The store is unavailable; try again later.")
            }
            _ => internal(&error),
        }
    }
}

impl From<DeadLetterError> for ApiError {
    fn from(error: DeadLetterError) -> Self {
        match error {
            DeadLetterError::Store(error) => error.into(),
            DeadLetterError::Queue(error) => error.into(),
            other => Self::new(Kind::NotFound, sentence(&other.to_string())),
        }
    }
}

impl From<QueueError> for ApiError {
    fn from(error: QueueError) -> Self {
        match &error {
            QueueError::Unavailable(_) => {
                tracing::warn!(error = chain(&error), "the queue is unavailable");
                Self::unavailable("The queue is unavailable; try again later.")
            }
            _ => internal(&error),
        }
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        let detail = sentence(&error.to_string());
        match error {
            CatalogError::NotFound(_) => Self::new(Kind::NotFound, detail),
            CatalogError::Duplicate(_) => Self::new(Kind::Duplicate, detail),
            CatalogError::OwnedByFile { .. } => Self::new(Kind::Conflict, detail),
            CatalogError::Stale { .. } => Self::new(Kind::Stale, detail),
            CatalogError::Policy(PolicyError::Invalid { file: None, errors }) => Self::invalid(errors),
            // The sentence begins with the file's path, which must keep its letters.
            CatalogError::Policy(error) => {
                let detail = format!("{error}.");
                let errors = if let PolicyError::Invalid { errors, .. } = error { errors } else { Vec::new() };
                Self { kind: Kind::Invalid, detail, errors: errors.into_iter().take(MAX_ERRORS).collect(), wait: None }
            }
            CatalogError::Store(error) => error.into(),
            other => internal(&other),
        }
    }
}

fn internal(error: &dyn Error) -> ApiError {
    tracing::error!(error = chain(error), "a request failed inside");
    ApiError::internal()
}

/// An error and all its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// A field error as the beginning of a sentence.
fn subject_of(error: &FieldError) -> String {
    if error.pointer.is_empty() { format!("The body {}", error.detail) } else { error.to_string() }
}

/// An error's words as a sentence.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).chain(['.']).collect())
}

#[cfg(test)]
mod tests {
    use vigil_core::policy::PolicyName;

    use super::*;

    fn secret() -> Box<dyn Error + Send + Sync> {
        "password=hunter2".into()
    }

    #[test]
    fn what_is_wrong_inside_stays_inside() {
        for (error, kind) in [
            (ApiError::from(StoreError::Backend(secret())), Kind::Internal),
            (StoreError::Corrupt("action 7".to_owned(), secret()).into(), Kind::Internal),
            (StoreError::Unavailable(secret()).into(), Kind::Unavailable),
            (QueueError::Backend(secret()).into(), Kind::Internal),
            (QueueError::Corrupt(secret()).into(), Kind::Internal),
            (QueueError::Unavailable(secret()).into(), Kind::Unavailable),
            (CatalogError::Store(StoreError::Backend(secret())).into(), Kind::Internal),
        ] {
            assert_eq!(error.kind, kind);
            assert!(!error.detail.contains("hunter2") && !error.detail.contains("action 7"), "{}", error.detail);
        }
    }

    #[test]
    fn what_a_client_can_do_about_it_decides_the_status() {
        let name = || PolicyName::new("p").unwrap();
        let duplicate = PolicyError::Duplicate { name: name(), file: "a.yaml".to_owned(), other: "b.yaml".to_owned() };
        for (error, status) in [
            (ApiError::from(StoreError::NotFound("action 7".to_owned())), 404),
            (StoreError::Conflict("action 7".to_owned()).into(), 409),
            (StoreError::Duplicate("policy p".to_owned()).into(), 409),
            (StoreError::KeyReused.into(), 422),
            (StoreError::Invalid("a value is too long".to_owned()).into(), 422),
            (CatalogError::NotFound(name()).into(), 404),
            (CatalogError::Duplicate(name()).into(), 409),
            (CatalogError::OwnedByFile { name: name(), path: "a.yaml".to_owned() }.into(), 409),
            (CatalogError::Stale { name: name(), revision: 3 }.into(), 412),
            (CatalogError::Policy(duplicate).into(), 422),
        ] {
            assert_eq!(error.kind.status().as_u16(), status, "{}", error.detail);
        }
    }

    #[test]
    fn thousands_of_wrong_fields_do_not_make_an_answer_of_megabytes() {
        let wrong = |n| FieldError { pointer: format!("/{n}/value"), detail: "is wrong".to_owned(), place: None };
        let error = ApiError::invalid((0..5000).map(wrong).collect());
        assert_eq!((error.errors.len(), error.detail.as_str()), (MAX_ERRORS, "0.value is wrong (and 4999 more)."));
    }
}
