//! The whole service: HTTP API, policy engine, worker, verifier and runner; on one machine over SQLite and the queue in the
//! process, on many over PostgreSQL and Redis.
//!
//! `cargo run --release --example server`, then `curl http://localhost:8000/health`. `--help` names every flag; see
//! `configs/collector.yaml` for the file.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use vigil_core::Vigil;
use vigil_core::clock::StoreClock;
use vigil_core::remediator::{DryRun, Remediator, RemediatorRouter};
use vigil_core::store::Store;
use vigil_http::simulator::Simulator;
use vigil_http::{HttpRemediator, Tls, probes, router, serve};
use vigil_program::{Signals, chain, raise_open_files, start_logging};
use vigil_queue_redis::RedisQueue;
use vigil_store_postgres::PostgresStore;
use vigil_store_sqlite::SqliteStore;

mod ask;
mod check;
mod config;
mod file;
mod flags;
mod keys;
mod profile;
mod shown;

use ask::Place;
use config::{Config, Database};
use flags::{Command, Flags};

/// How many files the server has open beside its clients' connections: database, queue, remediator, at most about.
const OTHER_FILES: u64 = 128;

/// Anything that stops the start is one sentence for whoever started it.
type Fatal = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let command = flags.command.clone();
    let config = Config::load(flags);
    let ended = match (command, config) {
        (Some(Command::Check { live }), config) => return check::check(config, live).await,
        (_, Err(error)) => Err(error.into()),
        (Some(Command::Profile { seconds, url, key }), Ok(config)) => {
            let place = url.map_or_else(|| Place::own(&config), Place::at);
            profile::profile(&place, key.as_deref(), seconds).await
        }
        (Some(Command::Keys(command)), Ok(config)) => keys::run(command, &config).await,
        (None, Ok(config)) => run(config).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(mut config: Config) -> Result<(), Fatal> {
    config.http.shown = shown::shown(&config);
    start_logging("server", config.log_level, config.log_format);
    let open_files = raise_open_files();
    if open_files.is_some_and(|files| files < config.http.max_connections as u64 + OTHER_FILES) {
        tracing::warn!(open_files, "the limit of open files (ulimit -Hn) is too low for http.max_connections");
    }
    let backend = Backend::open(&config.database).await?;
    let clock = Arc::new(StoreClock::default());
    let mut vigil = Vigil::builder().store(backend.store()).store_clock(clock.clone());
    if let Some(redis) = &config.redis {
        vigil = vigil.queue(Arc::new(RedisQueue::new(redis)?));
    }
    // The API owns the files: a worker beside it may have none, and must not take that for their end.
    if config.roles.api {
        vigil = vigil.policy_files(config.policies.clone());
    }
    let vigil = vigil.remediator(remediator(&config, &clock)?).settings(config.settings.clone()).build()?;
    let vigil = Arc::new(vigil);
    vigil.load_policies().await?;
    keys::prepare(&vigil, &config).await?;
    let listener = TcpListener::bind(config.address)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.address))?;
    let signals = Signals::catch().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let address = listener.local_addr()?;
    announce(&config, address, &vigil);
    let mut http = config.http.clone();
    if config.simulator {
        http.simulator = Some(Arc::new(Simulator::new(&format!("http://{address}"))?));
    }

    let (stop, stop_loop) = (CancellationToken::new(), CancellationToken::new());
    let api = async {
        let routes =
            if config.roles.api { router(vigil.clone(), http.clone()) } else { probes(vigil.clone(), http.clone()) };
        serve(listener, routes, &http, stop.cancelled()).await;
        // Only when no request can start new work any more.
        stop_loop.cancel();
    };
    let simulation = async {
        if let Some(simulator) = &http.simulator {
            simulator.run(stop.cancelled()).await;
        }
    };
    let certificates = renew(config.http.tls.clone(), &stop);
    let running = vigil.run(stop_loop.cancelled());
    let (looped, (), (), (), ()) =
        tokio::join!(running, api, simulation, signals.stop(&stop, &stop_loop), certificates);
    drop(vigil);
    backend.close().await;
    tracing::info!("stopped");
    Ok(looped?)
}

