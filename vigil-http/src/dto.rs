//! The wire form of what several endpoints answer.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Number, Value};
use utoipa::ToSchema;
use vigil_core::action::{Action, ActionId, ActionStatus, ActionType, Severity, Verification};
use vigil_core::clock::Timestamp;
use vigil_core::episode::EpisodeId;
use vigil_core::policy::{ConditionSpec, PolicyName};
use vigil_core::store::{PolicySource, StoredPolicy};
use vigil_core::target::Target;

use crate::schema;

/// An action: the durable intent to do something to a target.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Action, examples(json!({
    "id": 42, "target": "web-1", "action": "restart", "status": "completed", "details": "cpu_percent is 95, above 80",
    "started_at": "2026-01-20T12:00:00Z", "running_at": "2026-01-20T12:00:01Z", "completed_at": "2026-01-20T12:00:04Z",
    "error_message": null, "attempt": 1, "phase": "done", "policy_name": "high-cpu", "episode_id": 7,
    "verification": "verified", "params": {"cooldown_seconds": 300}, "severity": "critical"
})))]
pub(crate) struct ActionDto {
    /// Its id. Unique; ids do not tell the order of creation.
    #[schema(value_type = i64)]
    id: ActionId,
    /// What it is done to.
    #[schema(value_type = schema::Name)]
    target: Target,
    /// What is done.
    #[schema(value_type = schema::ActionType)]
    action: ActionType,
    /// Where it stands.
    #[schema(value_type = schema::ActionStatus)]
    status: ActionStatus,
    /// Why it was wanted, later the outcome, for people.
    #[schema(required)]
    details: Option<String>,
    /// When it was created. Lists show the newest first.
    #[schema(value_type = schema::Time)]
    started_at: Timestamp,
    /// When the first attempt started.
    #[schema(value_type = Option<schema::Time>, required)]
    running_at: Option<Timestamp>,
    /// When it became final.
    #[schema(value_type = Option<schema::Time>, required)]
    completed_at: Option<Timestamp>,
    /// Why it failed, or why the newest attempt did not succeed.
    #[schema(required)]
    error_message: Option<String>,
    /// The number of the newest attempt; 0 before the first.
    attempt: u32,
    /// Where it stands in more detail.
    #[schema(value_type = schema::Phase)]
    phase: &'static str,
    /// The policy that wanted it; null when a person did.
    #[schema(value_type = Option<schema::PolicyName>, required)]
    policy_name: Option<PolicyName>,
    /// The episode it is to end; null when a person wanted it.
    #[schema(value_type = Option<i64>, required)]
    episode_id: Option<EpisodeId>,
    /// Whether fresh metrics proved it; null when nothing verifies it, or nothing was done yet.
    #[schema(value_type = Option<schema::Verification>, required)]
    verification: Option<Verification>,
    /// Passed on to the remediator.
    #[schema(value_type = schema::Params)]
    params: Map<String, Value>,
    /// How bad the violation is.
    #[schema(value_type = schema::Severity)]
    severity: Severity,
}

impl ActionDto {
    /// The fields an answer adds to what a client may send: accepted and ignored when they come back.
    pub(crate) const ADDED: [&str; 13] = [
        "id",
        "started_at",
        "running_at",
        "completed_at",
        "error_message",
        "attempt",
        "phase",
        "policy_name",
        "episode_id",
        "verification",
        "ok",
        "action_id",
        "message",
    ];
}

impl From<Action> for ActionDto {
    fn from(action: Action) -> Self {
        let phase = action.phase().as_str();
        Self {
            id: action.id,
            target: action.target,
            action: action.action,
            status: action.status,
            details: action.details,
            started_at: action.started_at,
            running_at: action.running_at,
            completed_at: action.completed_at,
            error_message: action.error,
            attempt: action.attempt,
            phase,
            policy_name: action.policy,
            episode_id: action.episode,
            verification: action.verification,
            params: action.params,
            severity: action.severity,
        }
    }
}

