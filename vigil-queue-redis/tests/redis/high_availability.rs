//! Redis Cluster and Sentinel: real ones, whose master is killed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vigil_core::action::ActionId;
use vigil_core::queue::Queue;
use vigil_core::testing::{ManualClock, intent, task};
use vigil_queue_redis::RedisQueue;

use crate::server::{Servers, queue};

const LEASE: Duration = Duration::from_secs(30);

fn task_of(number: i64) -> vigil_core::task::Task {
    task(&intent("web-1").into_action(ActionId(number), ManualClock::START), number.unsigned_abs())
}

async fn every_call_works(queue: &RedisQueue) {
    for number in 1..=20 {
        queue.enqueue(task_of(number), Duration::ZERO).await.unwrap();
    }
    let claims = queue.claim(LEASE, Duration::from_secs(5), 20).await.unwrap();
    assert_eq!(claims.len(), 20);
    queue.extend(&claims[0], LEASE).await.unwrap();
    queue.retry(&claims[1], Duration::from_secs(60)).await.unwrap();
    queue.dead_letter(&claims[2], "no").await.unwrap();
    for claim in &claims[3..] {
        queue.ack(claim).await.unwrap();
    }
    assert_eq!(queue.missing(&[task_of(1).key(), task_of(3).key()]).await.unwrap(), [task_of(3).key()]);
    assert_eq!(queue.rescue(10).await.unwrap(), 0);
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.leased, stats.scheduled, stats.dead, stats.completed), (1, 1, 1, 17));
    assert_eq!(queue.claim(LEASE, Duration::from_millis(150), 1).await.unwrap(), []);
}

/// The master of the queue's keys dies; the queue goes on with the next by itself.
async fn it_survives_the_masters_death(servers: &Servers, queue: &Arc<RedisQueue>) {
    servers.run("kill");
    let began = Instant::now();
    loop {
        if queue.enqueue(task_of(100), Duration::ZERO).await.is_ok()
            && queue.claim(LEASE, Duration::from_millis(200), 1).await.is_ok_and(|claims| !claims.is_empty())
        {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it never works again");
        tokio::time::sleep(Duration::from_millis(50)).await; // a failover takes its own time
    }
    println!("works again {:?} after its master was killed", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_used_and_its_failover_survived() {
    let Some(servers) = Servers::start("redis-cluster") else { return };
    let (queue, _) = queue(&servers.run("url"));
    every_call_works(&queue).await;
    it_survives_the_masters_death(&servers, &queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_one_of_whose_nodes_never_answers_is_still_connected_to() {
    let Some(servers) = Servers::start("redis-cluster") else { return };
    let url = servers.run("url");
    let (before, name) = queue(&url);
    before.enqueue(task_of(1), Duration::ZERO).await.unwrap();
    servers.run("freeze");
    let mut options = vigil_queue_redis::RedisOptions::of_url(&url).unwrap();
    options.name = name;
    let after = RedisQueue::new(&options).unwrap();
    let began = Instant::now();
    while after.ping().await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(30), "it never connects");
    }
    assert_eq!(after.claim(LEASE, Duration::ZERO, 1).await.unwrap().len(), 1);
    println!("connected after {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_that_sentinels_name_is_used_and_its_failover_survived() {
    let Some(servers) = Servers::start("redis-sentinel") else { return };
    let (queue, _) = queue(&servers.run("url"));
    every_call_works(&queue).await;
    it_survives_the_masters_death(&servers, &queue).await;
}
