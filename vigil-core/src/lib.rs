#![doc = include_str!("../README.md")]

pub mod action;
pub mod catalog;
pub mod clock;
pub mod episode;
pub mod events;
pub mod invalid;
pub mod metric;
pub mod policy;
pub mod queue;
pub mod random;
pub mod remediator;
pub mod retry;
pub mod settings;
pub mod store;
mod supervisor;
pub mod target;
pub mod task;
pub mod tenant;
