//! Leases: who has a task, and what becomes of it.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use tokio::time::Instant;

use super::QueueBench;
use super::bench::{LONG, NONE, SHORT, ids, is_lost, took_short};

pub async fn a_claimed_task_is_claimed_by_nobody_else(t: &QueueBench) {
    t.enqueue(NONE).await;
    assert_eq!(t.claim_ids().await.len(), 1);
    assert_eq!(t.claim_ids().await, [""; 0]);
}

pub async fn an_acknowledged_task_is_forgotten(t: &QueueBench) {
    let task = t.enqueue(NONE).await;
    let claim = t.next(SHORT).await;
    t.queue().ack(&claim).await.unwrap();
    assert_eq!(t.missing(&[task.key()]).await, [task.key()]);
    // Another task's lease runs out later: by then the first one's would have.
    t.enqueue(NONE).await;
    let other = t.next(SHORT).await;
    t.rescue_one().await;
    assert_eq!(t.claim_ids().await, [other.task.task_id]);
}

pub async fn every_answer_to_a_claim_that_was_answered_is_lease_lost(t: &QueueBench) {
    for answer in 0..3 {
        t.enqueue(NONE).await;
        let claim = t.next(LONG).await;
        let queue = t.queue();
        match answer {
            0 => queue.ack(&claim).await.unwrap(),
            1 => queue.retry(&claim, LONG).await.unwrap(),
            _ => queue.dead_letter(&claim, "never").await.unwrap(),
        }
        let before = t.stats().await;
        assert!(is_lost(&queue.ack(&claim).await));
        assert!(is_lost(&queue.retry(&claim, NONE).await));
        assert!(is_lost(&queue.dead_letter(&claim, "again").await));
        assert!(is_lost(&queue.extend(&claim, LONG).await));
        assert_eq!(t.stats().await, before);
    }
}

pub async fn a_task_whose_lease_ran_out_is_rescued_and_delivered_again(t: &QueueBench) {
    let task = t.enqueue(NONE).await;
    let first = t.next(SHORT).await;
    t.rescue_one().await;
    assert_eq!(t.queue().rescue(100).await.unwrap(), 0);
    let second = t.next(LONG).await;
    assert_eq!((&second.task, second.deliveries), (&task, 2));
    assert_ne!(first.token, second.token);
    t.queue().ack(&second).await.unwrap();
}

pub async fn a_lease_is_not_rescued_before_it_ran_out(t: &QueueBench) {
    t.enqueue(NONE).await;
    let began = Instant::now();
    let claim = t.next(SHORT).await;
    t.rescue_one().await;
    assert!(took_short(began));
    assert!(is_lost(&t.queue().ack(&claim).await));
}

pub async fn a_rescue_wakes_a_waiting_claim(t: &QueueBench) {
    let task = t.enqueue(NONE).await;
    t.next(SHORT).await;
    let (claim, ()) = tokio::join!(t.next(LONG), t.rescue_one());
    assert_eq!(claim.task.task_id, task.task_id);
}

pub async fn a_rescue_takes_no_more_than_it_may(t: &QueueBench) {
    for _ in 0..3 {
        t.enqueue(NONE).await;
    }
    t.claim(SHORT, 3).await;
    let queue = t.queue();
    // The three leases run out together; the last is seen by the last.
    let first = crate::testing::eventually("a lost lease", async || {
        let rescued = queue.rescue(1).await.unwrap();
        (rescued > 0).then_some(rescued)
    });
    assert_eq!(first.await, 1);
    let mut rescued = 1;
    while rescued < 3 {
        let more = queue.rescue(1).await.unwrap();
        assert!(more <= 1);
        rescued += more;
        tokio::task::yield_now().await;
    }
    assert_eq!(t.claim_ids().await.len(), 3);
}

pub async fn a_claim_that_was_rescued_is_void_and_changes_nothing(t: &QueueBench) {
    let task = t.enqueue(NONE).await;
    let lost = t.next(SHORT).await;
    t.rescue_one().await;
    let queue = t.queue();
    let before = t.stats().await;
    assert!(is_lost(&queue.ack(&lost).await));
    assert!(is_lost(&queue.retry(&lost, NONE).await));
    assert!(is_lost(&queue.dead_letter(&lost, "never").await));
    assert!(is_lost(&queue.extend(&lost, LONG).await));
    assert_eq!(t.stats().await, before);
    let held = t.next(LONG).await;
    assert_eq!(held.task, task);
    // Nor does it touch the claim of the worker that has the task now.
    assert!(is_lost(&queue.ack(&lost).await));
    assert!(is_lost(&queue.retry(&lost, NONE).await));
    assert!(is_lost(&queue.extend(&lost, NONE).await));
    assert_eq!(t.claim_ids().await, [""; 0]);
    queue.ack(&held).await.unwrap();
}

pub async fn an_extended_lease_is_not_rescued(t: &QueueBench) {
    t.enqueue(NONE).await;
    let kept = t.next(SHORT).await;
    t.queue().extend(&kept, LONG).await.unwrap();
    let lost = t.enqueue(NONE).await;
    t.next(SHORT).await;
    t.rescue_one().await;
    assert_eq!(t.claim_ids().await, [lost.task_id]);
    t.queue().ack(&kept).await.unwrap();
}

pub async fn an_extension_runs_from_now_also_when_that_is_sooner(t: &QueueBench) {
    t.enqueue(NONE).await;
    let claim = t.next(LONG).await;
    t.queue().extend(&claim, SHORT).await.unwrap();
    t.rescue_one().await;
}

pub async fn a_retried_task_comes_again_after_its_delay(t: &QueueBench) {
    let task = t.enqueue(NONE).await;
    let first = t.next(LONG).await;
    t.queue().retry(&first, NONE).await.unwrap();
    let second = t.next(LONG).await;
    assert_eq!((&second.task, second.deliveries), (&task, 2));
    let began = Instant::now();
    t.queue().retry(&second, SHORT).await.unwrap();
    assert_eq!(t.missing(&[task.key()]).await, []);
    let third = t.next(LONG).await;
    assert_eq!((&third.task, third.deliveries), (&task, 3));
    assert!(took_short(began));
}

pub async fn a_dead_letter_never_comes_again(t: &QueueBench) {
    let task = t.enqueue(NONE).await;
    let claim = t.next(SHORT).await;
    t.queue().dead_letter(&claim, "its action does not exist: naïve ☃").await.unwrap();
    assert_eq!(t.missing(&[task.key()]).await, [task.key()]);
    let other = t.enqueue(NONE).await;
    t.next(SHORT).await;
    t.rescue_one().await;
    assert_eq!(t.claim_ids().await, [other.task_id]);
    assert_eq!(t.stats().await.dead, 1);
}

pub async fn two_tasks_may_deliver_one_action(t: &QueueBench) {
    let first = t.task();
    let second = crate::task::Task { task_id: "task_second".to_owned(), ..first.clone() };
    for task in [&first, &second] {
        t.queue().enqueue(task.clone(), NONE).await.unwrap();
    }
    let claims = t.claim(LONG, 10).await;
    assert_eq!(ids(&claims), [first.task_id.clone(), second.task_id]);
    t.queue().ack(&claims[0]).await.unwrap();
    assert_eq!(t.missing(&[first.key()]).await, []);
    t.queue().ack(&claims[1]).await.unwrap();
    assert_eq!(t.missing(&[first.key()]).await, [first.key()]);
}
