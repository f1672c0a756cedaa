//! The verifier: fresh metrics prove, or disprove, that an action worked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::action::{Action, ActionId, Change, Verification};
use crate::clock::Timestamp;
use crate::context::{Context, chain};
use crate::controller::Controller;
use crate::episode::Resolution;
use crate::metric::Snapshot;
use crate::policy::{ConditionSpec, Verdict};
use crate::store::{Actor, Due, StoreError};

/// How many actions are looked at in one go.
const BATCH: usize = 100;

/// Looks at the actions that await verification, again and again, until the token is cancelled.
pub(crate) async fn verify(context: Arc<Context>, token: CancellationToken) {
    let verifier = Verifier { controller: Controller::new(context.clone()), context, actor: Actor::new("verifier") };
    let mut ticks = interval(verifier.context.settings.verify_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            _ = ticks.tick() => verifier.sweep().await,
        }
    }
}

struct Verifier {
    context: Arc<Context>,
    controller: Controller,
    actor: Actor,
}

impl Verifier {
    async fn sweep(&self) {
        let due = match self.context.store.due(Due::Verification, ActionId(0), BATCH).await {
            Ok(due) => due,
            Err(error) => {
                return tracing::error!(error = chain(&error), "actions awaiting verification cannot be read");
            }
        };
        for action in due {
            match self.settle(&action).await {
                Ok(()) | Err(StoreError::Conflict(_)) => {}
                Err(error) => {
                    tracing::error!(action_id = %action.id, error = chain(&error), "an action could not be verified");
                }
            }
        }
    }

    async fn settle(&self, action: &Action) -> Result<(), StoreError> {
        let (Some(condition), Some(after)) = (&action.condition, action.verify_after) else {
            return self.give_up(action).await;
        };
        let since = after + std::time::Duration::from_micros(1);
        let set = self.context.catalog.set();
        let policy = action.policy.as_ref().and_then(|name| set.policy(&action.tenant, name));
        let now = self.context.store.now().await?;
        let metrics = self.context.snapshot(&action.tenant, policy.map(|p| &**p), &action.target, since, now).await?;
        match self.verdict(action, condition, &metrics).await? {
            Verdict::Unmet => {
                let details = format!("the condition is no longer met on samples later than {after}");
                self.conclude(action, Verification::Verified, details, Some(Resolution::Verified)).await
            }
            verdict if action.verify_by.is_some_and(|by| now >= by) => self.disprove(action, verdict, after).await,
            Verdict::Met | Verdict::Unknown => Ok(()),
        }
    }

    /// The time for a proof is over. What comes next goes through the episode's gates.
    async fn disprove(&self, action: &Action, verdict: Verdict, after: Timestamp) -> Result<(), StoreError> {
        let (verification, what) = match verdict {
            Verdict::Met => (Verification::Ineffective, "the condition is still met on samples later than"),
            Verdict::Unmet | Verdict::Unknown => {
                (Verification::Inconclusive, "not every violating series has a sample later than")
            }
        };
        self.conclude(action, verification, format!("{what} {after}"), None).await?;
        let set = self.context.catalog.set();
        if let Some(policy) = action.policy.as_ref().and_then(|name| set.policy(&action.tenant, name)) {
            self.controller.judge(policy, &action.target).await?;
        }
        Ok(())
    }

    /// An indeterminate action that nothing verifies: its deadline has passed.
    async fn give_up(&self, action: &Action) -> Result<(), StoreError> {
        let known = action.error.as_deref().unwrap_or("the outcome is unknown");
        let change = Change::Fail { error: format!("{known}; no outcome by the deadline") };
        let failed = self.context.store.transition(&action.key(), action.version, change, None, &self.actor).await?;
        tracing::warn!(action_id = %failed.id, target = %failed.target, "an action whose outcome is unknown failed at its deadline");
        self.context.announce(failed);
        Ok(())
    }

    async fn conclude(
        &self,
        action: &Action,
        verification: Verification,
        details: String,
        resolve: Option<Resolution>,
    ) -> Result<(), StoreError> {
        let change = Change::Verify { verification, details: details.clone() };
        let after = self.context.store.transition(&action.key(), action.version, change, resolve, &self.actor).await?;
        tracing::info!(tenant = %after.tenant, action_id = %after.id, policy = after.policy.as_ref().map(super::policy::PolicyName::as_str),
            target = %after.target, action = %after.action, status = %after.status, verification = %verification,
            reason = details, "action verified");
        // As the Store's clock has it: this process's may be another one.
        if let (Some(ended), Ok(now)) =
            (action.completed_at.or(action.indeterminate_at), self.context.store.now().await)
        {
            self.context.telemetry.verified(verification, now.since(ended));
        }
        self.context.announce(after);
        Ok(())
    }

    /// The condition as it was at admission, over samples taken after the action. It is unmet only if they show every
    /// series of the episode's evidence.
    async fn verdict(
        &self,
        action: &Action,
        condition: &ConditionSpec,
        metrics: &Snapshot,
    ) -> Result<Verdict, StoreError> {
        let Ok(condition) = condition.compile(self.context.catalog.registry()) else { return Ok(Verdict::Unknown) };
        let verdict = catch_unwind(AssertUnwindSafe(|| condition.evaluate(metrics))).unwrap_or(Verdict::Unknown);
        self.context.recovery_verdict(action, verdict, metrics).await
    }
}
