//! [`DriftExecutor`]: heals drift when Vigil asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;
use vigil_core::action::ActionType;
use vigil_core::clock::Clock;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};
use vigil_program::chain;
use vigil_remediator::{Executor, Job, Prepared};

use crate::backoff::Backoff;
use crate::declaration::{Item, ItemState};
use crate::source::SourceError;
use crate::state::Memory;
use crate::telemetry::Telemetry;
use crate::watched::Watched;

/// How long a failed heal waits at first.
const FIRST_WAIT: Duration = Duration::from_secs(10);

/// Makes an item as it is declared, if it still is not, its source's mode is enforce and nothing suspends it.
///
/// A heal that failed is not tried again before its time: the action is put off until then, and so goes on where it stopped. An item that
/// was healed is compared once more before that is said.
#[derive(Debug)]
pub(crate) struct DriftExecutor {
    sources: BTreeMap<String, Arc<Watched>>,
    memory: Arc<Memory>,
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    /// Rung after a heal: the server is told at once.
    healed: Arc<Notify>,
}

impl DriftExecutor {
    pub(crate) fn new(
        sources: &[Arc<Watched>],
        memory: Arc<Memory>,
        telemetry: Arc<Telemetry>,
        clock: Arc<dyn Clock>,
        healed: Arc<Notify>,
    ) -> Self {
        let sources = sources.iter().map(|source| (source.name().to_owned(), source.clone())).collect();
        Self { sources, memory, telemetry, clock, healed }
    }

    fn source(&self, target: &str) -> Result<&Arc<Watched>, String> {
        let name = target.strip_prefix("drift/").and_then(|rest| rest.split('/').next());
        let name =
            name.ok_or_else(|| format!("'{target}' is no drift: those are called drift/<source>/<kind>/<name>"))?;
        self.sources.get(name).ok_or_else(|| format!("no source is called '{name}'"))
    }

    async fn item(&self, source: &Watched, target: &str) -> Result<Option<Item>, RemediatorError> {
        source.compare_one(target).await.map_err(unavailable)
    }

    /// What is to be done to an item, or why nothing is.
    async fn drifted(&self, target: &str) -> Result<Result<(Arc<Watched>, Item), String>, RemediatorError> {
        let source = match self.source(target) {
            Ok(source) => source,
            Err(reason) => return Ok(Err(reason)),
        };
        if let Err(reason) = source.may_heal() {
            return Ok(Err(reason));
        }
        let Some(item) = self.item(source, target).await? else {
            return Ok(Err("nothing is declared under this name, and nothing is there".to_owned()));
        };
        Ok(match item.state {
            ItemState::Drifted(_) => Ok((source.clone(), item)),
            ItemState::Same => Err("it is as it is declared".to_owned()),
            ItemState::Suspended(reason) => Err(format!("it asks to be left alone: {reason}")),
            ItemState::Unknown(reason) => Err(format!("it cannot be compared: {reason}")),
        })
    }

    /// What came of a heal, judged by another look.
    async fn confirmed(
        &self,
        source: &Watched,
        target: &str,
        healed: Result<Outcome, RemediatorError>,
    ) -> Result<Outcome, RemediatorError> {
        let details = match healed? {
            Outcome::Succeeded { details } => details,
            Outcome::InProgress => None,
            // Whatever the reason is, a later attempt may do better.
            Outcome::Failed { reason, .. } => return Ok(Outcome::Failed { reason, retryable: true }),
            rejected => return Ok(rejected),
        };
        match self.item(source, target).await {
            Ok(Some(Item { state: ItemState::Drifted(drift), .. })) => Ok(Outcome::Failed {
                reason: format!("healed, and not as declared: {}", drift.summary),
                retryable: true,
            }),
            Ok(_) => Ok(Outcome::Succeeded { details }),
            // Metrics will tell.
            Err(error) => Err(RemediatorError::Indeterminate(error.into())),
        }
    }

