//! The [`Store`] seam: the truth about metrics, episodes, actions, policies and the audit.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;

use crate::action::{Action, ActionId, ActionKey, ActionStatus, Change};
use crate::clock::Timestamp;
use crate::episode::{Episode, EpisodeChange, EpisodeId, EpisodeIntent, EpisodeState, Resolution};
use crate::key::{ApiKey, KeyTable, KeyWrite};
use crate::metric::{Metric, MetricId, MetricName, Sample};
use crate::policy::PolicyName;
#[cfg(doc)]
use crate::policy::PolicySpec;
use crate::target::Target;
use crate::tenant::TenantId;

mod audit;
mod brake;
mod error;
mod guard;
mod intent;
mod memory;
mod policies;
mod series;

pub use audit::{Actor, AuditEntry, AuditFilter, Note};
pub use brake::{Brake, BrakeChange, BrakeScope, BrakeState, Braked, Brakes};
pub use error::StoreError;
pub use guard::{Guard, LastAction, MINUTE, refuse_evidence};
pub use intent::{ActionIntent, Admission};
pub use memory::MemoryStore;
pub use policies::{Expect, PolicySource, PolicyTable, PolicyWrite, StoredPolicy};
pub use series::{Aggregate, Line, Point, Range, RangeQuery, Series, SeriesFilter, SeriesKey};

