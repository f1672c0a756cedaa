//! A whole API over memory, with a clock, chance and backends that do as told.
#![allow(dead_code, clippy::unwrap_used)] // no test uses all of it, and a test fails by panicking

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt;
use vigil_core::Vigil;
use vigil_core::queue::MemoryQueue;
use vigil_core::remediator::{DryRun, Remediator};
use vigil_core::store::{ActionFilter, MemoryStore, Store};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{FaultyQueue, FaultyStore, ManualClock, SeededRandom};
use vigil_http::{HttpConfig, router};

/// A whole API over memory.
pub(crate) struct World {
    pub(crate) vigil: Arc<Vigil>,
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) queue: Arc<FaultyQueue>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) api: Router,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(HttpConfig::default(), Arc::new(DryRun::new()), &[])
    }

    pub(crate) fn with_config(config: HttpConfig) -> Self {
        Self::with(config, Arc::new(DryRun::new()), &[])
    }

    pub(crate) fn with(config: HttpConfig, remediator: Arc<dyn Remediator>, policy_files: &[&str]) -> Self {
        let clock = Arc::new(ManualClock::new());
        let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::with_clock(clock.clone()))));
        let queue = Arc::new(FaultyQueue::new(Arc::new(MemoryQueue::with_clock(clock.clone()))));
        let vigil = Vigil::builder()
            .store(store.clone())
            .queue(queue.clone())
            .remediator(remediator)
            .policy_files(policy_files.iter().map(PathBuf::from))
            .clock(clock.clone())
            .random(Arc::new(SeededRandom::new(7)))
            .build()
            .unwrap();
        let vigil = Arc::new(vigil);
        let api = router(vigil.clone(), config);
        Self { vigil, store, queue, clock, api }
    }

    /// Sends one request.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.api.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Sends JSON as it is written, right or wrong.
    pub(crate) async fn json(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Everything a refused request could have written.
    pub(crate) async fn written(&self) -> String {
        let tenant = TenantId::default();
        let mut samples = Vec::new();
        for scope in self.store.claim_scopes(std::time::Duration::ZERO, 1000).await.unwrap() {
            samples.push(self.store.snapshot(&scope, vigil_core::clock::Timestamp::MIN).await.unwrap());
        }
        let actions =
            self.store.actions(&tenant, &ActionFilter { limit: 1000, ..ActionFilter::default() }).await.unwrap();
        let policies = self.store.policies().await.unwrap();
        format!("{samples:?} {actions:?} {policies:?}")
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is an error as every error must be.
    pub(crate) fn assert_problem(&self, status: u16) {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{text}");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        assert!(problem["type"].as_str().unwrap().starts_with("urn:vigil:problem:"), "{text}");
        assert!(problem["title"].is_string() && problem["detail"].as_str().unwrap().ends_with('.'), "{text}");
        if status == 503 {
            assert!(!self.header("retry-after").is_empty(), "an outage says when to come back");
        }
    }
}
