//! The schema: embedded, applied under the file's lock, refused when a newer version of Vigil wrote it.

use std::path::Path;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Row, SqliteConnection};

use crate::OpenError;

const TABLE: &str = "_vigil_migrations";

pub(crate) fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

/// The newest schema version that this version of Vigil has.
pub(crate) fn known() -> i64 {
    migrator().iter().map(|migration| migration.version).max().unwrap_or(0)
}

pub(crate) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let migrator = migrator();
    let known = known();
    let found = newest(connection).await.map_err(|error| OpenError::Corrupt(path.to_owned(), error))?;
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::Execute(error) => OpenError::Corrupt(path.to_owned(), error),
        other => OpenError::Other(path.to_owned(), other.into()),
    })
}

/// The newest schema version that was applied to the file, 0 if none was.
pub(crate) async fn newest(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let table = sqlx::query("SELECT 1 FROM sqlite_schema WHERE name = '_vigil_migrations'");
    if table.fetch_optional(&mut *connection).await?.is_none() {
        return Ok(0);
    }
    sqlx::query("SELECT coalesce(max(version), 0) FROM _vigil_migrations").fetch_one(connection).await?.try_get(0)
}
