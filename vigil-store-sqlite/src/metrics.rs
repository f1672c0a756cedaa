//! Samples: many requests in one transaction, the newest sample of each series kept beside them.

use sqlx::{AssertSqlSafe, QueryBuilder, Row, SqliteConnection};
use vigil_core::clock::Timestamp;
use vigil_core::metric::{Metric, MetricId, MetricName, Sample};
use vigil_core::store::{Idempotency, MetricBatch, Recorded, Scope, StoreError};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::error::Error;
use crate::row::{self, to_json};
use crate::writer::execute;

/// Rows per statement; what is left is one more. So few sizes that all of them stay prepared, and few statements for any number of
/// rows. 8 values a row stay below SQLite's limit of 32766.
const SIZES: [usize; 2] = [512, STATEMENT];
/// So many rows, or fewer, are one statement.
const STATEMENT: usize = 64;

/// Writes all batches in one transaction, which is still open if this fails; a batch whose idempotency key was used otherwise is
/// refused alone.
pub(crate) async fn record(
    connection: &mut SqliteConnection,
    batches: &[&MetricBatch],
) -> Result<Vec<Result<Recorded, StoreError>>, Error> {
    let fresh = |ids| Ok(Recorded { ids, replayed: false });
    if batches.iter().all(|batch| batch.idempotency.is_none()) {
        let metrics: Vec<&Metric> = batches.iter().flat_map(|batch| &batch.metrics).collect();
        // One statement is a transaction by itself.
        let is_one = metrics.len() <= STATEMENT;
        if !is_one {
            execute(connection, "BEGIN IMMEDIATE").await?;
        }
        let mut ids = write(connection, &metrics).await?;
        if !is_one {
            execute(connection, "COMMIT").await?;
        }
        return Ok(batches.iter().map(|batch| fresh(ids.by_ref().take(batch.metrics.len()).collect())).collect());
    }
    let mut answers = Vec::with_capacity(batches.len());
    execute(connection, "BEGIN IMMEDIATE").await?;
    for batch in batches {
        let received_at = batch.metrics.first().map_or(Timestamp::MIN, |metric| metric.received_at);
        let known = match &batch.idempotency {
            Some(key) => replay(connection, "metrics", &batch.tenant, key, received_at).await?,
            None => Ok(None),
        };
        answers.push(match known {
            Err(refused) => Err(refused),
            Ok(Some(ids)) => Ok(Recorded { ids, replayed: true }),
            Ok(None) => {
                let metrics: Vec<&Metric> = batch.metrics.iter().collect();
                let ids: Vec<MetricId> = write(connection, &metrics).await?.collect();
                if let Some(key) = &batch.idempotency {
                    remember(connection, "metrics", &batch.tenant, key, &ids, received_at).await?;
                }
                fresh(ids)
            }
        });
    }
    execute(connection, "COMMIT").await?;
    Ok(answers)
}

/// Inserts samples and answers their ids. A trigger keeps the newest one of each series.
async fn write(
    connection: &mut SqliteConnection,
    metrics: &[&Metric],
) -> Result<impl Iterator<Item = MetricId> + use<>, Error> {
    let (mut last, mut left) = (0, metrics);
    while !left.is_empty() {
        let size = SIZES.into_iter().find(|size| *size <= left.len()).unwrap_or(left.len());
        let (now, later) = left.split_at(size);
        last = insert(connection, now).await?;
        left = later;
    }
    // AUTOINCREMENT gives one number after the other for as long as no INSERT fails, and nobody else writes meanwhile.
    let count = i64::try_from(metrics.len()).unwrap_or(i64::MAX);
    Ok((last - count + 1..=last).map(MetricId))
}

/// Inserts samples in one statement and answers the id of the last one.
async fn insert(connection: &mut SqliteConnection, metrics: &[&Metric]) -> Result<i64, Error> {
    let texts = metrics.iter().map(|metric| Ok((to_json(&metric.tags)?, to_json(&metric.series)?)));
    let texts = texts.collect::<Result<Vec<_>, Error>>()?;
    let mut statement =
        QueryBuilder::new("INSERT INTO metrics (tenant, target, name, value, tags, series, at, created_at, own) ");
    statement.push_values(metrics.iter().zip(texts), |mut row, (metric, (tags, series))| {
        row.push_bind(metric.tenant.as_str())
            .push_bind(metric.target.as_ref().map_or("", Target::as_str))
            .push_bind(metric.name.as_str())
            .push_bind(metric.value)
            .push_bind(tags)
            .push_bind(series)
            .push_bind(metric.at.as_micros())
            .push_bind(metric.received_at.as_micros())
            .push("1");
    });
    Ok(statement.build().execute(connection).await?.last_insert_rowid())
}

