//! [`Lanes`]: committed samples on their way to the engine. One target's samples always take the same lane, in order.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::context::{Context, chain};
use crate::controller::Controller;
use crate::metric::Metric;
use crate::policy::Shard;
use crate::store::Scope;
use crate::turns::Turns;

/// Bounded waiting rooms in front of the engine, in which tenants take turns. When one is full, the newest sample of the
/// tenant that has most of them goes: its target is marked dirty and judged from its stored snapshot. Nothing waits, nothing
/// is dropped, and a tenant's storm does not delay the others.
#[derive(Debug)]
pub(crate) struct Lanes(Vec<Lane>);

#[derive(Debug)]
struct Lane {
    capacity: usize,
    room: Mutex<Room>,
    /// Tells the loop that takes this lane.
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Room {
    samples: Turns<Metric>,
    dirty: Turns<Scope>,
    /// Those in `dirty`: each waits there once.
    marked: HashSet<Scope>,
    /// How many samples were taken since the last dirty target.
    taken: u32,
}

/// After so many samples a lane gives way to the other tasks: most are looked at in less time than that takes.
const SAMPLES_A_TURN: u32 = 16;

#[derive(Debug)]
enum Work {
    Sample(Metric),
    Dirty(Scope),
}

impl Lanes {
    pub(crate) fn new(lanes: usize, capacity: usize) -> Self {
        let lane = || Lane { capacity, room: Mutex::default(), arrived: Notify::new() };
        Self(std::iter::repeat_with(lane).take(lanes).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Hands a committed sample on. Never waits.
    pub(crate) fn offer(&self, metric: Metric) {
        let scope = scope_of(&metric);
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&scope);
        let lane = &self.0[(hash % self.0.len() as u64) as usize];
        lane.room().admit(metric, lane.capacity);
        lane.arrived.notify_one();
    }

    /// Takes lane `index` until the token is cancelled; what waits in it then is judged by the runner later.
    pub(crate) async fn drive(&self, index: usize, context: &Arc<Context>, token: CancellationToken) {
        let lane = &self.0[index];
        let controller = Controller::new(context.clone());
        let mut shard = Shard::default();
        let mut tidy = interval(context.settings.staleness);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = 0_u32;
        while !token.is_cancelled() {
            let work = lane.room().next();
            taken = taken.wrapping_add(1);
            match work {
                Some(Work::Sample(metric)) => {
                    observe(context, &controller, &mut shard, metric).await;
                    if !taken.is_multiple_of(SAMPLES_A_TURN) {
                        continue;
                    }
                }
                Some(Work::Dirty(scope)) => judge_all(context, &controller, &scope).await,
                None => {
                    tokio::select! {
                        () = token.cancelled() => return,
                        () = lane.arrived.notified() => {}
                        _ = tidy.tick() => shard.forget(context.clock.now() - context.settings.staleness),
                    }
                    continue;
                }
            }
            // A lane that is never empty gives way to the others, and tidies up all the same.
            tokio::select! {
                biased;
                _ = tidy.tick() => shard.forget(context.clock.now() - context.settings.staleness),
                () = tokio::task::yield_now() => {}
            }
        }
    }
}

impl Lane {
    fn room(&self) -> std::sync::MutexGuard<'_, Room> {
        // A panic while it was locked leaves it whole: nothing in it runs foreign code.
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// So many samples are taken between two dirty targets, while there are both.
    const SAMPLES_PER_DIRTY: u32 = 8;

    fn admit(&mut self, metric: Metric, capacity: usize) {
        self.samples.push(&metric.tenant.clone(), metric);
        if self.samples.len() > capacity
            && let Some(metric) = self.samples.shorten()
        {
            let scope = scope_of(&metric);
            if self.marked.insert(scope.clone()) {
                self.dirty.push(&scope.tenant.clone(), scope);
            }
        }
    }

