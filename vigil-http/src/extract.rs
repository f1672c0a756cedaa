//! Extractors: who calls ([`Caller`]), and what path, query and headers say.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use serde_json::json;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use vigil_core::action::{ActionId, ActionStatus};
use vigil_core::clock::Timestamp;
use vigil_core::invalid::InvalidValue;
use vigil_core::policy::FieldError;

use crate::fields::error;
pub(crate) use crate::guard::Caller;
use crate::problem::{ApiError, Kind};
use crate::router::App;
use crate::schema::parameter;

/// Put into every request by the guard of its route; a route without one has no caller.
impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!(path = parts.uri.path(), "a handler that needs a caller is registered as public");
            ApiError::internal()
        })
    }
}

/// The one word of the path that is not fixed.
pub(crate) struct Word(pub(crate) String);

impl FromRequestParts<App> for Word {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let malformed = |_| ApiError::new(Kind::Malformed, "The path is not UTF-8.");
        let Path(word) = Path::<String>::from_request_parts(parts, app).await.map_err(malformed)?;
        Ok(Self(word))
    }
}

/// A policy's name in the path, for the documentation: handlers take a [`Word`], since one that no policy can have is not
/// found.
pub(crate) enum NameInPath {}

impl IntoParams for NameInPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter(json!({
            "name": "name", "in": "path", "required": true, "example": "high-cpu",
            "description": "The policy's name",
            "schema": {"$ref": "#/components/schemas/PolicyName"},
        }))]
    }
}

/// An action's id in the path. One that no row can have is not found.
pub(crate) struct IdInPath(pub(crate) ActionId);

impl IntoParams for IdInPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter(json!({
            "name": "id", "in": "path", "required": true, "example": 42,
            "description": "The action's id",
            "schema": {"type": "integer", "format": "int64"},
        }))]
    }
}

impl FromRequestParts<App> for IdInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Word(word) = Word::from_request_parts(parts, app).await?;
        let digits = word.strip_prefix('-').unwrap_or(&word);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ApiError::field("/id", "must be a whole number"));
        }
        word.parse().map(|id| Self(ActionId(id))).map_err(|_| ApiError::not_found(format_args!("Action {word}")))
    }
}

/// The revision that the client's `If-Match` names.
pub(crate) enum IfMatch {
    /// It sent none, or `*`.
    Any,
    /// Only this revision.
    Revision(i64),
    /// Something that is no revision of ours: nothing matches it.
    Nothing,
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter(json!({
            "name": "If-Match", "in": "header", "required": false, "example": "\"3\"",
            "description": "The revision that must still be the newest, as in `ETag`; `*` is any",
            "schema": {"type": "string"},
        }))]
    }
}

impl FromRequestParts<App> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(IF_MATCH) else { return Ok(Self::Any) };
        let text = value.to_str().unwrap_or_default().trim();
        Ok(match text {
            "*" => Self::Any,
            text => text.trim_matches('"').parse().map_or(Self::Nothing, Self::Revision),
        })
    }
}

/// The filter by status, for the documentation.
pub(crate) enum StatusFilter {}

impl IntoParams for StatusFilter {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter(json!({
            "name": "status", "in": "query", "required": false, "example": "pending",
            "description": "Only those of this status",
            "schema": {"$ref": "#/components/schemas/ActionStatus"},
        }))]
    }
}

/// The filter by target, for the documentation.
pub(crate) enum TargetFilter {}

impl IntoParams for TargetFilter {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter(json!({
            "name": "target", "in": "query", "required": false, "example": "web-1",
            "description": "Only those on this target",
            "schema": {"$ref": "#/components/schemas/Name"},
        }))]
    }
}

/// The page of a list, for the documentation.
pub(crate) enum Page {}

impl IntoParams for Page {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            parameter(json!({
                "name": "limit", "in": "query", "required": false, "example": 20,
                "description": "How many the page may have",
                "schema": {"type": "integer", "minimum": 1, "maximum": ListQuery::MAX_LIMIT},
            })),
            parameter(json!({
                "name": "cursor", "in": "query", "required": false,
                "description": "Where the page begins: the `next_cursor` of the one before",
                "schema": {"type": "string", "format": "cursor"},
            })),
        ]
    }
}

