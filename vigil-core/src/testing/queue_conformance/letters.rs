//! Dead letters: what a person does about what was given up on.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use super::QueueBench;
use super::bench::{LONG, NONE};
use crate::queue::DeadLetter;
use crate::task::Task;
use crate::tenant::TenantId;
use crate::testing::tenant;

/// A task of a tenant that was given up on.
async fn bury(t: &QueueBench, of: &TenantId) -> Task {
    let task = t.task_of(of);
    t.queue().enqueue(task.clone(), NONE).await.unwrap();
    let claim = t.next(LONG).await;
    assert_eq!(claim.task, task);
    t.queue().dead_letter(&claim, "its action does not exist: naïve ☃").await.unwrap();
    task
}

async fn letters(t: &QueueBench, of: &TenantId) -> Vec<DeadLetter> {
    t.queue().dead(of, 0, 100).await.unwrap()
}

fn ids(letters: &[DeadLetter]) -> Vec<&str> {
    letters.iter().map(|letter| letter.id.as_str()).collect()
}

pub async fn a_dead_letter_is_kept_with_its_task_and_reason(t: &QueueBench) {
    for of in [TenantId::default(), tenant("other")] {
        assert_eq!(letters(t, &of).await, []);
        let task = bury(t, &of).await;
        let [letter] = &letters(t, &of).await[..] else { panic!("one letter") };
        assert_eq!((&letter.id, &letter.tenant, letter.task.as_ref()), (&task.task_id, &of, Some(&task)));
        assert_eq!(letter.reason, "its action does not exist: naïve ☃");
        assert_eq!(serde_json::from_str::<Task>(&letter.payload).unwrap(), task);
    }
}

pub async fn dead_letters_are_paged_oldest_first_without_gap_or_repetition(t: &QueueBench) {
    let ours = TenantId::default();
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(bury(t, &ours).await.task_id);
        bury(t, &tenant("other")).await;
    }
    let (mut paged, mut after) = (Vec::new(), 0);
    loop {
        let page = t.queue().dead(&ours, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2 && last.number > after);
        after = last.number;
        paged.extend(page);
    }
    assert_eq!(ids(&paged), all);
}

pub async fn a_revived_letter_is_claimed_as_a_new_task_and_dead_no_more(t: &QueueBench) {
    for of in [TenantId::default(), tenant("other")] {
        let task = bury(t, &of).await;
        let revived = t.queue().revive(&of, &task.task_id).await.unwrap().unwrap();
        assert_eq!(revived.task.as_ref(), Some(&task));
        assert_eq!(letters(t, &of).await, []);
        assert_eq!(t.missing(&[task.key()]).await, []);
        assert_eq!((t.stats().await.dead, t.stats().await.ready), (0, 1));
        let claim = t.next(LONG).await;
        assert_eq!((&claim.task, claim.deliveries), (&task, 1));
        t.queue().ack(&claim).await.unwrap();
        assert_eq!(t.missing(&[task.key()]).await, [task.key()]);
    }
}

pub async fn a_revived_letter_wakes_a_waiting_claim(t: &QueueBench) {
    let ours = TenantId::default();
    let task = bury(t, &ours).await;
    let queue = t.queue();
    let (claim, revived) = tokio::join!(t.next(LONG), queue.revive(&ours, &task.task_id));
    assert_eq!((claim.task, revived.unwrap().is_some()), (task, true));
}

pub async fn a_discarded_letter_is_gone(t: &QueueBench) {
    let ours = TenantId::default();
    let (kept, gone) = (bury(t, &ours).await, bury(t, &ours).await);
    let discarded = t.queue().discard(&ours, &gone.task_id).await.unwrap().unwrap();
    assert_eq!(discarded.id, gone.task_id);
    assert_eq!(ids(&letters(t, &ours).await), [kept.task_id]);
    assert_eq!((t.stats().await.dead, t.claim_ids().await.len()), (1, 0));
}

pub async fn a_purge_takes_what_is_old_enough(t: &QueueBench) {
    let ours = TenantId::default();
    for _ in 0..3 {
        bury(t, &ours).await;
    }
    bury(t, &tenant("other")).await;
    assert_eq!(t.queue().purge(&ours, LONG * 60).await.unwrap(), 0);
    assert_eq!(t.queue().purge(&ours, NONE).await.unwrap(), 3);
    assert_eq!(letters(t, &ours).await, []);
    assert_eq!(letters(t, &tenant("other")).await.len(), 1);
}

pub async fn a_letter_of_another_tenant_or_of_nobody_is_not_touched(t: &QueueBench) {
    let task = bury(t, &tenant("other")).await;
    for of in [TenantId::default(), tenant("third")] {
        assert_eq!(letters(t, &of).await, []);
        assert_eq!(t.queue().revive(&of, &task.task_id).await.unwrap(), None);
        assert_eq!(t.queue().discard(&of, &task.task_id).await.unwrap(), None);
        assert_eq!(t.queue().purge(&of, NONE).await.unwrap(), 0);
    }
    assert_eq!(t.queue().revive(&tenant("other"), "task_unknown").await.unwrap(), None);
    assert_eq!(ids(&letters(t, &tenant("other")).await), [task.task_id]);
}

pub async fn of_many_revivers_of_one_letter_one_succeeds(t: &QueueBench) {
    let task = bury(t, &TenantId::default()).await;
    let answers = t
        .race(8, |queue, _| {
            let id = task.task_id.clone();
            async move { queue.revive(&TenantId::default(), &id).await.unwrap().is_some() }
        })
        .await;
    assert_eq!(answers.iter().filter(|revived| **revived).count(), 1);
    assert_eq!(t.claim_ids().await, [task.task_id]);
}
