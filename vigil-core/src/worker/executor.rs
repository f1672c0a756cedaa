//! [`Executor`]: carries out one action. Every send is preceded by a committed transition, every outcome recorded before
//! the queue hears of it, and what is not known is never sent again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::heartbeat::Heartbeat;
use crate::action::{Action, ActionStatus, Change};
use crate::clock::Timestamp;
use crate::context::{Context, chain};
use crate::metric::Snapshot;
use crate::policy::{Policy, PolicyName, Verdict};
use crate::queue::Claim;
use crate::remediator::{Outcome, Probe, RemediationRequest, RemediatorError};
use crate::retry::FailureClass;
use crate::store::{Actor, StoreError};
use crate::target::Target;

/// What the queue is told about a task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// Nothing is left to do.
    Done,
    /// The action was final already: another delivery, or a cancellation, was faster.
    Duplicate,
    /// Deliver it again, after this long.
    Again(Duration),
    /// It can never be done.
    Dead(String),
}

/// How the remediator's word about an attempt is to be taken.
enum Answer {
    Outcome(Outcome),
    NotTaken {
        class: FailureClass,
        error: String,
    },
    /// Sent, outcome unknown.
    Unknown {
        error: String,
    },
    /// A newer attempt exists.
    Stale,
}

/// Whether an action is still wanted.
enum Wanted {
    /// By a policy, under the revision that was read; by a person if `None`.
    By(Option<(PolicyName, i64)>),
    /// No longer, and why.
    NoLonger(String),
}

/// The samples by which a policy judges a target.
struct Sight {
    policy: Arc<Policy>,
    target: Target,
    /// When they were looked at.
    now: Timestamp,
    metrics: Snapshot,
}

pub(super) struct Executor<'a> {
    context: Arc<Context>,
    heartbeat: &'a Heartbeat,
    shutdown: CancellationToken,
    actor: Actor,
}

impl<'a> Executor<'a> {
    /// How long a task waits whose target is occupied, or whose action another worker has.
    const BUSY: Duration = Duration::from_secs(1);
    /// The longest wait between two looks at an action that a brake stops.
    const BRAKED: Duration = Duration::from_secs(5);
    /// How often it comes in vain until that wait grows no more.
    const BUSY_GROWS: u32 = 5;
    /// The longest wait between two tries to record an outcome.
    const RECORD: Duration = Duration::from_secs(1);
    /// The longest wait between two probes.
    const PROBE: Duration = Duration::from_secs(5);

    pub(super) fn new(context: Arc<Context>, heartbeat: &'a Heartbeat, shutdown: CancellationToken) -> Self {
        Self { context, heartbeat, shutdown, actor: Actor::new("worker") }
    }

    /// Does what the action behind the claim needs now.
    pub(super) async fn deliver(&self, claim: &Claim) -> Disposition {
        let delivered = self.try_deliver(claim).await;
        self.heartbeat.hold(None);
        delivered.unwrap_or_else(|error| {
            tracing::error!(action_id = %claim.task.action_id, error = chain(&error), "the action could not be worked on");
            Disposition::Again(self.backoff(claim.deliveries))
        })
    }

    async fn try_deliver(&self, claim: &Claim) -> Result<Disposition, StoreError> {
        // Side by side: all are read after the claim, and none looks at another.
        let key = claim.task.key();
        let read = async { tokio::try_join!(self.context.store.action(&key), self.context.catalog.refresh()) };
        let (read, seen) = tokio::join!(read, self.foresee(claim));
        let (action, ()) = read?;
        let Some(action) = action else {
            return Ok(Disposition::Dead(format!("action {} does not exist", claim.task.action_id)));
        };
        if !action.managed {
            return Ok(Disposition::Dead(format!("action {} was recorded by a client, who carries it out", action.id)));
        }
        match action.status {
            ActionStatus::Pending => self.begin(action, claim, seen).await,
            ActionStatus::Running if action.indeterminate_at.is_some() => Ok(Disposition::Done),
            ActionStatus::Running => self.take_over(action, claim).await,
            ActionStatus::Completed | ActionStatus::Failed | ActionStatus::Cancelled => Ok(Disposition::Duplicate),
        }
    }

