//! Requests, an executor that does what a test says, and a clock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;
use vigil_core::action::{ActionId, ActionType, IdempotencyKey, Severity};
use vigil_core::clock::{Clock, SystemClock};
use vigil_core::remediator::{Outcome, Probe, RemediationRequest, RemediatorError, Route};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;
use vigil_remediator::{Envelope, Executor, Job, Ledger, Limits, Prepared, Routes, Rule};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn request(key: &str, attempt: u32, target: &str, action: &str) -> RemediationRequest {
    RemediationRequest {
        key: IdempotencyKey(key.to_owned()),
        attempt,
        tenant: TenantId::default(),
        action_id: ActionId(1),
        task_id: "task_1".to_owned(),
        target: Target::new(target).unwrap(),
        action: ActionType::parse(action).unwrap(),
        severity: Severity::Critical,
        params: Map::new(),
        policy_name: Some("high-cpu".to_owned()),
        deadline: SystemClock.now() + Duration::from_secs(60),
        request_id: "r1".to_owned(),
    }
}

pub(crate) fn with_params(mut request: RemediationRequest, params: Value) -> RemediationRequest {
    request.params = params.as_object().unwrap().clone();
    request
}

/// A job as the envelope makes it.
pub(crate) fn job(request: &RemediationRequest, object: &str) -> Job {
    Job::new(request, object.to_owned())
}

pub(crate) fn until() -> Instant {
    Instant::now() + PATIENCE
}

/// Whether a test that needs `name` can run: `value` says where it is.
pub(crate) fn have(name: &str, variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    let required = std::env::var("VIGIL_REQUIRE_BACKENDS").unwrap_or_default();
    assert!(
        value.is_some() || !required.split(',').any(|one| one == name),
        "{name} is required, and {variable} is not set"
    );
    if value.is_none() {
        println!("skipped: {variable} is not set");
    }
    value
}

/// What an execution comes to.
pub(crate) enum Step {
    Answer(Result<Outcome, RemediatorError>),
    /// Waits until it is released, then succeeds.
    Hold,
    /// Waits until it is released, then answers.
    HoldThen(Result<Outcome, RemediatorError>),
    Panic,
}

/// Does what it is told, in turn; succeeds when it is told nothing more.
#[derive(Default)]
pub(crate) struct Scripted {
    steps: Mutex<VecDeque<Step>>,
    probes: Mutex<VecDeque<Result<Probe, RemediatorError>>>,
    rejects: Mutex<Option<String>>,
    pub(crate) prepared: AtomicUsize,
    pub(crate) executed: AtomicUsize,
    pub(crate) probed: AtomicUsize,
    asked_at_once: AtomicUsize,
    pub(crate) most_at_once: AtomicUsize,
    meets: AtomicUsize,
    seen: Mutex<Vec<Value>>,
    pub(crate) began: Notify,
    pub(crate) release: Notify,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl Scripted {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Arc<Self> {
        Arc::new(Self { steps: Mutex::new(steps.into_iter().collect()), ..Self::default() })
    }

    pub(crate) fn probing(
        self: Arc<Self>,
        probes: impl IntoIterator<Item = Result<Probe, RemediatorError>>,
    ) -> Arc<Self> {
        self.probes.lock().unwrap().extend(probes);
        self
    }

    /// Probes wait for each other until so many are asked at once.
    pub(crate) fn meeting(self: Arc<Self>, count: usize) -> Arc<Self> {
        self.meets.store(count, Ordering::SeqCst);
        self
    }

    pub(crate) fn rejecting(self: Arc<Self>, reason: &str) -> Arc<Self> {
        *self.rejects.lock().unwrap() = Some(reason.to_owned());
        self
    }

    pub(crate) fn executions(&self) -> usize {
        self.executed.load(Ordering::SeqCst)
    }

    /// What each execution was told it looked like before.
    pub(crate) fn seen(&self) -> Vec<Value> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl Executor for Scripted {
    fn kind(&self) -> &'static str {
        "test object"
    }

    fn words(&self, _object: &str) -> Vec<ActionType> {
        vec![ActionType::RestartService, ActionType::ScaleUp]
    }

    fn name(&self, object: &str) -> String {
        object.to_owned()
    }

    async fn prepare(&self, _job: &Job) -> Result<Prepared, RemediatorError> {
        let number = self.prepared.fetch_add(1, Ordering::SeqCst);
        Ok(match &*self.rejects.lock().unwrap() {
            Some(reason) => Prepared::Rejected(reason.clone()),
            None => Prepared::Ready(json!(number)),
        })
    }

    async fn execute(&self, _job: &Job, before: &Value, _until: Instant) -> Result<Outcome, RemediatorError> {
        self.executed.fetch_add(1, Ordering::SeqCst);
        self.seen.lock().unwrap().push(before.clone());
        let step = self.steps.lock().unwrap().pop_front();
        self.began.notify_one();
        match step {
            None => Ok(done()),
            Some(Step::Answer(answer)) => answer,
            Some(Step::Hold) => {
                self.release.notified().await;
                Ok(done())
            }
            Some(Step::HoldThen(answer)) => {
                self.release.notified().await;
                answer
            }
            Some(Step::Panic) => panic!("as scripted"),
        }
    }

    async fn probe(&self, _job: &Job, _before: &Value, _since: Duration) -> Result<Probe, RemediatorError> {
        self.probed.fetch_add(1, Ordering::SeqCst);
        let at_once = self.asked_at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        while self.most_at_once.load(Ordering::SeqCst) < self.meets.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        self.asked_at_once.fetch_sub(1, Ordering::SeqCst);
        self.probes.lock().unwrap().pop_front().unwrap_or(Ok(Probe::Unknown))
    }

    async fn ping(&self) -> Result<(), RemediatorError> {
        Ok(())
    }
}

pub(crate) fn done() -> Outcome {
    Outcome::Succeeded { details: Some("done".to_owned()) }
}

pub(crate) fn routes(executor: Arc<dyn Executor>) -> Routes {
    let rule = Rule { route: Route::any(), executor: "test".to_owned(), object: None, dry_run: false };
    Routes::new().with_executor("test", executor).with_rule(rule).unwrap()
}

pub(crate) fn envelope(executor: Arc<dyn Executor>) -> Envelope {
    over(&Ledger::in_memory(), executor)
}

pub(crate) fn over(ledger: &Ledger, executor: Arc<dyn Executor>) -> Envelope {
    Envelope::new(ledger.clone(), routes(executor), Limits::default(), Arc::new(SystemClock))
}

/// In a task of its own.
pub(crate) fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(work)
}
