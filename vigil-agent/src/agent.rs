//! [`Agent`]: measures, keeps, ships.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use vigil_core::clock::Clock;
use vigil_core::metric::{MetricName, Tags as CoreTags};
use vigil_core::random::{OsRandom, Random};
use vigil_http::{HttpConfig, serve};

use crate::buffer::Buffer;
use crate::collect::{CollectorError, Collectors};
use crate::complaints::Complaints;
use crate::config::{Config, ConfigError};
use crate::sample::{Reading, Sample, Tags};
use crate::shipper::Shipper;
use crate::telemetry::Telemetry;

/// How many samples a batch holds at most.
const BATCH: usize = 1000;
/// How much of an interval measuring may take: the rest is for the next round to begin in time.
const SHARE: f64 = 0.8;

/// The whole agent.
pub struct Agent {
    interval: Duration,
    measuring: Measuring,
    keeping: Keeping,
    shipper: Shipper,
}

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// A value of the configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A check or a scrape cannot be set up.
    #[error(transparent)]
    Collector(#[from] CollectorError),
    /// The buffer cannot be opened.
    #[error("the buffer {folder} cannot be opened")]
    Buffer {
        /// Where it is.
        folder: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The server cannot be spoken to as configured.
    #[error("{0}")]
    Server(String),
}

impl Agent {
    /// Sets everything up; nothing is measured or sent yet.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, AgentError> {
        config.check()?;
        let telemetry = Arc::new(Telemetry::new());
        // A megabyte as disks are sold.
        let buffer = Buffer::open(config.buffer.clone(), (config.buffer_mb * 1e6) as u64);
        let buffer = buffer.map_err(|source| AgentError::Buffer { folder: config.buffer.clone(), source })?;
        let buffer = Arc::new(Mutex::new(buffer));
        let (key, rate) = (config.api_key_file.as_deref(), config.catch_up_per_second);
        let shipper = Shipper::new(&config.server, key, buffer.clone(), rate, telemetry.clone(), clock.clone());
        let mut tags = config.tags.clone();
        if !tags.contains_key("host") {
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            tags.insert("host".to_owned(), name);
        }
        tags.retain(|_, value| !value.is_empty());
        let measuring = Measuring {
            limit: Duration::from_secs_f64(config.interval_seconds * SHARE),
            tags,
            collectors: Collectors::new(config, clock)?,
            complaints: Complaints::default(),
            telemetry: telemetry.clone(),
        };
        Ok(Self {
            interval: Duration::from_secs_f64(config.interval_seconds),
            measuring,
            keeping: Keeping { buffer, telemetry },
            shipper: shipper.map_err(AgentError::Server)?,
        })
    }

    /// Measures once. What compares two moments needs two looks, a second apart.
    pub async fn once(&mut self) -> Vec<Sample> {
        self.measuring.round().await;
        sleep(Duration::from_secs(1)).await;
        self.measuring.round().await
    }

    /// Keeps samples, and waits until the server has taken them and all that were kept before.
    pub async fn ship(&self, samples: &[Sample]) {
        self.keeping.keep(samples);
        self.shipper.drain().await;
    }

    /// Measures every interval and ships, until `stop`, and serves `/health` and `/metrics` if it is given a listener. A round
    /// that is due while another one runs is left out.
    pub async fn run(self, listener: Option<TcpListener>, stop: CancellationToken) {
        let Self { interval, mut measuring, keeping, shipper } = self;
        let probes = async {
            match listener {
                Some(listener) => {
                    let config = HttpConfig { drain: Duration::from_secs(1), ..HttpConfig::default() };
                    serve(listener, keeping.router(), &config, stop.cancelled()).await;
                }
                None => stop.cancelled().await,
            }
        };
        let measuring = async {
            measuring.round().await;
            // Agents that are started together do not measure and send in step.
            let first = Instant::now() + interval.min(Duration::from_secs(10)).mul_f64(0.5 + OsRandom.jitter() / 2.0);
            let mut ticks = interval_at(first, interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                keeping.keep(&measuring.round().await);
                shipper.more.notify_one();
            }
        };
        // A round that is cut off is not kept.
        let measuring = stop.run_until_cancelled(measuring);
        tokio::join!(probes, measuring, shipper.run(&stop));
    }
}

/// Everything that is measured, made into samples.
struct Measuring {
    limit: Duration,
    tags: Tags,
    collectors: Collectors,
    complaints: Complaints,
    telemetry: Arc<Telemetry>,
}

impl Measuring {
    async fn round(&mut self) -> Vec<Sample> {
        let readings = self.collectors.collect(self.limit).await;
        let mut samples = Vec::with_capacity(readings.len());
        for reading in readings {
            let Reading { name, value, tags, at: timestamp } = reading;
            let mut all = self.tags.clone();
            all.extend(tags);
            // One name that the server does not take would cost the whole batch.
            if let Err(wrong) = MetricName::new(&name).map(|_| ()).and_then(|()| CoreTags::new(&all).map(|_| ())) {
                self.complaints.about(&name, wrong);
                continue;
            }
            samples.push(Sample { name, value, tags: all, timestamp });
        }
        self.telemetry.collected(samples.len() as u64);
        samples
    }
}

/// What keeps samples until they are sent.
struct Keeping {
    buffer: Arc<Mutex<Buffer>>,
    telemetry: Arc<Telemetry>,
}

impl Keeping {
    fn keep(&self, samples: &[Sample]) {
        for batch in samples.chunks(BATCH) {
            match self.buffer().push(batch) {
                Ok(0) => {}
                Ok(dropped) => {
                    self.telemetry.dropped(dropped);
                    tracing::warn!(dropped, "the buffer is full: the oldest samples are dropped");
                }
                Err(error) => {
                    self.telemetry.dropped(batch.len() as u64);
                    tracing::error!(%error, dropped = batch.len(), "samples cannot be kept and are lost");
                }
            }
        }
    }

    fn router(&self) -> Router {
        let health = json!({ "status": "healthy", "service": "vigil-agent", "version": env!("CARGO_PKG_VERSION") });
        let (buffer, telemetry) = (self.buffer.clone(), self.telemetry.clone());
        let metrics = async move || {
            let (_, samples, bytes) = buffer.lock().unwrap_or_else(PoisonError::into_inner).size();
            // The text format of Prometheus, version 0.0.4.
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry.encode(samples, bytes))
        };
        Router::new().route("/health", get(async move || axum::Json(health))).route("/metrics", get(metrics))
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner) // no change to it can panic half way
    }
}
