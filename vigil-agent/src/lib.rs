#![doc = include_str!("../README.md")]

mod agent;
mod buffer;
mod collect;
mod complaints;
mod config;
mod sample;
mod shipper;
mod telemetry;

pub use agent::{Agent, AgentError};
pub use buffer::{Batch, Buffer};
pub use collect::{CheckConfig, CollectorError, HostConfig, ProcessConfig, ScrapeConfig};
pub use config::{Config, ConfigError};
pub use sample::{Sample, Tags};