pub(crate) async fn snapshot(
    connection: &mut SqliteConnection,
    scope: &Scope,
    since: Timestamp,
) -> Result<Vec<Sample>, Error> {
    let rows = sqlx::query(SNAPSHOT)
        .bind(scope.tenant.as_str())
        .bind(scope.target.as_ref().map_or("", Target::as_str))
        .bind(since.as_micros())
        .fetch_all(connection)
        .await?;
    rows.iter().map(row::sample).collect()
}

pub(crate) const SNAPSHOT: &str =
    "SELECT name, series, value, at FROM series_latest WHERE tenant = ? AND target = ? AND at >= ?";

pub(crate) async fn samples(
    connection: &mut SqliteConnection,
    scope: &Scope,
    metrics: &[MetricName],
    since: Timestamp,
    limit: usize,
) -> Result<Vec<Sample>, Error> {
    let rows = sqlx::query(AssertSqlSafe(samples_statement()))
        .bind(since.as_micros())
        .bind(scope.tenant.as_str())
        .bind(scope.target.as_ref().map_or("", Target::as_str))
        .bind(to_json(&metrics)?)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    rows.iter().map(row::sample).collect()
}

/// The chunks that may hold samples from `?1` on, and their samples: to be narrowed down by tenant, name and target, as the
/// index of a chunk has them. `+`, because a column's affinity would keep the index of an expression from being used.
pub(crate) const SINCE: &str = "metric_chunks AS c CROSS JOIN metrics AS m \
     WHERE c.last >= ?1 / 1000000 AND m.id >> 9 = +c.chunk AND m.at >= ?1";

/// `?1` since, `?2` tenant, `?3` target, `?4` names, `?5` how many.
pub(crate) fn samples_statement() -> String {
    format!(
        "SELECT m.name, m.series, m.value, m.at FROM {SINCE} AND m.tenant = ?2 AND m.target = ?3 \
         AND m.name IN (SELECT value FROM json_each(?4)) ORDER BY m.at, m.id LIMIT ?5"
    )
}

/// The answer that was given to a request with this key, `Ok(None)` if there was none in the last 24 hours.
pub(crate) async fn replay<T: serde::de::DeserializeOwned>(
    connection: &mut SqliteConnection,
    kind: &'static str,
    tenant: &TenantId,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Result<Result<Option<T>, StoreError>, Error> {
    let kept_since = now - vigil_core::store::IDEMPOTENCY_KEPT;
    let known =
        sqlx::query("SELECT fingerprint, answer FROM idempotency WHERE tenant = ? AND kind = ? AND key = ? AND at > ?")
            .bind(tenant.as_str())
            .bind(kind)
            .bind(idempotency.key.as_str())
            .bind(kept_since.as_micros())
            .fetch_optional(connection)
            .await?;
    let Some(known) = known else { return Ok(Ok(None)) };
    let known = row::Reader::new(&known, "idempotency key");
    if known.text("fingerprint")? != idempotency.fingerprint {
        return Ok(Err(StoreError::KeyReused));
    }
    Ok(Ok(Some(known.json("answer")?)))
}

pub(crate) async fn remember(
    connection: &mut SqliteConnection,
    kind: &'static str,
    tenant: &TenantId,
    idempotency: &Idempotency,
    answer: &impl serde::Serialize,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT OR REPLACE INTO idempotency (tenant, kind, key, fingerprint, answer, at) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(tenant.as_str())
    .bind(kind)
    .bind(idempotency.key.as_str())
    .bind(idempotency.fingerprint.as_str())
    .bind(to_json(answer)?)
    .bind(now.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// How many series a tenant has, counted up to `most`.
pub(crate) async fn count_series(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    most: usize,
) -> Result<usize, Error> {
    let row = sqlx::query("SELECT count(*) FROM (SELECT 1 FROM series_latest WHERE tenant = ? LIMIT ?)")
        .bind(tenant.as_str())
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_one(connection)
        .await?;
    Ok(usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX))
}
