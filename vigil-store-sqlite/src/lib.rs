#![doc = include_str!("../README.md")]

mod actions;
mod admission;
mod audit;
mod brakes;
mod episodes;
mod error;
mod inspect;
mod keys;
mod metrics;
mod migrate;
mod options;
#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that panics has failed
mod plans;
mod policies;
mod retention;
mod row;
mod scopes;
mod series;
mod store;
mod writer;

pub use error::OpenError;
pub use inspect::Inspection;
pub use options::SqliteOptions;
pub use store::SqliteStore;
