//! [`Episode`]: the life of one violation of one policy on one target.
//!
//! ```text
//!            `for` elapsed, or an action          resolved
//! (Met) ─▶ pending ───────────────────▶ firing ───────────▶ resolved
//!             └────────────────── resolved ──────────────────▲
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::action::{ActionId, Severity, word};
use crate::clock::Timestamp;
use crate::invalid::InvalidValue;
use crate::metric::Sample;
use crate::policy::{ConditionSpec, PolicyName, Reason};
use crate::target::Target;
use crate::tenant::TenantId;

/// The row id of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EpisodeId(pub i64);

impl fmt::Display for EpisodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where an episode stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum EpisodeState {
    /// Met, but not yet for as long as the policy's `for`.
    Pending,
    /// Met for long enough.
    Firing,
    /// Over.
    Resolved,
}

impl EpisodeState {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Firing, Self::Resolved];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`InvalidValue`] on `state`, naming the three.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == word)
            .ok_or_else(|| InvalidValue::new("state", "must be one of pending, firing, resolved"))
    }
}

/// Why an episode ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Resolution {
    /// The condition was no longer met, without or beside an action.
    Recovered,
    /// An action was verified.
    Verified,
    /// Nothing was known of the condition for too long.
    Expired,
    /// The policy is gone, disabled, or no longer matches the target.
    PolicyRemoved,
    /// A person reset it.
    Reset,
}

impl Resolution {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Recovered, Self::Verified, Self::Expired, Self::PolicyRemoved, Self::Reset];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Verified => "verified",
            Self::Expired => "expired",
            Self::PolicyRemoved => "policy_removed",
            Self::Reset => "reset",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`InvalidValue`] on `resolution`.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        Self::ALL
            .into_iter()
            .find(|r| r.as_str() == word)
            .ok_or_else(|| InvalidValue::new("resolution", "must be a known word"))
    }
}

word!(EpisodeState, Resolution);

/// Why nothing is done about an episode at present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// The gate's answer.
    pub reason: Reason,
    /// Since when it has been this reason.
    pub since: Timestamp,
    /// How often in a row it was asked and refused for this reason.
    pub count: u64,
}

/// The life of one violation. At most one is open per (tenant, policy, target).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// Which.
    pub id: EpisodeId,
    /// Whose.
    pub tenant: TenantId,
    /// The violated policy.
    pub policy: PolicyName,
    /// The target that violates it, or [`Target::unknown`].
    pub target: Target,
    /// Where it stands.
    pub state: EpisodeState,
    /// The policy's severity when it opened.
    pub severity: Severity,
    /// The condition it was judged by: a changed one restarts `for`.
    pub condition: ConditionSpec,
    /// Raised by every write.
    pub version: i64,
    /// Since when the condition has been met without a break.
    pub pending_since: Timestamp,
    /// Since when it fires.
    pub firing_since: Option<Timestamp>,
    /// When the condition was last known to be met or unmet.
    pub known_at: Timestamp,
    /// Since when it has been Unmet, while `keep_firing_for` runs.
    pub unmet_since: Option<Timestamp>,
    /// When it ended.
    pub resolved_at: Option<Timestamp>,
    /// Why it ended.
    pub resolution: Option<Resolution>,
    /// The samples it was last judged on when met.
    pub evidence: Vec<Sample>,
    /// How many actions it has had.
    pub actions: u32,
    /// The newest of them.
    pub last_action: Option<ActionId>,
    /// Why nothing is done at present.
    pub refusal: Option<Refusal>,
}

/// What opens an episode.
#[derive(Debug, Clone, PartialEq)]
pub struct EpisodeIntent {
    /// Whose.
    pub tenant: TenantId,
    /// The violated policy.
    pub policy: PolicyName,
    /// The target that violates it.
    pub target: Target,
    /// The policy's severity.
    pub severity: Severity,
    /// The condition.
    pub condition: ConditionSpec,
    /// Since when it is met: the newest sample of the evidence.
    pub pending_since: Timestamp,
    /// Whether it fires at once (`for` is zero).
    pub firing: bool,
    /// The samples it is met on.
    pub evidence: Vec<Sample>,
}

