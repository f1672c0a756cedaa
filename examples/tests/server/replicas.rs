//! Several servers and workers over PostgreSQL and Redis, while everything is broken at seeded moments.
//! `VIGIL_CHAOS_SECONDS` (10) and `VIGIL_CHAOS_SEED` choose how long and which; `VIGIL_CHAOS_ACTIONS` (no limit) and
//! `VIGIL_CHAOS_WORKERS` (2) and `VIGIL_CHAOS_CLIENTS` (8) how much.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use vigil_core::clock::{Clock, SystemClock};
use vigil_tests::fault_proxy::Network;

use crate::chaos::{Seeded, duration};
use crate::cluster::{Acknowledged, Cluster, can_be_started, check};
use crate::process::{PATIENCE, request};

const TARGETS: u64 = 200;

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// SIGKILL to a server or a worker.
    Kill,
    /// PostgreSQL is restarted in good order.
    PostgresRestarts,
    /// PostgreSQL and all its processes are killed.
    PostgresDies,
    /// Redis is killed; its file is there when it comes back.
    RedisDies,
    /// Redis forgets everything.
    RedisForgets,
    /// Redis accepts and never answers, for so long.
    RedisHangs(Duration),
    /// The network between a process and PostgreSQL, or Redis.
    NetworkTo(&'static str, Network),
}

