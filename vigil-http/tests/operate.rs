//! What operators do over HTTP, with the loop behind it.
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::World;
use serde_json::{Value, json};
use vigil_core::queue::Queue;
use vigil_core::store::Store;
use vigil_core::testing::{ScriptedRemediator, episode_intent, eventually};
use vigil_http::HttpConfig;

const ACTION: &str = r#"{"target": "web-1", "action": "restart"}"#;

fn world() -> (World, Arc<ScriptedRemediator>) {
    let remediator = Arc::new(ScriptedRemediator::new());
    (World::with(HttpConfig::default(), remediator.clone(), &[]), remediator)
}

/// Runs the loop for as long as the story takes.
async fn during(world: &World, story: impl Future<Output = ()>) {
    world.vigil.run(story).await.unwrap();
}

/// Every item of a list, page by page.
async fn paged(world: &World, path: &str, items: &str) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("{path}&limit=2{next}")).await.json();
        all.extend(page[items].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return all,
        }
        assert!(all.len() < 100, "a page repeats the one before");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_has_the_full_history_of_an_action() {
    let (world, _) = world();
    during(&world, async {
        let id = world.json("POST", "/api/v1/actions", ACTION).await.json()["action_id"].clone();
        world.json("POST", "/api/v1/actions", ACTION.replace("web-1", "web-2")).await;
        let history = eventually("the history", async || {
            world.store.sequence_audit(100).await.unwrap();
            let all = paged(&world, &format!("/api/v1/audit?action_id={id}"), "entries").await;
            (all.len() == 3).then_some(all)
        })
        .await;
        let kinds: Vec<&str> = history.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["action.admitted", "action.started", "action.completed"]);
        assert!(history.iter().all(|entry| entry["action_id"] == id && entry["target"] == "web-1"));
        assert_eq!((&history[0]["actor"], &history[1]["actor"]), (&json!("api"), &json!("worker")));
    })
    .await;
}

#[tokio::test]
async fn an_episode_is_shown_and_reset_once() {
    let (world, _) = world();
    let mut ids = Vec::new();
    for on in ["web-1", "web-2", "web-3"] {
        ids.push(world.store.open_episode(episode_intent("hot", on)).await.unwrap().id.0);
    }
    let path = format!("/api/v1/episodes/{}", ids[1]);
    let shown = world.get(&path).await.json();
    assert_eq!(
        (&shown["id"], &shown["policy_name"], &shown["target"]),
        (&json!(ids[1]), &json!("hot"), &json!("web-2"))
    );
    let reset = world.json("POST", &format!("{path}/reset"), r#"{"reason": "looked at it"}"#).await;
    assert_eq!(reset.status.as_u16(), 200);
    assert_eq!((&reset.json()["state"], &reset.json()["resolution"]), (&json!("resolved"), &json!("reset")));
    world.json("POST", &format!("{path}/reset"), "").await.assert_problem(409);
    let listed = |all: Vec<Value>| all.iter().map(|episode| episode["id"].as_i64().unwrap()).collect::<Vec<_>>();
    let all = paged(&world, "/api/v1/episodes?policy=hot", "episodes").await;
    assert_eq!(listed(all), [ids[2], ids[1], ids[0]]);
    let resolved = paged(&world, "/api/v1/episodes?state=resolved", "episodes").await;
    assert_eq!(listed(resolved), [ids[1]]);
    world.store.sequence_audit(100).await.unwrap();
    let audit = paged(&world, &format!("/api/v1/audit?episode_id={}", ids[1]), "entries").await;
    assert_eq!((&audit[1]["kind"], &audit[1]["reason"]), (&json!("episode.resolved"), &json!("reset: looked at it")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_is_retried_does_not_act_on_what_is_final() {
    let (world, remediator) = world();
    let id = world.json("POST", "/api/v1/actions", ACTION).await.json()["action_id"].clone();
    world.json("PUT", &format!("/api/v1/actions/{id}/cancel"), "").await;
    let claims = world.queue.claim(Duration::from_secs(60), Duration::ZERO, 1).await.unwrap();
    world.queue.dead_letter(&claims[0], "a person must look").await.unwrap();
    let letters = paged(&world, "/api/v1/queue/dead?", "dead").await;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((&letter["action_id"], &letter["reason"]), (&id, &json!("a person must look")));
    let path = format!("/api/v1/queue/dead/{}", letter["task_id"].as_str().unwrap());
    during(&world, async {
        assert_eq!(world.json("POST", &format!("{path}/retry"), "").await.status.as_u16(), 200);
        eventually("the delivery", async || (world.queue.stats().await.unwrap().completed == 1).then_some(())).await;
        let audit = eventually("the audit", async || {
            world.store.sequence_audit(100).await.unwrap();
            let all = paged(&world, &format!("/api/v1/audit?action_id={id}&kind=dead_letter.retry"), "entries").await;
            (!all.is_empty()).then_some(all)
        })
        .await;
        assert_eq!(audit[0]["detail"]["task_id"], letter["task_id"]);
    })
    .await;
    assert_eq!(remediator.requests().len(), 0);
    assert_eq!(world.get(&format!("/api/v1/actions/{id}")).await.json()["status"], "cancelled");
    assert_eq!(paged(&world, "/api/v1/queue/dead?", "dead").await.len(), 0);
    world.json("POST", &format!("{path}/retry"), "").await.assert_problem(404);
}

#[tokio::test]
async fn dead_letters_are_discarded_one_by_one_and_purged_by_age() {
    let (world, _) = world();
    for _ in 0..5 {
        world.json("POST", "/api/v1/actions", ACTION).await;
    }
    let claims = world.queue.claim(Duration::from_secs(60), Duration::ZERO, 5).await.unwrap();
    for claim in &claims[..3] {
        world.queue.dead_letter(claim, "never").await.unwrap();
    }
    world.clock.advance(Duration::from_secs(3600));
    for claim in &claims[3..] {
        world.queue.dead_letter(claim, "never").await.unwrap();
    }
    assert_eq!(paged(&world, "/api/v1/queue/dead?", "dead").await.len(), 5);
    let path = format!("/api/v1/queue/dead/{}", claims[0].task.task_id);
    assert_eq!(world.json("DELETE", &path, "").await.status.as_u16(), 200);
    world.json("DELETE", &path, "").await.assert_problem(404);
    let purged = world.json("DELETE", "/api/v1/queue/dead?older_than_seconds=1800", "").await.json();
    assert_eq!(purged["purged"], 2);
    let left = paged(&world, "/api/v1/queue/dead?", "dead").await;
    let left: Vec<&str> = left.iter().map(|letter| letter["task_id"].as_str().unwrap()).collect();
    assert_eq!(left, [&claims[3].task.task_id, &claims[4].task.task_id]);
    world.store.sequence_audit(100).await.unwrap();
    let audit = paged(&world, "/api/v1/audit?kind=dead_letter.purge", "entries").await;
    assert_eq!(audit.len(), 1);
}

#[tokio::test]
async fn series_are_paged_to_their_end() {
    let (world, _) = world();
    for number in 0..5 {
        let sample = json!({"name": "cpu", "value": number, "tags": {"host": "web-1", "core": format!("{number}é")}});
        world.json("POST", "/api/v1/ingest", sample.to_string()).await;
    }
    let series = paged(&world, "/api/v1/series?name=cpu", "series").await;
    let mut values: Vec<f64> = series.iter().map(|series| series["value"].as_f64().unwrap()).collect();
    values.sort_by(f64::total_cmp);
    assert_eq!(values, [0.0, 1.0, 2.0, 3.0, 4.0]);
}
