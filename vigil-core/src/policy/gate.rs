//! Gates: the checks between a violation and an action. Each either lets through or gives a typed [`Reason`].

use std::fmt;

use serde::{Deserialize, Serialize};

use super::plan::Limits;
use super::{Policy, Snapshot, Verdict, evaluate};
use crate::action::{ActionId, Verification};
use crate::clock::Timestamp;
use crate::store::{ActionIntent, Braked, Guard, Standing};
use crate::target::Target;

/// Why nothing is done about a violation, with the time it may next be allowed where that is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The policy is disabled.
    Disabled,
    /// A brake is on.
    Braked {
        /// When it releases by itself; `None`: when somebody does.
        until: Option<Timestamp>,
    },
    /// The samples name no target: nobody can act on `unknown`.
    NoTarget,
    /// The condition has not been met for as long as `for` asks.
    Pending {
        /// When it will have been.
        until: Timestamp,
    },
    /// Its episode has had all the actions it may have; a person must look.
    Exhausted {
        /// How many it has had.
        actions: u32,
    },
    /// Another action is pending or in flight on the target.
    Busy {
        /// Which.
        action: ActionId,
    },
    /// The last action of the policy on the target was too recent.
    Cooldown {
        /// When it no longer is.
        until: Timestamp,
    },
    /// The last action is still to be verified.
    AwaitingVerification {
        /// Which.
        action: ActionId,
    },
    /// The violation is not seen on samples taken after the last action on the target ended, whichever policy wanted that, and
    /// had time to show.
    StaleEvidence {
        /// When that was, or will be.
        since: Timestamp,
    },
    /// The tenant has had as many actions in the last minute as it may.
    RateLimited {
        /// When it may have the next.
        until: Timestamp,
    },
    /// The policy was changed in the meantime: it is planned again.
    PolicyChanged,
    /// The episode was changed in the meantime: it is planned again.
    EpisodeChanged,
}

impl Reason {
    /// The word for metrics, logs and the audit.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Braked { .. } => "braked",
            Self::NoTarget => "no_target",
            Self::Pending { .. } => "pending",
            Self::Exhausted { .. } => "exhausted",
            Self::Busy { .. } => "busy",
            Self::Cooldown { .. } => "cooldown",
            Self::AwaitingVerification { .. } => "awaiting_verification",
            Self::StaleEvidence { .. } => "stale_evidence",
            Self::RateLimited { .. } => "rate_limited",
            Self::PolicyChanged => "policy_changed",
            Self::EpisodeChanged => "episode_changed",
        }
    }

    /// When it may next be allowed, if the passing of time alone can bring that.
    pub const fn next_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending { until } | Self::Cooldown { until } | Self::RateLimited { until } => Some(*until),
            Self::Braked { until } => *until,
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("the policy is disabled"),
            Self::Braked { until: Some(until) } => write!(f, "the brake is on until {until}"),
            Self::Braked { until: None } => f.write_str("the brake is on until somebody releases it"),
            Self::NoTarget => f.write_str("the samples name no target to act on"),
            Self::Pending { until } => write!(f, "the condition must stay met until {until}"),
            Self::Exhausted { actions } => write!(f, "the episode has had {actions} actions, a person must look"),
            Self::Busy { action } => write!(f, "action {action} is pending or in flight on the target"),
            Self::Cooldown { until } => write!(f, "cooling down until {until}"),
            Self::AwaitingVerification { action } => write!(f, "action {action} awaits its verification"),
            Self::StaleEvidence { since } => {
                write!(
                    f,
                    "no violating sample is later than {since}, when what was last done to the target has had time to show"
                )
            }
            Self::RateLimited { until } => {
                write!(f, "the tenant has had its actions of this minute, the next is at {until}")
            }
            Self::PolicyChanged => f.write_str("the policy was changed meanwhile"),
            Self::EpisodeChanged => f.write_str("the episode was changed meanwhile"),
        }
    }
}

/// What is to be done about a violation.
#[derive(Debug, Clone)]
pub enum Decision {
    /// Ask the Store to admit this action under these guards.
    Act(Box<ActionIntent>, Vec<Guard>),
    /// Record it: the policy does not act on its own.
    Suggest,
    /// Nothing, for this reason.
    Blocked(Reason),
}

impl Decision {
    /// The word for metrics and answers: `act`, `suggest`, `blocked`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Act(..) => "act",
            Self::Suggest => "suggest",
            Self::Blocked(_) => "blocked",
        }
    }

    /// The reason of a refusal.
    pub const fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Blocked(reason) => Some(reason),
            _ => None,
        }
    }
}

/// What a gate looks at.
pub(super) struct View<'a> {
    pub(super) policy: &'a Policy,
    pub(super) target: &'a Target,
    pub(super) metrics: &'a Snapshot,
    pub(super) standing: &'a Standing,
    pub(super) limits: &'a Limits,
}

