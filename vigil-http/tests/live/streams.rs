//! Server-sent events: what is told, to whom, and how much of it.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::json;
use vigil_core::store::{Actor, MemoryStore, Note, Store};
use vigil_core::tenant::TenantId;
use vigil_http::HttpConfig;

use crate::common::World;
use crate::viewer::send;
use crate::{Server, Viewer};

#[tokio::test]
async fn a_violation_is_told_step_by_step_in_the_order_of_the_audit() {
    let server = Server::new();
    let mut viewer = server.view("").await;
    let ready = viewer.next().await.unwrap();
    assert_eq!((ready.kind.as_str(), ready.id), ("ready", Some(0)));
    let policy = json!({"name": "hot", "target": "web-*", "auto_remediate": true, "action": "restart",
        "condition": {"type": "metric_exceeds", "metric": "cpu", "threshold": 80}});
    send(&server.api, "POST", "/api/v1/policies", policy).await;
    send(&server.api, "POST", "/api/v1/ingest", json!({"name": "cpu", "value": 95, "tags": {"host": "web-1"}})).await;

    let (mut audited, mut others) = (Vec::new(), Vec::new());
    while !audited.iter().any(|(kind, _)| kind == "action.completed") {
        let told = viewer.next().await.unwrap();
        match told.id {
            Some(id) => audited.push((told.data["kind"].as_str().unwrap().to_owned(), id)),
            None => others.push(told),
        }
    }
    let kinds: Vec<_> = audited.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["policy.put", "episode.opened", "action.admitted", "action.started", "action.completed"]);
    let ids: Vec<_> = audited.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    let sample = others.iter().find(|told| told.kind == "metric").expect("the sample was told of");
    assert_eq!(
        (&sample.data["name"], &sample.data["value"], &sample.data["target"]),
        (&json!("cpu"), &json!(95.0), &json!("web-1"))
    );
    let decision = others.iter().find(|told| told.kind == "decision").expect("the decision was told of");
    assert_eq!((&decision.data["policy"], &decision.data["decision"]), (&json!("hot"), &json!("act")));
    server.stop().await;
}

#[tokio::test]
async fn what_is_done_to_a_dead_letter_is_told_as_that() {
    let store = Arc::new(MemoryStore::new());
    let server = Server::start(store.clone(), HttpConfig::default());
    let mut viewer = server.view("?kinds=dead_letter").await;
    assert_eq!(viewer.next().await.unwrap().kind, "ready");
    server.act("web-1").await;
    let discarded =
        Note { kind: "dead_letter.discard".into(), action: None, episode: None, reason: None, detail: json!({}) };
    store.note(&TenantId::default(), discarded, &Actor::new("operator")).await.unwrap();
    let told = viewer.next().await.unwrap();
    assert_eq!((told.kind.as_str(), &told.data["kind"]), ("dead_letter", &json!("dead_letter.discard")));
    server.stop().await;
}

#[tokio::test]
async fn a_viewer_gets_only_the_kinds_targets_and_policies_that_it_asked_for() {
    let server = Server::new();
    let mut actions = server.view("?kinds=action&target=db-*").await;
    let mut policies = server.view("?kinds=policy,decision&policy=cold").await;
    for name in ["hot", "cold"] {
        let condition = json!({"type": "metric_exceeds", "metric": "cpu", "threshold": 80});
        send(
            &server.api,
            "POST",
            "/api/v1/policies",
            json!({"name": name, "action": "restart", "condition": condition}),
        )
        .await;
    }
    server.act("web-1").await;
    let wanted = server.act("db-1").await;
    assert_eq!(actions.next().await.unwrap().kind, "ready");
    let told = actions.next().await.unwrap();
    assert_eq!(
        (told.kind.as_str(), &told.data["action_id"], &told.data["target"]),
        ("action", &json!(wanted), &json!("db-1"))
    );
    assert_eq!(policies.next().await.unwrap().kind, "ready");
    assert_eq!(policies.next().await.unwrap().data["policy"], "cold");
    server.stop().await;
}

