//! [`Guard`]: what a Store checks in the transaction that admits.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::action::{Action, ActionId, Verification};
use crate::clock::Timestamp;
use crate::policy::{PolicyName, Reason};
use crate::target::Target;

/// One condition of an admission that only the Store can judge without a race. A closed set that every Store knows.
/// All are about the managed actions of the intent's tenant.
#[derive(Debug, Clone, PartialEq)]
pub enum Guard {
    /// The policy is stored under this revision and is enabled. Otherwise [`Reason::PolicyChanged`].
    Revision {
        /// Which policy.
        policy: PolicyName,
        /// As the planner saw it.
        revision: i64,
    },
    /// No brake that counts for the tenant is on. Otherwise [`Reason::Braked`].
    Brake,
    /// No action on the target is pending, running or occupying. Otherwise [`Reason::Busy`].
    Free {
        /// Which target.
        target: Target,
    },
    /// The newest action of the policy on the target was created at least `period` ago. Otherwise [`Reason::Cooldown`].
    Cooldown {
        /// Which policy, by name: it survives delete and re-create.
        policy: PolicyName,
        /// Which target.
        target: Target,
        /// How long ago.
        period: Duration,
    },
    /// The newest action of the policy on the target is not awaiting verification, otherwise
    /// [`Reason::AwaitingVerification`]; and it ended before `since`, from where on the evidence was taken, and every other
    /// action on the target had [settled](crate::action::Action::settled_at) before that, otherwise, also if the newest has not
    /// ended, [`Reason::StaleEvidence`]: samples of a service that another policy has just restarted show one that is not there.
    Evidence {
        /// Which policy.
        policy: PolicyName,
        /// Which target.
        target: Target,
        /// All samples that were judged are later than this.
        since: Timestamp,
    },
    /// The intent's episode is open, has the version that the planner saw, and has had fewer than `max` actions.
    /// Otherwise [`Reason::EpisodeChanged`] or [`Reason::Exhausted`].
    Attempts {
        /// How many an episode may have.
        max: u32,
    },
    /// Fewer than so many actions of the tenant were created within the last [`MINUTE`], whoever wanted them. Otherwise
    /// [`Reason::RateLimited`]. The only guard about more than one target: admissions of one tenant that ask it take turns.
    Rate {
        /// How many there may be.
        per_minute: NonZeroU32,
    },
}

/// The span of time in which [`Guard::Rate`] counts, whenever that begins.
pub const MINUTE: Duration = Duration::from_secs(60);

/// The newest action of a policy on a target, as far as [`Guard::Evidence`] looks at it.
#[derive(Debug, Clone, Copy)]
pub struct LastAction {
    /// Which.
    pub id: ActionId,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// What metrics say of it.
    pub verification: Option<Verification>,
}

impl LastAction {
    /// Of a whole row.
    pub fn of(action: &Action) -> Self {
        Self { id: action.id, completed_at: action.completed_at, verification: action.verification }
    }
}

/// Why [`Guard::Evidence`] does not hold for evidence from `since` on, if it does not: for whoever implements a Store. `settled_at` is
/// that of the target, see [`Standing::settled_at`](super::Standing::settled_at).
pub fn refuse_evidence(
    last: Option<LastAction>,
    settled_at: Option<Timestamp>,
    since: Timestamp,
    now: Timestamp,
) -> Option<Reason> {
    if let Some(LastAction { id, verification: Some(Verification::Awaiting), .. }) = last {
        return Some(Reason::AwaitingVerification { action: id });
    }
    if last.is_some_and(|last| last.completed_at.is_none()) {
        return Some(Reason::StaleEvidence { since: now });
    }
    let ended = last.and_then(|last| last.completed_at).max(settled_at);
    ended.filter(|ended| *ended >= since).map(|since| Reason::StaleEvidence { since })
}
