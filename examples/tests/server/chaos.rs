//! kill -9 at seeded moments under load. `VIGIL_CHAOS_SECONDS` (10) and `VIGIL_CHAOS_SEED` choose how long and which.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Html;
use axum::routing::{get, post};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Row};
use tokio::time::{Instant, sleep};
use vigil_tests::fake_remediator::FakeRemediator;

use crate::healing::server;
use crate::process::{PATIENCE, Server, request};

const TARGETS: u64 = 6;

/// A small seeded generator (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>): the same seed, the same kills.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn new() -> Self {
        let seed = std::env::var("VIGIL_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_122);
        println!("chaos: seed {seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

pub(crate) fn duration() -> Duration {
    let seconds = std::env::var("VIGIL_CHAOS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

/// What the clients were answered 201 for.
#[derive(Default)]
struct Acknowledged {
    metrics: BTreeSet<i64>,
    actions: BTreeSet<i64>,
}

/// Load and kills until the time is over, then rest; answers what was acknowledged.
async fn storm(folder: &Path, remediator_url: &str) -> Acknowledged {
    let mut random = Seeded::new();
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    let until = Instant::now() + duration();
    let (mut kills, mut first) = (0, true);
    while Instant::now() < until {
        let server = server(folder, remediator_url).await;
        if first {
            first = false;
            let policy = json!({"name": "busy", "auto_remediate": true, "action": "restart",
                "condition": {"type": "metric_exceeds", "metric": "cpu", "threshold": 80}, "params": {"cooldown_seconds": 1}});
            assert_eq!(server.post("/api/v1/policies", &policy).await.status, 201);
        }
        let clients: Vec<_> = (0..4)
            .map(|_| tokio::spawn(client(server.address.clone(), random.below(u64::MAX), acknowledged.clone())))
            .collect();
        sleep(Duration::from_millis(150 + random.below(700))).await;
        server.kill().await;
        kills += 1;
        for client in clients {
            client.await.expect("clients do not panic");
        }
    }
    let server = server(folder, remediator_url).await;
    rest(&server).await;
    server.stop().await;
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    println!(
        "chaos: {kills} kills, {} samples and {} actions acknowledged",
        acknowledged.metrics.len(),
        acknowledged.actions.len()
    );
    acknowledged
}

/// Sends samples, and now and then an action by hand, until the server is gone.
async fn client(address: String, seed: u64, acknowledged: Arc<Mutex<Acknowledged>>) {
    let mut random = Seeded(seed);
    loop {
        let host = format!("web-{}", random.below(TARGETS));
        let by_hand = random.below(20) == 0;
        let answer = if by_hand {
            let body = json!({"target": host, "action": "restart"});
            request(&address, "POST", "/api/v1/actions", &[], Some(&body)).await
        } else {
            let body = json!({"name": "cpu", "value": random.below(100), "tags": {"host": host}});
            request(&address, "POST", "/api/v1/ingest", &[], Some(&body)).await
        };
        let Ok(answer) = answer else { return };
        if answer.status == 201 {
            let (body, mut known) = (answer.json(), acknowledged.lock().unwrap());
            known.actions.extend(body["action_id"].as_i64());
            known.metrics.extend(body["metric_id"].as_i64());
        }
    }
}

/// Everything recovers; waits until no action is pending, running or to be verified.
async fn rest(server: &Server) {
    let deadline = Instant::now() + PATIENCE * 4;
    loop {
        for target in 0..TARGETS {
            let body = json!({"name": "cpu", "value": 1, "tags": {"host": format!("web-{target}")}});
            server.post("/api/v1/ingest", &body).await;
        }
        let mut open = Vec::new();
        for status in ["pending", "running"] {
            let page = server.get(&format!("/api/v1/actions/status/{status}?limit=500")).await.json();
            open.extend(page["actions"].as_array().cloned().unwrap_or_default());
        }
        if open.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "V1: these actions never became final: {open:#?}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// V1 and V7 from the database itself.
async fn check_database(folder: &Path, acknowledged: &Acknowledged) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("vigil.db")).read_only(true);
    let mut database = options.connect().await.expect("the database opens");
    let ids = |rows: Vec<sqlx::sqlite::SqliteRow>| rows.iter().map(|row| row.get::<i64, _>(0)).collect::<BTreeSet<_>>();
    let metrics = ids(sqlx::query("SELECT id FROM metrics").fetch_all(&mut database).await.expect("it is readable"));
    let actions = ids(sqlx::query("SELECT id FROM actions").fetch_all(&mut database).await.expect("it is readable"));
    let lost: Vec<_> =
        acknowledged.metrics.difference(&metrics).chain(acknowledged.actions.difference(&actions)).collect();
    assert!(lost.is_empty(), "V7: acknowledged and lost: {lost:?}");
    let open = sqlx::query("SELECT id FROM actions WHERE status IN ('pending', 'running') OR occupies = 1");
    let open = ids(open.fetch_all(&mut database).await.expect("it is readable"));
    assert!(open.is_empty(), "V1: not at rest: {open:?}");
    println!("chaos: {} samples and {} actions stored", metrics.len(), actions.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_loses_nothing_and_does_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let remediator = FakeRemediator::start().await;
    let acknowledged = storm(folder.path(), &remediator.url()).await;
    check_database(folder.path(), &acknowledged).await;
    let effects = remediator.effects();
    assert!(!effects.is_empty(), "something was healed");
    assert!(effects.values().all(|times| *times == 1), "V2: effects are unique per key: {effects:?}");
    let overlaps: BTreeMap<_, _> = remediator.most_in_flight().into_iter().filter(|(_, most)| *most > 1).collect();
    assert!(overlaps.is_empty(), "V3: two in flight: {overlaps:?}");
    println!("chaos: {} effects, each once", effects.len());
}

/// A webhook of somebody else: knows nothing of keys, answers 204, and has no probe.
async fn webhook() -> (SocketAddr, Arc<Mutex<BTreeMap<String, u32>>>) {
    let calls: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let counted = calls.clone();
    let hook = post(async move |headers: HeaderMap| {
        let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
        *counted.lock().unwrap().entry(key).or_default() += 1;
        StatusCode::NO_CONTENT
    });
    let missing = get(async || (StatusCode::NOT_FOUND, Html("<h1>404</h1>")));
    let router = Router::new().route("/hook", hook).route("/hook/{key}", missing);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let config = vigil_http::HttpConfig::default();
        vigil_http::serve(listener, router, &config, std::future::pending()).await;
    });
    (address, calls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_party_webhook_is_called_at_most_once_per_action_whatever_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (address, calls) = webhook().await;
    let acknowledged = storm(folder.path(), &format!("http://{address}/hook")).await;
    check_database(folder.path(), &acknowledged).await;
    let calls = calls.lock().unwrap().clone();
    assert!(!calls.is_empty() && calls.values().all(|times| *times == 1), "called more than once: {calls:?}");
    println!("chaos: {} webhook calls, each once", calls.len());
}

#[tokio::test]
async fn a_third_party_webhook_is_called_exactly_once_when_nothing_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (address, calls) = webhook().await;
    let server = server(folder.path(), &format!("http://{address}/hook")).await;
    server.post("/api/v1/actions", &json!({"target": "web-1", "action": "restart"})).await;
    let done: Value = server.action(|action| action["status"] == "completed").await;
    assert!(done["details"].as_str().unwrap_or_default().contains("unconfirmed"), "{done}");
    assert_eq!(calls.lock().unwrap().values().copied().collect::<Vec<_>>(), [1]);
}
