//! The loop over real HTTP, as the README's tour walks it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use vigil_tests::fake_remediator::{FakeRemediator, Step};

use crate::process::Server;

/// Short spans, so that a test sees a whole episode.
pub(crate) const SHORT: &str = "
verification: {settle_seconds: 0.2, deadline_seconds: 2, interval_seconds: 0.05}
worker: {lease_seconds: 2, heartbeat_seconds: 0.5, lease_margin_seconds: 0.5, retry_base_seconds: 0.2}
reconcile_interval_seconds: 0.2
remediator: {deadline_seconds: 4}
runner: {interval_seconds: 0.5}
";

pub(crate) async fn server(folder: &Path, remediator: &str) -> Server {
    std::fs::write(folder.join("short.yaml"), SHORT).unwrap();
    Server::start(folder, &["--config", "short.yaml", "--remediator-url", remediator]).await
}

fn high_cpu() -> Value {
    json!({"name": "high-cpu", "severity": "critical", "target": "web-*", "auto_remediate": true, "action": "restart",
        "condition": {"type": "metric_exceeds", "metric": "cpu", "threshold": 80}, "params": {"cooldown_seconds": 300, "grace": 7}})
}

async fn sample(server: &Server, host: &str, value: f64) {
    let answer = server.post("/api/v1/ingest", &json!({"name": "cpu", "value": value, "tags": {"host": host}})).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

#[tokio::test]
async fn one_violating_sample_gives_one_action_one_task_one_call_and_a_recovered_one_verifies_it() {
    let folder = tempfile::tempdir().unwrap();
    let remediator = FakeRemediator::start().await;
    remediator
        .then(Step::answer(503).with_header("Retry-After", "1"))
        .then(Step::answer(503).with_header("Retry-After", "1"));
    let server = server(folder.path(), &remediator.url()).await;
    assert_eq!(server.post("/api/v1/policies", &high_cpu()).await.status, 201);

    sample(&server, "web-1", 95.0).await;
    server.action(|action| action["status"] == "completed").await;
    let calls = remediator.calls();
    assert_eq!(calls.len(), 3, "two were told to wait");
    assert!(calls.iter().all(|call| call.key() == calls[0].key()), "one key for all attempts");
    assert_eq!(calls.iter().map(vigil_tests::fake_remediator::Call::attempt).collect::<Vec<_>>(), [1, 2, 3]);
    let body = calls[0].json();
    assert_eq!(
        (&body["policy_name"], &body["severity"], &body["target"], &body["action"], &body["params"]["grace"]),
        (&json!("high-cpu"), &json!("critical"), &json!("web-1"), &json!("restart"), &json!(7))
    );

    for _ in 0..10 {
        sample(&server, "web-1", 95.0).await;
    }
    assert_eq!(server.actions().await.len(), 1, "the same violation again gives no second action inside the cooldown");

    let verified = loop {
        sample(&server, "web-1", 20.0).await;
        let action = server.actions().await.remove(0);
        if action["verification"] != "awaiting" {
            break action;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((&verified["verification"], &verified["status"]), (&json!("verified"), &json!("completed")));
    assert_eq!(remediator.calls().len(), 3);
    assert_eq!(remediator.effects().values().copied().collect::<Vec<_>>(), [1]);
    let stats = server.get("/api/v1/ui/queue/stats").await.json();
    assert_eq!((&stats["tasks_enqueued"], &stats["completed"]), (&json!(1), &json!(1)), "{stats}");
    let decision =
        server.log().into_iter().find(|line| line.contains("\"message\":\"decision\"") && line.contains("\"act\""));
    let decision: Value = serde_json::from_str(&decision.expect("the decision is logged")).unwrap();
    assert_eq!(
        (
            &decision["policy"],
            &decision["target"],
            &decision["metric"],
            decision["value"].as_f64(),
            &decision["action_id"]
        ),
        (&json!("high-cpu"), &json!("web-1"), &json!("cpu"), Some(95.0), &verified["id"])
    );
}

#[tokio::test]
async fn ten_parallel_copies_of_a_violation_give_one_call() {
    let folder = tempfile::tempdir().unwrap();
    let remediator = FakeRemediator::start().await;
    let server = server(folder.path(), &remediator.url()).await;
    server.post("/api/v1/policies", &high_cpu()).await;
    let copies = (0..10).map(|_| sample(&server, "web-1", 95.0));
    futures_util::future::join_all(copies).await;
    server.action(|action| action["status"] == "completed").await;
    // A sweep of the runner and ten more samples later there is still only one.
    futures_util::future::join_all((0..10).map(|_| sample(&server, "web-1", 95.0))).await;
    server.sweeps(2).await;
    assert_eq!((server.actions().await.len(), remediator.calls().len()), (1, 1));
}

#[tokio::test]
async fn the_sandbox_never_acts() {
    let folder = tempfile::tempdir().unwrap();
    let remediator = FakeRemediator::start().await;
    let server = server(folder.path(), &remediator.url()).await;
    server.post("/api/v1/policies", &high_cpu()).await;
    let answer =
        server.post("/api/v1/policies/evaluate", &json!({"metrics": {"cpu": 99}, "target": "web-1"})).await.json();
    assert_eq!(answer["violations"][0]["policy_name"], "high-cpu");
    assert_eq!(answer["actions_triggered"][0]["status"], "triggered");
    server.sweeps(2).await;
    assert_eq!((server.actions().await.len(), remediator.calls().len()), (0, 0));
}

#[tokio::test]
async fn it_starts_quickly_on_an_existing_database_and_stops_when_told() {
    let folder = tempfile::tempdir().unwrap();
    server(folder.path(), "dry-run").await.stop().await;
    let begun = tokio::time::Instant::now();
    let server = server(folder.path(), "dry-run").await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap_or_default();
    let rss = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("VmRSS unknown").to_owned();
    println!("started in {:?}, {rss}", begun.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn a_route_takes_what_matches_it_and_the_remediators_url_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (remediator, drift) = (FakeRemediator::start().await, FakeRemediator::start().await);
    let route = format!("{{target: \"drift/*\", actions: [custom], url: \"{}\"}}", drift.url());
    let short = SHORT.replace("deadline_seconds: 4}", &format!("deadline_seconds: 4, routes: [{route}]}}"));
    std::fs::write(folder.path().join("short.yaml"), short).unwrap();
    let arguments = ["--config", "short.yaml", "--remediator-url", &remediator.url()];
    let mut command = crate::process::command(folder.path());
    command.args(["--port", "0"]).args(arguments).env("REMEDIATOR_SECRET", "the secret of both of them");
    let server = Server::run(command).await;
    for (target, action) in [("drift/shop/policy/p", "custom"), ("drift/shop/policy/q", "restart"), ("web-1", "custom")]
    {
        server.post("/api/v1/actions", &json!({"target": target, "action": action})).await;
        server.action(|action| action["target"] == target && action["status"] == "completed").await;
    }
    let targets = |remediator: &FakeRemediator| {
        let calls = remediator.calls();
        assert!(calls.iter().all(|call| call.headers.contains_key("x-vigil-signature")), "signed with the same secret");
        calls.iter().map(vigil_tests::fake_remediator::Call::target).collect::<Vec<_>>()
    };
    assert_eq!(targets(&drift), ["drift/shop/policy/p"]);
    assert_eq!(targets(&remediator), ["drift/shop/policy/q", "web-1"]);
}
