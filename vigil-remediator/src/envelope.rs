//! [`Envelope`]: the safety around the executors. Effects are unique per key, whatever is sent twice, late or in the wrong
//! order, and whenever the program dies.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};
use vigil_core::action::IdempotencyKey;
use vigil_core::clock::Clock;
use vigil_core::remediator::{Outcome, Probe, RemediationRequest, Remediator, RemediatorError};

use crate::executor::{Executor, Prepared, succeeded, unavailable};
use crate::flight::{Entry, Flight, Turn};
use crate::job::Job;
use crate::ledger::{Ledger, LedgerError, Record, State};
use crate::routes::{Handling, Routes};
use crate::telemetry::Telemetry;

/// How much is done at a time, and for how long it is remembered.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many may act at a time. 16.
    pub in_flight: usize,
    /// What a request is asked to wait when too many act, or its target is being worked on. 2 s.
    pub retry_after: Duration,
    /// How long keys are remembered: longer than any action lives in Vigil, or one may be done twice. 7 days.
    pub keep_keys: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight: 16, retry_after: Duration::from_secs(2), keep_keys: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// What is said of a key that was taken and is not done.
const CUT_OFF: &str = "it was cut off before it was done; sent again, it is completed";
/// How long an executor may take to look at a thing.
const LOOK: Duration = Duration::from_secs(10);
/// How many are asked after at a time when the program starts.
const AT_A_TIME: usize = 8;

/// A [`Remediator`] that carries out through executors, each key once.
///
/// ```text
/// request ─▶ known key? ──▶ its first final outcome      (an older attempt is stale)
///              │ no
///              ▼
///            deadline, route, word ──▶ rejected
///              ▼
///            room? ──▶ throttled: not taken
///              ▼
///            prepare ─▶ commit "taken" ─▶ execute ─▶ commit the outcome
///                             └────── died in here: probe ──────┘
/// ```
///
/// A future of [`Remediator::remediate`] that is dropped while it acts leaves the key taken, as a crash does.
#[derive(Debug)]
pub struct Envelope {
    ledger: Ledger,
    routes: Routes,
    limits: Limits,
    clock: Arc<dyn Clock>,
    flight: Flight,
    telemetry: Telemetry,
}

impl Envelope {
    /// Acts through `routes`, and remembers in `ledger`.
    pub fn new(ledger: Ledger, routes: Routes, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self { ledger, routes, limits, clock, flight: Flight::default(), telemetry: Telemetry::new() }
    }

    /// The routes.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The keys being worked on now.
    pub fn in_flight(&self) -> Vec<IdempotencyKey> {
        self.flight.keys()
    }

    /// What was done, in the text format of Prometheus.
    ///
    /// # Errors
    /// [`LedgerError`] if the keys cannot be counted.
    pub async fn metrics(&self) -> Result<String, LedgerError> {
        Ok(self.telemetry.encode(self.flight.acting(), self.ledger.count().await?))
    }

    /// Asks the executors what became of what a former run of the program left unfinished. Answers how many are known now,
    /// and how many still are not.
    ///
    /// # Errors
    /// [`LedgerError`] if the ledger cannot be read.
    pub async fn recover(&self) -> Result<(usize, usize), LedgerError> {
        let unfinished = self.ledger.unfinished().await?;
        for record in &unfinished {
            // Nobody else is to work on it meanwhile.
            if let Some(executor) = self.routes.executor(&record.executor) {
                self.flight.hold(names(&record.job, &**executor), &record.job.key, record.job.deadline);
            }
        }
        let asked: Vec<_> = unfinished.iter().map(|record| self.is_known(&record.job)).collect();
        let known: Vec<bool> = futures_util::stream::iter(asked).buffer_unordered(AT_A_TIME).collect().await;
        let known = known.into_iter().filter(|is_known| *is_known).count();
        Ok((known, unfinished.len() - known))
    }

    async fn is_known(&self, job: &Job) -> bool {
        let is_known = matches!(self.probe(&job.key).await, Ok(Probe::Done(_) | Probe::NotDone));
        if !is_known {
            let (key, target, action) = (&job.key, &job.target, job.action);
            tracing::warn!(%key, %target, %action, "nobody knows yet what became of it");
        }
        is_known
    }

