//! The [`Source`] seam: what knows how to compare and heal one kind of declaration.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use vigil_core::remediator::{Outcome, RemediatorError};

use crate::declaration::{Comparison, ItemKey};

/// Compares declarations of one kind with what lives, and makes what lives as it is declared.
///
/// # Contract
/// - [`compare`](Self::compare) only reads. A file that cannot be read is a [`Problem`](crate::Problem); what could not be compared is
///   [`Unknown`](crate::ItemState::Unknown). Neither keeps the rest from being compared, and nothing is guessed.
/// - [`heal`](Self::heal) is called for what drifted, inside an action, and may be called again after it was cut off: making a thing as it
///   is declared twice is the same as once.
///
/// # Errors
/// [`SourceError`] if nothing at all could be compared. From `heal`, [`RemediatorError::Unavailable`] and
/// [`RemediatorError::Throttled`] promise that nothing was done.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Compares the files under `root`, a folder or a working copy that is there already, with what lives.
    async fn compare(&self, root: &Path) -> Result<Comparison, SourceError>;

    /// Makes one item as it is declared.
    async fn heal(&self, root: &Path, item: &ItemKey) -> Result<Outcome, RemediatorError>;

    /// Whether what lives can be reached.
    async fn ping(&self) -> Result<(), SourceError>;
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The declarations cannot be read.
    #[error("the declarations in {root} cannot be read")]
    Read {
        /// Where they are.
        root: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What lives cannot be asked now.
    #[error("{what} cannot be asked what lives")]
    Away {
        /// Who would know: the Kubernetes API, the Docker engine, Vigil.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The declarations cannot be fetched.
    #[error("{what} cannot be fetched: {why}")]
    Fetch {
        /// What: the branch and where it is.
        what: String,
        /// Why, without what may be secret in it.
        why: String,
    },
}

impl SourceError {
    /// What lives cannot be asked now.
    pub(crate) fn away(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Away { what, source: source.into() }
    }
}
