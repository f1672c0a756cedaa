//! The runner: judges every target from its stored snapshot, whether or not a sample came. What a crash, a full lane or
//! a restart left unjudged is judged here, within one interval.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::context::{Context, chain};
use crate::controller::Controller;
use crate::episode::{Episode, EpisodeId};
use crate::metric::{Sample, Snapshot};
use crate::policy::{Policy, PolicyName, Verdict, evaluate};
use crate::store::{Scope, StoreError};
use crate::target::Target;
use crate::tenant::TenantId;

/// What the runner is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunnerStatus {
    /// Whether it is configured to run.
    pub enabled: bool,
    /// Whether it runs now.
    pub running: bool,
    /// From one sweep to the next.
    pub interval: Duration,
    /// How many targets it reads at a time.
    pub batch_size: usize,
    /// When the last complete sweep ended.
    pub last_sweep: Option<Timestamp>,
    /// How many (policy, target) pairs that judged.
    pub judged: u64,
}

/// The part of the runner that others may look at.
#[derive(Debug, Default)]
pub(crate) struct RunnerState {
    running: AtomicBool,
    last_sweep: AtomicI64,
    judged: AtomicU64,
}

impl RunnerState {
    pub(crate) fn status(&self, context: &Context) -> RunnerStatus {
        let settings = &context.settings.runner;
        let last = self.last_sweep.load(Ordering::Relaxed);
        RunnerStatus {
            enabled: settings.enabled,
            running: self.running.load(Ordering::Relaxed),
            interval: settings.interval,
            batch_size: settings.batch_size,
            last_sweep: (last != 0).then(|| Timestamp::from_micros(last)),
            judged: self.judged.load(Ordering::Relaxed),
        }
    }
}

/// Sweeps again and again until the token is cancelled.
pub(crate) async fn run(context: Arc<Context>, state: Arc<RunnerState>, token: CancellationToken) {
    let _running = Running::new(&state.running);
    let controller = Controller::new(context.clone());
    let mut ticks = interval(context.settings.runner.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let mut sweep =
            Sweep { context: &context, controller: &controller, judged: HashSet::new(), unnamed: HashMap::new() };
        match sweep.run(&token).await {
            Ok(()) => {
                state.judged.store(sweep.judged.len() as u64, Ordering::Relaxed);
                state.last_sweep.store(context.clock.now().as_micros(), Ordering::Relaxed);
            }
            Err(error) => tracing::error!(error = chain(&error), "the runner's sweep failed; the next one starts over"),
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

type Pair = (TenantId, PolicyName, Target);

/// One pass over all targets and open episodes.
struct Sweep<'a> {
    context: &'a Arc<Context>,
    controller: &'a Controller,
    judged: HashSet<Pair>,
    /// The samples that name no target, by tenant: policies with an exact target are judged by them too.
    unnamed: HashMap<TenantId, Vec<Sample>>,
}

impl Sweep<'_> {
    async fn run(&mut self, token: &CancellationToken) -> Result<(), StoreError> {
        let mut open = self.open_episodes().await?;
        let mut after: Option<Scope> = None;
        loop {
            let batch = self.context.settings.runner.batch_size;
            let scopes = self.context.store.scopes(after.as_ref(), batch).await?;
            for scope in &scopes {
                if token.is_cancelled() {
                    return Ok(());
                }
                match self.judge_scope(scope, &open).await {
                    Err(error @ StoreError::Unavailable(_)) => return Err(error),
                    Err(error) => {
                        tracing::error!(target = ?scope.target, error = chain(&error), "a target could not be judged");
                    }
                    Ok(()) => {}
                }
            }
            if scopes.len() < batch {
                break;
            }
            after = scopes.last().cloned();
        }
        for (pair, episode) in open.drain() {
            self.look_after(&pair, &episode).await?;
        }
        Ok(())
    }

    async fn open_episodes(&self) -> Result<HashMap<Pair, Episode>, StoreError> {
        let mut open = HashMap::new();
        let mut after = EpisodeId(0);
        loop {
            let page = self.context.store.open_episodes(after, 500).await?;
            let full = page.len() == 500;
            for episode in page {
                after = episode.id;
                open.insert((episode.tenant.clone(), episode.policy.clone(), episode.target.clone()), episode);
            }
            if !full {
                return Ok(open);
            }
        }
    }

    /// Evaluates every policy of a scope over one snapshot; only what asks for attention goes to the controller.
    async fn judge_scope(&mut self, scope: &Scope, open: &HashMap<Pair, Episode>) -> Result<(), StoreError> {
        let judging = self.context.catalog.set().judging(scope);
        if judging.is_empty() {
            return Ok(());
        }
        let since = self.context.store.now().await? - self.context.settings.staleness;
        let own = Snapshot::new(self.context.store.snapshot(scope, since).await?, since);
        for (policy, target) in judging {
            let pair = (scope.tenant.clone(), policy.name.clone(), target.clone());
            let evaluation = match policy.target.exact() {
                Some(_) => evaluate(&policy, &self.with_unnamed(scope, &own, &target, since).await?),
                None => evaluate(&policy, &own),
            };
            self.count(&policy, evaluation.verdict, evaluation.panic.as_deref());
            let attention = evaluation.verdict == Verdict::Met || open.contains_key(&pair);
            if attention {
                self.controller.judge(&policy, &target).await?;
            }
            self.judged.insert(pair);
        }
        Ok(())
    }

    /// The snapshot by which a policy with an exact target is judged.
    async fn with_unnamed(
        &mut self,
        scope: &Scope,
        own: &Snapshot,
        target: &Target,
        since: Timestamp,
    ) -> Result<Snapshot, StoreError> {
        let mut joint = own.clone();
        if scope.target.is_some() {
            for sample in self.unnamed(&scope.tenant, since).await? {
                joint.put(sample.clone());
            }
        } else {
            let named = Scope { tenant: scope.tenant.clone(), target: Some(target.clone()) };
            for sample in self.context.store.snapshot(&named, since).await? {
                joint.put(sample);
            }
        }
        Ok(joint)
    }

    async fn unnamed(&mut self, tenant: &TenantId, since: Timestamp) -> Result<&[Sample], StoreError> {
        if !self.unnamed.contains_key(tenant) {
            let scope = Scope { tenant: tenant.clone(), target: None };
            let samples = self.context.store.snapshot(&scope, since).await?;
            self.unnamed.insert(tenant.clone(), samples);
        }
        Ok(&self.unnamed[tenant])
    }

    /// An open episode whose target no scope brought up: its policy is gone, or its samples are.
    async fn look_after(&self, pair: &Pair, episode: &Episode) -> Result<(), StoreError> {
        let set = self.context.catalog.set();
        let policy = set.policy(&pair.0, &pair.1).filter(|policy| policy.enabled && watches(policy, &pair.2));
        match policy {
            None => self.controller.abandon(episode).await,
            Some(_) if self.judged.contains(pair) => Ok(()),
            Some(policy) => self.controller.judge(policy, &pair.2).await.map(drop),
        }
    }

    fn count(&self, policy: &Policy, verdict: Verdict, panic: Option<&str>) {
        if let Some(panic) = panic {
            tracing::error!(policy = %policy.name, error = panic, "a condition panicked; its verdict is unknown");
        }
        self.context.telemetry.evaluated(policy.name.as_str(), verdict, panic.is_some());
    }
}

/// Whether an episode on `target` can belong to the policy as it is now.
fn watches(policy: &Policy, target: &Target) -> bool {
    policy.target.matches(target) || (target.is_unknown() && policy.target.exact().is_none())
}
