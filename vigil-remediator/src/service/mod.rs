//! [`Service`]: an [`Envelope`] behind the remediator protocol, over HTTP.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vigil_core::action::IdempotencyKey;
use vigil_core::clock::Clock;
use vigil_core::remediator::{Remediator, RemediatorError};
use vigil_http::{HttpConfig, serve};

use crate::envelope::{Envelope, chain};
use crate::ledger::{Ledger, LedgerError};

mod config;
mod signature;
mod wire;

pub use config::{Config, ConfigError, ExecutorConfig, RouteConfig};
pub use signature::Secrets;

use signature::{Signatures, Unsigned};
use wire::{Body as WireBody, Refusal, refused};

/// How many bytes a request may have.
const BODY_LIMIT: usize = 256 * 1024;
/// How long a request's body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(15);
/// How often old keys are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// What must be started before anything is carried out.
#[derive(Debug, Default)]
pub struct Startup {
    #[cfg(feature = "process")]
    pub(crate) processes: Vec<(String, Arc<crate::process::ProcessExecutor>)>,
}

/// The service. It answers on `/remediate`, `/health`, `/ready` and `/metrics`.
///
/// What was taken is carried out whether or not the client stays: its connection may break, the work goes on, and the outcome
/// waits under its key.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
    drain: Duration,
}

struct Shared {
    envelope: Arc<Envelope>,
    signatures: Option<Mutex<Signatures>>,
    clock: Arc<dyn Clock>,
    work: TaskTracker,
    answer_within: Duration,
}

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Anybody could act.
    #[error(
        "listening on {0} without a secret would let anybody act: set REMEDIATOR_SECRET as on the server, or listen on 127.0.0.1"
    )]
    Open(std::net::SocketAddr),
    /// It cannot listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A process that is supervised cannot be started.
    #[error("the processes of '{executor}' cannot be started")]
    Process {
        /// Whose.
        executor: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Service {
    /// Opens the ledger, starts what is supervised, and asks what became of what a former run left unfinished.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn open(config: &Config, secrets: Option<Secrets>, clock: Arc<dyn Clock>) -> Result<Self, ServiceError> {
        let (routes, startup) = config.routes(clock.clone()).await?;
        let ledger = Ledger::open(&config.ledger)?;
        #[cfg(feature = "process")]
        for (name, executor) in startup.processes {
            let started = executor.start().await;
            started.map_err(|source| ServiceError::Process { executor: name, source })?;
        }
        #[cfg(not(feature = "process"))]
        drop(startup);
        let envelope = Arc::new(Envelope::new(ledger, routes, config.limits(), clock.clone()));
        let (known, unknown) = envelope.recover().await?;
        if known + unknown > 0 {
            tracing::warn!(known, unknown, "a former run left work unfinished");
        }
        let (answer_within, drain) = (config.answer_within_seconds.0, config.drain_seconds.0);
        Ok(Self::around(envelope, secrets, answer_within, drain, clock))
    }

    /// The protocol around an envelope of your own, whose [`recover`](Envelope::recover) was called. A request that is still worked on
    /// after `answer_within` is answered with "in progress"; `drain` is how long what is worked on may take at the end.
    pub fn around(
        envelope: Arc<Envelope>,
        secrets: Option<Secrets>,
        answer_within: Duration,
        drain: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let signatures = secrets.map(|secrets| Mutex::new(Signatures::new(secrets, clock.now())));
        let shared = Shared { envelope, signatures, clock, work: TaskTracker::new(), answer_within };
        Self { shared: Arc::new(shared), drain }
    }

    /// Listens as configured. Without a secret only on loopback.
    ///
    /// # Errors
    /// [`ServiceError::Open`], [`ServiceError::Listen`].
    pub async fn listen(&self, config: &Config) -> Result<TcpListener, ServiceError> {
        let address = config.listen;
        if self.shared.signatures.is_none() && !address.ip().is_loopback() {
            return Err(ServiceError::Open(address));
        }
        TcpListener::bind(address).await.map_err(|source| ServiceError::Listen { address, source })
    }

    /// The routes, to be served by whoever likes.
    pub fn router(&self) -> Router {
        let probes = Router::new()
            .route("/health", get(health))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self.shared.clone());
        self.protocol().merge(probes)
    }

    /// The routes of the protocol alone, for a program that has probes of its own.
    pub fn protocol(&self) -> Router {
        Router::new()
            .route("/remediate", post(remediate))
            .route("/remediate/{key}", get(probe))
            .with_state(self.shared.clone())
    }

    /// Serves until `shutdown` completes. Then it takes nothing more, and finishes what it is at; what is not finished in time
    /// stays taken in the ledger, and is asked after at the next start.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) {
        let router = self.router();
        self.serve_router(listener, router, shutdown).await;
    }

    /// The same with routes that were built around those of [`protocol`](Self::protocol).
    pub async fn serve_router(self, listener: TcpListener, router: Router, shutdown: impl Future<Output = ()> + Send) {
        let config = HttpConfig { drain: Duration::from_secs(5).min(self.drain), ..HttpConfig::default() };
        let stop = CancellationToken::new();
        let forgetting = async {
            while timeout(FORGET_EVERY, stop.cancelled()).await.is_err() {
                match self.shared.envelope.forget().await {
                    Ok(forgotten) if forgotten > 0 => tracing::info!(forgotten, "old keys are forgotten"),
                    Ok(_) => {}
                    Err(error) => tracing::error!(error = chain(&error), "old keys cannot be forgotten"),
                }
            }
        };
        let serving = async {
            serve(listener, router, &config, shutdown).await;
            stop.cancel();
        };
        tokio::join!(serving, forgetting);
        self.shared.work.close();
        if timeout(self.drain, self.shared.work.wait()).await.is_err() {
            for key in self.shared.envelope.in_flight() {
                tracing::warn!(%key, "not finished in time: it is asked after at the next start");
            }
        }
    }
}

