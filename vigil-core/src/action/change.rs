//! [`Change`]: everything that can happen to an action after its admission.

use std::time::Duration;

use super::{ActionId, ActionStatus, Verification};
use crate::policy::PolicyName;

/// Everything that can happen to an action after its admission.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// Pending to running: attempt n+1 begins under a lease and occupies the target. Committed before every send.
    Start {
        /// How long the worker holds it without a heartbeat.
        lease: Duration,
        /// How long the attempt may take.
        deadline: Duration,
        /// The policy that wants it, and the revision under which it must be stored and enabled; `None` for a person's.
        policy: Option<(PolicyName, i64)>,
    },
    /// Another worker takes a running action whose lease ran out, which counts as a crash, or was handed over, which
    /// does not. Attempt, key and occupation stay.
    TakeOver {
        /// How long the new worker holds it without a heartbeat.
        lease: Duration,
    },
    /// The lease's holder learned that nothing was done and sends again: running(n) to running(n+1).
    SendAgain {
        /// How long the worker holds it without a heartbeat.
        lease: Duration,
        /// How long the attempt may take.
        deadline: Duration,
        /// Why the attempt before did nothing.
        error: String,
        /// As for [`Change::Start`].
        policy: Option<(PolicyName, i64)>,
    },
    /// Not taken: running back to pending, no try used.
    Defer {
        /// The wait before the next attempt.
        delay: Duration,
        /// Why it was not taken.
        error: String,
    },
    /// Taken and failed, but may be tried again: running back to pending, one try used.
    Retry {
        /// The wait before the next attempt.
        delay: Duration,
        /// What the remediator said.
        error: String,
    },
    /// The remediator says that it succeeded. Verification begins when a condition is stored.
    Complete {
        /// What the remediator said, if anything.
        details: Option<String>,
        /// How long effects take to show in metrics.
        settle: Duration,
        /// How long after that a proof is waited for.
        verify: Duration,
    },
    /// It failed for good, or was rejected.
    Fail {
        /// Why.
        error: String,
    },
    /// The lease's holder stops working on it without knowing the outcome, so that another worker may take over at once.
    HandOver,
    /// Too many workers were lost on it: failed, but its target stays occupied until the attempt's deadline.
    GiveUp {
        /// What happened.
        error: String,
    },
    /// Sent, answer unknown: stays running and occupying, and only metrics, or the deadline, end it.
    Indeterminate {
        /// What is known.
        error: String,
        /// How long effects take to show in metrics.
        settle: Duration,
        /// How long after that a proof is waited for.
        verify: Duration,
    },
    /// Called off. A running action keeps its target occupied.
    Cancel {
        /// Why, for people.
        reason: String,
    },
    /// What became of a cancelled or given up attempt is known now, or its deadline passed: the target is free again.
    Release {
        /// What was reported, for the audit.
        report: String,
    },
    /// Verification ended. An indeterminate action becomes final with it: completed if verified, failed otherwise. It
    /// keeps its target until the attempt's deadline: metrics do not say that the attempt has ended.
    Verify {
        /// How.
        verification: Verification,
        /// In words, for people.
        details: String,
    },
    /// A client moves on something it does elsewhere (`managed` is false).
    Record {
        /// The new status.
        status: ActionStatus,
        /// New details, if any.
        details: Option<String>,
    },
}

/// A change that the action's state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("action {id} is {status}: it cannot be {verb}")]
pub struct IllegalChange {
    /// Which action.
    pub id: ActionId,
    /// Where it stands.
    pub status: ActionStatus,
    /// What was asked, as a participle: `started`, `cancelled`.
    pub verb: &'static str,
}

impl Change {
    /// Whether an attempt begins with it: what a brake forbids.
    pub const fn begins_attempt(&self) -> bool {
        matches!(self, Self::Start { .. } | Self::SendAgain { .. })
    }

    /// The policy that must be stored under this revision and be enabled when an attempt begins.
    pub const fn required_policy(&self) -> Option<&(PolicyName, i64)> {
        match self {
            Self::Start { policy, .. } | Self::SendAgain { policy, .. } => policy.as_ref(),
            _ => None,
        }
    }

    /// Whether the remediator has reported the end of the attempt: nothing of it runs any more.
    pub const fn is_report(&self) -> bool {
        matches!(self, Self::Defer { .. } | Self::Retry { .. } | Self::Complete { .. } | Self::Fail { .. })
    }

    /// The word of the audit: `started`, `deferred`...
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Start { .. } => "started",
            Self::TakeOver { .. } => "taken_over",
            Self::SendAgain { .. } => "sent_again",
            Self::Defer { .. } => "deferred",
            Self::Retry { .. } => "retried",
            Self::Complete { .. } => "completed",
            Self::Fail { .. } => "failed",
            Self::HandOver => "handed_over",
            Self::GiveUp { .. } => "given_up",
            Self::Indeterminate { .. } => "indeterminate",
            Self::Cancel { .. } => "cancelled",
            Self::Release { .. } => "released",
            Self::Verify { verification, .. } => verification.as_str(),
            Self::Record { .. } => "recorded",
        }
    }

    /// What the audit says beside the verb.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::SendAgain { error, .. }
            | Self::Defer { error, .. }
            | Self::Retry { error, .. }
            | Self::Fail { error }
            | Self::GiveUp { error }
            | Self::Indeterminate { error, .. } => Some(error),
            Self::Cancel { reason } => Some(reason),
            Self::Release { report } => Some(report),
            Self::Verify { details, .. } => Some(details),
            Self::Complete { details, .. } | Self::Record { details, .. } => details.as_deref(),
            Self::Start { .. } | Self::TakeOver { .. } | Self::HandOver => None,
        }
    }
}
