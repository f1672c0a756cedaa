//! Policies from files: the start, and a reload that is atomic.

use std::path::Path;

use serde_json::{Value, json};

use crate::process::{Server, command, refused};

fn policy(name: &str, threshold: u32) -> String {
    format!(
        "- {{name: {name}, condition: {{type: metric_exceeds, metric: cpu, threshold: {threshold}}}, action: restart}}\n"
    )
}

fn write(folder: &Path, policies: &str) {
    std::fs::write(folder.join("policies.yaml"), policies).unwrap();
}

async fn names(server: &Server) -> Vec<String> {
    let answer = server.get("/api/v1/policies").await.json();
    answer["policies"].as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default()
}

async fn reload(server: &Server) -> (u16, Value) {
    let answer = server.post("/api/v1/policies/reload", &json!({})).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn reload_takes_what_changed_what_is_new_and_what_is_gone_together() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &(policy("changed", 80) + &policy("gone", 80)));
    let server = Server::start(folder.path(), &["--policies", "policies.yaml"]).await;
    assert_eq!(names(&server).await, ["changed", "gone"]);
    write(folder.path(), &(policy("added", 80) + &policy("changed", 90)));
    let (status, answer) = reload(&server).await;
    assert_eq!((status, &answer["message"]), (200, &json!("Policies reloaded successfully (2 policies)")));
    assert_eq!(names(&server).await, ["added", "changed"]);
    let changed = server.get("/api/v1/policies/changed").await.json();
    assert_eq!(changed["condition"]["threshold"].as_f64(), Some(90.0));
}

#[tokio::test]
async fn a_reload_with_an_error_leaves_everything_as_it_was_and_says_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &policy("kept", 80));
    let server = Server::start(folder.path(), &["--policies", "policies.yaml"]).await;
    write(
        folder.path(),
        &(policy("added", 80)
            + "- name: broken\n  condition: {type: metric_exceds, metric: cpu, threshold: 1}\n  action: restart\n"),
    );
    let (status, answer) = reload(&server).await;
    let detail = answer["detail"].as_str().unwrap_or_default();
    assert_eq!(status, 422);
    assert!(
        detail.contains("policies.yaml") && detail.contains("line 3") && detail.contains("metric_exceds"),
        "{detail}"
    );
    assert_eq!(names(&server).await, ["kept"]);
}

#[tokio::test]
async fn disabling_a_files_policy_survives_reload_and_restart_but_the_file_owns_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &policy("mine", 80));
    let server = Server::start(folder.path(), &["--policies", "policies.yaml"]).await;
    assert_eq!(server.put("/api/v1/policies/mine/disable", None).await.status, 200);
    let owned = server.put("/api/v1/policies/mine", Some(&json!({"description": "by hand"}))).await;
    assert_eq!(owned.status, 409);
    assert!(owned.text.contains("policies.yaml"), "{}", owned.text);
    write(folder.path(), &policy("mine", 85));
    assert_eq!(reload(&server).await.0, 200);
    server.stop().await;
    let server = Server::start(folder.path(), &["--policies", "policies.yaml"]).await;
    let mine = server.get("/api/v1/policies/mine").await.json();
    assert_eq!((&mine["enabled"], mine["condition"]["threshold"].as_f64()), (&json!(false), Some(85.0)));
}

#[tokio::test]
async fn a_policy_made_through_the_api_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).await;
    let body = json!({"name": "made", "condition": {"type": "metric_below", "metric": "disk", "threshold": 5}, "action": "custom"});
    assert_eq!(server.post("/api/v1/policies", &body).await.status, 201);
    server.kill().await;
    let server = Server::start(folder.path(), &[]).await;
    assert_eq!(names(&server).await, ["made"]);
}

#[tokio::test]
async fn a_missing_file_that_was_named_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut missing = command(folder.path());
    missing.args(["--policies", "nowhere.yaml"]);
    assert!(refused(missing).await.contains("nowhere.yaml"));
}
