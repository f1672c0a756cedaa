//! [`Service`]: a process that is kept an eye on.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use vigil_core::action::ActionType;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};

use super::proc::{KILLED, LOOK, Process, with_variable};
use super::run::{bare, tail};
use super::{KEY, argv, ten_seconds};
use crate::executor::{failed, indeterminate, succeeded};
use crate::job::Job;
use crate::seconds::Seconds;

/// How a service is run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// The program, by its absolute path, and its arguments. It must stay in the foreground: what it forks off and leaves is not
    /// supervised.
    #[serde(deserialize_with = "argv")]
    pub command: Vec<String>,
    /// Its environment, beside `PATH`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where it starts.
    pub working_folder: Option<PathBuf>,
    /// How long it may take to end after SIGTERM; then SIGKILL. 10.
    #[serde(default = "ten_seconds")]
    pub stop_seconds: Seconds,
    /// How long it must run to count as started. 1.
    #[serde(default = "one_second")]
    pub start_seconds: Seconds,
}

fn one_second() -> Seconds {
    Seconds(Duration::from_secs(1))
}

/// Names the service in the environment of its processes.
const SERVICE: &str = "VIGIL_SERVICE";
/// A file of output larger than this is put aside at the next start.
const OUTPUT: u64 = 10 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Service {
    /// The value of [`SERVICE`]: the folder too, so that two remediators on a machine keep theirs apart.
    mark: String,
    config: ServiceConfig,
    output: PathBuf,
    /// Holds the process that was started last, and for which key.
    started: PathBuf,
    /// Is there while it is meant to be down.
    drained: PathBuf,
}

