//! Live views: server-sent events and the WebSocket.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // tests spawn the loop and the server, and fail by panicking

#[path = "../common/mod.rs"]
mod common;
mod resuming;
mod sockets;
mod streams;
mod viewer;

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vigil_core::Vigil;
use vigil_core::store::{MemoryStore, Store};
use vigil_http::{HttpConfig, router, serve};

use viewer::Viewer;

/// One running server over a store that others may share.
struct Server {
    api: axum::Router,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

/// A server on a port of its own.
struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Served {
    /// Tells it to stop.
    fn stop(self) -> JoinHandle<()> {
        self.stop.send(()).unwrap();
        self.ended
    }
}

impl Server {
    /// Serves it on a port.
    async fn serve(&self) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let api = self.api.clone();
        let ended = tokio::spawn(async move {
            serve(listener, api, &HttpConfig::default(), async { _ = stopped.await }).await;
        });
        Served { address, stop, ended }
    }

    fn start(store: Arc<dyn Store>, config: HttpConfig) -> Self {
        let vigil = Arc::new(Vigil::builder().store(store).build().unwrap());
        let api = router(vigil.clone(), config);
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(async move {
            vigil.run(async { _ = stopped.await }).await.unwrap();
        });
        Self { api, stop, ended }
    }

    fn new() -> Self {
        Self::start(Arc::new(MemoryStore::new()), HttpConfig::default())
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.ended.await.unwrap();
    }

    /// An action by hand; answers its id.
    async fn act(&self, target: &str) -> i64 {
        let body = json!({"target": target, "action": "restart", "status": "completed"});
        let answer = viewer::send(&self.api, "POST", "/api/v1/actions", body).await;
        answer["action_id"].as_i64().unwrap()
    }

    async fn view(&self, query: &str) -> Viewer {
        Viewer::open(&self.api, query, None).await
    }
}
