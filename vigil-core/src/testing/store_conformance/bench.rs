//! [`StoreBench`]: a Store under test with its clock, and short words for what tests do with them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::StoreFixture;
use crate::action::{Action, ActionId, Change, Verification};
use crate::clock::{Clock, Timestamp};
use crate::episode::Episode;
use crate::metric::{MetricName, Sample};
use crate::policy::{ConditionSpec, PolicyName, PolicySpec, Reason};
use crate::store::{
    ActionIntent, Actor, Admission, AuditEntry, AuditFilter, Due, Expect, Guard, PolicySource, PolicyWrite, Scope,
    Store, StoreError,
};
use crate::tenant::TenantId;
use crate::testing::{ManualClock, MetricBuilder, batch, episode_intent, intent, policy_name, target};

/// More than any list in the suite holds.
pub(super) const ALL: usize = 10_000;
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// The smallest step of time.
pub(super) const TICK: Duration = Duration::from_micros(1);
pub(super) const LEASE: Duration = Duration::from_secs(30);
pub(super) const DEADLINE: Duration = Duration::from_secs(300);
pub(super) const SETTLE: Duration = Duration::from_secs(15);
pub(super) const VERIFY: Duration = Duration::from_secs(60);

/// A Store under test and the clock it judges by.
pub struct StoreBench {
    fixture: Box<dyn StoreFixture>,
    pub(super) clock: Arc<ManualClock>,
}

impl StoreBench {
    /// A fresh one; `None` if the backend is not there.
    pub async fn open<F: StoreFixture>() -> Option<Self> {
        let clock = Arc::new(ManualClock::new());
        let fixture = F::open(clock.clone()).await?;
        Some(Self { fixture: Box::new(fixture), clock })
    }

