//! The fakes: faults strike where they were planned, and the scripted remediator keeps the contract.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use vigil_core::action::ActionId;
use vigil_core::queue::{MemoryQueue, Queue, QueueError};
use vigil_core::random::Random;
use vigil_core::remediator::{Outcome, Probe, RemediationRequest, Remediator, RemediatorError};
use vigil_core::store::{ActionFilter, MemoryStore, Store, StoreError};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{
    Effect, Fault, FaultyQueue, FaultyStore, ManualClock, Reply, ScriptedRemediator, SeededRandom, eventually, intent,
    task,
};

async fn count(store: &dyn Store) -> usize {
    let filter = ActionFilter { limit: 100, ..ActionFilter::default() };
    store.actions(&TenantId::default(), &filter).await.unwrap().len()
}

/// Whether a call is still waiting after everything else had its turn.
async fn hangs<T>(call: impl Future<Output = T>) -> bool {
    timeout(Duration::from_secs(3600), call).await.is_err()
}

#[tokio::test]
async fn a_planned_fault_fails_one_call_before_or_after_its_effect() {
    let store = FaultyStore::new(Arc::new(MemoryStore::new()));
    store.faults().plan("admit", 2, Fault::Fail, Effect::Missing);
    store.faults().plan("admit", 3, Fault::Fail, Effect::Done);
    assert!(store.admit(intent("a"), &[]).await.is_ok());
    for wanted in [1, 2] {
        store.ping().await.unwrap();
        let failed = store.admit(intent("b"), &[]).await;
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
        assert_eq!(count(&store).await, wanted);
    }
    assert!(store.admit(intent("d"), &[]).await.is_ok());
    assert_eq!(store.faults().strikes(), 2);
    store.faults().struck(2).await;
    assert_eq!(store.faults().calls()[..4], ["admit", "ping", "admit", "actions"]);
}

