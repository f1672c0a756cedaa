//! The partitions of `metrics`: one a day by the time of receipt, made a week ahead, dropped whole when they are old.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row};
use vigil_core::clock::Timestamp;

use crate::digest;
use crate::error::Error;

const DAY: i64 = 86_400_000_000;
/// How far ahead partitions are made. A server that is not pruned for longer makes them when the first sample comes.
const AHEAD: Duration = Duration::from_secs(7 * 86_400);

/// A day since the epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Day(i64);

impl Day {
    fn of(at: Timestamp) -> Self {
        Self(at.as_micros().div_euclid(DAY))
    }

    fn begins(self) -> Timestamp {
        Timestamp::from_micros(self.0.saturating_mul(DAY))
    }

    /// `metrics_2026_01_20`.
    fn partition(self) -> String {
        let text = self.begins().to_string();
        format!("metrics_{}", text[..10].replace('-', "_"))
    }

    fn of_partition(name: &str) -> Option<Self> {
        let date = name.strip_prefix("metrics_")?.replace('_', "-");
        Timestamp::parse(&format!("{date}T00:00:00Z")).ok().map(Self::of)
    }
}

/// Makes the partitions from yesterday to a week ahead: a sample may have waited over midnight.
pub(crate) async fn make_ahead(connection: &mut PgConnection, now: Timestamp) -> Result<(), Error> {
    let (first, last) = (Day::of(now).0 - 1, Day::of(now + AHEAD).0);
    make(connection, (first..=last).map(Day).collect()).await
}

/// Makes the partitions of some times of receipt.
pub(crate) async fn make_for(
    connection: &mut PgConnection,
    received: impl Iterator<Item = Timestamp>,
) -> Result<(), Error> {
    make(connection, received.map(Day::of).collect()).await
}

/// Must run in a transaction: the lock, and the table that is not yet attached, last until its end.
async fn make(connection: &mut PgConnection, days: BTreeSet<Day>) -> Result<(), Error> {
    let known = known(connection).await?;
    let missing: Vec<Day> = days.into_iter().filter(|day| !known.contains(day)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    // One replica at a time; the others find them made.
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(digest::number(&["partitions"]))
        .execute(&mut *connection)
        .await?;
    let known = self::known(connection).await?;
    for day in missing.into_iter().filter(|day| !known.contains(day)) {
        let (name, from, to) = (day.partition(), day.begins(), Day(day.0 + 1).begins());
        // Made apart and attached: that does not shut out who reads and writes, as making it in place would.
        let statements = format!(
            "CREATE TABLE {name} (LIKE metrics INCLUDING DEFAULTS INCLUDING CONSTRAINTS); \
             ALTER TABLE metrics ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')"
        );
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn known(connection: &mut PgConnection) -> Result<BTreeSet<Day>, Error> {
    let rows = sqlx::query(
        "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'metrics'::regclass",
    )
    .fetch_all(connection)
    .await?;
    let mut days = BTreeSet::new();
    for row in rows {
        days.extend(Day::of_partition(row.try_get(0)?));
    }
    Ok(days)
}

/// The partitions that ended before `before`, oldest first, without those that [`make_ahead`] makes.
pub(crate) async fn past(
    connection: &mut PgConnection,
    before: Timestamp,
    now: Timestamp,
) -> Result<Vec<String>, Error> {
    let past = |day: &Day| Day(day.0 + 1).begins() <= before && day.0 < Day::of(now).0 - 1;
    Ok(known(connection).await?.into_iter().filter(past).map(Day::partition).collect())
}

/// Drops one of the [`past`] partitions; answers about how many samples went with it, at least 1 if there were any.
pub(crate) async fn drop_past(connection: &mut PgConnection, partition: &str) -> Result<u64, Error> {
    let statement = format!(
        "SELECT greatest(reltuples::bigint, 0) + CASE WHEN EXISTS (SELECT 1 FROM {partition}) THEN 1 ELSE 0 END \
         FROM pg_class WHERE oid = '{partition}'::regclass"
    );
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut *connection).await?;
    // Everybody who uses `metrics` waits behind this: rather try again later than wait long.
    let statements = format!("SET LOCAL lock_timeout = '1s'; DROP TABLE {partition}");
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await?;
    tracing::info!(partition, "samples past their retention dropped");
    Ok(u64::try_from(rows).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_a_partition_by_its_date() {
        let at = Timestamp::parse("2026-01-20T23:59:59.999999Z").unwrap();
        assert_eq!(Day::of(at).partition(), "metrics_2026_01_20");
        assert_eq!(Day::of_partition("metrics_2026_01_20"), Some(Day::of(at)));
        assert_eq!(Day::of_partition("metrics_old"), None);
        assert_eq!(Day(Day::of(at).0 + 1).begins(), Timestamp::parse("2026-01-21T00:00:00Z").unwrap());
    }
}
