//! [`MemoryStore`]: the whole Store in one process's memory, for tests and programs that need no durability.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use self::state::State;
use super::{
    ActionFilter, ActionIntent, Actor, Admission, AuditEntry, AuditFilter, Brake, BrakeChange, Brakes, Due,
    EpisodeFilter, Followed, Guard, MetricBatch, Note, PolicyTable, PolicyWrite, Range, RangeQuery, Recorded, Scope,
    Series, SeriesFilter, Standing, Store, StoreError,
};
use crate::action::{Action, ActionId, ActionKey, Change};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::episode::{Episode, EpisodeChange, EpisodeId, EpisodeIntent, Resolution};
use crate::key::{ApiKey, KeyTable, KeyWrite};
use crate::metric::{MetricName, Sample};
use crate::policy::PolicyName;
use crate::target::Target;
use crate::tenant::TenantId;

mod actions;
mod admission;
mod audit;
mod episodes;
mod idempotency;
mod keys;
mod policies;
mod range;
mod schedule;
mod series;
mod state;

/// A [`Store`] in memory. Everything is gone when it is dropped; in all else it keeps the whole contract.
///
/// One lock makes every call atomic. Samples are bounded by [`Store::prune`], and by
/// [`SAMPLES_PER_SERIES`](MemoryStore::SAMPLES_PER_SERIES) in between.
#[derive(Debug)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: Notify,
}

impl MemoryStore {
    /// How many samples of one series are kept; beyond that the oldest goes.
    pub const SAMPLES_PER_SERIES: usize = 4096;

