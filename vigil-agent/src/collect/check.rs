//! [`Checks`]: whether services answer, over HTTP, TCP or by a command.

use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, Url};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, timeout};
use vigil_core::clock::{Clock, Timestamp};

use super::CollectorError;
use super::client::Clients;
use crate::sample::{Reading, Tags, named};

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
    /// A program and its arguments that must end with exit code 0. It is killed, with all it started, when it takes too long.
    pub command: Option<Vec<String>>,
    /// How long it may take. 5, and never longer than the interval.
    #[serde(default = "super::five")]
    pub timeout_seconds: f64,
    /// What is to be healed. Without it the tag `service`, without that the name; an empty one leaves it to the host.
    pub target: Option<String>,
    /// More tags.
    #[serde(default)]
    pub tags: Tags,
}

/// What is asked.
enum CheckKind {
    Http(Client, Url),
    Tcp(String),
    Command(Vec<String>),
}

pub(super) struct Checks(Vec<Check>);

struct Check {
    tags: Tags,
    kind: CheckKind,
    timeout: Duration,
    failures: u32,
}

impl Checks {
    pub(super) fn new(configs: &[CheckConfig], clients: &mut Clients) -> Result<Self, CollectorError> {
        configs.iter().map(|config| Check::new(config, clients)).collect::<Result<_, _>>().map(Self)
    }

    /// `up`, `health_check_failures` (in a row), and of those that answered `health_check_latency_ms`.
    pub(super) async fn collect(&mut self, limit: Duration, clock: &dyn Clock) -> Vec<Reading> {
        let mut readings = Vec::new();
        // All at once: one that hangs does not hold up the others.
        let asked: Vec<_> = self.0.iter().map(|check| check.ask(limit, clock)).collect();
        let answers = futures_util::future::join_all(asked).await;
        for (check, (at, took)) in self.0.iter_mut().zip(answers) {
            check.failures = if took.is_some() { 0 } else { check.failures.saturating_add(1) };
            let reading = |name: &str, value: f64| Reading::new(name, value, at).with(&check.tags);
            readings.push(reading("up", f64::from(u8::from(took.is_some()))));
            readings.push(reading("health_check_failures", f64::from(check.failures)));
            readings.extend(took.map(|took| reading("health_check_latency_ms", took.as_secs_f64() * 1e3)));
        }
        readings
    }
}

impl Check {
    fn new(config: &CheckConfig, clients: &mut Clients) -> Result<Self, CollectorError> {
        let wrong = |wrong: String| CollectorError { what: format!("the check '{}'", config.name), wrong };
        let kind = match (&config.http, &config.tcp, &config.command) {
            (Some(url), None, None) => {
                let url = Url::parse(url).map_err(|error| wrong(format!("has a URL that cannot be read: {error}")))?;
                CheckKind::Http(clients.of(&url).map_err(&wrong)?, url)
            }
            (None, Some(address), None) => CheckKind::Tcp(address.clone()),
            (None, None, Some(argv)) if !argv.is_empty() => CheckKind::Command(argv.clone()),
            _ => return Err(wrong("needs exactly one of http, tcp and command".to_owned())),
        };
        let timeout = super::timeout(config.timeout_seconds).map_err(wrong)?;
        let tags = named("check", &config.name, config.target.as_deref(), &config.tags);
        Ok(Self { tags, kind, timeout, failures: 0 })
    }

    /// When it was known, and how long it took; `None` if it did not answer, or not well.
    async fn ask(&self, limit: Duration, clock: &dyn Clock) -> (Timestamp, Option<Duration>) {
        let began = Instant::now();
        let is_well = timeout(self.timeout.min(limit), async {
            match &self.kind {
                CheckKind::Http(client, url) => {
                    client.get(url.clone()).send().await.is_ok_and(|answer| answer.status().is_success())
                }
                CheckKind::Tcp(address) => TcpStream::connect(address).await.is_ok(),
                CheckKind::Command(argv) => succeeds(argv).await,
            }
        });
        let took = is_well.await.unwrap_or(false).then(|| began.elapsed());
        (clock.now(), took)
    }
}

/// Runs a program, and kills it with all it started if it is not waited for any more.
async fn succeeds(argv: &[String]) -> bool {
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.process_group(0).spawn() else { return false };
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)));
    let succeeded = child.wait().await.is_ok_and(|status| status.success());
    // What it left running on purpose may stay.
    std::mem::forget(group);
    succeeded
}

struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
