//! API keys: each write under the generation that every change of them raises.

use sqlx::{PgConnection, Row};
use vigil_core::key::{ApiKey, KeyId, KeyTable, KeyWrite};
use vigil_core::store::{Actor, AuditEntry, Followed};
use vigil_core::tenant::TenantId;

use crate::audit;
use crate::error::Error;
use crate::listener::CHANNEL;
use crate::row::{self, Reader, text};
use crate::time::At;

/// Generation and keys of one moment: one statement, so that no write falls between.
pub(crate) async fn table(connection: &mut PgConnection) -> Result<KeyTable, Error> {
    let rows = sqlx::query(
        "SELECT counters.value AS generation, api_keys.* FROM counters LEFT JOIN api_keys ON true \
         WHERE counters.name = 'key_generation'",
    )
    .fetch_all(connection)
    .await?;
    let generation = rows.first().map(|row| row.try_get("generation")).transpose()?.unwrap_or(0);
    let mut keys = Vec::new();
    for row in &rows {
        if row.try_get::<Option<&str>, _>("id")?.is_some() {
            keys.push(row::key(row)?);
        }
    }
    Ok(KeyTable { generation, keys })
}

/// The generation of what replicas follow.
pub(crate) async fn generation(connection: &mut PgConnection, of: Followed) -> Result<i64, Error> {
    Ok(sqlx::query_scalar(GENERATION).bind(of.counter()).fetch_one(connection).await?)
}

pub(crate) const GENERATION: &str = "SELECT value FROM counters WHERE name = $1";

/// The generation's row is changed first: writers of keys wait for each other there.
pub(crate) async fn write(
    connection: &mut PgConnection,
    tenant: &TenantId,
    write: &KeyWrite,
    actor: &Actor,
    given: Option<At>,
) -> Result<ApiKey, Error> {
    sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'key_generation'")
        .execute(&mut *connection)
        .await?;
    let row =
        sqlx::query("SELECT coalesce($1, clock_timestamp()) AS now").bind(given).fetch_one(&mut *connection).await?;
    let now = Reader::new(&row, "clock").time("now")?;
    let known = find(connection, write.id()).await?;
    let key = write.apply(tenant, known.as_ref(), now)?;
    sqlx::query(PUT)
        .bind(key.id.as_str())
        .bind(key.tenant.as_str())
        .bind(text(key.name.as_str()))
        .bind(key.role.as_str())
        .bind(key.digest.0.to_vec())
        .bind(At(key.created_at))
        .bind(row::at(key.expires_at))
        .bind(row::at(key.rotated_at))
        .bind(row::at(key.revoked_at))
        .execute(&mut *connection)
        .await?;
    audit::insert(connection, &AuditEntry::key(&key, write.kind(), actor, now)).await?;
    sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(connection).await?;
    Ok(key)
}

const PUT: &str = "INSERT INTO api_keys (id, tenant, name, role, digest, created_at, expires_at, rotated_at, revoked_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, \
     rotated_at = excluded.rotated_at, revoked_at = excluded.revoked_at";

async fn find(connection: &mut PgConnection, id: &KeyId) -> Result<Option<ApiKey>, Error> {
    let row = sqlx::query("SELECT * FROM api_keys WHERE id = $1").bind(id.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(row::key).transpose()
}
