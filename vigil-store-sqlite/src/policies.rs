//! Policies: all writes of a call or none, under one generation that every change raises.

use serde_json::json;
use sqlx::{Row, SqliteConnection};
use vigil_core::clock::Timestamp;
use vigil_core::policy::PolicyName;
use vigil_core::store::{Actor, AuditEntry, PolicyTable, PolicyWrite, StoredPolicy};
use vigil_core::tenant::TenantId;

use crate::audit;
use crate::error::Error;
use crate::row::{self, to_json};

pub(crate) async fn find(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    name: &PolicyName,
) -> Result<Option<StoredPolicy>, Error> {
    let row = sqlx::query("SELECT * FROM policies WHERE tenant = ? AND name = ?")
        .bind(tenant.as_str())
        .bind(name.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::policy).transpose()
}

/// Generation and policies of one moment: one statement, so that no write falls between.
pub(crate) async fn table(connection: &mut SqliteConnection) -> Result<PolicyTable, Error> {
    let rows = sqlx::query(
        "SELECT counters.value AS generation, policies.* FROM counters LEFT JOIN policies ON true \
         WHERE counters.name = 'policy_generation' ORDER BY policies.tenant, policies.name",
    )
    .fetch_all(connection)
    .await?;
    let generation = rows.first().map(|row| row.try_get("generation")).transpose()?.unwrap_or(0);
    let mut policies = Vec::new();
    for row in &rows {
        if row.try_get::<Option<String>, _>("name")?.is_some() {
            policies.push(row::policy(row)?);
        }
    }
    Ok(PolicyTable { generation, policies })
}

pub(crate) async fn write(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    writes: Vec<PolicyWrite>,
    actor: &Actor,
    now: Timestamp,
) -> Result<i64, Error> {
    let row = sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'policy_generation' RETURNING value")
        .fetch_one(&mut *connection)
        .await?;
    let generation: i64 = row.try_get(0)?;
    for write in writes {
        match write {
            PolicyWrite::Put { spec, source, enabled_override, expect } => {
                expect.check(&spec.name, find(connection, tenant, &spec.name).await?.as_ref())?;
                sqlx::query(
                    "INSERT OR REPLACE INTO policies (tenant, name, spec, source, enabled_override, revision, updated_at) \
                     VALUES (?, ?, ?, ?, ?, ?, ?)",
                )
                .bind(tenant.as_str())
                .bind(spec.name.as_str())
                .bind(to_json(&*spec)?)
                .bind(to_json(&source)?)
                .bind(enabled_override)
                .bind(generation)
                .bind(now.as_micros())
                .execute(&mut *connection)
                .await?;
                let detail = json!({"spec": &*spec, "source": source, "revision": generation, "enabled_override": enabled_override});
                let entry = AuditEntry::policy(tenant, &spec.name, "policy.put", detail, actor, now);
                audit::insert(connection, &entry).await?;
            }
            PolicyWrite::Remove { name, expect } => {
                expect.check_removal(&name, find(connection, tenant, &name).await?.as_ref())?;
                sqlx::query("DELETE FROM policies WHERE tenant = ? AND name = ?")
                    .bind(tenant.as_str())
                    .bind(name.as_str())
                    .execute(&mut *connection)
                    .await?;
                let entry = AuditEntry::policy(tenant, &name, "policy.removed", json!({}), actor, now);
                audit::insert(connection, &entry).await?;
            }
        }
    }
    Ok(generation)
}
