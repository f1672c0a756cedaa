//! [`Daemon`]: compares, tells, and heals when it is asked to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use vigil_core::clock::Clock;
use vigil_core::remediator::Route;
use vigil_core::target::TargetPattern;
use vigil_remediator::service::{Secrets, Service};
use vigil_remediator::{Envelope, Ledger, LedgerError, Limits, Routes, Rule};

use crate::config::{Config, ConfigError};
use crate::executor::DriftExecutor;
use crate::http::router;
use crate::rounds::{Report, Rounds};
use crate::server::Server;
use crate::state::Memory;
use crate::telemetry::Telemetry;
use crate::watch::Watch;
use crate::watched::Watched;

/// How long it waits after a change for the other files that are being written.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// After what time a heal that is still worked on is answered with "in progress".
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long heals may take after the program was asked to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// The whole daemon.
#[derive(Debug)]
pub struct Daemon {
    interval: Duration,
    listen: SocketAddr,
    is_signed: bool,
    rounds: Arc<Rounds>,
    service: Service,
    wake: Arc<Notify>,
}

/// Why a daemon cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server cannot be spoken to as configured.
    #[error("{0}")]
    Server(String),
    /// The state cannot be read.
    #[error(
        "the state in {folder} cannot be used: remove it if it is broken, and what was told before stays until it is stale"
    )]
    State {
        /// Where it is.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What was healed cannot be remembered.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Anybody could heal.
    #[error(
        "listening on {0} without a secret would let anybody act: set REMEDIATOR_SECRET as on the server, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// It cannot listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

impl Daemon {
    /// Sets everything up, and asks what became of heals that a former run left unfinished. Nothing is compared or sent yet.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub async fn open(config: &Config, secrets: Option<Secrets>, clock: Arc<dyn Clock>) -> Result<Self, DaemonError> {
        let sources = Watched::all(config, &clock).await?;
        Self::of(config, sources, secrets, clock).await
    }

    /// The same with sources that may be your own; those of the configuration are not looked at.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub async fn of(
        config: &Config,
        sources: Vec<Arc<Watched>>,
        secrets: Option<Secrets>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DaemonError> {
        let server = Server::new(&config.server, config.api_key_file.as_deref()).map_err(DaemonError::Server)?;
        let state = |source| DaemonError::State { folder: config.state.clone(), source };
        let memory = Arc::new(Memory::open(&config.state).map_err(state)?);
        let ledger = Ledger::open(&config.state.join("heals.redb"))?;
        let (telemetry, wake) = (Arc::new(Telemetry::new()), Arc::new(Notify::new()));
        let executor = DriftExecutor::new(&sources, memory.clone(), telemetry.clone(), clock.clone(), wake.clone());
        let pattern = TargetPattern::new("drift/*").expect("the pattern is one");
        let route = Route::any().with_targets(pattern);
        let rule = Rule { route, executor: "drift".to_owned(), object: None, dry_run: false };
        let routes = Routes::new().with_executor("drift", Arc::new(executor));
        let routes = routes.with_rule(rule).expect("its executor was added");
        let envelope = Arc::new(Envelope::new(ledger, routes, Limits::default(), clock.clone()));
        let (known, unknown) = envelope.recover().await?;
        if known + unknown > 0 {
            tracing::warn!(known, unknown, "a former run left heals unfinished");
        }
        let is_signed = secrets.is_some();
        let service = Service::around(envelope.clone(), secrets, ANSWER_WITHIN, DRAIN, clock.clone());
        let rounds = Arc::new(Rounds::new(sources, server, memory, telemetry, envelope, clock));
        Ok(Self { interval: config.interval, listen: config.listen, is_signed, rounds, service, wake })
    }

    /// Listens as configured. Without a secret only on loopback.
    ///
    /// # Errors
    /// [`DaemonError::Open`], [`DaemonError::Listen`].
    pub async fn listen(&self) -> Result<TcpListener, DaemonError> {
        let address = self.listen;
        if !self.is_signed && !address.ip().is_loopback() {
            return Err(DaemonError::Open(address));
        }
        TcpListener::bind(address).await.map_err(|source| DaemonError::Listen { address, source })
    }

    /// Compares everything once and tells the server.
    pub async fn once(&self) -> Report {
        self.rounds.round(Instant::now(), true).await
    }

    /// Compares every interval and when something changes, tells the server, and heals what it is asked to, until `stop`. Then what is
    /// being healed is finished.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let Self { interval: every, rounds, service, wake, .. } = self;
        let router = router(rounds.clone(), &service);
        let comparing = async {
            let mut watch = Watch::new(rounds.paths(), wake.clone());
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                // A change is looked at even where the last comparisons failed: it may be what mends them.
                let has_changed = tokio::select! {
                    _ = ticks.tick() => false,
                    () = wake.notified() => true,
                };
                let begun = Instant::now();
                if has_changed {
                    sleep(DEBOUNCE).await;
                }
                rounds.round(begun, has_changed).await;
                watch.renew();
            }
        };
        let until_stopped = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = comparing => {}
            }
        };
        tokio::join!(until_stopped, service.serve_router(listener, router, stop.cancelled()));
    }
}
