//! [`ComposeSource`]: Docker Compose files, and the containers of their project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, de};
use serde_json::json;
use tokio::time::Instant;
use vigil_core::remediator::{Outcome, RemediatorError};
use vigil_program::chain;
use vigil_remediator::docker::{DockerConfig, DockerExecutor, Member};
use vigil_remediator::process::{Broken, KEPT, bare, run, tail};
use vigil_remediator::{Executor, Seconds};

use crate::declaration::{Comparison, Item, ItemKey, ItemState};
use crate::diff::{diff, missing};
use crate::pointer::Ignore;
use crate::source::{Source, SourceError};

mod project;

use project::Service;

/// Which files, and of which project.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComposeConfig {
    /// The files, each laid over those before it; without them the first of `compose.yaml`, `compose.yml`, `docker-compose.yaml` and
    /// `docker-compose.yml` that is there.
    #[serde(default, deserialize_with = "names")]
    pub files: Vec<String>,
    /// The project, as in `docker compose -p`.
    #[serde(deserialize_with = "project_name")]
    pub project: String,
    /// The Compose command, version 1 or 2. `[docker, compose]`.
    #[serde(default = "docker_compose", deserialize_with = "command")]
    pub command: Vec<String>,
    /// The path of the engine's socket.
    #[serde(default = "socket")]
    pub socket: String,
    /// The environment of the command, beside `PATH` and `DOCKER_HOST`: what the files interpolate, `COMPOSE_PROFILES`, or `HOME`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long a heal may take; then it is killed. 120.
    #[serde(default = "two_minutes")]
    pub time_limit_seconds: Seconds,
}

fn docker_compose() -> Vec<String> {
    vec!["docker".to_owned(), "compose".to_owned()]
}

fn socket() -> String {
    DockerConfig::default().socket
}

fn two_minutes() -> Seconds {
    Seconds(Duration::from_secs(120))
}

/// They become arguments, and lead to nothing outside of the source.
fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let files = Vec::<String>::deserialize(deserializer)?;
    let is_within = |file: &String| {
        let is_plain = |part| matches!(part, std::path::Component::Normal(_));
        !file.is_empty() && !file.starts_with('-') && Path::new(file).components().all(is_plain)
    };
    match files.iter().find(|file| !is_within(file)) {
        Some(file) => Err(de::Error::custom(format!("'{file}' is no file within the source"))),
        None => Ok(files),
    }
}

/// As Compose takes it.
fn project_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if name.is_empty() || name.starts_with(['-', '_']) || !name.chars().all(is_plain) {
        return Err(de::Error::custom(
            "a project has lower-case letters, digits, - and _, and begins with neither of the last two",
        ));
    }
    Ok(name)
}

fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let argv = Vec::<String>::deserialize(deserializer)?;
    match argv.first() {
        Some(program) if !program.is_empty() => Ok(argv),
        _ => Err(de::Error::custom("a command is a list that begins with a program")),
    }
}

impl ComposeConfig {
    fn argv(&self, files: &[String], rest: &[&str]) -> Vec<String> {
        let files = files.iter().flat_map(|file| ["-f", file]);
        let arguments = files.chain(["-p", &self.project]).chain(rest.iter().copied());
        self.command.iter().map(String::as_str).chain(arguments).map(str::to_owned).collect()
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let mut all = self.env.clone();
        all.entry("DOCKER_HOST".to_owned()).or_insert_with(|| format!("unix://{}", self.socket));
        all
    }
}

/// Compares the services of a Compose project with its containers, and heals by `up` of one service.
///
/// What the files mean is asked of the Compose command itself (`config`), so variables, `extends` and overrides count; its environment
/// is bare. Of a service `/image`, `/replicas` and `/running` are compared. A service with the label `vigil.io/reconcile: disabled`, declared
/// or live, is left alone; one whose container is meant to end after its work can ignore `/running`.
#[derive(Debug)]
pub struct ComposeSource {
    config: ComposeConfig,
    engine: DockerExecutor,
    ignored: Vec<Ignore>,
}

