//! [`Message`]: one thing that happened, as it goes to a client.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use vigil_core::events::Event;
use vigil_core::metric::Metric;
use vigil_core::policy::PolicyName;
use vigil_core::queue::QueueStats;
use vigil_core::store::AuditEntry;
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::schema;

/// What messages are about. `ready` and `resync` come to everybody.
pub(crate) const KINDS: [&str; 9] =
    ["action", "episode", "policy", "brake", "key", "dead_letter", "queue", "decision", "metric"];

/// One message of a live view.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = LiveMessage, examples(json!({"type": "ready", "seq": 118, "data": {"seq": 118}})))]
pub(crate) struct Message {
    /// What it is about: `action`, `episode`, `policy`, `brake`, `key`, `dead_letter`, `queue`, `decision`,
    /// `metric`; or `ready`, or `resync`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// Its place in the audit, where to resume from. Without one it is news of this very moment, and not repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) seq: Option<i64>,
    /// What there is to know; its fields depend on `type`.
    #[schema(value_type = schema::Detail)]
    pub(crate) data: Value,
}

impl Message {
    /// The first message: everything after `seq` follows.
    pub(crate) fn ready(seq: i64) -> Self {
        Self { kind: "ready", seq: Some(seq), data: json!({ "seq": seq }) }
    }

    /// The client was too slow, or its last sequence is none of ours: what has no sequence is lost, read it again.
    pub(crate) fn resync(missed: u64) -> Self {
        Self { kind: "resync", seq: None, data: json!({ "missed": missed }) }
    }

    pub(crate) fn sample(metric: &Metric) -> Self {
        let data = json!({"name": metric.name, "value": metric.value, "target": metric.target, "tags": metric.tags});
        Self { kind: "metric", seq: None, data }
    }

    pub(crate) fn queue(stats: &QueueStats) -> Self {
        let data = json!({"queue_depth": stats.ready, "scheduled": stats.scheduled, "leased": stats.leased,
            "dead": stats.dead, "completed": stats.completed, "failed": stats.failed});
        Self { kind: "queue", seq: None, data }
    }

    pub(crate) fn entry(entry: &AuditEntry) -> Self {
        let data = json!({"seq": entry.seq, "kind": entry.kind, "at": entry.at, "actor": entry.actor, "action_id": entry.action,
            "episode_id": entry.episode, "policy": entry.policy, "target": entry.target, "reason": entry.reason,
            "detail": entry.detail});
        Self { kind: kind_of(entry), seq: entry.seq, data }
    }

    /// What an event of this process is to a tenant, its target and its policy; nothing if it is told of otherwise.
    pub(crate) fn of<'a>(
        event: &'a Event,
        tenant: &TenantId,
    ) -> Option<(Self, Option<&'a Target>, Option<&'a PolicyName>)> {
        match event {
            Event::Decided { tenant: whose, policy, target, decision, reason, action } if whose == tenant => {
                let data = json!({"policy": policy, "target": target, "decision": decision, "reason": reason,
                    "why": reason.as_ref().map(ToString::to_string), "action_id": action});
                Some((Self { kind: "decision", seq: None, data }, Some(target), Some(policy)))
            }
            // The figures are of the whole queue: they are the operator's, who is the default tenant.
            Event::Queue(stats) if *tenant == TenantId::default() => Some((Self::queue(stats), None, None)),
            _ => None,
        }
    }
}

/// What an audit entry is about: the word before the dot.
pub(crate) fn kind_of(entry: &AuditEntry) -> &'static str {
    let word = entry.kind.split('.').next().unwrap_or_default();
    KINDS.into_iter().find(|kind| *kind == word).unwrap_or("action")
}
