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

/// A number, before it has the tags of the agent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) tags: Tags,
    pub(crate) at: Timestamp,
}

impl Reading {
    pub(crate) fn new(name: impl Into<String>, value: f64, at: Timestamp) -> Self {
        Self { name: name.into(), value, tags: Tags::new(), at }
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

/// The tags of what can be healed by itself: the server takes the tag `target` for what the samples are about. It is what is
/// configured, else the tag `service`, else the name.
pub(crate) fn named(tag: &str, name: &str, target: Option<&str>, tags: &Tags) -> Tags {
    let given = target.or_else(|| tags.get("target").or_else(|| tags.get("service")).map(String::as_str));
    let mut all = tags.clone();
    all.insert(tag.to_owned(), name.to_owned());
    all.insert("target".to_owned(), given.unwrap_or(name).to_owned());
    all.retain(|_, value| !value.is_empty());
    all
}
