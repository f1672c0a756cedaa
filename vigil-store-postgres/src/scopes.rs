//! Scopes: what there is to judge, handed out once an interval.

use std::time::Duration;

use sqlx::PgConnection;
use vigil_core::clock::Timestamp;
use vigil_core::store::{Scope, latest_due};

use crate::error::Error;
use crate::row;
use crate::time::At;

/// Whoever else is at it takes other rows: nobody waits, and nobody gets what another got.
pub(crate) async fn claim(
    connection: &mut PgConnection,
    every: Duration,
    limit: usize,
    now: Option<At>,
) -> Result<Vec<Scope>, Error> {
    // A zero time: what is added to the database's clock there.
    let ahead = latest_due(Timestamp::from_micros(0), every).as_micros();
    sqlx::query(OVERDUE).bind(now).bind(ahead).execute(&mut *connection).await?;
    let rows =
        sqlx::query(CLAIM).bind(now).bind(row::micros(every)).bind(row::limit(limit)).fetch_all(connection).await?;
    rows.iter().map(row::scope).collect()
}

pub(crate) const OVERDUE: &str = "UPDATE scopes SET due_at = coalesce($1, now()) \
     WHERE due_at > coalesce($1, now()) + $2 * interval '1 microsecond'";

/// Rows in which nothing is left to judge are passed over until they are pruned (LIMIT 1 and not EXISTS, for which the planner
/// would read all of `series_latest`). The next time is on the beat, however late the caller came, unless it is more than a
/// beat late. Each beat is up to a tenth shorter by chance: scopes that came together drift apart, so that no replica
/// finds them all due at the one moment it asks. The limit that stands in the statement tells the planner that they are few: for
/// a tenth of all, which is what it takes a parameter for, it would read the whole table.
pub(crate) const CLAIM: &str = "WITH due AS MATERIALIZED (SELECT * FROM (SELECT tenant, target, due_at, \
         $2 * (1 - random() / 10) * interval '1 microsecond' AS beat FROM scopes \
       WHERE due_at <= coalesce($1, now()) \
         AND ((SELECT true FROM series_latest AS s WHERE s.tenant = scopes.tenant AND s.target = scopes.target LIMIT 1) \
           OR (SELECT true FROM episodes AS e WHERE e.tenant = scopes.tenant AND e.state <> 'resolved' \
             AND e.target = CASE scopes.target WHEN '' THEN 'unknown' ELSE scopes.target END LIMIT 1)) \
       ORDER BY due_at, tenant, target LIMIT 500 FOR UPDATE SKIP LOCKED) AS first LIMIT $3), \
     claimed AS (UPDATE scopes SET due_at = CASE WHEN due.due_at + due.beat > coalesce($1, now()) \
         THEN due.due_at + due.beat ELSE coalesce($1, now()) + due.beat END \
       FROM due WHERE scopes.tenant = due.tenant AND scopes.target = due.target RETURNING scopes.tenant, scopes.target) \
     SELECT tenant, target FROM claimed JOIN due USING (tenant, target) ORDER BY due.due_at, tenant, target";
