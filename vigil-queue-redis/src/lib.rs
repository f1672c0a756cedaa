#![doc = include_str!("../README.md")]

mod connection;
mod delivery;
mod error;
mod keys;
mod options;
mod queue;
mod scripts;

pub use error::OpenError;
pub use options::RedisOptions;
pub use queue::RedisQueue;
