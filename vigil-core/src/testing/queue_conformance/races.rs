//! Races: any number of workers at once, and each delivery has one of them.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use std::collections::HashSet;

use tokio::time::timeout;

use super::QueueBench;
use super::bench::{LONG, NONE, SHORT, ids};
use crate::task::Task;

/// How many call at once.
const CALLERS: usize = 12;

pub async fn many_claimers_claim_every_task_once(t: &QueueBench) {
    let mut wanted = HashSet::new();
    for _ in 0..60 {
        wanted.insert(t.enqueue(NONE).await.task_id);
    }
    let claimed = t
        .race(CALLERS, |queue, number| async move {
            let mut mine = Vec::new();
            loop {
                let claims = queue.claim(LONG, NONE, number % 3 + 1).await.unwrap();
                if claims.is_empty() {
                    return mine;
                }
                for claim in &claims {
                    queue.ack(claim).await.unwrap();
                }
                mine.extend(ids(&claims));
            }
        })
        .await;
    let claimed: Vec<String> = claimed.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 60);
    assert_eq!(claimed.into_iter().collect::<HashSet<_>>(), wanted);
}

pub async fn many_waiting_claimers_are_woken_for_every_task_while_others_enqueue(t: &QueueBench) {
    let tasks: Vec<Task> = (0..CALLERS * 5).map(|_| t.task()).collect();
    let claimed = t
        .race(CALLERS * 2, |queue, number| {
            let mine: Vec<Task> = tasks.iter().skip(number / 2 * 5).take(5).cloned().collect();
            async move {
                let mut claimed = Vec::new();
                for task in mine {
                    if number % 2 == 0 {
                        queue.enqueue(task, NONE).await.unwrap();
                    } else {
                        // As many tasks come as are waited for: nobody waits in vain.
                        let claims = timeout(LONG / 2, queue.claim(LONG, LONG, 1)).await.unwrap().unwrap();
                        queue.ack(&claims[0]).await.unwrap();
                        claimed.extend(ids(&claims));
                    }
                }
                claimed
            }
        })
        .await;
    let claimed: Vec<String> = claimed.into_iter().flatten().collect();
    assert_eq!(claimed.len(), tasks.len());
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), tasks.len());
}

pub async fn many_rescuers_rescue_every_task_once(t: &QueueBench) {
    for _ in 0..20 {
        t.enqueue(NONE).await;
    }
    assert_eq!(t.claim(SHORT, 20).await.len(), 20);
    let rescued = t
        .race(CALLERS, |queue, _| async move {
            let mut mine = 0;
            while queue.stats().await.unwrap().leased > 0 {
                mine += queue.rescue(3).await.unwrap();
                tokio::time::sleep(SHORT / 40).await;
            }
            mine
        })
        .await;
    assert_eq!(rescued.iter().sum::<usize>(), 20);
    assert_eq!(t.claim_ids().await.len(), 20);
}

pub async fn of_an_answer_and_a_rescue_one_wins(t: &QueueBench) {
    for _ in 0..20 {
        t.enqueue(NONE).await;
    }
    // With no lease to speak of, every answer races with the rescue.
    let claims = t.claim(NONE, 20).await;
    let answers = t
        .race(21, |queue, number| {
            let claim = claims.get(number).cloned();
            async move {
                match claim {
                    Some(claim) => usize::from(queue.ack(&claim).await.is_ok()),
                    None => queue.rescue(100).await.unwrap(),
                }
            }
        })
        .await;
    let stats = t.stats().await;
    assert_eq!(answers.iter().sum::<usize>() as u64 + stats.leased, 20);
    assert_eq!(stats.completed + stats.ready + stats.leased, 20);
}
