//! The runner: judges every target from its stored snapshot, whether or not a sample came. What a crash, a full lane or
//! a restart left unjudged is judged here, within one interval. Replicas share the targets: the Store hands each of them
//! to one runner per interval.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::context::{Context, chain};
use crate::controller::Controller;
use crate::episode::Episode;
use crate::metric::{Metric, Sample, Snapshot};
use crate::policy::{Policy, Verdict, evaluate};
use crate::store::{Scope, StoreError};
use crate::target::Target;
use crate::tenant::TenantId;

/// What the runner of this process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunnerStatus {
    /// Whether it is configured to run.
    pub enabled: bool,
    /// Whether it runs now.
    pub running: bool,
    /// How often every target is judged, by whichever replica.
    pub interval: Duration,
    /// How many targets it takes at a time.
    pub batch_size: usize,
    /// When it last had nothing left to take.
    pub last_sweep: Option<Timestamp>,
    /// How many targets it took in the last interval: its share.
    pub targets: u64,
    /// How many (policy, target) pairs it judged in the last interval.
    pub judged: u64,
}

/// The part of the runner that others may look at.
#[derive(Debug, Default)]
pub(crate) struct RunnerState {
    running: AtomicBool,
    record: Mutex<Record>,
}

/// What was done lately.
#[derive(Debug, Default)]
struct Record {
    last_sweep: Option<Timestamp>,
    /// When, how many targets, how many pairs; oldest first.
    done: VecDeque<(Timestamp, u64, u64)>,
}

impl RunnerState {
    pub(crate) fn status(&self, context: &Context) -> RunnerStatus {
        let settings = &context.settings.runner;
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.forget(context.clock.now() - settings.interval);
        RunnerStatus {
            enabled: settings.enabled,
            running: self.running.load(Ordering::Relaxed),
            interval: settings.interval,
            batch_size: settings.batch_size,
            last_sweep: record.last_sweep,
            targets: record.done.iter().map(|(_, targets, _)| targets).sum(),
            judged: record.done.iter().map(|(_, _, judged)| judged).sum(),
        }
    }

    fn swept(&self, pass: &Pass<'_>, complete: bool) {
        let now = pass.context.clock.now();
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if pass.targets > 0 {
            record.done.push_back((now, pass.targets, pass.judged));
        }
        if complete {
            record.last_sweep = Some(now);
        }
        record.forget(now - pass.context.settings.runner.interval);
    }
}

impl Record {
    fn forget(&mut self, before: Timestamp) {
        while self.done.front().is_some_and(|(at, ..)| *at < before) {
            self.done.pop_front();
        }
    }
}

/// How many times in an interval it asks for what is due, at least once a second. The pauses are random, from a half to one
/// and a half of that: a replica that always asked a moment after another would find nothing left.
const ASKS: u32 = 10;

/// Judges what is due again and again until the token is cancelled.
pub(crate) async fn run(context: Arc<Context>, state: Arc<RunnerState>, token: CancellationToken) {
    let _running = Running::new(&state.running);
    let controller = Controller::new(context.clone());
    let pause = (context.settings.runner.interval / ASKS).min(Duration::from_secs(1));
    while !token.is_cancelled() {
        let mut pass =
            Pass { context: &context, controller: &controller, targets: 0, judged: 0, unnamed: HashMap::new() };
        let done = pass.run(&token).await;
        state.swept(&pass, done.is_ok());
        if let Err(error) = done {
            tracing::error!(error = chain(&error), "targets could not be judged; they are due again in an interval");
        }
        tokio::select! {
            () = token.cancelled() => {}
            () = sleep(pause.mul_f64(0.5 + context.random.jitter())) => {}
        }
    }
}

/// Says that the runner runs for as long as it lives, whatever ends it.
struct Running<'a>(&'a AtomicBool);

impl<'a> Running<'a> {
    fn new(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Relaxed);
        Self(flag)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// One look for what is due.
struct Pass<'a> {
    context: &'a Arc<Context>,
    controller: &'a Controller,
    targets: u64,
    judged: u64,
    /// The samples that name no target, by tenant: policies with an exact target are judged by them too.
    unnamed: HashMap<TenantId, Vec<Sample>>,
}

