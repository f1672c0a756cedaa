//! The service that is broken: it answers, hangs or leaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::sleep;

/// It stops leaking here, so that a machine survives a healing that does not come.
const MOST: usize = 400 << 20;
/// What it takes every [`PAUSE`].
const BITE: usize = 4 << 20;
const PAUSE: Duration = Duration::from_millis(200);

/// Serves until it is killed, or `parent` is gone.
pub(crate) async fn serve(port: u16, parent: Option<u32>) -> Result<(), super::Fatal> {
    let hung = Arc::new(AtomicBool::new(false));
    let router = Router::new()
        .route("/work", get(work))
        .route("/pid", get(async || std::process::id().to_string()))
        .route("/break/hang", get(async |State(hung): State<Arc<AtomicBool>>| hung.store(true, Ordering::Relaxed)))
        .route("/break/leak", get(leak))
        .with_state(hung);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let config = vigil_http::HttpConfig::default();
    tokio::select! {
        () = vigil_http::serve(listener, router, &config, std::future::pending()) => {}
        () = end_of(parent) => {}
    }
    Ok(())
}

/// Whoever supervises it may be killed: it shall not outlive the example.
async fn end_of(parent: Option<u32>) {
    let Some(parent) = parent else { return std::future::pending().await };
    while std::path::Path::new(&format!("/proc/{parent}")).exists() {
        sleep(PAUSE).await;
    }
}

async fn work(State(hung): State<Arc<AtomicBool>>) -> &'static str {
    if hung.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    "done\n"
}

#[allow(clippy::disallowed_methods)] // the leak outlives the request, that is the point
async fn leak() {
    tokio::spawn(async {
        let mut eaten: Vec<Vec<u8>> = Vec::new();
        while eaten.len() * BITE < MOST {
            // Ones, not zeros: pages that were never written take no memory.
            eaten.push(vec![1; BITE]);
            sleep(PAUSE).await;
        }
        std::future::pending::<()>().await;
        drop(eaten);
    });
}
