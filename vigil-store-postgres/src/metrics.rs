//! Samples: many requests in one statement, the newest sample of each series kept beside them.

use sqlx::{PgConnection, Row as _};
use tokio::task::yield_now;
use tokio::time::Instant;
use vigil_core::clock::Timestamp;
use vigil_core::metric::{Metric, MetricId, MetricName, Sample};
use vigil_core::store::{Idempotency, MetricBatch, Recorded, Scope, StoreError};
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
    tenant: TenantId,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) lines: Vec<Line>,
    since: Instant,
}

/// A sample as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) metric: Metric,
    tags: String,
    series: String,
    digest: [u8; 16],
}

/// After so many lines, about a millisecond, others have a turn.
const LINES_A_TURN: usize = 1000;

impl Accepted {
    /// Takes a batch in. What can be made ready by each request by itself is made here: the statement of one batch waits for that
    /// of the one before, and whatever is done between them, all requests wait for.
    pub(crate) async fn new(batch: MetricBatch) -> Result<Self, Error> {
        let (since, mut lines) = (Instant::now(), Vec::with_capacity(batch.metrics.len()));
        for metric in batch.metrics {
            let (tags, series) = (to_json(&metric.tags)?, to_json(&metric.series)?);
            let digest = digest::bytes(&series);
            lines.push(Line { metric, tags, series, digest });
            if lines.len().is_multiple_of(LINES_A_TURN) {
                yield_now().await;
            }
        }
        Ok(Self { tenant: batch.tenant, idempotency: batch.idempotency, lines, since })
    }

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

impl Receipt {
    fn given(self) -> Option<At> {
        match self {
            Self::Given(now) => Some(At(now)),
            Self::Waited => None,
        }
    }
}

/// Writes all batches in one statement; with keys among them in one transaction, which the caller must have begun. A batch
/// whose idempotency key was used otherwise is refused alone.
pub(crate) async fn record(
    connection: &mut PgConnection,
    requests: &[Accepted],
    ids: &mut Ids,
    receipt: Receipt,
) -> Result<Vec<Result<Recorded, StoreError>>, Error> {
    ids.provide(connection, requests.iter().map(|request| request.lines.len()).sum()).await?;
    let mut answers: Vec<Result<Recorded, StoreError>> = Vec::with_capacity(requests.len());
    for request in requests {
        let enough = "as many as there are samples were provided";
        let drawn = request.lines.iter().map(|_| ids.take().expect(enough)).collect();
        answers.push(Ok(Recorded { ids: drawn, replayed: false }));
    }
    take_keys(connection, requests, &mut answers, receipt).await?;
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (request, answer) in requests.iter().zip(&answers) {
        if let Ok(Recorded { ids, replayed: false }) = answer {
            let waited = request.waited();
            rows.extend(ids.iter().zip(&request.lines).map(|(id, line)| Row { id: *id, line, waited }));
        }
    }
    if !rows.is_empty() {
        write(connection, rows, receipt).await?;
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
    let now = receipt.given();
    let mut keyed: Vec<_> = requests.iter().zip(answers).filter(|(request, _)| request.idempotency.is_some()).collect();
    keyed.sort_by_key(|(request, _)| (&request.tenant, request.idempotency.as_ref().map(|key| &key.key)));
    for (request, answer) in keyed {
        let (Some(idempotency), Ok(recorded)) = (&request.idempotency, &answer) else { continue };
        match idempotency::take(connection, "metrics", &request.tenant, idempotency, &recorded.ids, now).await? {
            Taken::Fresh => {}
            Taken::Replayed(ids) => *answer = Ok(Recorded { ids, replayed: true }),
            Taken::Reused => *answer = Err(StoreError::KeyReused),
        }
    }
    Ok(())
}

/// A sample to be written.
struct Row<'l> {
    id: MetricId,
    line: &'l Line,
    /// For how many microseconds it has been waiting.
    waited: i64,
}

impl Row<'_> {
    /// Its series, as far as it tells series apart.
    fn series(&self) -> impl Ord + '_ {
        let Line { metric, digest, .. } = self.line;
        (&metric.tenant, &metric.target, &metric.name, digest)
    }
}

async fn write(connection: &mut PgConnection, mut rows: Vec<Row<'_>>, receipt: Receipt) -> Result<(), Error> {
    // Sorted, or two replicas could wait for each other's series crosswise.
    rows.sort_by(|a, b| a.series().cmp(&b.series()));
    // The newest of each series has its digest with it, one of them, or the statement would change a row twice.
    let mut digests: Vec<Option<&[u8]>> = Vec::with_capacity(rows.len());
    for series in rows.chunk_by(|a, b| a.series() == b.series()) {
        let newest = (0..series.len()).max_by_key(|index| series[*index].line.metric.at);
        digests
            .extend((0..series.len()).map(|index| (Some(index) == newest).then_some(&series[index].line.digest[..])));
    }
    let metrics = || rows.iter().map(|row| &row.line.metric);
    sqlx::query(RECORD)
        .bind(matches!(receipt, Receipt::Given(_)))
        .bind(rows.iter().map(|row| row.id.0).collect::<Vec<_>>())
        .bind(metrics().map(|metric| metric.tenant.as_str()).collect::<Vec<_>>())
        .bind(metrics().map(|metric| target_text(metric.target.as_ref())).collect::<Vec<_>>())
        .bind(metrics().map(|metric| metric.name.as_str()).collect::<Vec<_>>())
        .bind(metrics().map(|metric| metric.value).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| &*row.line.tags).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| &*row.line.series).collect::<Vec<_>>())
        .bind(metrics().map(|metric| At(metric.at)).collect::<Vec<_>>())
        .bind(metrics().map(|metric| At(metric.received_at)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.waited).collect::<Vec<_>>())
        .bind(digests)
        .bind(receipt.given())
        .execute(connection)
        .await?;
    Ok(())
}

/// A newest sample that lies more than a minute ahead ([`Metric::CLOCK_TOLERANCE`]) was stamped by a clock that was wrong then:
/// any new one replaces it. The effective time of a sample is the earlier of its timestamp, if it has one, and its receipt.
pub(crate) const RECORD: &str = "WITH given AS MATERIALIZED ( \
       SELECT *, CASE WHEN at = received THEN receipt ELSE least(at, receipt) END AS effective \
       FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::text[], $8::text[], \
           $9::timestamptz[], $10::timestamptz[], $11::bigint[], $12::bytea[]) \
         AS r (id, tenant, target, name, value, tags, series, at, received, waited, digest), \
         LATERAL (SELECT CASE WHEN $1 THEN received ELSE now() - waited * interval '1 microsecond' END AS receipt) AS clock), \
     stored AS ( \
       INSERT INTO metrics (id, tenant, target, name, value, tags, series, created_at, at) \
       SELECT id, tenant, target, name, value, tags::jsonb, series, receipt, effective FROM given) \
     INSERT INTO series_latest AS known (tenant, target, name, digest, series, value, at) \
     SELECT tenant, target, name, digest, series, value, effective FROM given WHERE digest IS NOT NULL \
     ON CONFLICT (tenant, target, name, digest) DO UPDATE SET value = excluded.value, at = excluded.at \
       WHERE excluded.at >= known.at OR known.at > coalesce($13, now()) + interval '1 minute'";

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
