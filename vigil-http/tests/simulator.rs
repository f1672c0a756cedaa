//! The simulator against a real server, by its endpoints.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // tests spawn the server, and fail by panicking

mod common;

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use vigil_core::Vigil;
use vigil_core::store::{MemoryStore, Scope, Store};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;
use vigil_core::testing::eventually;
use vigil_http::simulator::Simulator;
use vigil_http::{HttpConfig, router, serve};

use common::World;

struct Server {
    world: World,
    store: Arc<MemoryStore>,
    _stop: oneshot::Sender<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Arc::new(Simulator::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap());
        let config = HttpConfig { simulator: Some(simulator.clone()), ..HttpConfig::default() };
        let store = Arc::new(MemoryStore::new());
        let vigil = Arc::new(Vigil::builder().store(store.clone()).build().unwrap());
        let api = router(vigil, config.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = api.clone();
        tokio::spawn(async move {
            let serving = serve(listener, served, &config, async { _ = stopped.await });
            tokio::join!(serving, simulator.run(std::future::pending()));
        });
        Self { world: World { api, ..World::new() }, store, _stop: stop }
    }

    async fn status(&self) -> Value {
        self.world.get("/api/v1/simulator/status").await.json()
    }

    async fn ended(&self) -> Value {
        let status = async || {
            Some(self.status().await).filter(|status| status["running"] == false && status["events_generated"] != 0)
        };
        eventually("the end of the load", status).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_with_injections_ends_with_figures_that_add_up_and_samples_that_are_stored() {
    let server = Server::start().await;
    let load = json!({"mode": "Chaos", "rate": 6000, "failure_rate": 0.2, "timeout_rate": 0.1, "malformed_rate": 0.2,
        "seed": 7, "duration_seconds": 1, "targets": ["sim-1"]});
    let started = server.world.json("POST", "/api/v1/ui/simulator/start", load.to_string()).await.json();
    assert_eq!((&started["running"], &started["ok"]), (&json!(true), &json!(true)));
    let status = server.ended().await;
    let count = |name: &str| status[format!("events_{name}")].as_u64().unwrap();
    let parts = ["succeeded", "failed", "rate_limited", "timeout", "malformed"].map(count);
    assert_eq!(parts.iter().sum::<u64>(), count("generated"), "{status}");
    for name in ["succeeded", "failed", "timeout", "malformed"] {
        assert!(count(name) > 0, "{name}: {status}");
    }
    assert_eq!((&status["mode"], &status["seed"]), (&json!("CHAOS"), &json!(7)));
    assert!(status["latency_ms"]["p99"].as_f64().unwrap() > 0.0);
    let tenant = TenantId::default();
    let scope = Scope::of(&tenant, &Target::new("sim-1").unwrap());
    let stored = server.store.snapshot(&scope, vigil_core::clock::Timestamp::MIN).await.unwrap();
    assert!(!stored.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_once_at_a_time_until_it_is_stopped() {
    let server = Server::start().await;
    let start = async || server.world.json("POST", "/api/v1/simulator/start", r#"{"rate": 600}"#).await;
    server.world.json("POST", "/api/v1/simulator/stop", "").await.assert_problem(409);
    assert_eq!(start().await.status, 200);
    start().await.assert_problem(409);
    eventually("an event", async || (server.status().await["events_succeeded"] != 0).then_some(())).await;
    assert_eq!(server.world.json("POST", "/api/v1/ui/simulator/stop", "").await.status, 200);
    server.ended().await;
    assert_eq!(start().await.status, 200, "and may begin anew");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_field() {
    let server = Server::start().await;
    for (body, pointer) in [
        (r#"{"mode": "storm"}"#, "/mode"),
        (r#"{"rate": 0}"#, "/rate"),
        (r#"{"failure_rate": 2}"#, "/failure_rate"),
        (r#"{"seed": -1}"#, "/seed"),
        (r#"{"duration_seconds": -1}"#, "/duration_seconds"),
        (r#"{"targets": []}"#, "/targets"),
        (r#"{"rte": 60}"#, "/rte"),
    ] {
        let answer = server.world.json("POST", "/api/v1/simulator/start", body).await;
        answer.assert_problem(422);
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
}

#[tokio::test]
async fn where_it_is_off_only_its_status_answers() {
    let world = World::new();
    let status = world.get("/api/v1/ui/simulator/status").await;
    assert_eq!((status.status.as_u16(), &status.json()["enabled"]), (200, &json!(false)));
    world.json("POST", "/api/v1/simulator/start", "{}").await.assert_problem(409);
    world.json("POST", "/api/v1/simulator/stop", "").await.assert_problem(409);
}