/// What its items are called.
const KIND: &str = "service";
/// Asks to be left alone, if it is `disabled`.
const RECONCILE: &str = "vigil.io/reconcile";
/// How long the command may take to print what the files mean.
const LOOK: Duration = Duration::from_secs(30);
/// What the files are called if nobody says, the preferred one first.
const FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

impl ComposeSource {
    /// One that connects for every call, and takes no notice of what is `ignored`.
    pub fn new(config: ComposeConfig, ignored: Vec<Ignore>) -> Self {
        let engine = DockerExecutor::new(DockerConfig { socket: config.socket.clone() });
        Self { config, engine, ignored }
    }

    /// The folder that the command runs in, and the files there.
    fn files(&self, root: &Path) -> Result<(PathBuf, Vec<String>), SourceError> {
        let read = |error| SourceError::Read { root: root.to_owned(), source: error };
        if std::fs::metadata(root).map_err(read)?.is_file() {
            let folder = root.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let file = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok((folder.to_owned(), vec![file]));
        }
        if !self.config.files.is_empty() {
            return Ok((root.to_owned(), self.config.files.clone()));
        }
        let found = FILES.iter().find(|file| root.join(file).exists());
        let found =
            found.ok_or_else(|| read(std::io::Error::other(format!("there is none of {}", FILES.join(", ")))))?;
        Ok((root.to_owned(), vec![(*found).to_owned()]))
    }

    async fn state(&self, service: &Service, members: &[Member]) -> ItemState {
        if service.is_suspended {
            return suspended("declared");
        }
        let members: Vec<&Member> = members.iter().filter(|member| member.service == service.name).collect();
        if members.iter().any(|member| asks_to_be_left_alone(member)) {
            return suspended("live");
        }
        let image = match self.image(service, &members).await {
            Ok(image) => image,
            Err(error) => return ItemState::Unknown(chain(&error)),
        };
        let declared = json!({ "image": service.image, "replicas": service.replicas, "running": true });
        if members.is_empty() && service.replicas > 0 {
            return ItemState::Drifted(missing(&declared));
        }
        let stopped = members.iter().find(|member| !matches!(&*member.state, "running" | "restarting"));
        let live = json!({ "image": image, "replicas": members.len(), "running": stopped.is_none() });
        let key = ItemKey::new(KIND, &self.config.project, &service.name);
        let Some(mut drift) = diff(&declared, &live, &Ignore::pointers_of(&self.ignored, &key)) else {
            return ItemState::Same;
        };
        if let Some(stopped) = stopped
            && drift.summary.starts_with("/running")
        {
            drift.summary = format!("{} is {}, declared running", stopped.name, stopped.state);
        }
        ItemState::Drifted(drift)
    }

    /// The image that lives, by the name that is declared if it is that one.
    async fn image(&self, service: &Service, members: &[&Member]) -> Result<Option<String>, RemediatorError> {
        let Some(declared) = &service.image else { return Ok(None) };
        let id = self.engine.image_id(declared).await?;
        let is_declared = |member: &&&Member| match &id {
            Some(id) => member.image_id == *id,
            None => full(&member.image) == full(declared),
        };
        Ok(match members.iter().find(|member| !is_declared(member)) {
            // The name may have been given to another image since.
            Some(other) if full(&other.image) == full(declared) => Some(other.image_id.clone()),
            Some(other) => Some(other.image.clone()),
            None => Some(declared.clone()),
        })
    }

