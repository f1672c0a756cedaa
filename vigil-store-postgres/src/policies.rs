//! Policies: all writes of a call or none, under one generation that every change raises.

use serde_json::json;
use sqlx::{PgConnection, Row};
use vigil_core::policy::PolicyName;
use vigil_core::store::{Actor, AuditEntry, PolicyTable, PolicyWrite, StoredPolicy};
use vigil_core::tenant::TenantId;

use crate::error::Error;
use crate::listener::CHANNEL;
use crate::row::{self, Reader, to_json};
use crate::time::At;
use crate::{audit, brakes};

async fn find(
    connection: &mut PgConnection,
    tenant: &TenantId,
    name: &PolicyName,
) -> Result<Option<StoredPolicy>, Error> {
    let row = sqlx::query("SELECT * FROM policies WHERE tenant = $1 AND name = $2")
        .bind(tenant.as_str())
        .bind(name.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::policy).transpose()
}

/// Generation and policies of one moment: one statement, so that no write falls between.
pub(crate) async fn table(connection: &mut PgConnection) -> Result<PolicyTable, Error> {
    let rows = sqlx::query(
        "SELECT counters.value AS generation, policies.* FROM counters LEFT JOIN policies ON true \
         WHERE counters.name = 'policy_generation' ORDER BY policies.tenant, policies.name",
    )
    .fetch_all(connection)
    .await?;
    let generation = rows.first().map(|row| row.try_get("generation")).transpose()?.unwrap_or(0);
    let mut policies = Vec::new();
    for row in &rows {
        if row.try_get::<Option<&str>, _>("name")?.is_some() {
            policies.push(row::policy(row)?);
        }
    }
    Ok(PolicyTable { generation, policies })
}

/// The generation's row is changed first: writers of policies wait for each other there. At last they take the lock that
/// starts of attempts share: when this is committed, no start that read the policies before is still to be committed.
pub(crate) async fn write(
    connection: &mut PgConnection,
    tenant: &TenantId,
    writes: Vec<PolicyWrite>,
    actor: &Actor,
    given: Option<At>,
) -> Result<i64, Error> {
    let row = sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'policy_generation' RETURNING value")
        .fetch_one(&mut *connection)
        .await?;
    let generation: i64 = row.try_get(0)?;
    let row =
        sqlx::query("SELECT coalesce($1, clock_timestamp()) AS now").bind(given).fetch_one(&mut *connection).await?;
    let now = Reader::new(&row, "clock").time("now")?;
    for write in writes {
        match write {
            PolicyWrite::Put { spec, source, enabled_override, expect } => {
                expect.check(&spec.name, find(connection, tenant, &spec.name).await?.as_ref())?;
                sqlx::query(PUT)
                    .bind(tenant.as_str())
                    .bind(spec.name.as_str())
                    .bind(to_json(&*spec)?)
                    .bind(to_json(&source)?)
                    .bind(enabled_override)
                    .bind(enabled_override.unwrap_or(spec.enabled))
                    .bind(generation)
                    .bind(At(now))
                    .execute(&mut *connection)
                    .await?;
                let detail = json!({"spec": &*spec, "source": source, "revision": generation, "enabled_override": enabled_override});
                let entry = AuditEntry::policy(tenant, &spec.name, "policy.put", detail, actor, now);
                audit::insert(connection, &entry).await?;
            }
            PolicyWrite::Remove { name, expect } => {
                expect.check_removal(&name, find(connection, tenant, &name).await?.as_ref())?;
                sqlx::query("DELETE FROM policies WHERE tenant = $1 AND name = $2")
                    .bind(tenant.as_str())
                    .bind(name.as_str())
                    .execute(&mut *connection)
                    .await?;
                let entry = AuditEntry::policy(tenant, &name, "policy.removed", json!({}), actor, now);
                audit::insert(connection, &entry).await?;
            }
        }
    }
    sqlx::query("SELECT pg_notify($1, $2), pg_advisory_xact_lock($3)")
        .bind(CHANNEL)
        .bind(generation.to_string())
        .bind(brakes::lock())
        .execute(connection)
        .await?;
    Ok(generation)
}

const PUT: &str = "INSERT INTO policies (tenant, name, spec, source, enabled_override, enabled, revision, updated_at) \
     VALUES ($1, $2, $3::json, $4::json, $5, $6, $7, $8) ON CONFLICT (tenant, name) DO UPDATE SET spec = excluded.spec, \
     source = excluded.source, enabled_override = excluded.enabled_override, enabled = excluded.enabled, \
     revision = excluded.revision, updated_at = excluded.updated_at";
