//! Scopes: what there is to judge, handed out once an interval.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use vigil_core::clock::Timestamp;
use vigil_core::store::{Scope, latest_due};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::error::Error;

pub(crate) async fn claim(
    connection: &mut SqliteConnection,
    every: Duration,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<Scope>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    sqlx::query(OVERDUE)
        .bind(now.as_micros())
        .bind(latest_due(now, every).as_micros())
        .execute(&mut *connection)
        .await?;
    let rows = sqlx::query(DUE).bind(now.as_micros()).bind(limit).fetch_all(&mut *connection).await?;
    for row in &rows {
        let due = Timestamp::from_micros(row.try_get("due_at")?);
        // On the beat, however late the caller came, unless it is more than a beat late.
        let next = if due + every > now { due + every } else { now + every };
        sqlx::query("UPDATE scopes SET due_at = ? WHERE tenant = ? AND target = ?")
            .bind(next.as_micros())
            .bind(row.try_get::<&str, _>("tenant")?)
            .bind(row.try_get::<&str, _>("target")?)
            .execute(&mut *connection)
            .await?;
    }
    rows.iter().map(scope).collect()
}

pub(crate) const OVERDUE: &str = "UPDATE scopes SET due_at = ?1 WHERE due_at > ?2";

pub(crate) const DUE: &str =
    "SELECT tenant, target, due_at FROM scopes WHERE due_at <= ? ORDER BY due_at, tenant, target LIMIT ?";

fn scope(row: &SqliteRow) -> Result<Scope, Error> {
    let (tenant, target): (&str, &str) = (row.try_get("tenant")?, row.try_get("target")?);
    let tenant = TenantId::new(tenant).map_err(|error| Error::unreadable("scope, column tenant,", error))?;
    let target = match target {
        "" => None,
        name => Some(Target::new(name).map_err(|error| Error::unreadable("scope, column target,", error))?),
    };
    Ok(Scope { tenant, target })
}
