//! [`ScriptedRemediator`]: a scriptable remediator for tests. It honours the contract and records every call.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::PATIENCE;
use crate::action::IdempotencyKey;
use crate::clock::{Clock, SystemClock};
use crate::remediator::{Outcome, Probe, RemediationRequest, Remediator, RemediatorError};
use crate::target::Target;

/// How [`ScriptedRemediator`] answers one request that its memory does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// This outcome, remembered. `Succeeded` and `InProgress` have the effect.
    Outcome(Outcome),
    /// Not reached: nothing happens.
    Unavailable,
    /// Not taken: nothing happens.
    Throttled(Duration),
    /// No answer. With `done` it had its effect and remembers it; otherwise it never took the request.
    Indeterminate {
        /// Whether it had its effect.
        done: bool,
    },
    /// Never answers at all. With `done` it had its effect and remembers it; otherwise it never took the request.
    Hang {
        /// Whether it had its effect.
        done: bool,
    },
}

impl Reply {
    /// It succeeded.
    pub fn success() -> Self {
        Self::Outcome(Outcome::Succeeded { details: None })
    }

    /// It failed for good.
    pub fn failure(reason: &str) -> Self {
        Self::Outcome(Outcome::Failed { reason: reason.to_owned(), retryable: false })
    }

    /// It failed and may be tried again.
    pub fn retryable(reason: &str) -> Self {
        Self::Outcome(Outcome::Failed { reason: reason.to_owned(), retryable: true })
    }

    /// It refused.
    pub fn rejection(reason: &str) -> Self {
        Self::Outcome(Outcome::Rejected { reason: reason.to_owned() })
    }
}

/// A [`Remediator`] for tests. It keeps the contract: one effect per key, stale attempts refused, known outcomes repeated.
///
/// Requests that its memory does not answer take the next [`Reply`] of the script; when that is used up they succeed. It
/// counts as the outside world: a test that restarts everything else keeps it. In particular, a client that drops its
/// future does not end the work: the target stays in flight until the work ends or the request's deadline passes.
#[derive(Debug)]
pub struct ScriptedRemediator {
    /// The clock of the requests' deadlines.
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<(Reply, Duration)>,
    probes: VecDeque<Option<Probe>>,
    unreachable: bool,
    known: HashMap<IdempotencyKey, Known>,
    requests: Vec<RemediationRequest>,
    effects: Vec<RemediationRequest>,
    stale: Vec<RemediationRequest>,
    probed: Vec<IdempotencyKey>,
    in_flight: HashMap<Target, Vec<InFlight>>,
    overlaps: Vec<(IdempotencyKey, IdempotencyKey)>,
}

/// A request whose work may still go on.
#[derive(Debug)]
struct InFlight {
    key: IdempotencyKey,
    /// `None` while the client waits for the answer; then when the work ends.
    until: Option<Instant>,
}

impl InFlight {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// What it remembers of a key.
#[derive(Debug)]
struct Known {
    attempt: u32,
    /// `InProgress` until [`ScriptedRemediator::finish`].
    outcome: Outcome,
}

impl ScriptedRemediator {
    /// One whose requests all succeed at once, on the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// One that reads the requests' deadlines by this clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default(), changed: Notify::new() }
    }

    /// Adds an answer to the script.
    pub fn reply(&self, reply: Reply) -> &Self {
        self.reply_after(Duration::ZERO, reply)
    }

    /// Adds an answer to a request whose work takes `delay`, also if the client gives up waiting. The effect counts from
    /// the start of the work; until its end a probe that the script does not answer says that it is in progress.
    pub fn reply_after(&self, delay: Duration, reply: Reply) -> &Self {
        self.lock().script.push_back((reply, delay));
        self
    }

    /// The next probe is answered with this, not from memory; `None`: it cannot be asked now.
    pub fn answer_probe(&self, probe: impl Into<Option<Probe>>) -> &Self {
        self.lock().probes.push_back(probe.into());
        self
    }