    /// An empty Store on the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty Store on a clock of its own.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default(), changed: Notify::new() }
    }

    /// The state, and the time at which it was locked: no call sees an earlier time than the call before it saw.
    fn lock(&self) -> (MutexGuard<'_, State>, Timestamp) {
        let state = self.state.lock().expect("no call panics while it holds the lock");
        let now = self.clock.now();
        (state, now)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn record_metrics(&self, batch: MetricBatch) -> Result<Recorded, StoreError> {
        let (mut state, now) = self.lock();
        state.record_metrics(batch, now)
    }

    async fn snapshot(&self, scope: &Scope, since: Timestamp) -> Result<Vec<Sample>, StoreError> {
        Ok(self.lock().0.series.snapshot(scope, since))
    }

    async fn samples(
        &self,
        scope: &Scope,
        metrics: &[MetricName],
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<Sample>, StoreError> {
        Ok(self.lock().0.series.samples(scope, metrics, since, limit))
    }

    async fn series(&self, tenant: &TenantId, filter: &SeriesFilter) -> Result<Vec<Series>, StoreError> {
        Ok(self.lock().0.series.list(tenant, filter))
    }

    async fn range(&self, tenant: &TenantId, query: &RangeQuery) -> Result<Range, StoreError> {
        Ok(self.lock().0.series.range(tenant, query))
    }

    async fn count_series(&self, tenant: &TenantId, most: usize) -> Result<usize, StoreError> {
        Ok(self.lock().0.series.count(tenant).min(most))
    }

    async fn claim_scopes(&self, every: Duration, limit: usize) -> Result<Vec<Scope>, StoreError> {
        let (mut state, now) = self.lock();
        Ok(state.claim_scopes(every, limit, now))
    }

    async fn admit(&self, intent: ActionIntent, guards: &[Guard]) -> Result<Admission, StoreError> {
        let (mut state, now) = self.lock();
        state.admit(intent, guards, now)
    }

    async fn transition(
        &self,
        action: &ActionKey,
        version: i64,
        change: Change,
        resolve: Option<Resolution>,
        actor: &Actor,
    ) -> Result<Action, StoreError> {
        let (mut state, now) = self.lock();
        state.transition(action, version, &change, resolve, actor, now)
    }

    async fn extend_lease(&self, action: &ActionKey, version: i64, by: Duration) -> Result<(), StoreError> {
        let (mut state, now) = self.lock();
        state.extend_lease(action, version, by, now)
    }

    async fn action(&self, action: &ActionKey) -> Result<Option<Action>, StoreError> {
        Ok(self.lock().0.actions.find(action).cloned())
    }

    async fn actions(&self, tenant: &TenantId, filter: &ActionFilter) -> Result<Vec<Action>, StoreError> {
        Ok(self.lock().0.actions.list(tenant, filter))
    }

    async fn standing(
        &self,
        tenant: &TenantId,
        policy: &PolicyName,
        target: &Target,
        per_minute: Option<NonZeroU32>,
    ) -> Result<Standing, StoreError> {
        let (state, now) = self.lock();
        Ok(Standing {
            now,
            episode: state.episodes.open_one(tenant, policy, target).cloned(),
            last_action: state.actions.last(tenant, policy, target).cloned(),
            busy: state.actions.busy(tenant, target),
            settled_at: state.actions.settled_at(tenant, target),
            braked: state.brakes_of(tenant, now).braked(),
            rate_limited: per_minute.and_then(|max| state.actions.rate_limited(tenant, max, now)),
        })
    }

    async fn open_episode(&self, intent: EpisodeIntent) -> Result<Episode, StoreError> {
        let (mut state, now) = self.lock();
        Ok(state.open_episode(intent, now))
    }

    async fn change_episode(
        &self,
        tenant: &TenantId,
        episode: EpisodeId,
        version: i64,
        change: EpisodeChange,
        actor: &Actor,
    ) -> Result<Episode, StoreError> {
        let (mut state, now) = self.lock();
        state.change_episode(tenant, episode, version, &change, actor, now)
    }

    async fn episode(&self, tenant: &TenantId, episode: EpisodeId) -> Result<Option<Episode>, StoreError> {
        Ok(self.lock().0.episodes.find(tenant, episode).cloned())
    }

    async fn episodes(&self, tenant: &TenantId, filter: &EpisodeFilter) -> Result<Vec<Episode>, StoreError> {
        Ok(self.lock().0.episodes.list(tenant, filter))
    }

    async fn open_episodes(&self, scope: &Scope) -> Result<Vec<Episode>, StoreError> {
        Ok(self.lock().0.episodes.open_of(scope))
    }

    async fn due(&self, kind: Due, after: ActionId, limit: usize) -> Result<Vec<Action>, StoreError> {
        let (mut state, now) = self.lock();
        Ok(state.actions.due(kind, after, limit, now))
    }

    async fn policies(&self) -> Result<PolicyTable, StoreError> {
        Ok(self.lock().0.policies.table())
    }

    async fn generation(&self, of: Followed) -> Result<i64, StoreError> {
        let (state, _) = self.lock();
        Ok(match of {
            Followed::Policies => state.policies.generation(),
            Followed::Keys => state.keys.generation(),
        })
    }

    async fn write_policies(
        &self,
        tenant: &TenantId,
        writes: Vec<PolicyWrite>,
        actor: &Actor,
    ) -> Result<i64, StoreError> {
        let (mut state, now) = self.lock();
        let generation = state.write_policies(tenant, writes, actor, now)?;
        drop(state);
        self.changed.notify_waiters();
        Ok(generation)
    }

    async fn keys(&self) -> Result<KeyTable, StoreError> {
        Ok(self.lock().0.keys.table())
    }

    async fn write_key(&self, tenant: &TenantId, write: KeyWrite, actor: &Actor) -> Result<ApiKey, StoreError> {
        let (mut state, now) = self.lock();
        let key = state.write_key(tenant, &write, actor, now)?;
        drop(state);
        self.changed.notify_waiters();
        Ok(key)
    }

    async fn watch(&self, of: Followed, seen: i64) -> Result<i64, StoreError> {
        loop {
            // Made before the look, so that no change can fall between the look and the wait.
            let changed = self.changed.notified();
            let generation = self.generation(of).await?;
            if generation != seen {
                return Ok(generation);
            }
            changed.await;
        }
    }

    async fn brake(&self, tenant: &TenantId) -> Result<Brakes, StoreError> {
        let (state, now) = self.lock();
        Ok(state.brakes_of(tenant, now))
    }

    async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        Ok(self.lock().0.brakes.values().cloned().collect())
    }

    async fn set_brake(&self, tenant: &TenantId, change: BrakeChange, actor: &Actor) -> Result<Brakes, StoreError> {
        let (mut state, now) = self.lock();
        Ok(state.set_brake(tenant, change, actor, now))
    }

    async fn sequence_audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(self.lock().0.audit.sequence(limit))
    }

    async fn note(&self, tenant: &TenantId, note: Note, actor: &Actor) -> Result<(), StoreError> {
        let (mut state, now) = self.lock();
        state.audit.add(AuditEntry::noted(tenant, note, actor, now));
        Ok(())
    }

    async fn audit(&self, tenant: &TenantId, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(self.lock().0.audit.list(tenant, filter))
    }

    async fn audit_news(&self, after: i64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(self.lock().0.audit.news(after, limit))
    }

    async fn audit_head(&self) -> Result<i64, StoreError> {
        Ok(self.lock().0.audit.head())
    }

    async fn prune(&self, metrics: Timestamp, history: Timestamp) -> Result<u64, StoreError> {
        let (mut state, now) = self.lock();
        Ok(state.prune(metrics, history, now))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