/// Reads certificate and key again on every SIGHUP.
async fn renew(tls: Option<Tls>, stop: &CancellationToken) {
    let Some(tls) = tls else { return };
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::error!(%error, "SIGHUP cannot be caught: certificates are read at the start only");
            return;
        }
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hangups.recv() => match tls.reload() {
                Ok(()) => tracing::info!("certificate and key were read again"),
                Err(error) => tracing::error!(error = chain(&error), "the certificate stays as it was"),
            }
        }
    }
}

/// The store by its kind, so that it can be closed at the end.
enum Backend {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

impl Backend {
    async fn open(database: &Database) -> Result<Self, Fatal> {
        Ok(match database {
            Database::Sqlite(options) => Self::Sqlite(Arc::new(SqliteStore::open(options.clone()).await?)),
            Database::Postgres(options) => Self::Postgres(Arc::new(PostgresStore::open((**options).clone()).await?)),
        })
    }

    fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => store.clone(),
            Self::Postgres(store) => store.clone(),
        }
    }

    /// Commits what was accepted, and waits for that.
    async fn close(self) {
        match self {
            Self::Sqlite(store) => {
                if let Ok(store) = Arc::try_unwrap(store) {
                    store.close().await;
                }
            }
            Self::Postgres(store) => {
                if let Ok(store) = Arc::try_unwrap(store) {
                    store.close().await;
                }
            }
        }
    }
}

/// What carries actions out: the remediators of the routes, and the one of the URL for what they do not take. Their calls are dated by
/// the Store's clock: this machine's may be wrong.
fn remediator(config: &Config, clock: &Arc<StoreClock>) -> Result<Arc<dyn Remediator>, Fatal> {
    if config.remediator_url == "dry-run" {
        tracing::warn!("dry run: nothing is carried out");
        return Ok(Arc::new(DryRun::new()));
    }
    let one = |key: &str, url: &str| -> Result<Arc<dyn Remediator>, Fatal> {
        let remediator = HttpRemediator::new(url, clock.clone(), config.remediator.clone());
        Ok(Arc::new(remediator.map_err(|error| format!("{key}: {}", chain(&error)))?))
    };
    let fallback = one("REMEDIATOR_URL", &config.remediator_url)?;
    if config.remediator_routes.is_empty() {
        return Ok(fallback);
    }
    let mut router = RemediatorRouter::new().with_fallback(fallback);
    for (number, (route, url)) in config.remediator_routes.iter().enumerate() {
        tracing::info!(%route, url, "routing");
        router = router.with_route(route.clone(), one(&format!("remediator.routes[{number}].url"), url)?);
    }
    Ok(Arc::new(router))
}

fn announce(config: &Config, address: SocketAddr, vigil: &Vigil) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        %address,
        config = config.file.as_ref().map(|path| path.display().to_string()),
        policies = vigil.catalog().set().len(),
        remediator = config.remediator_url,
        "serving"
    );
    tracing::info!(database = ?config.database, roles = ?config.roles, "storing");
    match &config.redis {
        Some(redis) => tracing::info!(?redis, "queueing"),
        None => {
            tracing::info!(
                "REDIS_URL is not set: the queue is in this process, and the store brings back what it forgets"
            );
        }
    }
    let tls = config.http.tls.is_some();
    if config.http.pepper.is_some() {
        tracing::info!(tls, "every request needs an API key");
    } else if address.ip().is_loopback() {
        tracing::info!("no API keys are configured: bound to loopback only");
    } else {
        tracing::warn!(
            "no API keys are configured and anonymous access is allowed: anybody who can reach {address} may act"
        );
    }
}
