//! [`Config`]: the configuration file of the service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use vigil_core::action::ActionType;
use vigil_core::clock::Clock;
use vigil_core::remediator::Route;
use vigil_core::target::TargetPattern;
use vigil_program::{FileError, parse_yaml, read_yaml};

use crate::executor::Executor;
use crate::routes::{Routes, Rule, UnknownExecutor};
use crate::seconds::Seconds;
use crate::{Limits, service};

/// The file as written: every key optional, an unknown one is an error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it listens. 127.0.0.1:8081.
    #[serde(default = "loopback")]
    pub listen: SocketAddr,
    /// The file in which keys are remembered. `./vigil-remediator.redb`.
    #[serde(default = "ledger")]
    pub ledger: PathBuf,
    /// How long keys are remembered: at least an hour. 7.
    #[serde(default = "a_week")]
    pub keep_keys_days: f64,
    /// How many may act at a time. 16.
    #[serde(default = "sixteen")]
    pub max_in_flight: usize,
    /// After what time a request that is still worked on is answered with "in progress". 20.
    #[serde(default = "twenty_seconds")]
    pub answer_within_seconds: Seconds,
    /// How long what is worked on may take after the program was asked to stop. 30.
    #[serde(default = "thirty_seconds")]
    pub drain_seconds: Seconds,
    /// What acts, by a name of your choice.
    #[serde(default)]
    pub executors: BTreeMap<String, ExecutorConfig>,
    /// Who takes what: the first that matches.
    #[serde(default)]
    pub routes: Vec<RouteConfig>,
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8081))
}

fn ledger() -> PathBuf {
    PathBuf::from("./vigil-remediator.redb")
}

fn a_week() -> f64 {
    7.0
}

fn sixteen() -> usize {
    16
}

fn twenty_seconds() -> Seconds {
    Seconds(Duration::from_secs(20))
}

fn thirty_seconds() -> Seconds {
    Seconds(Duration::from_secs(30))
}

/// One executor, by its kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutorConfig {
    /// Supervised processes and commands.
    #[cfg(feature = "process")]
    Process(crate::process::ProcessConfig),
    /// Units.
    #[cfg(feature = "systemd")]
    Systemd(crate::systemd::SystemdConfig),
    /// Containers and Compose services.
    #[cfg(feature = "docker")]
    Docker(crate::docker::DockerConfig),
    /// Workloads, pods, nodes and volumes.
    #[cfg(feature = "kubernetes")]
    Kubernetes(crate::kubernetes::KubernetesConfig),
    /// Somebody else's service.
    #[cfg(feature = "webhook")]
    Webhook(crate::webhook::WebhookConfig),
}

/// One route.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Which targets: a pattern, as in policies. All without it.
    pub target: Option<String>,
    /// Which words. All without it.
    #[serde(default)]
    pub actions: Vec<ActionType>,
    /// The name of the executor.
    pub executor: String,
    /// What the target is called there; `{target}` stands for the target. The target itself without it.
    pub object: Option<String>,
    /// Only looks, and says what it would do.
    #[serde(default)]
    pub dry_run: bool,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value makes no sense.
    #[error("{key} {wrong}")]
    Value {
        /// Which.
        key: String,
        /// What is wrong with it.
        wrong: String,
    },
    /// An executor cannot be set up.
    #[error("executors.{name} cannot be set up")]
    Executor {
        /// Which.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A route names none that there is.
    #[error("routes do not fit the executors")]
    Route(#[from] UnknownExecutor),
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError::File`], [`ConfigError::Value`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::checked(read_yaml(path)?)
    }

    /// Reads a text; `path` is for errors.
    ///
    /// # Errors
    /// [`ConfigError::File`], [`ConfigError::Value`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::checked(parse_yaml(text, path)?)
    }

    fn checked(config: Self) -> Result<Self, ConfigError> {
        let wrong = |key: &str, wrong: &str| Err(ConfigError::Value { key: key.to_owned(), wrong: wrong.to_owned() });
        if !(1.0 / 24.0..=3650.0).contains(&config.keep_keys_days) {
            return wrong("keep_keys_days", "must be at least an hour (0.042) and at most 3650");
        }
        if config.max_in_flight == 0 {
            return wrong("max_in_flight", "must be at least 1");
        }
        Ok(config)
    }

    /// How much is done at a time, and for how long it is remembered.
    pub fn limits(&self) -> Limits {
        Limits {
            in_flight: self.max_in_flight,
            keep_keys: Duration::from_secs_f64(self.keep_keys_days * 86_400.0),
            ..Limits::default()
        }
    }

    /// Sets up the executors and routes. Nothing is started or acted on; the second part is what must be started before.
    ///
    /// # Errors
    /// [`ConfigError`], naming the executor or route.
    pub async fn routes(&self, clock: Arc<dyn Clock>) -> Result<(Routes, service::Startup), ConfigError> {
        let (mut routes, mut startup) = (Routes::new(), service::Startup::default());
        for (name, config) in &self.executors {
            let executor: Result<Arc<dyn Executor>, Box<dyn std::error::Error + Send + Sync>> = match config.clone() {
                #[cfg(feature = "process")]
                ExecutorConfig::Process(config) => crate::process::ProcessExecutor::new(config)
                    .map(|executor| {
                        let executor = Arc::new(executor);
                        startup.processes.push((name.clone(), executor.clone()));
                        executor as Arc<dyn Executor>
                    })
                    .map_err(Into::into),
                #[cfg(feature = "systemd")]
                ExecutorConfig::Systemd(config) => Ok(Arc::new(crate::systemd::SystemdExecutor::new(config))),
                #[cfg(feature = "docker")]
                ExecutorConfig::Docker(config) => Ok(Arc::new(crate::docker::DockerExecutor::new(config))),
                #[cfg(feature = "kubernetes")]
                ExecutorConfig::Kubernetes(config) => crate::kubernetes::KubernetesExecutor::new(config)
                    .await
                    .map(|executor| Arc::new(executor) as Arc<dyn Executor>)
                    .map_err(Into::into),
                #[cfg(feature = "webhook")]
                ExecutorConfig::Webhook(config) => crate::webhook::WebhookExecutor::new(config, clock.clone())
                    .map(|executor| Arc::new(executor) as Arc<dyn Executor>)
                    .map_err(Into::into),
            };
            let executor = executor.map_err(|source| ConfigError::Executor { name: name.clone(), source })?;
            routes = routes.with_executor(name, executor);
        }
        for (number, route) in self.routes.iter().enumerate() {
            routes = routes.with_rule(route.rule(number + 1)?)?;
        }
        Ok((routes, startup))
    }
}

impl RouteConfig {
    fn rule(&self, number: usize) -> Result<Rule, ConfigError> {
        let mut route = Route::any().with_actions(self.actions.iter().copied());
        if let Some(target) = &self.target {
            let pattern = TargetPattern::new(target).map_err(|error| ConfigError::Value {
                key: format!("routes[{number}].target"),
                wrong: error.to_string(),
            })?;
            route = route.with_targets(pattern);
        }
        Ok(Rule { route, executor: self.executor.clone(), object: self.object.clone(), dry_run: self.dry_run })
    }
}
