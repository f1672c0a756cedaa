//! The audit: one entry for every change worth knowing, written in the change's transaction.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Brake;
use crate::action::{Action, ActionId, Change};
use crate::clock::Timestamp;
use crate::episode::{Episode, EpisodeChange, EpisodeId, Resolution};
use crate::key::ApiKey;
use crate::policy::PolicyName;
use crate::target::Target;
use crate::tenant::TenantId;

/// Who caused a change: `controller`, `worker`, `api`, ...
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actor(String);

impl Actor {
    /// Names an actor.
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One entry of the audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its place in the gapless order of all entries; `None` until [`sequence_audit`](super::Store::sequence_audit).
    pub seq: Option<i64>,
    /// Whose.
    pub tenant: TenantId,
    /// When, by the Store's clock.
    pub at: Timestamp,
    /// What happened: `action.started`, `episode.resolved`, `policy.put`, ...
    pub kind: String,
    /// Who caused it.
    pub actor: Actor,
    /// The action it is about.
    pub action: Option<ActionId>,
    /// The episode it is about.
    pub episode: Option<EpisodeId>,
    /// The policy it is about.
    pub policy: Option<PolicyName>,
    /// The target it is about.
    pub target: Option<Target>,
    /// Why, in words or as a reason's code.
    pub reason: Option<String>,
    /// What else a reader needs: status before and after, attempt, revision.
    pub detail: Value,
}

impl AuditEntry {
    /// The entry of an admission.
    pub fn admitted(action: &Action, actor: &Actor) -> Self {
        let detail = json!({"status": action.status, "action": action.action, "severity": action.severity,
            "params": action.params, "managed": action.managed, "evidence_at": action.evidence_at});
        Self {
            detail,
            reason: action.details.clone(),
            ..Self::about(action, "action.admitted", actor, action.started_at)
        }
    }

    /// The entry of a change from `before` to `after`.
    pub fn changed(before: &Action, after: &Action, change: &Change, actor: &Actor, now: Timestamp) -> Self {
        let detail = json!({"from": before.status, "to": after.status, "attempt": after.attempt, "version": after.version,
            "verification": after.verification});
        let kind = format!("action.{}", change.verb());
        Self { detail, reason: change.reason().map(str::to_owned), ..Self::about(after, &kind, actor, now) }
    }

    /// The entry of a new episode.
    pub fn opened(episode: &Episode, actor: &Actor, now: Timestamp) -> Self {
        Self::of_episode(episode, "episode.opened", None, actor, now)
    }

    /// The entry of an episode's change, or `None` if it is no news.
    pub fn episode_changed(
        before: &Episode,
        after: &Episode,
        change: &EpisodeChange,
        actor: &Actor,
        now: Timestamp,
    ) -> Option<Self> {
        let verb = change.verb().filter(|_| before.is_news(change))?;
        let reason = match change {
            EpisodeChange::Refuse { reason } => Some(reason.code().to_owned()),
            EpisodeChange::Resolve { resolution } => Some(resolution.to_string()),
            EpisodeChange::Reset { reason: None } => Some(Resolution::Reset.to_string()),
            EpisodeChange::Reset { reason: Some(reason) } => Some(format!("{}: {reason}", Resolution::Reset)),
            _ => None,
        };
        Some(Self::of_episode(after, &format!("episode.{verb}"), reason, actor, now))
    }

    /// The entry of a policy's write: `kind` is `policy.put` or `policy.removed`.
    pub fn policy(
        tenant: &TenantId,
        policy: &PolicyName,
        kind: &str,
        detail: Value,
        actor: &Actor,
        now: Timestamp,
    ) -> Self {
        Self {
            seq: None,
            tenant: tenant.clone(),
            at: now,
            kind: kind.to_owned(),
            actor: actor.clone(),
            action: None,
            episode: None,
            policy: Some(policy.clone()),
            target: None,
            reason: None,
            detail,
        }
    }