    /// Remembers a failure, forgets it after a success.
    fn learn(&self, source: &Watched, target: &str, outcome: &Result<Outcome, RemediatorError>) {
        let (result, is_failure) = match outcome {
            Ok(Outcome::Succeeded { .. }) => ("succeeded", false),
            Ok(Outcome::Rejected { .. }) => ("rejected", false),
            Ok(Outcome::Failed { .. } | Outcome::InProgress) | Err(RemediatorError::Unavailable(_)) => ("failed", true),
            Err(_) => ("unknown", true),
        };
        self.telemetry.healed(source.name(), result);
        let now = self.clock.now();
        let failed = self.memory.change(|kept| {
            let before = kept.failed.remove(target);
            if is_failure {
                kept.failed.insert(target.to_owned(), Backoff::after(before, FIRST_WAIT, now));
            }
            kept.failed.get(target).copied()
        });
        match (outcome, failed) {
            (Ok(Outcome::Succeeded { details }), _) => {
                tracing::info!(target, details = details.as_deref().unwrap_or_default(), "healed");
            }
            (outcome, Some(backoff)) => {
                let why = match outcome {
                    Ok(Outcome::Failed { reason, .. }) => reason.clone(),
                    Ok(_) => "it did not end".to_owned(),
                    Err(error) => chain(error),
                };
                let (until, failures) = (backoff.until(), backoff.failures());
                tracing::error!(target, why, %until, failures, "a heal failed: it is not tried again before its time");
            }
            (outcome, None) => tracing::warn!(target, ?outcome, "not healed"),
        }
    }
}

#[async_trait]
impl Executor for DriftExecutor {
    fn kind(&self) -> &'static str {
        "declared item"
    }

    fn words(&self, _: &str) -> Vec<ActionType> {
        vec![ActionType::Custom]
    }

    fn name(&self, object: &str) -> String {
        object.to_owned()
    }

    async fn prepare(&self, job: &Job) -> Result<Prepared, RemediatorError> {
        let target = job.object.as_str();
        let backoff = self.memory.kept().failed.get(target).copied();
        if let Some(retry_after) = backoff.and_then(|backoff| backoff.left(self.clock.now())) {
            return Err(RemediatorError::Throttled { retry_after });
        }
        Ok(match self.drifted(target).await? {
            Ok((_, Item { state: ItemState::Drifted(drift), .. })) => {
                Prepared::Ready(json!({ "summary": drift.summary, "patch": drift.patch }))
            }
            Ok(_) => Prepared::Rejected("it is as it is declared".to_owned()),
            Err(reason) => Prepared::Rejected(reason),
        })
    }

    async fn execute(&self, job: &Job, before: &Value, _: Instant) -> Result<Outcome, RemediatorError> {
        let target = job.object.as_str();
        let (source, item) = match self.drifted(target).await? {
            Ok(found) => found,
            Err(reason) => return Ok(Outcome::Rejected { reason }),
        };
        tracing::info!(target, drift = before["summary"].as_str(), action_id = %job.action_id, "healing");
        let healed = source.heal(&item.key()).await;
        let outcome = self.confirmed(&source, target, healed).await;
        self.learn(&source, target, &outcome);
        self.healed.notify_one();
        outcome
    }

    async fn probe(&self, job: &Job, _: &Value, _: Duration) -> Result<Probe, RemediatorError> {
        let target = job.object.as_str();
        let Ok(source) = self.source(target) else { return Ok(Probe::Unknown) };
        let state = self.item(source, target).await?.map(|item| item.state);
        Ok(match state {
            Some(ItemState::Drifted(_)) => Probe::NotDone,
            Some(ItemState::Unknown(_) | ItemState::Suspended(_)) => Probe::Unknown,
            Some(ItemState::Same) | None => {
                Probe::Done(Outcome::Succeeded { details: Some("it is as it is declared".to_owned()) })
            }
        })
    }

    async fn ping(&self) -> Result<(), RemediatorError> {
        for source in self.sources.values() {
            source.ping().await.map_err(unavailable)?;
        }
        Ok(())
    }
}

fn unavailable(error: SourceError) -> RemediatorError {
    RemediatorError::Unavailable(error.into())
}
