//! How much goes through, as a share of what the same machine does by hand in the same run; and how long a violation takes to
//! reach the remediator. `cargo bench --bench throughput`; without `--bench` (as `cargo test` runs it) everything is done once,
//! briefly. `-- latency` leaves out most of the rest, `-- requests` is only requests a second beside a bare axum server, `-- reading`
//! only how long samples take to be read back. Starts PostgreSQL and Redis of its own; what is not installed is skipped.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a measurement that panics has failed; it times and spawns

use std::time::Duration;

mod by_hand;
mod client;
mod latency;
mod program;
mod reading;
mod requests;
mod service;

use program::Private;
use service::Service;

/// How long each thing is measured.
#[derive(Debug, Clone, Copy)]
struct Span(Duration);

fn main() {
    let asked = |what: &str| std::env::args().any(|argument| argument == what);
    let full = asked("--bench");
    let only_latency = asked("latency");
    let only_requests = asked("requests");
    let only_reading = asked("reading");
    let samples = if full { 1_000_000 } else { 2000 };
    let span = Span(if full { Duration::from_secs(6) } else { Duration::from_millis(200) });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if only_requests {
            return requests::measure(Private::start("postgres").as_ref(), span).await;
        }
        if only_reading {
            return reading::measure(Private::start("postgres").as_ref(), samples).await;
        }
        if !only_latency {
            sqlite(span).await;
        }
        match (Private::start("postgres"), Private::start("redis")) {
            (Some(postgres), Some(redis)) => {
                if !only_latency {
                    requests::measure(Some(&postgres), span).await;
                }
                let rounds = if only_latency { 1 } else { ROUNDS };
                let most = postgres_ingest(&postgres, span, rounds).await;
                latency::measure(&postgres, &redis, most, span.0).await;
                if !only_latency {
                    reading::measure(Some(&postgres), samples).await;
                }
            }
            _ => println!("skipped: PostgreSQL or Redis is not installed"),
        }
    });
}

/// How often each thing is measured, in turns.
const ROUNDS: usize = 3;

/// Both on the same tables, in turns, so that a noisy machine is noisy for both.
async fn sqlite(span: Span) {
    println!("\nSQLite (synchronous=FULL), rows/s");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.db");
    let service = Service::on_sqlite(&path).await;
    let mut plain = by_hand::Sqlite::open(&path.with_file_name("plain.db")).await;
    let mut single = Series::new("64 connections, one metric each", "64 rows a commit by hand");
    let mut batch = Series::new("4 connections, 1000 metrics each", "1000 rows a commit by hand");
    for _ in 0..ROUNDS {
        single.add(service.ingest(64, 1, span.0).await, plain.insert(64, span.0).await);
        batch.add(service.ingest(4, 1000, span.0).await, plain.insert(1000, span.0).await);
    }
    single.print();
    batch.print();
}

/// Answers how many samples a second came in over 64 connections.
async fn postgres_ingest(postgres: &Private, span: Span, rounds: usize) -> f64 {
    println!("\nPostgreSQL (fsync on), rows/s");
    let service = Service::on_postgres(&postgres.run("url"), None, None).await;
    let mut plain = by_hand::Postgres::connect(&postgres.run("url")).await;
    let mut single = Series::new("64 connections, one metric each", "64 rows a commit by hand");
    let mut batch = Series::new("4 connections, 1000 metrics each", "UNNEST x 1000 by hand");
    for _ in 0..rounds {
        single.add(service.ingest(64, 1, span.0).await, plain.insert(64, span.0).await);
        batch.add(service.ingest(4, 1000, span.0).await, plain.insert(1000, span.0).await);
    }
    single.print();
    batch.print();
    single.ours()
}

/// Ours beside the baseline, several times.
struct Series {
    what: String,
    baseline: &'static str,
    pairs: Vec<(f64, f64)>,
}

impl Series {
    fn new(what: impl Into<String>, baseline: &'static str) -> Self {
        Self { what: what.into(), baseline, pairs: Vec::new() }
    }

    fn add(&mut self, ours: f64, baseline: f64) {
        self.pairs.push((ours, baseline));
    }

    fn ours(&self) -> f64 {
        median(self.pairs.iter().map(|(ours, _)| *ours).collect())
    }

    fn print(&self) {
        let baseline = median(self.pairs.iter().map(|(_, baseline)| *baseline).collect());
        let share = median(self.pairs.iter().map(|(ours, baseline)| ours / baseline).collect());
        println!(
            "  {:<34} {:>9.0}   {:<28} {baseline:>9.0}   share {:>4.0} %",
            self.what,
            self.ours(),
            self.baseline,
            share * 100.0
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