    async fn up(&self, folder: &Path, files: &[String], service: &Service) -> Result<Outcome, RemediatorError> {
        let scale = format!("{}={}", service.name, service.replicas);
        let argv = self.config.argv(files, &["up", "-d", "--no-deps", "--scale", &scale, &service.name]);
        let until = Instant::now() + self.config.time_limit_seconds.0;
        let ended = match run(bare(&argv, &self.config.environment(), Some(folder)), KEPT, until).await {
            Ok(ended) => ended,
            Err(Broken::NotStarted(error)) => return Err(RemediatorError::Unavailable(error.into())),
            Err(killed @ Broken::Killed) => return Err(RemediatorError::Indeterminate(killed.into())),
        };
        let said = tail(&[ended.stdout, ended.stderr].concat());
        Ok(match ended.status.code() {
            Some(0) => Outcome::Succeeded { details: Some(format!("up --scale {scale}: {said}")) },
            _ => Outcome::Failed {
                reason: format!("up --scale {scale} ended with {}: {said}", ended.status),
                retryable: false,
            },
        })
    }
}

#[async_trait]
impl Source for ComposeSource {
    async fn compare(&self, root: &Path) -> Result<Comparison, SourceError> {
        let (folder, files) = self.files(root)?;
        let services = match project::read(&self.config, &folder, &files).await? {
            Ok(services) => services,
            Err(problem) => return Ok(Comparison { items: Vec::new(), problems: vec![problem] }),
        };
        let members = self.engine.members(&self.config.project).await;
        let members = members.map_err(|error| SourceError::away("the Docker engine", error))?;
        let mut items = Vec::new();
        for service in services {
            let state = self.state(&service, &members).await;
            let Service { name, origin, .. } = service;
            items.push(Item { kind: KIND.to_owned(), namespace: self.config.project.clone(), name, origin, state });
        }
        Ok(Comparison { items, problems: Vec::new() })
    }

    async fn heal(&self, root: &Path, item: &ItemKey) -> Result<Outcome, RemediatorError> {
        let unavailable = |error: SourceError| RemediatorError::Unavailable(error.into());
        let (folder, files) = self.files(root).map_err(unavailable)?;
        let services = match project::read(&self.config, &folder, &files).await.map_err(unavailable)? {
            Ok(services) => services,
            Err(problem) => return Ok(Outcome::Rejected { reason: problem.to_string() }),
        };
        let is_it = |service: &&Service| *item == ItemKey::new(KIND, &self.config.project, &service.name);
        let Some(service) = services.iter().find(is_it) else {
            return Ok(Outcome::Rejected { reason: format!("{item} is not declared any more") });
        };
        let members = self.engine.members(&self.config.project).await?;
        let is_asked = members.iter().any(|member| member.service == service.name && asks_to_be_left_alone(member));
        if service.is_suspended || is_asked {
            return Ok(Outcome::Rejected { reason: format!("a label of {item} asks to leave it alone") });
        }
        self.up(&folder, &files, service).await
    }

    async fn ping(&self) -> Result<(), SourceError> {
        self.engine.ping().await.map_err(|error| SourceError::away("the Docker engine", error))
    }
}

fn asks_to_be_left_alone(member: &Member) -> bool {
    member.labels.get(RECONCILE).is_some_and(|value| value == "disabled")
}

fn suspended(which: &str) -> ItemState {
    ItemState::Suspended(format!("the {which} service has the label {RECONCILE}: disabled"))
}

/// A reference with all that it may leave out.
fn full(reference: &str) -> String {
    let (before, after) = reference.split_once('/').unwrap_or(("", reference));
    // A first part is a registry if it could not be the name of a user.
    let is_registry = before.contains(['.', ':']) || before == "localhost";
    let path = match (is_registry, before, after) {
        (true, ..) => reference.to_owned(),
        (false, "", after) => format!("docker.io/library/{after}"),
        (false, ..) => format!("docker.io/{reference}"),
    };
    let last = path.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) { path } else { format!("{path}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_the_same_in_every_spelling() {
        for (short, long) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1", "docker.io/library/nginx:1"),
            ("me/web", "docker.io/me/web:latest"),
            ("docker.io/library/nginx", "docker.io/library/nginx:latest"),
            ("localhost:5000/web", "localhost:5000/web:latest"),
            ("web@sha256:00", "docker.io/library/web@sha256:00"),
        ] {
            assert_eq!(full(short), long);
        }
    }
}
