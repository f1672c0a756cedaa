//! A replica of the API over a store that others may share.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, header};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use vigil_core::key::{KeyName, Role};
use vigil_core::store::{Actor, MemoryStore};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{ManualClock, tenant};
use vigil_core::{Settings, Vigil};
use vigil_http::{Credential, HttpConfig, Pepper, router};

/// One process of several.
pub(crate) struct Replica {
    pub(crate) vigil: Arc<Vigil>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) config: HttpConfig,
    pub(crate) api: Router,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn pepper() -> Pepper {
    Pepper::new("the pepper of these tests").unwrap()
}

impl Replica {
    /// With keys.
    pub(crate) fn new() -> Self {
        Self::with(HttpConfig { pepper: Some(pepper()), ..HttpConfig::default() })
    }

    pub(crate) fn with(config: HttpConfig) -> Self {
        let clock = Arc::new(ManualClock::new());
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        Self::over(store, clock, config)
    }

    pub(crate) fn over(store: Arc<MemoryStore>, clock: Arc<ManualClock>, config: HttpConfig) -> Self {
        Self::running(store, clock, config, Settings::default())
    }

    fn running(store: Arc<MemoryStore>, clock: Arc<ManualClock>, config: HttpConfig, settings: Settings) -> Self {
        let vigil = Vigil::builder().store(store.clone()).clock(clock.clone()).settings(settings).build().unwrap();
        let vigil = Arc::new(vigil);
        let api = router(vigil.clone(), config.clone());
        Self { vigil, store, clock, config, api }
    }

    /// The same with other settings of the loop.
    pub(crate) fn with_settings(self, settings: Settings) -> Self {
        Self::running(self.store, self.clock, self.config, settings)
    }

    /// Another one on the same store.
    pub(crate) fn another(&self) -> Self {
        let settings = self.vigil.settings().clone();
        Self::running(self.store.clone(), self.clock.clone(), self.config.clone(), settings)
    }

    /// A key as `server keys create` makes it.
    pub(crate) async fn key(&self, of: &str, role: Role) -> String {
        let credential = Credential::random();
        let name = KeyName::new(&format!("{role} of {of}")).unwrap();
        let write = credential.creation(&pepper(), name, role, None);
        self.vigil.keys().write(&tenant(of), write, &Actor::new("test")).await.unwrap();
        credential.reveal()
    }

    /// A key of the tenant that is there without being named.
    pub(crate) async fn own_key(&self, role: Role) -> String {
        self.key(TenantId::default().as_str(), role).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.api.clone().oneshot(request).await.unwrap().into_parts();
        let endless = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let body = match endless {
            true => body.into_data_stream().next().await.unwrap().unwrap().to_vec(),
            false => to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        };
        Answer { status: parts.status.as_u16(), headers: parts.headers, text: String::from_utf8(body).unwrap() }
    }

    /// Sends JSON, or nothing, with a key.
    pub(crate) async fn call(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder().method(method).uri(path).header("x-api-key", key);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()).await
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Answer {
        self.call(key, "GET", path, None).await
    }
}

pub(crate) fn sample(on: &str) -> Value {
    json!({"name": "cpu", "value": 95, "tags": {"host": on}})
}

pub(crate) fn action(on: &str) -> Value {
    json!({"target": on, "action": "restart"})
}

pub(crate) fn policy(name: &str) -> Value {
    json!({"name": name, "action": "restart", "condition": {"type": "metric_exceeds", "metric": "cpu", "threshold": 80}})
}
