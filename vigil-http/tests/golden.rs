//! Every endpoint as it is on the wire: `golden/*.json` has the requests and the exact answers.
//!
//! `<id>`, `<time>`, `<request-id>` stand for what differs from run to run. In a request `<id>` is the newest action's
//! id and `<revision>` the newest policy's. After a wanted change run with `BLESS=1`, which writes the answers anew, and
//! read the diff.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // BLESS is read from the environment; tests fail by panicking

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use common::{Answer, World};
use serde_json::{Value, json};
use vigil_core::remediator::DryRun;
use vigil_http::HttpConfig;

/// One test for each file.
macro_rules! golden {
    ($($file:ident),+ $(,)?) => {
        const FILES: &[&str] = &[$(stringify!($file)),+];
        $(#[tokio::test]
        async fn $file() {
            check(stringify!($file)).await;
        })+
    };
}

golden!(
    get_health,
    get_ready,
    get_metrics,
    post_ingest,
    get_ingest_health,
    post_ingest_agent_metrics,
    post_actions,
    get_actions,
    get_action,
    get_actions_by_status,
    get_actions_health,
    put_action_cancel,
    put_action_status,
    post_policies,
    get_policies,
    get_policy,
    put_policy,
    delete_policy,
    put_policy_enable,
    put_policy_disable,
    post_policies_evaluate,
    post_policies_reload,
    get_policies_by_severity,
    get_runner_status,
    get_queue_stats,
    get_episodes,
    get_episode,
    post_episode_reset,
    get_audit,
    get_series,
    get_query,
    get_settings,
    get_why,
    get_queue_dead,
    post_queue_dead_retry,
    delete_queue_dead,
    get_brake,
    put_brake,
    any_path,
);

#[test]
fn every_golden_file_is_checked() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        // tests/document.rs checks the OpenAPI document.
        assert!(FILES.contains(&name) || name == "openapi", "{name}.json is checked by no test");
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

async fn check(file: &str) {
    let path = folder().join(file).with_extension("json");
    let mut cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(cases.len() > 1 || file == "get_health", "{file}: success and typical errors");
    let bless = std::env::var_os("BLESS").is_some();
    for case in &mut cases {
        let answer = play(case).await;
        if bless {
            case["response"] = shown(&answer);
        } else {
            let what = format!("{file}: {}", case["case"]);
            compare(&what, &case["response"], &shown(&answer));
        }
    }
    if bless {
        std::fs::write(&path, serde_json::to_string_pretty(&cases).unwrap() + "\n").unwrap();
    }
}

async fn play(case: &Value) -> Answer {
    let files: Vec<&str> = case["policy_files"].as_array().into_iter().flatten().map(|f| f.as_str().unwrap()).collect();
    let config = HttpConfig {
        metrics_enabled: case["metrics_enabled"] != json!(false),
        ping_timeout: Duration::from_millis(200),
        ..HttpConfig::default()
    };
    let world = World::with(config, Arc::new(DryRun::new()), &files);
    let mut seen = Seen::default();
    for step in case["given"].as_array().into_iter().flatten() {
        if step["store"] == "down" {
            world.store.faults().down();
        } else if step["queue"] == "down" {
            world.queue.faults().down();
        } else if let Some(seconds) = step["seconds_later"].as_u64() {
            world.clock.advance(Duration::from_secs(seconds));
        } else {
            let answer = world.send(request(step, &seen)).await;
            assert!(answer.status.is_success(), "{}: {}", case["case"], String::from_utf8_lossy(&answer.body));
            seen.remember(&answer.json());
        }
    }
    world.send(request(&case["request"], &seen)).await
}

/// What placeholders in later requests stand for.
#[derive(Default)]
struct Seen {
    id: Option<i64>,
    revision: Option<i64>,
    cursor: Option<String>,
}

impl Seen {
    fn remember(&mut self, answer: &Value) {
        self.id = answer["action_id"].as_i64().or(self.id);
        self.revision = answer["revision"].as_i64().or(self.revision);
        self.cursor = answer["next_cursor"].as_str().map(str::to_owned).or(self.cursor.take());
    }

    fn fill(&self, text: &str) -> String {
        let number = |n: Option<i64>| n.map_or_else(String::new, |n| n.to_string());
        text.replace("<id>", &number(self.id))
            .replace("<revision>", &number(self.revision))
            .replace("<cursor>", self.cursor.as_deref().unwrap_or_default())
    }
}

fn request(step: &Value, seen: &Seen) -> Request<Body> {
    let text = |name: &str| seen.fill(step[name].as_str().unwrap());
    let mut request = Request::builder().method(text("method").as_str()).uri(text("path"));
    for (name, value) in step["headers"].as_object().into_iter().flatten() {
        request = request.header(name, seen.fill(value.as_str().unwrap()));
    }
    let body = if let Some(raw) = step["text"].as_str() {
        raw.to_owned()
    } else if step["json"].is_null() {
        String::new()
    } else {
        request = request.header("content-type", "application/json");
        step["json"].to_string()
    };
    request.body(Body::from(body)).unwrap()
}

/// An answer with placeholders for what differs from run to run. Headers are shown if they are worth it.
fn shown(answer: &Answer) -> Value {
    const HEADERS: [&str; 5] = ["content-type", "retry-after", "allow", "etag", "access-control-allow-origin"];
    let mut headers = serde_json::Map::new();
    for name in HEADERS.iter().filter(|name| answer.headers.contains_key(**name)) {
        headers.insert((*name).to_owned(), answer.header(name).into());
    }
    if let Some(etag) = headers.get_mut("etag") {
        *etag = "\"<revision>\"".into();
    }
    let mut shown = json!({"status": answer.status.as_u16(), "headers": headers});
    if answer.header("content-type").contains("json") {
        shown["json"] = with_placeholders("", answer.json());
    } else if !answer.body.is_empty() {
        // Prometheus's text is pinned where it is made.
        shown["text"] = String::from_utf8_lossy(&answer.body).lines().take(2).collect::<Vec<_>>().join("\n").into();
    }
    shown
}

fn with_placeholders(key: &str, value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().map(|(k, v)| (k.clone(), with_placeholders(&k, v))).collect(),
        Value::Array(items) => items.into_iter().map(|item| with_placeholders(key, item)).collect(),
        Value::Number(_) if key == "revision" => "<revision>".into(),
        Value::Number(_) if ["id", "action_id", "metric_id", "metric_ids", "episode_id"].contains(&key) => {
            "<id>".into()
        }
        Value::String(_) if key == "request_id" => "<request-id>".into(),
        Value::String(_) if key == "next_cursor" => "<cursor>".into(),
        Value::String(text) if is_time(&text) => "<time>".into(),
        other => other,
    }
}

fn is_time(text: &str) -> bool {
    text.ends_with('Z') && text.contains('T') && vigil_core::clock::Timestamp::parse(text).is_ok()
}

fn compare(what: &str, wanted: &Value, answered: &Value) {
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    assert!(wanted == answered, "{what}\nwanted {}\nanswered {}", pretty(wanted), pretty(answered));
}
