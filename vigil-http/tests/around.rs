//! What happens around every request: ids, counts, CORS, time, panics, outages, keys.
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod common;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use common::{Answer, World};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;
use vigil_core::action::IdempotencyKey;
use vigil_core::remediator::{DryRun, Outcome, Probe, RemediationRequest, Remediator, RemediatorError};
use vigil_core::testing::{Effect, Fault};
use vigil_http::{HttpConfig, Origins};

const METRIC: &str = r#"{"name": "cpu", "value": 1, "tags": {"host": "h"}}"#;
const ACTION: &str = r#"{"target": "web", "action": "restart"}"#;
const POLICY: &str = r#"{"name": "p", "action": "restart", "auto_remediate": true,
    "condition": {"type": "metric_exceeds", "metric": "cpu", "threshold": 80}}"#;

/// A remediator whose `ping` does as told.
#[derive(Debug)]
enum Pinged {
    Refuses,
    Hangs,
    Panics,
}

#[async_trait]
impl Remediator for Pinged {
    async fn remediate(&self, _: &RemediationRequest) -> Result<Outcome, RemediatorError> {
        Err(RemediatorError::Stale)
    }

    async fn probe(&self, _: &IdempotencyKey) -> Result<Probe, RemediatorError> {
        Ok(Probe::Unknown)
    }

    async fn ping(&self) -> Result<(), RemediatorError> {
        match self {
            Self::Refuses => Err(RemediatorError::Unavailable("connection refused".into())),
            Self::Hangs => std::future::pending().await,
            Self::Panics => panic!("a secret from inside"),
        }
    }
}

fn pinged(remediator: Pinged) -> World {
    let config = HttpConfig { ping_timeout: Duration::from_millis(50), ..HttpConfig::default() };
    World::with(config, Arc::new(remediator), &[])
}

#[tokio::test]
async fn a_remediator_that_is_down_or_hangs_does_not_make_it_unready() {
    for remediator in [Pinged::Refuses, Pinged::Hangs] {
        let answer = pinged(remediator).get("/ready").await;
        assert_eq!(answer.status.as_u16(), 200);
        assert_eq!(answer.json()["remediator"], "down");
    }
}

