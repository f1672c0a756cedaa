//! `/health`, `/ready` and `/metrics`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::timeout;
use vigil_core::tenant::TenantId;

use crate::dto::ServiceHealth;
use crate::problem::{ApiError, chain};
use crate::router::App;

#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
    service: &'static str,
    version: &'static str,
}

/// The process answers: depends on nothing else.
pub(crate) async fn health() -> impl IntoResponse {
    Json(Health { status: "healthy", service: "vigil", version: env!("CARGO_PKG_VERSION") })
}

#[derive(Debug, Serialize)]
struct Readiness {
    status: &'static str,
    service: &'static str,
    store: &'static str,
    queue: &'static str,
    remediator: &'static str,
    /// Whether the default tenant's brake is on.
    brake: &'static str,
}

/// Store and queue can serve. A remediator that is down, or a brake that is on, does not make it 503: actions wait.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let (store, queue, remediator, brake) = tokio::join!(
        is_up(&app, "store", app.vigil.store().ping()),
        is_up(&app, "queue", app.vigil.queue().ping()),
        is_up(&app, "remediator", app.vigil.remediator().ping()),
        brake(&app),
    );
    let word = |up| if up { "up" } else { "down" };
    let status = if store && queue { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let readiness = Readiness {
        status: if store && queue { "ready" } else { "not_ready" },
        service: "vigil",
        store: word(store),
        queue: word(queue),
        remediator: word(remediator),
        brake,
    };
    (status, Json(readiness)).into_response()
}

async fn brake(app: &App) -> &'static str {
    let tenant = TenantId::default();
    match timeout(app.config.ping_timeout, app.vigil.store().brake(&tenant)).await {
        Ok(Ok(brakes)) if brakes.braked().is_some() => "stopped",
        Ok(Ok(_)) => "released",
        Ok(Err(_)) | Err(_) => "unknown",
    }
}

/// The health of a service that lives by the store.
pub(crate) async fn by_store(app: &App, service: &'static str) -> Response {
    let up = is_up(app, "store", app.vigil.store().ping()).await;
    let (code, status) = if up { (StatusCode::OK, "healthy") } else { (StatusCode::SERVICE_UNAVAILABLE, "unhealthy") };
    (code, Json(ServiceHealth { status, service })).into_response()
}

async fn is_up<E: std::error::Error + 'static>(
    app: &App,
    name: &'static str,
    ping: impl Future<Output = Result<(), E>>,
) -> bool {
    match timeout(app.config.ping_timeout, ping).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(backend = name, error = chain(&error), "a backend is down");
            false
        }
        Err(_) => {
            tracing::warn!(backend = name, "a backend does not answer");
            false
        }
    }
}

/// Prometheus's text format.
pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let telemetry = app.vigil.telemetry().clone();
    // Writing many series takes milliseconds in which this thread would serve nobody. Awaited here, so not detached.
    let encoded = tokio::task::spawn_blocking(move || telemetry.encode()).await;
    let text = encoded.map_err(|error| {
        tracing::error!(error = chain(&error), "the metrics cannot be written");
        ApiError::internal()
    })?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
