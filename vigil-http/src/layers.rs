//! What happens around every request: its id, its span and log line, its count, its problem+json, CORS, time, panics.

use std::any::Any;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Bytes, HttpBody as Body};
use axum::extract::{MatchedPath, Request};
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, ORIGIN, RETRY_AFTER};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use futures_util::future::{BoxFuture, Either};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::layer::layer_fn;
use tower::{Layer, Service};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::timeout::TimeoutLayer;
use tracing::Span;

use crate::config::{HttpConfig, Origins};
use crate::problem::{self, ApiError};
use crate::request_id::{RequestId, X_REQUEST_ID};
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
    type Future = Observing<Either<BoxFuture<'static, Result<Response<B>, Infallible>>, S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let seen = Seen::of(&self.app, &request);
        let answering = if request.headers().contains_key(ORIGIN) || seen.method == Method::OPTIONS {
            Either::Left(Box::pin(self.cors.layer(&mut self.inner).call(request)) as BoxFuture<'static, _>)
        } else {
            Either::Right(self.inner.call(request))
        };
        Observing { answering, seen: Some(seen) }
    }
}

pin_project! {
    /// The answer to a request that is observed. Named, because it is made for each one: a box more, and two copies of what is
    /// inside, are a tenth of what a small request costs.
    struct Observing<F> {
        #[pin]
        answering: F,
        // Until it has ended.
        seen: Option<Seen>,
    }
}

impl<F, B> Future for Observing<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    Response<B>: IntoResponse,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(answer) = {
            let _entered = this.seen.as_ref().and_then(|seen| seen.span.as_ref()).map(Span::enter);
            ready!(this.answering.poll(context))
        };
        let seen = this.seen.take().expect("a future is not polled after it has ended");
        Poll::Ready(Ok(seen.finish(answer.into_response())))
    }
}

/// What is known of a request from its head.
#[derive(Debug)]
struct Seen {
    app: App,
    started: Instant,
    id: RequestId,
    method: Method,
    matched: Option<MatchedPath>,
    /// `None` for the probe that does nothing: it is worth one only when it fails.
    span: Option<Span>,
}

impl Seen {
    fn of(app: &App, request: &Request) -> Self {
        let mut seen = Self {
            app: app.clone(),
            started: Instant::now(),
            id: app.request_ids.of(request.headers()),
            method: request.method().clone(),
            matched: request.extensions().get::<MatchedPath>().cloned(),
            span: None,
        };
        if seen.endpoint() != "/health" {
            seen.span = Some(seen.span());
        }
        seen
    }

    fn endpoint(&self) -> &str {
        self.matched.as_ref().map_or(UNMATCHED, |path| template(path.as_str()))
    }

    fn span(&self) -> Span {
        tracing::info_span!("request", method = %self.method, route = self.endpoint(), request_id = %self.id)
    }

    /// The answer as it is sent, after it was counted and logged.
    fn finish(self, answer: Response) -> Response {
        let mut response = problem::render(answer, &self.id);
        let (method, route, id) = (&self.method, self.endpoint(), &self.id);
        let (status, took) = (response.status().as_u16(), self.started.elapsed());
        self.app.vigil.telemetry().request(method.as_str(), route, status, took);
        let took_ms = took.as_secs_f64() * 1000.0;
        // Probes and scrapes come every few seconds: they are worth a line only when they fail.
        if matches!(route, "/health" | "/ready" | "/metrics") && status < 400 {
            tracing::debug!(%method, route, request_id = %id, status, took_ms, "answered");
        } else {
            let span = self.span.clone().unwrap_or_else(|| self.span());
            span.in_scope(|| tracing::info!(status, took_ms, "answered"));
        }
        response.headers_mut().insert(X_REQUEST_ID, self.id.into_header());
        response
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
