#![doc = include_str!("../README.md")]

mod actions;
mod admission;
mod audit;
mod connections;
mod digest;
mod episodes;
mod error;
mod idempotency;
mod lease;
mod listener;
mod metrics;
mod migrate;
mod options;
mod partitions;
mod policies;
mod retention;
mod row;
mod scopes;
mod store;
mod time;
mod writer;

pub use error::OpenError;
pub use options::PostgresOptions;
pub use store::PostgresStore;
