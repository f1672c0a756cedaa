//! [`FaultyStore`]: a Store that goes wrong where you say.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Faults;
use crate::action::{Action, ActionId, ActionKey, Change};
use crate::clock::Timestamp;
use crate::episode::{Episode, EpisodeChange, EpisodeId, EpisodeIntent, Resolution};
use crate::key::{ApiKey, KeyTable, KeyWrite};
use crate::metric::{MetricName, Sample};
use crate::policy::PolicyName;
use crate::store::{
    ActionFilter, ActionIntent, Actor, Admission, AuditEntry, AuditFilter, Brake, BrakeChange, Brakes, Due,
    EpisodeFilter, Followed, Guard, MetricBatch, Note, PolicyTable, PolicyWrite, Range, RangeQuery, Recorded, Scope,
    Series, SeriesFilter, Standing, Store, StoreError,
};
use crate::target::Target;
use crate::tenant::TenantId;

/// Wraps a Store; its [`faults`](FaultyStore::faults) decide which calls go wrong, and how.
///
/// ```
/// # use std::sync::Arc;
/// # use vigil_core::store::{MemoryStore, Store};
/// # use vigil_core::testing::{Effect, Fault, FaultyStore};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = FaultyStore::new(Arc::new(MemoryStore::new()));
/// store.faults().plan("ping", 2, Fault::Fail, Effect::Missing);
/// assert!(store.ping().await.is_ok());
/// assert!(store.ping().await.is_err());
/// assert!(store.ping().await.is_ok());
/// # });
/// ```
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    faults: Faults,
}

