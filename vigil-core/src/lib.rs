#![doc = include_str!("../README.md")]

pub mod action;
pub mod clock;
pub mod episode;
pub mod invalid;
pub mod metric;
pub mod policy;
pub mod queue;
pub mod random;
pub mod remediator;
pub mod store;
pub mod target;
pub mod task;
pub mod tenant;
