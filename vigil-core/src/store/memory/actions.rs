//! [`ActionTable`]: the actions, with the indexes that every question about them needs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::ops::Bound;

use crate::action::{Action, ActionId, ActionKey, ActionStatus, Verification};
use crate::clock::Timestamp;
use crate::policy::PolicyName;
use crate::store::{ActionFilter, Due, MINUTE, VERIFY_LEASE};
use crate::target::Target;
use crate::tenant::TenantId;

#[derive(Debug, Default)]
pub(super) struct ActionTable {
    rows: BTreeMap<ActionId, Action>,
    by_age: HashMap<TenantId, BTreeSet<(Timestamp, ActionId)>>,
    /// Managed actions that something has still to be done about.
    unfinished: BTreeSet<ActionId>,
    /// Managed actions that are pending, running or occupying.
    busy: HashMap<(TenantId, Target), BTreeSet<ActionId>>,
    /// From when on a target shows what was done to it.
    settled: HashMap<(TenantId, Target), Timestamp>,
    /// The managed actions of a policy on a target, the newest last.
    by_policy: HashMap<(TenantId, PolicyName, Target), BTreeSet<(Timestamp, ActionId)>>,
    /// Until when an action handed out for verification is hidden.
    hidden: HashMap<ActionId, Timestamp>,
}

impl ActionTable {
    pub(super) fn find(&self, key: &ActionKey) -> Option<&Action> {
        self.rows.get(&key.id).filter(|action| action.tenant == key.tenant)
    }

    /// Inserts or replaces a row.
    pub(super) fn put(&mut self, action: Action) {
        let (id, age) = (action.id, (action.started_at, action.id));
        self.by_age.entry(action.tenant.clone()).or_default().insert(age);
        if action.managed {
            let place = (action.tenant.clone(), action.target.clone());
            if let Some(settled) = action.settled_at() {
                let latest = self.settled.entry(place.clone()).or_insert(settled);
                *latest = settled.max(*latest);
            }
            if is_busy(&action) {
                self.busy.entry(place).or_default().insert(id);
            } else {
                self.leave(&place, id);
            }
            if let Some(policy) = &action.policy {
                let key = (action.tenant.clone(), policy.clone(), action.target.clone());
                self.by_policy.entry(key).or_default().insert(age);
            }
            if is_busy(&action) || action.verification == Some(Verification::Awaiting) {
                self.unfinished.insert(id);
            } else {
                self.unfinished.remove(&id);
                self.hidden.remove(&id);
            }
        }
        self.rows.insert(id, action);
    }

    fn leave(&mut self, place: &(TenantId, Target), id: ActionId) {
        if let Some(busy) = self.busy.get_mut(place) {
            busy.remove(&id);
            if busy.is_empty() {
                self.busy.remove(place);
            }
        }
    }

    /// The action in flight on a target.
    pub(super) fn occupant(&self, tenant: &TenantId, target: &Target) -> Option<ActionId> {
        self.busy_on(tenant, target).find(|action| action.occupies).map(|action| action.id)
    }

    /// A managed action that is pending, running or occupying on a target; the one in flight before all others.
    pub(super) fn busy(&self, tenant: &TenantId, target: &Target) -> Option<ActionId> {
        self.occupant(tenant, target).or_else(|| self.busy_on(tenant, target).next().map(|action| action.id))
    }

    fn busy_on(&self, tenant: &TenantId, target: &Target) -> impl Iterator<Item = &Action> {
        let ids = self.busy.get(&(tenant.clone(), target.clone()));
        ids.into_iter().flatten().filter_map(|id| self.rows.get(id))
    }

    /// The latest [`Action::settled_at`] of the managed actions on a target.
    pub(super) fn settled_at(&self, tenant: &TenantId, target: &Target) -> Option<Timestamp> {
        self.settled.get(&(tenant.clone(), target.clone())).copied()
    }

    /// The newest managed action of a policy on a target.
    pub(super) fn last(&self, tenant: &TenantId, policy: &PolicyName, target: &Target) -> Option<&Action> {
        let (_, id) = self.by_policy.get(&(tenant.clone(), policy.clone(), target.clone()))?.last()?;
        self.rows.get(id)
    }

