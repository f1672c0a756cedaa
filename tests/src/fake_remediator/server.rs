//! The wire of the fake remediator.
#![allow(clippy::disallowed_methods)] // a test server spawns its own tasks and ends them with itself

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State as Shared};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures_util::stream;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use super::step::{Does, Says};
use super::{Call, Known, State, Step};

/// Closes the connection it belongs to.
type Hangup = Arc<Notify>;

/// Opens the port, so that connections wait from now on, and serves it until the handle is aborted.
pub(super) async fn start(address: SocketAddr, state: Arc<State>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(address).await.expect("the port is free");
    let address = listener.local_addr().expect("a bound listener has an address");
    (address, tokio::spawn(serve(listener, state)))
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new(); // aborted with this future
    while let Ok((stream, _)) = listener.accept().await {
        let hangup = Hangup::default();
        let router = Router::new().fallback(handle).layer(Extension(hangup.clone())).with_state(state.clone());
        connections.spawn(async move {
            let http = Builder::new(TokioExecutor::new());
            let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
            tokio::select! {
                _ = connection => {}
                () = hangup.notified() => {}
            }
        });
    }
}

async fn handle(
    Shared(state): Shared<Arc<State>>,
    Extension(hangup): Extension<Hangup>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call = Call {
        method: method.to_string(),
        uri: uri.to_string(),
        headers: headers.iter().map(|(name, value)| (name.to_string(), lossy(value.as_bytes()))).collect(),
        body: lossy(&body),
    };
    match method {
        Method::POST => remediate(&state, &hangup, call).await,
        Method::GET => probe(&state, &hangup, call, uri.path()).await,
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn remediate(state: &State, hangup: &Hangup, call: Call) -> Response {
    let (step, newest) = {
        let mut book = state.book();
        book.calls.push(call.clone());
        book.enter(&call);
        let newest = book.newest.entry(call.key()).or_default();
        let before = *newest;
        *newest = before.max(call.attempt());
        let step = if book.steps.is_empty() { Step::comply() } else { book.steps.remove(0) };
        (step, before)
    };
    let _leaving = Leaving { state, call: &call };
    state.calls.send_modify(|calls| *calls += 1);
    if call.attempt() < newest {
        return (StatusCode::CONFLICT, Json(json!({ "status": "stale" }))).into_response();
    }
    if !step.takes.is_zero() {
        tokio::time::sleep(step.takes).await;
    }
    do_once(state, &call, step.does, call.attempt() > newest);
    let known = state.book().known.get(&call.key()).copied();
    say(step.says, hangup, || in_protocol(known, "succeeded")).await
}

/// Does what the step wants, unless what is known of the key forbids it: only a higher attempt after a retryable
/// failure acts anew.
fn do_once(state: &State, call: &Call, does: Does, is_higher: bool) {
    let outcome = match does {
        Does::Nothing => return,
        Does::Act => Known::Done,
        Does::Begin => Known::InProgress,
        Does::Fail { retryable } => Known::Failed { retryable },
    };
    let mut book = state.book();
    match book.known.get(&call.key()) {
        None => {}
        Some(Known::Failed { retryable: true }) if is_higher => {}
        Some(_) => return,
    }
    book.known.insert(call.key(), outcome);
    if matches!(outcome, Known::Done | Known::InProgress) {
        *book.effects.entry(call.key()).or_default() += 1;
        drop(book);
        state.run_hook(call);
    }
}

async fn probe(state: &State, hangup: &Hangup, call: Call, path: &str) -> Response {
    let key = path.rsplit('/').next().unwrap_or_default();
    let (step, known) = {
        let mut book = state.book();
        book.probes.push(call);
        let step = if book.probe_steps.is_empty() { Step::comply() } else { book.probe_steps.remove(0) };
        (step, book.known.get(key).copied())
    };
    say(step.says, hangup, || in_protocol(known, "done")).await
}

fn in_protocol(known: Option<Known>, done: &str) -> Response {
    match known {
        Some(Known::Done) => Json(json!({ "status": done, "details": "did it" })).into_response(),
        Some(Known::Failed { retryable }) => {
            Json(json!({ "status": "failed", "error": "it broke", "retryable": retryable })).into_response()
        }
        Some(Known::InProgress) => (StatusCode::ACCEPTED, Json(json!({ "status": "in_progress" }))).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({ "status": "never_seen" }))).into_response(),
    }
}

async fn say(says: Says, hangup: &Hangup, in_protocol: impl FnOnce() -> Response) -> Response {
    match says {
        Says::Protocol => in_protocol(),
        Says::Raw { status, headers, body } => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).expect("the test wrote a valid answer")
        }
        Says::Nothing => std::future::pending().await,
        Says::Hangup => {
            hangup.notify_one();
            std::future::pending().await
        }
        Says::Half { status } => {
            let half = Bytes::from_static(b"{\"status\":\"succ");
            let rest = stream::unfold((Some(half), hangup.clone()), |(half, hangup)| async move {
                match half {
                    Some(half) => Some((Ok::<_, Infallible>(half), (None, hangup))),
                    None => {
                        tokio::task::yield_now().await; // hyper sends what it has whenever there is nothing more
                        hangup.notify_one();
                        std::future::pending().await
                    }
                }
            });
            let status = StatusCode::from_u16(status).expect("the test wrote a valid status");
            (status, [(header::CONTENT_LENGTH, "100")], Body::from_stream(rest)).into_response()
        }
    }
}

/// Leaves the book when the request ends, however it does.
struct Leaving<'a> {
    state: &'a State,
    call: &'a Call,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.state.book().leave(self.call);
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