/// The query of a list: its filters and the page that is wanted.
pub(crate) struct ListQuery {
    pub(crate) status: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) limit: Option<usize>,
    pub(crate) cursor: Option<String>,
}

impl ListQuery {
    const MAX_LIMIT: usize = 500;

    /// The `status` filter.
    pub(crate) fn status(&self) -> Result<Option<ActionStatus>, ApiError> {
        self.status.as_deref().map(status_word).transpose()
    }
}

/// A status in path or query.
pub(crate) fn status_word(word: &str) -> Result<ActionStatus, ApiError> {
    ActionStatus::parse(word).map_err(unknown_value)
}

/// 400 for a filter whose value does not exist; names those that do.
pub(crate) fn unknown_value(invalid: InvalidValue) -> ApiError {
    let InvalidValue { field, problem } = invalid;
    ApiError::new(Kind::UnknownValue, format!("The {field} {problem}."))
}

impl FromRequestParts<App> for ListQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let malformed = |_| ApiError::new(Kind::Malformed, "The query cannot be read.");
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, app).await.map_err(malformed)?;
        let mut query = Self { status: None, target: None, limit: None, cursor: None };
        let mut errors: Vec<FieldError> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in &pairs {
            let pointer = format!("/{}", crate::fields::escape(name));
            if seen.contains(&name.as_str()) {
                errors.push(error(pointer, "must stand in the query once"));
                continue;
            }
            seen.push(name);
            match name.as_str() {
                "status" => query.status = Some(value.clone()),
                "target" => query.target = Some(value.clone()),
                "cursor" => query.cursor = Some(value.clone()),
                "limit" => match usize::from_str(value).ok().filter(|n| (1..=Self::MAX_LIMIT).contains(n)) {
                    Some(limit) => query.limit = Some(limit),
                    None => {
                        errors.push(error(pointer, format!("must be a whole number from 1 to {}", Self::MAX_LIMIT)));
                    }
                },
                _ => errors.push(error(pointer, "is not a parameter of this list")),
            }
        }
        if errors.is_empty() { Ok(query) } else { Err(ApiError::invalid(errors)) }
    }
}

/// The place in a list behind which a page begins. Opaque to clients: hex, so that nobody is tempted to compute one.
pub(crate) mod cursor {
    use super::{ActionId, ApiError, Timestamp};

    /// Behind an action.
    pub(crate) fn of_action(at: Timestamp, id: ActionId) -> String {
        hex(&[at.as_micros().to_be_bytes(), id.0.to_be_bytes()].concat())
    }

    /// What [`of_action`] made.
    pub(crate) fn action(text: &str) -> Result<(Timestamp, ActionId), ApiError> {
        let bytes: [u8; 16] = bytes(text).and_then(|bytes| bytes.try_into().ok()).ok_or_else(invalid)?;
        let number = |half: &[u8]| half.try_into().map(i64::from_be_bytes).expect("half of 16 bytes is 8");
        Ok((Timestamp::from_micros(number(&bytes[..8])), ActionId(number(&bytes[8..]))))
    }

    /// Behind a number.
    pub(crate) fn of_number(number: i64) -> String {
        hex(&number.to_be_bytes())
    }

    /// What [`of_number`] made.
    pub(crate) fn number(text: &str) -> Result<i64, String> {
        let bytes: Option<[u8; 8]> = bytes(text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(i64::from_be_bytes).ok_or_else(|| NOT_OURS.to_owned())
    }

    /// Behind a name.
    pub(crate) fn of_name(name: &str) -> String {
        hex(name.as_bytes())
    }

    /// What [`of_name`] made.
    pub(crate) fn name(text: &str) -> Result<String, ApiError> {
        bytes(text).filter(|b| !b.is_empty()).and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(invalid)
    }

    pub(crate) const NOT_OURS: &str = "must be a next_cursor of an earlier page";

    fn invalid() -> ApiError {
        ApiError::field("/cursor", NOT_OURS)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes(hex: &str) -> Option<Vec<u8>> {
        let digits: Vec<u32> = hex.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
        let pairs = digits.chunks_exact(2);
        let whole = pairs.remainder().is_empty();
        whole.then(|| pairs.filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect())
    }
}
