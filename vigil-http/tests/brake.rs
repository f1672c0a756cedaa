//! The brake over two replicas that share one Store.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use serde_json::{Value, json};
use tower::ServiceExt;
use vigil_core::queue::MemoryQueue;
use vigil_core::store::MemoryStore;
use vigil_core::testing::{ScriptedRemediator, eventually};
use vigil_core::{RunnerSettings, Settings, Vigil};
use vigil_http::{HttpConfig, router};

struct Replica {
    vigil: Arc<Vigil>,
    api: Router,
}

impl Replica {
    fn new(store: &Arc<MemoryStore>, remediator: &Arc<ScriptedRemediator>) -> Self {
        let settings = Settings {
            reconcile_interval: Duration::from_millis(50),
            recheck: Duration::from_millis(50),
            // No sample comes after the release: the runner judges.
            runner: RunnerSettings { interval: Duration::from_millis(200), ..Settings::default().runner },
            ..Settings::default()
        };
        let vigil = Vigil::builder()
            .store(store.clone())
            .queue(Arc::new(MemoryQueue::new()))
            .remediator(remediator.clone())
            .settings(settings)
            .build()
            .unwrap();
        let vigil = Arc::new(vigil);
        Self { api: router(vigil.clone(), HttpConfig::default()), vigil }
    }

    async fn text(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer = self.api.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        (parts.status.as_u16(), String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap())
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, text) = self.text(method, path, &body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_brake_set_on_one_replica_stops_the_other_at_once_and_lets_it_go_on() {
    let (store, remediator) = (Arc::new(MemoryStore::new()), Arc::new(ScriptedRemediator::new()));
    let (one, other) = (Replica::new(&store, &remediator), Replica::new(&store, &remediator));
    let story = async {
        one.json("PUT", "/api/v1/brake", json!({"state": "stopped", "reason": "deploying"})).await;
        let action = json!({"target": "web-1", "action": "restart"});
        let taken = other.json("POST", "/api/v1/actions", action).await;
        assert_eq!(taken["status"], "pending", "what a person wants is taken in, and waits");
        let policy = json!({"name": "hot", "action": "restart", "auto_remediate": true,
            "condition": {"type": "metric_exceeds", "metric": "cpu", "threshold": 80}});
        other.json("POST", "/api/v1/policies", policy).await;
        let sample = json!({"name": "cpu", "value": 95, "tags": {"host": "web-2"}});
        other.json("POST", "/api/v1/ingest", sample).await;
        eventually("the refused start", async || {
            let stats = other.vigil.queue().stats().await.unwrap();
            (stats.dequeued > 0 && stats.scheduled > 0).then_some(())
        })
        .await;
        eventually("the refused admission", async || {
            let text = other.text("GET", "/metrics", &Value::Null).await.1;
            text.contains("vigil_decisions_total{decision=\"blocked\",reason=\"braked\"}").then_some(())
        })
        .await;
        let path = format!("/api/v1/actions/{}", taken["action_id"]);
        let waits = other.json("GET", &path, Value::Null).await;
        assert_eq!((&waits["status"], &waits["attempt"]), (&json!("pending"), &json!(0)), "no attempt is used");
        assert_eq!(remediator.requests().len(), 0);
        let seen = other.json("GET", "/api/v1/brake", Value::Null).await;
        assert_eq!((&seen["state"], &seen["reason"]), (&json!("stopped"), &json!("deploying")));
        let ready = other.json("GET", "/ready", Value::Null).await;
        assert_eq!((&ready["status"], &ready["brake"]), (&json!("ready"), &json!("stopped")));
        for replica in [&one, &other] {
            eventually("the brake in the metrics", async || {
                let text = replica.text("GET", "/metrics", &Value::Null).await.1;
                text.contains("\nvigil_brake_stopped 1\n").then_some(())
            })
            .await;
        }
        one.json("PUT", "/api/v1/brake", json!({"state": "released"})).await;
        let mut healed: Vec<String> =
            remediator.called(2).await.iter().map(|request| request.target.to_string()).collect();
        healed.sort();
        assert_eq!(healed, ["web-1", "web-2"]);
    };
    one.vigil.run(async { other.vigil.run(story).await.unwrap() }).await.unwrap();
}
