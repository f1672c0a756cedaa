//! [`Config`]: the configuration file of the agent.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vigil_program::{FileError, parse_yaml, read_yaml};

use crate::collect::{CheckConfig, HostConfig, ProcessConfig, ScrapeConfig};
use crate::sample::Tags;

/// The file as written: every key optional, an unknown one is an error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the server is. `http://127.0.0.1:8000`.
    pub server: String,
    /// The file that holds the API key, sent as `X-API-Key`.
    pub api_key_file: Option<PathBuf>,
    /// How often everything is measured. 10.
    pub interval_seconds: f64,
    /// Tags of all samples. `host` is this machine's name unless it is set here; an empty one is left out.
    pub tags: Tags,
    /// What is measured of the host.
    pub host: HostConfig,
    /// Which processes are watched.
    pub processes: Vec<ProcessConfig>,
    /// Which services are asked whether they are well.
    pub checks: Vec<CheckConfig>,
    /// Which metrics of others are sent on.
    pub scrape: Vec<ScrapeConfig>,
    /// Where samples wait for the server. `./vigil-agent-buffer`.
    pub buffer: PathBuf,
    /// How large the buffer may be: the oldest samples are dropped first. 64.
    pub buffer_mb: f64,
    /// How many batches a second are sent when there is a backlog. 10.
    pub catch_up_per_second: f64,
    /// Where `/health` and `/metrics` are served. 127.0.0.1:8082.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: "http://127.0.0.1:8000".to_owned(),
            api_key_file: None,
            interval_seconds: 10.0,
            tags: Tags::new(),
            host: HostConfig::default(),
            processes: Vec::new(),
            checks: Vec::new(),
            scrape: Vec::new(),
            buffer: PathBuf::from("./vigil-agent-buffer"),
            buffer_mb: 64.0,
            catch_up_per_second: 10.0,
            listen: SocketAddr::from(([127, 0, 0, 1], 8082)),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value makes no sense.
    #[error("{key} must be {must}")]
    Value {
        /// Which.
        key: &'static str,
        /// What it must be.
        must: &'static str,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError::File`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Ok(read_yaml(path)?)
    }

    /// Reads a text; `path` is for errors.
    ///
    /// # Errors
    /// [`ConfigError::File`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Ok(parse_yaml(text, path)?)
    }

    /// Checks what a type alone cannot, after flags and environment had their say.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, must| Err(ConfigError::Value { key, must });
        if !(0.1..=86_400.0).contains(&self.interval_seconds) {
            return wrong("interval_seconds", "from 0.1 to 86400");
        }
        if !(0.01..=1_000_000.0).contains(&self.buffer_mb) {
            return wrong("buffer_mb", "from 0.01 to 1000000");
        }
        if !(0.1..=1000.0).contains(&self.catch_up_per_second) {
            return wrong("catch_up_per_second", "from 0.1 to 1000");
        }
        Ok(())
    }
}
