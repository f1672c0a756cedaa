#![doc = include_str!("../README.md")]

pub mod action;
pub mod catalog;
pub mod clock;
mod context;
mod controller;
mod enqueuer;
pub mod episode;
pub mod events;
mod follower;
mod history;
pub mod invalid;
pub mod key;
mod keyring;
mod lanes;
pub mod metric;
pub mod policy;
pub mod queue;
pub mod random;
mod reconciler;
pub mod remediator;
pub mod retry;
mod runner;
mod scribe;
pub mod settings;
pub mod store;
mod store_clock;
mod supervisor;
pub mod target;
pub mod task;
pub mod telemetry;
pub mod tenant;
#[cfg(feature = "testing")]
pub mod testing;
mod turns;
mod verifier;
mod vigil;
mod worker;

pub use catalog::{CatalogError, PolicyCatalog};
pub use keyring::KeyRing;
pub use runner::RunnerStatus;
pub use settings::{ActionLimits, RunnerSettings, Settings};
pub use vigil::{ActionRequest, BuildError, DeadLetterError, RunError, Trial, Vigil, VigilBuilder, Why};
