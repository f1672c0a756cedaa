//! [`Shipper`]: brings the batches of the buffer to the server, in their order.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use vigil_core::clock::Clock;
use vigil_core::random::{OsRandom, Random};
use vigil_http::{ApiClient, retry_after};
use vigil_program::chain;

use crate::buffer::{Batch, Buffer};
use crate::telemetry::Telemetry;

/// Sends one batch after another, the oldest first, until there is none.
pub(crate) struct Shipper {
    client: ApiClient,
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
        let client = ApiClient::new(server, api_key_file, TIMEOUT, concat!("vigil-agent/", env!("CARGO_PKG_VERSION")))?;
        let pause = Duration::from_secs_f64(1.0 / per_second);
        Ok(Self { client, buffer, pause, telemetry, clock, more: Arc::new(Notify::new()) })
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
        let request = self.client.request(Method::POST, &["api", "v1", "ingest", "agent", "metrics"]);
        let request = request.header("Idempotency-Key", batch.key()).header("Content-Type", "application/json");
        let answer = match request.header("Content-Encoding", "gzip").body(body).send().await {
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
