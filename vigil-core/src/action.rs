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
//!      └──cancel────────────┴──cancel──────────▶ cancelled (occupies its target until reported or past its deadline)
//! ```

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::episode::EpisodeId;
use crate::invalid::InvalidValue;
use crate::policy::{ConditionSpec, PolicyName};
use crate::target::Target;
use crate::tenant::TenantId;

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

/// What to do to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum ActionType {
    /// Restart the target: `restart`.
    RestartService,
    /// Add capacity: `scale-up`.
    ScaleUp,
    /// Take capacity away: `scale-down`.
    ScaleDown,
    /// Move work off the target gracefully: `drain-pod`.
    DrainPod,
    /// Spread work anew: `rebalance`.
    Rebalance,
    /// Take a backup: `snapshot`.
    Snapshot,
    /// Whatever the remediator makes of it: `custom`.
    Custom,
}

impl ActionType {
    /// All seven.
    pub const ALL: [Self; 7] = [
        Self::RestartService,
        Self::ScaleUp,
        Self::ScaleDown,
        Self::DrainPod,
        Self::Rebalance,
        Self::Snapshot,
        Self::Custom,
    ];

    /// The canonical word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RestartService => "restart",
            Self::ScaleUp => "scale-up",
            Self::ScaleDown => "scale-down",
            Self::DrainPod => "drain-pod",
            Self::Rebalance => "rebalance",
            Self::Snapshot => "snapshot",
            Self::Custom => "custom",
        }
    }

    /// Reads a word; `restart-service` stands for `restart`, `_` for `-`, and letters may be of either case.
    ///
    /// # Errors
    /// [`InvalidValue`] on `action`, naming the seven.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        let plain = word.trim().to_ascii_lowercase().replace('_', "-");
        let plain = if plain == "restart-service" { "restart" } else { plain.as_str() };
        Self::ALL.into_iter().find(|kind| kind.as_str() == plain).ok_or_else(|| {
            let words = Self::ALL.map(Self::as_str).join(", ");
            InvalidValue::new("action", format!("must be one of {words}"))
        })
    }
}

/// How bad it is. Ordered: info < warning < critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth acting on.
    #[default]
    Warning,
    /// Users notice.
    Critical,
}

impl Severity {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`InvalidValue`] on `severity`, naming the three.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        let plain = word.trim().to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == plain)
            .ok_or_else(|| InvalidValue::new("severity", "must be one of info, warning, critical"))
    }
}

/// The documented status of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum ActionStatus {
    /// Admitted, not started.
    Pending,
    /// An attempt is, or may be, under way.
    Running,
    /// The remediator says it succeeded, or metrics proved it.
    Completed,
    /// It did not succeed and is not tried again under this key.
    Failed,
    /// Called off.
    Cancelled,
}

impl ActionStatus {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`InvalidValue`] on `status`, naming the five.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        Self::ALL.into_iter().find(|s| s.as_str() == word).ok_or_else(|| {
            InvalidValue::new("status", format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
        })
    }

    /// Whether it never changes again.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether the state machine has an edge from `self` to `to`.
    pub const fn can_become(self, to: Self) -> bool {
        match self {
            Self::Pending => matches!(to, Self::Running | Self::Cancelled | Self::Failed),
            Self::Running => true,
            Self::Completed | Self::Failed | Self::Cancelled => false,
        }
    }
}

/// Whether fresh metrics proved that an action worked: a field beside the status, not a sixth status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Verification {
    /// Fresh samples are still to come.
    Awaiting,
    /// The condition is no longer met on samples taken after the action.
    Verified,
    /// It still is.
    Ineffective,
    /// No fresh sample came in time.
    Inconclusive,
}

impl Verification {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Awaiting, Self::Verified, Self::Ineffective, Self::Inconclusive];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Awaiting => "awaiting",
            Self::Verified => "verified",
            Self::Ineffective => "ineffective",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`InvalidValue`] on `verification`.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        Self::ALL.into_iter().find(|v| v.as_str() == word).ok_or_else(|| {
            InvalidValue::new("verification", format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
        })
    }
}

macro_rules! word {
    ($($type:ty),+) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl From<$type> for &'static str {
            fn from(word: $type) -> Self {
                word.as_str()
            }
        }
        impl TryFrom<String> for $type {
            type Error = InvalidValue;
            fn try_from(word: String) -> Result<Self, InvalidValue> {
                Self::parse(&word)
            }
        }
    )+};
}
pub(crate) use word;
word!(ActionType, Severity, ActionStatus, Verification);

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
    /// Whether it is, or may be, in flight on its target. At most one action of a target is.
    pub occupies: bool,
    /// When the row was created.
    pub started_at: Timestamp,
    /// When the first attempt started.
    pub running_at: Option<Timestamp>,
    /// When it became final.
    pub completed_at: Option<Timestamp>,
    /// Not to be started before.
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

/// Where an action stands, in more detail than its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Waiting for a worker.
    Queued,
    /// Waiting to be tried again.
    Retrying,
    /// A worker is at it.
    Executing,
    /// Sent, answer unknown: metrics will tell.
    Indeterminate,
    /// Done; metrics have yet to prove it.
    Verifying,
    /// Nothing more will happen.
    Done,
}

impl Phase {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Retrying => "retrying",
            Self::Executing => "executing",
            Self::Indeterminate => "indeterminate",
            Self::Verifying => "verifying",
            Self::Done => "done",
        }
    }
}

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
    /// Verification ended. An indeterminate action becomes final with it: completed if verified, failed otherwise.
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
            Change::Start { lease, deadline } => next.begin_attempt(*lease, *deadline, now),
            Change::TakeOver { lease } => {
                next.crashes += u32::from(self.lease_until.is_some());
                next.lease_until = Some(now + *lease);
            }
            Change::SendAgain { lease, deadline, error } => {
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
            Change::Release { .. } => next.occupies = false,
            Change::Verify { verification, details } => {
                next.verification = Some(*verification);
                if next.status == ActionStatus::Running {
                    let proven = *verification == Verification::Verified;
                    next.finish(if proven { ActionStatus::Completed } else { ActionStatus::Failed }, now);
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
        self.not_before = now + delay;
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
