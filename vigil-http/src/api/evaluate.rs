//! `POST /api/v1/policies/evaluate`: the sandbox. The same evaluation and plan as live, and nothing is written.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use vigil_core::Trial;
use vigil_core::action::{ActionType, Severity};
use vigil_core::clock::Timestamp;
use vigil_core::metric::{MetricName, Snapshot};
use vigil_core::policy::{Decision, PolicyName, Reason, Verdict};
use vigil_core::target::Target;

use crate::body::{JsonBody, without_nul};
use crate::extract::Caller;
use crate::fields::{Fields, Wrong, escape, number, text};
use crate::problem::ApiError;
use crate::router::App;

#[derive(Debug, Serialize)]
pub(crate) struct Evaluated {
    ok: bool,
    violations: Vec<ViolationDto>,
    actions_triggered: Vec<Triggered>,
    policies: Vec<Tried>,
    timestamp: Timestamp,
}

/// A policy that is met, `for` taken as elapsed.
#[derive(Debug, Serialize)]
struct ViolationDto {
    policy_name: PolicyName,
    severity: Severity,
    description: String,
    target: Target,
    timestamp: Timestamp,
    #[serde(flatten)]
    decision: Decided,
}

/// What would be done about it, gates ignored.
#[derive(Debug, Serialize)]
struct Triggered {
    action: ActionType,
    target: Target,
    status: &'static str,
    params: Map<String, Value>,
    policy_name: PolicyName,
}

/// Every policy that was tried.
#[derive(Debug, Serialize)]
struct Tried {
    policy_name: PolicyName,
    target: Target,
    verdict: &'static str,
    #[serde(flatten)]
    decision: Decided,
}

/// What the live system would do now: `act`, `suggest`, `blocked`, or nothing when the policy is not met.
#[derive(Debug, Clone, Serialize)]
struct Decided {
    decision: Option<&'static str>,
    reason: Option<&'static str>,
    detail: Option<String>,
    next_at: Option<Timestamp>,
}

impl Decided {
    fn of(decision: Option<&Decision>) -> Self {
        let reason = decision.and_then(Decision::reason);
        Self {
            decision: decision.map(Decision::as_str),
            reason: reason.map(Reason::code),
            detail: reason.map(ToString::to_string),
            next_at: reason.and_then(Reason::next_at),
        }
    }
}

/// Tries policies on given metrics.
pub(crate) async fn evaluate(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Evaluated>, ApiError> {
    without_nul(&body)?;
    let mut fields = Fields::of(&body, "").map_err(ApiError::invalid)?;
    fields.only(&["metrics", "target"], &[]);
    let values = fields.required("metrics", values);
    let target = fields.optional("target", text(Target::new));
    let errors = fields.end();
    let (Some(values), true) = (values, errors.is_empty()) else { return Err(ApiError::invalid(errors)) };

    let timestamp = app.vigil.clock().now();
    let metrics = Snapshot::of(values, timestamp).map_err(|e| ApiError::field(format!("/{}", e.field), e.problem))?;
    // Without a target answers say `all`; a client that sends that back means the same.
    let target = target.filter(|target| target.as_str() != "all");
    let trials = app.vigil.try_policies(&caller.tenant, &metrics, target.as_ref()).await?;
    let met = || trials.iter().filter(|trial| trial.verdict == Verdict::Met);
    Ok(Json(Evaluated {
        ok: true,
        violations: met().map(|trial| violation(trial, timestamp)).collect(),
        actions_triggered: met().map(triggered).collect(),
        policies: trials.iter().map(tried).collect(),
        timestamp,
    }))
}

fn violation(trial: &Trial, timestamp: Timestamp) -> ViolationDto {
    ViolationDto {
        policy_name: trial.policy.name.clone(),
        severity: trial.policy.severity,
        description: trial.policy.description.clone(),
        target: trial.target.clone(),
        timestamp,
        decision: Decided::of(trial.decision.as_ref()),
    }
}

fn triggered(trial: &Trial) -> Triggered {
    Triggered {
        action: trial.policy.action,
        target: trial.target.clone(),
        status: "triggered",
        params: trial.policy.params.clone(),
        policy_name: trial.policy.name.clone(),
    }
}

fn tried(trial: &Trial) -> Tried {
    Tried {
        policy_name: trial.policy.name.clone(),
        target: trial.target.clone(),
        verdict: trial.verdict.as_str(),
        decision: Decided::of(trial.decision.as_ref()),
    }
}

fn values(value: &Value) -> Result<Vec<(&str, f64)>, Wrong> {
    let object = value.as_object().ok_or_else(|| Wrong::new("must be an object of numbers"))?;
    let mut values = Vec::with_capacity(object.len());
    let mut wrong = Vec::new();
    for (name, value) in object {
        let below = format!("/{}", escape(name));
        match (MetricName::new(name), number(value)) {
            (Ok(_), Ok(value)) => values.push((name.as_str(), value)),
            (Err(invalid), _) => wrong.push((below, format!("as a metric's name {}", invalid.problem))),
            (_, Err(Wrong(found))) => wrong.extend(found.into_iter().map(|(_, detail)| (below.clone(), detail))),
        }
    }
    if wrong.is_empty() { Ok(values) } else { Err(Wrong(wrong)) }
}
