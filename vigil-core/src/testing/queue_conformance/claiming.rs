//! Claiming: what comes out, in which order, and when.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use super::QueueBench;
use super::bench::{LONG, NONE, SHORT, ids, took_short};
use crate::action::Severity;
use crate::task::Task;
use crate::testing::{eventually, target, tenant};

pub async fn the_first_task_in_is_the_first_out(t: &QueueBench) {
    let mut wanted = Vec::new();
    for _ in 0..10 {
        wanted.push(t.enqueue(NONE).await.task_id);
    }
    let mut claimed = ids(&t.claim(LONG, 3).await);
    for _ in 3..8 {
        claimed.push(t.next(LONG).await.task.task_id);
    }
    claimed.extend(t.claim_ids().await);
    assert_eq!(claimed, wanted);
}

pub async fn a_task_comes_out_as_it_went_in(t: &QueueBench) {
    let odd = "naïve ☃ 'quoted' \"double\" \\ \n 🦀";
    let full = Task {
        task_id: "task_naïve:☃ 1".to_owned(),
        target: target("naïve ☃/web {1}"),
        severity: Severity::Critical,
        attempt: 7,
        policy_name: Some("p ☃".to_owned()),
        params: json!({"text": odd, "nested": {"list": [1, 2.5, null]}}).as_object().unwrap().clone(),
        ..t.task_of(&tenant("other"))
    };
    let bare = Task { action: None, policy_name: None, ..t.task() };
    for task in [full, bare] {
        t.queue().enqueue(task.clone(), NONE).await.unwrap();
        let claim = t.next(LONG).await;
        assert_eq!((claim.task, claim.deliveries), (task, 1));
    }
}

pub async fn a_claim_takes_no_more_than_it_may(t: &QueueBench) {
    for _ in 0..5 {
        t.enqueue(NONE).await;
    }
    assert_eq!(t.claim(LONG, 0).await, []);
    assert_eq!(t.claim(LONG, 3).await.len(), 3);
    assert_eq!(t.claim(LONG, 3).await.len(), 2);
}

pub async fn a_claim_takes_what_is_there_and_does_not_wait_for_more(t: &QueueBench) {
    t.enqueue(NONE).await;
    let claims = timeout(LONG / 2, t.queue().claim(LONG, LONG, 10)).await.expect("one task is enough").unwrap();
    assert_eq!(claims.len(), 1);
}

pub async fn a_claim_on_an_empty_queue_ends_after_its_wait(t: &QueueBench) {
    let began = Instant::now();
    assert_eq!(t.claim(LONG, 1).await, []);
    assert_eq!(t.queue().claim(LONG, SHORT, 1).await.unwrap(), []);
    assert!(took_short(began));
}

pub async fn a_waiting_claim_is_woken_by_a_new_task(t: &QueueBench) {
    let (claim, task) = tokio::join!(t.next(LONG), t.enqueue(NONE));
    assert_eq!(claim.task.task_id, task.task_id);
}

pub async fn a_delayed_task_comes_after_its_delay_and_wakes_a_waiting_claim(t: &QueueBench) {
    let began = Instant::now();
    let task = t.enqueue(SHORT).await;
    assert_eq!(t.next(LONG).await.task, task);
    assert!(took_short(began));
}

pub async fn a_delayed_task_holds_nobody_up(t: &QueueBench) {
    let delayed = t.enqueue(LONG).await;
    let prompt = t.enqueue(NONE).await;
    assert_eq!(t.claim_ids().await, [prompt.task_id]);
    assert_eq!(t.missing(&[delayed.key()]).await, []);
}

pub async fn a_claim_that_waits_for_a_delayed_task_is_woken_by_an_earlier_one(t: &QueueBench) {
    t.enqueue(LONG).await;
    let (claim, sooner) = tokio::join!(t.next(LONG), t.enqueue(SHORT));
    assert_eq!(claim.task.task_id, sooner.task_id);
}