fn knob(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn workers() -> usize {
    usize::try_from(knob("VIGIL_CHAOS_WORKERS", 2)).unwrap()
}

/// Load for as long as asked, one of `faults` every `every`, then rest and the invariants.
async fn storm(mut cluster: Cluster, faults: &[Fault], every: Duration) -> Cluster {
    let mut random = Seeded::new();
    let acknowledged: Arc<Mutex<Acknowledged>> = Arc::default();
    let addresses = Arc::new(Mutex::new(cluster.servers()));
    let policy = json!({"name": "busy", "auto_remediate": true, "action": "restart",
        "condition": {"type": "metric_exceeds", "metric": "cpu", "threshold": 80}, "params": {"cooldown_seconds": 1}});
    let first = addresses.lock().unwrap()[0].clone();
    assert_eq!(request(&first, "POST", "/api/v1/policies", &[], Some(&policy)).await.unwrap().status, 201);

    let until = Instant::now() + duration();
    let mut clients = JoinSet::new();
    for _ in 0..knob("VIGIL_CHAOS_CLIENTS", 8) {
        clients.spawn(client(addresses.clone(), random.below(u64::MAX), acknowledged.clone(), until));
    }
    let mut struck = 0;
    while Instant::now() < until {
        sleep(every).await;
        let fault = faults[usize::try_from(random.below(faults.len() as u64)).unwrap()];
        strike(&mut cluster, fault, &mut random, &addresses).await;
        struck += 1;
    }
    clients.join_all().await;
    println!("replicas: {struck} faults of {faults:?}");
    rest(&cluster, &acknowledged).await;
    check(&cluster, &acknowledged).await;
    cluster
}

async fn strike(cluster: &mut Cluster, fault: Fault, random: &mut Seeded, addresses: &Arc<Mutex<Vec<String>>>) {
    let one = usize::try_from(random.below(cluster.members.len() as u64)).unwrap();
    match fault {
        Fault::Kill => {
            cluster.members[one].kill().await;
            *addresses.lock().unwrap() = cluster.servers();
            cluster.revive(one).await;
            *addresses.lock().unwrap() = cluster.servers();
        }
        Fault::PostgresRestarts => _ = cluster.postgres.run("restart"),
        Fault::PostgresDies => {
            cluster.postgres.run("kill");
            sleep(Duration::from_millis(random.below(800))).await;
            cluster.postgres.run("start");
        }
        Fault::RedisDies => {
            cluster.redis.run("kill");
            sleep(Duration::from_millis(random.below(800))).await;
            cluster.redis.run("start");
        }
        Fault::RedisForgets => {
            cluster.redis.run("flush");
            println!("replicas: the backlog was whole again after {:?}", cluster.until_the_backlog_is_whole().await);
        }
        Fault::RedisHangs(long) => {
            cluster.redis.run("freeze");
            let began = Instant::now();
            // Health depends on nothing, and what comes in is still taken.
            let servers = cluster.servers();
            while began.elapsed() < long {
                for address in &servers {
                    let asked = Instant::now();
                    let health = request(address, "GET", "/health", &[], None).await.unwrap();
                    assert_eq!(health.status, 200);
                    let sample = json!({"name": "mem", "value": 1, "tags": {"host": "web-0"}});
                    let taken = request(address, "POST", "/api/v1/ingest", &[], Some(&sample)).await.unwrap();
                    assert_eq!(taken.status, 201, "{}", taken.text);
                    assert!(asked.elapsed() < Duration::from_secs(5), "held up by Redis: {:?}", asked.elapsed());
                }
                sleep(Duration::from_millis(200)).await;
            }
            cluster.redis.run("thaw");
        }
        Fault::NetworkTo(which, network) => {
            let member = &cluster.members[one];
            let proxy = if which == "postgres" { &member.to_postgres } else { &member.to_redis };
            let proxy = proxy.as_ref().expect("the cluster has proxies");
            proxy.becomes(network);
            sleep(Duration::from_millis(500 + random.below(1500))).await;
            // What was swallowed never comes: such a connection is of no use any more, and ends one day.
            if network == Network::Swallows {
                proxy.becomes(Network::Cut);
                sleep(Duration::from_millis(100)).await;
            }
            proxy.becomes(Network::Whole);
        }
    }
}

/// Sends samples, and now and then an action by hand, to any server.
async fn client(addresses: Arc<Mutex<Vec<String>>>, seed: u64, acknowledged: Arc<Mutex<Acknowledged>>, until: Instant) {
    let mut random = Seeded(seed);
    let enough = usize::try_from(knob("VIGIL_CHAOS_ACTIONS", u64::MAX)).unwrap_or(usize::MAX);
    while Instant::now() < until {
        let address = {
            let addresses = addresses.lock().unwrap();
            let place = usize::try_from(random.below(addresses.len().max(1) as u64)).unwrap();
            addresses.get(place).cloned()
        };
        let Some(address) = address else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let host = format!("web-{}", random.below(TARGETS));
        let by_hand = random.below(2) == 0 && acknowledged.lock().unwrap().actions.len() < enough;
        let asked = if by_hand {
            let body = json!({"target": host, "action": "restart"});
            request(&address, "POST", "/api/v1/actions", &[], Some(&body)).await
        } else {
            let mut body = json!({"name": "cpu", "value": random.below(100), "tags": {"host": host}});
            // Half of them say when they were taken, by a clock that is right.
            if random.below(2) == 0 {
                body["timestamp"] = json!(SystemClock.now().to_string());
            }
            request(&address, "POST", "/api/v1/ingest", &[], Some(&body)).await
        };
        match asked {
            Ok(answer) if answer.status == 201 => {
                let (body, mut known) = (answer.json(), acknowledged.lock().unwrap());
                known.actions.extend(body["action_id"].as_i64());
                known.metrics.extend(body["metric_id"].as_i64());
            }
            Ok(answer) => {
                assert!(matches!(answer.status, 429 | 503), "{}: {}", answer.status, answer.text);
                sleep(Duration::from_millis(20)).await;
            }
            // It was killed in the middle.
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Everything recovers; waits until no action is pending, running or occupying.
async fn rest(cluster: &Cluster, acknowledged: &Arc<Mutex<Acknowledged>>) {
    let actions = acknowledged.lock().unwrap().actions.len();
    let deadline = Instant::now() + PATIENCE * 4 + Duration::from_millis(20 * actions as u64);
    loop {
        for address in cluster.servers() {
            let recovered: Vec<_> = (0..TARGETS)
                .map(|target| json!({"name": "cpu", "value": 1, "tags": {"host": format!("web-{target}")}}))
                .collect();
            let _ = request(&address, "POST", "/api/v1/ingest/agent/metrics", &[], Some(&json!(recovered))).await;
        }
        let left = cluster.unsettled().await;
        if left == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "V1: {left} actions never became final");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_and_workers_killed_at_any_moment_lose_nothing_and_do_nothing_twice() {
    if can_be_started() {
        let every = Duration::from_millis(knob("VIGIL_CHAOS_EVERY_MS", 700));
        storm(Cluster::start(3, workers(), false, &[]).await, &[Fault::Kill], every).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_forgets_everything_while_processes_are_killed() {
    if can_be_started() {
        let faults = [Fault::RedisForgets, Fault::Kill];
        storm(Cluster::start(3, workers(), false, &[]).await, &faults, Duration::from_millis(900)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_and_redis_are_restarted_and_killed() {
    if can_be_started() {
        let faults = [Fault::PostgresRestarts, Fault::PostgresDies, Fault::RedisDies, Fault::Kill];
        storm(Cluster::start(3, 2, false, &[]).await, &faults, Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_hangs_and_holds_up_nothing_but_the_queue() {
    if can_be_started() {
        let hangs = Fault::RedisHangs(Duration::from_secs(knob("VIGIL_CHAOS_HANG_SECONDS", 6)));
        let servers = usize::try_from(knob("VIGIL_CHAOS_HANG_SERVERS", 2)).unwrap();
        storm(Cluster::start(servers, 2, false, &[]).await, &[hangs], Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_is_cut_slowed_and_swallows_everything() {
    if can_be_started() {
        let mut faults = vec![Fault::Kill];
        for which in ["postgres", "redis"] {
            for network in [Network::Cut, Network::Slow(Duration::from_millis(150)), Network::Swallows] {
                faults.push(Fault::NetworkTo(which, network));
            }
        }
        storm(Cluster::start(3, 2, true, &[]).await, &faults, Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_of_replicas_that_are_five_minutes_ahead_and_behind_change_nothing() {
    if can_be_started() {
        let began = SystemClock.now();
        let skew = [(0, "+5m"), (1, "-5m"), (3, "+5m"), (4, "-5m")];
        let cluster = storm(Cluster::start(3, 2, false, &skew).await, &[Fault::Kill], Duration::from_secs(1)).await;
        // Whoever checks signatures refuses old ones: all are dated by the clock that is right.
        let (from, to) = (began.as_micros() / 1_000_000 - 5, SystemClock.now().as_micros() / 1_000_000 + 5);
        let calls = cluster.remediator.calls();
        assert!(!calls.is_empty());
        for call in calls {
            let signature = &call.headers["x-vigil-signature"];
            let at: i64 = signature.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
            assert!((from..=to).contains(&at), "signed {} s after now", at - to);
        }
    }
}

/// Compound conditions need the samples of all replicas, and each target one runner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_of_one_target_that_arrive_at_two_replicas_fire_together_and_runners_share_the_targets() {
    if !can_be_started() {
        return;
    }
    let mut cluster = Cluster::start(3, 1, false, &[]).await;
    let servers = cluster.servers();
    let condition = json!({"type": "all", "conditions": [
        {"type": "metric_exceeds", "metric": "cpu", "threshold": 80}, {"type": "metric_exceeds", "metric": "mem", "threshold": 80}]});
    let policy = json!({"name": "both", "auto_remediate": true, "action": "restart", "condition": condition});
    assert_eq!(request(&servers[2], "POST", "/api/v1/policies", &[], Some(&policy)).await.unwrap().status, 201);
    for (server, name) in [(&servers[0], "cpu"), (&servers[1], "mem")] {
        let sample = json!({"name": name, "value": 95, "tags": {"host": "web-1"}});
        assert_eq!(request(server, "POST", "/api/v1/ingest", &[], Some(&sample)).await.unwrap().status, 201);
    }
    let calls = cluster.remediator.called(1).await;
    assert_eq!(calls[0].target(), "web-1");

    let quiet: Vec<_> =
        (0..60).map(|n| json!({"name": "cpu", "value": 1, "tags": {"host": format!("web-{n}")}})).collect();
    request(&servers[0], "POST", "/api/v1/ingest/agent/metrics", &[], Some(&json!(quiet))).await.unwrap();
    // Each target is taken by one of the three in every interval (0.5 s): together they take about as many as there are.
    shares(&cluster, 60).await;
    cluster.members[0].kill().await;
    shares(&cluster, 60).await;
}

/// Waits until the replicas that are up together judge all targets, as they say of themselves.
async fn shares(cluster: &Cluster, targets: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut shares = Vec::new();
        for member in cluster.members.iter().filter(|member| member.name.starts_with("server")) {
            if let Some(server) = member.server() {
                let status = server.get("/api/v1/policies/runner/status").await.json();
                shares.push(status["runner"]["targets"].as_u64().unwrap_or_default());
            }
        }
        let sum: u64 = shares.iter().sum();
        if sum >= targets && sum <= targets * 2 && shares.iter().filter(|share| **share > 0).count() > 1 {
            println!("replicas: shares of {targets} targets {shares:?}");
            return;
        }
        assert!(Instant::now() < deadline, "the runners do not share: {shares:?}");
        sleep(Duration::from_millis(50)).await;
    }
}
