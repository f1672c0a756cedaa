//! The protocol over HTTP, with Vigil's own client and by hand.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;
use vigil_core::action::IdempotencyKey;
use vigil_core::clock::SystemClock;
use vigil_core::remediator::{Outcome, Probe, Remediator, RemediatorError};
use vigil_core::testing::eventually;
use vigil_http::{HttpRemediator, HttpRemediatorOptions, Secret};
use vigil_remediator::service::{Config, Secrets, Service};

use crate::bench::{request, spawn};

pub(crate) const SECRET: &str = "a secret that is long enough";

/// A service whose one executor appends a line to a file for each effect.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) address: SocketAddr,
    stopped: Option<tokio::task::JoinHandle<()>>,
    stop: Option<DropGuard>,
}

pub(crate) fn config(folder: &Path) -> Config {
    let effects = folder.join("effects");
    let text = format!(
        "
ledger: {ledger}
answer_within_seconds: 0.5
drain_seconds: 5
executors:
  host:
    process:
      folder: {folder}/processes
      commands:
        quick:
          restart: {{ command: [/bin/sh, -c, 'echo $VIGIL_IDEMPOTENCY_KEY >> {effects}'] }}
        slow:
          restart: {{ command: [/bin/sh, -c, 'sleep 1; echo $VIGIL_IDEMPOTENCY_KEY >> {effects}'] }}
routes:
  - {{ target: 'web-*', executor: host, object: quick }}
  - {{ target: 'slow-*', executor: host, object: slow }}
  - {{ target: 'dry-*', executor: host, object: quick, dry_run: true }}
  - {{ target: 'none-*', executor: host }}
",
        ledger = folder.join("keys.redb").display(),
        folder = folder.display(),
        effects = effects.display()
    );
    Config::parse(&text, Path::new("test.yaml")).unwrap()
}