#[tokio::test]
async fn a_fault_of_any_method_counts_every_call() {
    let queue = FaultyQueue::new(Arc::new(MemoryQueue::new()));
    queue.faults().plan(None, 3, Fault::Fail, Effect::Missing);
    assert!(queue.ping().await.is_ok());
    assert!(queue.stats().await.is_ok());
    assert!(matches!(queue.ping().await, Err(QueueError::Unavailable(_))));
    assert!(queue.ping().await.is_ok());
    queue.faults().plan(None, 1, Fault::Fail, Effect::Missing);
    queue.faults().clear();
    assert!(queue.ping().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_has_its_effect_or_not_and_holds_up_nobody_else() {
    let store = FaultyStore::new(Arc::new(MemoryStore::new()));
    store.faults().plan("admit", 1, Fault::Hang, Effect::Missing);
    store.faults().plan("admit", 2, Fault::Hang, Effect::Done);
    assert!(hangs(store.admit(intent("a"), &[])).await);
    assert_eq!(count(&store).await, 0);
    assert!(hangs(store.admit(intent("a"), &[])).await);
    assert_eq!(count(&store).await, 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_no_call_completes_or_has_an_effect() {
    let inner = Arc::new(MemoryQueue::new());
    let queue = FaultyQueue::new(inner.clone());
    let of = |number| task(&intent("a").into_action(ActionId(number), ManualClock::START), number.unsigned_abs());
    queue.faults().plan("enqueue", 1, Fault::Crash, Effect::Done);
    assert!(hangs(queue.enqueue(of(1), Duration::ZERO)).await);
    assert!(hangs(queue.enqueue(of(2), Duration::ZERO)).await);
    assert!(hangs(queue.ping()).await);
    queue.faults().struck(1).await;
    assert_eq!(inner.stats().await.unwrap().enqueued, 1);
}

#[tokio::test]
async fn during_an_outage_every_call_fails() {
    let store = FaultyStore::new(Arc::new(MemoryStore::new()));
    store.faults().down();
    assert!(store.admit(intent("a"), &[]).await.is_err() && store.ping().await.is_err());
    store.faults().up();
    assert_eq!(count(&store).await, 0);
}

fn request(attempt: u32, id: i64) -> RemediationRequest {
    let mut action = intent("web-1").into_action(ActionId(id), ManualClock::START);
    action.attempt = attempt;
    RemediationRequest::of(&action, "task_1", "request".to_owned())
}

#[tokio::test]
async fn the_remediator_has_one_effect_a_key_and_repeats_its_outcome() {
    let remediator = ScriptedRemediator::new();
    let key = request(1, 1).key;
    assert_eq!(remediator.probe(&key).await.unwrap(), Probe::NotDone);
    let done = Outcome::Succeeded { details: None };
    for attempt in [1, 1, 2] {
        assert_eq!(remediator.remediate(&request(attempt, 1)).await.unwrap(), done);
    }
    assert!(matches!(remediator.remediate(&request(1, 1)).await, Err(RemediatorError::Stale)));
    assert_eq!(remediator.probe(&key).await.unwrap(), Probe::Done(done));
    assert_eq!((remediator.called(4).await.len(), remediator.effects().len(), remediator.stale().len()), (4, 1, 1));
    assert_eq!(remediator.probed_times(2).await.len(), 2);
    assert_eq!(remediator.overlaps(), []);
}

#[tokio::test]
async fn the_remediator_acts_anew_only_for_a_higher_attempt_after_a_retryable_failure() {
    let remediator = ScriptedRemediator::new();
    remediator.reply(Reply::retryable("busy")).reply(Reply::failure("broken"));
    let retryable = Outcome::Failed { reason: "busy".to_owned(), retryable: true };
    let broken = Outcome::Failed { reason: "broken".to_owned(), retryable: false };
    for (attempt, wanted) in [(1, &retryable), (1, &retryable), (2, &broken), (3, &broken)] {
        assert_eq!(remediator.remediate(&request(attempt, 1)).await.unwrap(), *wanted);
    }
    assert_eq!(remediator.effects(), []);
}

#[tokio::test]
async fn what_was_not_taken_is_not_remembered() {
    let remediator = ScriptedRemediator::new();
    let wait = Duration::from_secs(3);
    remediator.reply(Reply::Unavailable).reply(Reply::Throttled(wait)).reply(Reply::Indeterminate { done: false });
    assert!(matches!(remediator.remediate(&request(1, 1)).await, Err(RemediatorError::Unavailable(_))));
    let throttled = remediator.remediate(&request(2, 1)).await;
    assert!(matches!(throttled, Err(RemediatorError::Throttled { retry_after }) if retry_after == wait));
    assert!(matches!(remediator.remediate(&request(3, 1)).await, Err(RemediatorError::Indeterminate(_))));
    assert_eq!(remediator.probe(&request(1, 1).key).await.unwrap(), Probe::NotDone);
    assert_eq!(remediator.effects(), []);
    assert!(remediator.remediate(&request(1, 1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_was_done_without_an_answer_is_remembered() {
    let remediator = ScriptedRemediator::new();
    remediator.reply(Reply::Indeterminate { done: true }).reply(Reply::Hang { done: true });
    assert!(matches!(remediator.remediate(&request(1, 1)).await, Err(RemediatorError::Indeterminate(_))));
    assert!(hangs(remediator.remediate(&request(1, 2))).await);
    for id in [1, 2] {
        let probe = remediator.probe(&request(1, id).key).await.unwrap();
        assert_eq!(probe, Probe::Done(Outcome::Succeeded { details: None }));
    }
    assert_eq!(remediator.effects().len(), 2);
    assert_eq!(remediator.overlaps(), [], "the first was answered and the second dropped");
}

#[tokio::test(start_paused = true)]
async fn two_actions_under_way_on_one_target_are_noticed() {
    let remediator = ScriptedRemediator::new();
    remediator.reply_after(Duration::from_secs(5), Reply::success());
    let (first, second) = (request(1, 1), request(1, 2));
    let _ = tokio::join!(remediator.remediate(&first), remediator.remediate(&second));
    assert_eq!(remediator.overlaps(), [(first.key, second.key)]);
}

#[tokio::test(start_paused = true)]
async fn work_goes_on_when_its_client_gives_up_until_it_ends_or_its_deadline_passes() {
    let remediator = ScriptedRemediator::with_clock(Arc::new(ManualClock::new()));
    for (delay, ends) in [(5, 5), (10_000, 600)] {
        let (before, work) = (remediator.overlaps().len(), Duration::from_secs(delay));
        remediator.reply_after(work, Reply::success());
        let first = request(1, 1 + i64::try_from(delay).unwrap());
        assert!(timeout(Duration::from_secs(1), remediator.remediate(&first)).await.is_err());
        assert_eq!(remediator.probe(&first.key).await.unwrap(), Probe::InProgress);
        remediator.remediate(&request(1, 1)).await.unwrap();
        assert_eq!(remediator.overlaps().len(), before + 1);
        tokio::time::sleep(Duration::from_secs(ends)).await;
        assert!(matches!(remediator.probe(&first.key).await.unwrap(), Probe::Done(_)));
        remediator.remediate(&request(1, 1)).await.unwrap();
        assert_eq!(remediator.overlaps().len(), before + 1);
    }
}

#[tokio::test]
async fn work_in_progress_is_under_way_until_it_is_finished() {
    let remediator = ScriptedRemediator::new();
    remediator.reply(Reply::Outcome(Outcome::InProgress));
    let (first, second) = (request(1, 1), request(1, 2));
    assert_eq!(remediator.remediate(&first).await.unwrap(), Outcome::InProgress);
    assert_eq!(remediator.probe(&first.key).await.unwrap(), Probe::InProgress);
    remediator.remediate(&second).await.unwrap();
    assert_eq!(remediator.overlaps().len(), 1);
    remediator.finish(&first.key, Outcome::Succeeded { details: None });
    assert!(matches!(remediator.probe(&first.key).await.unwrap(), Probe::Done(_)));
    remediator.remediate(&request(1, 3)).await.unwrap();
    assert_eq!(remediator.overlaps().len(), 1);
}

#[tokio::test]
async fn probes_answer_as_told_and_nobody_reaches_what_is_unreachable() {
    let remediator = ScriptedRemediator::new();
    remediator.answer_probe(Probe::Unknown).answer_probe(None);
    let key = request(1, 1).key;
    assert_eq!(remediator.probe(&key).await.unwrap(), Probe::Unknown);
    assert!(matches!(remediator.probe(&key).await, Err(RemediatorError::Unavailable(_))));
    remediator.set_unreachable(true);
    assert!(remediator.probe(&key).await.is_err() && remediator.ping().await.is_err());
    assert!(matches!(remediator.remediate(&request(1, 1)).await, Err(RemediatorError::Unavailable(_))));
    assert_eq!(remediator.requests(), []);
}

#[test]
fn the_same_seed_gives_the_same_numbers() {
    let of = |seed| {
        let random = SeededRandom::new(seed);
        [(); 5].map(|()| random.next_u64())
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the impossible did not come within")]
async fn what_never_comes_is_named() {
    eventually("the impossible", async || None::<()>).await;
}
