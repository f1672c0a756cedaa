//! [`Context`]: what every loop is handed.

use std::sync::Arc;
use std::time::Duration;

use crate::action::Action;
use crate::catalog::PolicyCatalog;
use crate::clock::{Clock, StoreClock, Timestamp};
use crate::enqueuer::Enqueuer;
use crate::events::{Event, Events};
use crate::keyring::KeyRing;
use crate::metric::{Metric, Snapshot};
use crate::policy::{Policy, PolicyName, Verdict, recovery_verdict};
use crate::queue::{Queue, QueueError};
use crate::random::Random;
use crate::remediator::Remediator;
use crate::settings::Settings;
use crate::store::{Scope, Standing, Store, StoreError};
use crate::target::Target;
use crate::task::Task;
use crate::telemetry::Telemetry;
use crate::tenant::TenantId;

/// The seams, the settings and what is passed in instead of being taken: one of it, shared by all loops.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) remediator: Arc<dyn Remediator>,
    pub(crate) catalog: PolicyCatalog,
    pub(crate) keys: KeyRing,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    /// The same one, to be set.
    pub(crate) store_clock: Arc<StoreClock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) events: Events,
    pub(crate) enqueuer: Enqueuer,
}

impl Context {
    /// The samples, from `since` on, that `policy` judges `target` by at `now`, the Store's time.
    ///
    /// A policy with an exact target is also judged by samples that name none; one that acts on nothing, because the
    /// samples name no target, by those alone.
    pub(crate) async fn snapshot(
        &self,
        tenant: &TenantId,
        policy: Option<&Policy>,
        target: &Target,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Snapshot, StoreError> {
        let mut snapshot = Snapshot::empty(since);
        snapshot.show_until(now + Metric::CLOCK_TOLERANCE);
        for scope in scopes(tenant, policy, target) {
            for sample in self.store.snapshot(&scope, since).await? {
                snapshot.put(sample);
            }
        }
        Ok(snapshot)
    }

    /// The verdict on the episode of an action: an Unmet is recovery only if the snapshot shows every series of its evidence.
    pub(crate) async fn recovery_verdict(
        &self,
        action: &Action,
        verdict: Verdict,
        metrics: &Snapshot,
    ) -> Result<Verdict, StoreError> {
        let (Verdict::Unmet, Some(episode)) = (verdict, action.episode) else { return Ok(verdict) };
        let episode = self.store.episode(&action.tenant, episode).await?;
        let episode = episode.filter(|episode| action.condition.as_ref() == Some(&episode.condition));
        Ok(episode.map_or(verdict, |episode| recovery_verdict(verdict, &episode.evidence, metrics)))
    }

    /// How things stand between a policy and a target, by the limits of the tenant.
    pub(crate) async fn standing(
        &self,
        tenant: &TenantId,
        policy: &PolicyName,
        target: &Target,
    ) -> Result<Standing, StoreError> {
        self.store.standing(tenant, policy, target, self.settings.actions_per_minute.of(tenant)).await
    }

    /// Sees to it that an action's task comes into the queue. While the loop runs this waits for nothing.
    pub(crate) async fn enqueue(&self, action: &Action) {
        if !self.enqueuer.is_driven() {
            self.put(action).await;
        } else if !self.enqueuer.offer(action.clone()) {
            tracing::warn!(action_id = %action.id, "too many tasks wait for the queue; the reconciler will bring this one");
        }
    }

    /// Puts an action's task into the queue; whether that was done. A failure is only logged: the reconciler does it again.
    pub(crate) async fn put(&self, action: &Action) -> bool {
        let put = self.try_enqueue(action).await;
        if let Err(error) = &put {
            tracing::warn!(action_id = %action.id, error = chain(error), "the queue did not take the task; the reconciler will try again");
        }
        put.is_ok()
    }

    pub(crate) async fn try_enqueue(&self, action: &Action) -> Result<(), QueueError> {
        let now = self.clock.now();
        let task = Task {
            task_id: format!("task_{:016x}{:016x}", self.random.next_u64(), self.random.next_u64()),
            action_id: action.id,
            target: action.target.clone(),
            action: Some(action.action),
            severity: action.severity,
            enqueued_at: now,
            tenant: action.tenant.clone(),
            attempt: action.attempt,
            policy_name: action.policy.as_ref().map(ToString::to_string),
            params: action.params.clone(),
        };
        self.queue.enqueue(task, Duration::ZERO).await?;
        self.telemetry.queue_operation("enqueue");
        Ok(())
    }

    /// Counts the brakes that are on.
    pub(crate) async fn look_at_brakes(&self) -> Result<(), StoreError> {
        let brakes = self.store.brakes().await?;
        let now = if brakes.is_empty() { self.clock.now() } else { self.store.now().await? };
        self.telemetry.brakes_stopped(brakes.iter().filter(|brake| brake.is_on(now)).count());
        Ok(())
    }

    /// Counts and announces what became of an action.
    pub(crate) fn announce(&self, action: Action) {
        self.telemetry.action(action.target.as_str(), action.action, action.status);
        self.events.send(Event::Action(Arc::new(action)));
    }
}

/// The scopes whose samples a policy judges a target by.
pub(crate) fn scopes(tenant: &TenantId, policy: Option<&Policy>, target: &Target) -> Vec<Scope> {
    let named = Scope { tenant: tenant.clone(), target: Some(target.clone()) };
    let unnamed = Scope { tenant: tenant.clone(), target: None };
    if target.is_unknown() {
        vec![unnamed]
    } else if policy.is_some_and(|policy| policy.target.exact() == Some(target)) {
        vec![unnamed, named]
    } else {
        vec![named]
    }
}

/// An error with all its causes in one line, for logs.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
