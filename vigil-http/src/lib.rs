#![doc = include_str!("../README.md")]

mod api;
mod batch;
mod body;
mod client;
mod config;
mod crowd;
#[cfg(feature = "docs")]
mod docs;
mod dto;
mod extract;
mod fields;
mod guard;
mod layers;
mod live;
mod openapi;
mod params;
mod plain;
mod problem;
mod remediator;
mod request_id;
mod router;
mod schema;
mod serve;
pub mod simulator;
mod structure;
mod tls;

pub use client::ApiClient;
pub use config::{HttpConfig, Origins};
pub use guard::{Credential, Limits, Peer, Pepper, Rate, TenantLimits};
pub use remediator::{HttpRemediator, HttpRemediatorError, HttpRemediatorOptions, Secret, client_tls, retry_after};
pub use router::{Route, probes, router, routes};
pub use serve::serve;
pub use tls::{Tls, TlsError};
