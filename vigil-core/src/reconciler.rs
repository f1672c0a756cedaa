//! The reconciler: picks up what fell between two steps. The Store says what is due, the queue only forgets.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::action::{Action, ActionId, ActionKey, Change};
use crate::context::{Context, chain};
use crate::events::Event;
use crate::store::{Actor, Due, StoreError};

/// How many rows are looked at in one go.
const BATCH: usize = 500;
/// How often old rows are removed.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);

/// The last depths of the queue, one per reconciler tick, for charts.
#[derive(Debug, Default)]
pub(crate) struct DepthHistory(Mutex<VecDeque<u64>>);

impl DepthHistory {
    /// How many depths are kept.
    const LENGTH: usize = 60;

    fn push(&self, depth: u64) {
        let mut depths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if depths.len() == Self::LENGTH {
            depths.pop_front();
        }
        depths.push_back(depth);
    }

    pub(crate) fn to_vec(&self) -> Vec<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// Reconciles again and again until the token is cancelled. Every step is independent: one that fails is logged and done
/// again at the next tick.
pub(crate) async fn reconcile(context: Arc<Context>, history: Arc<DepthHistory>, token: CancellationToken) {
    let reconciler = Reconciler { context, history, actor: Actor::new("reconciler") };
    let mut ticks = interval(reconciler.context.settings.reconcile_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pruned: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            _ = ticks.tick() => reconciler.tick().await,
        }
        if pruned.is_none_or(|at| at.elapsed() >= PRUNE_INTERVAL) {
            pruned = Some(Instant::now());
            reconciler.report("old rows could not be removed", reconciler.prune(&token).await);
        }
    }
}

struct Reconciler {
    context: Arc<Context>,
    history: Arc<DepthHistory>,
    actor: Actor,
}

impl Reconciler {
    async fn tick(&self) {
        // First what needs the Store alone: a queue that does not answer may hold up the rest.
        self.report("occupied targets could not be freed", self.free().await);
        self.report("the brakes cannot be read", self.context.look_at_brakes().await);
        if let Err(error) = self.context.queue.rescue(BATCH).await {
            tracing::error!(error = chain(&error), "tasks whose lease ran out could not be rescued");
        }
        let delivered = self.deliver().await;
        self.context.telemetry.backend_up("store", delivered.is_ok());
        self.report("due actions could not be handed to the queue", delivered);
        let stats = self.context.queue.stats().await;
        self.context.telemetry.backend_up("queue", stats.is_ok());
        match stats {
            Ok(stats) => {
                self.context.telemetry.queue_length(stats.ready);
                self.context.telemetry.dead_letters(stats.dead);
                self.history.push(stats.ready);
                self.context.events.send(Event::Queue(stats));
            }
            Err(error) => tracing::error!(error = chain(&error), "the queue's statistics cannot be read"),
        }
    }

    fn report(&self, what: &str, result: Result<(), StoreError>) {
        if let Err(error) = result {
            tracing::error!(error = chain(&error), "{what}");
        }
    }

    /// Gives every due action without a task a new one.
    async fn deliver(&self) -> Result<(), StoreError> {
        let mut after = ActionId(0);
        loop {
            let due = self.context.store.due(Due::Delivery, after, BATCH).await?;
            let Some(last) = due.last() else { return Ok(()) };
            after = last.id;
            let mut by_key: HashMap<ActionKey, &Action> = due.iter().map(|action| (action.key(), action)).collect();
            let keys: Vec<ActionKey> = due.iter().map(Action::key).collect();
            let missing = match self.context.queue.missing(&keys).await {
                Ok(missing) => missing,
                Err(error) => {
                    tracing::error!(error = chain(&error), "the queue cannot be compared with the store");
                    return Ok(());
                }
            };
            for action in missing.iter().filter_map(|key| by_key.remove(key)) {
                if let Err(error) = self.context.try_enqueue(action).await {
                    tracing::error!(error = chain(&error), "the queue did not take a task");
                    return Ok(());
                }
                tracing::info!(action_id = %action.id, target = %action.target, status = %action.status, "action handed to the queue again");
            }
            if due.len() < BATCH {
                return Ok(());
            }
        }
    }

    /// Frees the targets of actions that were called off or given up, and of whose attempt nobody will report any more.
    async fn free(&self) -> Result<(), StoreError> {
        for action in self.context.store.due(Due::Occupation, ActionId(0), BATCH).await? {
            let change = Change::Release { report: "the attempt's deadline has passed without a report".to_owned() };
            match self.context.store.transition(&action.key(), action.version, change, None, &self.actor).await {
                Ok(freed) => self.context.announce(freed),
                Err(StoreError::Conflict(_) | StoreError::Illegal(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn prune(&self, token: &CancellationToken) -> Result<(), StoreError> {
        let settings = &self.context.settings;
        let now = self.context.store.now().await?;
        let (metrics, history) = (now - settings.metric_retention, now - settings.history_retention);
        let mut removed = 0;
        loop {
            let rows = self.context.store.prune(metrics, history).await?;
            removed += rows;
            if rows == 0 || token.is_cancelled() {
                break;
            }
        }
        if removed > 0 {
            tracing::info!(rows = removed, "old rows removed");
        }
        Ok(())
    }
}