/// Keeps the truth. Held as `Arc<dyn Store>`.
///
/// # Contract
/// - What a method returned `Ok` for is durable: it is there after the process was killed and started anew.
/// - [`admit`](Store::admit), [`transition`](Store::transition), [`change_episode`](Store::change_episode),
///   [`write_policies`](Store::write_policies), [`write_key`](Store::write_key) and [`set_brake`](Store::set_brake) are atomic, and write their audit entries in
///   the same transaction.
/// - Once `set_brake` has answered that a brake is on, no attempt of an action that it stops starts, on whatever replica, until
///   it is released or its time has passed.
/// - Once `write_policies` has answered, no attempt starts that requires a revision it replaced or removed, on any replica.
/// - Every change of an action or episode is a compare-and-set on its version and raises it. The state machines are
///   [`Action::apply`] and [`Episode::apply`]; a Store adds nothing to them.
/// - At most one action of a (tenant, target) has `occupies`; at most one episode of a (tenant, policy, target) is open.
///   Both hold under any concurrency.
/// - Ids are unique, but neither dense nor ordered by commit.
/// - Rows with `managed = false` never occupy, are never due, and are not counted by any guard.
///
/// # Cancel safety
/// A future that is dropped has either had its whole effect or none, and leaves no connection or lock behind.
///
/// # Time
/// The Store's own clock judges leases, cooldown, expiry and due times; [`Store::now`] reads it. Tests hand a Store
/// a manual clock when they build it.
///
/// # Errors
/// See [`StoreError`]: each variant says what the caller can do.
///
/// # Implementing
/// Run `vigil_core::store_conformance!` (feature `testing`) over your Store.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The Store's clock.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// Commits samples, all or none, and updates the newest sample of each series unless it has a newer one.
    /// With an idempotency key that was used before for the same fingerprint, answers the first ids and writes nothing.
    async fn record_metrics(&self, batch: MetricBatch) -> Result<Recorded, StoreError>;

    /// The newest sample of each series of a scope that is not older than `since`.
    async fn snapshot(&self, scope: &Scope, since: Timestamp) -> Result<Vec<Sample>, StoreError>;

    /// The stored samples of the named metrics of a scope from `since` on, oldest first, at most `limit`.
    async fn samples(
        &self,
        scope: &Scope,
        metrics: &[MetricName],
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<Sample>, StoreError>;

    /// A tenant's series with their newest samples, by name, then by target, then in an order of the Store's own.
    async fn series(&self, tenant: &TenantId, filter: &SeriesFilter) -> Result<Vec<Series>, StoreError>;

    /// The stored samples of a metric over a span of time, one point a step; a step without samples has none. Reads what it
    /// needs and answers no more than the points it may: for people, not for the loop.
    async fn range(&self, tenant: &TenantId, query: &RangeQuery) -> Result<Range, StoreError>;

    /// How many series a tenant has that have a newest sample, counted up to `most`.
    async fn count_series(&self, tenant: &TenantId, most: usize) -> Result<usize, StoreError>;

    /// Hands out up to `limit` scopes that are due to be judged, the longest due first: those with a newest sample or an open
    /// episode. A scope is handed to one caller, whoever asks, and is due again after `every`, or up to a tenth sooner:
    /// callers on several replicas share the scopes, and what one that died was handed goes to another. A Store that
    /// replicas share must not keep scopes due at the same moment forever, or the first caller gets them all. A clock that
    /// was ahead and stepped back delays no scope: see [`latest_due`].
    async fn claim_scopes(&self, every: Duration, limit: usize) -> Result<Vec<Scope>, StoreError>;

    /// Checks the guards in their order and, if all hold, inserts the action, moves its episode on and writes the audit, in
    /// one transaction. If one does not, writes the refusal on the episode and answers the reason. A race between any number
    /// of callers ends as if they had come one after the other.
    ///
    /// An episode that has ended, or has another version than the planner saw, is left alone; the answer then is a guard's
    /// reason, or [`EpisodeChanged`](crate::policy::Reason::EpisodeChanged). So it is if one that was to be [opened](ActionIntent::opens) is open already: then
    /// nothing is written. One that was opened stays, with the refusal, if a guard does not hold.
    ///
    /// What is answered is durable. What a policy wants, without an idempotency key, is promised to nobody: a Store may let that reach
    /// the disk later, if not later than anything that is written after it, the start of the action above all. What a crash takes
    /// with it then was not acted on, and is judged again.
    async fn admit(&self, intent: ActionIntent, guards: &[Guard]) -> Result<Admission, StoreError>;

    /// Applies one change to an action whose version is still `version`; with `resolve`, also ends the action's
    /// episode if that is still open.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] if the version is another one; [`StoreError::Illegal`] if the state
    /// machine forbids it; [`StoreError::Occupied`] if the change would occupy a target that another action occupies;
    /// [`StoreError::Braked`] if the change begins an attempt ([`Change::begins_attempt`]) while a brake is on;
    /// [`StoreError::PolicyChanged`] if the policy that it requires ([`Change::required_policy`]) is not stored under that
    /// revision or not enabled.
    async fn transition(
        &self,
        action: &ActionKey,
        version: i64,
        change: Change,
        resolve: Option<Resolution>,
        actor: &Actor,
    ) -> Result<Action, StoreError>;

    /// Extends the lease of a running action whose version is still `version` to `by` from now. Raises no version and
    /// writes no audit: a heartbeat is not news, and a version that moved under the executor would void its result.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the version is another one or the lease has run out.
    async fn extend_lease(&self, action: &ActionKey, version: i64, by: Duration) -> Result<(), StoreError>;

    /// One action.
    async fn action(&self, action: &ActionKey) -> Result<Option<Action>, StoreError>;

    /// A tenant's actions, newest first by (`started_at`, `id`).
    async fn actions(&self, tenant: &TenantId, filter: &ActionFilter) -> Result<Vec<Action>, StoreError>;

    /// How things stand between a policy and a target: what the planner looks at. `per_minute` is how many actions the tenant
    /// may have in a minute; without it nothing is counted.
    async fn standing(
        &self,
        tenant: &TenantId,
        policy: &PolicyName,
        target: &Target,
        per_minute: Option<NonZeroU32>,
    ) -> Result<Standing, StoreError>;

    /// Opens an episode, or answers the one that is open already for the same tenant, policy and target.
    async fn open_episode(&self, intent: EpisodeIntent) -> Result<Episode, StoreError>;

    /// Applies one change to an episode whose version is still `version`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] if the version is another one or the episode has ended.
    async fn change_episode(
        &self,
        tenant: &TenantId,
        episode: EpisodeId,
        version: i64,
        change: EpisodeChange,
        actor: &Actor,
    ) -> Result<Episode, StoreError>;

    /// One episode.
    async fn episode(&self, tenant: &TenantId, episode: EpisodeId) -> Result<Option<Episode>, StoreError>;

    /// A tenant's episodes, newest first by id.
    async fn episodes(&self, tenant: &TenantId, filter: &EpisodeFilter) -> Result<Vec<Episode>, StoreError>;

    /// The open episodes of a scope's target; without a target, those of [`Target::unknown`].
    async fn open_episodes(&self, scope: &Scope) -> Result<Vec<Episode>, StoreError>;

    /// Work that must be handed on, by action id from behind `after` on; see [`Due`].
    async fn due(&self, kind: Due, after: ActionId, limit: usize) -> Result<Vec<Action>, StoreError>;

    /// All policies of all tenants, with the generation that any change of them raises.
    async fn policies(&self) -> Result<PolicyTable, StoreError>;

    /// The generation of what replicas follow: cheap enough to ask every second.
    async fn generation(&self, of: Followed) -> Result<i64, StoreError>;

    /// Waits until the generation is another one than `seen`, on whatever replica it was changed, and answers it. Learns of
    /// a change in well under a second. May wait for ever: drop it to stop waiting.
    async fn watch(&self, of: Followed, seen: i64) -> Result<i64, StoreError>;

    /// Writes and removes policies of one tenant, all or none; answers the new generation, which is also the revision of
    /// every policy written.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] if a policy that must be absent is there; [`StoreError::Conflict`] if one has another
    /// revision than expected; [`StoreError::NotFound`] if one to remove, or of an expected revision, is not there.
    async fn write_policies(
        &self,
        tenant: &TenantId,
        writes: Vec<PolicyWrite>,
        actor: &Actor,
    ) -> Result<i64, StoreError>;

    /// The brakes that count for a tenant, on or not.
    async fn brake(&self, tenant: &TenantId) -> Result<Brakes, StoreError>;

    /// Every brake that was ever set, of all tenants.
    async fn brakes(&self) -> Result<Vec<Brake>, StoreError>;

    /// Sets a tenant's brake, whatever it was, and waits for starts that are being committed. Only the default tenant's may
    /// have [`BrakeScope::All`]; another one's stops its own tenant all the same.
    async fn set_brake(&self, tenant: &TenantId, change: BrakeChange, actor: &Actor) -> Result<Brakes, StoreError>;

    /// All API keys of all tenants, the revoked ones included, with the generation that any change of them raises.
    async fn keys(&self) -> Result<KeyTable, StoreError>;

    /// Makes, rotates or revokes a key of a tenant, as [`KeyWrite::apply`] says, and audits it; raises the generation.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] if a new one is there already, of whatever tenant; [`StoreError::NotFound`] if one to change
    /// is not there, is another tenant's, or is revoked.
    async fn write_key(&self, tenant: &TenantId, write: KeyWrite, actor: &Actor) -> Result<ApiKey, StoreError>;

    /// Gives up to `limit` audit entries that have none yet the next sequence numbers, gapless and in order of insertion,
    /// and answers them. Callers on several replicas take turns.
    async fn sequence_audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError>;

    /// Adds an entry about something that happens outside the Store.
    async fn note(&self, tenant: &TenantId, note: Note, actor: &Actor) -> Result<(), StoreError>;

    /// A tenant's sequenced audit entries in order of their sequence.
    async fn audit(&self, tenant: &TenantId, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError>;

    /// Up to `limit` sequenced entries of all tenants with a greater sequence than `after`, in its order: for the loop that tells
    /// of them. None is ever seen before one with a smaller sequence.
    async fn audit_news(&self, after: i64, limit: usize) -> Result<Vec<AuditEntry>, StoreError>;

    /// The last sequence that was given, 0 if none was.
    async fn audit_head(&self) -> Result<i64, StoreError>;

    /// Removes samples received before `metrics` (or keeps them up to a day longer, to drop them in one piece), and final actions, ended episodes and audit entries from before
    /// `history`. Actions that occupy their target or await their verification stay, and so do entries without a sequence, and
    /// actions of policies until [`PolicySpec::MAX_COOLDOWN`] has passed since their creation: a cooldown is judged by them.
    /// Bounded per call; answers how many rows went, 0 when nothing is left to remove.
    async fn prune(&self, metrics: Timestamp, history: Timestamp) -> Result<u64, StoreError>;

    /// Whether the Store can serve now.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// The latest time at which a scope can rightly be due next, for implementations of [`Store::claim_scopes`]: one that is due
/// later was handed out while the clock was ahead, and is due now.
pub fn latest_due(now: Timestamp, every: Duration) -> Timestamp {
    now + every * 2 + Metric::CLOCK_TOLERANCE
}

/// What every replica keeps a copy of and follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Followed {
    /// The policies of all tenants.
    Policies,
    /// The API keys of all tenants.
    Keys,
}

impl Followed {
    /// The name under which a Store keeps the generation.
    pub const fn counter(self) -> &'static str {
        match self {
            Self::Policies => "policy_generation",
            Self::Keys => "key_generation",
        }
    }
}

