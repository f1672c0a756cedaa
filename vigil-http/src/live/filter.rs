//! [`LiveQuery`]: which messages a client wants.

use axum::extract::{FromRequestParts, Query};
use axum::http::HeaderName;
use axum::http::request::Parts;
use vigil_core::invalid::InvalidValue;
use vigil_core::policy::PolicyName;
use vigil_core::target::{Target, TargetPattern};

use super::message::KINDS;
use crate::extract::unknown_value;
use crate::fields::{error, escape};
use crate::problem::{ApiError, Kind};
use crate::router::App;
use crate::schema;

/// The filters of a live view: `kinds`, `target`, `policy`; and `after`, the last sequence that was seen.
#[derive(Debug, Default)]
pub(crate) struct LiveQuery {
    kinds: Option<Vec<&'static str>>,
    target: Option<TargetPattern>,
    policy: Option<PolicyName>,
    after: Option<i64>,
}

impl LiveQuery {
    /// Whether messages of a kind are wanted at all.
    pub(crate) fn wants(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }

    /// Whether a message of a wanted kind about a target and a policy is wanted.
    pub(crate) fn passes(&self, target: Option<&Target>, policy: Option<&PolicyName>) -> bool {
        let on_target = self.target.as_ref().is_none_or(|pattern| target.is_some_and(|target| pattern.matches(target)));
        on_target && self.policy.as_ref().is_none_or(|wanted| policy == Some(wanted))
    }
}

impl FromRequestParts<App> for LiveQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let malformed = |_| ApiError::new(Kind::Malformed, "The query cannot be read.");
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, app).await.map_err(malformed)?;
        let (mut query, mut errors) = (Self::default(), Vec::new());
        for (name, value) in &pairs {
            let pointer = format!("/{}", escape(name));
            match name.as_str() {
                "kinds" => query.kinds = Some(kinds(value)?),
                "target" => match TargetPattern::new(value) {
                    Ok(pattern) => query.target = Some(pattern),
                    Err(wrong) => errors.push(error(pointer, wrong.problem)),
                },
                "policy" => match PolicyName::new(value) {
                    Ok(policy) => query.policy = Some(policy),
                    Err(wrong) => errors.push(error(pointer, wrong.problem)),
                },
                "after" => match value.parse().ok().filter(|after| *after >= 0) {
                    Some(after) => query.after = Some(after),
                    None => errors.push(error(pointer, "must be the id of a message")),
                },
                _ => errors.push(error(pointer, "is not a parameter of a live view")),
            }
        }
        if errors.is_empty() { Ok(query) } else { Err(ApiError::invalid(errors)) }
    }
}

fn kinds(words: &str) -> Result<Vec<&'static str>, ApiError> {
    let known = |word: &str| KINDS.into_iter().find(|kind| *kind == word.trim());
    words
        .split(',')
        .map(known)
        .collect::<Option<_>>()
        .ok_or_else(|| unknown_value(InvalidValue::new("kinds", format!("must be a list of {}", KINDS.join(", ")))))
}

schema::parameters! {
    /// The parameters of a live view.
    Filters = [
        {"name": "kinds", "description": "Only messages of these kinds, a list with commas", "example": "action,episode",
            "schema": {"type": "string", "pattern": "^(action|episode|policy|brake|key|dead_letter|queue|decision|metric)(,(action|episode|policy|brake|key|dead_letter|queue|decision|metric))*$"}},
        {"name": "target", "description": "Only what is about targets of this pattern", "example": "web-*",
            "schema": {"$ref": "#/components/schemas/TargetPattern"}},
        {"name": "policy", "description": "Only what is about this policy", "example": "high-cpu",
            "schema": {"$ref": "#/components/schemas/PolicyName"}},
        {"name": "after", "description": "The `id` of the last message that was seen: what came after it follows", "example": 118,
            "schema": {"type": "integer", "format": "int64", "minimum": 0}},
    ];
}

/// The last message that the client saw: the header that browsers send when they connect anew, or the query's `after`.
#[derive(Debug)]
pub(crate) struct LastSeen(pub(crate) Option<i64>);

impl utoipa::IntoParams for LastSeen {
    fn into_params(
        _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        vec![schema::parameter(serde_json::json!({
            "name": "Last-Event-ID", "in": "header", "required": false, "example": "118",
            "description": "The same as `after`, and wins over it: what browsers send when they connect anew",
            "schema": {"type": "string"},
        }))]
    }
}

impl LastSeen {
    /// The header wins: a browser keeps the address, with the `after` that it began with.
    pub(crate) fn of(parts: &Parts, query: &LiveQuery) -> Self {
        let header = parts.headers.get(HeaderName::from_static("last-event-id"));
        Self(header.and_then(|id| id.to_str().ok()?.trim().parse().ok()).or(query.after))
    }
}