#[tokio::test]
async fn a_store_that_hangs_makes_it_unready_and_unhealthy_but_still_healthy_as_a_process() {
    let world = pinged(Pinged::Refuses);
    for path in ["/ready", "/api/v1/ingest/health", "/api/v1/actions/health"] {
        world.store.faults().plan("ping", 1, Fault::Hang, Effect::Missing);
        let answer = world.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "5"), "{path}");
    }
    assert_eq!(world.get("/health").await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_panic_is_500_without_a_word_from_inside() {
    let answer = pinged(Pinged::Panics).get("/ready").await;
    answer.assert_problem(500);
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let world = World::with_config(HttpConfig { request_timeout: Duration::from_millis(50), ..HttpConfig::default() });
    world.store.faults().plan("actions", 1, Fault::Hang, Effect::Missing);
    world.get("/api/v1/actions").await.assert_problem(504);
    assert_eq!(world.get("/api/v1/actions").await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let world = World::with_config(HttpConfig { body_timeout: Duration::from_millis(50), ..HttpConfig::default() });
    let never = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    world.json("POST", "/api/v1/ingest", never).await.assert_problem(408);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_the_clients_mistake() {
    let broken = std::io::Error::other("reset");
    let body = Body::from_stream(futures_util::stream::iter([Ok(b"{".to_vec()), Err(broken)]));
    World::new().json("POST", "/api/v1/ingest", body).await.assert_problem(400);
}

#[tokio::test]
async fn an_outage_is_503_everywhere_and_nothing_is_half_done() {
    let world = World::new();
    world.json("POST", "/api/v1/policies", POLICY).await;
    world.json("POST", "/api/v1/actions", ACTION).await;
    let before = world.written().await;
    world.store.faults().down();
    world.queue.faults().down();
    for (method, path, body) in [
        ("POST", "/api/v1/ingest", METRIC),
        ("POST", "/api/v1/ingest/agent/metrics", METRIC),
        ("POST", "/api/v1/actions", ACTION),
        ("GET", "/api/v1/actions", ""),
        ("GET", "/api/v1/actions/1", ""),
        ("GET", "/api/v1/actions/status/pending", ""),
        ("PUT", "/api/v1/actions/1/cancel", ""),
        ("PUT", "/api/v1/actions/1/status", r#"{"status": "failed"}"#),
        ("POST", "/api/v1/policies", POLICY),
        ("PUT", "/api/v1/policies/p", r#"{"enabled": false}"#),
        ("DELETE", "/api/v1/policies/p", ""),
        ("PUT", "/api/v1/policies/p/enable", ""),
        ("PUT", "/api/v1/policies/p/disable", ""),
        ("POST", "/api/v1/policies/reload", ""),
        ("POST", "/api/v1/policies/evaluate", r#"{"metrics": {"cpu": 95}, "target": "web"}"#),
        ("GET", "/api/v1/ui/queue/stats", ""),
        ("GET", "/api/v1/episodes", ""),
        ("GET", "/api/v1/episodes/1", ""),
        ("POST", "/api/v1/episodes/1/reset", ""),
        ("GET", "/api/v1/audit", ""),
        ("GET", "/api/v1/series", ""),
        ("GET", "/api/v1/query?metric=cpu", ""),
        ("GET", "/api/v1/why?policy=p&target=web", ""),
        ("GET", "/api/v1/queue/dead", ""),
        ("POST", "/api/v1/queue/dead/task_1/retry", ""),
        ("DELETE", "/api/v1/queue/dead/task_1", ""),
        ("DELETE", "/api/v1/queue/dead?older_than_seconds=0", ""),
        ("GET", "/api/v1/brake", ""),
        ("PUT", "/api/v1/brake", r#"{"state": "stopped", "reason": "deploying"}"#),
    ] {
        let answer = world.json(method, path, body).await;
        assert_eq!(answer.status.as_u16(), 503, "{method} {path}");
        answer.assert_problem(503);
        assert!(!String::from_utf8_lossy(&answer.body).contains("injected"), "the cause is for the log");
    }
    for path in ["/health", "/metrics", "/api/v1/settings", "/api/v1/policies", "/api/v1/policies/runner/status"] {
        assert_eq!(world.get(path).await.status.as_u16(), 200, "{path} needs neither");
    }
    world.store.faults().up();
    assert_eq!(world.written().await, before);
}

#[tokio::test]
async fn an_action_is_taken_in_while_the_queue_is_down() {
    let world = World::new();
    world.queue.faults().down();
    let answer = world.json("POST", "/api/v1/actions", ACTION).await;
    assert_eq!(answer.status.as_u16(), 201, "the store is the truth, the queue a hint");
}

#[tokio::test]
async fn every_request_leaves_one_line_in_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone()).with_max_level(tracing::Level::INFO);
    let guard = tracing::subscriber::set_default(subscriber.finish());
    let world = World::new();
    with_id(&world, b"one").await;
    world.get("/api/v1/actions/77").await;
    world.get("/health").await;
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "a probe that succeeds is not worth a line: {text}");
    assert_eq!(lines[0]["span"]["request_id"], "one");
    assert_eq!(lines[0]["span"]["route"], "unmatched");
    assert_eq!(lines[1]["span"]["route"], "/api/v1/actions/{id}");
    assert_eq!(lines[1]["span"]["method"], "GET");
    assert_eq!(lines[1]["fields"]["status"], 404);
    assert!(lines[1]["fields"]["took_ms"].is_f64());
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

async fn with_id(world: &World, id: &[u8]) -> Answer {
    let id = HeaderValue::from_bytes(id).unwrap();
    world.send(Request::get("/api/v1/nothing").header("x-request-id", id).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_sane_request_id_comes_back_and_any_other_is_replaced() {
    let world = World::new();
    let long = "x".repeat(129);
    for id in ["abc-123", "{\"a\":1}", &"x".repeat(128)] {
        let answer = with_id(&world, id.as_bytes()).await;
        assert_eq!(answer.header("x-request-id"), id);
        answer.assert_problem(404);
    }
    for id in ["", "two words", &long, "tab\there", "\u{fc}"] {
        let answer = with_id(&world, id.as_bytes()).await;
        let made = answer.header("x-request-id");
        assert!(made.len() == 32 && made.bytes().all(|b| b.is_ascii_hexdigit()), "{id}: {made}");
    }
    assert_ne!(world.get("/health").await.header("x-request-id"), world.get("/health").await.header("x-request-id"));
}

#[tokio::test]
async fn every_request_is_counted_once_under_its_route() {
    let world = World::new();
    world.json("POST", "/api/v1/actions", ACTION).await;
    world.get("/api/v1/actions/1").await;
    world.get("/api/v1/actions/1/").await;
    world.get("/api/v1/actions/77").await;
    world.get("/api/v1/actions/abc").await;
    world.get("/wp-admin.php").await;
    world.get("/%2e%2e/etc/passwd").await;
    world.json("PATCH", "/health", "").await;
    let metrics = String::from_utf8(world.get("/metrics").await.body).unwrap();
    let count = |method: &str, endpoint: &str, status: u16| {
        metrics
            .lines()
            .filter(|line| line.starts_with("vigil_requests_total{"))
            .find(|line| {
                [format!("method=\"{method}\""), format!("endpoint=\"{endpoint}\""), format!("status=\"{status}\"")]
                    .iter()
                    .all(|label| line.contains(label))
            })
            .and_then(|line| line.rsplit(' ').next().unwrap().parse::<f64>().ok())
    };
    assert_eq!(count("POST", "/api/v1/actions", 201), Some(1.0));
    assert_eq!(count("GET", "/api/v1/actions/{id}", 200), Some(2.0), "with and without the slash it is one route");
    assert_eq!(count("GET", "/api/v1/actions/{id}", 404), Some(1.0));
    assert_eq!(count("GET", "/api/v1/actions/{id}", 422), Some(1.0));
    assert_eq!(count("GET", "unmatched", 404), Some(2.0));
    assert_eq!(count("PATCH", "/health", 405), Some(1.0));
    assert!(!metrics.contains("passwd") && !metrics.contains("wp-admin"));
}

async fn preflight(world: &World, origin: &str) -> Answer {
    let request = Request::options("/api/v1/policies/p")
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type,if-match");
    world.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_four_documented_origins_may_call_and_no_other() {
    let world = World::new();
    for origin in ["http://localhost:3000", "http://localhost:5173", "http://127.0.0.1:3000", "http://127.0.0.1:5173"] {
        let answer = preflight(&world, origin).await;
        assert_eq!(answer.status.as_u16(), 200);
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        for method in ["GET", "POST", "PUT", "DELETE"] {
            assert!(answer.header("access-control-allow-methods").contains(method));
        }
        for name in ["content-type", "idempotency-key", "if-match", "last-event-id"] {
            assert!(answer.header("access-control-allow-headers").contains(name));
        }
    }
    for origin in ["https://evil.example", "http://localhost:3001", "https://localhost:3000", "null"] {
        let answer = preflight(&world, origin).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin} is not reflected");
    }
}

#[tokio::test]
async fn an_error_can_be_read_by_the_page_that_caused_it() {
    let request = Request::get("/api/v1/actions/77").header(header::ORIGIN, "http://localhost:3000");
    let answer = World::new().send(request.body(Body::empty()).unwrap()).await;
    answer.assert_problem(404);
    assert_eq!(answer.header("access-control-allow-origin"), "http://localhost:3000");
    assert!(answer.header("access-control-expose-headers").contains("x-request-id"));
}

#[tokio::test]
async fn any_origin_may_be_allowed_but_never_with_credentials() {
    let origins = Origins::new(["*"]).unwrap();
    let world = World::with_config(HttpConfig { origins, ..HttpConfig::default() });
    let answer = preflight(&world, "https://anywhere.example").await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("access-control-allow-credentials"), "");
}

#[tokio::test]
async fn only_the_listed_origins_may_call_when_there_is_a_list() {
    let origins = Origins::new(["https://ops.example.com"]).unwrap();
    let world = World::with_config(HttpConfig { origins, ..HttpConfig::default() });
    let allowed = preflight(&world, "https://ops.example.com").await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://ops.example.com");
    assert_eq!(preflight(&world, "http://localhost:3000").await.header("access-control-allow-origin"), "");
}

async fn keyed(world: &World, path: &str, key: &str, body: &str) -> Answer {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json").header("idempotency-key", key);
    world.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

#[tokio::test]
async fn the_same_key_and_body_get_the_first_answer_for_24_hours() {
    let world = World::new();
    for (path, body) in [
        ("/api/v1/ingest", METRIC),
        ("/api/v1/ingest/agent/metrics", r#"[{"name": "a", "value": 1}, {"name": "b", "value": 2}]"#),
        ("/api/v1/actions", ACTION),
    ] {
        let key = format!("key-for-{path}");
        let first = keyed(&world, path, &key, body).await;
        let before = world.written().await;
        let again = keyed(&world, path, &key, body).await;
        assert_eq!((first.status.as_u16(), &first.body), (201, &again.body), "{path}");
        assert_eq!(first.body, keyed(&world, &format!("{path}/"), &key, body).await.body, "a slash is no difference");
        keyed(&world, path, &key, &format!("{body} ")).await.assert_problem(422);
        assert_eq!(world.written().await, before, "{path}");
    }
    let keyed_action = async || keyed(&world, "/api/v1/actions", "key-for-/api/v1/actions", ACTION).await.json();
    let first = keyed_action().await;
    world.clock.advance(Duration::from_secs(24 * 3600 + 1));
    assert_ne!(keyed_action().await["action_id"], first["action_id"], "after a day the key is free");
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_key() {
    let world = World::new();
    keyed(&world, "/api/v1/actions", "k", r#"{"target": "web"}"#).await.assert_problem(422);
    world.store.faults().down();
    keyed(&world, "/api/v1/actions", "k", ACTION).await.assert_problem(503);
    world.store.faults().up();
    assert_eq!(keyed(&world, "/api/v1/actions", "k", ACTION).await.status.as_u16(), 201);
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap_or_a_double() {
    let world = World::new();
    for _ in 0..7 {
        world.json("POST", "/api/v1/actions", ACTION).await; // all at the same time of the clock
    }
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/api/v1/actions?limit=3{cursor}")).await.json();
        ids.extend(page["actions"].as_array().unwrap().iter().map(|action| action["id"].as_i64().unwrap()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(ids, [7, 6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn the_sandbox_writes_nothing() {
    let world = World::new();
    world.json("POST", "/api/v1/policies", POLICY).await;
    let before = world.written().await;
    let answer = world.json("POST", "/api/v1/policies/evaluate", r#"{"metrics": {"cpu": 95}, "target": "web"}"#).await;
    assert_eq!(answer.json()["violations"][0]["decision"], "act");
    let all = world.json("POST", "/api/v1/policies/evaluate", r#"{"metrics": {"cpu": 95}, "target": "all"}"#).await;
    assert_eq!(all.json()["violations"][0]["target"], "all", "what an answer says may come back");
    assert_eq!(world.written().await, before);
    assert_eq!(world.get("/api/v1/ui/queue/stats").await.json()["tasks_enqueued"], 0);
}

#[tokio::test]
async fn a_partial_update_leaves_the_other_fields() {
    let world = World::new();
    let first = world.json("POST", "/api/v1/policies", POLICY).await.json();
    for patch in [
        json!({"description": "new"}),
        json!({"target": "web-*"}),
        json!({"params": {"cooldown_seconds": 0}}),
        json!({"for": "1m"}),
        json!({"condition": {"type": "metric_below", "metric": "free", "threshold": 5}}),
    ] {
        let mut wanted = world.get("/api/v1/policies/p").await.json();
        world.json("PUT", "/api/v1/policies/p", patch.to_string()).await;
        let mut now = world.get("/api/v1/policies/p").await.json();
        let (field, value) = patch.as_object().unwrap().iter().next().unwrap();
        wanted[field] = if field == "for" { json!(60) } else { value.clone() };
        for policy in [&mut wanted, &mut now] {
            policy["revision"] = json!(0);
            policy["condition"]["threshold"] = json!(0);
        }
        assert_eq!(now, wanted);
    }
    let stale = Request::put("/api/v1/policies/p")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::IF_MATCH, first["revision"].to_string())
        .body(Body::from(r#"{"enabled": false}"#));
    world.send(stale.unwrap()).await.assert_problem(412);
}

#[tokio::test]
async fn an_etag_that_was_never_ours_matches_nothing() {
    let world = World::new();
    world.json("POST", "/api/v1/policies", POLICY).await;
    for (tag, status) in [("\"abc\"", 412), ("W/\"1\"", 412), ("", 412), ("*", 200)] {
        let request = Request::put("/api/v1/policies/p")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::IF_MATCH, tag)
            .body(Body::from(r#"{"description": "x"}"#));
        assert_eq!(world.send(request.unwrap()).await.status.as_u16(), status, "{tag}");
    }
}

#[tokio::test]
async fn of_a_key_that_stands_twice_the_last_counts() {
    let world = World::new();
    let answer = world.json("POST", "/api/v1/actions", r#"{"target": "a", "target": "b", "action": "restart"}"#).await;
    assert_eq!(answer.json()["target"], "b");
}

#[tokio::test]
async fn what_an_answer_adds_may_come_back() {
    let world = World::new();
    let answer = world.json("POST", "/api/v1/actions", ACTION).await.json();
    assert_eq!(world.json("POST", "/api/v1/actions", answer.to_string()).await.status.as_u16(), 201);
    let policy = world.json("POST", "/api/v1/policies", POLICY).await.json();
    assert_eq!(world.json("PUT", "/api/v1/policies/p", policy.to_string()).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_batch_is_all_or_nothing() {
    let world = World::with(HttpConfig::default(), Arc::new(DryRun::new()), &[]);
    let before = world.written().await;
    let body = r#"{"metrics": [{"name": "a", "value": 1}, {"name": "b", "value": "2"}, {"name": "", "value": 3}]}"#;
    let answer = world.json("POST", "/api/v1/ingest/agent/metrics", body).await;
    answer.assert_problem(422);
    let pointers: Vec<_> = answer.json()["errors"].as_array().unwrap().iter().map(|e| e["pointer"].clone()).collect();
    assert_eq!(pointers, ["/metrics/1/value", "/metrics/2/name"]);
    assert_eq!(world.written().await, before);
}

#[tokio::test]
async fn a_compressed_body_is_unfolded_within_its_bounds() {
    let world = World::with_config(HttpConfig { batch_limit: 10_000, ..HttpConfig::default() });
    let send = async |encoding: &str, body: Vec<u8>| {
        let request = Request::post("/api/v1/ingest/agent/metrics").header("Content-Type", "application/json");
        world.send(request.header("Content-Encoding", encoding).body(body.into()).unwrap()).await
    };
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let sample = r#"[{"name": "a", "value": 1}]"#;
    for encoding in ["gzip", "GZIP", "identity"] {
        let body = if encoding == "identity" { sample.into() } else { gzip(sample) };
        assert_eq!(send(encoding, body).await.status, 201, "{encoding}");
    }
    let bomb = gzip(&" ".repeat(10_001));
    assert!(bomb.len() < 100);
    send("gzip", bomb).await.assert_problem(413);
    send("gzip", sample.into()).await.assert_problem(400);
    send("gzip", gzip(sample)[..20].to_vec()).await.assert_problem(400);
    send("br", sample.into()).await.assert_problem(415);
}
