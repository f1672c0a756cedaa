//! [`Lanes`]: committed samples on their way to the engine. One target's samples always take the same lane, in order.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::context::{Context, chain};
use crate::controller::Controller;
use crate::metric::Metric;
use crate::policy::Shard;
use crate::store::Scope;

/// Bounded queues in front of the engine. When one is full the target is marked dirty and judged from its stored
/// snapshot: nothing waits, nothing is dropped.
#[derive(Debug)]
pub(crate) struct Lanes(Vec<Lane>);

#[derive(Debug)]
struct Lane {
    sender: mpsc::Sender<Metric>,
    receiver: Mutex<mpsc::Receiver<Metric>>,
    dirty: StdMutex<HashSet<Scope>>,
    marked: Notify,
}

impl Lanes {
    pub(crate) fn new(lanes: usize, capacity: usize) -> Self {
        let lane = || {
            let (sender, receiver) = mpsc::channel(capacity);
            Lane { sender, receiver: Mutex::new(receiver), dirty: StdMutex::default(), marked: Notify::new() }
        };
        Self(std::iter::repeat_with(lane).take(lanes).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Hands a committed sample on. Never waits.
    pub(crate) fn offer(&self, metric: Metric) {
        let scope = Scope { tenant: metric.tenant.clone(), target: metric.target.clone() };
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&scope);
        let lane = &self.0[(hash % self.0.len() as u64) as usize];
        if lane.sender.try_send(metric).is_err() {
            lane.dirty().insert(scope);
            lane.marked.notify_one();
        }
    }

    /// Takes lane `index` until the token is cancelled; what waits in it then is judged by the runner later.
    pub(crate) async fn drive(&self, index: usize, context: &Arc<Context>, token: CancellationToken) {
        let lane = &self.0[index];
        let controller = Controller::new(context.clone());
        let mut receiver = lane.receiver.lock().await;
        let mut shard = Shard::default();
        let mut tidy = interval(context.settings.staleness);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                Some(metric) = receiver.recv() => observe(context, &controller, &mut shard, metric).await,
                () = lane.marked.notified() => {
                    for scope in lane.take_dirty() {
                        judge_all(context, &controller, &scope).await;
                    }
                }
                _ = tidy.tick() => shard.forget(context.clock.now() - context.settings.staleness),
            }
        }
    }
}

impl Lane {
    fn dirty(&self) -> std::sync::MutexGuard<'_, HashSet<Scope>> {
        // A panic while the set was locked leaves it whole: it holds plain values.
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_dirty(&self) -> HashSet<Scope> {
        std::mem::take(&mut self.dirty())
    }
}

/// One sample: who concerns it, and what the controller makes of those that ask for attention.
async fn observe(context: &Arc<Context>, controller: &Controller, shard: &mut Shard, metric: Metric) {
    let set = context.catalog.set();
    let now = context.clock.now();
    if now.since(metric.at) > context.settings.staleness {
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