    /// Forgets keys that are older than [`Limits::keep_keys`].
    ///
    /// # Errors
    /// [`LedgerError`] if the ledger cannot be written.
    pub async fn forget(&self) -> Result<usize, LedgerError> {
        self.ledger.forget(self.clock.now() - self.limits.keep_keys).await
    }

    async fn decide(&self, request: &RemediationRequest, turn: &mut Turn<'_>) -> Result<Outcome, RemediatorError> {
        let Some(record) = self.ledger.read(&request.key).await.map_err(unavailable)? else {
            return self.act(request, turn, None).await;
        };
        if request.attempt < record.job.attempt {
            return Err(RemediatorError::Stale);
        }
        if !record.job.is_asked_by(request) {
            let reason = format!("the key was used before, for {} on {}", record.job.action, record.job.target);
            return Ok(Outcome::Rejected { reason });
        }
        match &record.state {
            State::NotDone => self.act(request, turn, None).await,
            State::Done(Outcome::Failed { retryable: true, .. }) if request.attempt > record.job.attempt => {
                self.act(request, turn, None).await
            }
            State::Done(outcome) => {
                self.telemetry.replayed();
                Ok(outcome.clone())
            }
            State::Taken => self.complete(request, turn, record).await,
        }
    }

    /// Finds out what became of a key that was taken, and completes it if it is not done. Until that is known nobody may be told
    /// that nothing happened.
    async fn complete(
        &self,
        request: &RemediationRequest,
        turn: &mut Turn<'_>,
        record: Record,
    ) -> Result<Outcome, RemediatorError> {
        match self.ask(record.clone(), turn).await {
            Ok(Probe::Done(outcome)) => Ok(outcome),
            Ok(Probe::InProgress) => Ok(Outcome::InProgress),
            Ok(Probe::Unknown) => {
                Err(RemediatorError::Indeterminate("the remediator stopped while it was at it".into()))
            }
            // What was begun is completed, not begun anew: a second look would see it half done.
            Ok(Probe::NotDone) => match self.act(request, turn, Some(record)).await {
                Err(error) => Err(RemediatorError::Indeterminate(error.into())),
                answer => answer,
            },
            Err(error) => Err(RemediatorError::Indeterminate(error.into())),
        }
    }

