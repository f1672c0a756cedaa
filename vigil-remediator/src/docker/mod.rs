//! [`DockerExecutor`]: containers and Compose services, over the Docker Engine API.

use std::time::Duration;

use async_trait::async_trait;
use bollard::errors::Error;
use bollard::models::ContainerConfig;
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, RestartContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use vigil_core::action::ActionType;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};

use crate::executor::{Executor, Prepared, failed, indeterminate, succeeded, unavailable};
use crate::job::Job;

mod compose;
mod look;

pub use look::Member;

/// Where the engine is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerConfig {
    /// The path of its socket.
    #[serde(default = "default_socket")]
    pub socket: String,
}

impl Default for DockerConfig {
    fn default() -> Self {
        Self { socket: default_socket() }
    }
}

fn default_socket() -> String {
    "/var/run/docker.sock".to_owned()
}

/// Acts on containers by their names, and on Compose services as `project/service`.
///
/// **Once per key.** A restart shows in the container's `StartedAt`, a drain in its state, a snapshot in an image that is
/// tagged with the key; a container that was added carries the key as a label, and those to be removed are written down
/// before. While the engine may still be at it, stopping gracefully say, a probe answers that it is in progress.
#[derive(Debug)]
pub struct DockerExecutor {
    socket: String,
}

/// How long a container may take to end, without `params.grace_seconds`: the engine's own default.
const GRACE: u64 = 10;
/// What a call may take longer than the container does.
const SLACK: Duration = Duration::from_secs(5);
/// How long the engine may take to answer what only looks.
const LOOK: Duration = Duration::from_secs(5);

impl DockerExecutor {
    /// One that connects for every call.
    pub fn new(config: DockerConfig) -> Self {
        Self { socket: config.socket }
    }

    /// A connection of its own: on a kept one that the engine just closed nobody could tell whether a call was taken.
    async fn engine(&self) -> Result<Docker, RemediatorError> {
        let engine =
            Docker::connect_with_unix(&self.socket, LOOK.as_secs(), API_DEFAULT_VERSION).map_err(unavailable)?;
        engine.negotiate_version().await.map_err(unavailable)
    }

