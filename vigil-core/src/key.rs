//! [`ApiKey`]: who may call, in whose name, and what for. The secret itself is never here: only its digest is kept.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::invalid::{InvalidValue, name_of};
use crate::store::StoreError;
use crate::tenant::TenantId;

/// The public part of a key, unique over all tenants: 1 to 32 characters of `a-z` and `0-9`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// Checks and takes an id.
    ///
    /// # Errors
    /// [`InvalidValue`] if it is empty, too long, or has another character.
    pub fn new(id: &str) -> Result<Self, InvalidValue> {
        let sane = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if id.is_empty() || id.len() > 32 || !id.chars().all(sane) {
            return Err(InvalidValue::new("id", "must be 1 to 32 characters of a-z and 0-9"));
        }
        Ok(Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KeyId {
    type Error = InvalidValue;
    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::new(&id)
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0.as_ref().to_owned()
    }
}

/// What a key is called, for people: 1 to 255 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct KeyName(Arc<str>);

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl KeyName {
    /// Trims, checks and takes a name.
    ///
    /// # Errors
    /// [`InvalidValue`] if it is empty, too long, or has control characters.
    pub fn new(name: &str) -> Result<Self, InvalidValue> {
        name_of("name", name).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the holder of a key is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Role {
    /// An agent: sends samples, and reads nothing.
    Ingest,
    /// A dashboard: reads.
    Viewer,
    /// A person on call: reads, sends samples, changes policies and actions.
    Operator,
    /// Whoever also hands out keys.
    Admin,
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// To send samples.
    Ingest,
    /// To look.
    Read,
    /// To change what happens.
    Operate,
    /// To hand out keys.
    Administer,
}

impl Role {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Viewer, Self::Operator, Self::Admin];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`InvalidValue`] on `role`, naming the four.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        let plain = word.trim().to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == plain)
            .ok_or_else(|| InvalidValue::new("role", "must be one of ingest, viewer, operator, admin"))
    }

    /// Whether it may do what needs this access.
    pub const fn permits(self, access: Access) -> bool {
        match self {
            Self::Ingest => matches!(access, Access::Ingest),
            Self::Viewer => matches!(access, Access::Read),
            Self::Operator => matches!(access, Access::Ingest | Access::Read | Access::Operate),
            Self::Admin => true,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Role {
    type Error = InvalidValue;
    fn try_from(word: String) -> Result<Self, Self::Error> {
        Self::parse(&word)
    }
}

impl From<Role> for &'static str {
    fn from(role: Role) -> Self {
        role.as_str()
    }
}

/// What is kept of a secret: 32 bytes that say nothing about it without the pepper. `Debug` hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyDigest(pub [u8; 32]);

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(hidden)")
    }
}

/// A key as it is stored. Once revoked it stays, so that the audit can be read and its id is never used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public part.
    pub id: KeyId,
    /// Whose rows, events and keys it gives access to.
    pub tenant: TenantId,
    /// What people call it.
    pub name: KeyName,
    /// What it may do.
    pub role: Role,
    /// Of its secret.
    pub digest: KeyDigest,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it last got another secret.
    pub rotated_at: Option<Timestamp>,
    /// Since when it is refused for good.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it is neither revoked nor expired.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// All keys at one generation.
#[derive(Debug, Clone)]
pub struct KeyTable {
    /// Raised by every change.
    pub generation: i64,
    /// All keys of all tenants, the revoked ones included.
    pub keys: Vec<ApiKey>,
}

/// One write of a key.
#[derive(Debug, Clone)]
pub enum KeyWrite {
    /// A new one.
    Create {
        /// Its public part.
        id: KeyId,
        /// What people call it.
        name: KeyName,
        /// What it may do.
        role: Role,
        /// Of its secret.
        digest: KeyDigest,
        /// From when on it is refused.
        expires_at: Option<Timestamp>,
    },
    /// Another secret for a key that is there: the old one is refused from then on.
    Rotate {
        /// Which.
        id: KeyId,
        /// Of the new secret.
        digest: KeyDigest,
    },
    /// Refuse it for good.
    Revoke {
        /// Which.
        id: KeyId,
    },
}

impl KeyWrite {
    /// The key it is about.
    pub fn id(&self) -> &KeyId {
        match self {
            Self::Create { id, .. } | Self::Rotate { id, .. } | Self::Revoke { id } => id,
        }
    }

    /// What the audit calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Create { .. } => "key.created",
            Self::Rotate { .. } => "key.rotated",
            Self::Revoke { .. } => "key.revoked",
        }
    }

    /// The row that a tenant's write makes of what is stored under the id, by whatever tenant. Every Store writes what this
    /// answers.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] if a new one is there already; [`StoreError::NotFound`] if one to change is not there, is
    /// another tenant's, or is revoked.
    pub fn apply(&self, tenant: &TenantId, known: Option<&ApiKey>, now: Timestamp) -> Result<ApiKey, StoreError> {
        let named = || format!("the key '{}'", self.id());
        let mine = || {
            let mine = known.filter(|key| key.tenant == *tenant && key.revoked_at.is_none());
            mine.cloned().ok_or_else(|| StoreError::NotFound(named()))
        };
        match self {
            Self::Create { .. } if known.is_some() => Err(StoreError::Duplicate(named())),
            Self::Create { id, name, role, digest, expires_at } => Ok(ApiKey {
                id: id.clone(),
                tenant: tenant.clone(),
                name: name.clone(),
                role: *role,
                digest: digest.clone(),
                created_at: now,
                expires_at: *expires_at,
                rotated_at: None,
                revoked_at: None,
            }),
            Self::Rotate { digest, .. } => Ok(ApiKey { digest: digest.clone(), rotated_at: Some(now), ..mine()? }),
            Self::Revoke { .. } => Ok(ApiKey { revoked_at: Some(now), ..mine()? }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_do_what_it_is_there_for_and_nothing_else() {
        let all = [Access::Ingest, Access::Read, Access::Operate, Access::Administer];
        for (role, may) in [
            (Role::Ingest, [true, false, false, false]),
            (Role::Viewer, [false, true, false, false]),
            (Role::Operator, [true, true, true, false]),
            (Role::Admin, [true; 4]),
        ] {
            assert_eq!(all.map(|access| role.permits(access)), may, "{role}");
            assert_eq!(Role::parse(role.as_str()), Ok(role));
        }
        assert!(Role::parse("root").is_err());
    }

    #[test]
    fn an_id_has_nothing_that_could_end_it() {
        assert!(KeyId::new("a1").is_ok());
        for wrong in ["", "A", "a_b", "a-b", &"a".repeat(33)] {
            assert!(KeyId::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_digest_is_in_no_log() {
        let text = format!("{:?}", KeyDigest([7; 32]));
        assert_eq!(text, "KeyDigest(hidden)");
    }
}
