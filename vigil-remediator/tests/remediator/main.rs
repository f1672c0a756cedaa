//! The remediator against real processes, and against scripted servers where the real ones need a machine of their own:
//! `scripts/test-docker`, `scripts/test-systemd` and `scripts/test-kubernetes` run the same crate against those.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, clippy::type_complexity)] // tests
#![allow(clippy::disallowed_methods)] // a test's environment says where its servers are, and its runtime ends its tasks

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
mod unfinished;
mod webhook;
