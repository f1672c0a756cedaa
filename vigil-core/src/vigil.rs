//! [`Vigil`]: the assembled control loop, and everything a program or an API asks of it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value};

use crate::action::{Action, ActionKey, ActionStatus, ActionType, Change, Severity};
use crate::catalog::{CatalogError, PolicyCatalog};
use crate::clock::Clock;
use crate::context::Context;
use crate::enqueuer::enqueue;
use crate::events::Events;
use crate::follower::follow;
use crate::keyring::KeyRing;
use crate::lanes::Lanes;
use crate::metric::Snapshot;
use crate::policy::{Decision, Policy, PolicySpec, Verdict, evaluate, plan};
use crate::queue::Queue;
use crate::random::Random;
use crate::reconciler::{DepthHistory, reconcile};
use crate::remediator::Remediator;
use crate::runner::{self, RunnerState, RunnerStatus};
use crate::scribe;
use crate::settings::Settings;
use crate::store::{
    ActionIntent, Actor, Admission, Followed, Guard, Idempotency, MetricBatch, Recorded, Store, StoreError,
};
use crate::supervisor::Supervisor;
use crate::target::{Target, TargetTags};
use crate::telemetry::Telemetry;
use crate::tenant::TenantId;
use crate::verifier::verify;
use crate::worker::work;

mod builder;
mod operate;

pub use builder::{BuildError, VigilBuilder};
pub use operate::{DeadLetterError, Why};

/// The assembled control loop. Hold it in an `Arc`; call [`run`](Vigil::run) once.
///
/// It is a guest: it reads no environment, installs nothing global, catches no signal. All its tasks live in `run`.
#[derive(Debug)]
pub struct Vigil {
    context: Arc<Context>,
    provided: Vec<PolicySpec>,
    lanes: Arc<Lanes>,
    runner: Arc<RunnerState>,
    history: Arc<DepthHistory>,
    workers: Arc<AtomicUsize>,
}

/// A request for an action that no policy made.
#[derive(Debug, Clone)]
pub struct ActionRequest {
    /// Whose.
    pub tenant: TenantId,
    /// What it is done to.
    pub target: Target,
    /// What is done.
    pub action: ActionType,
    /// Pending: Vigil carries it out. Anything else records something done elsewhere.
    pub status: ActionStatus,
    /// Why, for people.
    pub details: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// Passed on to the remediator.
    pub params: Map<String, Value>,
    /// The client's key, if it sent one.
    pub idempotency: Option<Idempotency>,
    /// Who wants it.
    pub actor: Actor,
}

/// What the sandbox says of one policy.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The policy.
    pub policy: Arc<Policy>,
    /// The target it was tried on.
    pub target: Target,
    /// Its verdict over the given metrics.
    pub verdict: Verdict,
    /// What the live system would do now, if it is met.
    pub decision: Option<Decision>,
}

/// Why the loop cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The policies cannot be loaded.
    #[error("the policies cannot be loaded")]
    Policies(#[from] CatalogError),
}

impl Vigil {
    /// Starts with in-memory backends, a dry-run remediator and default settings; replace what you need.
    pub fn builder() -> VigilBuilder {
        VigilBuilder::default()
    }

    /// Loads the policies: those given to the builder and those of its files become the stored ones. [`run`](Vigil::run)
    /// does it too; call it before to learn of mistakes before anything is served.
    ///
    /// # Errors
    /// [`CatalogError`] with file, line and reason.
    pub async fn load_policies(&self) -> Result<(), CatalogError> {
        self.context.store_clock.follow(&*self.context.store).await?;
        let actor = Actor::new("start");
        self.context.catalog.provide(&self.provided, &actor).await?;
        self.context.catalog.reload(&actor).await?;
        Ok(())
    }

