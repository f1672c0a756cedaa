//! The plan: the gates in their order, and the intent with its guards when all let through.

use std::num::NonZeroU32;
use std::time::Duration;

use super::gate::View;
use super::{Decision, Evaluation, Gate, Policy, Snapshot};
use crate::action::ActionStatus;
use crate::store::{ActionIntent, Actor, Standing};
use crate::target::Target;

/// What bounds the planner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many actions one episode may have before a person must look.
    pub actions_per_episode: u32,
    /// How long an admitted action may wait to be started.
    pub expires_after: Duration,
    /// How many actions the tenant may have in a minute; `None`: as many as it likes.
    pub actions_per_minute: Option<NonZeroU32>,
}

/// What each gate says, in their order: `None` where it lets through. The same checks as [`plan`]'s, all of them.
pub fn explain(
    policy: &Policy,
    target: &Target,
    metrics: &Snapshot,
    standing: &Standing,
    limits: &Limits,
) -> Vec<(Gate, Option<Decision>)> {
    let view = View { policy, target, metrics, standing, limits };
    Gate::ALL.into_iter().map(|gate| (gate, gate.check(&view))).collect()
}

/// Decides what to do about a violation of `policy` by `target`: the one path of ingest, runner and sandbox.
///
/// `nonce` is 64 random bits for the action's idempotency key. The sandbox drops what this returns.
pub fn plan(
    policy: &Policy,
    target: &Target,
    metrics: &Snapshot,
    evaluation: &Evaluation,
    standing: &Standing,
    limits: &Limits,
    nonce: u64,
) -> Decision {
    let view = View { policy, target, metrics, standing, limits };
    if let Some(decision) = Gate::ALL.iter().find_map(|gate| gate.check(&view)) {
        return decision;
    }
    let guards = Gate::ALL.iter().filter_map(|gate| gate.guard(&view)).collect();
    let intent = ActionIntent {
        tenant: policy.tenant.clone(),
        target: target.clone(),
        action: policy.action,
        status: ActionStatus::Pending,
        details: Some(evaluation.sentence(policy)),
        severity: policy.severity,
        params: policy.params.clone(),
        policy: Some((policy.name.clone(), policy.revision)),
        episode: standing.episode.as_ref().map(|episode| (episode.id, episode.version)),
        opens: None,
        condition: Some(policy.condition_spec.clone()),
        evidence_at: evaluation.evidence.iter().map(|sample| sample.at).max(),
        nonce,
        expires_after: limits.expires_after,
        idempotency: None,
        actor: Actor::new("controller"),
    };
    Decision::Act(Box::new(intent), guards)
}
