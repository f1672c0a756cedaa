//! [`State`]: all tables, and the calls that touch more than one of them. Each call checks everything before it writes
//! anything, so that an error leaves no trace.

use std::collections::BTreeMap;
use std::time::Duration;

use super::actions::ActionTable;
use super::audit::AuditLog;
use super::episodes::EpisodeTable;
use super::idempotency::{Answers, Earlier};
use super::keys::KeyRows;
use super::policies::PolicyRows;
use super::schedule::Schedule;
use super::series::SeriesTable;
use crate::action::{Action, ActionKey, Change};
use crate::clock::Timestamp;
use crate::episode::{Episode, EpisodeChange, EpisodeId, EpisodeIntent, Resolution};
use crate::key::{ApiKey, KeyWrite};
use crate::metric::MetricId;
use crate::policy::PolicySpec;
use crate::store::{
    Actor, AuditEntry, Brake, BrakeChange, Braked, Brakes, MetricBatch, PolicyWrite, Recorded, Scope, StoreError,
};
use crate::tenant::TenantId;

#[derive(Debug, Default)]
pub(super) struct State {
    last_id: i64,
    pub(super) series: SeriesTable,
    schedule: Schedule,
    pub(super) actions: ActionTable,
    pub(super) episodes: EpisodeTable,
    pub(super) policies: PolicyRows,
    pub(super) keys: KeyRows,
    pub(super) audit: AuditLog,
    pub(super) brakes: BTreeMap<TenantId, Brake>,
    pub(super) recorded: Answers<Vec<MetricId>>,
    pub(super) admitted: Answers<Action>,
}

impl State {
    /// How many rows one call of [`prune`](Self::prune) removes at most.
    const PRUNED_AT_ONCE: usize = 10_000;

    pub(super) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn record_metrics(&mut self, batch: MetricBatch, now: Timestamp) -> Result<Recorded, StoreError> {
        if let Earlier::Same(ids) = self.recorded.earlier(&batch.tenant, batch.idempotency.as_ref(), now)? {
            return Ok(Recorded { ids, replayed: true });
        }
        let mut ids = Vec::with_capacity(batch.metrics.len());
        for metric in batch.metrics {
            ids.push(MetricId(self.next_id()));
            let scope = Scope { tenant: metric.tenant.clone(), target: metric.target.clone() };
            self.schedule.add(&scope, now);
            self.series.record(scope, metric);
        }
        self.recorded.keep(&batch.tenant, batch.idempotency, || ids.clone(), now);
        Ok(Recorded { ids, replayed: false })
    }

    pub(super) fn claim_scopes(&mut self, every: Duration, limit: usize, now: Timestamp) -> Vec<Scope> {
        let Self { schedule, series, episodes, .. } = self;
        schedule.claim(every, limit, now, |scope| series.has(scope) || episodes.has_open(scope))
    }

