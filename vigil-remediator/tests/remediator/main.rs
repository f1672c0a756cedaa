//! The remediator against real processes, and against scripted servers where the real ones need a machine of their own:
//! `scripts/test-docker`, `scripts/test-systemd` and `scripts/test-kubernetes` run the same crate against those.
#![allow(clippy::unwrap_used, missing_docs)]

mod bench;
mod check;
mod config;
mod deliveries;
mod docker;
mod envelope;
mod kubernetes;
mod process;
mod program;
mod service;
mod systemd;
mod webhook;
