//! API keys: each write under the generation that every change of them raises.

use sqlx::{Row, SqliteConnection};
use vigil_core::clock::Timestamp;
use vigil_core::key::{ApiKey, KeyId, KeyTable, KeyWrite};
use vigil_core::store::{Actor, AuditEntry, Followed};
use vigil_core::tenant::TenantId;

use crate::audit;
use crate::error::Error;
use crate::row::{self, micros};

/// Generation and keys of one moment: one statement, so that no write falls between.
pub(crate) async fn table(connection: &mut SqliteConnection) -> Result<KeyTable, Error> {
    let rows = sqlx::query(
        "SELECT counters.value AS generation, api_keys.* FROM counters LEFT JOIN api_keys ON true \
         WHERE counters.name = 'key_generation'",
    )
    .fetch_all(connection)
    .await?;
    let generation = rows.first().map(|row| row.try_get("generation")).transpose()?.unwrap_or(0);
    let mut keys = Vec::new();
    for row in &rows {
        if row.try_get::<Option<String>, _>("id")?.is_some() {
            keys.push(row::key(row)?);
        }
    }
    Ok(KeyTable { generation, keys })
}

/// The generation of what replicas follow.
pub(crate) async fn generation(connection: &mut SqliteConnection, of: Followed) -> Result<i64, Error> {
    let row = sqlx::query("SELECT value FROM counters WHERE name = ?").bind(of.counter()).fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}

pub(crate) async fn write(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    write: &KeyWrite,
    actor: &Actor,
    now: Timestamp,
) -> Result<ApiKey, Error> {
    let known = find(connection, write.id()).await?;
    let key = write.apply(tenant, known.as_ref(), now)?;
    sqlx::query(
        "INSERT OR REPLACE INTO api_keys (id, tenant, name, role, digest, created_at, expires_at, rotated_at, revoked_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(key.id.as_str())
    .bind(key.tenant.as_str())
    .bind(key.name.as_str())
    .bind(key.role.as_str())
    .bind(key.digest.0.to_vec())
    .bind(key.created_at.as_micros())
    .bind(micros(key.expires_at))
    .bind(micros(key.rotated_at))
    .bind(micros(key.revoked_at))
    .execute(&mut *connection)
    .await?;
    audit::insert(connection, &AuditEntry::key(&key, write.kind(), actor, now)).await?;
    sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'key_generation'").execute(connection).await?;
    Ok(key)
}

async fn find(connection: &mut SqliteConnection, id: &KeyId) -> Result<Option<ApiKey>, Error> {
    let row = sqlx::query("SELECT * FROM api_keys WHERE id = ?").bind(id.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(row::key).transpose()
}
