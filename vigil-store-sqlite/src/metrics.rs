//! Samples: many requests in one transaction, the newest sample of each series kept beside them.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use vigil_core::clock::Timestamp;
use vigil_core::metric::{Metric, MetricId, MetricName, Sample};
use vigil_core::store::{Idempotency, MetricBatch, Recorded, Scope, StoreError};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::error::Error;
use crate::row::{self, to_json};

/// Rows per statement; what is left is one more. So few sizes that all of them stay prepared, and few statements for any number of
/// rows. 9 values a row stay below SQLite's limit of 32766.
const CHUNKS: [usize; 2] = [512, 64];

/// Writes all batches in one transaction, which is still open if this fails; a batch whose idempotency key was used otherwise is
/// refused alone.
pub(crate) async fn record(
    connection: &mut SqliteConnection,
    batches: &[&MetricBatch],
) -> Result<Vec<Result<Recorded, StoreError>>, Error> {
    let mut next: i64 = sqlx::query(BEGIN).fetch_one(&mut *connection).await?.try_get(0)?;
    let mut answers = Vec::with_capacity(batches.len());
    let mut rows: Vec<(i64, &Metric)> = Vec::new();
    // Two requests of one transaction may carry the same key.
    let mut taken: HashMap<(&TenantId, &str), (&Idempotency, Vec<MetricId>)> = HashMap::new();
    for batch in batches {
        let received_at = batch.metrics.first().map_or(Timestamp::MIN, |metric| metric.received_at);
        if let Some(idempotency) = &batch.idempotency {
            let twin = taken.get(&(&batch.tenant, idempotency.key.as_str()));
            let known = match twin {
                Some((known, ids)) if known.fingerprint == idempotency.fingerprint => Ok(Some(ids.clone())),
                Some(_) => Err(StoreError::KeyReused),
                None => replay(connection, "metrics", &batch.tenant, idempotency, received_at).await?,
            };
            match known {
                Ok(Some(ids)) => {
                    answers.push(Ok(Recorded { ids, replayed: true }));
                    continue;
                }
                Err(refused) => {
                    answers.push(Err(refused));
                    continue;
                }
                Ok(None) => {}
            }
        }
        let mut ids = Vec::with_capacity(batch.metrics.len());
        for metric in &batch.metrics {
            next += 1;
            ids.push(MetricId(next));
            rows.push((next, metric));
        }
        if let Some(idempotency) = &batch.idempotency {
            remember(connection, "metrics", &batch.tenant, idempotency, &ids, received_at).await?;
            taken.insert((&batch.tenant, idempotency.key.as_str()), (idempotency, ids.clone()));
        }
        answers.push(Ok(Recorded { ids, replayed: false }));
    }
    write(connection, &rows).await?;
    Ok(answers)
}

/// Nobody else writes from here on, so that the ids are free.
const BEGIN: &str = "BEGIN IMMEDIATE; SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'metrics'), 0)";

/// Inserts all rows and commits. What stands in one query is one way to the thread of the connection and back.
async fn write(connection: &mut SqliteConnection, mut rows: &[(i64, &Metric)]) -> Result<(), Error> {
    loop {
        let size = CHUNKS.into_iter().find(|size| *size <= rows.len()).unwrap_or(rows.len());
        let (chunk, rest) = rows.split_at(size);
        let mut statement = QueryBuilder::new("");
        push_inserts(&mut statement, chunk)?;
        if rest.is_empty() {
            statement.push("COMMIT");
        }
        statement.build().execute(&mut *connection).await?;
        if rest.is_empty() {
            return Ok(());
        }
        rows = rest;
    }
}

/// Two statements, of which the second keeps the newest sample of each series: it sees the rows one after the other.
fn push_inserts(statement: &mut QueryBuilder<Sqlite>, rows: &[(i64, &Metric)]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut tags = Vec::with_capacity(rows.len());
    let mut series = Vec::with_capacity(rows.len());
    for (_, metric) in rows {
        tags.push(to_json(&metric.tags)?);
        series.push(to_json(&metric.series)?);
    }
    statement.push("INSERT INTO metrics (id, tenant, target, name, value, tags, series, at, created_at) ");
    statement.push_values(rows.iter().zip(tags).zip(&series), |mut row, (((id, metric), tags), series)| {
        row.push_bind(*id)
            .push_bind(metric.tenant.as_str())
            .push_bind(metric.target.as_ref().map_or("", Target::as_str))
            .push_bind(metric.name.as_str())
            .push_bind(metric.value)
            .push_bind(tags)
            .push_bind(&**series)
            .push_bind(metric.at.as_micros())
            .push_bind(metric.received_at.as_micros());
    });
    statement.push("; INSERT INTO series_latest (tenant, target, name, series, value, at) ");
    statement.push_values(rows.iter().zip(series), |mut row, ((_, metric), series)| {
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
