//! Samples: many requests in one statement, the newest sample of each series kept beside them.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row as _};
use tokio::time::Instant;
use vigil_core::clock::Timestamp;
use vigil_core::metric::{Metric, MetricId, MetricName, Sample};
use vigil_core::store::{MetricBatch, Recorded, Scope, StoreError};
use vigil_core::tenant::TenantId;

use crate::digest;
use crate::error::Error;
use crate::idempotency::{self, Taken};
use crate::row::{self, target_text, to_json};
use crate::time::At;

/// How many ids one number of the sequence stands for: its INCREMENT.
const BLOCK: usize = 1000;

/// Ids that this process has drawn and not yet given away.
#[derive(Debug, Default)]
pub(crate) struct Ids(Vec<std::ops::Range<i64>>);

impl Ids {
    /// Draws until there are `count`.
    pub(crate) async fn provide(&mut self, connection: &mut PgConnection, count: usize) -> Result<(), Error> {
        let have: usize = self.0.iter().map(|range| usize::try_from(range.end - range.start).unwrap_or(0)).sum();
        if have >= count {
            return Ok(());
        }
        let blocks = (count - have).div_ceil(BLOCK);
        let drawn = sqlx::query("SELECT nextval('metrics_id_seq') FROM generate_series(1, $1)")
            .bind(i64::try_from(blocks).unwrap_or(i64::MAX))
            .fetch_all(connection)
            .await?;
        for row in drawn {
            let first: i64 = row.try_get(0)?;
            self.0.insert(0, first..first + BLOCK as i64);
        }
        Ok(())
    }

    fn take(&mut self) -> Option<MetricId> {
        while let Some(range) = self.0.last_mut() {
            if let Some(id) = range.next() {
                return Some(MetricId(id));
            }
            self.0.pop();
        }
        None
    }
}

/// A request whose samples wait for their statement.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) batch: MetricBatch,
    pub(crate) since: Instant,
}

impl Accepted {
    /// For how many microseconds it has been waiting.
    fn waited(&self) -> i64 {
        i64::try_from(self.since.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

/// How a sample's times are written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Receipt {
    /// As they are: the Store was given the clock they were taken by, which shows this.
    Given(Timestamp),
    /// By the database's clock, so long before the statement as the request has been waiting: no replica's clock matters then.
    Waited,
}

/// Writes all batches in one statement; with keys among them in one transaction, which the caller must have begun. A batch
/// whose idempotency key was used otherwise is refused alone.
pub(crate) async fn record(
    connection: &mut PgConnection,
    requests: &[Accepted],
    ids: &mut Ids,
    receipt: Receipt,
) -> Result<Vec<Result<Recorded, StoreError>>, Error> {
    ids.provide(connection, requests.iter().map(|request| request.batch.metrics.len()).sum()).await?;
    let mut answers: Vec<Result<Recorded, StoreError>> = Vec::with_capacity(requests.len());
    for request in requests {
        let enough = "as many as there are samples were provided";
        let drawn = request.batch.metrics.iter().map(|_| ids.take().expect(enough)).collect();
        answers.push(Ok(Recorded { ids: drawn, replayed: false }));
    }
    take_keys(connection, requests, &mut answers, receipt).await?;
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (request, answer) in requests.iter().zip(&answers) {
        if let Ok(Recorded { ids, replayed: false }) = answer {
            let waited = request.waited();
            rows.extend(ids.iter().zip(&request.batch.metrics).map(|(id, metric)| Row { id: *id, metric, waited }));
        }
    }
    if !rows.is_empty() {
        write(connection, &rows, receipt).await?;
    }
    Ok(answers)
}

/// In the order of the keys, so that two replicas with the same ones wait for each other and not crosswise.
async fn take_keys(
    connection: &mut PgConnection,
    requests: &[Accepted],
    answers: &mut [Result<Recorded, StoreError>],
    receipt: Receipt,
) -> Result<(), Error> {
    let now = match receipt {
        Receipt::Given(now) => Some(At(now)),
        Receipt::Waited => None,
    };
    let batches = requests.iter().map(|request| &request.batch);
    let mut keyed: Vec<_> = batches.zip(answers).filter(|(batch, _)| batch.idempotency.is_some()).collect();
    keyed.sort_by_key(|(batch, _)| (&batch.tenant, batch.idempotency.as_ref().map(|key| &key.key)));
    for (batch, answer) in keyed {
        let (Some(idempotency), Ok(recorded)) = (&batch.idempotency, &answer) else { continue };
        match idempotency::take(connection, "metrics", &batch.tenant, idempotency, &recorded.ids, now).await? {
            Taken::Fresh => {}
            Taken::Replayed(ids) => *answer = Ok(Recorded { ids, replayed: true }),
            Taken::Reused => *answer = Err(StoreError::KeyReused),
        }
    }
    Ok(())
}

/// A sample to be written.
struct Row<'m> {
    id: MetricId,
    metric: &'m Metric,
    /// For how many microseconds it has been waiting.
    waited: i64,
}

/// A column of each row.
#[derive(Default)]
struct Columns<'m> {
    tenants: Vec<&'m str>,
    targets: Vec<&'m str>,
    names: Vec<&'m str>,
    series: Vec<String>,
    values: Vec<f64>,
    at: Vec<At>,
    received: Vec<At>,
    waited: Vec<i64>,
}

impl<'m> Columns<'m> {
    fn push(&mut self, metric: &'m Metric, series: String, waited: i64) {
        self.tenants.push(metric.tenant.as_str());
        self.targets.push(target_text(metric.target.as_ref()));
        self.names.push(metric.name.as_str());
        self.series.push(series);
        self.values.push(metric.value);
        self.at.push(At(metric.at));
        self.received.push(At(metric.received_at));
        self.waited.push(waited);
    }
}