/// What a snapshot is of: the series of one target, or those without one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Whose.
    pub tenant: TenantId,
    /// Which target; `None` for series that name none.
    pub target: Option<Target>,
}

impl Scope {
    /// The scope of a target. The samples of [`Target::unknown`] are those that name none.
    pub fn of(tenant: &TenantId, target: &Target) -> Self {
        Self { tenant: tenant.clone(), target: Some(target.clone()).filter(|target| !target.is_unknown()) }
    }

    /// The target that its episodes are on.
    pub fn acting_on(&self) -> Target {
        self.target.clone().unwrap_or_else(Target::unknown)
    }
}

/// A client's promise that a request is the same one as before when its key is. Kept for 24 hours, for each tenant, and
/// apart for samples and actions. A request that was refused leaves its key unused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Idempotency {
    /// The client's key.
    pub key: String,
    /// A digest of the request, to notice a key used for another one.
    pub fingerprint: String,
}

/// How long an [`Idempotency`] key is kept.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Samples to be committed together.
#[derive(Debug, Clone)]
pub struct MetricBatch {
    /// Whose; every metric carries the same tenant.
    pub tenant: TenantId,
    /// The samples.
    pub metrics: Vec<Metric>,
    /// The client's key, if it sent one.
    pub idempotency: Option<Idempotency>,
}