    /// When a tenant may have its next action, if it has had `per_minute` of them within the last minute.
    pub(super) fn rate_limited(&self, tenant: &TenantId, per_minute: NonZeroU32, now: Timestamp) -> Option<Timestamp> {
        let ages = self.by_age.get(tenant)?.iter().rev().take_while(|(at, _)| now < *at + MINUTE);
        let managed = ages.filter(|(_, id)| self.rows.get(id).is_some_and(|action| action.managed));
        managed.map(|(at, _)| *at + MINUTE).nth(per_minute.get() as usize - 1)
    }

    pub(super) fn list(&self, tenant: &TenantId, filter: &ActionFilter) -> Vec<Action> {
        let Some(ages) = self.by_age.get(tenant) else { return Vec::new() };
        let older = filter.after.map_or(Bound::Unbounded, Bound::Excluded);
        ages.range((Bound::Unbounded, older))
            .rev()
            .filter_map(|(_, id)| self.rows.get(id))
            .filter(|action| filter.status.is_none_or(|status| action.status == status))
            .filter(|action| filter.target.as_ref().is_none_or(|target| action.target == *target))
            .take(filter.limit)
            .cloned()
            .collect()
    }

    pub(super) fn due(&mut self, kind: Due, after: ActionId, limit: usize, now: Timestamp) -> Vec<Action> {
        let unfinished = self.unfinished.range((Bound::Excluded(after), Bound::Unbounded));
        let due: Vec<Action> = unfinished
            .filter_map(|id| self.rows.get(id))
            .filter(|action| is_due(action, kind, now))
            .filter(|action| kind != Due::Verification || self.hidden.get(&action.id).is_none_or(|until| *until <= now))
            .take(limit)
            .cloned()
            .collect();
        if kind == Due::Verification {
            self.hidden.extend(due.iter().map(|action| (action.id, now + VERIFY_LEASE)));
        }
        due
    }

    /// Removes up to `limit` finished actions that ended before `history`.
    /// Removes what was final before `history`, and of policies only what was created before `cooldown`.
    pub(super) fn prune(&mut self, history: Timestamp, cooldown: Timestamp, limit: usize) -> usize {
        let old = |action: &&Action| {
            action.completed_at.is_some_and(|at| at < history)
                && (action.policy.is_none() || action.started_at < cooldown)
        };
        let finished = self.rows.values().filter(old).filter(|action| !self.unfinished.contains(&action.id));
        let gone: Vec<ActionId> = finished.take(limit).map(|action| action.id).collect();
        self.settled.retain(|_, settled| *settled >= history);
        for id in &gone {
            let Some(action) = self.rows.remove(id) else { continue };
            let age = (action.started_at, action.id);
            if let Some(ages) = self.by_age.get_mut(&action.tenant) {
                ages.remove(&age);
            }
            if let Some(policy) = action.policy {
                let key = (action.tenant, policy, action.target);
                if let Some(ages) = self.by_policy.get_mut(&key) {
                    ages.remove(&age);
                    if ages.is_empty() {
                        self.by_policy.remove(&key);
                    }
                }
            }
        }
        gone.len()
    }
}

fn is_busy(action: &Action) -> bool {
    !action.status.is_final() || action.occupies
}

fn is_due(action: &Action, kind: Due, now: Timestamp) -> bool {
    let passed = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
    match kind {
        Due::Delivery => match action.status {
            ActionStatus::Pending => action.not_before <= now,
            ActionStatus::Running => action.indeterminate_at.is_none() && !action.is_leased(now),
            _ => false,
        },
        Due::Verification if action.verification == Some(Verification::Awaiting) => passed(action.verify_after),
        Due::Verification => {
            let indeterminate = action.status == ActionStatus::Running && action.indeterminate_at.is_some();
            indeterminate && action.condition.is_none() && passed(action.deadline)
        }
        Due::Occupation => action.status.is_final() && action.occupies && passed(action.deadline),
    }
}