async fn write(connection: &mut PgConnection, rows: &[Row<'_>], receipt: Receipt) -> Result<(), Error> {
    let mut all = Columns::default();
    let (mut ids, mut tags) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    // One row for each series, or the statement would change a row twice; sorted, or two replicas could wait crosswise.
    let mut newest: BTreeMap<_, usize> = BTreeMap::new();
    for (index, Row { id, metric, waited }) in rows.iter().enumerate() {
        let place = newest.entry((&metric.tenant, &metric.target, &metric.name, &metric.series)).or_insert(index);
        if rows[*place].metric.at <= metric.at {
            *place = index;
        }
        ids.push(id.0);
        tags.push(to_json(&metric.tags)?);
        all.push(metric, to_json(&metric.series)?, *waited);
    }
    let (mut latest, mut digests) = (Columns::default(), Vec::with_capacity(newest.len()));
    for index in newest.into_values() {
        let series = all.series[index].clone();
        digests.push(digest::bytes(&series));
        latest.push(rows[index].metric, series, rows[index].waited);
    }
    sqlx::query(RECORD)
        .bind(matches!(receipt, Receipt::Given(_)))
        .bind(ids)
        .bind(all.tenants)
        .bind(all.targets)
        .bind(all.names)
        .bind(all.values)
        .bind(tags)
        .bind(all.series)
        .bind(all.at)
        .bind(all.received)
        .bind(all.waited)
        .bind(latest.tenants)
        .bind(latest.targets)
        .bind(latest.names)
        .bind(digests)
        .bind(latest.series)
        .bind(latest.values)
        .bind(latest.at)
        .bind(latest.received)
        .bind(latest.waited)
        .execute(connection)
        .await?;
    Ok(())
}

/// A sample that named no time of its own is of the time of its receipt; one that did is not later than that.
pub(crate) const RECORD: &str = "WITH stored AS (\
       INSERT INTO metrics (id, tenant, target, name, value, tags, series, created_at, at) \
       SELECT id, tenant, target, name, value, tags::jsonb, series, receipt, \
         CASE WHEN at = received THEN receipt ELSE least(at, receipt) END \
       FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::text[], $8::text[], \
           $9::timestamptz[], $10::timestamptz[], $11::bigint[]) \
         AS r (id, tenant, target, name, value, tags, series, at, received, waited), \
         LATERAL (SELECT CASE WHEN $1 THEN received ELSE now() - waited * interval '1 microsecond' END AS receipt) AS clock) \
     INSERT INTO series_latest AS known (tenant, target, name, digest, series, value, at) \
     SELECT tenant, target, name, digest, series, value, CASE WHEN at = received THEN receipt ELSE least(at, receipt) END \
     FROM unnest($12::text[], $13::text[], $14::text[], $15::bytea[], $16::text[], $17::float8[], \
         $18::timestamptz[], $19::timestamptz[], $20::bigint[]) \
       AS r (tenant, target, name, digest, series, value, at, received, waited), \
       LATERAL (SELECT CASE WHEN $1 THEN received ELSE now() - waited * interval '1 microsecond' END AS receipt) AS clock \
     ON CONFLICT (tenant, target, name, digest) DO UPDATE SET value = excluded.value, at = excluded.at \
       WHERE excluded.at >= known.at";

pub(crate) async fn snapshot(
    connection: &mut PgConnection,
    scope: &Scope,
    since: Timestamp,
) -> Result<Vec<Sample>, Error> {
    let rows = sqlx::query(SNAPSHOT)
        .bind(scope.tenant.as_str())
        .bind(target_text(scope.target.as_ref()))
        .bind(At(since))
        .fetch_all(connection)
        .await?;
    rows.iter().map(row::sample).collect()
}

pub(crate) const SNAPSHOT: &str =
    "SELECT name, series, value, at FROM series_latest WHERE tenant = $1 AND target = $2 AND at >= $3";

pub(crate) async fn samples(
    connection: &mut PgConnection,
    scope: &Scope,
    metrics: &[MetricName],
    since: Timestamp,
    limit: usize,
) -> Result<Vec<Sample>, Error> {
    let names: Vec<&str> = metrics.iter().map(MetricName::as_str).collect();
    let rows = sqlx::query(SAMPLES)
        .bind(scope.tenant.as_str())
        .bind(target_text(scope.target.as_ref()))
        .bind(names)
        .bind(At(since))
        .bind(row::limit(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(row::sample).collect()
}

/// No sample is later than its receipt: what is not older than `since` lies in the partitions from then on.
pub(crate) const SAMPLES: &str = "SELECT name, series, value, at FROM metrics WHERE tenant = $1 AND target = $2 \
     AND name = ANY($3) AND at >= $4 AND created_at >= $4 ORDER BY at, id LIMIT $5";

/// How many series a tenant has, counted up to `most`.
pub(crate) async fn count_series(
    connection: &mut PgConnection,
    tenant: &TenantId,
    most: usize,
) -> Result<usize, Error> {
    let counted: i64 =
        sqlx::query_scalar(COUNT_SERIES).bind(tenant.as_str()).bind(row::limit(most)).fetch_one(connection).await?;
    Ok(usize::try_from(counted).unwrap_or(usize::MAX))
}

// In the order of the key: a tenant that has few would otherwise be looked for among all others.
pub(crate) const COUNT_SERIES: &str = "SELECT count(*) FROM \
     (SELECT 1 FROM series_latest WHERE tenant = $1 ORDER BY target, name, digest LIMIT $2) AS counted";
