//! What happens around every request: its id, its span and log line, its count, its problem+json, CORS, time, panics.

use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody as Body};
use axum::extract::{MatchedPath, Request};
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, ORIGIN, RETRY_AFTER};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use futures_util::future::{BoxFuture, Either};
use tokio::time::Instant;
use tower::layer::layer_fn;
use tower::{Layer, Service};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::timeout::TimeoutLayer;
use tracing::Instrument;

use crate::config::{HttpConfig, Origins};
use crate::problem::{self, ApiError};
use crate::request_id::X_REQUEST_ID;
use crate::router::App;

/// The route of requests that match none: a label must not be what a caller chooses.
const UNMATCHED: &str = "unmatched";

/// Puts the layers around a router, the outermost first. All in one: for each layer of its own axum would box every answer, and
/// copy all that is inside for every request.
pub(crate) fn around(router: Router<App>, app: &App) -> Router<App> {
    let HttpConfig { request_timeout, origins, .. } = &app.config;
    let (app, cors) = (app.clone(), Arc::new(cors(origins)));
    let observe = layer_fn(move |inner| Observe { app: app.clone(), cors: cors.clone(), inner });
    let time = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, *request_timeout);
    router.layer((observe, CatchPanicLayer::custom(panicked), time))
}

/// Gives every request its id, its span and log line, its count, and problem+json if it fails; and to pages of other origins the
/// headers by which their browser lets them see the answer.
#[derive(Debug, Clone)]
struct Observe<S> {
    app: App,
    cors: Arc<CorsLayer>,
    inner: S,
}

impl<S, B> Service<Request> for Observe<S>
where
    S: Service<Request, Response = Response<B>, Error = Infallible, Future: Send + 'static>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Default + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let started = Instant::now();
        let app = self.app.clone();
        let id = app.request_ids.of(request.headers());
        let method = request.method().clone();
        let matched = request.extensions().get::<MatchedPath>().cloned();
        let answering = if request.headers().contains_key(ORIGIN) || method == Method::OPTIONS {
            Either::Left(self.cors.layer(&mut self.inner).call(request))
        } else {
            Either::Right(self.inner.call(request))
        };
        Box::pin(async move {
            let route = matched.as_ref().map_or(UNMATCHED, |path| template(path.as_str()));
            let span = || tracing::info_span!("request", %method, route, request_id = %id);
            // Probes and scrapes come every few seconds: they are worth a line only when they fail, and the one that does nothing
            // is worth a span only then.
            let is_probe = matches!(route, "/health" | "/ready" | "/metrics");
            let early = (route != "/health").then(&span);
            let answer = match &early {
                Some(span) => answering.instrument(span.clone()).await,
                None => answering.await,
            };
            let Ok(answer) = answer;
            let mut response = problem::render(answer.into_response(), &id);
            let (status, took) = (response.status().as_u16(), started.elapsed());
            app.vigil.telemetry().request(method.as_str(), route, status, took);
            let took_ms = took.as_secs_f64() * 1000.0;
            if is_probe && status < 400 {
                tracing::debug!(%method, route, request_id = %id, status, took_ms, "answered");
            } else {
                early.unwrap_or_else(span).in_scope(|| tracing::info!(status, took_ms, "answered"));
            }
            response.headers_mut().insert(X_REQUEST_ID, id.into_header());
            Ok(response)
        })
    }
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
