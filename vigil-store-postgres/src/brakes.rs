//! Brakes: one row a tenant. Whoever begins something that a brake may stop shares one lock, and looks only then (the function
//! `vigil_braked` of the database does both); whoever sets a brake takes it alone. So a brake that is answered has waited for
//! all that was being committed, and is seen by all that comes after it.

use sqlx::PgConnection;
use vigil_core::clock::Timestamp;
use vigil_core::store::{Actor, AuditEntry, Brake, BrakeChange, BrakeScope, BrakeState, Brakes};
use vigil_core::tenant::TenantId;

use crate::connections::{Commit, Connections};
use crate::error::Error;
use crate::row::{Reader, at, text};
use crate::time::At;
use crate::{audit, digest};

/// The number of the lock.
pub(crate) fn lock() -> i64 {
    digest::number(&["brake"])
}

/// When the last of the brakes that are on for that tenant at that time ends: infinity for one without an end, null if none is on.
macro_rules! braked {
    ($tenant:literal, $now:literal) => {
        concat!(
            "(SELECT max(coalesce(until, 'infinity')) FROM brakes WHERE tenant IN (",
            $tenant,
            ", 'default') AND (tenant = ",
            $tenant,
            " OR scope = 'all') AND state = 'stopped' AND (until IS NULL OR until > coalesce(",
            $now,
            ", clock_timestamp())))"
        )
    };
}
pub(crate) use braked;

/// The brakes that count for a tenant.
pub(crate) async fn of(connection: &mut PgConnection, tenant: &TenantId, given: Option<At>) -> Result<Brakes, Error> {
    let rows = sqlx::query(OF).bind(tenant.as_str()).bind(given).fetch_all(connection).await?;
    let mut now = None;
    let mut brakes = Vec::new();
    for row in &rows {
        let reader = Reader::new(row, "brake");
        now = Some(reader.time("now")?);
        if reader.maybe_text("tenant")?.is_some() {
            brakes.push(read(&reader)?);
        }
    }
    Ok(Brakes::of(tenant, brakes, now.unwrap_or(Timestamp::MIN)))
}

/// One row at least, with the time.
pub(crate) const OF: &str = "SELECT coalesce($2, clock_timestamp()) AS now, brakes.* FROM (SELECT 1) AS always \
     LEFT JOIN brakes ON brakes.tenant IN ($1, 'default')";

/// All brakes of all tenants.
pub(crate) async fn all(connection: &mut PgConnection) -> Result<Vec<Brake>, Error> {
    let rows = sqlx::query("SELECT * FROM brakes ORDER BY tenant").fetch_all(connection).await?;
    rows.iter().map(|row| read(&Reader::new(row, "brake"))).collect()
}

pub(crate) async fn set(
    connections: &Connections,
    tenant: &TenantId,
    change: BrakeChange,
    actor: &Actor,
) -> Result<Brakes, Error> {
    let (tenant, actor, given) = (tenant.clone(), actor.clone(), connections.given_now());
    let work = connections.exclusively(lock(), Commit::Durable, move |c| {
        Box::pin(async move {
            let At(now) =
                sqlx::query_scalar("SELECT coalesce($1, clock_timestamp())").bind(given).fetch_one(&mut *c).await?;
            let brake = change.apply(&tenant, &actor, now);
            sqlx::query(SET)
                .bind(tenant.as_str())
                .bind(brake.state.as_str())
                .bind(brake.scope.as_str())
                .bind(brake.reason.as_deref().map(text))
                .bind(at(brake.until))
                .bind(At(brake.since))
                .bind(text(brake.actor.as_str()))
                .execute(&mut *c)
                .await?;
            audit::insert(c, &AuditEntry::brake(&brake)).await?;
            of(c, &tenant, Some(At(now))).await
        })
    });
    work.await
}

const SET: &str = "INSERT INTO brakes (tenant, state, scope, reason, until, since, actor) VALUES ($1, $2, $3, $4, $5, $6, $7) \
     ON CONFLICT (tenant) DO UPDATE SET state = excluded.state, scope = excluded.scope, reason = excluded.reason, \
     until = excluded.until, since = excluded.since, actor = excluded.actor";

fn read(row: &Reader<'_>) -> Result<Brake, Error> {
    Ok(Brake {
        tenant: row.word("tenant", TenantId::new)?,
        state: row.word("state", BrakeState::parse)?,
        scope: row.word("scope", BrakeScope::parse)?,
        reason: row.maybe_text("reason")?,
        until: row.maybe_time("until")?,
        since: row.time("since")?,
        actor: Actor::new(&row.text("actor")?),
    })
}
