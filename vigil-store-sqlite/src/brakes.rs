//! Brakes: one row a tenant, judged in the transaction of whatever it may stop.

use sqlx::{Row, SqliteConnection};
use vigil_core::clock::Timestamp;
use vigil_core::store::{Actor, AuditEntry, Brake, BrakeChange, BrakeScope, BrakeState, Braked, Brakes};
use vigil_core::tenant::TenantId;

use crate::audit;
use crate::error::Error;
use crate::row::{Reader, micros};

/// The brakes that count for a tenant.
pub(crate) async fn of(connection: &mut SqliteConnection, tenant: &TenantId, now: Timestamp) -> Result<Brakes, Error> {
    let rows = sqlx::query("SELECT * FROM brakes WHERE tenant IN (?, ?)")
        .bind(tenant.as_str())
        .bind(TenantId::default().as_str().to_owned())
        .fetch_all(connection)
        .await?;
    let brakes = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Brakes::of(tenant, brakes, now))
}

/// All brakes of all tenants.
pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<Brake>, Error> {
    let rows = sqlx::query("SELECT * FROM brakes ORDER BY tenant").fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// The brake that is on for a tenant.
pub(crate) async fn braked(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    now: Timestamp,
) -> Result<Option<Braked>, Error> {
    let row = sqlx::query(BRAKED).bind(tenant.as_str()).bind(now.as_micros()).fetch_one(connection).await?;
    let latest: Option<i64> = row.try_get(0)?;
    Ok(Braked::until(latest.map(Timestamp::from_micros)))
}

/// When the last of the brakes that are on ends: the greatest number for one without an end.
pub(crate) const BRAKED: &str = "SELECT max(coalesce(until, 9223372036854775807)) FROM brakes \
     WHERE tenant IN (?1, 'default') AND (tenant = ?1 OR scope = 'all') AND state = 'stopped' AND (until IS NULL OR until > ?2)";

pub(crate) async fn set(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    change: BrakeChange,
    actor: &Actor,
    now: Timestamp,
) -> Result<Brakes, Error> {
    let brake = change.apply(tenant, actor, now);
    sqlx::query(
        "INSERT OR REPLACE INTO brakes (tenant, state, scope, reason, until, since, actor) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(tenant.as_str())
    .bind(brake.state.as_str())
    .bind(brake.scope.as_str())
    .bind(brake.reason.as_deref())
    .bind(micros(brake.until))
    .bind(brake.since.as_micros())
    .bind(brake.actor.as_str())
    .execute(&mut *connection)
    .await?;
    audit::insert(connection, &AuditEntry::brake(&brake)).await?;
    of(connection, tenant, now).await
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<Brake, Error> {
    let row = Reader::new(row, "brake");
    Ok(Brake {
        tenant: row.word("tenant", TenantId::new)?,
        state: row.word("state", BrakeState::parse)?,
        scope: row.word("scope", BrakeScope::parse)?,
        reason: row.maybe_text("reason")?.map(str::to_owned),
        until: row.maybe_time("until")?,
        since: row.time("since")?,
        actor: Actor::new(row.text("actor")?),
    })
}
