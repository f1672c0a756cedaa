//! The Queue in memory keeps the whole contract.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vigil_core::action::ActionId;
use vigil_core::queue::{MemoryQueue, Queue};
use vigil_core::task::Task;
use vigil_core::testing::queue_conformance::QueueFixture;
use vigil_core::testing::{ManualClock, intent, task};

struct Fixture(Arc<MemoryQueue>);

#[async_trait::async_trait]
impl QueueFixture for Fixture {
    async fn open() -> Option<Self> {
        Some(Self(Arc::new(MemoryQueue::new())))
    }

    fn queue(&self) -> Arc<dyn Queue> {
        self.0.clone()
    }
}

vigil_core::queue_conformance!(Fixture);

const HOUR: Duration = Duration::from_secs(3600);

fn new_task(number: i64) -> Task {
    task(&intent("web-1").into_action(ActionId(number), ManualClock::START), number.unsigned_abs())
}

#[tokio::test(start_paused = true)]
async fn delays_leases_and_waits_follow_a_paused_clock() {
    let queue = MemoryQueue::new();
    let began = Instant::now();
    queue.enqueue(new_task(1), HOUR).await.unwrap();
    let claim = queue.claim(HOUR, HOUR * 2, 1).await.unwrap().pop().expect("it is due within the wait");
    assert_eq!(began.elapsed(), HOUR);
    tokio::time::advance(HOUR).await;
    assert_eq!(queue.rescue(1).await.unwrap(), 1);
    assert_eq!(queue.claim(HOUR, HOUR, 1).await.unwrap()[0].deliveries, claim.deliveries + 1);
    assert_eq!(queue.claim(HOUR, HOUR, 1).await.unwrap(), []);
    assert_eq!(began.elapsed(), HOUR * 3);
}

#[tokio::test(start_paused = true)]
async fn the_longest_durations_are_fine() {
    let queue = MemoryQueue::new();
    queue.enqueue(new_task(1), Duration::ZERO).await.unwrap();
    queue.enqueue(new_task(2), Duration::MAX).await.unwrap();
    let claims = queue.claim(Duration::MAX, Duration::MAX, 9).await.unwrap();
    assert_eq!(claims.len(), 1);
    queue.extend(&claims[0], Duration::MAX).await.unwrap();
    queue.retry(&claims[0], Duration::MAX).await.unwrap();
    assert_eq!(queue.stats().await.unwrap().scheduled, 2);
}

#[tokio::test]
async fn dead_letters_are_kept_with_their_reason_up_to_a_bound() {
    let clock = Arc::new(ManualClock::new());
    let queue = MemoryQueue::with_clock(clock);
    let many = MemoryQueue::MAX_DEAD + 3;
    for number in 0..many {
        queue.enqueue(new_task(number as i64), Duration::ZERO).await.unwrap();
    }
    for (number, claim) in queue.claim(HOUR, Duration::ZERO, many).await.unwrap().iter().enumerate() {
        queue.dead_letter(claim, &format!("reason {number}")).await.unwrap();
    }
    let dead = queue.dead_letters();
    assert_eq!(dead.len(), MemoryQueue::MAX_DEAD);
    let (first, task) = (&dead[0], Some(new_task(3)));
    assert_eq!((first.reason.as_str(), first.at, &first.task), ("reason 3", ManualClock::START, &task));
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.dead, stats.failed), (MemoryQueue::MAX_DEAD as u64, many as u64));
    assert_eq!(stats.last_processed, Some(ManualClock::START));
}
