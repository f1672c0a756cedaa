//! [`ProcessExecutor`]: supervised processes, and commands from an allowlist. Linux only, because of `/proc`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use vigil_core::action::ActionType;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};

use crate::executor::{Executor, Prepared};
use crate::job::Job;
use crate::seconds::Seconds;

mod command;
mod proc;
mod run;
mod service;

pub use command::CommandConfig;
pub use proc::count_named;
pub use run::{Broken, Ended, KEPT, bare, run, tail};
pub use service::ServiceConfig;

use command::Command;
use service::Service;

/// What a [`ProcessExecutor`] may run: nothing else, and nothing built from a request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessConfig {
    /// Where the output of the services goes, and what is remembered of them. Created if it is not there.
    pub folder: PathBuf,
    /// Processes that it starts and keeps an eye on, by object.
    #[serde(default)]
    pub services: BTreeMap<String, ServiceConfig>,
    /// Programs that carry an action out, by object and word.
    #[serde(default)]
    pub commands: BTreeMap<String, BTreeMap<ActionType, CommandConfig>>,
}

/// Restarts processes that it supervises, and runs commands.
///
/// **Once per key.** A process is started with the key in its environment (`VIGIL_IDEMPOTENCY_KEY`) and outlives this
/// program, which finds it again by its environment. So the probe of a service looks for a process that carries the key, or
/// is another one than before; that of a command looks whether it still runs, then asks the command's own probe.
#[derive(Debug)]
pub struct ProcessExecutor {
    folder: PathBuf,
    services: BTreeMap<String, Service>,
    commands: BTreeMap<String, BTreeMap<ActionType, Command>>,
}

impl ProcessExecutor {
    /// One that knows its services and has not touched them yet.
    ///
    /// # Errors
    /// A sentence, if the configuration makes no sense.
    pub fn new(config: ProcessConfig) -> std::io::Result<Self> {
        if let Some(both) = config.services.keys().find(|name| config.commands.contains_key(*name)) {
            return Err(std::io::Error::other(format!("'{both}' is both a service and a command")));
        }
        let folder = std::path::absolute(&config.folder)?;
        let services = config.services.into_iter().map(|(name, config)| {
            let service = Service::new(&folder, &name, config)?;
            Ok((name, service))
        });
        let services = services.collect::<std::io::Result<_>>()?;
        let commands = config.commands.into_iter().map(|(name, words)| {
            let started = folder.join(format!("{}.command", file_name(&name)));
            (name, words.into_iter().map(|(word, config)| (word, Command::new(config, started.clone()))).collect())
        });
        let commands = commands.collect();
        Ok(Self { folder, services, commands })
    }

    /// Takes charge of the services: those that do not run are started, unless they were drained. Call it before anything else.
    ///
    /// # Errors
    /// What the operating system says if the folder or a process cannot be created.
    pub async fn start(&self) -> std::io::Result<()> {
        tokio::fs::create_dir_all(&self.folder).await?;
        for service in self.services.values() {
            service.ensure().await?;
        }
        Ok(())
    }

    fn doer(&self, job: &Job) -> Option<Doer<'_>> {
        let service = self.services.get(&job.object).map(Doer::Service);
        service.or_else(|| Some(Doer::Command(self.commands.get(&job.object)?.get(&job.action)?)))
    }
}

enum Doer<'a> {
    Service(&'a Service),
    Command(&'a Command),
}

#[async_trait]
impl Executor for ProcessExecutor {
    fn kind(&self) -> &'static str {
        "process"
    }

    fn words(&self, object: &str) -> Vec<ActionType> {
        if self.services.contains_key(object) {
            return vec![ActionType::RestartService, ActionType::DrainPod];
        }
        self.commands.get(object).map(|words| words.keys().copied().collect()).unwrap_or_default()
    }

    fn name(&self, object: &str) -> String {
        object.to_owned()
    }

    async fn prepare(&self, job: &Job) -> Result<Prepared, RemediatorError> {
        Ok(match self.doer(job) {
            Some(Doer::Service(service)) => Prepared::Ready(service.look()),
            Some(Doer::Command(_)) => Prepared::Ready(Value::Null),
            None => Prepared::Rejected(format!("no process is called '{}'", job.object)),
        })
    }

    async fn execute(&self, job: &Job, _before: &Value, until: Instant) -> Result<Outcome, RemediatorError> {
        match self.doer(job) {
            Some(Doer::Service(service)) => service.execute(job, until).await,
            Some(Doer::Command(command)) => command.run(job, until).await,
            None => Ok(Outcome::Rejected { reason: format!("no process is called '{}'", job.object) }),
        }
    }

    async fn probe(&self, job: &Job, before: &Value, since: Duration) -> Result<Probe, RemediatorError> {
        match self.doer(job) {
            Some(Doer::Service(service)) => Ok(service.probe(job, before, since)),
            Some(Doer::Command(command)) => Ok(command.probe(job, since).await),
            None => Ok(Probe::Unknown),
        }
    }

    async fn ping(&self) -> Result<(), RemediatorError> {
        Ok(())
    }
}

/// Carries the key of the request that started a process.
const KEY: &str = "VIGIL_IDEMPOTENCY_KEY";

/// The name of an object as one of a file: everything but letters and digits by its number.
fn file_name(object: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("_{:x}_", u32::from(c)) };
    object.chars().map(plain).collect()
}

/// Checks an argv when the configuration is read.
///
/// # Errors
/// A sentence, if it does not begin with the absolute path of a program.
pub fn argv<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let argv = Vec::<String>::deserialize(deserializer)?;
    match argv.first() {
        Some(program) if program.starts_with('/') => Ok(argv),
        _ => Err(serde::de::Error::custom("a command is a list that begins with the absolute path of a program")),
    }
}

fn ten_seconds() -> Seconds {
    Seconds(Duration::from_secs(10))
}
