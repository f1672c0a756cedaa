#![doc = include_str!("../README.md")]
// Some of what the executors share has no use without them.
#![cfg_attr(
    not(all(
        feature = "process",
        feature = "systemd",
        feature = "docker",
        feature = "kubernetes",
        feature = "webhook",
        feature = "service"
    )),
    allow(unused)
)]

#[cfg(feature = "docker")]
pub mod docker;
mod envelope;
mod executor;
mod flight;
mod job;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
mod ledger;
#[cfg(feature = "process")]
pub mod process;
mod routes;
mod seconds;
#[cfg(feature = "service")]
pub mod service;
#[cfg(feature = "systemd")]
pub mod systemd;
mod telemetry;
#[cfg(feature = "webhook")]
pub mod webhook;

pub use envelope::{Envelope, Limits};
pub use executor::{Executor, Prepared};
pub use job::Job;
pub use ledger::{Ledger, LedgerError};
pub use routes::{Handling, Routes, Rule, UnknownExecutor};
pub use seconds::Seconds;
