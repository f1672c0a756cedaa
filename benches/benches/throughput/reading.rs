//! How long it takes to read samples back: what a `for` judges by, and what people look at.

use std::time::{Duration, Instant};

use vigil_core::clock::{Clock, SystemClock, Timestamp};
use vigil_core::metric::{Metric, MetricName, Tags};
use vigil_core::store::{Aggregate, MetricBatch, Range, RangeQuery, Scope, Store};
use vigil_core::target::{Target, TargetTags};
use vigil_core::tenant::TenantId;
use vigil_store_postgres::{PostgresOptions, PostgresStore};
use vigil_store_sqlite::{SqliteOptions, SqliteStore};

use crate::median;
use crate::program::Private;

/// One that nothing else in the database is of.
const METRIC: &str = "request_seconds";
const TARGETS: usize = 1000;
const A_SECOND: usize = 100;
const BATCH: usize = 1000;
const TIMES: usize = 9;

pub(crate) async fn measure(postgres: Option<&Private>, samples: usize) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(SqliteOptions::file(folder.path().join("reading.db"))).await.unwrap();
    of("SQLite", &sqlite, samples).await;
    sqlite.close().await;
    let Some(postgres) = postgres else { return println!("skipped: PostgreSQL is not installed") };
    let url = postgres.run("url");
    let postgres = PostgresStore::open(PostgresOptions::of_url(&url).unwrap()).await.unwrap();
    of("PostgreSQL", &postgres, samples).await;
    postgres.close().await;
}

async fn of(what: &str, store: &dyn Store, samples: usize) {
    let now = SystemClock.now();
    let first = now - Duration::from_secs((samples / A_SECOND) as u64);
    let began = Instant::now();
    for begin in (0..samples).step_by(BATCH) {
        let metrics = (begin..begin + BATCH).map(|number| sample(number, first, now)).collect();
        store.record_metrics(MetricBatch { tenant: TenantId::default(), metrics, idempotency: None }).await.unwrap();
    }
    println!(
        "\n{what}, {samples} samples of {TARGETS} targets, {A_SECOND} a second; {:.0} rows/s in batches of {BATCH}",
        samples as f64 / began.elapsed().as_secs_f64()
    );
    let (hour, target) = (Duration::from_secs(3600), Target::new("web-7").ok());
    let scope = Scope { tenant: TenantId::default(), target: target.clone() };
    let names = [MetricName::new(METRIC).unwrap()];
    time("samples of a target, 10 minutes (`for`)", async || {
        let read = store.samples(&scope, &names, now - Duration::from_secs(600), 10_000).await.unwrap();
        assert!(!read.is_empty());
    })
    .await;
    for (what, target, span) in [
        ("range of a target, an hour", target.clone(), hour),
        ("range of a target, a day", target, hour * 24),
        ("range of all targets, an hour", None, hour),
    ] {
        let range = RangeQuery {
            metric: names[0].clone(),
            target,
            tags: Tags::default(),
            from: now - span,
            to: now,
            step: span / 6,
            aggregate: Aggregate::Avg,
            max_points: 11_000,
        };
        time(what, async || {
            let read = store.range(&TenantId::default(), &range).await.unwrap();
            assert!(matches!(read, Range::Lines(lines) if !lines.is_empty()));
        })
        .await;
    }
}

async fn time(what: &str, read: impl AsyncFn()) {
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        read().await;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    println!("  {what:<44} {:>8.2} ms", median(took));
}

fn sample(number: usize, first: Timestamp, now: Timestamp) -> Metric {
    let at = first + Duration::from_millis((number * 1000 / A_SECOND) as u64);
    let tags = Tags::new([("host", format!("web-{}", number % TARGETS)), ("zone", "eu-1".to_owned())]).unwrap();
    let name = MetricName::new(METRIC).unwrap();
    Metric::new(TenantId::default(), name, 41.5, tags, Some(at), now, &TargetTags::default()).unwrap()
}
