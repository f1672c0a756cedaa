//! The closed vocabularies of an action: what is done, how bad it is, where it stands.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::invalid::InvalidValue;

/// What to do to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum ActionType {
    /// Restart the target: `restart`.
    RestartService,
    /// Add capacity: `scale-up`.
    ScaleUp,
    /// Take capacity away: `scale-down`.
    ScaleDown,
    /// Move work off the target gracefully: `drain-pod`.
    DrainPod,
    /// Spread work anew: `rebalance`.
    Rebalance,
    /// Take a backup: `snapshot`.
    Snapshot,
    /// Whatever the remediator makes of it: `custom`.
    Custom,
}

impl ActionType {
    /// All seven.
    pub const ALL: [Self; 7] = [
        Self::RestartService,
        Self::ScaleUp,
        Self::ScaleDown,
        Self::DrainPod,
        Self::Rebalance,
        Self::Snapshot,
        Self::Custom,
    ];

    /// The canonical word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RestartService => "restart",
            Self::ScaleUp => "scale-up",
            Self::ScaleDown => "scale-down",
            Self::DrainPod => "drain-pod",
            Self::Rebalance => "rebalance",
            Self::Snapshot => "snapshot",
            Self::Custom => "custom",
        }
    }

    /// Reads a word; `restart-service` stands for `restart`, `_` for `-`, and letters may be of either case.
    ///
    /// # Errors
    /// [`InvalidValue`] on `action`, naming the seven.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        let plain = word.trim().to_ascii_lowercase().replace('_', "-");
        let plain = if plain == "restart-service" { "restart" } else { plain.as_str() };
        Self::ALL.into_iter().find(|kind| kind.as_str() == plain).ok_or_else(|| {
            let words = Self::ALL.map(Self::as_str).join(", ");
            InvalidValue::new("action", format!("must be one of {words}"))
        })
    }
}

/// How bad it is. Ordered: info < warning < critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth acting on.
    #[default]
    Warning,
    /// Users notice.
    Critical,
}

impl Severity {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`InvalidValue`] on `severity`, naming the three.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        let plain = word.trim().to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == plain)
            .ok_or_else(|| InvalidValue::new("severity", "must be one of info, warning, critical"))
    }
}

/// The documented status of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum ActionStatus {
    /// Admitted, not started.
    Pending,
    /// An attempt is, or may be, under way.
    Running,
    /// The remediator says it succeeded, or metrics proved it.
    Completed,
    /// It did not succeed and is not tried again under this key.
    Failed,
    /// Called off.
    Cancelled,
}

impl ActionStatus {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`InvalidValue`] on `status`, naming the five.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        Self::ALL.into_iter().find(|s| s.as_str() == word).ok_or_else(|| {
            InvalidValue::new("status", format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
        })
    }

    /// Whether it never changes again.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether the state machine has an edge from `self` to `to`.
    pub const fn can_become(self, to: Self) -> bool {
        match self {
            Self::Pending => matches!(to, Self::Running | Self::Cancelled | Self::Failed),
            Self::Running => true,
            Self::Completed | Self::Failed | Self::Cancelled => false,
        }
    }
}

/// Whether fresh metrics proved that an action worked: a field beside the status, not a sixth status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Verification {
    /// Fresh samples are still to come.
    Awaiting,
    /// The condition is no longer met on samples taken after the action.
    Verified,
    /// It still is.
    Ineffective,
    /// No fresh sample came in time.
    Inconclusive,
}

impl Verification {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Awaiting, Self::Verified, Self::Ineffective, Self::Inconclusive];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Awaiting => "awaiting",
            Self::Verified => "verified",
            Self::Ineffective => "ineffective",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`InvalidValue`] on `verification`.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        Self::ALL.into_iter().find(|v| v.as_str() == word).ok_or_else(|| {
            InvalidValue::new("verification", format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
        })
    }
}

macro_rules! word {
    ($($type:ty),+) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl From<$type> for &'static str {
            fn from(word: $type) -> Self {
                word.as_str()
            }
        }
        impl TryFrom<String> for $type {
            type Error = InvalidValue;
            fn try_from(word: String) -> Result<Self, InvalidValue> {
                Self::parse(&word)
            }
        }
    )+};
}
pub(crate) use word;
word!(ActionType, Severity, ActionStatus, Verification);

/// Where an action stands, in more detail than its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Waiting for a worker.
    Queued,
    /// Waiting to be tried again.
    Retrying,
    /// A worker is at it.
    Executing,
    /// Sent, answer unknown: metrics will tell.
    Indeterminate,
    /// Done; metrics have yet to prove it.
    Verifying,
    /// Nothing more will happen.
    Done,
}

impl Phase {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Retrying => "retrying",
            Self::Executing => "executing",
            Self::Indeterminate => "indeterminate",
            Self::Verifying => "verifying",
            Self::Done => "done",
        }
    }
}
