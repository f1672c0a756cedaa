//! The command line and the environment. A flag beats its variable, both beat the file.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use vigil_program::{LogFormat, LogLevel};

/// A part of the service that may run in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Serves the API and takes in metrics.
    Api,
    /// Carries actions out.
    Worker,
    /// Judges every target whether or not a sample comes.
    Runner,
}

impl Role {
    /// All three.
    pub(crate) const ALL: [Self; 3] = [Self::Api, Self::Worker, Self::Runner];
}

/// Vigil, a self-healing control plane: takes metrics, evaluates policies, has a remediator act, and verifies that it
/// worked.
///
/// Flags beat environment variables, those beat the configuration file, that beats the defaults.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "server", version)]
pub(crate) struct Flags {
    /// Instead of serving.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The configuration file [default: configs/collector.yaml, if it is there]
    #[arg(long = "config", env = "CONFIG_PATH", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where data is kept: sqlite:///./vigil.db (relative), sqlite:////absolute/path.db, sqlite::memory:, or
    /// postgres://user:password@host:5432/database for several replicas [default: sqlite:///./vigil.db]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,

    /// The Redis that carries the queue: redis://host:6379/0, rediss://, redis-cluster://host:port,host:port or
    /// redis-sentinel://host:port,host:port/master. Unset: a queue in this process
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) redis_url: Option<String>,

    /// What this process does [default: api,worker,runner]
    #[arg(long = "role", env = "VIGIL_ROLE", value_name = "ROLE,ROLE", value_delimiter = ',')]
    pub(crate) roles: Option<Vec<Role>>,

    /// The address to listen on. Another one than loopback needs --allow-anonymous [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<String>,

    /// The port to listen on; 0 takes any free one [default: 8000]
    #[arg(long, env = "COLLECTOR_PORT", value_name = "PORT")]
    pub(crate) port: Option<u16>,

    /// Lets anybody who can reach the server act, without keys
    #[arg(long)]
    pub(crate) allow_anonymous: bool,

    /// The remediator, exactly as given, or `dry-run` to carry nothing out
    /// [default: http://127.0.0.1:8081/remediate]
    #[arg(long, env = "REMEDIATOR_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) remediator_url: Option<String>,

    /// Signs every call of the remediator
    #[arg(long, env = "REMEDIATOR_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub(crate) remediator_secret: Option<String>,

    /// The file that holds the secret instead
    #[arg(long, env = "REMEDIATOR_SECRET_FILE", value_name = "FILE", conflicts_with = "remediator_secret")]
    pub(crate) remediator_secret_file: Option<PathBuf>,

    /// What digests of API keys are made with, the same on all replicas. With it every request needs a key
    #[arg(long, env = "VIGIL_KEY_PEPPER", hide_env_values = true, value_name = "SECRET")]
    pub(crate) key_pepper: Option<String>,

    /// The file that holds the pepper instead
    #[arg(long, env = "VIGIL_KEY_PEPPER_FILE", value_name = "FILE", conflicts_with = "key_pepper")]
    pub(crate) key_pepper_file: Option<PathBuf>,

    /// The first API key, an admin's: vgl_<id>_<secret>, the secret of 32 to 128 letters and digits. Made when there is none
    #[arg(long, env = "VIGIL_BOOTSTRAP_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) bootstrap_key: Option<String>,

    /// The file that holds the first key instead
    #[arg(long, env = "VIGIL_BOOTSTRAP_KEY_FILE", value_name = "FILE", conflicts_with = "bootstrap_key")]
    pub(crate) bootstrap_key_file: Option<PathBuf>,

    /// A file of policies; may be given several times [default: configs/policies.yaml, if it is there]
    #[arg(long = "policies", value_name = "FILE")]
    pub(crate) policies: Vec<PathBuf>,

    /// trace, debug, info, warning, error or critical [default: info]
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL")]
    pub(crate) log_level: Option<LogLevel>,

    /// json or text [default: json]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,

    /// Whether /metrics answers: true or false [default: true]
    #[arg(long, env = "METRICS_ENABLED", value_name = "BOOL", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) metrics_enabled: Option<bool>,
}

/// What it does instead of serving.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Checks the configuration, the policies, the database, the queue, the remediator and the server that runs with them:
    /// one line each; the exit status is 0 if all are well. Changes nothing.
    Check {
        /// Only asks the server that runs whether it is ready, as a health check does
        #[arg(long)]
        live: bool,
    },
    /// Prints what a running server was busy with, from its /metrics: requests, latencies, samples, decisions, the queue
    Profile {
        /// For how long it is watched
        #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Where it is [default: where this configuration serves]
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// The API key, where /metrics needs one
        #[arg(long, env = "VIGIL_API_KEY", hide_env_values = true, value_name = "KEY")]
        key: Option<String>,
    },
    /// Makes, lists and revokes API keys in the database. SQLite: while no server has the file
    #[command(subcommand)]
    Keys(KeysCommand),
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KeysCommand {
    /// Makes a key and prints it, once
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// ingest, viewer, operator or admin
        #[arg(long)]
        role: String,
        /// Whose rows it gives access to
        #[arg(long, default_value = "default")]
        tenant: String,
        /// From when on it is refused, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// Prints all keys, without their secrets
    List,
    /// Refuses a key for good, on all replicas within a second
    Revoke {
        /// The part between the underscores
        id: String,
    },
}
