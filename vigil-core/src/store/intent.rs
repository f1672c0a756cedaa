//! [`ActionIntent`]: what a new action shall be, and the Store's answer to it.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Actor, Idempotency};
use crate::action::{Action, ActionId, ActionStatus, ActionType, Severity};
use crate::clock::Timestamp;
use crate::episode::{EpisodeId, EpisodeIntent};
use crate::policy::{ConditionSpec, PolicyName, Reason};
use crate::target::Target;
use crate::tenant::TenantId;

/// What a new action shall be.
#[derive(Debug, Clone)]
pub struct ActionIntent {
    /// Whose.
    pub tenant: TenantId,
    /// What it is done to.
    pub target: Target,
    /// What is done.
    pub action: ActionType,
    /// The first status. Anything but pending makes it a client's record of something done elsewhere.
    pub status: ActionStatus,
    /// Why, for people.
    pub details: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// Passed on to the remediator.
    pub params: Map<String, Value>,
    /// The policy behind it, with its revision.
    pub policy: Option<(PolicyName, i64)>,
    /// The episode it is to end, with the version the planner saw.
    pub episode: Option<(EpisodeId, i64)>,
    /// The episode it is to end, if the planner saw none: it is opened in the same transaction.
    pub opens: Option<EpisodeIntent>,
    /// What verifies it.
    pub condition: Option<ConditionSpec>,
    /// The newest sample of the evidence.
    pub evidence_at: Option<Timestamp>,
    /// 64 random bits.
    pub nonce: u64,
    /// How long it may wait to be started.
    pub expires_after: Duration,
    /// The client's key, if it sent one.
    pub idempotency: Option<Idempotency>,
    /// Who wants it.
    pub actor: Actor,
}

impl ActionIntent {
    /// The row this intent becomes.
    pub fn into_action(self, id: ActionId, now: Timestamp) -> Action {
        let managed = self.status == ActionStatus::Pending;
        Action {
            id,
            tenant: self.tenant,
            target: self.target,
            action: self.action,
            status: self.status,
            details: self.details,
            severity: self.severity,
            params: self.params,
            policy_revision: self.policy.as_ref().map(|(_, revision)| *revision),
            policy: self.policy.map(|(name, _)| name),
            episode: self.episode.map(|(id, _)| id),
            condition: self.condition,
            managed,
            version: 1,
            attempt: 0,
            tries: 0,
            crashes: 0,
            nonce: self.nonce,
            lease_until: None,
            occupies: false,
            started_at: now,
            running_at: (self.status == ActionStatus::Running).then_some(now),
            completed_at: self.status.is_final().then_some(now),
            not_before: now,
            expires_at: now + self.expires_after,
            deadline: None,
            indeterminate_at: None,
            verification: None,
            verify_after: None,
            verify_by: None,
            error: None,
            evidence_at: self.evidence_at,
        }
    }
}

/// The Store's answer to an [`ActionIntent`].
#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    /// The action is committed.
    Admitted(Action),
    /// The client sent this request before; the action as it was admitted then.
    Replayed(Action),
    /// A guard did not hold; nothing was written but the refusal on the episode.
    Blocked(Reason),
}
