//! `GET /api/v1/why`: what stands between a policy and an action on a target, gate by gate.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use vigil_core::clock::Timestamp;
use vigil_core::metric::Sample;
use vigil_core::policy::{Decision, Gate, PolicyName, Reason};
use vigil_core::target::Target;

use crate::api::episodes::EpisodeDto;
use crate::extract::Caller;
use crate::params::{Params, named};
use crate::problem::ApiError;
use crate::router::App;
use crate::schema;

/// What stands between a policy and an action on a target.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Why, examples(json!({
    "policy_name": "high-cpu", "target": "web-1", "matches": true, "verdict": "met",
    "evidence": [{"metric": "cpu_percent", "tags": {}, "value": 95.0, "at": "2026-01-20T12:02:00Z"}],
    "episode": super::episodes::example("firing"),
    "gates": [
        {"gate": "enabled", "state": "pass", "reason": null, "detail": "the policy is enabled", "next_at": null},
        {"gate": "cooldown", "state": "blocked", "reason": "cooldown", "detail": "cooling down until 2026-01-20T12:06:00Z",
            "next_at": "2026-01-20T12:06:00Z"}
    ],
    "decision": "blocked", "reason": "cooldown", "detail": "cooling down until 2026-01-20T12:06:00Z",
    "next_at": "2026-01-20T12:06:00Z", "timestamp": "2026-01-20T12:02:01Z"
})))]
pub(crate) struct WhyDto {
    /// Which policy.
    #[schema(value_type = schema::PolicyName)]
    policy_name: PolicyName,
    /// Which target.
    #[schema(value_type = schema::Name)]
    target: Target,
    /// Whether the policy watches the target at all.
    matches: bool,
    /// What its condition says now.
    #[schema(value_type = schema::Verdict)]
    verdict: &'static str,
    /// The samples that say so.
    #[schema(value_type = Vec<schema::Sample>)]
    evidence: Vec<Sample>,
    /// The open episode, if there is one.
    #[schema(required)]
    episode: Option<EpisodeDto>,
    /// Every check, in the order in which they are asked.
    gates: Vec<GateDto>,
    /// What would be done now: `act`, `suggest`, `blocked`; null when there is no violation to decide about.
    #[schema(required)]
    decision: Option<&'static str>,
    /// Why it would be blocked, as a word that programs may rely on.
    #[schema(required)]
    reason: Option<&'static str>,
    /// The same for people.
    detail: String,
    /// When all that is known to pass with time will have passed; null when something else must happen, or nothing need.
    #[schema(value_type = Option<schema::Time>, required)]
    next_at: Option<Timestamp>,
    /// When this was so.
    #[schema(value_type = schema::Time)]
    timestamp: Timestamp,
}

/// One check between violation and action.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CheckedGate)]
struct GateDto {
    /// Which.
    #[schema(value_type = schema::Gate)]
    gate: &'static str,
    /// `pass` or `blocked`.
    state: &'static str,
    /// Why it is blocked, as a word that programs may rely on.
    #[schema(required)]
    reason: Option<&'static str>,
    /// The same for people.
    detail: String,
    /// When it may next pass, if the passing of time alone can bring that.
    #[schema(value_type = Option<schema::Time>, required)]
    next_at: Option<Timestamp>,
}

schema::parameters! {
    /// Of what is asked.
    Asked = [
        {"name": "policy", "required": true, "description": "The policy's name", "example": "high-cpu",
            "schema": {"$ref": "#/components/schemas/PolicyName"}},
        {"name": "target", "required": true, "description": "The target", "example": "web-1",
            "schema": {"$ref": "#/components/schemas/Name"}},
    ];
}

impl GateDto {
    fn of(gate: Gate, shut: Option<&Decision>) -> Self {
        let reason = shut.and_then(Decision::reason);
        let detail = match (shut, reason) {
            (None, _) => gate.sentence().to_owned(),
            (Some(_), Some(reason)) => reason.to_string(),
            (Some(_), None) => "the policy records its violations and does not act on its own".to_owned(),
        };
        Self {
            gate: gate.as_str(),
            state: if shut.is_some() { "blocked" } else { "pass" },
            reason: shut.map(|decision| reason.map_or(decision.as_str(), Reason::code)),
            detail,
            next_at: reason.and_then(Reason::next_at),
        }
    }
}

/// Say why something is or is not done
///
/// Every gate as the planner would find it now, with its reason and the time it may next pass. Nothing is written.
#[utoipa::path(
    get, path = "/api/v1/why", tag = "History", operation_id = "why", params(Asked),
    responses(
        (status = 200, description = "Every gate", body = WhyDto),
        (status = 404, description = "No policy has this name"),
    )
)]
pub(crate) async fn why(State(app): State<App>, caller: Caller, mut params: Params) -> Result<Json<WhyDto>, ApiError> {
    params.only(&["policy", "target"], &[]);
    let policy = params.required("policy", named(PolicyName::new));
    let target = params.required("target", named(Target::new));
    let (Some(policy), Some(target), ()) = (policy, target, params.end()?) else {
        return Err(ApiError::field("/policy", "is required"));
    };
    let why = app.vigil.why(&caller.tenant, &policy, &target).await?;
    let why = why.ok_or_else(|| ApiError::not_found(format_args!("The policy '{policy}'")))?;
    let gates: Vec<GateDto> = why.gates.iter().map(|(gate, shut)| GateDto::of(*gate, shut.as_ref())).collect();
    let shut: Vec<&GateDto> = gates.iter().filter(|gate| gate.state == "blocked").collect();
    let timed = !shut.is_empty() && shut.iter().all(|gate| gate.next_at.is_some());
    let next_at = shut.iter().filter_map(|gate| gate.next_at).max().filter(|_| timed);
    let reason = why.decision.as_ref().and_then(Decision::reason);
    let detail = match (&why.decision, reason) {
        _ if !why.matches => format!("the policy '{policy}' does not watch the target '{target}'"),
        (Some(_), Some(reason)) => reason.to_string(),
        (Some(Decision::Suggest), _) => "the policy records its violations and does not act on its own".to_owned(),
        (Some(_), None) => "nothing stands against an action".to_owned(),
        (None, _) => match why.evaluation.verdict {
            vigil_core::policy::Verdict::Unknown => "nothing is known: there are no fresh samples".to_owned(),
            _ => "the condition is not met".to_owned(),
        },
    };
    Ok(Json(WhyDto {
        matches: why.matches,
        verdict: why.evaluation.verdict.as_str(),
        evidence: why.evaluation.evidence,
        episode: why.standing.episode.map(EpisodeDto::from),
        gates,
        decision: why.decision.as_ref().map(Decision::as_str),
        reason: reason.map(Reason::code),
        detail,
        next_at,
        timestamp: why.standing.now,
        policy_name: policy,
        target,
    }))
}
