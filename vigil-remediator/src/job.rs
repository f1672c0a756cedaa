//! [`Job`]: a request as its executor sees it, and as the ledger keeps it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vigil_core::action::{ActionId, ActionType, IdempotencyKey, Severity};
use vigil_core::clock::Timestamp;
use vigil_core::remediator::RemediationRequest;
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

/// What is to be done to what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The same for all attempts.
    pub key: IdempotencyKey,
    /// The fencing number of this attempt.
    pub attempt: u32,
    /// Whose.
    pub tenant: TenantId,
    /// Which action.
    pub action_id: ActionId,
    /// What it is done to, in Vigil's words.
    pub target: Target,
    /// The same in the executor's words: a unit, a container, `namespace/kind/name`.
    pub object: String,
    /// What is done.
    pub action: ActionType,
    /// How bad it is.
    pub severity: Severity,
    /// Free-form parameters.
    pub params: Map<String, Value>,
    /// The policy behind it.
    pub policy_name: Option<String>,
    /// When nobody waits for the outcome any more.
    pub deadline: Timestamp,
    /// For logs on both sides.
    pub request_id: String,
}

impl Job {
    /// What a request asks of an object.
    pub fn new(request: &RemediationRequest, object: String) -> Self {
        Self {
            key: request.key.clone(),
            attempt: request.attempt,
            tenant: request.tenant.clone(),
            action_id: request.action_id,
            target: request.target.clone(),
            object,
            action: request.action,
            severity: request.severity,
            params: request.params.clone(),
            policy_name: request.policy_name.clone(),
            deadline: request.deadline,
            request_id: request.request_id.clone(),
        }
    }

    /// Whether another request asks for the same thing, whichever attempt it is.
    pub(crate) fn is_asked_by(&self, request: &RemediationRequest) -> bool {
        self.tenant == request.tenant
            && self.action_id == request.action_id
            && self.target == request.target
            && self.action == request.action
            && self.params == request.params
    }

    /// A parameter that is a whole number; `None` if it is absent.
    ///
    /// # Errors
    /// A sentence for the client, if it is something else or outside `allowed`.
    pub fn whole(&self, name: &str, allowed: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, String> {
        match self.params.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_u64().filter(|number| allowed.contains(number)).map(Some).ok_or_else(|| {
                format!("params.{name} must be a whole number from {} to {}", allowed.start(), allowed.end())
            }),
        }
    }

    /// A parameter that is text; `None` if it is absent.
    ///
    /// # Errors
    /// A sentence for the client, if it is something else.
    pub fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.params.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("params.{name} must be text")),
        }
    }
}
