//! The [`Executor`] seam: what knows how to act on one kind of thing.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::Instant;
use vigil_core::action::ActionType;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};

use crate::job::Job;

/// Acts on one kind of thing. The [`Envelope`](crate::Envelope) around it decides whether and how often.
///
/// # Contract
/// An action happens in two steps, between which the envelope commits to disk what the first one answered:
///
/// 1. [`prepare`](Self::prepare) only reads: is there such a thing, may this be done to it, and what does it look like now?
/// 2. [`execute`](Self::execute) acts, once per commit.
///
/// If the program dies in between or within `execute`, [`probe`](Self::probe) compares the thing as it is now with what `prepare`
/// saw, and so tells whether the effect came about. An executor that cannot tell says [`Probe::Unknown`]: metrics decide then.
///
/// What was certainly not done, or only in part, is executed again under its key with what the first `prepare` saw: `execute`
/// then completes it. The envelope calls `execute` for one job on an object at a time, and never again under a key whose outcome is final.
///
/// # Cancel safety
/// A dropped `execute` may or may not have had its effect: the envelope probes.
///
/// # Errors
/// [`RemediatorError::Unavailable`] and [`RemediatorError::Throttled`] promise that nothing was done, from `execute` too;
/// whatever may have been done and cannot be known is [`RemediatorError::Indeterminate`].
#[async_trait]
pub trait Executor: fmt::Debug + Send + Sync + 'static {
    /// What is done to, for people: "systemd unit", say.
    fn kind(&self) -> &'static str;

    /// The words that mean something on an object, whether it exists or not.
    fn words(&self, object: &str) -> Vec<ActionType>;

    /// The one name of an object that may be written in several ways: what is worked on is told apart by it.
    fn name(&self, object: &str) -> String;

    /// Looks at the object, changes nothing, and answers what `probe` needs to tell later whether anything was done.
    async fn prepare(&self, job: &Job) -> Result<Prepared, RemediatorError>;

    /// Does it, and waits for the result until `until`.
    async fn execute(&self, job: &Job, before: &Value, until: Instant) -> Result<Outcome, RemediatorError>;

    /// Says what became of a job that was committed `since` ago and whose end nobody saw.
    async fn probe(&self, job: &Job, before: &Value, since: Duration) -> Result<Probe, RemediatorError>;

    /// Whether what it acts through can be reached, for readiness.
    async fn ping(&self) -> Result<(), RemediatorError>;
}

/// What an [`Executor`] says before it acts.
#[derive(Debug, Clone, PartialEq)]
pub enum Prepared {
    /// It can be done. The value is kept for `probe`.
    Ready(Value),
    /// It cannot, for this reason; nothing happened.
    Rejected(String),
}

/// What failed on the way out, for errors made of a sentence.
pub(crate) fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RemediatorError {
    RemediatorError::Unavailable(error.into())
}

/// What was sent and never answered.
pub(crate) fn indeterminate(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RemediatorError {
    RemediatorError::Indeterminate(error.into())
}

/// A success in words.
pub(crate) fn succeeded(details: impl Into<String>) -> Outcome {
    Outcome::Succeeded { details: Some(details.into()) }
}

/// A failure that another attempt would repeat.
pub(crate) fn failed(reason: impl Into<String>) -> Outcome {
    Outcome::Failed { reason: reason.into(), retryable: false }
}
