//! The configuration file: YAML, every key optional, an unknown key or a wrong value stops the start with its place.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use vigil_core::Settings;
use vigil_core::action::ActionType;

use crate::flags::Role;

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) allow_anonymous: Option<bool>,
    pub(crate) database_url: Option<String>,
    pub(crate) redis_url: Option<String>,
    pub(crate) roles: Option<Vec<Role>>,
    redis_timeout_seconds: Option<Seconds>,
    pub(crate) log_level: Option<String>,
    pub(crate) log_format: Option<String>,
    pub(crate) metrics_enabled: Option<bool>,
    pub(crate) policies: Option<Vec<PathBuf>>,
    pub(crate) cors_origins: Option<Vec<String>>,
    pub(crate) target_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) remediator: Remediator,
    #[serde(default)]
    pub(crate) pool: Pool,
    #[serde(default)]
    pub(crate) http: Http,
    pub(crate) tls: Option<Tls>,
    #[serde(default)]
    pub(crate) keys: Keys,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) simulator: Simulation,
    #[serde(default)]
    runner: Runner,
    #[serde(default)]
    worker: Worker,
    #[serde(default)]
    verification: Verification,
    #[serde(default)]
    retention: Retention,
    staleness_seconds: Option<Seconds>,
    expires_after_seconds: Option<Seconds>,
    unknown_after_seconds: Option<Seconds>,
    reconcile_interval_seconds: Option<Seconds>,
    actions_per_episode: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remediator {
    pub(crate) url: Option<String>,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) probe: Option<bool>,
    timeout_seconds: Option<Seconds>,
    connect_timeout_seconds: Option<Seconds>,
    deadline_seconds: Option<Seconds>,
    #[serde(default)]
    pub(crate) routes: Vec<RouteEntry>,
}

/// A remediator that takes some of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteEntry {
    pub(crate) target: Option<String>,
    #[serde(default)]
    pub(crate) actions: Vec<ActionType>,
    pub(crate) url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pool {
    pub(crate) readers: Option<u32>,
    pub(crate) connections: Option<u32>,
    statement_timeout_seconds: Option<Seconds>,
    pub(crate) allow_unsafe_durability: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) body_limit_bytes: Option<usize>,
    pub(crate) batch_limit_bytes: Option<usize>,
    pub(crate) body_memory_bytes: Option<usize>,
    request_timeout_seconds: Option<Seconds>,
    header_timeout_seconds: Option<Seconds>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_streams: Option<usize>,
    pub(crate) max_in_flight: Option<usize>,
    pub(crate) trusted_proxies: Option<usize>,
    pub(crate) rate_limit: Option<RateLimit>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateLimit {
    pub(crate) per_second: NonZeroU32,
    pub(crate) burst: NonZeroU32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) cert_file: PathBuf,
    pub(crate) key_file: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Simulation {
    pub(crate) enabled: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    pub(crate) pepper_file: Option<PathBuf>,
    pub(crate) metrics_public: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    #[serde(default)]
    pub(crate) default: TenantLimits,
    #[serde(default)]
    pub(crate) tenants: BTreeMap<String, TenantLimits>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantLimits {
    pub(crate) samples_per_second: Option<NonZeroU32>,
    pub(crate) series: Option<usize>,
    pub(crate) policies: Option<usize>,
    pub(crate) actions_per_minute: Option<NonZeroU32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Runner {
    enabled: Option<bool>,
    interval_seconds: Option<Seconds>,
    batch_size: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Worker {
    count: Option<usize>,
    lease_seconds: Option<Seconds>,
    heartbeat_seconds: Option<Seconds>,
    lease_margin_seconds: Option<Seconds>,
    max_crashes: Option<u32>,
    retries: Option<u32>,
    retry_base_seconds: Option<Seconds>,
    retry_cap_seconds: Option<Seconds>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Verification {
    settle_seconds: Option<Seconds>,
    deadline_seconds: Option<Seconds>,
    interval_seconds: Option<Seconds>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retention {
    metrics_days: Option<u64>,
    history_days: Option<u64>,
}

/// A span of time in seconds, fractions allowed.
#[derive(Debug, Clone, Copy)]
struct Seconds(Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map(Self).map_err(|_| de::Error::custom("must be seconds from 0 on"))
    }
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// One sentence with the file, and line and key of what is wrong.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|problem| format!("{}: {problem}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())
    }

    /// The numbers of the control loop, the defaults where the file is silent.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        let spans = [
            (&mut settings.staleness, self.staleness_seconds),
            (&mut settings.expires_after, self.expires_after_seconds),
            (&mut settings.unknown_after, self.unknown_after_seconds),
            (&mut settings.reconcile_interval, self.reconcile_interval_seconds),
            (&mut settings.runner.interval, self.runner.interval_seconds),
            (&mut settings.remediation_timeout, self.remediator.timeout_seconds),
            (&mut settings.deadline, self.remediator.deadline_seconds),
            (&mut settings.lease, self.worker.lease_seconds),
            (&mut settings.heartbeat, self.worker.heartbeat_seconds),
            (&mut settings.lease_margin, self.worker.lease_margin_seconds),
            (&mut settings.retry.base, self.worker.retry_base_seconds),
            (&mut settings.retry.cap, self.worker.retry_cap_seconds),
            (&mut settings.settle, self.verification.settle_seconds),
            (&mut settings.verify, self.verification.deadline_seconds),
            (&mut settings.verify_interval, self.verification.interval_seconds),
            (&mut settings.metric_retention, self.retention.metrics_days.map(days)),
            (&mut settings.history_retention, self.retention.history_days.map(days)),
        ];
        for (setting, given) in spans {
            *setting = given.map_or(*setting, |Seconds(given)| given);
        }
        settings.runner.enabled = self.runner.enabled.unwrap_or(settings.runner.enabled);
        settings.runner.batch_size = self.runner.batch_size.unwrap_or(settings.runner.batch_size);
        settings.workers = self.worker.count.unwrap_or(settings.workers);
        settings.max_crashes = self.worker.max_crashes.unwrap_or(settings.max_crashes);
        settings.retry.tries = self.worker.retries.unwrap_or(settings.retry.tries);
        settings.actions_per_episode = self.actions_per_episode.unwrap_or(settings.actions_per_episode);
        settings
    }

    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        self.pool.statement_timeout_seconds.map(|Seconds(given)| given)
    }

    pub(crate) fn redis_timeout(&self) -> Option<Duration> {
        self.redis_timeout_seconds.map(|Seconds(given)| given)
    }

    pub(crate) fn connect_timeout(&self) -> Option<Duration> {
        self.remediator.connect_timeout_seconds.map(|Seconds(given)| given)
    }

    pub(crate) fn request_timeout(&self) -> Option<Duration> {
        self.http.request_timeout_seconds.map(|Seconds(given)| given)
    }

    pub(crate) fn header_timeout(&self) -> Option<Duration> {
        self.http.header_timeout_seconds.map(|Seconds(given)| given)
    }
}

fn days(days: u64) -> Seconds {
    Seconds(Duration::from_secs(days.saturating_mul(86_400)))
}
