//! [`QueueBench`]: a Queue under test, and short words for what tests do with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::QueueFixture;
use crate::action::{ActionId, ActionKey};
use crate::queue::{Claim, Queue, QueueError, QueueStats};
use crate::store::ActionIntent;
use crate::task::Task;
use crate::tenant::TenantId;
use crate::testing::{ManualClock, eventually, intent, task};

pub(super) const NONE: Duration = Duration::ZERO;
/// A delay or lease that is waited for.
pub(super) const SHORT: Duration = Duration::from_millis(200);
/// A lease or wait that no test lets run out.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// A Queue under test.
pub struct QueueBench {
    fixture: Box<dyn QueueFixture>,
    last: AtomicI64,
}

impl QueueBench {
    /// A fresh one; `None` if the backend is not there.
    pub async fn open<F: QueueFixture>() -> Option<Self> {
        let fixture = F::open().await?;
        Some(Self { fixture: Box::new(fixture), last: AtomicI64::new(0) })
    }

    pub(super) fn queue(&self) -> Arc<dyn Queue> {
        self.fixture.queue()
    }

    /// The task of a new action of a tenant.
    pub(super) fn task_of(&self, tenant: &TenantId) -> Task {
        let number = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        let intent = ActionIntent { tenant: tenant.clone(), ..intent("web-1") };
        task(&intent.into_action(ActionId(number), ManualClock::START), number.unsigned_abs())
    }

    /// The task of a new action.
    pub(super) fn task(&self) -> Task {
        self.task_of(&TenantId::default())
    }

    /// Puts the task of a new action in.
    pub(super) async fn enqueue(&self, delay: Duration) -> Task {
        let task = self.task();
        self.queue().enqueue(task.clone(), delay).await.expect("the task is enqueued");
        task
    }

    /// Claims what is there now.
    pub(super) async fn claim(&self, lease: Duration, max: usize) -> Vec<Claim> {
        self.queue().claim(lease, NONE, max).await.expect("the queue answers a claim")
    }

    /// The ids of the tasks that can be claimed now; claims them.
    pub(super) async fn claim_ids(&self) -> Vec<String> {
        ids(&self.claim(LONG, 100).await)
    }

    /// Waits for a task and claims it.
    pub(super) async fn next(&self, lease: Duration) -> Claim {
        let queue = self.queue();
        // A claim that looks only once more when its wait is over has not been woken.
        let claim = timeout(LONG / 2, queue.claim(lease, LONG, 1)).await;
        let mut claims = claim.expect("a waiting claim is woken").expect("the queue answers a claim");
        claims.pop().expect("a task comes while it is waited for")
    }

    /// Rescues until a task was rescued.
    pub(super) async fn rescue_one(&self) {
        let queue = self.queue();
        eventually("a lost lease", async || {
            let rescued = queue.rescue(100).await.expect("the queue rescues");
            assert!(rescued <= 1);
            (rescued == 1).then_some(())
        })
        .await;
    }

    pub(super) async fn missing(&self, keys: &[ActionKey]) -> Vec<ActionKey> {
        let mut missing = self.queue().missing(keys).await.expect("the queue says what is missing");
        missing.sort();
        missing
    }

    pub(super) async fn stats(&self) -> QueueStats {
        self.queue().stats().await.expect("the queue counts")
    }

    /// Runs `count` calls of `racer` at once on tasks of their own and answers what they answered.
    pub(super) async fn race<T, F>(&self, count: usize, racer: impl Fn(Arc<dyn Queue>, usize) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let together = Arc::new(Barrier::new(count));
        let mut racers = JoinSet::new();
        for number in 0..count {
            let (together, racing) = (together.clone(), racer(self.queue(), number));
            racers.spawn(async move {
                together.wait().await;
                racing.await
            });
        }
        racers.join_all().await
    }
}

pub(super) fn ids(claims: &[Claim]) -> Vec<String> {
    claims.iter().map(|claim| claim.task.task_id.clone()).collect()
}

/// Whether `since` is as long ago as a delay or lease of [`SHORT`], give or take the clock of a queue that counts
/// milliseconds, and yet not longer than anybody should have to wait for it.
pub(super) fn took_short(since: Instant) -> bool {
    (SHORT - Duration::from_millis(5)..LONG / 2).contains(&since.elapsed())
}

pub(super) const fn is_lost(answer: &Result<(), QueueError>) -> bool {
    matches!(answer, Err(QueueError::LeaseLost))
}
