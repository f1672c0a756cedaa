#![doc = include_str!("../README.md")]

mod actions;
mod admission;
mod audit;
mod brakes;
mod connections;
mod digest;
mod episodes;
mod error;
mod idempotency;
mod inspect;
mod keys;
mod lease;
mod listener;
mod metrics;
mod migrate;
mod options;
mod partitions;
#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that panics has failed
mod plans;
mod policies;
mod retention;
mod row;
mod scopes;
mod series;
mod store;
mod time;
mod writer;

pub use error::OpenError;
pub use inspect::Inspection;
pub use options::PostgresOptions;
pub use store::PostgresStore;
