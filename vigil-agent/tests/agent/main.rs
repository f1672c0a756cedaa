//! The agent against a hub that is there, away, busy or broken, and against real processes and endpoints.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // tests

mod buffer;
mod hub;
mod measuring;
mod program;
mod real;
mod shipping;