    pub(super) async fn reopen(&mut self) -> bool {
        self.fixture.reopen().await
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        self.fixture.store()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn pass(&self, by: Duration) -> Timestamp {
        self.clock.advance(by)
    }

    pub(super) async fn record(&self, metrics: impl IntoIterator<Item = MetricBuilder>) {
        self.store().record_metrics(batch(metrics)).await.expect("samples are recorded");
    }

    pub(super) async fn snapshot(&self, scope: &Scope) -> Vec<Sample> {
        let mut samples = self.store().snapshot(scope, Timestamp::MIN).await.expect("the snapshot is there");
        samples.sort_by(|a, b| (&a.metric, &a.tags).cmp(&(&b.metric, &b.tags)));
        samples
    }

    pub(super) async fn admit_under(&self, intent: ActionIntent, guards: &[Guard]) -> Admission {
        self.store().admit(intent, guards).await.expect("the store answers an admission")
    }

    /// Admits without guards.
    pub(super) async fn admit(&self, intent: ActionIntent) -> Action {
        match self.admit_under(intent, &[]).await {
            Admission::Admitted(action) => action,
            other => panic!("nothing stands against it, but the answer is {other:?}"),
        }
    }

    /// The reason of a refusal.
    pub(super) async fn refusal(&self, intent: ActionIntent, guards: &[Guard]) -> Reason {
        match self.admit_under(intent, guards).await {
            Admission::Blocked(reason) => reason,
            other => panic!("a guard does not hold, but the answer is {other:?}"),
        }
    }

    pub(super) async fn try_change(&self, action: &Action, change: Change) -> Result<Action, StoreError> {
        self.store().transition(&action.key(), action.version, change, None, &actor()).await
    }

    pub(super) async fn change(&self, action: &Action, change: Change) -> Action {
        let asked = format!("{change:?}");
        self.try_change(action, change).await.unwrap_or_else(|error| panic!("{asked} is legal, but: {error}"))
    }

    /// An action on a target, admitted and started.
    pub(super) async fn running(&self, on: &str) -> Action {
        self.change(&self.admit(intent(on)).await, start()).await
    }

    pub(super) async fn read(&self, action: &Action) -> Action {
        self.store().action(&action.key()).await.expect("the store answers").expect("the action is there")
    }

    pub(super) async fn open_episode(&self, policy: &str, on: &str) -> Episode {
        self.store().open_episode(episode_intent(policy, on)).await.expect("an episode is opened")
    }

    pub(super) async fn read_episode(&self, episode: &Episode) -> Episode {
        let filter = crate::store::EpisodeFilter { limit: ALL, ..Default::default() };
        let all = self.store().episodes(&episode.tenant, &filter).await.expect("the store answers");
        all.into_iter().find(|known| known.id == episode.id).expect("the episode is there")
    }

    /// Puts a policy of the default tenant, whatever is there; answers its revision.
    pub(super) async fn put(&self, spec: PolicySpec) -> i64 {
        self.write(vec![put(spec, Expect::Any)]).await.expect("the policy is written")
    }

    pub(super) async fn write(&self, writes: Vec<PolicyWrite>) -> Result<i64, StoreError> {
        self.store().write_policies(&TenantId::default(), writes, &actor()).await
    }

    /// Gives all audit entries their sequence and answers those of a tenant.
    pub(super) async fn audit_of(&self, tenant: &TenantId) -> Vec<AuditEntry> {
        while !self.store().sequence_audit(100).await.expect("entries are sequenced").is_empty() {}
        let filter = AuditFilter { limit: ALL, ..AuditFilter::default() };
        self.store().audit(tenant, &filter).await.expect("the audit is listed")
    }

    /// The audit of the default tenant.
    pub(super) async fn audit(&self) -> Vec<AuditEntry> {
        self.audit_of(&TenantId::default()).await
    }

    /// The kinds of the default tenant's audit entries, in their order.
    pub(super) async fn audited(&self) -> Vec<String> {
        self.audit().await.into_iter().map(|entry| entry.kind).collect()
    }

    pub(super) async fn due(&self, kind: Due) -> Vec<ActionId> {
        let due = self.store().due(kind, ActionId(0), ALL).await.expect("the store says what is due");
        due.into_iter().map(|action| action.id).collect()
    }

    /// Runs `count` calls of `racer` at once on tasks of their own and answers what they answered.
    pub(super) async fn race<T, F>(&self, count: usize, racer: impl Fn(Arc<dyn Store>, usize) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let together = Arc::new(Barrier::new(count));
        let mut racers = JoinSet::new();
        for number in 0..count {
            let (together, racing) = (together.clone(), racer(self.store(), number));
            racers.spawn(async move {
                together.wait().await;
                racing.await
            });
        }
        racers.join_all().await
    }
}

pub(super) fn actor() -> Actor {
    Actor::new("test")
}

pub(super) fn scope(on: &str) -> Scope {
    Scope { tenant: TenantId::default(), target: Some(target(on)) }
}

pub(super) fn name(metric: &str) -> MetricName {
    MetricName::new(metric).expect("the test names a valid metric")
}

pub(super) fn condition() -> ConditionSpec {
    ConditionSpec::Exceeds { metric: name("cpu"), threshold: 90.0 }
}

/// What a policy's action on a target shall be: verified by a condition, without an episode.
pub(super) fn by_policy(policy: &str, on: &str) -> ActionIntent {
    ActionIntent { policy: Some((policy_name(policy), 1)), condition: Some(condition()), ..intent(on) }
}

/// The same for an episode.
pub(super) fn for_episode(episode: &Episode) -> ActionIntent {
    ActionIntent {
        tenant: episode.tenant.clone(),
        episode: Some((episode.id, episode.version)),
        ..by_policy(episode.policy.as_str(), episode.target.as_str())
    }
}

pub(super) fn free(on: &str) -> Guard {
    Guard::Free { target: target(on) }
}

pub(super) fn cooldown(policy: &str, on: &str, period: Duration) -> Guard {
    Guard::Cooldown { policy: policy_name(policy), target: target(on), period }
}

pub(super) fn evidence(policy: &str, on: &str, since: Timestamp) -> Guard {
    Guard::Evidence { policy: policy_name(policy), target: target(on), since }
}

pub(super) fn revision(policy: &str, revision: i64) -> Guard {
    Guard::Revision { policy: policy_name(policy), revision }
}

pub(super) fn put(spec: PolicySpec, expect: Expect) -> PolicyWrite {
    PolicyWrite::Put { spec: Arc::new(spec), source: PolicySource::Api, enabled_override: None, expect }
}

pub(super) fn remove(policy: &str, expect: Expect) -> PolicyWrite {
    PolicyWrite::Remove { name: policy_name(policy), expect }
}

pub(super) fn names(policies: &[&str]) -> Vec<PolicyName> {
    policies.iter().map(|name| policy_name(name)).collect()
}

pub(super) fn start() -> Change {
    Change::Start { lease: LEASE, deadline: DEADLINE, policy: None }
}

/// A start for a policy that must be stored under this revision.
pub(super) fn start_under(policy: &str, revision: i64) -> Change {
    Change::Start { lease: LEASE, deadline: DEADLINE, policy: Some((policy_name(policy), revision)) }
}

pub(super) fn take_over() -> Change {
    Change::TakeOver { lease: LEASE }
}

pub(super) fn complete() -> Change {
    Change::Complete { details: Some("restarted".to_owned()), settle: SETTLE, verify: VERIFY }
}

pub(super) fn fail() -> Change {
    Change::Fail { error: "it said no".to_owned() }
}

pub(super) fn give_up() -> Change {
    Change::GiveUp { error: "too many workers were lost".to_owned() }
}

pub(super) fn indeterminate() -> Change {
    Change::Indeterminate { error: "no answer".to_owned(), settle: SETTLE, verify: VERIFY }
}

pub(super) fn cancel() -> Change {
    Change::Cancel { reason: "not wanted".to_owned() }
}

pub(super) fn release() -> Change {
    Change::Release { report: "its deadline passed".to_owned() }
}

pub(super) fn verify(verification: Verification) -> Change {
    Change::Verify { verification, details: "seen".to_owned() }
}

pub(super) fn defer(delay: Duration) -> Change {
    Change::Defer { delay, error: "not now".to_owned() }
}
