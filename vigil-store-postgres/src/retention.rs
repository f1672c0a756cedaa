//! Retention: what is old goes; samples a day at a time, all else a bounded number of rows at a time.

use vigil_core::clock::Timestamp;
use vigil_core::policy::PolicySpec;
use vigil_core::store::IDEMPOTENCY_KEPT;

use crate::connections::Connections;
use crate::error::Error;
use crate::partitions;
use crate::time::At;

/// How many rows of one table go in one call.
const BATCH: i64 = 5000;

/// What cannot be removed now does not keep the rest: it is an error only when nothing else was left to remove.
pub(crate) async fn prune(connections: &Connections, metrics: Timestamp, history: Timestamp) -> Result<u64, Error> {
    let now = connections.now().await?;
    connections.transact(move |c| Box::pin(async move { partitions::make_ahead(c, now).await })).await?;
    let (mut removed, mut failed) = (0, None);
    let past = connections.single(move |c| Box::pin(async move { partitions::past(c, metrics, now).await })).await?;
    for partition in past {
        let name = partition.clone();
        match connections.transact(move |c| Box::pin(async move { partitions::drop_past(c, &name).await })).await {
            Ok(rows) => removed += rows,
            // Another replica was faster.
            Err(error) if error.is_about_a_missing_table() => {}
            Err(error) => {
                tracing::warn!(partition, %error, "samples past their retention could not be dropped; trying again later");
                failed = Some(error);
            }
        }
    }
    let times = [metrics, history, history, history, now - IDEMPOTENCY_KEPT, metrics];
    for (statement, before) in STATEMENTS.into_iter().zip(times) {
        let pruned = connections.single(move |c| {
            Box::pin(async move {
                let query = sqlx::query(statement).bind(At(before)).bind(BATCH);
                let query = if statement == ACTIONS { query.bind(At(now - PolicySpec::MAX_COOLDOWN)) } else { query };
                Ok(query.execute(c).await?)
            })
        });
        removed += pruned.await?.rows_affected();
    }
    match failed {
        Some(error) if removed == 0 => Err(error),
        _ => Ok(removed),
    }
}

/// `$3`: actions of policies that were created later stay, because a cooldown is judged by them.
const ACTIONS: &str = "DELETE FROM actions WHERE id = ANY(ARRAY(SELECT id FROM actions WHERE completed_at < $1 AND NOT occupies \
       AND verification IS DISTINCT FROM 'awaiting' AND (policy IS NULL OR started_at < $3) ORDER BY completed_at LIMIT $2 \
       FOR UPDATE SKIP LOCKED))";

/// SKIP LOCKED: another replica prunes at the same time, and a row that somebody works on is not old.
const STATEMENTS: [&str; 6] = [
    "DELETE FROM series_latest WHERE ctid = ANY(ARRAY(\
       SELECT ctid FROM series_latest WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
    ACTIONS,
    "DELETE FROM episodes WHERE id = ANY(ARRAY(SELECT id FROM episodes WHERE state = 'resolved' AND resolved_at < $1 \
       ORDER BY resolved_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
    "DELETE FROM audit WHERE id = ANY(ARRAY(\
       SELECT id FROM audit WHERE at < $1 AND seq IS NOT NULL ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))",
    "DELETE FROM idempotency WHERE ctid = ANY(ARRAY(\
       SELECT ctid FROM idempotency WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))",
    // Its `seen_at` is looked at again when the row is locked: one that was just wanted again stays.
    "DELETE FROM scopes WHERE ctid = ANY(ARRAY(SELECT ctid FROM scopes WHERE seen_at < now() - interval '1 minute' AND seen_at < $1 \
       AND NOT EXISTS (SELECT 1 FROM series_latest s WHERE s.tenant = scopes.tenant AND s.target = scopes.target) \
       AND NOT EXISTS (SELECT 1 FROM episodes e WHERE e.tenant = scopes.tenant AND e.state <> 'resolved' \
         AND e.target = CASE scopes.target WHEN '' THEN 'unknown' ELSE scopes.target END) \
       LIMIT $2 FOR UPDATE SKIP LOCKED))",
];
