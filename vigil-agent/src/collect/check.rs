//! [`Checks`]: whether services answer, over HTTP, TCP or by a command.

use std::process::Stdio;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, timeout};
use vigil_http::client_tls;

use super::CollectorError;
use crate::sample::{Reading, Tags};

/// One check.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckConfig {
    /// The value of the tag `check`.
    pub name: String,
    /// A URL that must answer with 2xx.
    pub http: Option<String>,
    /// An address, `host:port`, that must accept a connection.
    pub tcp: Option<String>,
    /// A program and its arguments that must end with exit code 0.
    pub command: Option<Vec<String>>,
    /// How long it may take. 5, and never longer than the interval.
    #[serde(default = "five")]
    pub timeout_seconds: f64,
    /// More tags.
    #[serde(default)]
    pub tags: Tags,
}

fn five() -> f64 {
    5.0
}

/// What is asked.
enum CheckKind {
    Http(Box<Client>, Url),
    Tcp(String),
    Command(Vec<String>),
}

pub(super) struct Checks(Vec<Check>);

struct Check {
    config: CheckConfig,
    kind: CheckKind,
    timeout: Duration,
    failures: u32,
}

impl Checks {
    pub(super) fn new(configs: Vec<CheckConfig>) -> Result<Self, CollectorError> {
        configs.into_iter().map(Check::new).collect::<Result<_, _>>().map(Self)
    }

    /// `up`, `health_check_failures` (in a row), and of those that answered `health_check_latency_ms`.
    pub(super) async fn collect(&mut self, limit: Duration) -> Vec<Reading> {
        let mut readings = Vec::new();
        // All at once: one that hangs does not hold up the others.
        let asked: Vec<_> = self.0.iter().map(|check| check.ask(limit)).collect();
        let answers = futures_util::future::join_all(asked).await;
        for (check, took) in self.0.iter_mut().zip(answers) {
            check.failures = if took.is_some() { 0 } else { check.failures.saturating_add(1) };
            let reading = |name: &str, value: f64| {
                Reading::new(name, value).of("check", &check.config.name).with(&check.config.tags)
            };
            readings.push(reading("up", f64::from(u8::from(took.is_some()))));
            readings.push(reading("health_check_failures", f64::from(check.failures)));
            readings.extend(took.map(|took| reading("health_check_latency_ms", took.as_secs_f64() * 1e3)));
        }
        readings
    }
}

impl Check {
    fn new(config: CheckConfig) -> Result<Self, CollectorError> {
        let wrong = |wrong: String| CollectorError { what: format!("the check '{}'", config.name), wrong };
        let kind = match (&config.http, &config.tcp, &config.command) {
            (Some(url), None, None) => {
                let url = Url::parse(url).map_err(|error| wrong(format!("has a URL that cannot be read: {error}")))?;
                CheckKind::Http(Box::new(client(&url).map_err(&wrong)?), url)
            }
            (None, Some(address), None) => CheckKind::Tcp(address.clone()),
            (None, None, Some(argv)) if !argv.is_empty() => CheckKind::Command(argv.clone()),
            _ => return Err(wrong("needs exactly one of http, tcp and command".to_owned())),
        };
        if !(config.timeout_seconds > 0.0 && config.timeout_seconds <= 3600.0) {
            return Err(wrong("has a timeout_seconds that is not above 0 and at most 3600".to_owned()));
        }
        let timeout = Duration::from_secs_f64(config.timeout_seconds);
        Ok(Self { kind, timeout, failures: 0, config })
    }

    /// How long it took, or `None` if it did not answer, or not well.
    async fn ask(&self, limit: Duration) -> Option<Duration> {
        let began = Instant::now();
        let is_well = timeout(self.timeout.min(limit), async {
            match &self.kind {
                CheckKind::Http(client, url) => {
                    client.get(url.clone()).send().await.is_ok_and(|answer| answer.status().is_success())
                }
                CheckKind::Tcp(address) => TcpStream::connect(address).await.is_ok(),
                CheckKind::Command(argv) => {
                    let mut command = Command::new(&argv[0]);
                    command.args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                    command.kill_on_drop(true).status().await.is_ok_and(|status| status.success())
                }
            }
        });
        is_well.await.unwrap_or(false).then(|| began.elapsed())
    }
}

/// A client that follows no redirect: what answers is what was asked.
pub(super) fn client(url: &Url) -> Result<Client, String> {
    let tls = client_tls(url).map_err(|error| format!("needs TLS, which cannot be set up: {error}"))?;
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("vigil-agent/", env!("CARGO_PKG_VERSION")));
    client.build().map_err(|error| format!("cannot be asked: {}", error.without_url()))
}