#[tokio::test]
async fn a_viewer_that_was_too_slow_is_told_so_and_misses_nothing_that_is_audited() {
    let server = Server::new();
    let mut slow = server.view("?kinds=action").await;
    assert_eq!(slow.next().await.unwrap().kind, "ready");
    let mut acted = Vec::new();
    for number in 0..1200 {
        acted.push(server.act(&format!("web-{number}")).await);
    }
    let mut quick = server.view("?kinds=action&after=0").await;
    let (mut seen, mut resyncs) = (Vec::new(), 0);
    while seen.len() < acted.len() {
        let told = slow.next().await.unwrap();
        match told.kind.as_str() {
            "resync" => resyncs += 1,
            _ => seen.push(told.data["action_id"].as_i64().unwrap()),
        }
    }
    assert!(resyncs > 0, "1200 actions are more than a viewer may lag behind");
    assert_eq!(seen, acted, "each once and in order");
    for id in acted {
        assert_eq!(quick.next_of("action").await.data["action_id"], id);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_thousand_viewers_are_all_told() {
    let server = Server::start(Arc::new(MemoryStore::new()), HttpConfig { max_streams: 1000, ..HttpConfig::default() });
    let mut viewers = Vec::new();
    for _ in 0..1000 {
        viewers.push(server.view("?kinds=action").await);
    }
    let id = server.act("web-1").await;
    for viewer in &mut viewers {
        assert_eq!(viewer.next_of("action").await.data["action_id"], id);
    }
    let world = World::with_config(HttpConfig { max_streams: 0, ..HttpConfig::default() });
    world.get("/api/v1/events").await.assert_problem(503);
    server.stop().await;
}

#[tokio::test]
async fn the_place_of_a_viewer_that_left_is_free_again() {
    let server = Server::start(Arc::new(MemoryStore::new()), HttpConfig { max_streams: 1, ..HttpConfig::default() });
    for _ in 0..3 {
        let mut viewer = server.view("").await;
        assert_eq!(viewer.next().await.unwrap().kind, "ready");
    }
    server.stop().await;
}

#[tokio::test]
async fn of_a_storm_of_samples_only_some_are_told() {
    let server = Server::new();
    let mut viewer = server.view("?kinds=metric,action").await;
    let samples: Vec<_> =
        (0..500).map(|value| json!({"name": "cpu", "value": value, "tags": {"host": "web-1"}})).collect();
    send(&server.api, "POST", "/api/v1/ingest/agent/metrics", json!(samples)).await;
    server.act("web-1").await;
    let mut told = 0;
    loop {
        match viewer.next().await.unwrap().kind.as_str() {
            "metric" => told += 1,
            "action" => break,
            _ => {}
        }
    }
    assert!((1..=100).contains(&told), "{told}"); // 50 a second, and the storm may meet a second's end
    server.stop().await;
}

#[tokio::test]
async fn filters_that_make_no_sense_are_refused() {
    let world = World::new();
    let answer = world.get("/api/v1/events?kinds=action,weather").await;
    answer.assert_problem(400);
    assert!(answer.json()["detail"].as_str().unwrap().contains("episode"), "it names those there are");
    for query in ["?target=[", "?policy=a/b", "?after=-1", "?after=x", "?kind=action"] {
        world.get(&format!("/api/v1/events{query}")).await.assert_problem(422);
    }
    assert_eq!(world.get("/api/v1/ws").await.status, StatusCode::UPGRADE_REQUIRED);
    world.get("/api/v1/ws").await.assert_problem(426);
}

#[tokio::test]
async fn a_last_sequence_of_another_database_is_told_to_begin_anew() {
    let server = Server::new();
    server.act("web-1").await;
    let mut first = server.view("?kinds=action&after=0").await;
    first.next_of("action").await;
    let mut viewer = Viewer::open(&server.api, "", Some(4711)).await;
    let ready = viewer.next().await.unwrap();
    assert_eq!((ready.kind.as_str(), ready.id), ("ready", Some(1)));
    assert_eq!(viewer.next().await.unwrap().kind, "resync");
    server.stop().await;
}