    async fn act(
        &self,
        request: &RemediationRequest,
        turn: &mut Turn<'_>,
        seen: Option<Record>,
    ) -> Result<Outcome, RemediatorError> {
        let now = self.clock.now();
        let resumes = seen.is_some();
        let Some(handling) = self.routes.find(&request.target, request.action) else {
            if resumes {
                return Err(unavailable("no route takes it any more"));
            }
            return Ok(self.reject(request, None, self.routes.rejection(&request.target, request.action)).await);
        };
        if request.deadline <= now {
            if resumes {
                return Err(unavailable("it was begun, and its deadline is over"));
            }
            let reason = format!("it came too late: its deadline was {}, and here it is {now}", request.deadline);
            return Ok(self.reject(request, Some(&handling), reason).await);
        }
        if let Some(reason) = handling.refuses(&request.target, request.action) {
            if resumes {
                return Err(unavailable(reason));
            }
            return Ok(self.reject(request, Some(&handling), reason).await);
        }
        if handling.rule.dry_run && resumes {
            return Err(unavailable("it was begun, and its route only looks now (dry_run)"));
        }
        let job = Job::new(request, handling.object.clone());
        if let Err(busy) = turn.occupy(names(&job, &**handling.executor), self.limits.in_flight, now) {
            tracing::info!(key = %request.key, target = %request.target, busy, "not taken");
            return Err(RemediatorError::Throttled { retry_after: self.limits.retry_after });
        }
        if resumes {
            turn.hold(request.deadline);
        }
        let until = Instant::now() + request.deadline.since(now);
        let looked = match seen {
            Some(seen) if seen.executor == handling.rule.executor && seen.job.object == job.object => {
                Ok(Ok(Prepared::Ready(seen.before)))
            }
            _ => timeout(LOOK, handling.executor.prepare(&job)).await,
        };
        let before = match looked {
            Ok(Ok(Prepared::Ready(before))) => before,
            Ok(Ok(Prepared::Rejected(reason))) => return Ok(self.reject(request, Some(&handling), reason).await),
            Ok(Err(RemediatorError::Indeterminate(error))) => return Err(RemediatorError::Unavailable(error)),
            Ok(Err(nothing_done)) => return Err(nothing_done),
            Err(elapsed) => return Err(unavailable(elapsed)),
        };
        if handling.rule.dry_run {
            let outcome =
                succeeded(format!("dry run: would {} the {} '{}'", job.action, handling.executor.kind(), job.object));
            self.record(request, Some(&handling), before, State::Done(outcome.clone())).await.map_err(unavailable)?;
            return Ok(outcome);
        }
        turn.hold(request.deadline);
        if let Err(error) = self.record(request, Some(&handling), before.clone(), State::Taken).await {
            if !resumes {
                turn.let_go();
            }
            return Err(unavailable(error));
        }
        let executed = timeout_at(until, handling.executor.execute(&job, &before, until)).await;
        let (state, answer) = match executed {
            Ok(Ok(Outcome::InProgress)) => return Ok(Outcome::InProgress),
            // Something may have been done the first time.
            Ok(Ok(Outcome::Rejected { reason })) if resumes => {
                let outcome = Outcome::Failed { reason, retryable: false };
                (State::Done(outcome.clone()), Ok(outcome))
            }
            Ok(Ok(outcome)) => (State::Done(outcome.clone()), Ok(outcome)),
            Ok(Err(RemediatorError::Indeterminate(error))) => return Err(RemediatorError::Indeterminate(error)),
            // Nothing more was done: what was begun before stays begun.
            Ok(Err(nothing_done)) if resumes => return Err(nothing_done),
            Ok(Err(nothing_done)) => (State::NotDone, Err(nothing_done)),
            Err(elapsed) => return Err(RemediatorError::Indeterminate(elapsed.into())),
        };
        if let Err(error) = self.record(request, Some(&handling), before, state).await {
            // The key stays taken; whoever asks after it will have the executor asked.
            tracing::error!(key = %request.key, error = chain(&error), "an outcome could not be written down");
        }
        turn.let_go();
        answer
    }

    async fn reject(&self, request: &RemediationRequest, handling: Option<&Handling<'_>>, reason: String) -> Outcome {
        let outcome = Outcome::Rejected { reason };
        // Nothing was done: if this is lost, it will be rejected again.
        if let Err(error) = self.record(request, handling, Value::Null, State::Done(outcome.clone())).await {
            tracing::error!(key = %request.key, error = chain(&error), "a rejection could not be written down");
        }
        outcome
    }

    async fn record(
        &self,
        request: &RemediationRequest,
        handling: Option<&Handling<'_>>,
        before: Value,
        state: State,
    ) -> Result<(), LedgerError> {
        let (executor, object) = match handling {
            Some(handling) => (handling.rule.executor.clone(), handling.object.clone()),
            None => (String::new(), request.target.to_string()),
        };
        let job = Job::new(request, object);
        self.ledger.write(Record { job, executor, before, state, taken_at: self.clock.now() }).await
    }

    /// Remembers the newest attempt that was seen, whatever was answered: an older one that comes late must not be taken.
    async fn fence(&self, request: &RemediationRequest, attempt: u32) -> Result<(), LedgerError> {
        match self.ledger.read(&request.key).await? {
            Some(mut record) if attempt > record.job.attempt && record.job.is_asked_by(request) => {
                record.job.attempt = attempt;
                self.ledger.write(record).await
            }
            Some(_) => Ok(()),
            None => {
                let request = RemediationRequest { attempt, ..request.clone() };
                self.record(&request, None, Value::Null, State::NotDone).await
            }
        }
    }

