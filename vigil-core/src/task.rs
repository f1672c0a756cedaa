//! [`Task`]: the queue's delivery of one action.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::action::{ActionId, ActionKey, ActionType, Severity};
use crate::clock::Timestamp;
use crate::target::Target;
use crate::tenant::TenantId;

/// The delivery of one action, with the wire names of the documented queue payload.
///
/// Only `action_id` and `tenant` decide anything: target, action and params are always read from the action's row,
/// the copies here are for people and foreign consumers. A foreign producer may leave out what has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Unique, prefixed `task_`.
    pub task_id: String,
    /// The action it delivers.
    pub action_id: ActionId,
    /// The action's target.
    pub target: Target,
    /// The action's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionType>,
    /// The action's severity.
    #[serde(default)]
    pub severity: Severity,
    /// When it was first put into the queue.
    pub enqueued_at: Timestamp,
    /// Whose it is.
    #[serde(default)]
    pub tenant: TenantId,
    /// The attempts before this delivery.
    #[serde(default)]
    pub attempt: u32,
    /// The policy behind the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_name: Option<String>,
    /// The action's parameters.
    #[serde(default)]
    pub params: Map<String, Value>,
}

impl Task {
    /// The action it delivers.
    pub fn key(&self) -> ActionKey {
        ActionKey { tenant: self.tenant.clone(), id: self.action_id }
    }
}
