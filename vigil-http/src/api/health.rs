//! `/health`, `/ready` and `/metrics`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;
use vigil_core::tenant::TenantId;

use crate::dto::ServiceHealth;
use crate::problem::{ApiError, chain};
use crate::router::App;

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"status": "healthy", "service": "vigil", "version": "1.0.0"})))]
struct Health {
    /// Always `healthy`: a process that is not does not answer.
    status: &'static str,
    /// Always `vigil`.
    service: &'static str,
    /// The version of the server.
    version: &'static str,
}

/// The process answers
///
/// Depends on nothing else: for liveness probes.
#[utoipa::path(
    get, path = "/health", tag = "Health", operation_id = "health",
    responses((status = 200, description = "It does", body = Health))
)]
pub(crate) async fn health() -> impl IntoResponse {
    Json(Health { status: "healthy", service: "vigil", version: env!("CARGO_PKG_VERSION") })
}

/// What the server depends on, each `up` or `down`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"status": "ready", "service": "vigil", "store": "up", "queue": "up", "remediator": "down", "brake": "released"})))]
struct Readiness {
    /// `ready`, or `not_ready` when the store or the queue is down.
    status: &'static str,
    /// Always `vigil`.
    service: &'static str,
    /// Where everything is kept.
    store: &'static str,
    /// What carries tasks to workers.
    queue: &'static str,
    /// What carries actions out.
    remediator: &'static str,
    /// The brake of the tenant `default`: `stopped`, `released`, or `unknown` when the store is down.
    brake: &'static str,
}

/// Store and queue can serve
///
/// For readiness probes. A remediator that is down, or a brake that is on, does not make it 503: actions wait.
#[utoipa::path(
    get, path = "/ready", tag = "Health", operation_id = "ready",
    responses(
        (status = 200, description = "They can", body = Readiness),
        (status = 503, description = "One of them cannot", body = Readiness, example = json!(
            {"status": "not_ready", "service": "vigil", "store": "down", "queue": "up", "remediator": "up",
              "brake": "unknown"}
        )),
    )
)]
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

/// The server's own metrics
///
/// In Prometheus's text format. This endpoint is not there when metrics are switched off.
#[utoipa::path(
    get, path = "/metrics", tag = "Health", operation_id = "metrics",
    responses((
        status = 200, description = "Metrics, every name with the prefix `vigil_`", body = String, content_type = "text/plain",
        example = "# TYPE vigil_queue_length gauge\nvigil_queue_length 0\n"
    ))
)]
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
