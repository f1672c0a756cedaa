//! Retention: what is old goes, a bounded number of rows at a time.

use sqlx::SqliteConnection;
use vigil_core::clock::Timestamp;
use vigil_core::policy::PolicySpec;

use crate::error::Error;

/// How many rows of one table go in one call.
const BATCH: i64 = 5000;

pub(crate) async fn prune(
    connection: &mut SqliteConnection,
    metrics: Timestamp,
    history: Timestamp,
    now: Timestamp,
) -> Result<u64, Error> {
    let keys = now - vigil_core::store::IDEMPOTENCY_KEPT;
    let cooldown = now - PolicySpec::MAX_COOLDOWN;
    let statements: [(&'static str, Timestamp); 6] = [
        ("DELETE FROM metrics WHERE id IN (SELECT id FROM metrics WHERE created_at < ?1 LIMIT ?2)", metrics),
        (
            "DELETE FROM series_latest WHERE (tenant, target, name, series) IN \
             (SELECT tenant, target, name, series FROM series_latest WHERE at < ?1 LIMIT ?2)",
            metrics,
        ),
        (
            "DELETE FROM actions WHERE id IN (SELECT id FROM actions WHERE completed_at < ?1 AND occupies = 0 \
             AND verification IS NOT 'awaiting' AND (policy IS NULL OR started_at < ?3) LIMIT ?2)",
            history,
        ),
        (
            "DELETE FROM episodes WHERE id IN (SELECT id FROM episodes WHERE state = 'resolved' AND resolved_at < ?1 LIMIT ?2)",
            history,
        ),
        ("DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ?1 AND seq IS NOT NULL LIMIT ?2)", history),
        (
            "DELETE FROM idempotency WHERE (tenant, kind, key) IN \
             (SELECT tenant, kind, key FROM idempotency WHERE at < ?1 LIMIT ?2)",
            keys,
        ),
    ];
    let mut removed = 0;
    for (statement, before) in statements {
        let statement = sqlx::query(statement).bind(before.as_micros()).bind(BATCH).bind(cooldown.as_micros());
        let done = statement.execute(&mut *connection).await?;
        removed += done.rows_affected();
    }
    // The first ones: samples go about as they came.
    let chunks = "DELETE FROM metric_chunks \
         WHERE chunk IN (SELECT chunk FROM metric_chunks WHERE last < ? / 1000000 ORDER BY chunk LIMIT 1000) \
         AND NOT EXISTS (SELECT 1 FROM metrics WHERE id >> 9 = +metric_chunks.chunk)";
    sqlx::query(chunks).bind(metrics.as_micros()).execute(&mut *connection).await?;
    let empty = "DELETE FROM scopes WHERE NOT EXISTS (SELECT 1 FROM series_latest s WHERE s.tenant = scopes.tenant AND s.target = scopes.target) \
         AND NOT EXISTS (SELECT 1 FROM episodes e WHERE e.tenant = scopes.tenant AND e.state <> 'resolved' \
           AND e.target = iif(scopes.target = '', 'unknown', scopes.target))";
    sqlx::query(empty).execute(connection).await?;
    Ok(removed)
}
