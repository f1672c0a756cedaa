//! [`Action`]: the durable intent, its closed vocabularies, and the state machine every Store applies.
//!
//! ```text
//!             start                         complete
//! pending ─────────────▶ running ─────────────────────────▶ completed
//!   ▲  │ │                │ │ ▲│                               │
//!   │  │ └─fail─┐  defer/ │ │ ││ take over, send again (n+1),  └─ verify (a field, not a status)
//!   │  │        │  retry  │ │ └┘ indeterminate
//!   └──┼────────┼─────────┘ ├──fail, conclude──▶ failed
//!      │        └───────────┼──────────────────▶ failed
//!      └──cancel────────────┴──cancel──────────▶ cancelled
//! ```

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::episode::EpisodeId;
use crate::policy::{ConditionSpec, PolicyName};
use crate::target::Target;
use crate::tenant::TenantId;

mod change;
#[cfg(test)]
mod tests;
mod word;

pub use change::{Change, IllegalChange};
pub(crate) use word::word;
pub use word::{ActionStatus, ActionType, Phase, Severity, Verification};

/// The row id of an action. Unique, not ordered by commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionId(pub i64);

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What names one action: no query is written without the tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which.
    pub id: ActionId,
}

/// The one key of all attempts of an action, for the remediator: `<tenant>-action-<id>-<nonce>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdempotencyKey(pub String);

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The durable intent to do something to a target: one row, changed only by [`Action::apply`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Which.
    pub id: ActionId,
    /// Whose.
    pub tenant: TenantId,
    /// What it is done to.
    pub target: Target,
    /// What is done.
    pub action: ActionType,
    /// Where it stands.
    pub status: ActionStatus,
    /// The reason it was wanted, later the outcome, for people.
    pub details: Option<String>,
    /// How bad the violation is.
    pub severity: Severity,
    /// Free-form parameters, passed on to the remediator.
    pub params: Map<String, Value>,
    /// The policy that wanted it; `None` when a person did.
    pub policy: Option<PolicyName>,
    /// The policy's revision at admission.
    pub policy_revision: Option<i64>,
    /// The episode it is to end.
    pub episode: Option<EpisodeId>,
    /// What verifies it: the policy's condition at admission. `None` when nothing does.
    pub condition: Option<ConditionSpec>,
    /// Whether Vigil carries it out. `false`: a client records something done elsewhere.
    pub managed: bool,
    /// Raised by every write; every change is a compare-and-set on it.
    pub version: i64,
    /// The fencing number of the newest attempt; 0 before the first.
    pub attempt: u32,
    /// How often the remediator took it and failed in a way that may be tried again.
    pub tries: u32,
    /// How often a worker's lease ran out on it.
    pub crashes: u32,
    /// 64 random bits that make the idempotency key survive a restored database that counts ids anew.
    pub nonce: u64,
    /// Until when its worker alone may act on it, by the Store's clock.
    pub lease_until: Option<Timestamp>,
    /// Whether it is, or may be, in flight on its target: from the start of an attempt until the remediator reports its
    /// end or its deadline passes, whatever the status. At most one action per target.
    pub occupies: bool,
    /// When the row was created.
    pub started_at: Timestamp,
    /// When the first attempt started.
    pub running_at: Option<Timestamp>,
    /// When it became final.
    pub completed_at: Option<Timestamp>,
    /// The earliest start. A wait never lasts beyond `expires_at`, where a delivery cancels the action.
    pub not_before: Timestamp,
    /// Not to be started after.
    pub expires_at: Timestamp,
    /// When the newest attempt is given up waiting for.
    pub deadline: Option<Timestamp>,
    /// Since when nobody knows what became of the newest attempt.
    pub indeterminate_at: Option<Timestamp>,
    /// Whether metrics proved it; `None` when nothing verifies it, or nothing was done yet.
    pub verification: Option<Verification>,
    /// Only samples later than this verify it.
    pub verify_after: Option<Timestamp>,
    /// When verification ends without a proof.
    pub verify_by: Option<Timestamp>,
    /// Why it failed, or why the newest attempt did not succeed.
    pub error: Option<String>,
    /// The newest sample of the evidence it was admitted on.
    pub evidence_at: Option<Timestamp>,
}

impl Action {
    /// The key of a query for it.
    pub fn key(&self) -> ActionKey {
        ActionKey { tenant: self.tenant.clone(), id: self.id }
    }

    /// The key under which the remediator remembers it, the same for all attempts.
    pub fn idempotency_key(&self) -> IdempotencyKey {
        IdempotencyKey(format!("{}-action-{}-{:016x}", self.tenant, self.id, self.nonce))
    }

    /// Where it stands in more detail.
    pub fn phase(&self) -> Phase {
        match self.status {
            ActionStatus::Pending if self.attempt == 0 => Phase::Queued,
            ActionStatus::Pending => Phase::Retrying,
            ActionStatus::Running if self.indeterminate_at.is_some() => Phase::Indeterminate,
            ActionStatus::Running => Phase::Executing,
            _ if self.verification == Some(Verification::Awaiting) => Phase::Verifying,
            _ => Phase::Done,
        }
    }

    /// From when on its target shows what it did: it has ended, and as much time has passed as is given to that before it is
    /// verified. `None` while it goes on, and if it never began.
    pub fn settled_at(&self) -> Option<Timestamp> {
        let ended = self.completed_at.filter(|_| self.running_at.is_some())?;
        Some(self.verify_after.map_or(ended, |after| after.max(ended)))
    }

    /// Whether it is running under a lease that has not run out.
    pub fn is_leased(&self, now: Timestamp) -> bool {
        self.status == ActionStatus::Running && self.lease_until.is_some_and(|until| until > now)
    }