impl Service {
    pub(super) fn new(folder: &Path, name: &str, config: ServiceConfig) -> io::Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
            return Err(io::Error::other(format!("the service '{name}' needs a name of letters, digits, - _ . @")));
        }
        Ok(Self {
            mark: folder.join(name).display().to_string(),
            config,
            output: folder.join(format!("{name}.log")),
            started: folder.join(format!("{name}.started")),
            drained: folder.join(format!("{name}.drained")),
        })
    }

    /// Starts it if it does not run, and is meant to.
    pub(super) async fn ensure(&self) -> io::Result<()> {
        match self.process() {
            Some(process) => tracing::info!(service = self.mark, pid = process.pid, "runs already"),
            None if self.drained.exists() => tracing::info!(service = self.mark, "was drained, and stays down"),
            None => {
                self.spawn(None).await?;
            }
        }
        Ok(())
    }

    pub(super) fn look(&self) -> Value {
        json!({ "process": self.process() })
    }

    pub(super) async fn execute(&self, job: &Job, until: Instant) -> Result<Outcome, RemediatorError> {
        let is_drain = job.action == ActionType::DrainPod;
        let began = Instant::now();
        // Cut off between stop and start it would stay down.
        let needs = self.config.stop_seconds.0 + self.config.start_seconds.0;
        let left = until.saturating_duration_since(began);
        if left < needs {
            return Ok(Outcome::Rejected { reason: format!("it may take {needs:?}, and only {left:?} are left") });
        }
        if !self.stop().await {
            return Err(indeterminate("it was killed and is still there"));
        }
        if is_drain {
            tokio::fs::write(&self.drained, job.key.0.as_bytes()).await.map_err(indeterminate)?;
        }
        let stopped = began.elapsed().as_millis();
        if is_drain {
            return Ok(succeeded(format!("stopped after {stopped} ms; a restart brings it back")));
        }
        let started = match self.spawn(Some(job)).await {
            Ok(started) => started,
            Err(error) => {
                return Ok(failed(format!("stopped, and {} cannot be started: {error}", self.config.command[0])));
            }
        };
        let Some(process) = self.stays(started).await else {
            return Ok(failed(format!(
                "it ended within {:?}; its last output: {}",
                self.config.start_seconds.0,
                self.tail()
            )));
        };
        Ok(succeeded(format!("restarted as process {}, stopped within {stopped} ms", process.pid)))
    }

    /// A process with the key, or another one than before, is the effect.
    pub(super) fn probe(&self, job: &Job, before: &Value, since: Duration) -> Probe {
        let now = self.process();
        let before: Option<Process> = serde_json::from_value(before["process"].clone()).unwrap_or_default();
        let is_stopping = now.is_some() && now == before && since < self.config.stop_seconds.0 + LOOK;
        match (job.action, now) {
            (ActionType::DrainPod, None) => Probe::Done(succeeded("it is down")),
            _ if is_stopping => Probe::InProgress,
            (ActionType::RestartService, Some(process))
                if process.variable(KEY).as_ref() == Some(&job.key.0)
                    || self.started_for().as_ref() == Some(&job.key.0) =>
            {
                Probe::Done(succeeded(format!("runs as process {}, which carries the key", process.pid)))
            }
            (ActionType::RestartService, Some(process)) if Some(&process) != before.as_ref() => {
                Probe::Done(succeeded(format!("runs as process {}, which is another one than before", process.pid)))
            }
            _ => Probe::NotDone,
        }
    }

    /// The one that leads the others, or one that was left over.
    fn process(&self) -> Option<Process> {
        let mut processes = self.processes();
        let leader = processes.iter().position(Process::leads).unwrap_or_default();
        (!processes.is_empty()).then(|| processes.swap_remove(leader))
    }

    /// All that carry its mark, and the group of the one that was started last: a program may write over its environment.
    fn processes(&self) -> Vec<Process> {
        let mut processes = with_variable(SERVICE, &self.mark);
        if let Some((process, _)) = self.last()
            && process.is_alive()
        {
            for process in process.group() {
                if !processes.contains(&process) {
                    processes.push(process);
                }
            }
        }
        processes
    }

    /// The process that was started last, and the key it was started for.
    fn last(&self) -> Option<(Process, Option<String>)> {
        Process::started(&self.started)
    }

    /// The key that the running process was started for.
    fn started_for(&self) -> Option<String> {
        let (process, key) = self.last()?;
        key.filter(|_| process.is_alive())
    }

    /// Ends all of its processes; `false` if some are still there.
    async fn stop(&self) -> bool {
        let patience = Instant::now() + self.config.stop_seconds.0;
        for (signal, patience) in [(Signal::TERM, patience), (Signal::KILL, patience + KILLED)] {
            for process in self.processes() {
                process.signal(signal);
            }
            while Instant::now() < patience {
                if self.processes().is_empty() {
                    return true;
                }
                sleep(LOOK).await;
            }
        }
        self.processes().is_empty()
    }

    /// Starts it; the process, unless it has ended already.
    async fn spawn(&self, job: Option<&Job>) -> io::Result<Option<Process>> {
        if std::fs::metadata(&self.output).is_ok_and(|file| file.len() > OUTPUT) {
            std::fs::rename(&self.output, self.output.with_extension("log.1"))?;
        }
        let output = OpenOptions::new().create(true).append(true).open(&self.output)?;
        let mut command = bare(&self.config.command, &self.config.env, self.config.working_folder.as_deref());
        command.env(SERVICE, &self.mark).stdout(output.try_clone()?).stderr(output);
        // A group of its own, so that all of it can be ended, and this program's Ctrl-C is not its own.
        command.process_group(0);
        if let Some(job) = job {
            command.env(KEY, &job.key.0);
        }
        // It outlives this program; once it is let go of here, the runtime collects it when it ends.
        let child = command.spawn()?;
        tracing::info!(service = self.mark, pid = child.id(), "started");
        let process = child.id().and_then(Process::of);
        // It runs: that this cannot be written down is no failure.
        if let Some(process) = &process
            && let Err(error) = process.remember(&self.started, job.map(|job| job.key.0.as_str()))
        {
            tracing::warn!(%error, service = self.mark, "what was started cannot be written down");
        }
        if let Err(error) = tokio::fs::remove_file(&self.drained).await
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, service = self.mark, "it is still marked as drained, and stays down at the next start");
        }
        Ok(process)
    }

    /// The process, if it is there for long enough. The one that was started is known by its number: while a program takes the
    /// place of another (execve(2)), its environment reads as empty.
    async fn stays(&self, started: Option<Process>) -> Option<Process> {
        let until = Instant::now() + self.config.start_seconds.0;
        loop {
            let process = started.clone().filter(Process::is_alive).or_else(|| self.process())?;
            if Instant::now() >= until {
                return Some(process);
            }
            sleep(LOOK).await;
        }
    }

    fn tail(&self) -> String {
        let output = std::fs::read(&self.output).unwrap_or_default();
        tail(&output)
    }
}