    pub(super) fn transition(
        &mut self,
        key: &ActionKey,
        version: i64,
        change: &Change,
        resolve: Option<Resolution>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Action, StoreError> {
        let before = self.action_at(key, version)?.clone();
        let after = before.apply(change, now)?;
        if change.begins_attempt()
            && let Some(Braked { until }) = self.brakes_of(&key.tenant, now).braked()
        {
            return Err(StoreError::Braked { until });
        }
        if let Some((policy, revision)) = change.required_policy() {
            let stored = self.policies.find(&key.tenant, policy);
            if !stored.is_some_and(|stored| stored.is_in_force(*revision)) {
                return Err(StoreError::PolicyChanged(policy.clone()));
            }
        }
        if after.occupies
            && !before.occupies
            && let Some(by) = self.actions.occupant(&after.tenant, &after.target)
        {
            return Err(StoreError::Occupied { by });
        }
        self.audit.add(AuditEntry::changed(&before, &after, change, actor, now));
        self.actions.put(after.clone());
        if let (Some(resolution), Some(episode)) = (resolve, after.episode)
            && let Some(episode) = self.episodes.find(&after.tenant, episode).cloned()
        {
            // An episode that has ended already stays as it is.
            self.apply_to_episode(&episode, &EpisodeChange::Resolve { resolution }, actor, now);
        }
        Ok(after)
    }

    /// The brakes that count for a tenant.
    pub(super) fn brakes_of(&self, tenant: &TenantId, now: Timestamp) -> Brakes {
        Brakes::of(
            tenant,
            [tenant, &TenantId::default()].into_iter().filter_map(|of| self.brakes.get(of)).cloned(),
            now,
        )
    }

    pub(super) fn set_brake(
        &mut self,
        tenant: &TenantId,
        change: BrakeChange,
        actor: &Actor,
        now: Timestamp,
    ) -> Brakes {
        let brake = change.apply(tenant, actor, now);
        self.audit.add(AuditEntry::brake(&brake));
        self.brakes.insert(tenant.clone(), brake);
        self.brakes_of(tenant, now)
    }

    pub(super) fn extend_lease(
        &mut self,
        key: &ActionKey,
        version: i64,
        by: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut action = self.action_at(key, version)?.clone();
        if !action.is_leased(now) {
            return Err(StoreError::Conflict(format!("the lease on action {}", key.id)));
        }
        action.lease_until = Some(now + by);
        self.actions.put(action);
        Ok(())
    }

    fn action_at(&self, key: &ActionKey, version: i64) -> Result<&Action, StoreError> {
        let name = || format!("action {}", key.id);
        let action = self.actions.find(key).ok_or_else(|| StoreError::NotFound(name()))?;
        if action.version == version { Ok(action) } else { Err(StoreError::Conflict(name())) }
    }

    pub(super) fn open_episode(&mut self, intent: EpisodeIntent, now: Timestamp) -> Episode {
        if let Some(open) = self.episodes.open_one(&intent.tenant, &intent.policy, &intent.target) {
            return open.clone();
        }
        let episode = Episode::open(EpisodeId(self.next_id()), intent, now);
        self.audit.add(AuditEntry::opened(&episode, &Actor::new("controller"), now));
        self.schedule.add(&Scope::of(&episode.tenant, &episode.target), now);
        self.episodes.put(episode.clone());
        episode
    }

    pub(super) fn change_episode(
        &mut self,
        tenant: &TenantId,
        id: EpisodeId,
        version: i64,
        change: &EpisodeChange,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Episode, StoreError> {
        let name = || format!("episode {id}");
        let episode = self.episodes.find(tenant, id).cloned().ok_or_else(|| StoreError::NotFound(name()))?;
        if episode.version != version {
            return Err(StoreError::Conflict(name()));
        }
        self.apply_to_episode(&episode, change, actor, now).ok_or_else(|| StoreError::Conflict(name()))
    }

    /// Writes the changed episode and its audit; `None` if it has ended.
    pub(super) fn apply_to_episode(
        &mut self,
        before: &Episode,
        change: &EpisodeChange,
        actor: &Actor,
        now: Timestamp,
    ) -> Option<Episode> {
        let after = before.apply(change, now)?;
        if let Some(entry) = AuditEntry::episode_changed(before, &after, change, actor, now) {
            self.audit.add(entry);
        }
        self.episodes.put(after.clone());
        Some(after)
    }

    pub(super) fn write_policies(
        &mut self,
        tenant: &TenantId,
        writes: Vec<PolicyWrite>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        for entry in self.policies.write(tenant, writes, actor, now)? {
            self.audit.add(entry);
        }
        Ok(self.policies.generation())
    }

    pub(super) fn write_key(
        &mut self,
        tenant: &TenantId,
        write: &KeyWrite,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<ApiKey, StoreError> {
        let key = self.keys.write(tenant, write, now)?;
        self.audit.add(AuditEntry::key(&key, write.kind(), actor, now));
        Ok(key)
    }

    pub(super) fn prune(&mut self, metrics: Timestamp, history: Timestamp, now: Timestamp) -> u64 {
        let mut left = Self::PRUNED_AT_ONCE;
        left -= self.series.prune(metrics, left);
        left -= self.actions.prune(history, now - PolicySpec::MAX_COOLDOWN, left);
        left -= self.episodes.prune(history, left);
        left -= self.audit.prune(history, left);
        (Self::PRUNED_AT_ONCE - left) as u64
    }
}