    fn next(&mut self) -> Option<Work> {
        let dirty_first = self.taken >= Self::SAMPLES_PER_DIRTY || self.samples.len() == 0;
        if dirty_first && let Some(scope) = self.dirty.pop() {
            self.taken = 0;
            self.marked.remove(&scope);
            return Some(Work::Dirty(scope));
        }
        self.taken = self.taken.saturating_add(1);
        self.samples.pop().map(Work::Sample)
    }
}

fn scope_of(metric: &Metric) -> Scope {
    Scope { tenant: metric.tenant.clone(), target: metric.target.clone() }
}

/// One sample: who concerns it, and what the controller makes of those that ask for attention.
async fn observe(context: &Arc<Context>, controller: &Controller, shard: &mut Shard, metric: Metric) {
    let set = context.catalog.set();
    let now = context.clock.now();
    if now.since(metric.at) > context.settings.staleness {
        context.telemetry.stale_samples(1);
        return;
    }
    if metric.at > now + Metric::CLOCK_TOLERANCE {
        tracing::warn!(metric = %metric.name, target = ?metric.target, at = %metric.at, %now,
            "a sample is ahead of the clock; it is not judged");
        context.telemetry.stale_samples(1);
        return;
    }
    let scope = Scope { tenant: metric.tenant.clone(), target: metric.target.clone() };
    for evaluated in shard.observe(&set, &metric, now, context.settings.staleness) {
        let panicked = evaluated.panic.is_some();
        if let Some(panic) = evaluated.panic {
            tracing::error!(policy = %evaluated.policy.name, error = panic, "a condition panicked; its verdict is unknown");
        }
        context.telemetry.evaluated(evaluated.policy.name.as_str(), evaluated.verdict, panicked);
        let Some(trigger) = evaluated.trigger else { continue };
        match controller.judge(&trigger.policy, &trigger.target).await {
            Ok(judgement) => shard.defer(&scope, &trigger, judgement.next_at),
            Err(error) => {
                tracing::error!(policy = %trigger.policy.name, target = %trigger.target, error = chain(&error),
                    "a violation could not be judged; it stays open and is judged again");
                shard.defer(&scope, &trigger, now + Duration::from_secs(1));
            }
        }
    }
}

/// Every policy that judges a scope, from the stored snapshot.
pub(crate) async fn judge_all(context: &Arc<Context>, controller: &Controller, scope: &Scope) {
    for (policy, target) in context.catalog.set().judging(scope) {
        match controller.judge(&policy, &target).await {
            Ok(judgement) => context.telemetry.evaluated(policy.name.as_str(), judgement.verdict, false),
            Err(error) => {
                tracing::error!(policy = %policy.name, target = %target, error = chain(&error), "a target could not be judged");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::TenantId;
    use crate::testing::{metric, tenant};

    fn sample(of: &TenantId, on: &str) -> Metric {
        metric("cpu", 95.0).of(of).on(on).build()
    }

    /// The tenants of what is taken, in order.
    fn taken(room: &mut Room) -> Vec<(TenantId, bool)> {
        std::iter::from_fn(|| room.next())
            .map(|work| match work {
                Work::Sample(metric) => (metric.tenant, true),
                Work::Dirty(scope) => (scope.tenant, false),
            })
            .collect()
    }

    #[test]
    fn a_tenants_storm_delays_a_sample_of_another_by_one_of_its_own() {
        let (storm, quiet, capacity) = (tenant("storm"), tenant("quiet"), 64);
        let mut room = Room::default();
        for n in 0..10_000 {
            room.admit(sample(&storm, &format!("web-{n}")), capacity);
        }
        room.admit(sample(&quiet, "db"), capacity);
        assert_eq!(room.samples.len(), capacity, "memory is bounded");
        let order = taken(&mut room);
        let place = order.iter().position(|(tenant, _)| *tenant == quiet);
        assert_eq!(place, Some(1), "it comes after one sample of the storm");
        assert!(order[1].1, "as a sample, not as a target to be judged later");
        assert_eq!(order.len(), 10_001, "every target of the storm is judged, from its snapshot if need be");
    }

    #[test]
    fn a_target_is_dirty_once_however_many_of_its_samples_had_to_go() {
        let (storm, mut room) = (tenant("storm"), Room::default());
        for _ in 0..1000 {
            room.admit(sample(&storm, "web"), 4);
        }
        let order = taken(&mut room);
        assert_eq!(order.iter().filter(|(_, is_sample)| *is_sample).count(), 4);
        assert_eq!(order.len(), 5);
    }
}
