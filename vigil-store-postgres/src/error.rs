//! What can go wrong, and how it becomes a [`StoreError`].

use vigil_core::store::StoreError;

/// Why a database cannot be opened. Each is one sentence for whoever starts the program; none shows the password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is not one of PostgreSQL's.
    #[error("this is no PostgreSQL URL such as postgres://user:password@host:5432/database: {0}")]
    Url(String),
    /// It cannot be reached, or refuses the user.
    #[error("{place} cannot be reached: check that it runs, and the user, password and network")]
    Unreachable {
        /// Which database.
        place: String,
        /// What the driver says.
        source: sqlx::Error,
    },
    /// The server is too old.
    #[error("{place} runs PostgreSQL {found}: Vigil needs 14 or newer")]
    TooOld {
        /// Which database.
        place: String,
        /// Its version.
        found: String,
    },
    /// The server acknowledges what it could still lose.
    #[error(
        "{place} has {setting} = off and could lose what it acknowledged: turn it on, or allow it with allow_unsafe_durability"
    )]
    NotDurable {
        /// Which database.
        place: String,
        /// Which setting.
        setting: &'static str,
    },
    /// A newer version of Vigil migrated it.
    #[error("{place} was migrated by a newer version of Vigil (schema {found}, this one knows {known}): upgrade Vigil")]
    Newer {
        /// Which database.
        place: String,
        /// Its schema.
        found: i64,
        /// The newest schema this version knows.
        known: i64,
    },
    /// The schema could not be brought up to date.
    #[error("{place} cannot be migrated: check that the user may create tables in it")]
    Migration {
        /// Which database.
        place: String,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
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
        self.code().as_deref() == Some(UNIQUE_VIOLATION)
    }

    /// Whether a sample's time of receipt has no partition yet.
    pub(crate) fn is_without_partition(&self) -> bool {
        // A check constraint of ours has a name; this one has none.
        let unnamed = |error: &sqlx::Error| error.as_database_error().is_some_and(|error| error.constraint().is_none());
        self.code().as_deref() == Some(CHECK_VIOLATION) && matches!(self, Self::Sql(error) if unnamed(error))
    }

    /// Whether a table that was just there has gone.
    pub(crate) fn is_about_a_missing_table(&self) -> bool {
        self.code().as_deref() == Some(UNDEFINED_TABLE)
    }

    /// Whether it is the data that was refused, so that other data may pass.
    pub(crate) fn is_about_the_data(&self) -> bool {
        match self {
            Self::Sql(_) => self.code().is_some_and(|code| matches!(&code[..2], "22" | "23" | "54")),
            Self::Store(_) | Self::Unreadable { .. } => true,
        }
    }

    /// Whether the connection can be used after it: the server answered, and said neither that it goes away nor that this
    /// session is of no use.
    pub(crate) fn leaves_the_connection_whole(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(_)) => {
                self.code().is_none_or(|code| !code.starts_with("57P") && code != CACHED_PLAN && code != READ_ONLY)
            }
            Self::Sql(error) => matches!(error, sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. }),
            Self::Store(_) | Self::Unreadable { .. } => true,
        }
    }

    /// Whether it is true of all connections that are open now: a table has other columns than when they prepared their
    /// statements, because a newer version has migrated it; or the server they lead to is the master no more.
    pub(crate) fn is_about_every_session(&self) -> bool {
        matches!(self.code().as_deref(), Some(CACHED_PLAN | READ_ONLY))
    }

    fn code(&self) -> Option<String> {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => error.code().map(std::borrow::Cow::into_owned),
            _ => None,
        }
    }
}

const UNIQUE_VIOLATION: &str = "23505";
const CHECK_VIOLATION: &str = "23514";
const UNDEFINED_TABLE: &str = "42P01";
/// `feature_not_supported`: "cached plan must not change result type".
const CACHED_PLAN: &str = "0A000";
/// `read_only_sql_transaction`.
const READ_ONLY: &str = "25006";

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error,
            Error::Unreadable { what, source } => Self::Corrupt(what, source),
            Error::Sql(error) => of_sql(error),
        }
    }
}

/// By SQLSTATE, <https://www.postgresql.org/docs/current/errcodes-appendix.html>. The README has the table.
fn of_sql(error: sqlx::Error) -> StoreError {
    let code = match &error {
        sqlx::Error::Database(database) => database.code().map(std::borrow::Cow::into_owned),
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::BeginFailed => return StoreError::Unavailable(error.into()),
        sqlx::Error::ColumnDecode { .. } => return StoreError::Corrupt("row".to_owned(), error.into()),
        _ => None,
    };
    let Some(code) = code else { return StoreError::Backend(error.into()) };
    match (&code[..2], code.as_str()) {
        // Connection, a password or database that is being changed, resources, shutdown and recovery, timeouts and lock waits,
        // deadlock and serialization, a server that became read-only, input/output.
        ("08" | "28" | "53" | "57" | "58", _)
        | (_, "3D000" | CACHED_PLAN | READ_ONLY | "40001" | "40P01" | "55P03" | "25P03") => {
            StoreError::Unavailable(error.into())
        }
        ("22" | "23" | "54", _) => StoreError::Invalid("a value breaks a constraint of the database".to_owned()),
        ("XX", _) => StoreError::Corrupt("database".to_owned(), error.into()),
        _ => StoreError::Backend(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    /// An error of the server.
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Said(&'static str);

    impl sqlx::error::DatabaseError for Said {
        fn message(&self) -> &str {
            self.0
        }
        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }
        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }
        fn kind(&self) -> sqlx::error::ErrorKind {
            sqlx::error::ErrorKind::Other
        }
    }

    fn said(code: &'static str) -> Error {
        Error::Sql(sqlx::Error::Database(Box::new(Said(code))))
    }

    #[test]
    fn every_row_of_the_table_of_sqlstates_is_true() {
        let readme = include_str!("../README.md");
        let table = [
            ("Invalid", &["22001", "22P02", "23502", "23505", "54000"][..]),
            ("Unavailable", &["08006", "28000", "28P01", "3D000", "53300", "57014", "57P01", "57P03", "58030"]),
            ("Unavailable", &["40001", "40P01", "55P03", "25P03", "0A000", "25006"]),
            ("Corrupt", &["XX000", "XX001"]),
            ("Backend", &["42P01", "42501", "P0001"]),
        ];
        for (wanted, codes) in table {
            assert!(readme.contains(&format!("`{wanted}`")), "{wanted}");
            for code in codes {
                let error = format!("{:?}", StoreError::from(said(code)));
                assert!(error.starts_with(wanted), "{code} is {error}");
            }
        }
    }

    #[test]
    fn a_session_that_is_of_no_use_any_more_is_not_kept() {
        for code in ["57P01", "57P02", "57P05", "0A000", "25006"] {
            assert!(!said(code).leaves_the_connection_whole(), "{code}");
        }
        for code in ["23505", "57014", "55P03", "40001"] {
            assert!(said(code).leaves_the_connection_whole(), "{code}");
        }
        assert!(said("25006").is_about_every_session() && said("0A000").is_about_every_session());
        assert!(!said("57P01").is_about_every_session());
    }
}
