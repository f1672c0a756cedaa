//! [`Command`]: a program that carries out one word.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};

use super::proc::{Process, with_variable};
use super::run::{Broken, KEPT, bare, run_noting, tail};
use super::{KEY, argv};
use crate::executor::{failed, indeterminate, succeeded};
use crate::job::Job;
use crate::seconds::Seconds;

/// A program and its bounds. It is told what it is for by its environment, never by its arguments: `VIGIL_TARGET`,
/// `VIGIL_ACTION`, `VIGIL_SEVERITY`, `VIGIL_TENANT`, `VIGIL_POLICY`, `VIGIL_ATTEMPT`, `VIGIL_IDEMPOTENCY_KEY`, and
/// `VIGIL_PARAMS` as JSON.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// The program, by its absolute path, and its arguments. Exit code 0 is success.
    #[serde(deserialize_with = "argv")]
    pub command: Vec<String>,
    /// Says what became of a key whose end nobody saw: 0 done, 1 not done, anything else unknown. Without it nobody knows.
    pub probe: Option<Probing>,
    /// Its environment, beside `PATH` and the above.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where it starts.
    pub working_folder: Option<PathBuf>,
    /// How long it may take; then it is killed, with all it started. 60.
    #[serde(default = "a_minute")]
    pub time_limit_seconds: Seconds,
    /// Exit codes after which another attempt may do better. 75 (EX_TEMPFAIL of sysexits.h).
    #[serde(default = "temporary")]
    pub retryable_exit_codes: Vec<i32>,
}

/// An argv of a probe.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Probing(#[serde(deserialize_with = "argv")] Vec<String>);

fn a_minute() -> Seconds {
    Seconds(Duration::from_secs(60))
}

fn temporary() -> Vec<i32> {
    vec![75]
}

/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub(super) struct Command {
    config: CommandConfig,
    /// Holds the process that was started last for the object, and for which key.
    started: PathBuf,
}

impl Command {
    pub(super) fn new(config: CommandConfig, started: PathBuf) -> Self {
        Self { config, started }
    }

    pub(super) async fn run(&self, job: &Job, until: Instant) -> Result<Outcome, RemediatorError> {
        let until = until.min(Instant::now() + self.config.time_limit_seconds.0);
        let program = &self.config.command[0];
        let (status, output) = match self.spawn(&self.config.command, job, until, Some(&self.started)).await {
            Ok(ended) => ended,
            Err(Broken::NotStarted(error)) => return Ok(failed(format!("{program} cannot be started: {error}"))),
            Err(Broken::Killed) => return Err(indeterminate(format!("{program} took too long and was killed"))),
        };
        let said = if output.is_empty() { String::new() } else { format!(": {output}") };
        Ok(match status.code() {
            Some(0) => succeeded(format!("{program} succeeded{said}")),
            Some(code) => Outcome::Failed {
                reason: format!("{program} ended with exit code {code}{said}"),
                retryable: self.config.retryable_exit_codes.contains(&code),
            },
            None => failed(format!("{program} was ended by a signal{said}")),
        })
    }

    pub(super) async fn probe(&self, job: &Job, since: Duration) -> Probe {
        if let Some(leader) = self.leader(job) {
            // Whoever would have ended it died before its time was over.
            if since < self.config.time_limit_seconds.0 || !leader.end().await {
                return Probe::InProgress;
            }
        }
        let Some(Probing(argv)) = &self.config.probe else { return Probe::Unknown };
        match self.spawn(argv, job, Instant::now() + PROBE, None).await {
            Ok((status, output)) if status.code() == Some(0) => {
                Probe::Done(succeeded(format!("by its probe: {output}")))
            }
            Ok((status, _)) if status.code() == Some(1) => Probe::NotDone,
            _ => Probe::Unknown,
        }
    }

    /// The command of a key, while it runs. What it left running on purpose is not it, and may stay.
    fn leader(&self, job: &Job) -> Option<Process> {
        match Process::started(&self.started) {
            Some((leader, Some(key))) if key == job.key.0 => leader.is_alive().then_some(leader),
            // This program died before it wrote it down.
            _ => with_variable(KEY, &job.key.0).into_iter().find(Process::leads),
        }
    }

    async fn spawn(
        &self,
        argv: &[String],
        job: &Job,
        until: Instant,
        started: Option<&Path>,
    ) -> Result<(ExitStatus, String), Broken> {
        let mut command = bare(argv, &self.config.env, self.config.working_folder.as_deref());
        command
            .env("VIGIL_TARGET", job.target.as_str())
            .env("VIGIL_ACTION", job.action.as_str())
            .env("VIGIL_SEVERITY", job.severity.as_str())
            .env("VIGIL_TENANT", job.tenant.to_string())
            .env("VIGIL_POLICY", job.policy_name.as_deref().unwrap_or_default())
            .env("VIGIL_ATTEMPT", job.attempt.to_string())
            .env("VIGIL_PARAMS", Value::Object(job.params.clone()).to_string())
            .env(KEY, &job.key.0);
        let note = |pid| {
            if let (Some(file), Some(process)) = (started, Process::of(pid))
                && let Err(error) = process.remember(file, Some(&job.key.0))
            {
                tracing::warn!(%error, file = %file.display(), "what was started cannot be written down");
            }
        };
        let mut ended = run_noting(command, KEPT, until, note).await?;
        ended.stdout.append(&mut ended.stderr);
        Ok((ended.status, tail(&ended.stdout)))
    }
}