/// Everything that can happen to an episode, apart from an admission.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EpisodeChange {
    /// Met again, or still: new evidence; `for` restarts at `since` when given.
    Observe {
        /// The new evidence.
        evidence: Vec<Sample>,
        /// The condition it was judged by.
        condition: ConditionSpec,
        /// The new start of `for`, when it must restart.
        since: Option<Timestamp>,
    },
    /// Unmet, but `keep_firing_for` holds it open.
    Hold,
    /// Met for as long as `for` asks.
    Fire,
    /// Nothing is done about it, and why.
    Refuse {
        /// The gate's answer.
        reason: Reason,
    },
    /// It is over.
    Resolve {
        /// Why.
        resolution: Resolution,
    },
    /// A person ends it, however it stands.
    Reset {
        /// Why, in words.
        reason: Option<String>,
    },
}

impl EpisodeChange {
    /// The word of the audit, `None` for changes that are not worth an entry.
    pub fn verb(&self) -> Option<&'static str> {
        match self {
            Self::Observe { .. } | Self::Hold => None,
            Self::Fire => Some("firing"),
            Self::Refuse { .. } => Some("blocked"),
            Self::Resolve { .. } | Self::Reset { .. } => Some("resolved"),
        }
    }
}

impl Episode {
    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        self.state != EpisodeState::Resolved
    }

    /// The row that `intent` opens.
    pub fn open(id: EpisodeId, intent: EpisodeIntent, now: Timestamp) -> Self {
        Self {
            id,
            tenant: intent.tenant,
            policy: intent.policy,
            target: intent.target,
            state: if intent.firing { EpisodeState::Firing } else { EpisodeState::Pending },
            severity: intent.severity,
            condition: intent.condition,
            version: 1,
            pending_since: intent.pending_since,
            firing_since: intent.firing.then_some(now),
            known_at: now,
            unmet_since: None,
            resolved_at: None,
            resolution: None,
            evidence: intent.evidence,
            actions: 0,
            last_action: None,
            refusal: None,
        }
    }

    /// Whether `change` deserves an audit entry: a refusal does only when its reason is another one.
    pub fn is_news(&self, change: &EpisodeChange) -> bool {
        match change {
            EpisodeChange::Refuse { reason } => self.refusal.as_ref().is_none_or(|r| r.reason.code() != reason.code()),
            other => other.verb().is_some(),
        }
    }

    /// The row after `change`, with the version raised: applied by every Store in the transaction that writes it.
    ///
    /// `None` when the episode has ended already.
    pub fn apply(&self, change: &EpisodeChange, now: Timestamp) -> Option<Self> {
        if !self.is_open() {
            return None;
        }
        let mut next = self.clone();
        next.version += 1;
        match change {
            EpisodeChange::Observe { evidence, condition, since } => {
                next.evidence = evidence.clone();
                next.condition = condition.clone();
                next.known_at = now;
                next.unmet_since = None;
                if let Some(since) = since {
                    next.pending_since = *since;
                    next.state = EpisodeState::Pending;
                    next.firing_since = None;
                }
            }
            EpisodeChange::Hold => {
                next.known_at = now;
                next.unmet_since = next.unmet_since.or(Some(now));
            }
            EpisodeChange::Fire => {
                next.state = EpisodeState::Firing;
                next.firing_since = next.firing_since.or(Some(now));
            }
            EpisodeChange::Refuse { reason } => {
                let same = next.refusal.take().filter(|known| known.reason.code() == reason.code());
                let (since, count) = same.map_or((now, 1), |known| (known.since, known.count + 1));
                next.refusal = Some(Refusal { reason: reason.clone(), since, count });
            }
            EpisodeChange::Resolve { resolution } => next.end(*resolution, now),
            EpisodeChange::Reset { .. } => next.end(Resolution::Reset, now),
        }
        Some(next)
    }

    fn end(&mut self, resolution: Resolution, now: Timestamp) {
        self.state = EpisodeState::Resolved;
        self.resolved_at = Some(now);
        self.resolution = Some(resolution);
        self.refusal = None;
    }

    /// The row after an action was admitted for it.
    pub fn admitted(&self, action: ActionId, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.version += 1;
        next.state = EpisodeState::Firing;
        next.firing_since = next.firing_since.or(Some(now));
        next.actions += 1;
        next.last_action = Some(action);
        next.refusal = None;
        next
    }
}

#[cfg(test)]
mod tests;