impl FaultyStore {
    /// Wraps `inner`; nothing goes wrong yet.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, faults: Faults::default() }
    }

    /// What goes wrong. Methods are named as in the trait: `"admit"`.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    async fn call<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.faults.around(method, StoreError::Unavailable, call).await
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.call("now", self.inner.now()).await
    }

    async fn record_metrics(&self, batch: MetricBatch) -> Result<Recorded, StoreError> {
        self.call("record_metrics", self.inner.record_metrics(batch)).await
    }

    async fn snapshot(&self, scope: &Scope, since: Timestamp) -> Result<Vec<Sample>, StoreError> {
        self.call("snapshot", self.inner.snapshot(scope, since)).await
    }

    async fn samples(
        &self,
        scope: &Scope,
        metrics: &[MetricName],
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<Sample>, StoreError> {
        self.call("samples", self.inner.samples(scope, metrics, since, limit)).await
    }

    async fn series(&self, tenant: &TenantId, filter: &SeriesFilter) -> Result<Vec<Series>, StoreError> {
        self.call("series", self.inner.series(tenant, filter)).await
    }

    async fn range(&self, tenant: &TenantId, query: &RangeQuery) -> Result<Range, StoreError> {
        self.call("range", self.inner.range(tenant, query)).await
    }

    async fn count_series(&self, tenant: &TenantId, most: usize) -> Result<usize, StoreError> {
        self.call("count_series", self.inner.count_series(tenant, most)).await
    }

    async fn claim_scopes(&self, every: Duration, limit: usize) -> Result<Vec<Scope>, StoreError> {
        self.call("claim_scopes", self.inner.claim_scopes(every, limit)).await
    }

    async fn admit(&self, intent: ActionIntent, guards: &[Guard]) -> Result<Admission, StoreError> {
        self.call("admit", self.inner.admit(intent, guards)).await
    }

    async fn transition(
        &self,
        action: &ActionKey,
        version: i64,
        change: Change,
        resolve: Option<Resolution>,
        actor: &Actor,
    ) -> Result<Action, StoreError> {
        self.call("transition", self.inner.transition(action, version, change, resolve, actor)).await
    }

    async fn extend_lease(&self, action: &ActionKey, version: i64, by: Duration) -> Result<(), StoreError> {
        self.call("extend_lease", self.inner.extend_lease(action, version, by)).await
    }

    async fn action(&self, action: &ActionKey) -> Result<Option<Action>, StoreError> {
        self.call("action", self.inner.action(action)).await
    }

    async fn actions(&self, tenant: &TenantId, filter: &ActionFilter) -> Result<Vec<Action>, StoreError> {
        self.call("actions", self.inner.actions(tenant, filter)).await
    }

    async fn standing(
        &self,
        tenant: &TenantId,
        policy: &PolicyName,
        target: &Target,
        per_minute: Option<NonZeroU32>,
    ) -> Result<Standing, StoreError> {
        self.call("standing", self.inner.standing(tenant, policy, target, per_minute)).await
    }

    async fn open_episode(&self, intent: EpisodeIntent) -> Result<Episode, StoreError> {
        self.call("open_episode", self.inner.open_episode(intent)).await
    }

    async fn change_episode(
        &self,
        tenant: &TenantId,
        episode: EpisodeId,
        version: i64,
        change: EpisodeChange,
        actor: &Actor,
    ) -> Result<Episode, StoreError> {
        self.call("change_episode", self.inner.change_episode(tenant, episode, version, change, actor)).await
    }

    async fn episode(&self, tenant: &TenantId, episode: EpisodeId) -> Result<Option<Episode>, StoreError> {
        self.call("episode", self.inner.episode(tenant, episode)).await
    }

    async fn episodes(&self, tenant: &TenantId, filter: &EpisodeFilter) -> Result<Vec<Episode>, StoreError> {
        self.call("episodes", self.inner.episodes(tenant, filter)).await
    }

    async fn open_episodes(&self, scope: &Scope) -> Result<Vec<Episode>, StoreError> {
        self.call("open_episodes", self.inner.open_episodes(scope)).await
    }

    async fn due(&self, kind: Due, after: ActionId, limit: usize) -> Result<Vec<Action>, StoreError> {
        self.call("due", self.inner.due(kind, after, limit)).await
    }

    async fn watch(&self, of: Followed, seen: i64) -> Result<i64, StoreError> {
        self.call("watch", self.inner.watch(of, seen)).await
    }

    async fn policies(&self) -> Result<PolicyTable, StoreError> {
        self.call("policies", self.inner.policies()).await
    }

    async fn generation(&self, of: Followed) -> Result<i64, StoreError> {
        self.call("generation", self.inner.generation(of)).await
    }

    async fn keys(&self) -> Result<KeyTable, StoreError> {
        self.call("keys", self.inner.keys()).await
    }

    async fn write_key(&self, tenant: &TenantId, write: KeyWrite, actor: &Actor) -> Result<ApiKey, StoreError> {
        self.call("write_key", self.inner.write_key(tenant, write, actor)).await
    }

    async fn write_policies(
        &self,
        tenant: &TenantId,
        writes: Vec<PolicyWrite>,
        actor: &Actor,
    ) -> Result<i64, StoreError> {
        self.call("write_policies", self.inner.write_policies(tenant, writes, actor)).await
    }

    async fn brake(&self, tenant: &TenantId) -> Result<Brakes, StoreError> {
        self.call("brake", self.inner.brake(tenant)).await
    }

    async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        self.call("brakes", self.inner.brakes()).await
    }

    async fn set_brake(&self, tenant: &TenantId, change: BrakeChange, actor: &Actor) -> Result<Brakes, StoreError> {
        self.call("set_brake", self.inner.set_brake(tenant, change, actor)).await
    }

    async fn sequence_audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.call("sequence_audit", self.inner.sequence_audit(limit)).await
    }

    async fn note(&self, tenant: &TenantId, note: Note, actor: &Actor) -> Result<(), StoreError> {
        self.call("note", self.inner.note(tenant, note, actor)).await
    }

    async fn audit(&self, tenant: &TenantId, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError> {
        self.call("audit", self.inner.audit(tenant, filter)).await
    }

    async fn audit_news(&self, after: i64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.call("audit_news", self.inner.audit_news(after, limit)).await
    }

    async fn audit_head(&self) -> Result<i64, StoreError> {
        self.call("audit_head", self.inner.audit_head()).await
    }

    async fn prune(&self, metrics: Timestamp, history: Timestamp) -> Result<u64, StoreError> {
        self.call("prune", self.inner.prune(metrics, history)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call("ping", self.inner.ping()).await
    }
}
