//! The [`Remediator`] seam: what carries actions out.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::action::{Action, ActionId, ActionType, IdempotencyKey, Severity};
use crate::clock::Timestamp;
use crate::target::Target;
use crate::tenant::TenantId;

mod dry_run;
mod router;

pub use dry_run::DryRun;
pub use router::{RemediatorRouter, Route};

/// Carries actions out. Held as `Arc<dyn Remediator>`.
///
/// # Contract
/// - **Effects are unique per key.** All attempts of an action carry one key; a repeated request under a key whose outcome
///   is known answers that outcome and does nothing. It acts anew only for a higher attempt after a retryable failure.
/// - A request with an older attempt than one seen is refused with [`RemediatorError::Stale`].
/// - "Succeeded" is a claim; metrics verify it.
/// - An error that is not [`RemediatorError::Indeterminate`] means that nothing was done.
///
/// # Cancel safety
/// A dropped future may or may not have had its effect: the caller probes.
///
/// # Time
/// `request.deadline` is when nobody waits for the outcome any more.
///
/// # Implementing
/// See `examples/custom_remediator.rs`. One that cannot tell what became of a key answers [`Probe::Unknown`]: it
/// is then never sent twice.
#[async_trait]
pub trait Remediator: fmt::Debug + Send + Sync + 'static {
    /// Does what is asked, once per key.
    async fn remediate(&self, request: &RemediationRequest) -> Result<Outcome, RemediatorError>;

    /// Says what became of a key. An error means that it could not be asked now, and may be asked again.
    async fn probe(&self, key: &IdempotencyKey) -> Result<Probe, RemediatorError>;

    /// Whether it can be reached, for readiness.
    async fn ping(&self) -> Result<(), RemediatorError>;
}

/// What a remediator is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct RemediationRequest {
    /// The same for all attempts.
    pub key: IdempotencyKey,
    /// The fencing number of this attempt, from 1.
    pub attempt: u32,
    /// Whose.
    pub tenant: TenantId,
    /// Which action.
    pub action_id: ActionId,
    /// The queue's task that delivered it.
    pub task_id: String,
    /// What it is done to.
    pub target: Target,
    /// What is done.
    pub action: ActionType,
    /// How bad it is.
    pub severity: Severity,
    /// Free-form parameters.
    pub params: Map<String, Value>,
    /// The policy behind it.
    pub policy_name: Option<String>,
    /// When the outcome is no longer waited for.
    pub deadline: Timestamp,
    /// For logs on both sides.
    pub request_id: String,
}

impl RemediationRequest {
    /// The request for the newest attempt of an action.
    pub fn of(action: &Action, task_id: &str, request_id: String) -> Self {
        Self {
            key: action.idempotency_key(),
            attempt: action.attempt,
            tenant: action.tenant.clone(),
            action_id: action.id,
            task_id: task_id.to_owned(),
            target: action.target.clone(),
            action: action.action,
            severity: action.severity,
            params: action.params.clone(),
            policy_name: action.policy.as_ref().map(ToString::to_string),
            deadline: action.deadline.unwrap_or(action.expires_at),
            request_id,
        }
    }
}

/// What a remediator says became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Succeeded {
        /// In words.
        details: Option<String>,
    },
    /// It refused: nothing happened, and nothing will.
    Rejected {
        /// Why.
        reason: String,
    },
    /// It tried and failed.
    Failed {
        /// Why.
        reason: String,
        /// Whether another attempt under the same key may do better.
        retryable: bool,
    },
    /// It is at it; the probe will tell.
    InProgress,
}

/// What a remediator knows of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The outcome.
    Done(Outcome),
    /// It is at it.
    InProgress,
    /// It never took a request with this key: nothing happened.
    NotDone,
    /// It cannot tell. Nothing is sent again.
    Unknown,
}

/// Why there is no outcome, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemediatorError {
    /// Not sent, nothing happened: try again later.
    #[error("the remediator cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not taken, nothing happened: try again, not before the given time has passed.
    #[error("the remediator asks to wait {} s", retry_after.as_secs())]
    Throttled {
        /// How long.
        retry_after: Duration,
    },
    /// Sent, no answer: nobody knows. Probe, then let metrics decide.
    #[error("the remediator took the request and gave no answer")]
    Indeterminate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A newer attempt was seen: drop the result and read the action again.
    #[error("the remediator has seen a newer attempt")]
    Stale,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn request(key: &str, attempt: u32, target: &str, action: &str) -> RemediationRequest {
        RemediationRequest {
            key: IdempotencyKey(key.to_owned()),
            attempt,
            tenant: TenantId::default(),
            action_id: ActionId(1),
            task_id: "task_1".to_owned(),
            target: Target::new(target).unwrap(),
            action: ActionType::parse(action).unwrap(),
            severity: Severity::Critical,
            params: Map::new(),
            policy_name: None,
            deadline: Timestamp::MAX,
            request_id: "r1".to_owned(),
        }
    }
}
