//! The schema: embedded, applied by one replica while the others wait, refused when a newer version of Vigil wrote it.

use sqlx::migrate::Migrator;
use sqlx::{PgConnection, Row};
use vigil_core::clock::Timestamp;

use crate::connections::Connections;
use crate::error::Error;
use crate::{OpenError, digest, partitions};

const TABLE: &str = "_vigil_migrations";

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name(TABLE);
    // The transaction around it has a lock that also holds through a pooler; the migrator's own belongs to the session.
    migrator.set_locking(false);
    migrator
}

/// The newest schema version that this version of Vigil has.
pub(crate) fn known() -> i64 {
    migrator().iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// What a database says of itself.
pub(crate) struct Schema {
    /// The newest migration that was applied to it.
    pub(crate) found: i64,
    /// The newest one that this version has.
    pub(crate) known: i64,
}

/// Brings the schema up to date, unless it is newer than this version.
pub(crate) async fn migrate(connections: &Connections, place: &str) -> Result<(), OpenError> {
    let failed = |source: Error| match source {
        Error::Sql(source @ (sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Tls(_))) => {
            OpenError::Unreachable { place: place.to_owned(), source }
        }
        source => OpenError::Migration { place: place.to_owned(), source: source.into() },
    };
    let lock = digest::number(&["migrations"]);
    let now = connections.now().await.map_err(failed)?;
    let applied = connections.exclusively_without_limit(lock, move |c| Box::pin(async move { apply(c, now).await }));
    let schema = applied.await.map_err(failed)?;
    if schema.found > schema.known {
        return Err(OpenError::Newer { place: place.to_owned(), found: schema.found, known: schema.known });
    }
    Ok(())
}

async fn apply(connection: &mut PgConnection, now: Timestamp) -> Result<Schema, Error> {
    let migrator = migrator();
    let known = known();
    let found = newest(connection).await?;
    if found < known {
        let applied = migrator.run_direct(None, connection, false).await;
        applied.map_err(|error| Error::unreadable("a migration failed", error))?;
    }
    if found <= known {
        partitions::make_ahead(connection, now).await?;
    }
    Ok(Schema { found, known })
}

/// The newest schema version that was applied, 0 if none was.
pub(crate) async fn newest(connection: &mut PgConnection) -> Result<i64, Error> {
    let table = sqlx::query("SELECT to_regclass('_vigil_migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
    if !table.try_get::<bool, _>(0)? {
        return Ok(0);
    }
    Ok(sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _vigil_migrations").fetch_one(connection).await?)
}
