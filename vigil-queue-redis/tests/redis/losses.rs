//! Redis forgets: everything, a key, a part of a list. It costs time, never an action.

use std::time::Duration;

use deadpool_redis::redis::cmd;
use vigil_core::action::{ActionId, ActionKey};
use vigil_core::queue::{Queue, QueueError};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{ManualClock, intent, task};

use crate::server::{Servers, queue, say, shared};

const LEASE: Duration = Duration::from_secs(30);

fn task_of(number: i64) -> vigil_core::task::Task {
    task(&intent("web-1").into_action(ActionId(number), ManualClock::START), number.unsigned_abs())
}

fn keys(numbers: std::ops::RangeInclusive<i64>) -> Vec<ActionKey> {
    numbers.map(|number| ActionKey { tenant: TenantId::default(), id: ActionId(number) }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_flush_everything_is_missing_and_the_queue_goes_on() {
    let Some(server) = Servers::start("redis") else { return };
    let url = server.run("url");
    let (queue, _) = queue(&url);
    for number in 1..=9 {
        queue.enqueue(task_of(number), Duration::from_millis(if number == 9 { 60_000 } else { 0 })).await.unwrap();
    }
    let held = queue.claim(LEASE, Duration::ZERO, 2).await.unwrap();
    assert_eq!(queue.missing(&keys(1..=9)).await.unwrap(), []);
    let _: () = say(&url, &cmd("FLUSHALL")).await;
    assert_eq!(queue.missing(&keys(1..=9)).await.unwrap(), keys(1..=9));
    assert!(queue.ack(&held[0]).await.is_err());
    for number in 1..=9 {
        queue.enqueue(task_of(number), Duration::ZERO).await.unwrap();
    }
    let all = queue.claim(LEASE, Duration::ZERO, 100).await.unwrap();
    assert_eq!(all.iter().map(|claim| claim.task.action_id.0).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_from_before_a_flush_is_void_although_the_queue_counts_anew() {
    let Some(server) = Servers::start("redis") else { return };
    let url = server.run("url");
    let (queue, _) = queue(&url);
    queue.enqueue(task_of(1), Duration::ZERO).await.unwrap();
    let before = queue.claim(LEASE, Duration::ZERO, 1).await.unwrap().remove(0);
    let _: () = say(&url, &cmd("FLUSHALL")).await;
    // The same steps again, for another action and another worker.
    queue.enqueue(task_of(2), Duration::ZERO).await.unwrap();
    let after = queue.claim(LEASE, Duration::ZERO, 1).await.unwrap().remove(0);
    assert!(matches!(queue.extend(&before, LEASE).await, Err(QueueError::LeaseLost)));
    assert!(matches!(queue.ack(&before).await, Err(QueueError::LeaseLost)));
    queue.ack(&after).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let Some(server) = Servers::start("redis") else { return };
    let url = server.run("url");
    let (queue, _) = queue(&url);
    queue.enqueue(task_of(1), Duration::ZERO).await.unwrap();
    let _: () = say(&url, cmd("SCRIPT").arg("FLUSH")).await;
    assert_eq!(queue.claim(LEASE, Duration::ZERO, 1).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_deleted_is_missing_even_after_others_were_pushed() {
    let Some(url) = shared() else { return };
    let (queue, name) = queue(&url);
    for number in 1..=4 {
        queue.enqueue(task_of(number), Duration::ZERO).await.unwrap();
    }
    let _: i64 = say(&url, cmd("DEL").arg(&name)).await;
    for number in 5..=6 {
        queue.enqueue(task_of(number), Duration::ZERO).await.unwrap();
    }
    let claimed = queue.claim(LEASE, Duration::ZERO, 1).await.unwrap();
    assert_eq!(claimed[0].task.action_id, ActionId(5));
    assert_eq!(queue.missing(&keys(1..=6)).await.unwrap(), keys(1..=4), "what stood before the head is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_a_foreign_consumer_takes_is_missing_once_the_list_has_moved_on() {
    let Some(url) = shared() else { return };
    let (queue, name) = queue(&url);
    for number in 1..=3 {
        queue.enqueue(task_of(number), Duration::ZERO).await.unwrap();
    }
    let _: String = say(&url, cmd("LPOP").arg(&name)).await;
    queue.claim(LEASE, Duration::ZERO, 1).await.unwrap();
    assert_eq!(queue.missing(&keys(1..=3)).await.unwrap(), keys(1..=1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claimed_task_whose_lease_key_is_deleted_comes_again() {
    let Some(url) = shared() else { return };
    let (queue, name) = queue(&url);
    queue.enqueue(task_of(1), Duration::ZERO).await.unwrap();
    let lost = queue.claim(LEASE, Duration::ZERO, 1).await.unwrap();
    let _: i64 = say(&url, cmd("DEL").arg(format!("{{{name}}}:leases"))).await;
    assert!(queue.ack(&lost[0]).await.is_err());
    assert_eq!(queue.rescue(10).await.unwrap(), 1);
    let again = queue.claim(LEASE, Duration::ZERO, 1).await.unwrap();
    assert_eq!((again[0].task.action_id, again[0].deliveries), (ActionId(1), 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_with_crashes_finish_every_task_and_none_is_acknowledged_twice() {
    let Some(url) = shared() else { return };
    let (queue, _) = queue(&url);
    let mut working = tokio::task::JoinSet::new();
    for worker in 0..8_u32 {
        let queue = queue.clone();
        working.spawn(async move {
            let mut done = Vec::new();
            for number in (i64::from(worker) * 100 + 1)..=(i64::from(worker) * 100 + 100) {
                queue.enqueue(task_of(number), Duration::ZERO).await.unwrap();
            }
            let mut turn = worker;
            loop {
                let claims = queue.claim(Duration::from_millis(150), Duration::from_millis(400), 3).await.unwrap();
                if claims.is_empty() {
                    break done;
                }
                for claim in claims {
                    turn += 1;
                    // One in eight is dropped, as by a worker that dies.
                    if turn % 8 != 0 && queue.ack(&claim).await.is_ok() {
                        done.push(claim.task.action_id.0);
                    }
                }
                queue.rescue(100).await.unwrap();
            }
        });
    }
    let mut done: Vec<i64> = working.join_all().await.into_iter().flatten().collect();
    // What was claimed last and dropped waits for its lease.
    loop {
        queue.rescue(100).await.unwrap();
        let claims = queue.claim(LEASE, Duration::from_millis(400), 100).await.unwrap();
        let stats = queue.stats().await.unwrap();
        if claims.is_empty() && stats.leased == 0 {
            break;
        }
        for claim in claims {
            queue.ack(&claim).await.unwrap();
            done.push(claim.task.action_id.0);
        }
    }
    done.sort_unstable();
    assert_eq!(done, (1..=800).collect::<Vec<_>>());
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.completed, stats.ready, stats.scheduled), (800, 0, 0));
}
