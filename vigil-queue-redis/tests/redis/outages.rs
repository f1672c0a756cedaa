//! Redis is frozen, killed, and started again.

use std::time::Duration;

use deadpool_redis::redis::cmd;
use tokio::time::{Instant, timeout};
use vigil_core::action::ActionId;
use vigil_core::queue::{Queue, QueueError};
use vigil_core::testing::{ManualClock, intent, task};
use vigil_queue_redis::RedisQueue;

use crate::server::{Servers, queue, say};

const LEASE: Duration = Duration::from_secs(30);

fn task_of(number: i64) -> vigil_core::task::Task {
    task(&intent("web-1").into_action(ActionId(number), ManualClock::START), number.unsigned_abs())
}

fn is_unavailable<T: std::fmt::Debug>(answer: &Result<T, QueueError>) -> bool {
    matches!(answer, Err(QueueError::Unavailable(_)))
}

/// Every call, side by side; none may take much longer than the time limit of a call (1 s here).
async fn all_are_unavailable(queue: &RedisQueue) {
    let calls = async {
        tokio::join!(
            async { assert!(is_unavailable(&queue.enqueue(task_of(7), Duration::ZERO).await)) },
            async { assert!(is_unavailable(&queue.claim(LEASE, Duration::from_secs(60), 1).await)) },
            async { assert!(is_unavailable(&queue.rescue(1).await)) },
            async { assert!(is_unavailable(&queue.missing(&[task_of(1).key()]).await)) },
            async { assert!(is_unavailable(&queue.stats().await)) },
            async { assert!(is_unavailable(&queue.ping().await)) },
        )
    };
    timeout(Duration::from_secs(15), calls).await.expect("no call hangs");
}

async fn until_it_works(queue: &RedisQueue) -> Duration {
    let began = Instant::now();
    while queue.ping().await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(30), "it never works again");
        tokio::time::sleep(Duration::from_millis(20)).await; // the server comes back on its own time
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_never_answers_holds_nobody_up_and_is_used_again_when_it_does() {
    let Some(server) = Servers::start("redis") else { return };
    let (queue, _) = queue(&server.run("url"));
    queue.enqueue(task_of(1), Duration::ZERO).await.unwrap();
    server.run("freeze");
    all_are_unavailable(&queue).await;
    all_are_unavailable(&queue).await;
    server.run("thaw");
    println!("works again after {:?}", until_it_works(&queue).await);
    let claims = queue.claim(LEASE, Duration::from_secs(5), 10).await.unwrap();
    assert!(claims.iter().any(|claim| claim.task.action_id == ActionId(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_was_killed_is_used_again_when_it_is_back() {
    let Some(server) = Servers::start("redis") else { return };
    let (queue, _) = queue(&server.run("url"));
    queue.enqueue(task_of(1), Duration::ZERO).await.unwrap();
    for _ in 0..2 {
        server.run("kill");
        all_are_unavailable(&queue).await;
        server.run("start");
        until_it_works(&queue).await;
    }
    assert_eq!(queue.claim(LEASE, Duration::from_secs(5), 1).await.unwrap()[0].task.action_id, ActionId(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_that_are_dropped_while_they_wait_take_nothing_with_them() {
    let Some(server) = Servers::start("redis") else { return };
    let (queue, _) = queue(&server.run("url"));
    for number in 1..=20 {
        for wait in [0, 1, 7, 40] {
            let dropped = queue.claim(LEASE, Duration::from_secs(60), 1);
            let _ = timeout(Duration::from_millis(wait), dropped).await;
        }
        queue.enqueue(task_of(number), Duration::ZERO).await.unwrap();
        let claims = timeout(Duration::from_secs(10), queue.claim(LEASE, Duration::from_secs(5), 1)).await.unwrap();
        assert_eq!(claims.unwrap()[0].task.action_id, ActionId(number));
    }
}

/// How many scripts a server has run.
async fn scripts_run(url: &str) -> u64 {
    let said: String = say(url, cmd("INFO").arg("commandstats")).await;
    let calls = said.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    calls.and_then(|rest| rest.split(',').next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_asks_seldom_once_other_tenants_have_had_nothing_new_for_a_while() {
    let Some(server) = Servers::start("redis") else { return };
    let url = server.run("url");
    let (queue, name) = queue(&url);
    let others = vigil_core::task::Task { tenant: vigil_core::testing::tenant("other"), ..task_of(1) };
    queue.enqueue(others, Duration::ZERO).await.unwrap();
    let claim = queue.claim(LEASE, Duration::ZERO, 1).await.unwrap().remove(0);
    queue.ack(&claim).await.unwrap();
    // As if a minute had passed.
    let _: i64 = say(&url, cmd("HSET").arg(format!("{{{name}}}:stats")).arg("others_at").arg(1)).await;
    let before = scripts_run(&url).await;
    assert_eq!(queue.claim(LEASE, Duration::from_secs(2), 1).await.unwrap(), []);
    let asked = scripts_run(&url).await - before;
    assert!(asked <= 30, "20 looks in two seconds, not 100: {asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_speak_tls_is_unavailable_over_tls() {
    let Some(server) = Servers::start("redis") else { return };
    let (queue, _) = queue(&server.run("url").replace("redis://", "rediss://"));
    let pinged = queue.ping().await;
    assert!(is_unavailable(&pinged), "{pinged:?}");
}