    /// A pending action: is it still wanted? Then occupy the target and send.
    async fn begin(&self, action: Action, claim: &Claim, seen: Option<Sight>) -> Result<Disposition, StoreError> {
        let now = self.context.store.now().await?;
        if now >= action.expires_at {
            let reason = format!("expired: not taken within {} s", self.context.settings.expires_after.as_secs());
            return self.cancel(&action, reason).await;
        }
        if now < action.not_before {
            return Ok(Disposition::Again(action.not_before.min(action.expires_at).since(now)));
        }
        let policy = match self.wanted(&action, seen).await? {
            Wanted::By(policy) => policy,
            Wanted::NoLonger(reason) => return self.cancel(&action, reason).await,
        };
        let begun = Instant::now();
        let (lease, deadline) = (self.context.settings.lease, self.context.settings.deadline);
        match self.transition(&action, Change::Start { lease, deadline, policy }).await {
            Ok(running) => self.send(running, claim, begun).await,
            Err(StoreError::Occupied { .. }) => {
                Ok(Disposition::Again(Self::BUSY * claim.deliveries.clamp(1, Self::BUSY_GROWS)))
            }
            Err(StoreError::Braked { .. }) => Ok(Disposition::Again(self.braked(claim))),
            Err(StoreError::Conflict(_) | StoreError::PolicyChanged(_)) => Ok(Disposition::Again(Duration::ZERO)),
            Err(error) => Err(error),
        }
    }

    /// A running action that was delivered again: its worker has it, or was lost.
    async fn take_over(&self, action: Action, claim: &Claim) -> Result<Disposition, StoreError> {
        let now = self.context.store.now().await?;
        if action.is_leased(now) {
            let until = action.lease_until.map_or(Duration::ZERO, |until| until.since(now));
            return Ok(Disposition::Again(until.min(self.context.settings.lease) + Self::BUSY));
        }
        if action.crashes >= self.context.settings.max_crashes {
            let error = format!("{} workers were lost on it", action.crashes);
            self.transition(&action, Change::GiveUp { error: error.clone() }).await?;
            return Ok(Disposition::Dead(format!("action {}: {error}", action.id)));
        }
        match self.transition(&action, Change::TakeOver { lease: self.context.settings.lease }).await {
            Ok(taken) => self.ask(taken, claim, "its worker was lost".to_owned()).await,
            Err(StoreError::Conflict(_) | StoreError::Illegal(_)) => Ok(Disposition::Again(Self::BUSY)),
            Err(error) => Err(error),
        }
    }

    /// Sends the newest attempt of a running action whose lease is ours.
    async fn send(&self, action: Action, claim: &Claim, begun: Instant) -> Result<Disposition, StoreError> {
        let settings = &self.context.settings;
        if begun.elapsed() + settings.lease_margin > settings.lease {
            self.context.store.extend_lease(&action.key(), action.version, settings.lease).await?;
        }
        let request_id = format!("{:016x}", self.context.random.next_u64());
        let request = RemediationRequest::of(&action, &claim.task.task_id, request_id);
        // The Store stamped the sample: this process's clock may be another one.
        if let (Some(seen), Ok(now)) = (action.evidence_at, self.context.store.now().await) {
            self.context.telemetry.loop_latency(now.since(seen));
        }
        tracing::info!(tenant = %action.tenant, action_id = %action.id, policy = action.policy.as_ref().map(super::super::policy::PolicyName::as_str),
            target = %action.target, action = %action.action, attempt = action.attempt, request_id = request.request_id,
            "remediation sent");
        let sent = Instant::now();
        // Behind the attempt's deadline its target may be another action's.
        let patience = settings.remediation_timeout.min(settings.deadline);
        let answer = match timeout(patience, self.context.remediator.remediate(&request)).await {
            Ok(Ok(outcome)) => Answer::Outcome(outcome),
            Ok(Err(error)) => Answer::of(&error),
            Err(_) => Answer::Unknown { error: format!("no answer within {} s", patience.as_secs()) },
        };
        self.context.telemetry.remediation(sent.elapsed());
        self.context.telemetry.remediator_answered(answer.word());
        match answer {
            Answer::Outcome(Outcome::InProgress) => self.ask(action, claim, "it is in progress".to_owned()).await,
            Answer::Outcome(outcome) => self.record(&action, outcome).await,
            Answer::NotTaken { class, error } => self.defer(&action, class, error).await,
            Answer::Unknown { error } => self.ask(action, claim, error).await,
            Answer::Stale => Ok(Disposition::Again(Self::BUSY)),
        }
    }

