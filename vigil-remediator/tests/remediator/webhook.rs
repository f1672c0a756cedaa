//! Webhooks: what is sent, what answers mean, and where they may not lead.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use vigil_core::action::IdempotencyKey;
use vigil_core::clock::{Clock, SystemClock};
use vigil_core::remediator::{Outcome, Probe, Remediator, RemediatorError};
use vigil_http::Secret;
use vigil_remediator::service::{Config, ExecutorConfig};
use vigil_remediator::webhook::WebhookExecutor;
use vigil_remediator::{Executor, Job};

use crate::bench::{envelope, job, request, spawn, until, with_params};

/// What came: method and path, headers, body.
type Calls = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;

/// A hook that answers every call the same, and redirects nowhere but to itself.
struct Hook {
    address: String,
    calls: Calls,
}

impl Hook {
    async fn start(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Self {
        let calls = Calls::default();
        let headers: Vec<_> = headers.to_vec();
        let answer = move |State(calls): State<Calls>, method: Method, uri: Uri, head: HeaderMap, sent: Bytes| async move {
            calls.lock().unwrap().push((format!("{method} {uri}"), head, String::from_utf8_lossy(&sent).into_owned()));
            let mut response: Response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(answer).with_state(calls.clone());
        spawn(async move { axum::serve(listener, router).await });
        Self { address, calls }
    }

    fn executor(&self, more: &str) -> Arc<WebhookExecutor> {
        executor(&format!("url: 'http://{}/hook?x=1', allow_private: true{more}", self.address))
    }

    fn calls(&self) -> Vec<(String, HeaderMap, String)> {
        self.calls.lock().unwrap().clone()
    }
}

fn executor(yaml: &str) -> Arc<WebhookExecutor> {
    let config =
        Config::parse(&format!("executors: {{ hook: {{ webhook: {{ {yaml} }} }} }}"), Path::new("t.yaml")).unwrap();
    let Some(ExecutorConfig::Webhook(config)) = config.executors.get("hook") else { panic!() };
    Arc::new(WebhookExecutor::new(config.clone(), Arc::new(SystemClock)).unwrap())
}

fn act(params: Value) -> Job {
    job(&with_params(request("default-action-1-0f", 3, "web-1", "restart"), params), "web-1")
}

async fn run(executor: &WebhookExecutor, job: &Job) -> Result<Outcome, RemediatorError> {
    executor.execute(job, &Value::Null, until()).await
}

#[tokio::test]
async fn the_template_is_filled_and_values_stay_values() {
    let hook = Hook::start(200, &[], "ok").await;
    let body = r#", body: { text: "{action} {target}: {policy} {unknown} {", nested: [{ key: "{key}", n: 1 }], params: "{params}" }"#;
    let nasty = with_params(request("k", 3, "web\",\"x\":\"{key}", "restart"), json!({"a": [1, "{target}"]}));
    let answer = run(&hook.executor(body), &job(&nasty, "o")).await.unwrap();
    assert!(
        matches!(&answer, Outcome::Succeeded { details: Some(said) } if said.ends_with("200 OK: ok")),
        "{answer:?}"
    );
    let (what, headers, sent) = hook.calls().remove(0);
    assert_eq!(what, "POST /hook?x=1");
    let expected = json!({
        "text": "restart web\",\"x\":\"{key}: high-cpu {unknown} {", "nested": [{"key": "k", "n": 1}], "params": {"a": [1, "{target}"]},
    });
    assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), expected);
    assert_eq!(
        (headers["idempotency-key"].to_str().unwrap(), headers["x-vigil-attempt"].to_str().unwrap()),
        ("k", "3")
    );
}

#[tokio::test]
async fn without_a_template_the_whole_request_is_sent_signed_and_with_the_headers() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "the hook's secret\n").unwrap();
    let hook = Hook::start(204, &[], "").await;
    let more = format!(", secret_file: '{}', headers: {{ Authorization: Bearer abc }}", secret.display());
    let executor = hook.executor(&more);
    run(&executor, &act(json!({"a": 1}))).await.unwrap();
    let (_, headers, sent) = hook.calls().remove(0);
    let body: Value = serde_json::from_str(&sent).unwrap();
    assert_eq!(
        (&body["target"], &body["key"], &body["params"]),
        (&json!("web-1"), &json!("default-action-1-0f"), &json!({"a": 1}))
    );
    assert_eq!(headers["authorization"], "Bearer abc");
    let signature = headers["x-vigil-signature"].to_str().unwrap();
    let good = Secret::new("the hook's secret").has_signed(
        signature,
        sent.as_bytes(),
        SystemClock.now(),
        Duration::from_secs(60),
    );
    assert!(good, "{signature}");
    let shown = format!("{executor:?}");
    assert!(!shown.contains("abc") && !shown.contains("secret") && !shown.contains("/hook"), "{shown}");
}