/// A policy: a condition on targets that match a pattern, and the action that heals its violation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Policy, examples(json!({
    "name": "high-cpu", "description": "A web server is overloaded", "severity": "critical", "target": "web-*",
    "enabled": true, "params": {"cooldown_seconds": 300}, "auto_remediate": true,
    "condition": {"type": "metric_exceeds", "metric": "cpu_percent", "threshold": 80.0}, "action": "restart", "for": 60,
    "revision": 3, "updated_at": "2026-01-20T12:00:00Z", "source": {"kind": "api"}
})))]
pub(crate) struct PolicyDto<'a> {
    /// Its name, unique.
    #[schema(value_type = schema::PolicyName)]
    name: &'a PolicyName,
    /// For people.
    description: &'a str,
    /// How bad a violation is.
    #[schema(value_type = schema::Severity)]
    severity: Severity,
    /// Which targets it watches.
    #[schema(value_type = schema::TargetPattern)]
    target: &'a str,
    /// Whether it is in force.
    enabled: bool,
    /// Parameters of the action.
    #[schema(value_type = schema::PolicyParams)]
    params: &'a Map<String, Value>,
    /// Whether it may act on its own.
    auto_remediate: bool,
    /// When it is violated.
    #[schema(value_type = schema::Condition)]
    condition: &'a ConditionSpec,
    /// What heals it.
    #[schema(value_type = schema::ActionType)]
    action: ActionType,
    /// For how many seconds the condition must be met without a break before anything is done; absent when at once.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false, minimum = 0)]
    hold: Option<Number>,
    /// For how many seconds the condition must be unmet before the episode ends; absent when at once.
    #[serde(rename = "keep_firing_for", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false, minimum = 0)]
    keep_firing: Option<Number>,
    /// Raised by every change; `If-Match` takes it.
    revision: i64,
    /// When it was changed last.
    #[schema(value_type = schema::Time)]
    updated_at: Timestamp,
    /// Where it comes from, which alone may change it.
    #[schema(value_type = Source)]
    source: &'a PolicySource,
}

schema::schemas! {
    /// Where a policy comes from: made through the API, or declared in a file.
    Source [] = serde_json::json!({
        "type": "object",
        "required": ["kind"],
        "properties": {
            "kind": {"type": "string", "enum": ["api", "file"], "description": "Which of the two."},
            "path": {"type": "string", "description": "The file's path as configured, for a policy from a file."},
        },
        "examples": [{"kind": "api"}],
    });
}

impl<'a> From<&'a StoredPolicy> for PolicyDto<'a> {
    fn from(stored: &'a StoredPolicy) -> Self {
        let spec = &stored.spec;
        let unless_zero = |time: Duration| (!time.is_zero()).then(|| seconds(time));
        Self {
            name: &spec.name,
            description: &spec.description,
            severity: spec.severity,
            target: &spec.target,
            enabled: stored.is_enabled(),
            params: &spec.params,
            auto_remediate: spec.auto_remediate,
            condition: &spec.condition,
            action: spec.action,
            hold: unless_zero(spec.hold),
            keep_firing: unless_zero(spec.keep_firing),
            revision: stored.revision,
            updated_at: stored.updated_at,
            source: &stored.source,
        }
    }
}

/// What answers that only confirm say.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"ok": true, "message": "Policy 'high-cpu' enabled"})))]
pub(crate) struct Confirmation {
    /// Always true: an error is a problem.
    ok: bool,
    /// What was done, for people.
    message: String,
}

impl Confirmation {
    pub(crate) fn new(message: String) -> Self {
        Self { ok: true, message }
    }
}

/// How well a part of the service is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"status": "healthy", "service": "ingest"})))]
pub(crate) struct ServiceHealth {
    /// `healthy`, or `unhealthy` when the store is down.
    pub(crate) status: &'static str,
    /// Which part of the service.
    pub(crate) service: &'static str,
}

/// Seconds, whole when they are: `30`, not `30.0`.
pub(crate) fn seconds(time: Duration) -> Number {
    if time.subsec_nanos() == 0 {
        time.as_secs().into()
    } else {
        Number::from_f64(time.as_secs_f64()).expect("a duration is a finite number of seconds")
    }
}