    /// Asks the executor what became of a key that was taken and is not worked on.
    async fn ask(&self, mut record: Record, turn: &mut Turn<'_>) -> Result<Probe, RemediatorError> {
        let Some(executor) = self.routes.executor(&record.executor) else {
            tracing::warn!(key = %record.job.key, executor = record.executor, "its executor is not configured any more");
            return Ok(Probe::Unknown);
        };
        let since = self.clock.now().since(record.taken_at);
        let probe = timeout(LOOK, executor.probe(&record.job, &record.before, since)).await.map_err(unavailable)??;
        if matches!(probe, Probe::Done(_) | Probe::NotDone) {
            turn.let_go();
        }
        let state = match &probe {
            Probe::Done(outcome) => State::Done(outcome.clone()),
            _ => return Ok(probe),
        };
        tracing::info!(key = %record.job.key, target = %record.job.target, ?probe, "what became of it");
        record.state = state;
        self.ledger.write(record).await.map_err(unavailable)?;
        Ok(probe)
    }
}

#[async_trait]
impl Remediator for Envelope {
    async fn remediate(&self, request: &RemediationRequest) -> Result<Outcome, RemediatorError> {
        let began = Instant::now();
        let answer = match self.flight.enter(&request.key, request.attempt) {
            Entry::Stale => Err(RemediatorError::Stale),
            Entry::InProgress => Ok(Outcome::InProgress),
            Entry::Turn(mut turn) => {
                let answer = self.decide(request, &mut turn).await;
                loop {
                    let attempt = turn.attempt();
                    if let Err(error) = self.fence(request, attempt).await {
                        tracing::error!(key = %request.key, error = chain(&error), "an attempt could not be written down");
                    }
                    if turn.leave(attempt) {
                        break answer;
                    }
                }
            }
        };
        let executor =
            self.routes.find(&request.target, request.action).map(|handling| handling.rule.executor.as_str());
        self.telemetry.answered(executor, request.action, &answer, began.elapsed());
        tracing::info!(tenant = %request.tenant, action_id = %request.action_id, target = %request.target,
            action = %request.action, policy = request.policy_name, attempt = request.attempt, key = %request.key,
            request_id = request.request_id, executor, answer = in_words(&answer), "answered");
        answer
    }

    async fn probe(&self, key: &IdempotencyKey) -> Result<Probe, RemediatorError> {
        if self.flight.contains(key) {
            return Ok(Probe::InProgress);
        }
        let Some(record) = self.ledger.read(key).await.map_err(unavailable)? else {
            // It may have been taken, and more, since it was looked up.
            let is_new = !self.flight.contains(key) && self.ledger.read(key).await.map_err(unavailable)?.is_none();
            return Ok(if is_new { Probe::NotDone } else { Probe::InProgress });
        };
        if let Some(known) = record.known() {
            return Ok(known);
        }
        // Whoever asks the executor has the turn: an attempt that came meanwhile would change what it looks at.
        let Entry::Turn(mut turn) = self.flight.enter(key, record.job.attempt) else { return Ok(Probe::InProgress) };
        match self.ledger.read(key).await.map_err(unavailable)? {
            Some(record) => match record.known() {
                Some(known) => Ok(known),
                None => Ok(match self.ask(record, &mut turn).await? {
                    // "Never taken" would not be true: some of it may be done.
                    Probe::NotDone => Probe::Done(Outcome::Failed { reason: CUT_OFF.to_owned(), retryable: true }),
                    answer => answer,
                }),
            },
            None => Ok(Probe::NotDone),
        }
    }

    /// Whether all executors can act.
    async fn ping(&self) -> Result<(), RemediatorError> {
        for (_, executor) in self.routes.executors() {
            executor.ping().await?;
        }
        Ok(())
    }
}

/// What a job keeps others from: its target, and the object behind it.
fn names(job: &Job, executor: &dyn Executor) -> Vec<String> {
    vec![format!("{} of {}", job.target, job.tenant), format!("{} '{}'", executor.kind(), executor.name(&job.object))]
}

fn in_words(answer: &Result<Outcome, RemediatorError>) -> String {
    match answer {
        Ok(Outcome::Succeeded { details }) => format!("succeeded: {}", details.as_deref().unwrap_or("no details")),
        Ok(Outcome::Rejected { reason }) => format!("rejected: {reason}"),
        Ok(Outcome::Failed { reason, .. }) => format!("failed: {reason}"),
        Ok(Outcome::InProgress) => "in progress".to_owned(),
        Err(error) => chain(error),
    }
}

/// An error with all its causes in one line.
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
