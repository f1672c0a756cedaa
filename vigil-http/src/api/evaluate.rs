//! `POST /api/v1/policies/evaluate`: the sandbox. The same evaluation and plan as live, and nothing is written.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
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
use crate::schema;

/// What the policies say of the metrics.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Evaluation, examples(json!({
    "ok": true,
    "violations": [{
        "policy_name": "high-cpu", "severity": "critical", "description": "A web server is overloaded", "target": "web-1",
        "timestamp": "2026-01-20T12:00:00Z", "decision": "act", "reason": null, "detail": null, "next_at": null
    }],
    "actions_triggered": [{
        "action": "restart", "target": "web-1", "status": "triggered", "params": {"cooldown_seconds": 300},
        "policy_name": "high-cpu"
    }],
    "policies": [{
        "policy_name": "high-cpu", "target": "web-1", "verdict": "met", "decision": "act", "reason": null, "detail": null,
        "next_at": null
    }],
    "timestamp": "2026-01-20T12:00:00Z"
})))]
pub(crate) struct Evaluated {
    /// Always true: an error is a problem.
    ok: bool,
    /// The policies that are met, `for` taken as elapsed.
    violations: Vec<ViolationDto>,
    /// What would be done about them, gates ignored. Nothing is done.
    actions_triggered: Vec<Triggered>,
    /// Every policy that was tried.
    policies: Vec<Tried>,
    /// When they were tried.
    #[schema(value_type = schema::Time)]
    timestamp: Timestamp,
}

/// A policy that is met, `for` taken as elapsed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Violation)]
struct ViolationDto {
    /// Which.
    #[schema(value_type = schema::PolicyName)]
    policy_name: PolicyName,
    /// How bad it is.
    #[schema(value_type = schema::Severity)]
    severity: Severity,
    /// The policy's description.
    description: String,
    /// The target that was given, or `all`.
    #[schema(value_type = schema::Name)]
    target: Target,
    /// When it was tried.
    #[schema(value_type = schema::Time)]
    timestamp: Timestamp,
    #[serde(flatten)]
    decision: Decided,
}

/// What would be done about it, gates ignored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TriggeredAction)]
struct Triggered {
    /// What would be done.
    #[schema(value_type = schema::ActionType)]
    action: ActionType,
    /// What it would be done to.
    #[schema(value_type = schema::Name)]
    target: Target,
    /// Always `triggered`.
    status: &'static str,
    /// The policy's own parameters.
    #[schema(value_type = schema::PolicyParams)]
    params: Map<String, Value>,
    /// The policy that would want it.
    #[schema(value_type = schema::PolicyName)]
    policy_name: PolicyName,
}

/// A policy that was tried.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TriedPolicy)]
struct Tried {
    /// Which.
    #[schema(value_type = schema::PolicyName)]
    policy_name: PolicyName,
    /// The target that was given, or `all`.
    #[schema(value_type = schema::Name)]
    target: Target,
    /// What its condition says.
    #[schema(value_type = schema::Verdict)]
    verdict: &'static str,
    #[serde(flatten)]
    decision: Decided,
}

/// What the live system would do now: `act`, `suggest`, `blocked`, or nothing when the policy is not met.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Decision)]
struct Decided {
    /// `act`, `suggest` or `blocked`; null when the policy is not met.
    #[schema(required)]
    decision: Option<&'static str>,
    /// Why it is blocked, as a word that programs may rely on.
    #[schema(required)]
    reason: Option<&'static str>,
    /// Why it is blocked, for people.
    #[schema(required)]
    detail: Option<String>,
    /// When it may next be allowed, if the passing of time alone can bring that.
    #[schema(value_type = Option<schema::Time>, required)]
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

/// Try policies on given metrics
///
/// A sandbox: the same evaluation and plan as live, and nothing is written.
#[utoipa::path(
    post, path = "/api/v1/policies/evaluate", tag = "Policies", operation_id = "evaluate_policies",
    request_body(content = schema::Trial, description = "The metrics, and the target they are of"),
    responses(
        (status = 200, description = "What the policies say, and what the live system would do", body = Evaluated),
    )
)]
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
