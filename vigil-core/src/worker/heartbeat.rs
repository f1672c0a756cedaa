//! [`Heartbeat`]: keeps the queue's and the Store's lease alive while the executor works.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::action::ActionKey;
use crate::context::{Context, chain};
use crate::queue::Claim;

/// Extends the lease of one claim, and of the action that the executor holds under it.
#[derive(Debug)]
pub(super) struct Heartbeat {
    context: Arc<Context>,
    claim: Claim,
    held: Mutex<Option<(ActionKey, i64)>>,
}

impl Heartbeat {
    pub(super) fn new(context: Arc<Context>, claim: Claim) -> Self {
        Self { context, claim, held: Mutex::new(None) }
    }

    /// From now on the action's lease, under this version, is extended too; `None`: no longer.
    pub(super) fn hold(&self, action: Option<(ActionKey, i64)>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = action;
    }

    /// Beats until dropped. A lease that is lost is not fought for: the compare-and-set that records the outcome decides.
    pub(super) async fn beat(&self) -> Infallible {
        // Side by side: a queue that does not answer must not cost the action its lease.
        tokio::select! {
            never = self.beat_queue() => never,
            never = self.beat_store() => never,
        }
    }

    async fn beat_queue(&self) -> Infallible {
        let mut ticks = self.ticks().await;
        loop {
            ticks.tick().await;
            if let Err(error) = self.context.queue.extend(&self.claim, self.context.settings.lease).await {
                tracing::warn!(action_id = %self.claim.task.action_id, error = chain(&error), "the task's lease was not extended");
            }
        }
    }

    async fn beat_store(&self) -> Infallible {
        let mut ticks = self.ticks().await;
        loop {
            ticks.tick().await;
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((action, version)) = held
                && let Err(error) = self.context.store.extend_lease(&action, version, self.context.settings.lease).await
            {
                tracing::warn!(action_id = %action.id, error = chain(&error), "the action's lease was not extended");
            }
        }
    }

    /// The first beat is an interval away.
    async fn ticks(&self) -> Interval {
        let mut ticks = interval(self.context.settings.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        ticks
    }
}
