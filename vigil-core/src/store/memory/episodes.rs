//! [`EpisodeTable`]: the episodes, at most one of them open per (tenant, policy, target).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use crate::clock::Timestamp;
use crate::episode::{Episode, EpisodeId};
use crate::policy::PolicyName;
use crate::store::{EpisodeFilter, Scope};
use crate::target::Target;
use crate::tenant::TenantId;

#[derive(Debug, Default)]
pub(super) struct EpisodeTable {
    rows: BTreeMap<EpisodeId, Episode>,
    by_tenant: HashMap<TenantId, BTreeSet<EpisodeId>>,
    open_by_scope: HashMap<Scope, BTreeSet<EpisodeId>>,
    open_by_key: HashMap<(TenantId, PolicyName, Target), EpisodeId>,
}

impl EpisodeTable {
    pub(super) fn find(&self, tenant: &TenantId, id: EpisodeId) -> Option<&Episode> {
        self.rows.get(&id).filter(|episode| episode.tenant == *tenant)
    }

    pub(super) fn open_one(&self, tenant: &TenantId, policy: &PolicyName, target: &Target) -> Option<&Episode> {
        let id = self.open_by_key.get(&(tenant.clone(), policy.clone(), target.clone()))?;
        self.rows.get(id)
    }

    /// Inserts or replaces a row.
    pub(super) fn put(&mut self, episode: Episode) {
        let id = episode.id;
        let key = (episode.tenant.clone(), episode.policy.clone(), episode.target.clone());
        self.by_tenant.entry(episode.tenant.clone()).or_default().insert(id);
        let scope = Scope::of(&episode.tenant, &episode.target);
        if episode.is_open() {
            self.open_by_scope.entry(scope).or_default().insert(id);
            self.open_by_key.insert(key, id);
        } else if self.open_by_key.get(&key) == Some(&id) {
            self.open_by_key.remove(&key);
            if let Some(ids) = self.open_by_scope.get_mut(&scope) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.open_by_scope.remove(&scope);
                }
            }
        }
        self.rows.insert(id, episode);
    }

    pub(super) fn list(&self, tenant: &TenantId, filter: &EpisodeFilter) -> Vec<Episode> {
        let Some(ids) = self.by_tenant.get(tenant) else { return Vec::new() };
        let before = filter.before.map_or(Bound::Unbounded, Bound::Excluded);
        ids.range((Bound::Unbounded, before))
            .rev()
            .filter_map(|id| self.rows.get(id))
            .filter(|episode| filter.state.is_none_or(|state| episode.state == state))
            .filter(|episode| filter.policy.as_ref().is_none_or(|policy| episode.policy == *policy))
            .filter(|episode| filter.target.as_ref().is_none_or(|target| episode.target == *target))
            .take(filter.limit)
            .cloned()
            .collect()
    }

    pub(super) fn open_of(&self, scope: &Scope) -> Vec<Episode> {
        let ids = self.open_by_scope.get(scope).into_iter().flatten();
        ids.filter_map(|id| self.rows.get(id)).cloned().collect()
    }

    pub(super) fn has_open(&self, scope: &Scope) -> bool {
        self.open_by_scope.contains_key(scope)
    }

    /// Removes up to `limit` episodes that ended before `history`.
    pub(super) fn prune(&mut self, history: Timestamp, limit: usize) -> usize {
        let old = |episode: &&Episode| episode.resolved_at.is_some_and(|at| at < history);
        let gone: Vec<EpisodeId> = self.rows.values().filter(old).take(limit).map(|episode| episode.id).collect();
        for id in &gone {
            if let Some(episode) = self.rows.remove(id)
                && let Some(ids) = self.by_tenant.get_mut(&episode.tenant)
            {
                ids.remove(id);
            }
        }
        gone.len()
    }
}
