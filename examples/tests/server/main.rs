//! The example server as a process: its environment, the loop over real HTTP, and kill -9 under load.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // tests run processes, spawn clients and read their own knobs

mod abuse;
mod chaos;
mod check;
mod cluster;
mod environment;
mod healing;
mod keys;
mod policies;
mod process;
mod replicas;