    /// The row after `change`, with the version raised: the whole state machine, applied by every Store in the
    /// transaction that writes the row.
    ///
    /// # Errors
    /// [`IllegalChange`] when the row's state does not allow the change.
    pub fn apply(&self, change: &Change, now: Timestamp) -> Result<Self, IllegalChange> {
        if !self.allows(change, now) {
            return Err(IllegalChange { id: self.id, status: self.status, verb: change.verb() });
        }
        let mut next = self.clone();
        next.version += 1;
        match change {
            Change::Start { lease, deadline, .. } => next.begin_attempt(*lease, *deadline, now),
            Change::TakeOver { lease } => {
                next.crashes += u32::from(self.lease_until.is_some());
                next.lease_until = Some(now + *lease);
            }
            Change::SendAgain { lease, deadline, error, .. } => {
                next.tries += 1;
                next.error = Some(error.clone());
                next.begin_attempt(*lease, *deadline, now);
            }
            Change::Defer { delay, error } => next.hand_back(*delay, error, now),
            Change::Retry { delay, error } => {
                next.tries += 1;
                next.hand_back(*delay, error, now);
            }
            Change::Complete { details, settle, verify } => {
                next.finish(ActionStatus::Completed, now);
                next.error = None;
                next.details = details.clone().or(next.details);
                next.await_verification(*settle, *verify, now);
            }
            Change::Fail { error } => {
                next.finish(ActionStatus::Failed, now);
                next.verification = None;
                next.error = Some(error.clone());
            }
            Change::HandOver => next.lease_until = None,
            Change::GiveUp { error } => {
                let occupies = self.occupies;
                next.finish(ActionStatus::Failed, now);
                next.occupies = occupies;
                next.error = Some(error.clone());
            }
            Change::Indeterminate { error, settle, verify } => {
                next.indeterminate_at = Some(now);
                next.lease_until = None;
                next.error = Some(error.clone());
                next.await_verification(*settle, *verify, now);
            }
            Change::Cancel { reason } => {
                let occupies = self.occupies;
                next.finish(ActionStatus::Cancelled, now);
                next.occupies = occupies;
                next.verification = None;
                next.error = Some(reason.clone());
            }
            Change::Release { .. } => {
                next.occupies = false;
                // It was at it until now, though it had been called off: its target shows that from now on.
                next.verify_after = Some(now);
            }
            Change::Verify { verification, details } => {
                next.verification = Some(*verification);
                if next.status == ActionStatus::Running {
                    let proven = *verification == Verification::Verified;
                    next.finish(if proven { ActionStatus::Completed } else { ActionStatus::Failed }, now);
                    // Metrics are no report: the attempt may run on until its deadline.
                    next.occupies = self.occupies && self.deadline.is_some_and(|deadline| now < deadline);
                    if proven {
                        next.error = None;
                        next.details = Some(details.clone());
                    }
                }
            }
            Change::Record { status, details } => {
                if *status == ActionStatus::Running {
                    next.running_at = next.running_at.or(Some(now));
                }
                next.status = *status;
                next.completed_at = status.is_final().then_some(now);
                next.details = details.clone().or(next.details);
            }
        }
        Ok(next)
    }

    fn allows(&self, change: &Change, now: Timestamp) -> bool {
        use ActionStatus::{Completed, Pending, Running};
        let known = self.managed && self.indeterminate_at.is_none();
        match change {
            Change::Start { .. } => self.managed && self.status == Pending,
            Change::TakeOver { .. } => known && self.status == Running && !self.is_leased(now),
            Change::SendAgain { .. } | Change::Defer { .. } | Change::Retry { .. } => known && self.status == Running,
            Change::Complete { .. } | Change::Indeterminate { .. } | Change::GiveUp { .. } => {
                known && self.status == Running
            }
            Change::HandOver => self.managed && self.is_leased(now),
            Change::Fail { .. } => self.managed && matches!(self.status, Pending | Running),
            Change::Cancel { .. } => matches!(self.status, Pending | Running),
            Change::Release { .. } => self.status.is_final() && self.occupies,
            Change::Verify { verification, .. } => {
                let ended = *verification != Verification::Awaiting;
                let open = self.status == Completed || (self.status == Running && self.indeterminate_at.is_some());
                ended && open && self.verification == Some(Verification::Awaiting)
            }
            Change::Record { status, .. } => !self.managed && self.status.can_become(*status),
        }
    }

    fn begin_attempt(&mut self, lease: Duration, deadline: Duration, now: Timestamp) {
        self.status = ActionStatus::Running;
        self.attempt += 1;
        self.occupies = true;
        self.lease_until = Some(now + lease);
        self.deadline = Some(now + deadline);
        self.running_at = self.running_at.or(Some(now));
    }

    fn hand_back(&mut self, delay: Duration, error: &str, now: Timestamp) {
        self.status = ActionStatus::Pending;
        self.occupies = false;
        self.lease_until = None;
        self.deadline = None;
        // It expires first: what ends it must come then.
        self.not_before = (now + delay).min(self.expires_at.max(now));
        self.error = Some(error.to_owned());
    }

    fn finish(&mut self, status: ActionStatus, now: Timestamp) {
        self.status = status;
        self.occupies = false;
        self.lease_until = None;
        self.completed_at = Some(now);
    }

    fn await_verification(&mut self, settle: Duration, verify: Duration, now: Timestamp) {
        if self.condition.is_some() {
            self.verification = Some(Verification::Awaiting);
            self.verify_after = Some(now + settle);
            self.verify_by = Some(now + settle + verify);
        }
    }
}
