//! The Redis queue: the suite that every Queue passes, and what only a server that is shared can do.

#![allow(clippy::unwrap_used)] // a test that panics has failed

mod conformance;
mod foreign;
mod high_availability;
mod losses;
mod outages;
mod server;
