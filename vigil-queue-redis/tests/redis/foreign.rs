//! Producers and consumers that know only the documented list.

use std::time::Duration;

use deadpool_redis::redis::cmd;
use serde_json::Value;
use tokio::time::Instant;
use vigil_core::action::{ActionId, ActionKey};
use vigil_core::queue::Queue;
use vigil_core::store::ActionIntent;
use vigil_core::tenant::TenantId;
use vigil_core::testing::{ManualClock, intent, task, tenant};

use crate::server::{queue, say, shared};

const LEASE: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(10);

fn task_of(whose: &TenantId, number: i64) -> vigil_core::task::Task {
    let intent = ActionIntent { tenant: whose.clone(), ..intent("web-1") };
    task(&intent.into_action(ActionId(number), ManualClock::START), number.unsigned_abs())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_documented_task_that_a_foreign_producer_pushes_is_claimed_at_once_while_idle() {
    let Some(url) = shared() else { return };
    let (queue, name) = queue(&url);
    let waiting = queue.clone();
    let mut claimer = tokio::task::JoinSet::new();
    claimer.spawn(async move { (waiting.claim(LEASE, WAIT, 1).await.unwrap(), Instant::now()) });
    tokio::time::sleep(Duration::from_millis(300)).await; // until it is idle
    let json = r#"{"task_id": "task_1768910400000", "action_id": 42, "target": "web-1", "action": "restart-service",
        "severity": "critical", "enqueued_at": "2026-01-20T12:00:00.123456"}"#;
    let pushed = Instant::now();
    let _: i64 = say(&url, cmd("RPUSH").arg(&name).arg(json)).await;
    let (claims, claimed) = claimer.join_next().await.unwrap().unwrap();
    println!("claimed {:?} after it was pushed, connecting included", claimed - pushed);
    assert_eq!(claims[0].task.action_id, ActionId(42));
    assert_eq!(claims[0].task.enqueued_at.to_string(), "2026-01-20T12:00:00.123456Z");
    assert!(claimed - pushed < Duration::from_secs(1));
    queue.ack(&claims[0]).await.unwrap();
    assert_eq!(queue.stats().await.unwrap().completed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_without_an_action_word_is_a_task() {
    let Some(url) = shared() else { return };
    let (queue, name) = queue(&url);
    let json = r#"{"task_id": "task_1", "action_id": 9007199254740993, "target": "web-1", "severity": "info", "enqueued_at": "2026-01-20T12:00:00Z"}"#;
    let _: i64 = say(&url, cmd("RPUSH").arg(&name).arg(json)).await;
    let claims = queue.claim(LEASE, WAIT, 1).await.unwrap();
    assert_eq!((claims[0].task.action, claims[0].task.action_id.0), (None, 9_007_199_254_740_993));
    let key = ActionKey { tenant: TenantId::default(), id: claims[0].task.action_id };
    assert_eq!(queue.missing(&[key]).await.unwrap(), [], "ids are 64 bits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_task_is_kept_aside_with_the_reason_and_holds_nobody_up() {
    let Some(url) = shared() else { return };
    let (queue, name) = queue(&url);
    let garbage: [&[u8]; 5] = [b"", b"{", b"\xff\xfe\x00", b"[1,2]", br#"{"task_id":"task_1","action_id":"x"}"#];
    for json in garbage {
        let _: i64 = say(&url, cmd("RPUSH").arg(&name).arg(json)).await;
    }
    let task = task_of(&TenantId::default(), 1);
    queue.enqueue(task.clone(), Duration::ZERO).await.unwrap();
    let claims = queue.claim(LEASE, WAIT, 1).await.unwrap();
    assert_eq!(claims[0].task, task);
    let dead = queue.dead(&TenantId::default(), 0, 10).await.unwrap();
    assert_eq!(dead.len(), garbage.len());
    assert!(dead.iter().all(|letter| letter.reason.starts_with("not a task: ")), "{dead:?}");
    assert_eq!((dead[1].payload.as_str(), &dead[1].task), ("{", &None));
    assert!(dead[1].id.starts_with("letter_") && dead[4].id == "task_1", "{dead:?}");
    let none = queue.discard(&TenantId::default(), &dead[1].id).await.unwrap();
    assert_eq!(none.as_ref(), Some(&dead[1]), "what is no task is discarded as any other letter is");
    queue.revive(&TenantId::default(), &dead[0].id).await.unwrap().unwrap();
    assert_eq!(queue.claim(LEASE, Duration::ZERO, 1).await.unwrap(), [], "it is kept aside again");
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.dead, stats.failed, stats.leased), (4, 6, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_list_holds_the_documented_json_and_its_length_is_the_backlog() {
    let Some(url) = shared() else { return };
    let (queue, name) = queue(&url);
    for number in 1..=3 {
        queue.enqueue(task_of(&TenantId::default(), number), Duration::ZERO).await.unwrap();
    }
    let length: u64 = say(&url, cmd("LLEN").arg(&name)).await;
    assert_eq!((length, queue.stats().await.unwrap().ready), (3, 3));
    let head: String = say(&url, cmd("LINDEX").arg(&name).arg(0)).await;
    let head: Value = serde_json::from_str(&head).unwrap();
    for field in ["task_id", "action_id", "target", "action", "severity", "enqueued_at", "tenant", "attempt", "params"]
    {
        assert!(head.get(field).is_some(), "{field} of {head}");
    }
    let stats: Vec<String> = say(&url, cmd("HMGET").arg(format!("{{{name}}}:stats")).arg("tasks_enqueued")).await;
    assert_eq!(stats, ["3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_take_turns_and_have_lists_of_their_own() {
    let Some(url) = shared() else { return };
    let (queue, name) = queue(&url);
    for number in 1..=50 {
        queue.enqueue(task_of(&TenantId::default(), number), Duration::ZERO).await.unwrap();
    }
    for number in 51..=53 {
        queue.enqueue(task_of(&tenant("other"), number), Duration::ZERO).await.unwrap();
    }
    let theirs: u64 = say(&url, cmd("LLEN").arg(format!("{{{name}}}:tenant:other"))).await;
    assert_eq!(theirs, 3);
    let mut first = Vec::new();
    for _ in 0..6 {
        first.extend(queue.claim(LEASE, WAIT, 1).await.unwrap());
    }
    let served = first.iter().filter(|claim| claim.task.tenant == tenant("other")).count();
    assert_eq!(served, 3, "a storm of one tenant delays no other");
    // A foreign producer may push to the list of a tenant that is known.
    let json = serde_json::to_string(&task_of(&tenant("other"), 99)).unwrap();
    let _: i64 = say(&url, cmd("RPUSH").arg(format!("{{{name}}}:tenant:other")).arg(json)).await;
    queue.rescue(10).await.unwrap();
    let next = queue.claim(LEASE, WAIT, 2).await.unwrap();
    assert!(next.iter().any(|claim| claim.task.action_id == ActionId(99)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_keys_of_a_queue_share_one_slot_of_a_cluster() {
    let Some(servers) = crate::server::Servers::start("redis") else { return };
    let url = servers.run("url");
    let (queue, _) = queue(&url);
    queue.enqueue(task_of(&TenantId::default(), 1), Duration::ZERO).await.unwrap();
    queue.enqueue(task_of(&tenant("other"), 2), Duration::ZERO).await.unwrap();
    queue.enqueue(task_of(&TenantId::default(), 3), Duration::from_secs(60)).await.unwrap();
    let claims = queue.claim(LEASE, WAIT, 1).await.unwrap();
    queue.dead_letter(&claims[0], "no").await.unwrap();
    queue.claim(LEASE, WAIT, 1).await.unwrap();
    let keys: Vec<String> = say(&url, cmd("KEYS").arg("*")).await;
    assert!(keys.len() >= 8, "{keys:?}");
    let mut slots = std::collections::HashSet::new();
    for key in &keys {
        slots.insert(slot(key));
    }
    assert_eq!(slots.len(), 1, "{keys:?}");
}

/// <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model>: the hash is of what
/// the first pair of braces holds. Here that is enough to compare.
fn slot(key: &str) -> &str {
    match key.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
        Some((tag, _)) if !tag.is_empty() => tag,
        _ => key,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heap_of_garbage_holds_a_claim_up_for_a_moment_only() {
    let Some(url) = shared() else { return };
    let (queue, name) = queue(&url);
    for _ in 0..20 {
        let _: i64 = say(&url, cmd("RPUSH").arg(&name).arg(vec!["{"; 500])).await;
    }
    let began = Instant::now();
    let _ = queue.claim(LEASE, Duration::ZERO, 1).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let _: i64 = say(&url, cmd("DEL").arg(&name)).await;
}