impl Pass<'_> {
    async fn run(&mut self, token: &CancellationToken) -> Result<(), StoreError> {
        let settings = &self.context.settings.runner;
        loop {
            let scopes = self.context.store.claim_scopes(settings.interval, settings.batch_size).await?;
            for scope in &scopes {
                if token.is_cancelled() {
                    return Ok(());
                }
                match self.judge_scope(scope).await {
                    Err(error @ StoreError::Unavailable(_)) => return Err(error),
                    Err(error) => {
                        tracing::error!(target = ?scope.target, error = chain(&error), "a target could not be judged");
                    }
                    Ok(judged) => self.targets += u64::from(judged),
                }
            }
            if scopes.len() < settings.batch_size {
                return Ok(());
            }
        }
    }

    /// Evaluates every policy of a scope over one snapshot; only what asks for attention goes to the controller. A scope
    /// without a fresh sample and without an open episode is passed over; answers whether it was judged.
    async fn judge_scope(&mut self, scope: &Scope) -> Result<bool, StoreError> {
        let open = self.context.store.open_episodes(scope).await?;
        let set = self.context.catalog.set();
        for episode in &open {
            let policy = set.policy(&episode.tenant, &episode.policy);
            if !policy.is_some_and(|policy| policy.enabled && watches(policy, &episode.target)) {
                self.controller.abandon(episode).await?;
            }
        }
        let judging = set.judging(scope);
        if judging.is_empty() {
            return Ok(true);
        }
        let now = self.context.store.now().await?;
        let since = now - self.context.settings.staleness;
        let mut own = Snapshot::new(self.context.store.snapshot(scope, since).await?, since);
        own.show_until(now + Metric::CLOCK_TOLERANCE);
        if open.is_empty() && own.iter().next().is_none() {
            return Ok(false);
        }
        for (policy, target) in judging {
            let evaluation = match (policy.target.exact(), &scope.target) {
                (None, _) => evaluate(&policy, &own),
                (Some(_), Some(_)) => evaluate(&policy, &self.with_unnamed(scope, &own, since).await?),
                // The target's own scope, if it has one, is handed out by itself.
                (Some(_), None) if self.is_scope(scope, &target, since).await? => continue,
                (Some(_), None) => evaluate(&policy, &own),
            };
            self.judged += 1;
            self.count(&policy, evaluation.verdict, evaluation.panic.as_deref());
            if evaluation.verdict == Verdict::Met || is_open(&open, &policy, &target) {
                self.controller.judge(&policy, &target).await?;
            }
        }
        Ok(true)
    }

    /// The snapshot by which a policy with an exact target is judged.
    async fn with_unnamed(&mut self, scope: &Scope, own: &Snapshot, since: Timestamp) -> Result<Snapshot, StoreError> {
        let mut joint = own.clone();
        if !self.unnamed.contains_key(&scope.tenant) {
            let unnamed = Scope { tenant: scope.tenant.clone(), target: None };
            self.unnamed.insert(scope.tenant.clone(), self.context.store.snapshot(&unnamed, since).await?);
        }
        for sample in &self.unnamed[&scope.tenant] {
            joint.put(sample.clone());
        }
        Ok(joint)
    }

    /// Whether a target that policies name has fresh samples or an open episode of its own.
    async fn is_scope(&self, unnamed: &Scope, target: &Target, since: Timestamp) -> Result<bool, StoreError> {
        let scope = Scope::of(&unnamed.tenant, target);
        Ok(!self.context.store.snapshot(&scope, since).await?.is_empty()
            || !self.context.store.open_episodes(&scope).await?.is_empty())
    }

    fn count(&self, policy: &Policy, verdict: Verdict, panic: Option<&str>) {
        if let Some(panic) = panic {
            tracing::error!(policy = %policy.name, error = panic, "a condition panicked; its verdict is unknown");
        }
        self.context.telemetry.evaluated(policy.name.as_str(), verdict, panic.is_some());
    }
}

fn is_open(open: &[Episode], policy: &Policy, target: &Target) -> bool {
    open.iter().any(|episode| episode.policy == policy.name && episode.target == *target)
}

/// Whether an episode on `target` can belong to the policy as it is now.
fn watches(policy: &Policy, target: &Target) -> bool {
    policy.target.matches(target) || (target.is_unknown() && policy.target.exact().is_none())
}
