//! The closed loop over every Store: what it does when all is well, and what is left when it is killed at any step.
#![allow(clippy::unwrap_used)] // a test that panics has failed

#[macro_use]
mod closed_loop;

mod brake;
mod crash_matrix;
mod evidence;
mod invariants;
mod outages;
mod rate;
mod shared;
mod time;
mod world;