pub async fn delayed_tasks_come_in_the_order_they_become_due(t: &QueueBench) {
    let began = Instant::now();
    let third = t.enqueue(SHORT * 3).await;
    let second = t.enqueue(SHORT * 2).await;
    let first = t.enqueue(SHORT).await;
    if began.elapsed() >= SHORT {
        return; // so slow that they are due in another order
    }
    for wanted in [first, second, third] {
        assert_eq!(t.next(LONG).await.task, wanted);
    }
}

pub async fn a_waiting_claim_that_is_dropped_takes_nothing_with_it(t: &QueueBench) {
    let queue = t.queue();
    for _ in 0..3 {
        let given_up = timeout(Duration::from_millis(20), queue.claim(LONG, LONG, 1)).await;
        assert!(given_up.is_err(), "there is nothing to claim");
    }
    let task = t.enqueue(NONE).await;
    assert_eq!(t.next(LONG).await.task, task);
}

pub async fn tasks_of_all_tenants_are_claimed(t: &QueueBench) {
    let mut wanted = HashSet::new();
    for number in 0..9 {
        let task = t.task_of(&tenant(["default", "other", "third"][number % 3]));
        t.queue().enqueue(task.clone(), NONE).await.unwrap();
        wanted.insert((task.tenant, task.task_id));
    }
    let mut claimed = HashSet::new();
    for _ in 0..9 {
        let task = t.next(LONG).await.task;
        claimed.insert((task.tenant, task.task_id));
    }
    assert_eq!(claimed, wanted);
    assert_eq!(t.claim_ids().await, [""; 0]);
}

/// After how many claims of one task each that task came.
async fn claims_until(t: &QueueBench, wanted: &Task) -> usize {
    for claims in 1.. {
        if t.next(LONG).await.task == *wanted {
            return claims;
        }
    }
    unreachable!("the queue is emptied before")
}

pub async fn a_tenants_one_task_is_claimed_within_a_few_claims_whatever_another_has_waiting(t: &QueueBench) {
    for (storm, quiet) in [("storm", "default"), ("default", "quiet"), ("storm", "quiet")] {
        for _ in 0..1000 {
            t.queue().enqueue(t.task_of(&tenant(storm)), NONE).await.unwrap();
        }
        let one = t.task_of(&tenant(quiet));
        t.queue().enqueue(one.clone(), NONE).await.unwrap();
        let claims = claims_until(t, &one).await;
        assert!(claims <= 5, "{quiet} waited for {claims} claims");
    }
    t.queue().ping().await.unwrap();
}

pub async fn a_tenants_one_retry_is_claimed_within_a_few_claims_whatever_another_has_to_try_again(t: &QueueBench) {
    let soon = Duration::from_millis(1);
    for (storm, quiet) in [("storm", "default"), ("default", "quiet")] {
        for _ in 0..1000 {
            t.queue().enqueue(t.task_of(&tenant(storm)), soon).await.unwrap();
        }
        let one = t.task_of(&tenant(quiet));
        t.queue().enqueue(one.clone(), soon).await.unwrap();
        eventually("all to be due", async || (t.stats().await.scheduled == 0).then_some(())).await;
        let claims = claims_until(t, &one).await;
        assert!(claims <= 8, "{quiet} waited for {claims} claims");
    }
}

pub async fn what_comes_again_and_again_does_not_keep_what_waits_from_its_turn(t: &QueueBench) {
    for _ in 0..4 {
        t.enqueue(NONE).await;
    }
    for claim in t.claim(LONG, 4).await {
        t.queue().retry(&claim, NONE).await.unwrap();
    }
    let mut fresh = HashSet::new();
    for _ in 0..3 {
        fresh.insert(t.enqueue(NONE).await.task_id);
    }
    for _ in 0..20 {
        let claim = t.next(LONG).await;
        if !fresh.remove(&claim.task.task_id) {
            t.queue().retry(&claim, NONE).await.unwrap();
        }
    }
    assert!(fresh.is_empty(), "never claimed: {fresh:?}");
}