    /// Asks the remediator what became of the newest attempt, until it knows, or says that it cannot, or the attempt's
    /// deadline passes.
    async fn ask(&self, action: Action, claim: &Claim, why: String) -> Result<Disposition, StoreError> {
        let settings = &self.context.settings;
        let key = action.idempotency_key();
        let mut asked = 0;
        loop {
            let unclear = match timeout(settings.remediation_timeout, self.context.remediator.probe(&key)).await {
                Ok(Ok(Probe::Done(Outcome::InProgress) | Probe::InProgress)) => "it is in progress".to_owned(),
                Ok(Ok(Probe::Done(outcome))) => return self.record(&action, outcome).await,
                Ok(Ok(Probe::NotDone)) => return self.send_again(action, claim, why).await,
                Ok(Ok(Probe::Unknown)) => {
                    return self.indeterminate(&action, format!("{why}; the remediator cannot tell")).await;
                }
                Ok(Err(error)) => chain(&error),
                Err(_) => return self.indeterminate(&action, format!("{why}; the probe was not answered")).await,
            };
            let now = self.context.store.now().await?;
            if action.deadline.is_none_or(|deadline| now >= deadline) {
                return self.indeterminate(&action, format!("{why}; at the deadline: {unclear}")).await;
            }
            asked += 1;
            let wait = Duration::from_millis(250).saturating_mul(1 << asked.min(5)).min(Self::PROBE);
            tokio::select! {
                () = sleep(wait) => {}
                () = self.shutdown.cancelled() => {
                    self.transition(&action, Change::HandOver).await?;
                    return Ok(Disposition::Again(Duration::ZERO));
                }
            }
        }
    }

    /// The remediator never took the attempt: send the next one, if the action is still wanted.
    async fn send_again(&self, action: Action, claim: &Claim, error: String) -> Result<Disposition, StoreError> {
        self.context.catalog.refresh().await?;
        let policy = match self.wanted(&action, None).await? {
            Wanted::By(policy) => policy,
            Wanted::NoLonger(reason) => {
                let cancelled = self.transition(&action, Change::Cancel { reason }).await?;
                let report = "the remediator never took it".to_owned();
                self.transition(&cancelled, Change::Release { report }).await?;
                return Ok(Disposition::Done);
            }
        };
        let jitter = self.context.random.jitter();
        if self.context.settings.retry.decide(action.tries + 1, FailureClass::Taken, jitter).is_none() {
            return self.finish(&action, Change::Fail { error: format!("{error}, {} times", action.tries + 1) }).await;
        }
        let begun = Instant::now();
        let (lease, deadline) = (self.context.settings.lease, self.context.settings.deadline);
        match self.transition(&action, Change::SendAgain { lease, deadline, error: error.clone(), policy }).await {
            Ok(running) => Box::pin(self.send(running, claim, begun)).await,
            // Nothing was done, and nothing may be: it waits as if it had not been taken.
            Err(StoreError::Braked { .. }) => {
                let delay = self.braked(claim);
                self.finish(&action, Change::Defer { delay, error: format!("{error}; then the brake was on") }).await?;
                Ok(Disposition::Again(delay))
            }
            // Nothing was done: the next delivery reads the policies again.
            Err(StoreError::PolicyChanged(_)) => {
                let change =
                    Change::Defer { delay: Duration::ZERO, error: format!("{error}; then the policy was changed") };
                self.finish(&action, change).await?;
                Ok(Disposition::Again(Duration::ZERO))
            }
            Err(StoreError::Conflict(_)) => Ok(Disposition::Again(Duration::ZERO)),
            Err(error) => Err(error),
        }
    }

