//! Samples: many requests in one transaction, the newest sample of each series kept beside them.

use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
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
const CHUNKS: [usize; 2] = [512, 64];

/// Writes all batches in one transaction, which is still open if this fails; a batch whose idempotency key was used otherwise is
/// refused alone.
pub(crate) async fn record(
    connection: &mut SqliteConnection,
    batches: &[&MetricBatch],
) -> Result<Vec<Result<Recorded, StoreError>>, Error> {
    let fresh = |ids| Ok(Recorded { ids, replayed: false });
    if batches.iter().all(|batch| batch.idempotency.is_none()) {
        let metrics: Vec<&Metric> = batches.iter().flat_map(|batch| &batch.metrics).collect();
        let mut ids = write(connection, &metrics, Extent::Transaction).await?;
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
                let ids: Vec<MetricId> = write(connection, &metrics, Extent::Statements).await?.collect();
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

/// Whether what is written is a transaction, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Transaction,
    Statements,
}

/// Inserts samples and answers their ids. What stands in one query is one way to the thread of the connection and back; few samples
/// are one query.
async fn write(
    connection: &mut SqliteConnection,
    metrics: &[&Metric],
    extent: Extent,
) -> Result<impl Iterator<Item = MetricId> + use<>, Error> {
    let is_whole = extent == Extent::Transaction;
    let (mut statement, mut left) = (QueryBuilder::new(if is_whole { "BEGIN IMMEDIATE; " } else { "" }), metrics);
    loop {
        let size = CHUNKS.into_iter().find(|size| *size <= left.len()).unwrap_or(left.len());
        let (chunk, rest) = left.split_at(size);
        push_inserts(&mut statement, chunk)?;
        if rest.is_empty() {
            break;
        }
        statement.build().execute(&mut *connection).await?;
        (statement, left) = (QueryBuilder::new(""), rest);
    }
    // AUTOINCREMENT gives one number after the other for as long as no INSERT fails, and nobody else writes meanwhile.
    statement.push("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'metrics'), 0)");
    statement.push(if is_whole { "; COMMIT" } else { "" });
    // Not the first row alone: what comes after it would not be run.
    let rows = statement.build().fetch_all(connection).await?;
    let last: i64 = rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
    let count = i64::try_from(metrics.len()).unwrap_or(i64::MAX);
    Ok((last - count + 1..=last).map(MetricId))
}

/// Two statements, of which the second keeps the newest sample of each series: it sees them one after the other.
fn push_inserts(statement: &mut QueryBuilder<Sqlite>, metrics: &[&Metric]) -> Result<(), Error> {
    if metrics.is_empty() {
        return Ok(());
    }
    let mut tags = Vec::with_capacity(metrics.len());
    let mut series = Vec::with_capacity(metrics.len());
    for metric in metrics {
        tags.push(to_json(&metric.tags)?);
        series.push(to_json(&metric.series)?);
    }
    statement.push("INSERT INTO metrics (tenant, target, name, value, tags, series, at, created_at) ");
    statement.push_values(metrics.iter().zip(tags).zip(&series), |mut row, ((metric, tags), series)| {
        row.push_bind(metric.tenant.as_str())
            .push_bind(metric.target.as_ref().map_or("", Target::as_str))
            .push_bind(metric.name.as_str())
            .push_bind(metric.value)
            .push_bind(tags)
            .push_bind(&**series)
            .push_bind(metric.at.as_micros())
            .push_bind(metric.received_at.as_micros());
    });
    statement.push("; INSERT INTO series_latest (tenant, target, name, series, value, at) ");
    statement.push_values(metrics.iter().zip(series), |mut row, (metric, series)| {
        row.push_bind(metric.tenant.as_str())
            .push_bind(metric.target.as_ref().map_or("", Target::as_str))
            .push_bind(metric.name.as_str())
            .push_bind(series)
            .push_bind(metric.value)
            .push_bind(metric.at.as_micros());
    });
    statement.push(
        " ON CONFLICT (tenant, target, name, series) DO UPDATE SET value = excluded.value, at = excluded.at \
         WHERE excluded.at >= series_latest.at; ",
    );
    Ok(())
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
    let rows = sqlx::query(SAMPLES)
        .bind(scope.tenant.as_str())
        .bind(scope.target.as_ref().map_or("", Target::as_str))
        .bind(to_json(&metrics)?)
        .bind(since.as_micros())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    rows.iter().map(row::sample).collect()
}

pub(crate) const SAMPLES: &str = "SELECT name, series, value, at FROM metrics \
     WHERE tenant = ? AND target = ? AND name IN (SELECT value FROM json_each(?)) AND at >= ? ORDER BY at, id LIMIT ?";

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
