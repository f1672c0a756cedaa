//! The handlers, one file for each group of endpoints.

pub(crate) mod actions;
pub(crate) mod audit;
pub(crate) mod brake;
pub(crate) mod document;
pub(crate) mod episodes;
pub(crate) mod evaluate;
pub(crate) mod health;
pub(crate) mod ingest;
pub(crate) mod keys;
pub(crate) mod letters;
pub(crate) mod policies;
pub(crate) mod queue;
pub(crate) mod series;
pub(crate) mod settings;
pub(crate) mod simulator;
pub(crate) mod why;
