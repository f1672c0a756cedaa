//! The wire form of what several endpoints answer.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Number, Value};
use vigil_core::action::{Action, ActionId, ActionStatus, ActionType, Severity, Verification};
use vigil_core::clock::Timestamp;
use vigil_core::episode::EpisodeId;
use vigil_core::policy::{ConditionSpec, PolicyName};
use vigil_core::store::{PolicySource, StoredPolicy};
use vigil_core::target::Target;

/// An action: the documented fields, then those that only Vigil has.
#[derive(Debug, Serialize)]
pub(crate) struct ActionDto {
    id: ActionId,
    target: Target,
    action: ActionType,
    status: ActionStatus,
    details: Option<String>,
    started_at: Timestamp,
    running_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    error_message: Option<String>,
    attempt: u32,
    phase: &'static str,
    policy_name: Option<PolicyName>,
    episode_id: Option<EpisodeId>,
    verification: Option<Verification>,
    params: Map<String, Value>,
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

/// A policy: the documented fields, then those that only Vigil has.
#[derive(Debug, Serialize)]
pub(crate) struct PolicyDto<'a> {
    name: &'a PolicyName,
    description: &'a str,
    severity: Severity,
    target: &'a str,
    enabled: bool,
    params: &'a Map<String, Value>,
    auto_remediate: bool,
    condition: &'a ConditionSpec,
    action: ActionType,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    hold: Option<Number>,
    #[serde(rename = "keep_firing_for", skip_serializing_if = "Option::is_none")]
    keep_firing: Option<Number>,
    revision: i64,
    updated_at: Timestamp,
    source: &'a PolicySource,
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
#[derive(Debug, Serialize)]
pub(crate) struct Confirmation {
    ok: bool,
    message: String,
}

impl Confirmation {
    pub(crate) fn new(message: String) -> Self {
        Self { ok: true, message }
    }
}

/// How well a part of the service is.
#[derive(Debug, Serialize)]
pub(crate) struct ServiceHealth {
    pub(crate) status: &'static str,
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
