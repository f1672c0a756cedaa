//! The remediator protocol: what comes in, and what goes out.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use vigil_core::action::{ActionId, ActionType, IdempotencyKey, Severity};
use vigil_core::clock::Timestamp;
use vigil_core::remediator::{Outcome, Probe, RemediationRequest, RemediatorError};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::envelope::chain;

/// The time a request has that names no deadline: the documented default.
const DEADLINE: Duration = Duration::from_secs(300);
/// The wait when what acts cannot be reached.
const AWAY: Duration = Duration::from_secs(5);

/// A request's body. What Vigil always sends and a script may leave out has a default.
#[derive(Debug, Deserialize)]
pub(super) struct Body {
    #[serde(default)]
    task_id: String,
    action_id: ActionId,
    target: Target,
    action: ActionType,
    #[serde(default = "warning")]
    severity: Severity,
    #[serde(default)]
    params: Option<Map<String, Value>>,
    policy_name: Option<String>,
    attempt: Option<u32>,
    #[serde(default)]
    tenant: TenantId,
    deadline: Option<Timestamp>,
}

fn warning() -> Severity {
    Severity::Warning
}

impl Body {
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| format!("the body cannot be read: {error}"))
    }

    /// The attempt of the body, which is signed, counts; the header must not say another.
    pub(super) fn request(
        self,
        key: IdempotencyKey,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<RemediationRequest, String> {
        let header = match headers.get("X-Vigil-Attempt").map(|value| value.to_str().ok()?.trim().parse::<u32>().ok()) {
            None => None,
            Some(Some(attempt)) => Some(attempt),
            Some(None) => return Err("the header X-Vigil-Attempt must be a whole number".to_owned()),
        };
        let attempt = match (self.attempt, header) {
            (Some(body), Some(header)) if body != header => {
                return Err(format!("attempt is {body}, and the header X-Vigil-Attempt says {header}"));
            }
            (body, header) => body.or(header).unwrap_or(1),
        };
        let request_id = headers.get("X-Request-Id").and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(RemediationRequest {
            key,
            attempt,
            tenant: self.tenant,
            action_id: self.action_id,
            task_id: self.task_id,
            target: self.target,
            action: self.action,
            severity: self.severity,
            params: self.params.unwrap_or_default(),
            policy_name: self.policy_name,
            deadline: self.deadline.unwrap_or(now + DEADLINE),
            request_id: request_id.chars().take(128).collect(),
        })
    }
}

/// The answer to a request.
pub(super) fn answer(answer: Result<Outcome, RemediatorError>) -> Response {
    match answer {
        Ok(Outcome::Succeeded { details }) => {
            json_of(StatusCode::OK, json!({ "status": "succeeded", "details": details }))
        }
        Ok(Outcome::Rejected { reason }) => refused(StatusCode::UNPROCESSABLE_ENTITY, reason).into_response(),
        Ok(Outcome::Failed { reason, retryable }) => {
            json_of(StatusCode::OK, json!({ "status": "failed", "error": reason, "retryable": retryable }))
        }
        Ok(Outcome::InProgress) => in_progress(),
        Err(RemediatorError::Stale) => refused(StatusCode::CONFLICT, "a newer attempt was seen").into_response(),
        Err(RemediatorError::Throttled { retry_after }) => not_taken("busy", retry_after),
        Err(error @ RemediatorError::Unavailable(_)) => not_taken(&chain(&error), AWAY),
        Err(error) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            json_of(status, json!({ "status": "indeterminate", "error": chain(&error) }))
        }
    }
}

/// The answer to a probe.
pub(super) fn probed(probe: Result<Probe, RemediatorError>) -> Response {
    match probe {
        Ok(Probe::Done(Outcome::Succeeded { details })) => {
            json_of(StatusCode::OK, json!({ "status": "done", "details": details }))
        }
        Ok(Probe::Done(Outcome::Rejected { reason })) => json_of(
            StatusCode::OK,
            json!({ "status": "failed", "error": format!("rejected: {reason}"), "retryable": false }),
        ),
        Ok(Probe::Done(outcome)) => answer(Ok(outcome)),
        Ok(Probe::InProgress) => json_of(StatusCode::OK, json!({ "status": "in_progress" })),
        Ok(Probe::NotDone) => json_of(StatusCode::NOT_FOUND, json!({ "status": "never_seen" })),
        Ok(Probe::Unknown) => json_of(StatusCode::NOT_IMPLEMENTED, json!({ "status": "indeterminate" })),
        Err(error) => not_taken(&chain(&error), AWAY),
    }
}

pub(super) fn in_progress() -> Response {
    json_of(StatusCode::ACCEPTED, json!({ "status": "in_progress" }))
}

/// Nothing happened, and nothing will.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) reason: String,
}

impl Refusal {
    /// Nothing happened yet: it may be sent again, in a second.
    pub(super) fn not_taken(reason: &str) -> Self {
        refused(StatusCode::SERVICE_UNAVAILABLE, reason)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            return not_taken(&self.reason, Duration::from_secs(1));
        }
        json_of(self.status, json!({ "status": "rejected", "error": self.reason }))
    }
}

pub(super) fn refused(status: StatusCode, reason: impl Into<String>) -> Refusal {
    Refusal { status, reason: reason.into() }
}

/// Nothing happened yet: it may be sent again.
fn not_taken(reason: &str, wait: Duration) -> Response {
    let mut response = json_of(StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "not_taken", "error": reason }));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    response
}

fn json_of(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}
