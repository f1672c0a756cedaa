//! [`Shipper`]: brings the batches of the buffer to the server, in their order.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode, Url};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use vigil_core::clock::Clock;
use vigil_core::random::{OsRandom, Random};
use vigil_http::{client_tls, retry_after};
use vigil_program::chain;

use crate::buffer::{Batch, Buffer};
use crate::telemetry::Telemetry;

/// Sends one batch after another, the oldest first, until there is none.
pub(crate) struct Shipper {
    client: Client,
    url: Url,
    api_key: Option<HeaderValue>,
    buffer: Arc<Mutex<Buffer>>,
    /// How long it waits between two batches of a backlog.
    pause: Duration,
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    pub(crate) more: Arc<Notify>,
}

/// What became of a batch.
enum Sent {
    Taken,
    /// It will never be taken: the server says what is wrong with it.
    Refused(String),
    /// Its file cannot be read.
    Lost(String),
    /// Not now, and not before this time has passed.
    Later(Duration),
    /// Nobody knows, or the server is away, or does not want this agent: again later.
    Failed(String),
}

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The first and the longest wait after a failure.
const WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

impl Shipper {
    pub(crate) fn new(
        server: &str,
        api_key_file: Option<&Path>,
        buffer: Arc<Mutex<Buffer>>,
        per_second: f64,
        telemetry: Arc<Telemetry>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let url = Url::parse(&format!("{}/api/v1/ingest/agent/metrics", server.trim_end_matches('/')));
        let url = url.map_err(|error| format!("server cannot be read: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("server must begin with http:// or https://".to_owned());
        }
        let tls = client_tls(&url).map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .user_agent(concat!("vigil-agent/", env!("CARGO_PKG_VERSION")));
        let client =
            client.build().map_err(|error| format!("the HTTP client cannot be set up: {}", error.without_url()))?;
        let api_key = match api_key_file {
            Some(path) => {
                let key = std::fs::read_to_string(path);
                let key = key.map_err(|error| format!("api_key_file: {}: {error}", path.display()))?;
                let key = HeaderValue::from_str(key.trim()).map_err(|_| "api_key_file holds no key".to_owned());
                Some(key.map(|mut key| {
                    key.set_sensitive(true);
                    key
                })?)
            }
            None => None,
        };
        let pause = Duration::from_secs_f64(1.0 / per_second);
        Ok(Self { client, url, api_key, buffer, pause, telemetry, clock, more: Arc::new(Notify::new()) })
    }

    /// Sends until `stop`; then once more what is there, as long as that succeeds and is quick.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.drain() => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.more.notified() => {}
            }
        }
        let last = async {
            while let Some(batch) = self.oldest()
                && self.send_one(&batch).await.is_none()
            {}
        };
        let _ = timeout(Duration::from_secs(3), last).await;
    }

    /// Sends until the buffer is empty, waiting as long as the server is away.
    pub(crate) async fn drain(&self) {
        let mut failures = 0;
        while let Some(batch) = self.oldest() {
            match self.send_one(&batch).await {
                None => {
                    failures = 0;
                    if self.oldest().is_some() {
                        // From a half to one and a half: agents that were cut off together do not come back in step.
                        sleep(self.pause.mul_f64(0.5 + OsRandom.jitter())).await;
                    }
                }
                Some(Sent::Later(wait)) => sleep(wait.mul_f64(1.0 + OsRandom.jitter() / 2.0)).await,
                Some(_) => {
                    let longest = WAIT.saturating_mul(1 << failures.min(6)).min(LONGEST_WAIT);
                    failures += 1;
                    sleep(longest.mul_f64(0.5 + OsRandom.jitter() / 2.0)).await;
                }
            }
        }
    }

    /// Sends a batch, and takes it out of the buffer once it is done with; otherwise why not.
    async fn send_one(&self, batch: &Batch) -> Option<Sent> {
        match self.send(batch).await {
            Sent::Taken => {
                self.telemetry.sent(batch.samples());
                self.forget(batch);
                None
            }
            Sent::Refused(why) => {
                tracing::error!(samples = batch.samples(), why, "the server refuses a batch for good: it is dropped");
                self.telemetry.refused(batch.samples());
                self.forget(batch);
                None
            }
            Sent::Lost(why) => {
                tracing::error!(samples = batch.samples(), why, "a batch cannot be read: it is set aside");
                if self.buffer().set_aside(batch) {
                    self.telemetry.dropped(batch.samples());
                }
                None
            }
            Sent::Later(wait) => {
                tracing::info!(seconds = wait.as_secs(), "the server asks to wait");
                Some(Sent::Later(wait))
            }
            Sent::Failed(why) => {
                tracing::warn!(why, "a batch was not taken: it is sent again");
                self.telemetry.failed();
                Some(Sent::Failed(why))
            }
        }
    }

    async fn send(&self, batch: &Batch) -> Sent {
        let read = self.buffer().read(batch);
        let body = match read {
            Ok(body) => body,
            Err(error) => return Sent::Lost(error.to_string()),
        };
        let mut request = self.client.post(self.url.clone()).header("Idempotency-Key", batch.key());
        request = request.header("Content-Type", "application/json").header("Content-Encoding", "gzip").body(body);
        if let Some(key) = &self.api_key {
            request = request.header("X-API-Key", key.clone());
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Sent::Failed(chain(&error.without_url())),
        };
        let status = answer.status();
        let wait = retry_after(answer.headers(), self.clock.now());
        let said = async || {
            let words: String = answer.text().await.unwrap_or_default().chars().take(300).collect();
            format!("{status}: {words}")
        };
        match (status, wait) {
            (status, _) if status.is_success() => Sent::Taken,
            (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Some(wait)) => {
                Sent::Later(wait.clamp(WAIT, LONGEST_ASKED))
            }
            (StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY, _) => {
                Sent::Refused(said().await)
            }
            // Another server, an older one or a wrong key: the samples are good, and wait until somebody mends that.
            _ => Sent::Failed(said().await),
        }
    }

    fn forget(&self, batch: &Batch) {
        if let Err(error) = self.buffer().remove(batch) {
            tracing::warn!(%error, "a batch that was sent cannot be deleted");
        }
    }

    fn oldest(&self) -> Option<Batch> {
        self.buffer().oldest()
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner) // no change to it can panic half way
    }
}
