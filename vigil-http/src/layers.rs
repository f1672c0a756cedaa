//! What happens around every request: its id, its span and log line, its count, its problem+json, CORS, time, panics.

use std::any::Any;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, RETRY_AFTER};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::timeout::TimeoutLayer;
use tracing::Instrument;

use crate::config::{HttpConfig, Origins};
use crate::problem::{self, ApiError};
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::router::App;

/// The route of requests that match none: a label must not be what a caller chooses.
const UNMATCHED: &str = "unmatched";

/// Puts the layers around a router, the outermost last.
pub(crate) fn around(router: Router<App>, app: &App) -> Router<App> {
    let HttpConfig { request_timeout, origins, .. } = &*app.config;
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, *request_timeout))
        .layer(cors(origins))
        .layer(axum::middleware::from_fn_with_state(app.clone(), observe))
}

async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers(), &**app.vigil.random());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, |path| template(path.as_str())).to_owned();
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", %method, route, request_id = %id);
    let response = next.run(request).instrument(span.clone()).await;

    let mut response = problem::render(response, &id);
    response.headers_mut().insert(X_REQUEST_ID, id.header());
    let (status, took) = (response.status().as_u16(), started.elapsed());
    app.vigil.telemetry().request(method.as_str(), &route, status, took);
    let took_ms = took.as_secs_f64() * 1000.0;
    span.in_scope(|| {
        // Probes and scrapes come every few seconds: they are worth a line only when they fail.
        if matches!(route.as_str(), "/health" | "/ready" | "/metrics") && status < 400 {
            tracing::debug!(status, took_ms, "answered");
        } else {
            tracing::info!(status, took_ms, "answered");
        }
    });
    response
}

/// The template of a route, which is registered with and without a trailing slash.
fn template(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    }
}

/// Pages of a list may send credentials; when any origin is allowed, none may.
fn cors(origins: &Origins) -> CorsLayer {
    let cors = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            CONTENT_TYPE,
            AUTHORIZATION,
            IF_MATCH,
            X_REQUEST_ID,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("x-api-key"),
        ])
        .expose_headers([X_REQUEST_ID, RETRY_AFTER, ETAG, ALLOW]);
    match origins.listed() {
        Some(listed) => cors.allow_origin(AllowOrigin::list(listed.iter().cloned())).allow_credentials(true),
        None => cors.allow_origin(AllowOrigin::any()),
    }
}

#[allow(clippy::needless_pass_by_value)] // the signature that tower-http asks for
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = message.unwrap_or("of an unknown type"), "a handler panicked");
    ApiError::internal().into_response()
}
