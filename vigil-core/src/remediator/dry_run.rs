//! [`DryRun`]: the remediator that does nothing and says what it would have done.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::Value;

use super::{Outcome, Probe, RemediationRequest, Remediator, RemediatorError};
use crate::action::IdempotencyKey;

/// Logs each request and answers that it succeeded, with details that begin with `dry run:`.
///
/// It remembers the newest 10,000 keys of this process, for [`Remediator::probe`] and for fencing. Once it has
/// forgotten one it answers [`Probe::Unknown`] to keys it does not know.
#[derive(Debug, Default)]
pub struct DryRun {
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    taken: HashMap<IdempotencyKey, Taken>,
    by_age: VecDeque<IdempotencyKey>,
    has_forgotten: bool,
}

#[derive(Debug, Clone)]
struct Taken {
    attempt: u32,
    details: String,
}

impl DryRun {
    const MEMORY: usize = 10_000;

    /// One that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner) // no change to it can panic half way
    }
}

#[async_trait]
impl Remediator for DryRun {
    async fn remediate(&self, request: &RemediationRequest) -> Result<Outcome, RemediatorError> {
        let mut memory = self.memory();
        if let Some(taken) = memory.taken.get_mut(&request.key) {
            if request.attempt < taken.attempt {
                return Err(RemediatorError::Stale);
            }
            taken.attempt = request.attempt;
            return Ok(taken.outcome());
        }
        let taken = Taken { attempt: request.attempt, details: sentence(request) };
        tracing::info!(tenant = %request.tenant, action_id = %request.action_id, policy = request.policy_name,
            target = %request.target, action = %request.action, attempt = request.attempt,
            request_id = request.request_id, "{}", taken.details);
        let outcome = taken.outcome();
        memory.keep(request.key.clone(), taken);
        Ok(outcome)
    }

    async fn probe(&self, key: &IdempotencyKey) -> Result<Probe, RemediatorError> {
        let memory = self.memory();
        Ok(match memory.taken.get(key) {
            Some(taken) => Probe::Done(taken.outcome()),
            None if memory.has_forgotten => Probe::Unknown,
            None => Probe::NotDone,
        })
    }

    async fn ping(&self) -> Result<(), RemediatorError> {
        Ok(())
    }
}

impl Memory {
    fn keep(&mut self, key: IdempotencyKey, taken: Taken) {
        if self.by_age.len() == DryRun::MEMORY
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.taken.remove(&oldest);
            self.has_forgotten = true;
        }
        self.by_age.push_back(key.clone());
        self.taken.insert(key, taken);
    }
}

impl Taken {
    fn outcome(&self) -> Outcome {
        Outcome::Succeeded { details: Some(self.details.clone()) }
    }
}

fn sentence(request: &RemediationRequest) -> String {
    let policy = request.policy_name.as_ref().map_or_else(String::new, |name| format!(", policy '{name}'"));
    let params = match request.params.is_empty() {
        true => String::new(),
        false => format!(", params {}", Value::Object(request.params.clone())),
    };
    format!("dry run: would {} {} ({}{policy}{params})", request.action, request.target, request.severity)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::request;
    use super::*;

    #[tokio::test]
    async fn it_says_what_it_would_have_done() {
        let mut restart = request("k1", 1, "web-1", "restart");
        let details = |outcome| match outcome {
            Outcome::Succeeded { details: Some(details) } => details,
            other => panic!("{other:?}"),
        };
        let said = details(DryRun::new().remediate(&restart).await.unwrap());
        assert_eq!(said, "dry run: would restart web-1 (critical)");
        restart.policy_name = Some("high-cpu".to_owned());
        restart.params.insert("grace".to_owned(), json!(5));
        let said = details(DryRun::new().remediate(&restart).await.unwrap());
        assert_eq!(said, "dry run: would restart web-1 (critical, policy 'high-cpu', params {\"grace\":5})");
    }

    #[tokio::test]
    async fn a_probe_tells_the_keys_it_took_from_those_it_did_not() {
        let dry_run = DryRun::new();
        let restart = request("k1", 1, "web-1", "restart");
        let outcome = dry_run.remediate(&restart).await.unwrap();
        assert_eq!(dry_run.probe(&restart.key).await.unwrap(), Probe::Done(outcome));
        assert_eq!(dry_run.probe(&IdempotencyKey("k2".to_owned())).await.unwrap(), Probe::NotDone);
    }

    #[tokio::test]
    async fn once_it_has_forgotten_a_key_it_cannot_tell() {
        let dry_run = DryRun::new();
        for i in 0..=DryRun::MEMORY {
            dry_run.remediate(&request(&i.to_string(), 1, "web-1", "restart")).await.unwrap();
        }
        assert_eq!(dry_run.probe(&IdempotencyKey("0".to_owned())).await.unwrap(), Probe::Unknown);
        assert!(matches!(dry_run.probe(&IdempotencyKey("1".to_owned())).await.unwrap(), Probe::Done(_)));
        assert_eq!(dry_run.memory().taken.len(), DryRun::MEMORY);
    }

    #[tokio::test]
    async fn an_older_attempt_is_stale() {
        let dry_run = DryRun::new();
        dry_run.remediate(&request("k1", 2, "web-1", "restart")).await.unwrap();
        let late = dry_run.remediate(&request("k1", 1, "web-1", "restart")).await;
        assert!(matches!(late, Err(RemediatorError::Stale)));
    }
}
