//! The backends in memory keep their contracts, and the fakes of the feature `testing` do what they say.
#![allow(clippy::unwrap_used)] // a test fails by it

mod catalogs;
mod clocks;
mod fakes;
mod invariants;
mod queue;
mod store;
