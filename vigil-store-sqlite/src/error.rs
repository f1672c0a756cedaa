//! What can go wrong, and how it becomes a [`StoreError`].

use std::path::PathBuf;

use vigil_core::store::StoreError;

/// Why a database cannot be opened. Each is one sentence for whoever starts the program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is not one of SQLite's.
    #[error("'{0}' is not an SQLite URL: use sqlite:///./file.db, sqlite:////absolute/file.db or sqlite::memory:")]
    Url(String),
    /// Another process has it.
    #[error("{path} is in use by another process: one server per file (use PostgreSQL for several)", path = .0.display())]
    InUse(PathBuf),
    /// The folder is missing, or may not be written.
    #[error("{path} cannot be opened for writing: check that the folder exists and may be written", path = .0.display())]
    NotWritable(PathBuf, #[source] std::io::Error),
    /// It is not a database, or a damaged one.
    #[error("{path} is not a readable SQLite database: restore it from a backup, or move it away to start anew", path = .0.display())]
    Corrupt(PathBuf, #[source] sqlx::Error),
    /// A newer version of Vigil wrote it.
    #[error("{path} was written by a newer version of Vigil (schema {found}, this one knows {known}): upgrade Vigil", path = .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema this version knows.
        known: i64,
    },
    /// Anything else.
    #[error("{path} cannot be opened", path = .0.display())]
    Other(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a statement or a row can do wrong, inside this crate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{what}")]
    Unreadable { what: String, source: Box<dyn std::error::Error + Send + Sync> },
}

impl Error {
    /// Stored text that cannot be what it must be.
    pub(crate) fn unreadable(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unreadable { what: what.into(), source: source.into() }
    }

    /// Whether the statement broke a unique index.
    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error,
            Error::Unreadable { what, source } => Self::Corrupt(what, source),
            Error::Sql(error) => of_sql(error),
        }
    }
}

/// By SQLite's primary result code, <https://sqlite.org/rescode.html>.
fn of_sql(error: sqlx::Error) -> StoreError {
    let code = match &error {
        sqlx::Error::Database(database) => database.code().and_then(|code| code.parse::<i32>().ok()),
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => {
            return StoreError::Unavailable(error.into());
        }
        _ => None,
    };
    use result_code::{BUSY, CONSTRAINT, CORRUPT, FULL, IO, LOCKED, NOT_A_DB, READ_ONLY, TOO_BIG};
    match code.map(|code| code & 0xff) {
        Some(BUSY | LOCKED | READ_ONLY | IO | FULL) => StoreError::Unavailable(error.into()),
        Some(CORRUPT | NOT_A_DB) => StoreError::Corrupt("database".to_owned(), error.into()),
        Some(TOO_BIG | CONSTRAINT) => StoreError::Invalid("a value breaks a constraint of the database".to_owned()),
        _ => StoreError::Backend(error.into()),
    }
}

mod result_code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READ_ONLY: i32 = 8;
    pub(super) const IO: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const TOO_BIG: i32 = 18;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const NOT_A_DB: i32 = 26;
}
