//! The books: what is missing, and what is counted.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use super::QueueBench;
use super::bench::{LONG, NONE, SHORT};
use crate::action::{ActionId, ActionKey};
use crate::queue::{Depth, QueueStats};
use crate::tenant::TenantId;
use crate::testing::{eventually, tenant};

pub async fn an_action_is_not_missing_while_a_task_waits_is_delayed_or_leased(t: &QueueBench) {
    let leased = t.enqueue(NONE).await;
    t.next(LONG).await;
    let waiting = t.enqueue(NONE).await;
    let delayed = t.enqueue(LONG).await;
    let mut absent: Vec<ActionKey> = [1_000, 2_000].map(|id| ActionKey { id: ActionId(id), ..leased.key() }).into();
    let all = [absent[0].clone(), leased.key(), waiting.key(), absent[1].clone(), delayed.key()];
    absent.sort();
    assert_eq!(t.missing(&all).await, absent);
    assert_eq!(t.missing(&[]).await, []);
}

pub async fn an_action_is_not_missing_after_its_task_was_rescued_or_retried(t: &QueueBench) {
    let task = t.enqueue(NONE).await;
    t.next(SHORT).await;
    t.rescue_one().await;
    assert_eq!(t.missing(&[task.key()]).await, []);
    let claim = t.next(LONG).await;
    t.queue().retry(&claim, NONE).await.unwrap();
    assert_eq!(t.missing(&[task.key()]).await, []);
    let claim = t.next(LONG).await;
    t.queue().retry(&claim, LONG).await.unwrap();
    assert_eq!(t.missing(&[task.key()]).await, []);
}

pub async fn the_action_of_another_tenant_is_another_action(t: &QueueBench) {
    let ours = t.enqueue(NONE).await;
    let theirs = ActionKey { tenant: tenant("other"), ..ours.key() };
    assert_eq!(t.missing(&[ours.key(), theirs.clone()]).await, [theirs]);
}

pub async fn an_empty_queue_has_nothing_in_its_books(t: &QueueBench) {
    assert_eq!(t.stats().await, QueueStats::default());
}

pub async fn the_books_tell_where_every_task_is(t: &QueueBench) {
    for _ in 0..5 {
        t.enqueue(NONE).await;
    }
    t.enqueue(LONG).await;
    let claims = t.claim(LONG, 3).await;
    let stats = t.stats().await;
    assert_eq!((stats.ready, stats.scheduled, stats.leased, stats.dead), (2, 1, 3, 0));
    assert_eq!((stats.enqueued, stats.dequeued, stats.completed, stats.failed), (6, 3, 0, 0));
    assert_eq!(stats.last_processed, None);
    t.queue().ack(&claims[0]).await.unwrap();
    t.queue().retry(&claims[1], LONG).await.unwrap();
    t.queue().dead_letter(&claims[2], "never").await.unwrap();
    let stats = t.stats().await;
    assert_eq!((stats.ready, stats.scheduled, stats.leased, stats.dead), (2, 2, 0, 1));
    assert_eq!((stats.enqueued, stats.dequeued, stats.completed, stats.failed), (6, 3, 1, 1));
    assert!(stats.last_processed.is_some());
}

pub async fn a_delayed_task_counts_as_ready_once_it_is_due(t: &QueueBench) {
    t.enqueue(SHORT).await;
    eventually("a due task among the ready ones", async || {
        let stats = t.stats().await;
        assert_eq!(stats.ready + stats.scheduled, 1);
        (stats.ready == 1).then_some(())
    })
    .await;
}

pub async fn a_rescued_task_counts_as_ready(t: &QueueBench) {
    t.enqueue(NONE).await;
    t.next(SHORT).await;
    t.rescue_one().await;
    let stats = t.stats().await;
    assert_eq!((stats.ready, stats.leased), (1, 0));
    assert_eq!((stats.enqueued, stats.dequeued), (1, 1), "a rescue is no new task");
}

pub async fn a_tenants_depth_is_of_what_is_its_own(t: &QueueBench) {
    let (ours, theirs) = (TenantId::default(), tenant("other"));
    let depth = async |of: &TenantId| t.queue().depth(of).await.unwrap();
    assert_eq!((depth(&ours).await, depth(&theirs).await), (Depth::default(), Depth::default()));
    for of in [&ours, &theirs, &theirs] {
        t.queue().enqueue(t.task_of(of), NONE).await.unwrap();
    }
    assert_eq!((depth(&ours).await.ready, depth(&theirs).await.ready), (1, 2));
    let claims = t.claim(LONG, 3).await;
    assert_eq!((depth(&ours).await.ready, depth(&theirs).await.ready), (0, 0));
    let (mine, others): (Vec<_>, Vec<_>) = claims.iter().partition(|claim| claim.task.tenant == ours);
    t.queue().dead_letter(mine[0], "never").await.unwrap();
    t.queue().retry(others[0], NONE).await.unwrap();
    t.queue().retry(others[1], LONG).await.unwrap();
    assert_eq!(depth(&ours).await, Depth { ready: 0, dead: 1 });
    assert_eq!(depth(&theirs).await, Depth { ready: 1, dead: 0 }, "what is not yet due does not wait to be claimed");
    assert_eq!(depth(&tenant("third")).await, Depth::default());
}
