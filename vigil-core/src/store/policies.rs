//! Policies as a Store keeps them, and the writes that change them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::clock::Timestamp;
use crate::policy::{PolicyName, PolicySpec};
use crate::tenant::TenantId;

/// Where a policy comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PolicySource {
    /// Made through the API or by the embedding program's calls.
    Api,
    /// Declared in a file, which alone may change it.
    File {
        /// The file's path as configured.
        path: String,
    },
}

/// A policy as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPolicy {
    /// Whose.
    pub tenant: TenantId,
    /// As written.
    pub spec: PolicySpec,
    /// Where it comes from.
    pub source: PolicySource,
    /// `Some` when a person enabled or disabled a file's policy: wins over `spec.enabled`, survives a reload.
    pub enabled_override: Option<bool>,
    /// The generation of the write that made it what it is.
    pub revision: i64,
    /// When that was.
    pub updated_at: Timestamp,
}

impl StoredPolicy {
    /// Whether it is in force.
    pub fn is_enabled(&self) -> bool {
        self.enabled_override.unwrap_or(self.spec.enabled)
    }

    /// Whether it is enabled and has this revision.
    pub fn is_in_force(&self, revision: i64) -> bool {
        self.revision == revision && self.is_enabled()
    }
}

/// All policies at one generation.
#[derive(Debug, Clone)]
pub struct PolicyTable {
    /// Raised by every change, removals included.
    pub generation: i64,
    /// All policies of all tenants.
    pub policies: Vec<StoredPolicy>,
}

/// One write of a policy.
#[derive(Debug, Clone)]
pub enum PolicyWrite {
    /// Insert or replace.
    Put {
        /// As written; its name is the key.
        spec: Arc<PolicySpec>,
        /// Where it comes from.
        source: PolicySource,
        /// See [`StoredPolicy::enabled_override`].
        enabled_override: Option<bool>,
        /// What must be there before.
        expect: Expect,
    },
    /// Remove.
    Remove {
        /// Which.
        name: PolicyName,
        /// What must be there before.
        expect: Expect,
    },
}

/// What must be stored before a [`PolicyWrite`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// This revision.
    Revision(i64),
    /// Anything or nothing.
    Any,
}

impl Expect {
    /// Whether what is stored under a name is what was expected there. Every Store asks this before it writes.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`], [`StoreError::NotFound`] or [`StoreError::Conflict`], as
    /// [`write_policies`](super::Store::write_policies) answers them.
    pub fn check(self, name: &PolicyName, known: Option<&StoredPolicy>) -> Result<(), StoreError> {
        let policy = || format!("the policy '{name}'");
        match (self, known) {
            (Self::Absent, Some(_)) => Err(StoreError::Duplicate(policy())),
            (Self::Revision(_), None) => Err(StoreError::NotFound(policy())),
            (Self::Revision(revision), Some(known)) if known.revision != revision => {
                Err(StoreError::Conflict(policy()))
            }
            _ => Ok(()),
        }
    }

    /// The same of a policy that is to be removed, which must be there whatever was expected.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_removal<'p>(
        self,
        name: &PolicyName,
        known: Option<&'p StoredPolicy>,
    ) -> Result<&'p StoredPolicy, StoreError> {
        self.check(name, known)?;
        known.ok_or_else(|| StoreError::NotFound(format!("the policy '{name}'")))
    }
}