    /// The entry of a brake that was set.
    pub fn brake(brake: &Brake) -> Self {
        let detail = json!({"scope": brake.scope, "until": brake.until});
        Self {
            seq: None,
            tenant: brake.tenant.clone(),
            at: brake.since,
            kind: format!("brake.{}", brake.state),
            actor: brake.actor.clone(),
            action: None,
            episode: None,
            policy: None,
            target: None,
            reason: brake.reason.clone(),
            detail,
        }
    }

    /// The entry of a note.
    pub fn noted(tenant: &TenantId, note: Note, actor: &Actor, now: Timestamp) -> Self {
        Self {
            seq: None,
            tenant: tenant.clone(),
            at: now,
            kind: note.kind,
            actor: actor.clone(),
            action: note.action,
            episode: note.episode,
            policy: None,
            target: None,
            reason: note.reason,
            detail: note.detail,
        }
    }

    /// The entry of a key's write, by [`KeyWrite::kind`](crate::key::KeyWrite::kind).
    pub fn key(key: &ApiKey, kind: &str, actor: &Actor, now: Timestamp) -> Self {
        Self {
            seq: None,
            tenant: key.tenant.clone(),
            at: now,
            kind: kind.to_owned(),
            actor: actor.clone(),
            action: None,
            episode: None,
            policy: None,
            target: None,
            reason: None,
            detail: json!({"key": key.id, "name": key.name, "role": key.role, "expires_at": key.expires_at}),
        }
    }

    fn about(action: &Action, kind: &str, actor: &Actor, at: Timestamp) -> Self {
        Self {
            seq: None,
            tenant: action.tenant.clone(),
            at,
            kind: kind.to_owned(),
            actor: actor.clone(),
            action: Some(action.id),
            episode: action.episode,
            policy: action.policy.clone(),
            target: Some(action.target.clone()),
            reason: None,
            detail: Value::Null,
        }
    }

    fn of_episode(episode: &Episode, kind: &str, reason: Option<String>, actor: &Actor, at: Timestamp) -> Self {
        Self {
            seq: None,
            tenant: episode.tenant.clone(),
            at,
            kind: kind.to_owned(),
            actor: actor.clone(),
            action: episode.last_action,
            episode: Some(episode.id),
            policy: Some(episode.policy.clone()),
            target: Some(episode.target.clone()),
            reason,
            detail: json!({"state": episode.state, "version": episode.version, "evidence": episode.evidence}),
        }
    }
}

/// What a program says of something that happens outside the Store.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// What happens: `dead_letter.retry`, ...
    pub kind: String,
    /// The action it is about.
    pub action: Option<ActionId>,
    /// The episode it is about.
    pub episode: Option<EpisodeId>,
    /// Why, in words.
    pub reason: Option<String>,
    /// What else there is to know.
    pub detail: Value,
}

impl AuditFilter {
    /// Whether an entry is one of those, its place aside. A Store may let its database judge instead.
    pub fn takes(&self, entry: &AuditEntry) -> bool {
        self.action.is_none_or(|action| entry.action == Some(action))
            && self.episode.is_none_or(|episode| entry.episode == Some(episode))
            && self.policy.as_ref().is_none_or(|policy| entry.policy.as_ref() == Some(policy))
            && self.target.as_ref().is_none_or(|target| entry.target.as_ref() == Some(target))
            && self.kind.as_ref().is_none_or(|kind| entry.kind == *kind)
            && self.since.is_none_or(|since| entry.at >= since)
    }

    /// How much earlier than an entry another one may say that it happened, and yet have a later sequence.
    pub const DISORDER: std::time::Duration = std::time::Duration::from_secs(60);

    /// Whether only kinds are wanted that are rare: neither about the life of actions nor about that of episodes.
    pub fn is_of_a_rare_kind(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| !kind.starts_with("action.") && !kind.starts_with("episode."))
    }
}

/// Which audit entries to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only about this action.
    pub action: Option<ActionId>,
    /// Only about this episode.
    pub episode: Option<EpisodeId>,
    /// Only about this policy.
    pub policy: Option<PolicyName>,
    /// Only about this target.
    pub target: Option<Target>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only those from this time on.
    pub since: Option<Timestamp>,
    /// Only those with a greater sequence: the end of the page before.
    pub after: i64,
    /// At most so many.
    pub limit: usize,
}