    /// Whether an action is still wanted, by the policies as they were just read: its policy or its violation may be gone.
    async fn wanted(&self, action: &Action, seen: Option<Sight>) -> Result<Wanted, StoreError> {
        let (Some(name), Some(revision)) = (&action.policy, action.policy_revision) else {
            return Ok(Wanted::By(None));
        };
        let set = self.context.catalog.set();
        let Some(policy) = set.policy(&action.tenant, name).filter(|policy| policy.enabled) else {
            return Ok(Wanted::NoLonger(format!("the policy '{name}' is gone or disabled")));
        };
        let same = policy.auto_remediate
            && policy.action == action.action
            && policy.params == action.params
            && action.condition.as_ref() == Some(&policy.condition_spec)
            && policy.target.matches(&action.target);
        if policy.revision != revision && !same {
            return Ok(Wanted::NoLonger(format!("the policy '{name}' was changed")));
        }
        let is_of_it = |sight: &Sight| Arc::ptr_eq(&sight.policy, policy) && sight.target == action.target;
        let Sight { now, metrics, .. } = match seen.filter(is_of_it) {
            Some(sight) => sight,
            None => self.look(policy, &action.target).await?,
        };
        let verdict = self.context.recovery_verdict(action, policy.evaluate(&metrics), &metrics).await?;
        let evidence_at = action.evidence_at.unwrap_or(action.started_at);
        let is_old = now.since(evidence_at) >= self.context.settings.expires_after;
        Ok(match verdict {
            Verdict::Unmet => Wanted::NoLonger("the condition is no longer met".to_owned()),
            Verdict::Unknown if is_old => Wanted::NoLonger("no data for the condition within expires_after".to_owned()),
            Verdict::Met | Verdict::Unknown => Wanted::By(Some((name.clone(), policy.revision))),
        })
    }

    /// What the action's policy will look at, if its task tells the truth. Whoever needs it and does not have it looks again.
    async fn foresee(&self, claim: &Claim) -> Option<Sight> {
        let task = &claim.task;
        let name = PolicyName::new(task.policy_name.as_deref()?).ok()?;
        let set = self.context.catalog.set();
        self.look(set.policy(&task.tenant, &name)?, &task.target).await.ok()
    }

    async fn look(&self, policy: &Arc<Policy>, target: &Target) -> Result<Sight, StoreError> {
        let now = self.context.store.now().await?;
        let since = now - self.context.settings.staleness;
        let metrics = self.context.snapshot(&policy.tenant, Some(policy), target, since, now).await?;
        Ok(Sight { policy: policy.clone(), target: target.clone(), now, metrics })
    }

    async fn record(&self, action: &Action, outcome: Outcome) -> Result<Disposition, StoreError> {
        let settings = &self.context.settings;
        match outcome {
            Outcome::Succeeded { details } => {
                self.finish(action, Change::Complete { details, settle: settings.settle, verify: settings.verify })
                    .await
            }
            Outcome::Rejected { reason } => {
                self.finish(action, Change::Fail { error: format!("rejected: {reason}") }).await
            }
            Outcome::Failed { reason, retryable: false } => self.finish(action, Change::Fail { error: reason }).await,
            Outcome::Failed { reason, retryable: true } => {
                match settings.retry.decide(action.tries + 1, FailureClass::Taken, self.context.random.jitter()) {
                    Some(delay) => {
                        let delay = self.until_expiry(action, delay).await?;
                        self.finish(action, Change::Retry { delay, error: reason }).await?;
                        Ok(Disposition::Again(delay))
                    }
                    None => {
                        let error = format!("{reason} ({} tries)", action.tries + 1);
                        self.finish(action, Change::Fail { error }).await
                    }
                }
            }
            Outcome::InProgress => Ok(Disposition::Again(Self::BUSY)),
        }
    }

    async fn defer(&self, action: &Action, class: FailureClass, error: String) -> Result<Disposition, StoreError> {
        let jitter = self.context.random.jitter();
        let delay = self
            .context
            .settings
            .retry
            .decide(action.attempt, class, jitter)
            .unwrap_or(self.context.settings.retry.cap);
        let delay = self.until_expiry(action, delay).await?;
        self.finish(action, Change::Defer { delay, error }).await?;
        Ok(Disposition::Again(delay))
    }

    /// A wait that ends at the action's expiry at the latest: a delivery cancels it then.
    async fn until_expiry(&self, action: &Action, delay: Duration) -> Result<Duration, StoreError> {
        Ok(delay.min(action.expires_at.since(self.context.store.now().await?)))
    }

    async fn indeterminate(&self, action: &Action, error: String) -> Result<Disposition, StoreError> {
        let (settle, verify) = (self.context.settings.settle, self.context.settings.verify);
        self.finish(action, Change::Indeterminate { error, settle, verify }).await
    }