/// One check between violation and action, in the order in which they are asked. Those that only the Store can judge
/// without a race also compile to a [`Guard`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// The policy is in force and still the one that was judged.
    Enabled,
    /// No brake is on.
    Brake,
    /// There is a target to act on.
    Target,
    /// The condition has been met for as long as `for` asks.
    For,
    /// The policy acts on its own.
    Autonomy,
    /// The episode has actions left.
    Attempts,
    /// Nothing else is pending or in flight on the target.
    Exclusion,
    /// The cooldown has passed.
    Cooldown,
    /// The last action is verified, and the violation is seen on samples taken after whatever was done to the target has settled.
    Freshness,
    /// The tenant has actions of this minute left. The last: what would not be done anyway says why for itself.
    Rate,
}

impl Gate {
    /// All gates in the order in which they are asked.
    pub const ALL: [Self; 10] = [
        Self::Enabled,
        Self::Brake,
        Self::Target,
        Self::For,
        Self::Autonomy,
        Self::Attempts,
        Self::Exclusion,
        Self::Cooldown,
        Self::Freshness,
        Self::Rate,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Brake => "brake",
            Self::Target => "target",
            Self::For => "for",
            Self::Autonomy => "autonomy",
            Self::Attempts => "attempts",
            Self::Exclusion => "exclusion",
            Self::Cooldown => "cooldown",
            Self::Freshness => "freshness",
            Self::Rate => "rate",
        }
    }

    /// What it says when it lets through.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Enabled => "the policy is enabled",
            Self::Brake => "no brake is on",
            Self::Target => "there is a target to act on",
            Self::For => "the condition has been met for long enough",
            Self::Autonomy => "the policy acts on its own",
            Self::Attempts => "the episode has actions left",
            Self::Exclusion => "nothing else is pending or in flight on the target",
            Self::Cooldown => "the cooldown has passed",
            Self::Freshness => "the last action is verified, or there was none, and the evidence is newer",
            Self::Rate => "the tenant may have another action in this minute",
        }
    }

    /// `Some` decision when the gate is shut.
    pub(super) fn check(self, view: &View<'_>) -> Option<Decision> {
        let View { policy, target, metrics, standing, limits } = view;
        let episode = standing.episode.as_ref();
        let reason = match self {
            Self::Enabled => (!policy.enabled).then_some(Reason::Disabled),
            Self::Brake => standing.braked.map(|Braked { until }| Reason::Braked { until }),
            Self::Target => target.is_unknown().then_some(Reason::NoTarget),
            Self::For => {
                let since = episode.map_or(standing.now, |episode| episode.pending_since);
                let until = since + policy.hold;
                (standing.now < until).then_some(Reason::Pending { until })
            }
            Self::Autonomy if !policy.auto_remediate => return Some(Decision::Suggest),
            Self::Autonomy => None,
            Self::Attempts => {
                let actions = episode.map_or(0, |episode| episode.actions);
                (actions >= limits.actions_per_episode).then_some(Reason::Exhausted { actions })
            }
            Self::Exclusion => standing.busy.map(|action| Reason::Busy { action }),
            Self::Cooldown => standing.last_action.as_ref().and_then(|last| {
                let until = last.started_at + policy.cooldown;
                (standing.now < until).then_some(Reason::Cooldown { until })
            }),
            Self::Freshness => match &standing.last_action {
                Some(last) if last.verification == Some(Verification::Awaiting) => {
                    Some(Reason::AwaitingVerification { action: last.id })
                }
                _ => ended(standing).and_then(|since| {
                    let seen = evaluate(policy, &(*metrics).clone().since(just_after(since))).verdict;
                    (seen != Verdict::Met).then_some(Reason::StaleEvidence { since })
                }),
            },
            Self::Rate => {
                let until = standing.rate_limited.filter(|until| standing.now < *until);
                until.map(|until| Reason::RateLimited { until })
            }
        };
        reason.map(Decision::Blocked)
    }

    /// The guard by which the Store checks the gate again, in the transaction that admits.
    pub(super) fn guard(self, view: &View<'_>) -> Option<Guard> {
        let View { policy, target, standing, limits, .. } = view;
        let (name, target) = (policy.name.clone(), (*target).clone());
        match self {
            Self::Enabled => Some(Guard::Revision { policy: name, revision: policy.revision }),
            Self::Brake => Some(Guard::Brake),
            Self::Attempts => Some(Guard::Attempts { max: limits.actions_per_episode }),
            Self::Exclusion => Some(Guard::Free { target }),
            Self::Cooldown => Some(Guard::Cooldown { policy: name, target, period: policy.cooldown }),
            Self::Freshness => {
                let since = ended(standing).map_or(Timestamp::MIN, just_after);
                Some(Guard::Evidence { policy: name, target, since })
            }
            Self::Rate => limits.actions_per_minute.map(|per_minute| Guard::Rate { per_minute }),
            Self::Target | Self::For | Self::Autonomy => None,
        }
    }
}

/// When the last that was done to the target had ended, and shows: samples from before say nothing of the target as it is now.
fn ended(standing: &Standing) -> Option<Timestamp> {
    let last = standing.last_action.as_ref().and_then(|last| last.completed_at);
    last.max(standing.settled_at)
}

/// The earliest time that is later than `at`.
fn just_after(at: Timestamp) -> Timestamp {
    at + std::time::Duration::from_micros(1)
}

#[cfg(test)]
mod tests;
