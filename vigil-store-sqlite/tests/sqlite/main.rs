//! The SQLite store: the suite that every Store passes, and what only a file can do.

#![allow(clippy::unwrap_used)] // a test that panics has failed

mod chunks;
mod conformance;
mod durability;
mod foreign;
mod full_disk;
mod open;
mod upgrade;
