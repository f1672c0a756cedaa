//! Bad input: every field of every endpoint, wrong in every way. The status is the contract's, never 500, and nothing
//! is written.
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod common;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};
use common::World;
use vigil_core::remediator::DryRun;
use vigil_http::HttpConfig;

const INGEST: &str = "/api/v1/ingest";
const AGENT: &str = "/api/v1/ingest/agent/metrics";
const ACTIONS: &str = "/api/v1/actions";
const POLICIES: &str = "/api/v1/policies";
const EVALUATE: &str = "/api/v1/policies/evaluate";

/// Raw JSON that is no text, and text with NUL, which no text may have.
const NOT_TEXT: &[&str] = &["1", "true", "[]", "{}", "NaN", "-Infinity", "1e999", r#""a\u0000b""#];
/// Raw JSON that is no name of 1 to 255 characters.
const NOT_A_NAME: &[&str] = &[r#""""#, r#""  ""#, r#""a\nb""#, "<256>"];
const NOT_A_WORD: &[&str] = &[r#""""#, r#""explode""#, "<256>"];
const NOT_A_NUMBER: &[&str] =
    &[r#""1""#, r#""NaN""#, "true", "[]", "{}", "null", "NaN", "Infinity", "-Infinity", "1e999", "-1e999"];
const NOT_A_BOOLEAN: &[&str] = &["1", "0", r#""true""#, "[]", "{}", "NaN"];
const NOT_AN_OBJECT: &[&str] = &["1", "true", r#""x""#, "[]", "NaN", r#"{"a": NaN}"#, r#"{"a": "\u0000"}"#];
const NOT_TAGS: &[&str] = &[
    "1",
    "true",
    r#""x""#,
    "[]",
    r#"{"a": 1}"#,
    r#"{"a": null}"#,
    r#"{"a": {}}"#,
    r#"{"a": NaN}"#,
    r#"{"": "x"}"#,
    r#"{"a\u0000": "x"}"#,
    r#"{"a": "\u0000"}"#,
    r#"{"a": <1025>}"#,
    r#"{<129>: "x"}"#,
    "<65 tags>",
];
const NOT_A_TIME: &[&str] = &[
    "true",
    "[]",
    "{}",
    "NaN",
    "-1",
    "1e300",
    "99999999999999",
    r#""""#,
    r#""yesterday""#,
    r#""2026-13-01T00:00:00Z""#,
    r#""2099-01-01T00:00:00Z""#,
];
const NOT_A_CONDITION: &[&str] = &[
    "1",
    r#""x""#,
    "[]",
    "{}",
    "null",
    r#"{"type": 1}"#,
    r#"{"type": "moon_phase"}"#,
    r#"{"type": "all"}"#,
    r#"{"type": "all", "conditions": []}"#,
    r#"{"type": "any", "conditions": {}}"#,
    r#"{"type": "any", "conditions": [1]}"#,
    r#"{"type": "metric_exceeds", "metric": "cpu"}"#,
    r#"{"type": "metric_exceeds", "metric": "cpu", "threshold": 1, "treshold": 2}"#,
    "<17 deep>",
    "<257 wide>",
];
const NOT_A_COOLDOWN: &[&str] = &["-1", "1.5", r#""300""#, "true", "2592001", "NaN"];
const NOT_A_DURATION: &[&str] = &["-1", "true", "[]", r#""long""#, r#""-5m""#, "2592001", "NaN"];

/// Each with `@` where the bad values go.
fn fields() -> Vec<(&'static str, &'static str, &'static str, Vec<&'static [&'static str]>)> {
    let one = |path: &'static str| {
        vec![
            ("POST", path, r#"{"name": @, "value": 1}"#, vec![NOT_TEXT, NOT_A_NAME, &["null"]]),
            ("POST", path, r#"{"name": "cpu", "value": @}"#, vec![NOT_A_NUMBER]),
            ("POST", path, r#"{"name": "cpu", "value": 1, "tags": @}"#, vec![NOT_TAGS]),
            ("POST", path, r#"{"name": "cpu", "value": 1, "timestamp": @}"#, vec![NOT_A_TIME]),
        ]
    };
    let policy = |method: &'static str, path: &'static str| {
        vec![
            (
                method,
                path,
                r#"{"name": @, "condition": <c>, "action": "restart"}"#,
                vec![NOT_TEXT, NOT_A_NAME, BAD_NAMES],
            ),
            (method, path, r#"{"name": "p", "condition": @, "action": "restart"}"#, vec![NOT_A_CONDITION]),
            (
                method,
                path,
                r#"{"name": "p", "condition": {"type": "metric_below", "metric": "cpu", "threshold": @}, "action": "restart"}"#,
                vec![NOT_A_NUMBER],
            ),
            (
                method,
                path,
                r#"{"name": "p", "condition": {"type": "metric_below", "metric": @, "threshold": 1}, "action": "restart"}"#,
                vec![NOT_TEXT, NOT_A_NAME],
            ),
            (method, path, r#"{"name": "p", "condition": <c>, "action": @}"#, vec![NOT_TEXT, NOT_A_WORD, &["null"]]),
            (method, path, r#"{"name": "p", "condition": <c>, "action": "restart", "description": @}"#, vec![NOT_TEXT]),
            (
                method,
                path,
                r#"{"name": "p", "condition": <c>, "action": "restart", "severity": @}"#,
                vec![NOT_TEXT, NOT_A_WORD],
            ),
            (
                method,
                path,
                r#"{"name": "p", "condition": <c>, "action": "restart", "target": @}"#,
                vec![NOT_TEXT, NOT_A_NAME, &[r#""web-[""#, r#""{a,b""#]],
            ),
            (
                method,
                path,
                r#"{"name": "p", "condition": <c>, "action": "restart", "enabled": @}"#,
                vec![NOT_A_BOOLEAN],
            ),
            (
                method,
                path,
                r#"{"name": "p", "condition": <c>, "action": "restart", "auto_remediate": @}"#,
                vec![NOT_A_BOOLEAN],
            ),
            (method, path, r#"{"name": "p", "condition": <c>, "action": "restart", "params": @}"#, vec![NOT_AN_OBJECT]),
            (
                method,
                path,
                r#"{"name": "p", "condition": <c>, "action": "restart", "params": {"cooldown_seconds": @}}"#,
                vec![NOT_A_COOLDOWN],
            ),
            (method, path, r#"{"name": "p", "condition": <c>, "action": "restart", "for": @}"#, vec![NOT_A_DURATION]),
            (
                method,
                path,
                r#"{"name": "p", "condition": <c>, "action": "restart", "keep_firing_for": @}"#,
                vec![NOT_A_DURATION],
            ),
            (method, path, r#"{"name": "p", "condition": <c>, "action": "restart", "enbled": @}"#, vec![&["true"]]),
        ]
    };
    let mut all = [one(INGEST), one(AGENT), policy("POST", POLICIES), policy("PUT", "/api/v1/policies/p")].concat();
    all.extend([
        ("POST", AGENT, r#"[{"name": "cpu", "value": 1}, {"name": "cpu", "value": @}]"#, vec![NOT_A_NUMBER]),
        ("POST", AGENT, r#"{"metrics": [{"name": "ok", "value": 1}, {"name": @, "value": 1}]}"#, vec![NOT_TEXT]),
        ("POST", AGENT, r#"{"metrics": @}"#, vec![&["1", "null", "{}", "[]", "[1]", "[[]]", r#""x""#]]),
        ("POST", ACTIONS, r#"{"target": @, "action": "restart"}"#, vec![NOT_TEXT, NOT_A_NAME, &["null"]]),
        ("POST", ACTIONS, r#"{"target": "web", "action": @}"#, vec![NOT_TEXT, NOT_A_WORD, &["null"]]),
        ("POST", ACTIONS, r#"{"target": "web", "action": "restart", "status": @}"#, vec![NOT_TEXT, NOT_A_WORD]),
        ("POST", ACTIONS, r#"{"target": "web", "action": "restart", "details": @}"#, vec![NOT_TEXT, &["<65537>"]]),
        ("POST", ACTIONS, r#"{"target": "web", "action": "restart", "severity": @}"#, vec![NOT_TEXT, NOT_A_WORD]),
        ("POST", ACTIONS, r#"{"target": "web", "action": "restart", "params": @}"#, vec![NOT_AN_OBJECT]),
        ("POST", ACTIONS, r#"{"target": "web", "action": "restart", "tarmget": @}"#, vec![&["1"]]),
        ("PUT", "/api/v1/actions/1/cancel", r#"{"reason": @}"#, vec![NOT_TEXT, &["<65537>"]]),
        ("PUT", "/api/v1/actions/1/cancel", r#"{"raeson": @}"#, vec![&["1"]]),
        ("PUT", "/api/v1/actions/2/status", r#"{"status": @}"#, vec![NOT_TEXT, NOT_A_WORD, &["null"]]),
        ("PUT", "/api/v1/actions/2/status", r#"{"status": "failed", "details": @}"#, vec![NOT_TEXT, &["<65537>"]]),
        ("PUT", "/api/v1/actions/2/status", r#"{"status": "failed", "detials": @}"#, vec![&["1"]]),
        ("POST", EVALUATE, r#"{"metrics": @}"#, vec![NOT_AN_OBJECT, &["null", r#"{"": 1}"#]]),
        ("POST", EVALUATE, r#"{"metrics": {"cpu": @}}"#, vec![NOT_A_NUMBER]),
        ("POST", EVALUATE, r#"{"metrics": {"cpu": 1}, "target": @}"#, vec![NOT_TEXT, NOT_A_NAME]),
        ("POST", EVALUATE, r#"{"metrics": {"cpu": 1}, "tarmget": @}"#, vec![&["1"]]),
    ]);
    all
}

/// Names that routes have, or that no path could name.
const BAD_NAMES: &[&str] =
    &[r#""a/b""#, r#"".""#, r#""..""#, r#""evaluate""#, r#""reload""#, r#""runner""#, r#""severity""#];

fn expand(template: &str, bad: &str) -> String {
    let condition = r#"{"type": "metric_exceeds", "metric": "cpu", "threshold": 80}"#;
    let mut bad = bad.to_owned();
    for length in [129, 256, 1025, 65537] {
        bad = bad.replace(&format!("<{length}>"), &format!("\"{}\"", "x".repeat(length)));
    }
    let tags: Vec<String> = (0..65).map(|n| format!(r#""t{n}": "x""#)).collect();
    let deep = format!("{}{condition}{}", r#"{"type": "all", "conditions": ["#.repeat(16), "]}".repeat(16));
    let wide = format!(r#"{{"type": "any", "conditions": [{}]}}"#, vec![condition; 257].join(","));
    let bad = bad
        .replace("<65 tags>", &format!("{{{}}}", tags.join(",")))
        .replace("<17 deep>", &deep)
        .replace("<257 wide>", &wide);
    template.replace("<c>", condition).replace('@', &bad)
}

/// A world with a policy `p`, a pending action 1 and the record 2 of a running one.
async fn inhabited() -> World {
    let world = World::with(HttpConfig::default(), Arc::new(DryRun::new()), &[]);
    let policy = expand(r#"{"name": "p", "condition": <c>, "action": "restart"}"#, "");
    world.json("POST", POLICIES, policy).await;
    world.json("POST", ACTIONS, r#"{"target": "web", "action": "restart"}"#).await;
    world.json("POST", ACTIONS, r#"{"target": "web", "action": "restart", "status": "running"}"#).await;
    assert_eq!(world.get("/api/v1/actions/2").await.json()["status"], "running");
    world
}

#[tokio::test]
async fn a_wrong_field_is_422_with_its_pointer_and_writes_nothing() {
    let world = inhabited().await;
    let before = world.written().await;
    for (method, path, template, bads) in fields() {
        for bad in bads.into_iter().flatten() {
            let body = expand(template, bad);
            let answer = world.json(method, path, body.clone()).await;
            let what = format!("{method} {path} {:.200} -> {}", body, String::from_utf8_lossy(&answer.body));
            assert_eq!(answer.status.as_u16(), 422, "{what}");
            answer.assert_problem(422);
            let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
            assert!(!errors.is_empty() && errors.iter().all(|e| e["pointer"].is_string()), "{what}");
        }
    }
    assert_eq!(world.written().await, before);
}

/// Every endpoint that takes a body.
const WITH_BODY: &[(&str, &str)] = &[
    ("POST", INGEST),
    ("POST", AGENT),
    ("POST", ACTIONS),
    ("PUT", "/api/v1/actions/1/cancel"),
    ("PUT", "/api/v1/actions/2/status"),
    ("POST", POLICIES),
    ("PUT", "/api/v1/policies/p"),
    ("POST", EVALUATE),
];

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_and_writes_nothing() {
    let world = inhabited().await;
    let before = world.written().await;
    let nested =
        |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth)).into_bytes();
    let bodies: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("truncated", br#"{"name": "cpu", "#.to_vec(), &[400]),
        ("not JSON", b"hello".to_vec(), &[400]),
        ("two values", b"{} {}".to_vec(), &[400]),
        ("single quotes", b"{'name': 'cpu'}".to_vec(), &[400]),
        ("NaN and broken besides", br#"{"value": NaN"#.to_vec(), &[400]),
        ("broken UTF-8", b"{\"name\": \"\xff\xfe\", \"value\": 1}".to_vec(), &[400]),
        ("half a character", b"{\"name\": \"\xe2\x82\", \"value\": 1}".to_vec(), &[400]),
        ("a lone surrogate", br#"{"name": "\ud800", "value": 1}"#.to_vec(), &[400]),
        ("deep lists", nested("[", "]", 100_000), &[400]),
        ("deep objects", nested(r#"{"a":"#, "}", 100_000), &[400]),
        ("100 deep", nested(r#"{"a":"#, "}", 100), &[422]),
        ("a number", b"1".to_vec(), &[422]),
        ("a string", br#""x""#.to_vec(), &[422]),
        ("null", b"null".to_vec(), &[422]),
        ("a list", b"[1]".to_vec(), &[422]),
        ("10 MB", vec![b' '; 10 * 1024 * 1024], &[413]),
    ];
    for (method, path) in WITH_BODY {
        for (what, body, statuses) in &bodies {
            let answer = world.json(method, path, body.clone()).await;
            let status = answer.status.as_u16();
            assert!(statuses.contains(&status), "{what} to {method} {path}: {status}");
            answer.assert_problem(status);
        }
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "", "json"] {
            let request = Request::builder().method(*method).uri(*path).header(header::CONTENT_TYPE, content_type);
            world.send(request.body(Body::from("{}")).unwrap()).await.assert_problem(415);
        }
        let request = Request::builder().method(*method).uri(*path);
        world.send(request.body(Body::from("{}")).unwrap()).await.assert_problem(415);
    }
    assert_eq!(world.written().await, before);
}

#[tokio::test]
async fn json_may_be_announced_with_parameters_and_suffixes() {
    let world = World::new();
    for content_type in ["application/json; charset=utf-8", "Application/JSON", "application/vnd.agent+json"] {
        let request = Request::post(INGEST).header(header::CONTENT_TYPE, content_type);
        let answer = world.send(request.body(Body::from(r#"{"name": "cpu", "value": 1}"#)).unwrap()).await;
        assert_eq!(answer.status.as_u16(), 201, "{content_type}");
    }
}

#[tokio::test]
async fn only_batches_may_be_larger_than_a_mebibyte() {
    let world = World::new();
    let metric = format!(r#"{{"name": "cpu", "value": 1, "note": "{}"}}"#, "x".repeat(2 * 1024 * 1024));
    assert_eq!(world.json("POST", AGENT, metric.clone()).await.status.as_u16(), 201);
    world.json("POST", INGEST, metric).await.assert_problem(413);
}

#[tokio::test]
async fn a_wrong_path_or_query_is_refused() {
    let world = inhabited().await;
    let before = world.written().await;
    let long = format!("/api/v1/actions?target={}", "x".repeat(256));
    for (method, path, status) in [
        ("GET", "/api/v1/actions/status/done", 400),
        ("GET", "/api/v1/actions/status/PENDING", 400),
        ("GET", "/api/v1/actions/status/%FF", 400),
        ("GET", "/api/v1/actions/status/%00", 400),
        ("GET", "/api/v1/actions/status/pending?status=failed", 422),
        ("GET", "/api/v1/actions?status=", 400),
        ("GET", "/api/v1/actions?limit=", 422),
        ("GET", "/api/v1/actions?limit=-1", 422),
        ("GET", "/api/v1/actions?limit=1e2", 422),
        ("GET", "/api/v1/actions?limit=99999999999999999999999", 422),
        ("GET", "/api/v1/actions?limit=1&limit=2", 422),
        ("GET", "/api/v1/actions?target=", 422),
        ("GET", "/api/v1/actions?target=%00", 422),
        ("GET", &long, 422),
        ("GET", "/api/v1/actions?cursor=", 422),
        ("GET", "/api/v1/actions?cursor=zz", 422),
        ("GET", "/api/v1/actions?cursor=00", 422),
        ("GET", "/api/v1/actions?cursor=%F0%9F%A6%80", 422),
        ("GET", "/api/v1/actions?Limit=1", 422),
        ("GET", "/api/v1/policies?cursor=ff", 422),
        ("GET", "/api/v1/policies?cursor=", 422),
        ("GET", "/api/v1/policies/severity/huge", 400),
        ("GET", "/api/v1/policies/severity/info?limit=0", 422),
        ("GET", "/api/v1/policies/%FF", 400),
        ("GET", "/api/v1/policies/a%2Fb", 404),
        ("GET", "/api/v1/policies/%00", 404),
        ("DELETE", "/api/v1/policies/..%2F", 404),
        ("PUT", "/api/v1/policies/%20/enable", 404),
        ("GET", "/api/v1/actions/0", 404),
        ("GET", "/api/v1/actions/-1", 404),
        ("GET", "/api/v1/actions/2147483648", 404),
        ("GET", "/api/v1/actions/9223372036854775808", 404),
        ("GET", "/api/v1/actions/-", 422),
        ("GET", "/api/v1/actions/1.5", 422),
        ("GET", "/api/v1/actions/%2B1", 422),
        ("PUT", "/api/v1/actions/x/cancel", 422),
        ("DELETE", "/api/v1/actions", 405),
        ("POST", "/health", 405),
        ("GET", "/api/v1/policies/evaluate", 405),
        ("GET", "/api/v1", 404),
        ("GET", "//", 404),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let answer = world.send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        answer.assert_problem(status);
        assert_eq!(status == 405, answer.headers.contains_key(header::ALLOW), "{method} {path}");
    }
    assert_eq!(world.written().await, before);
}

/// What is small enough as text, and would be a hundred times as much as values.
#[tokio::test]
async fn a_body_that_weighs_more_than_it_has_bytes_is_refused() {
    let world = inhabited().await;
    let before = world.written().await;
    let heavy = |values: usize| format!("[{}0]", "{\"\":0},".repeat(values));
    for (path, most) in [(INGEST, 20_000), (AGENT, 1_000)] {
        let sample = |values| format!(r#"{{"name": "cpu", "value": 1, "more": {}}}"#, heavy(values));
        let answer = world.json("POST", path, sample(most)).await;
        answer.assert_problem(400);
        assert!(answer.json()["detail"].as_str().unwrap().contains("values"), "{}", answer.json());
    }
    let answer = world.json("POST", AGENT, heavy(100_000)).await;
    answer.assert_problem(422);
    assert_eq!(answer.json()["errors"].as_array().map(Vec::len), Some(100), "as many as are told");
    let sample = r#"{"name": "cpu", "value": 1}"#;
    let many = format!("[{}{sample}]", format!("{sample},").repeat(50_000));
    let answer = world.json("POST", AGENT, many).await;
    answer.assert_problem(422);
    assert!(answer.json()["detail"].as_str().unwrap().contains("50000"), "{}", answer.json());
    assert_eq!(world.written().await, before);
}

/// With the feature `raw_value`, which any crate of a program may switch on, serde_json takes the text under this key for JSON.
#[tokio::test]
async fn a_body_cannot_hide_values_in_a_text() {
    let world = inhabited().await;
    let before = world.written().await;
    let much = format!("[{}0]", "0,".repeat(100_000));
    for key in ["$serde_json::private::RawValue", r"\u0024serde_json::private::RawValue"] {
        let hidden = format!(r#"{{"{key}": "{much}"}}"#);
        let sample = format!(r#"{{"name": "cpu", "value": 1, "extra": {hidden}}}"#);
        let params = format!(r#"{{"target": "web-1", "action": "restart", "params": {{"a": {hidden}}}}}"#);
        for (path, body) in [(INGEST, sample.clone()), (AGENT, format!("[{sample}]")), (ACTIONS, params)] {
            let answer = world.json("POST", path, body).await;
            answer.assert_problem(400);
            assert!(answer.json()["detail"].as_str().unwrap().contains("is not taken"), "{}", answer.json());
        }
    }
    assert_eq!(world.written().await, before);
}

#[tokio::test]
async fn large_bodies_for_which_there_is_no_room_are_503_and_small_ones_pass() {
    let world = World::with_config(vigil_http::HttpConfig { body_memory: 0, ..vigil_http::HttpConfig::default() });
    let sample = |note: usize| format!(r#"{{"name": "cpu", "value": 1, "note": "{}"}}"#, "x".repeat(note));
    let answer = world.json("POST", AGENT, sample(70_000)).await;
    answer.assert_problem(503);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(world.json("POST", AGENT, sample(60_000)).await.status.as_u16(), 201);
}