/// What became of a [`MetricBatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// One id a sample, in their order.
    pub ids: Vec<MetricId>,
    /// Whether this is the answer to an earlier request with the same key; then nothing was written.
    pub replayed: bool,
}

/// How things stand between a policy and a target.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The Store's clock.
    pub now: Timestamp,
    /// The open episode.
    pub episode: Option<Episode>,
    /// The newest managed action of the policy on the target, by `started_at`.
    pub last_action: Option<Action>,
    /// A managed action on the target that is pending, running or occupying.
    pub busy: Option<ActionId>,
    /// The latest [`Action::settled_at`] of the managed actions on the target, whichever policy they are of.
    pub settled_at: Option<Timestamp>,
    /// The brake that is on for the tenant.
    pub braked: Option<Braked>,
    /// When the tenant may have its next action, if it has had as many within the last [`MINUTE`] as were asked about.
    pub rate_limited: Option<Timestamp>,
}

/// Which work [`Store::due`] hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Due {
    /// Managed actions that a worker must see: pending ones whose `not_before` has come, and running ones that are not
    /// indeterminate and not leased ([`Action::is_leased`]).
    Delivery,
    /// Actions awaiting verification whose `verify_after` has come, and indeterminate ones without a condition whose
    /// `deadline` has passed. Handing one out hides it from other callers for [`VERIFY_LEASE`].
    Verification,
    /// Final actions (cancelled, or given up on) that still occupy their target although their `deadline` has passed.
    Occupation,
}

/// How long an action handed out for verification is hidden from other callers of [`Store::due`].
pub const VERIFY_LEASE: Duration = Duration::from_secs(2);

/// Which actions to list.
#[derive(Debug, Clone, Default)]
pub struct ActionFilter {
    /// Only with this status.
    pub status: Option<ActionStatus>,
    /// Only on this target.
    pub target: Option<Target>,
    /// Only those older than this (`started_at`, `id`): the end of the page before.
    pub after: Option<(Timestamp, ActionId)>,
    /// At most so many.
    pub limit: usize,
}

/// Which episodes to list.
#[derive(Debug, Clone, Default)]
pub struct EpisodeFilter {
    /// Only in this state.
    pub state: Option<EpisodeState>,
    /// Only of this policy.
    pub policy: Option<PolicyName>,
    /// Only on this target.
    pub target: Option<Target>,
    /// Only those with a smaller id: the end of the page before.
    pub before: Option<EpisodeId>,
    /// At most so many.
    pub limit: usize,
}
