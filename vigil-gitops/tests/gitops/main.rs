//! The sources, each against fakes that say what a test says, and against the real thing where it is there.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // tests

mod common;
#[cfg(feature = "compose")]
mod compose;
mod config;
mod git;
mod heals;
mod killed;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod policies;
mod program;
#[cfg(feature = "units")]
mod units;
mod world;