    async fn cancel(&self, action: &Action, reason: String) -> Result<Disposition, StoreError> {
        match self.transition(action, Change::Cancel { reason }).await {
            Ok(_) => Ok(Disposition::Done),
            Err(StoreError::Conflict(_)) => Ok(Disposition::Again(Duration::ZERO)),
            Err(error) => Err(error),
        }
    }

    /// Records the end of an attempt. If the row was changed meanwhile the report is late: it goes to the audit only.
    async fn finish(&self, action: &Action, change: Change) -> Result<Disposition, StoreError> {
        let (begun, mut tries) = (Instant::now(), 0_u32);
        loop {
            match self.transition(action, change.clone()).await {
                Ok(_) => return Ok(Disposition::Done),
                Err(StoreError::Conflict(_)) => return self.report_late(action, &change).await,
                // What is known must not be forgotten, and asked for again, because the Store was away for a moment. Without
                // it the lease is not extended either: longer than that somebody else has the action.
                Err(error @ StoreError::Unavailable(_)) if begun.elapsed() < self.context.settings.lease => {
                    tracing::warn!(action_id = %action.id, error = chain(&error), "an outcome could not be recorded; trying again");
                    tries += 1;
                    sleep(Duration::from_millis(50).saturating_mul(1 << tries.min(5)).min(Self::RECORD)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Frees the target of a cancelled attempt whose end was reported. Without a report it may still run: its target
    /// stays occupied until the deadline.
    async fn report_late(&self, action: &Action, change: &Change) -> Result<Disposition, StoreError> {
        let report = format!("late report of attempt {}: {}", action.attempt, change.verb());
        tracing::warn!(action_id = %action.id, attempt = action.attempt, report, "the action was changed meanwhile");
        match self.context.store.action(&action.key()).await? {
            Some(now) if now.status.is_final() && now.occupies && now.attempt == action.attempt => {
                if !change.is_report() {
                    return Ok(Disposition::Done);
                }
                self.transition(&now, Change::Release { report }).await?;
                Ok(Disposition::Done)
            }
            Some(now) if !now.status.is_final() => Ok(Disposition::Again(Self::BUSY)),
            _ => Ok(Disposition::Done),
        }
    }

    async fn transition(&self, action: &Action, change: Change) -> Result<Action, StoreError> {
        let (verb, reason) = (change.verb(), change.reason().map(str::to_owned));
        let after = self.context.store.transition(&action.key(), action.version, change, None, &self.actor).await?;
        let held = after.lease_until.is_some().then(|| (after.key(), after.version));
        self.heartbeat.hold(held);
        tracing::info!(tenant = %after.tenant, action_id = %after.id, policy = after.policy.as_ref().map(super::super::policy::PolicyName::as_str),
            target = %after.target, action = %after.action, status = %after.status, attempt = after.attempt, change = verb,
            reason, "action changed");
        self.context.announce(after.clone());
        Ok(after)
    }

    /// How long an action waits that a brake stops: the longer the more often it was looked at.
    fn braked(&self, claim: &Claim) -> Duration {
        self.backoff(claim.deliveries).clamp(Self::BUSY, Self::BRAKED)
    }

    fn backoff(&self, deliveries: u32) -> Duration {
        let jitter = self.context.random.jitter();
        self.context.settings.retry.decide(deliveries, FailureClass::NotTaken, jitter).unwrap_or(Self::BUSY)
    }
}

impl Answer {
    /// What it is counted as.
    fn word(&self) -> &'static str {
        match self {
            Self::Outcome(Outcome::Succeeded { .. }) => "succeeded",
            Self::Outcome(Outcome::Rejected { .. }) => "rejected",
            Self::Outcome(Outcome::Failed { .. }) => "failed",
            Self::Outcome(Outcome::InProgress) => "in_progress",
            Self::NotTaken { .. } => "not_taken",
            Self::Unknown { .. } => "unknown",
            Self::Stale => "stale",
        }
    }

    fn of(error: &RemediatorError) -> Self {
        match error {
            RemediatorError::Unavailable(_) => Self::NotTaken { class: FailureClass::NotTaken, error: chain(error) },
            RemediatorError::Throttled { retry_after } => {
                Self::NotTaken { class: FailureClass::Throttled(*retry_after), error: chain(error) }
            }
            RemediatorError::Indeterminate(_) => Self::Unknown { error: chain(error) },
            RemediatorError::Stale => Self::Stale,
        }
    }
}