/// Carries a request out in a task of its own, and answers what is known in time.
async fn remediate(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let body = read(body).await?;
    let key = key_of(&headers)?;
    shared.admit(&headers, &body, &key)?;
    let request = WireBody::parse(&body).and_then(|body| body.request(key, &headers, shared.clock.now()));
    let request = request.map_err(|wrong| refused(StatusCode::UNPROCESSABLE_ENTITY, wrong))?;
    let envelope = shared.envelope.clone();
    let working = shared.work.spawn(async move { envelope.remediate(&request).await });
    Ok(match timeout(shared.answer_within, working).await {
        Ok(Ok(answer)) => wire::answer(answer),
        Ok(Err(panicked)) => wire::answer(Err(RemediatorError::Indeterminate(panicked.into()))),
        Err(_) => wire::in_progress(),
    })
}

async fn probe(
    State(shared): State<Arc<Shared>>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = IdempotencyKey(key);
    shared.admit(&headers, b"", &key)?;
    Ok(wire::probed(shared.envelope.probe(&key).await))
}

async fn health() -> Response {
    let health = json!({ "status": "healthy", "service": "vigil-remediator", "version": env!("CARGO_PKG_VERSION") });
    axum::Json(health).into_response()
}

/// Whether each executor can act. One that cannot does not make the others useless: it is said, and the status is 200 as long
/// as one can.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let mut executors = serde_json::Map::new();
    let mut can_act = false;
    for (name, executor) in shared.envelope.routes().executors() {
        let state = match timeout(Duration::from_secs(3), executor.ping()).await {
            Ok(Ok(())) => "ready".to_owned(),
            Ok(Err(error)) => chain(&error),
            Err(_) => "gives no answer".to_owned(),
        };
        can_act |= state == "ready";
        executors.insert(name.to_owned(), state.into());
    }
    let is_ready = can_act || executors.is_empty();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if is_ready { "ready" } else { "not_ready" };
    (status, axum::Json(json!({ "status": word, "executors": executors }))).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    match shared.envelope.metrics().await {
        // The text format of Prometheus, version 0.0.4.
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(error = chain(&error), "keys cannot be counted");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

impl Shared {
    /// Refuses a request that is not signed as it must be.
    fn admit(&self, headers: &HeaderMap, body: &[u8], key: &IdempotencyKey) -> Result<(), Refusal> {
        let Some(signatures) = &self.signatures else { return Ok(()) };
        let header = headers.get("X-Vigil-Signature").and_then(|value| value.to_str().ok());
        let mut signatures = signatures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        signatures.check(header, body, key, self.clock.now()).map_err(|unsigned| match unsigned {
            Unsigned::Refused(wrong) => {
                tracing::warn!(%key, wrong, "refused");
                refused(StatusCode::UNAUTHORIZED, wrong)
            }
            Unsigned::Old => Refusal::not_taken("it was signed before this program started: sign it again"),
        })
    }
}

async fn read(body: Body) -> Result<Bytes, Refusal> {
    match timeout(BODY_TIME, to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            let wrong = format!("the body broke off, or has more than {BODY_LIMIT} bytes");
            Err(refused(StatusCode::PAYLOAD_TOO_LARGE, wrong))
        }
        // Not 408: that would say that nobody knows what became of it.
        Err(_) => Err(refused(StatusCode::BAD_REQUEST, "the body did not arrive in time")),
    }
}

fn key_of(headers: &HeaderMap) -> Result<IdempotencyKey, Refusal> {
    let key = headers.get("Idempotency-Key").and_then(|value| value.to_str().ok()).map(str::trim).unwrap_or_default();
    if key.is_empty() || key.len() > 512 {
        let wrong =
            "the header Idempotency-Key must hold a key of 1 to 512 characters: without it nothing is done only once";
        return Err(refused(StatusCode::BAD_REQUEST, wrong));
    }
    Ok(IdempotencyKey(key.to_owned()))
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("envelope", &self.envelope).finish_non_exhaustive()
    }
}