    /// Runs the whole loop until `shutdown` completes, then finishes or hands back what is in flight.
    ///
    /// # Errors
    /// [`RunError`] if it cannot start. Once it runs it does not fail: outages are waited out.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        self.load_policies().await?;
        let context = &self.context;
        let mut supervisor = Supervisor::new();
        let driving = context.enqueuer.driving();
        for index in 0..self.lanes.len() {
            let (lanes, context) = (self.lanes.clone(), context.clone());
            supervisor.spawn(format!("lane-{index}"), move |token| {
                let (lanes, context) = (lanes.clone(), context.clone());
                async move { lanes.drive(index, &context, token).await }
            });
        }
        // As many as there are lanes: each waits for one answer of the queue at a time.
        for index in 0..self.lanes.len() {
            let context = context.clone();
            supervisor.spawn(format!("enqueuer-{index}"), move |token| enqueue(context.clone(), token));
        }
        for index in 0..context.settings.workers {
            let (context, active) = (context.clone(), self.workers.clone());
            supervisor.spawn(format!("worker-{index}"), move |token| {
                let (context, active) = (context.clone(), active.clone());
                async move {
                    let _active = Active::new(&active, &context.telemetry);
                    work(context.clone(), token).await;
                }
            });
        }
        for of in [Followed::Policies, Followed::Keys] {
            let follower = context.clone();
            supervisor.spawn(format!("follower-{of:?}"), move |token| follow(follower.clone(), of, token));
        }
        let verifier = context.clone();
        supervisor.spawn("verifier", move |token| verify(verifier.clone(), token));
        let (reconciler, history) = (context.clone(), self.history.clone());
        supervisor.spawn("reconciler", move |token| reconcile(reconciler.clone(), history.clone(), token));
        let scribe = context.clone();
        supervisor.spawn("scribe", move |token| scribe::write(scribe.clone(), token));
        if context.settings.runner.enabled {
            let (sweeper, state) = (context.clone(), self.runner.clone());
            supervisor.spawn("runner", move |token| runner::run(sweeper.clone(), state.clone(), token));
        }
        let shutdown = async {
            shutdown.await;
            drop(driving);
        };
        supervisor.run(shutdown, context.settings.grace).await;
        Ok(())
    }

    /// Commits samples, then hands them to the engine. A violation neither delays nor fails it.
    ///
    /// # Errors
    /// [`StoreError`]: then nothing was written.
    pub async fn ingest(&self, batch: MetricBatch) -> Result<Recorded, StoreError> {
        let metrics = batch.metrics.clone();
        let recorded = self.context.store.record_metrics(batch).await?;
        if !recorded.replayed {
            let now = self.context.clock.now();
            for metric in metrics {
                self.context.events.sample(&metric, now);
                self.context.telemetry.ingested(metric.name.as_str(), 1);
                self.lanes.offer(metric);
            }
        }
        Ok(recorded)
    }

    /// Takes in an action that no policy made. No gate holds it back but the tenant's limit
    /// ([`Settings::actions_per_minute`]); a pending one is carried out, but never while another is in flight on its target.
    ///
    /// # Errors
    /// [`StoreError`]: then nothing was written.
    pub async fn request_action(&self, request: ActionRequest) -> Result<Admission, StoreError> {
        let limit = self.context.settings.actions_per_minute.of(&request.tenant);
        let limit = limit.filter(|_| request.status == ActionStatus::Pending);
        let guards: Vec<Guard> = limit.map(|per_minute| Guard::Rate { per_minute }).into_iter().collect();
        let intent = ActionIntent {
            tenant: request.tenant,
            target: request.target,
            action: request.action,
            status: request.status,
            details: request.details,
            severity: request.severity,
            params: request.params,
            policy: None,
            episode: None,
            opens: None,
            condition: None,
            evidence_at: None,
            nonce: self.context.random.next_u64(),
            expires_after: self.context.settings.expires_after,
            idempotency: request.idempotency,
            actor: request.actor,
        };
        let admission = self.context.store.admit(intent, &guards).await?;
        if let Admission::Admitted(action) = &admission {
            tracing::info!(tenant = %action.tenant, action_id = %action.id, target = %action.target, action = %action.action,
                status = %action.status, "action requested");
            if action.managed {
                self.context.enqueue(action).await;
            }
            self.context.announce(action.clone());
        }
        Ok(admission)
    }

    /// Calls an action off. If it is running, its target stays occupied until the executor reports.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Illegal`] if it is final already.
    pub async fn cancel_action(
        &self,
        action: &ActionKey,
        reason: Option<String>,
        actor: &Actor,
    ) -> Result<Action, StoreError> {
        let reason = reason.unwrap_or_else(|| "cancelled on request".to_owned());
        self.change_action(action, Change::Cancel { reason }, actor).await
    }

    /// Moves on an action that a client carries out itself.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Illegal`] if Vigil carries it out, or the state machine forbids it.
    pub async fn record_status(
        &self,
        action: &ActionKey,
        status: ActionStatus,
        details: Option<String>,
        actor: &Actor,
    ) -> Result<Action, StoreError> {
        self.change_action(action, Change::Record { status, details }, actor).await
    }

    async fn change_action(&self, key: &ActionKey, change: Change, actor: &Actor) -> Result<Action, StoreError> {
        loop {
            let known = self.context.store.action(key).await?;
            let action = known.ok_or_else(|| StoreError::NotFound(format!("action {}", key.id)))?;
            match self.context.store.transition(key, action.version, change.clone(), None, actor).await {
                // Somebody else was faster: look again. Ends, because a final action makes the change illegal.
                Err(StoreError::Conflict(_)) => {}
                other => {
                    return other.inspect(|action| {
                        tracing::info!(tenant = %action.tenant, action_id = %action.id, target = %action.target,
                            status = %action.status, change = change.verb(), reason = change.reason(), "action changed");
                        self.context.announce(action.clone());
                    });
                }
            }
        }
    }

    /// Tries the policies in force on given metrics: the same evaluation and the same plan as live, and nothing is written.
    /// With a target those that match it; without, all.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read how things stand.
    pub async fn try_policies(
        &self,
        tenant: &TenantId,
        metrics: &Snapshot,
        target: Option<&Target>,
    ) -> Result<Vec<Trial>, StoreError> {
        let set = self.context.catalog.set();
        let everything = Target::new("all").expect("'all' is a name");
        let mut trials = Vec::new();
        for policy in
            set.enabled(tenant).iter().filter(|policy| target.is_none_or(|target| policy.target.matches(target)))
        {
            let evaluation = evaluate(policy, metrics);
            let target = target.unwrap_or(&everything);
            let mut decision = None;
            if evaluation.verdict == Verdict::Met {
                let standing = self.context.standing(tenant, &policy.name, target).await?;
                let limits = self.context.settings.limits(tenant);
                decision = Some(plan(policy, target, metrics, &evaluation, &standing, &limits, 0));
            }
            trials.push(Trial {
                policy: policy.clone(),
                target: target.clone(),
                verdict: evaluation.verdict,
                decision,
            });
        }
        Ok(trials)
    }

    /// The policies.
    pub fn catalog(&self) -> &PolicyCatalog {
        &self.context.catalog
    }

    /// The API keys. They follow the Store as long as [`run`](Vigil::run) runs.
    pub fn keys(&self) -> &KeyRing {
        &self.context.keys
    }

    /// The truth.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.context.store
    }

    /// The hint.
    pub fn queue(&self) -> &Arc<dyn Queue> {
        &self.context.queue
    }

    /// What carries actions out.
    pub fn remediator(&self) -> &Arc<dyn Remediator> {
        &self.context.remediator
    }

    /// The Prometheus metrics.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.context.telemetry
    }

    /// The numbers it runs with.
    pub fn settings(&self) -> &Settings {
        &self.context.settings
    }

    /// The clock it was given, set by the Store's.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.context.clock
    }

    /// The randomness it was given.
    pub fn random(&self) -> &Arc<dyn Random> {
        &self.context.random
    }

    /// What happens, from the moment of subscribing on.
    pub fn events(&self) -> &Events {
        &self.context.events
    }

    /// The tags that may name a sample's target.
    pub fn target_tags(&self) -> &TargetTags {
        &self.context.settings.target_tags
    }

    /// What the runner is doing.
    pub fn runner_status(&self) -> RunnerStatus {
        self.runner.status(&self.context)
    }

    /// Whether any worker of this process is running.
    pub fn worker_is_active(&self) -> bool {
        self.workers.load(Ordering::Relaxed) > 0
    }

    /// The last 60 depths of the queue, one every [`Settings::reconcile_interval`], oldest first.
    pub fn queue_history(&self) -> Vec<u64> {
        self.history.to_vec()
    }
}

/// Counts a worker for as long as it lives, whatever ends it.
struct Active<'a> {
    workers: &'a AtomicUsize,
    telemetry: &'a Telemetry,
}

impl<'a> Active<'a> {
    fn new(workers: &'a AtomicUsize, telemetry: &'a Telemetry) -> Self {
        workers.fetch_add(1, Ordering::Relaxed);
        telemetry.worker_active(true);
        Self { workers, telemetry }
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        let left = self.workers.fetch_sub(1, Ordering::Relaxed) - 1;
        self.telemetry.worker_active(left > 0);
    }
}