impl Bench {
    pub(crate) async fn start(secrets: Option<Secrets>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::open(&config(folder.path()), secrets, Arc::new(SystemClock)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let stopped = spawn(async move { service.serve(listener, stopping.cancelled()).await });
        Self { folder, address, stopped: Some(stopped), stop: Some(stop.drop_guard()) }
    }

    pub(crate) fn client(&self, secret: Option<&str>) -> HttpRemediator {
        client(self.address, secret)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The keys of the effects, in their order.
    pub(crate) fn effects(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("effects")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        self.stopped.take().unwrap().await.unwrap();
    }
}

pub(crate) fn client(address: SocketAddr, secret: Option<&str>) -> HttpRemediator {
    let options = HttpRemediatorOptions { secret: secret.map(Secret::new), ..HttpRemediatorOptions::default() };
    HttpRemediator::new(&format!("http://{address}/remediate"), Arc::new(SystemClock), options).unwrap()
}

pub(crate) fn http() -> Client {
    let url = reqwest::Url::parse("http://localhost").unwrap();
    Client::builder().tls_backend_preconfigured(vigil_http::client_tls(&url).unwrap()).no_proxy().build().unwrap()
}

fn key(key: &str) -> IdempotencyKey {
    IdempotencyKey(key.to_owned())
}

#[tokio::test]
async fn vigils_client_and_the_service_understand_each_other() {
    let bench = Bench::start(None).await;
    let client = bench.client(None);
    assert_eq!(client.probe(&key("k1")).await.unwrap(), Probe::NotDone);
    let done = client.remediate(&request("k1", 1, "web-1", "restart")).await.unwrap();
    assert!(matches!(done, Outcome::Succeeded { .. }), "{done:?}");
    assert_eq!(client.probe(&key("k1")).await.unwrap(), Probe::Done(done));
    let Outcome::Rejected { reason } = client.remediate(&request("k2", 1, "web-1", "drain-pod")).await.unwrap() else {
        panic!()
    };
    assert!(reason.contains("drain-pod has no meaning on the process 'quick'; what has: restart"), "{reason}");
    let Probe::Done(Outcome::Failed { reason, retryable: false }) = client.probe(&key("k2")).await.unwrap() else {
        panic!()
    };
    assert!(reason.starts_with("rejected: "));
    client.remediate(&request("k1", 3, "web-1", "restart")).await.unwrap();
    assert!(matches!(client.remediate(&request("k1", 2, "web-1", "restart")).await, Err(RemediatorError::Stale)));
    let dry = client.remediate(&request("k3", 1, "dry-1", "restart")).await.unwrap();
    assert_eq!(dry, Outcome::Succeeded { details: Some("dry run: would restart the process 'quick'".to_owned()) });
    assert_eq!(bench.effects(), ["k1"]);
}

#[tokio::test]
async fn what_takes_long_is_in_progress_and_asked_after() {
    let bench = Bench::start(None).await;
    let client = bench.client(None);
    assert_eq!(client.remediate(&request("k", 1, "slow-1", "restart")).await.unwrap(), Outcome::InProgress);
    assert_eq!(client.probe(&key("k")).await.unwrap(), Probe::InProgress);
    let busy = client.remediate(&request("k2", 1, "slow-1", "restart")).await;
    assert!(matches!(busy, Err(RemediatorError::Throttled { .. })), "{busy:?}");
    loop {
        match client.probe(&key("k")).await.unwrap() {
            Probe::InProgress => tokio::time::sleep(Duration::from_millis(20)).await,
            known => break assert!(matches!(known, Probe::Done(Outcome::Succeeded { .. }))),
        }
    }
    assert_eq!(bench.effects(), ["k"]);
}

#[tokio::test]
async fn what_was_taken_goes_on_when_the_client_leaves_or_the_service_stops() {
    let mut bench = Bench::start(None).await;
    let client = bench.client(None);
    assert_eq!(client.remediate(&request("k", 1, "slow-1", "restart")).await.unwrap(), Outcome::InProgress);
    bench.stop().await;
    assert_eq!(bench.effects(), ["k"], "finished before it ended");
    assert!(matches!(client.probe(&key("k")).await, Err(RemediatorError::Unavailable(_))));
    let service = Service::open(&config(bench.folder.path()), None, Arc::new(SystemClock)).await.unwrap();
    drop(service);
}

#[tokio::test]
async fn what_is_not_finished_when_it_stops_is_asked_after_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.drain_seconds = serde_json::from_value(json!(0.2)).unwrap();
    let service = Service::open(&config, None, Arc::new(SystemClock)).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let stopping = stop.clone();
    let stopped = spawn(async move { service.serve(listener, stopping.cancelled()).await });
    let answer = client(address, None).remediate(&request("k", 1, "slow-1", "restart")).await.unwrap();
    assert_eq!(answer, Outcome::InProgress);
    stop.cancel();
    stopped.await.unwrap();
    assert!(!folder.path().join("effects").exists(), "it ended first");
    // The work of this process is still there, and holds the ledger until it is done.
    let again =
        eventually("the ledger is free", async || Service::open(&config, None, Arc::new(SystemClock)).await.ok()).await;
    let answer =
        again.router().oneshot(axum::http::Request::get("/remediate/k").body(axum::body::Body::empty()).unwrap());
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
    assert_eq!(std::fs::read_to_string(folder.path().join("effects")).unwrap(), "k\n", "once");
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong_and_do_nothing() {
    let bench = Bench::start(None).await;
    let good = json!({"action_id": 7, "target": "web-1", "action": "restart"});
    let cases: Vec<(Option<&str>, Vec<(&str, &str)>, Value, u16, &str)> = vec![
        (None, vec![], good.clone(), 400, "Idempotency-Key"),
        (Some(" "), vec![], good.clone(), 400, "Idempotency-Key"),
        (Some("k"), vec![], json!([]), 422, "the body cannot be read"),
        (Some("k"), vec![], json!({"action_id": 7, "action": "restart"}), 422, "missing field `target`"),
        (
            Some("k"),
            vec![],
            json!({"action_id": 7, "target": "web-1", "action": "explode"}),
            422,
            "must be one of restart",
        ),
        (Some("k"), vec![], json!({"action_id": 7, "target": "", "action": "restart"}), 422, "target"),
        (Some("k"), vec![("X-Vigil-Attempt", "x")], good.clone(), 422, "X-Vigil-Attempt"),
        (
            Some("k"),
            vec![("X-Vigil-Attempt", "2")],
            json!({"action_id": 7, "target": "web-1", "action": "restart", "attempt": 1}),
            422,
            "attempt is 1",
        ),
    ];
    for (key, headers, body, status, says) in cases {
        let mut post = http().post(bench.url("/remediate")).json(&body);
        if let Some(key) = key {
            post = post.header("Idempotency-Key", key);
        }
        for (name, value) in headers {
            post = post.header(name, value);
        }
        let answer = post.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["status"], "rejected");
        assert!(answer["error"].as_str().unwrap().contains(says), "{answer}");
    }
    let huge = http().post(bench.url("/remediate")).header("Idempotency-Key", "k").body(vec![b' '; 300_000]);
    assert_eq!(huge.send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(bench.effects().is_empty());
    // What a script leaves out has a default.
    let post = http().post(bench.url("/remediate")).header("Idempotency-Key", "k").json(&good).send().await.unwrap();
    assert_eq!(post.json::<Value>().await.unwrap()["status"], "succeeded");
}

#[tokio::test]
async fn with_a_secret_only_what_is_signed_by_it_or_the_one_before_is_taken() {
    let secrets = Secrets::new(SECRET, Some("the one before, long enough")).unwrap();
    let bench = Bench::start(Some(secrets)).await;
    for (number, (secret, good)) in [
        (Some(SECRET), true),
        (Some("the one before, long enough"), true),
        (Some("somebody else's secret"), false),
        (None, false),
    ]
    .into_iter()
    .enumerate()
    {
        let client = bench.client(secret);
        let answer =
            client.remediate(&request(&format!("k{number}"), 1, &format!("web-{number}"), "restart")).await.unwrap();
        let probe = client.probe(&key(&format!("k{number}"))).await.unwrap();
        if good {
            assert!(matches!(answer, Outcome::Succeeded { .. }), "{answer:?}");
            assert!(matches!(probe, Probe::Done(_)));
        } else {
            assert!(matches!(&answer, Outcome::Rejected { reason } if reason.contains("401")), "{answer:?}");
            assert_eq!(probe, Probe::Unknown);
        }
    }
    assert_eq!(bench.effects(), ["k0", "k1"]);
}

#[tokio::test]
async fn without_a_secret_it_listens_on_loopback_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.listen = "0.0.0.0:0".parse().unwrap();
    let service = Service::open(&config, None, Arc::new(SystemClock)).await.unwrap();
    let error = service.listen(&config).await.unwrap_err().to_string();
    assert!(error.contains("set REMEDIATOR_SECRET"), "{error}");
    drop(service);
    let secrets = Secrets::new(SECRET, None).unwrap();
    let service = Service::open(&config, Some(secrets), Arc::new(SystemClock)).await.unwrap();
    assert!(service.listen(&config).await.is_ok());
}

#[tokio::test]
async fn it_says_how_it_is() {
    let bench = Bench::start(None).await;
    let answer = http().get(bench.url("/health")).send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(
        answer,
        json!({"status": "healthy", "service": "vigil-remediator", "version": env!("CARGO_PKG_VERSION")})
    );
    let answer = http().get(bench.url("/ready")).send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(answer, json!({"status": "ready", "executors": {"host": "ready"}}));
    let metrics = http().get(bench.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("vigil_build_info{version="), "{metrics}");
}