#[tokio::test]
async fn answers_mean_what_they_mean_in_vigils_protocol() {
    for (status, headers, expected) in [
        (200, vec![], "succeeded"),
        (202, vec![], "succeeded"),
        (301, vec![("location", "/elsewhere")], "rejected"),
        (307, vec![("location", "/elsewhere")], "rejected"),
        (400, vec![], "rejected"),
        (404, vec![], "rejected"),
        (408, vec![], "indeterminate"),
        (425, vec![], "indeterminate"),
        (429, vec![], "throttled 1"),
        (429, vec![("retry-after", "9")], "throttled 9"),
        (500, vec![], "indeterminate"),
        (503, vec![], "indeterminate"),
        (503, vec![("retry-after", "9")], "throttled 9"),
    ] {
        let hook = Hook::start(status, &headers, "why").await;
        let answer = match run(&hook.executor(""), &act(json!({}))).await {
            Ok(Outcome::Succeeded { .. }) => "succeeded".to_owned(),
            Ok(Outcome::Rejected { reason }) => {
                assert!(reason.ends_with(": why"), "{reason}");
                "rejected".to_owned()
            }
            Err(RemediatorError::Throttled { retry_after }) => format!("throttled {}", retry_after.as_secs()),
            Err(RemediatorError::Indeterminate(_)) => "indeterminate".to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(answer, expected, "{status} {headers:?}");
        assert_eq!(hook.calls().len(), 1, "no redirect is followed, nothing is sent twice");
    }
}

#[tokio::test]
async fn a_2xx_may_say_that_it_failed_or_is_not_done_yet() {
    for (body, expected) in [
        (r#"{"status":"in_progress"}"#, "InProgress"),
        (r#"{"status":"failed"}"#, "retryable: false"),
        (r#"{"status":"failed","retryable":true}"#, "retryable: true"),
        (r#"{"status":"succeeded"}"#, "Succeeded"),
    ] {
        let hook = Hook::start(202, &[], body).await;
        let answer = format!("{:?}", run(&hook.executor(""), &act(json!({}))).await.unwrap());
        assert!(answer.contains(expected), "{answer}");
    }
}

#[tokio::test]
async fn a_hook_that_says_nothing_is_indeterminate_and_one_that_is_not_there_was_asked_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("url: 'http://{}/', allow_private: true, timeout_seconds: 0.3", listener.local_addr().unwrap());
    let silent = run(&executor(&url), &act(json!({}))).await;
    assert!(matches!(silent, Err(RemediatorError::Indeterminate(_))), "{silent:?}");
    drop(listener);
    let away = run(&executor(&url), &act(json!({}))).await;
    assert!(matches!(away, Err(RemediatorError::Unavailable(_))), "{away:?}");
}

#[tokio::test]
async fn a_probe_asks_where_it_is_told_to() {
    for (status, body, expected) in [
        (200, "done", "done"),
        (200, r#"{"status":"done"}"#, "done"),
        (200, r#"{"status":"in_progress"}"#, "in progress"),
        (200, r#"{"status":"failed","retryable":true}"#, "failed"),
        (404, r#"{"status":"never_seen"}"#, "not done"),
        (404, r#"{"message":"no Route matched"}"#, "unknown"),
        (404, "<html>", "unknown"),
        (500, "", "unknown"),
    ] {
        let hook = Hook::start(status, &[], body).await;
        let executor = hook.executor(&format!(", probe_url: 'http://{}/seen/{{key}}/x'", hook.address));
        let job = job(&request("a/../b?c", 1, "web-1", "restart"), "web-1");
        let probe = match executor.probe(&job, &Value::Null, Duration::ZERO).await.unwrap() {
            Probe::Done(Outcome::Failed { retryable: true, .. }) => "failed",
            Probe::Done(_) => "done",
            Probe::InProgress => "in progress",
            Probe::NotDone => "not done",
            Probe::Unknown => "unknown",
        };
        assert_eq!(probe, expected, "{status}");
        assert_eq!(hook.calls()[0].0, "GET /seen/a%2F..%2Fb%3Fc/x");
    }
    let executor = Hook::start(200, &[], "").await.executor("");
    assert_eq!(executor.probe(&act(json!({})), &Value::Null, Duration::ZERO).await.unwrap(), Probe::Unknown);
}

#[tokio::test]
async fn private_networks_are_not_reached_through_a_name_either() {
    let hook = Hook::start(200, &[], "").await;
    let port = hook.address.rsplit(':').next().unwrap();
    let envelope = envelope(executor(&format!("url: 'http://localhost:{port}/'")));
    let answer = envelope.remediate(&request("k", 1, "web-1", "restart")).await;
    let Err(RemediatorError::Unavailable(error)) = &answer else { panic!("{answer:?}") };
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    assert!(text.contains("no public address"), "{text}");
    assert!(hook.calls().is_empty());
    assert_eq!(envelope.probe(&IdempotencyKey("k".to_owned())).await.unwrap(), Probe::NotDone);
}