    /// Whether nobody can reach it, by request, probe or ping.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.lock().unreachable = unreachable;
    }

    /// Ends what was answered with `InProgress`: probes now say `outcome`.
    pub fn finish(&self, key: &IdempotencyKey, outcome: Outcome) {
        let mut state = self.lock();
        let known = state.known.get_mut(key).expect("a test finishes what it has begun");
        known.outcome = outcome;
    }

    /// Every request that reached it, in their order.
    pub fn requests(&self) -> Vec<RemediationRequest> {
        self.lock().requests.clone()
    }

    /// The requests that had an effect. No two have the same key: this remediator sees to it.
    pub fn effects(&self) -> Vec<RemediationRequest> {
        self.lock().effects.clone()
    }

    /// The requests that were refused as stale.
    pub fn stale(&self) -> Vec<RemediationRequest> {
        self.lock().stale.clone()
    }

    /// The keys it was probed for, in their order.
    pub fn probed(&self) -> Vec<IdempotencyKey> {
        self.lock().probed.clone()
    }

    /// Pairs of different keys whose work was under way on one target at the same time: two actions in flight. Work is
    /// under way until it is answered, or, if the client gave up, until it ends or the request's deadline passes; work
    /// answered with `InProgress` until it is [finished](Self::finish).
    pub fn overlaps(&self) -> Vec<(IdempotencyKey, IdempotencyKey)> {
        self.lock().overlaps.clone()
    }

    /// Waits until `count` requests have reached it, and answers all so far.
    ///
    /// # Panics
    /// When they have not after [`PATIENCE`].
    pub async fn called(&self, count: usize) -> Vec<RemediationRequest> {
        self.wait("requests", |state| (state.requests.len() >= count).then(|| state.requests.clone())).await
    }

    /// Waits until it was probed `count` times, and answers the keys so far.
    ///
    /// # Panics
    /// When it was not after [`PATIENCE`].
    pub async fn probed_times(&self, count: usize) -> Vec<IdempotencyKey> {
        self.wait("probes", |state| (state.probed.len() >= count).then(|| state.probed.clone())).await
    }

    async fn wait<T>(&self, what: &str, find: impl Fn(&State) -> Option<T>) -> T {
        let found = timeout(PATIENCE, async {
            loop {
                let changed = self.changed.notified();
                let found = find(&self.lock());
                match found {
                    Some(found) => return found,
                    None => changed.await,
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("the {what} did not come; so far: {:?}", self.requests()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no call panics while it holds the lock")
    }
}

#[async_trait]
impl Remediator for ScriptedRemediator {
    async fn remediate(&self, request: &RemediationRequest) -> Result<Outcome, RemediatorError> {
        let begun = self.lock().begin(request);
        self.changed.notify_waiters();
        let (reply, delay) = begun?;
        let now = Instant::now();
        let deadline = now + request.deadline.since(self.clock.now());
        let mut work = Work { remediator: self, request, ends: deadline.min(now + delay) };
        sleep(delay).await;
        work.ends = Instant::now();
        match reply {
            Reply::Outcome(outcome) => Ok(outcome),
            Reply::Unavailable => Err(RemediatorError::Unavailable("scripted".into())),
            Reply::Throttled(retry_after) => Err(RemediatorError::Throttled { retry_after }),
            Reply::Indeterminate { .. } => Err(RemediatorError::Indeterminate("scripted".into())),
            Reply::Hang { .. } => pending().await,
        }
    }

    async fn probe(&self, key: &IdempotencyKey) -> Result<Probe, RemediatorError> {
        let mut state = self.lock();
        if state.unreachable {
            return Err(RemediatorError::Unavailable("scripted".into()));
        }
        state.probed.push(key.clone());
        let answer = match state.probes.pop_front() {
            Some(scripted) => scripted.ok_or_else(|| RemediatorError::Unavailable("scripted".into())),
            None if state.is_under_way(key) => Ok(Probe::InProgress),
            None => Ok(match state.known.get(key).map(|known| known.outcome.clone()) {
                None => Probe::NotDone,
                Some(Outcome::InProgress) => Probe::InProgress,
                Some(outcome) => Probe::Done(outcome),
            }),
        };
        drop(state);
        self.changed.notify_waiters();
        answer
    }

    async fn ping(&self) -> Result<(), RemediatorError> {
        if self.lock().unreachable { Err(RemediatorError::Unavailable("scripted".into())) } else { Ok(()) }
    }
}

impl Default for ScriptedRemediator {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// Takes a request: answers from memory, or has the effect that the script's next reply stands for.
    fn begin(&mut self, request: &RemediationRequest) -> Result<(Reply, Duration), RemediatorError> {
        if self.unreachable {
            return Err(RemediatorError::Unavailable("scripted".into()));
        }
        self.requests.push(request.clone());
        self.enter(request);
        if let Some(known) = self.known.get_mut(&request.key) {
            if request.attempt < known.attempt {
                self.leave(request, Instant::now());
                self.stale.push(request.clone());
                return Err(RemediatorError::Stale);
            }
            let again = matches!(known.outcome, Outcome::Failed { retryable: true, .. });
            if !again || request.attempt == known.attempt {
                known.attempt = request.attempt;
                return Ok((Reply::Outcome(known.outcome.clone()), Duration::ZERO));
            }
        }
        let (reply, delay) = self.script.pop_front().unwrap_or((Reply::success(), Duration::ZERO));
        let done = Outcome::Succeeded { details: None };
        let outcome = match &reply {
            Reply::Outcome(outcome) => Some(outcome.clone()),
            Reply::Indeterminate { done: true } | Reply::Hang { done: true } => Some(done),
            _ => None,
        };
        if let Some(outcome) = outcome {
            if matches!(outcome, Outcome::Succeeded { .. } | Outcome::InProgress) {
                self.effects.push(request.clone());
            }
            self.known.insert(request.key.clone(), Known { attempt: request.attempt, outcome });
        }
        Ok((reply, delay))
    }

    fn enter(&mut self, request: &RemediationRequest) {
        let now = Instant::now();
        let here = self.in_flight.entry(request.target.clone()).or_default();
        here.retain(|work| !work.is_over(now));
        let others: Vec<_> = here.iter().map(|work| work.key.clone()).filter(|key| *key != request.key).collect();
        here.push(InFlight { key: request.key.clone(), until: None });
        let known = &self.known;
        let in_progress = |key: &IdempotencyKey| known.get(key).is_some_and(|k| k.outcome == Outcome::InProgress);
        let unfinished = self.effects.iter().filter(|e| e.target == request.target && e.key != request.key);
        let unfinished = unfinished.map(|effect| effect.key.clone()).filter(in_progress);
        self.overlaps.extend(others.into_iter().chain(unfinished).map(|other| (other, request.key.clone())));
    }

    fn leave(&mut self, request: &RemediationRequest, until: Instant) {
        let works = self.in_flight.get_mut(&request.target).into_iter().flatten();
        if let Some(work) = works.into_iter().find(|work| work.key == request.key && work.until.is_none()) {
            work.until = Some(until);
        }
    }

    /// Whether the client of a key gave up although the work goes on.
    fn is_under_way(&self, key: &IdempotencyKey) -> bool {
        let now = Instant::now();
        self.in_flight.values().flatten().any(|work| work.key == *key && work.until.is_some_and(|until| until > now))
    }
}

/// The work of one request, which goes on until `ends` if the client drops its future.
struct Work<'a> {
    remediator: &'a ScriptedRemediator,
    request: &'a RemediationRequest,
    ends: Instant,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.remediator.lock().leave(self.request, self.ends);
    }
}
