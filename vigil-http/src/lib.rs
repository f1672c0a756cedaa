#![doc = include_str!("../README.md")]

mod api;
mod body;
mod config;
mod dto;
mod extract;
mod fields;
mod layers;
mod live;
mod params;
mod problem;
mod remediator;
mod request_id;
mod router;
mod serve;
pub mod simulator;

pub use config::{HttpConfig, Origins};
pub use remediator::{HttpRemediator, HttpRemediatorError, HttpRemediatorOptions, Secret, client_tls, retry_after};
pub use router::{probes, router};
pub use serve::serve;
