//! [`StoreError`].

use crate::action::{ActionId, IllegalChange};
use crate::clock::Timestamp;
use crate::policy::PolicyName;

/// What a Store cannot do, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is not there: tell whoever asked.
    #[error("{0} does not exist")]
    NotFound(String),
    /// Somebody else changed it: read it again and decide anew.
    #[error("{0} was changed by somebody else")]
    Conflict(String),
    /// It is there already: choose another name.
    #[error("{0} exists already")]
    Duplicate(String),
    /// The state machine forbids it: never retry.
    #[error(transparent)]
    Illegal(#[from] IllegalChange),
    /// Another action is in flight on the target: wait for it.
    #[error("target is occupied by action {by}")]
    Occupied {
        /// That action.
        by: ActionId,
    },
    /// A brake is on: wait until it is released, at `until` if nobody does before.
    #[error("the brake is on")]
    Braked {
        /// When it releases by itself.
        until: Option<Timestamp>,
    },
    /// The policy behind an action is not stored under the expected revision, or not enabled: plan again.
    #[error("the policy '{0}' was changed, disabled or removed")]
    PolicyChanged(PolicyName),
    /// The idempotency key was used before with another request.
    #[error("this Idempotency-Key was used before with another request")]
    KeyReused,
    /// The data itself was refused: sending it again will not help.
    #[error("refused by the store: {0}")]
    Invalid(String),
    /// Out of reach or overloaded: try again later.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is stored cannot be read: a person must look.
    #[error("stored {0} cannot be read")]
    Corrupt(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else.
    #[error("the store failed")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}