    /// `None` if there is no such container.
    async fn look(&self, engine: &Docker, name: &str) -> Result<Option<Container>, RemediatorError> {
        match engine.inspect_container(name, None).await {
            Ok(found) => {
                let state = found.state.unwrap_or_default();
                Ok(Some(Container {
                    id: found.id.unwrap_or_default(),
                    started_at: state.started_at.unwrap_or_default(),
                    is_running: state.running.unwrap_or_default(),
                    exit_code: state.exit_code.unwrap_or_default(),
                }))
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn execute_on_container(
        &self,
        job: &Job,
        before: &Value,
        until: Instant,
    ) -> Result<Outcome, RemediatorError> {
        let grace = grace(job);
        let engine = self.engine().await?.with_timeout(until.saturating_duration_since(Instant::now()));
        let id = before["id"].as_str().unwrap_or(&job.object);
        let began = Instant::now();
        let done = match job.action {
            ActionType::RestartService => {
                engine.restart_container(id, Some(RestartContainerOptionsBuilder::new().t(grace).build())).await
            }
            ActionType::DrainPod => {
                engine.stop_container(id, Some(StopContainerOptionsBuilder::new().t(grace).build())).await
            }
            _ => {
                let tag = tag(job);
                let options = CommitContainerOptionsBuilder::new().container(id).repo(SNAPSHOTS).tag(&tag).pause(true);
                engine.commit_container(options.build(), ContainerConfig::default()).await.map(|_| ())
            }
        };
        // Already stopped is what was wanted.
        if let Err(error) = done.or_else(|error| if status(&error) == Some(304) { Ok(()) } else { Err(error) }) {
            return refused(job, error);
        }
        if job.action == ActionType::Snapshot {
            return Ok(succeeded(format!("image {SNAPSHOTS}:{}", tag(job))));
        }
        let now = self.look(&self.engine().await.map_err(indeterminate)?, id).await.map_err(indeterminate)?;
        let took = began.elapsed().as_millis();
        Ok(match now {
            Some(now) if job.action == ActionType::RestartService && !now.is_running => {
                failed(format!("restarted, and it ended again with exit code {}", now.exit_code))
            }
            Some(now) if job.action == ActionType::RestartService => {
                succeeded(format!("restarted within {took} ms, started at {}", now.started_at))
            }
            _ => succeeded(format!("stopped within {took} ms; a restart brings it back")),
        })
    }

    async fn probe_container(&self, job: &Job, before: &Value, since: Duration) -> Result<Probe, RemediatorError> {
        let engine = self.engine().await?;
        if job.action == ActionType::Snapshot {
            let image = format!("{SNAPSHOTS}:{}", tag(job));
            return match engine.inspect_image(&image).await {
                Ok(_) => Ok(Probe::Done(succeeded(format!("image {image}")))),
                Err(error) if status(&error) == Some(404) => Ok(not_done_after(Duration::from_secs(60), since)),
                Err(error) => Err(unavailable(error)),
            };
        }
        let Some(now) = self.look(&engine, before["id"].as_str().unwrap_or(&job.object)).await? else {
            return Ok(Probe::Unknown);
        };
        let window = Duration::from_secs(u64::try_from(grace(job)).unwrap_or(GRACE)) + SLACK;
        let is_restart = job.action == ActionType::RestartService;
        let has_started = before["started_at"].as_str() != Some(now.started_at.as_str());
        Ok(match now.is_running {
            true if is_restart && has_started => {
                Probe::Done(succeeded(format!("started at {}, after it was asked for", now.started_at)))
            }
            false if is_restart && has_started => {
                Probe::Done(failed(format!("restarted, and it ended again with exit code {}", now.exit_code)))
            }
            false if !is_restart => Probe::Done(succeeded("it is stopped")),
            _ => not_done_after(window, since),
        })
    }
}

/// What is looked at.
struct Container {
    id: String,
    started_at: String,
    is_running: bool,
    exit_code: i64,
}

#[async_trait]
impl Executor for DockerExecutor {
    fn kind(&self) -> &'static str {
        "container"
    }

    fn words(&self, object: &str) -> Vec<ActionType> {
        match object.split_once('/') {
            Some((project, service)) if is_name(project) && is_name(service) => {
                vec![ActionType::ScaleUp, ActionType::ScaleDown]
            }
            None if is_name(object) => vec![ActionType::RestartService, ActionType::DrainPod, ActionType::Snapshot],
            _ => Vec::new(),
        }
    }

    fn name(&self, object: &str) -> String {
        object.to_owned()
    }

    async fn prepare(&self, job: &Job) -> Result<Prepared, RemediatorError> {
        if let Err(wrong) = job.whole("grace_seconds", 0..=3600) {
            return Ok(Prepared::Rejected(wrong));
        }
        let engine = self.engine().await?;
        if let Some((project, service)) = job.object.split_once('/') {
            return compose::prepare(&engine, project, service, job).await;
        }
        Ok(match self.look(&engine, &job.object).await? {
            Some(now) => Prepared::Ready(json!({ "id": now.id, "started_at": now.started_at })),
            None => Prepared::Rejected(format!("there is no container '{}'", job.object)),
        })
    }

    async fn execute(&self, job: &Job, before: &Value, until: Instant) -> Result<Outcome, RemediatorError> {
        if job.object.contains('/') {
            let engine = self.engine().await?.with_timeout(until.saturating_duration_since(Instant::now()));
            return compose::execute(&engine, job, before).await;
        }
        self.execute_on_container(job, before, until).await
    }

    async fn probe(&self, job: &Job, before: &Value, since: Duration) -> Result<Probe, RemediatorError> {
        if job.object.contains('/') {
            return compose::probe(&self.engine().await?, job, before, since).await;
        }
        self.probe_container(job, before, since).await
    }

    async fn ping(&self) -> Result<(), RemediatorError> {
        self.engine().await?.ping().await.map(|_| ()).map_err(unavailable)
    }
}

/// Whether the engine takes it for a name. It becomes part of a path: nothing else may.
fn is_name(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_inner)
}

/// The repository of the images that snapshots become.
const SNAPSHOTS: &str = "vigil-snapshot";

/// The key as an image's tag: what may stand in one, at most 128 characters (the reference grammar of Docker's distribution).
fn tag(job: &Job) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' };
    let tag: String = job.key.0.chars().map(allowed).collect();
    let cut = tag.len().saturating_sub(120);
    format!("key-{}", &tag[cut..])
}

fn grace(job: &Job) -> i32 {
    let grace = job.whole("grace_seconds", 0..=3600).ok().flatten().unwrap_or(GRACE);
    i32::try_from(grace).expect("an hour is fewer than 2^31 seconds")
}

fn not_done_after(window: Duration, since: Duration) -> Probe {
    if since < window { Probe::InProgress } else { Probe::NotDone }
}

fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// What an error of a call that acts means. An answer below 500 is a refusal.
fn refused(job: &Job, error: Error) -> Result<Outcome, RemediatorError> {
    match error {
        Error::DockerResponseServerError { status_code: 400..=499, message } => Ok(Outcome::Rejected {
            reason: format!("the engine refuses {} on '{}': {message}", job.action, job.object),
        }),
        Error::DockerResponseServerError { message, .. } => Ok(failed(message)),
        Error::HyperLegacyError { err } if err.is_connect() => Err(unavailable(err)),
        error @ Error::SocketNotFoundError(_) => Err(unavailable(error)),
        error => Err(indeterminate(error)),
    }
}
