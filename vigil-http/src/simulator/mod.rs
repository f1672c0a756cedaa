//! [`Simulator`]: load that looks like that of agents, to see what a server makes of it. It sends real HTTP requests, so that what
//! it measures is what a client sees.

mod drive;
mod figures;
mod plan;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use figures::{Figures, Latencies};
pub use plan::{InvalidLoad, Load, Mode, Planned, SimulatedEvent};

use drive::Drive;
use figures::Counting;

/// Sends a [`Load`] to a server, one at a time, and counts what became of it.
#[derive(Debug)]
pub struct Simulator {
    client: Client,
    url: Url,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What is to be sent, until it is taken up.
    wanted: Option<(Load, HeaderMap)>,
    running: Option<Running>,
    last: Option<Status>,
}

#[derive(Debug)]
struct Running {
    load: Load,
    began: Instant,
    counting: Arc<Counting>,
    stop: CancellationToken,
}

/// What a [`Simulator`] does, or did last.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Whether it sends now.
    pub running: bool,
    /// What it sends, its seed chosen.
    pub load: Load,
    /// For how long it has been, or was, sending.
    pub uptime: Duration,
    /// What became of it.
    pub figures: Figures,
}

/// Why a [`Simulator`] does not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulatorError {
    /// It sends already: stop it first.
    #[error("the simulator is already running")]
    Running,
    /// The server's URL is none that can be called.
    #[error("the URL '{0}' cannot be called")]
    Url(String),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Simulator {
    /// One that will call the server at `url`, `http://127.0.0.1:8000` say.
    ///
    /// # Errors
    /// [`SimulatorError::Url`], [`SimulatorError::Client`].
    pub fn new(url: &str) -> Result<Self, SimulatorError> {
        let invalid = || SimulatorError::Url(url.to_owned());
        let url = Url::parse(url).ok().filter(|url| url.has_host() && !url.cannot_be_a_base()).ok_or_else(invalid)?;
        let url = url.join("api/v1/ingest").map_err(|_| invalid())?;
        let tls = crate::client_tls(&url).map_err(|error| SimulatorError::Client(error.into()))?;
        let client = Client::builder().use_preconfigured_tls(tls).no_proxy().build();
        let client = client.map_err(|error| SimulatorError::Client(error.into()))?;
        Ok(Self { client, url, state: Mutex::default(), changed: Notify::new() })
    }

    /// Begins to send, as soon as [`run`](Self::run) runs. `key` is the API key that the server asks for, if it does.
    ///
    /// # Errors
    /// [`SimulatorError::Running`].
    pub fn start(&self, load: Load, key: Option<&str>) -> Result<(), SimulatorError> {
        let mut headers = HeaderMap::new();
        if let Some(mut key) = key.and_then(|key| HeaderValue::from_str(key).ok()) {
            key.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-api-key"), key);
        }
        let mut state = self.state();
        if state.running.is_some() || state.wanted.is_some() {
            return Err(SimulatorError::Running);
        }
        state.wanted = Some((load, headers));
        self.changed.notify_one();
        Ok(())
    }

    /// Stops sending; what is on its way is still counted. Answers whether it was sending.
    pub fn stop(&self) -> bool {
        let mut state = self.state();
        let waiting = state.wanted.take().is_some();
        match &state.running {
            Some(running) => {
                running.stop.cancel();
                true
            }
            None => waiting,
        }
    }

    /// What it does, or did last; `None` before the first start.
    pub fn status(&self) -> Option<Status> {
        let state = self.state();
        match &state.running {
            Some(running) => Some(running.status(true)),
            None => state.last.clone(),
        }
    }

    /// Sends what is asked for, until `shutdown`. Everything happens in here: nothing is detached.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let next = self.take_up();
            match next {
                Some((drive, stop)) => {
                    tokio::select! {
                        () = &mut shutdown => return,
                        () = drive.run(&stop) => {}
                    }
                    let mut state = self.state();
                    state.last = state.running.take().map(|running| running.status(false));
                }
                None => tokio::select! {
                    () = &mut shutdown => return,
                    () = self.changed.notified() => {}
                },
            }
        }
    }

    fn take_up(&self) -> Option<(Drive, CancellationToken)> {
        let mut state = self.state();
        let (load, headers) = state.wanted.take()?;
        let (counting, stop) = (Arc::new(Counting::default()), CancellationToken::new());
        let drive = Drive::new(self.client.clone(), self.url.clone(), headers, load.clone(), counting.clone());
        state.running = Some(Running { load, began: Instant::now(), counting, stop: stop.clone() });
        Some((drive, stop))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // no change to it can panic half way
    }
}

impl Running {
    fn status(&self, running: bool) -> Status {
        let figures = self.counting.figures();
        Status { running, load: self.load.clone(), uptime: self.began.elapsed(), figures }
    }
}
