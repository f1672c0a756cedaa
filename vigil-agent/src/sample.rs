//! [`Sample`]: what was measured, as the server takes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vigil_core::clock::Timestamp;

/// Names and values of tags.
pub type Tags = BTreeMap<String, String>;

/// One number that was read, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The metric.
    pub name: String,
    /// The number: finite.
    pub value: f64,
    /// What it is of.
    pub tags: Tags,
    /// When it was read.
    pub timestamp: Timestamp,
}

/// A number without a time: a collection has one for all.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The metric.
    pub name: String,
    /// The number.
    pub value: f64,
    /// What it is of, beside the tags of the agent.
    pub tags: Tags,
}

impl Reading {
    pub(crate) fn new(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, tags: Tags::new() }
    }

    pub(crate) fn of(mut self, tag: &str, value: impl Into<String>) -> Self {
        self.tags.insert(tag.to_owned(), value.into());
        self
    }

    pub(crate) fn with(mut self, tags: &Tags) -> Self {
        self.tags.extend(tags.iter().map(|(name, value)| (name.clone(), value.clone())));
        self
    }
}
