//! The policy engine: what a sample costs when there are many policies, and what a new target or a new set costs.
//!
//! `cargo bench -p vigil-benches --bench policy`; with `-- --test` each runs once. The line to hold: `observe` costs the same at
//! 10 and at 10,000 policies, as long as the policies that concern the sample are the same.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use vigil_core::clock::Timestamp;
use vigil_core::metric::{Metric, MetricName, Snapshot, Tags};
use vigil_core::policy::{ConditionRegistry, Policy, PolicySet, PolicySpec, Shard, Verdict, evaluate};
use vigil_core::store::{PolicySource, PolicyTable, StoredPolicy};
use vigil_core::target::TargetTags;
use vigil_core::tenant::TenantId;

const SIZES: [usize; 3] = [10, 1_000, 10_000];
const STALENESS: Duration = Duration::from_secs(300);

fn now() -> Timestamp {
    Timestamp::from_micros(1_768_910_400_000_000)
}

/// A condition as it is written.
fn above(metric: &str, threshold: f64) -> String {
    format!("{{type: metric_exceeds, metric: {metric}, threshold: {threshold}}}")
}

fn compound_of(kind: &str, conditions: &[String]) -> String {
    format!("{{type: {kind}, conditions: [{}]}}", conditions.join(", "))
}

/// A table of policies, made of (target, condition).
fn table(generation: i64, policies: impl IntoIterator<Item = (String, String)>) -> PolicyTable {
    let stored = |(at, (target, condition)): (usize, (String, String))| {
        let text = format!("- {{name: p{at}, action: restart, target: '{target}', condition: {condition}}}");
        let specs = PolicySpec::parse_file(&text, "bench", &ConditionRegistry::default());
        StoredPolicy {
            tenant: TenantId::default(),
            spec: specs.expect("a policy").remove(0),
            source: PolicySource::Api,
            enabled_override: None,
            revision: 1,
            updated_at: now(),
        }
    };
    PolicyTable { generation, policies: policies.into_iter().enumerate().map(stored).collect() }
}

fn set(table: PolicyTable) -> PolicySet {
    let (set, refused) = PolicySet::compile(table, &ConditionRegistry::default());
    assert!(refused.is_empty(), "{refused:?}");
    set
}

fn sample(target: &str, metric: &str, value: f64, at: Timestamp) -> Metric {
    let tags = Tags::new([("host", target), ("region", "eu"), ("zone", "a")]).expect("tags");
    let name = MetricName::new(metric).expect("a name");
    Metric::new(TenantId::default(), name, value, tags, Some(at), at, &TargetTags::default()).expect("a sample")
}

/// One policy concerns the sample, all others are of other targets, by exact name and by glob.
fn others(policies: usize) -> impl Iterator<Item = (String, String)> {
    let other = |at: usize| if at.is_multiple_of(2) { format!("db-{at}") } else { format!("cache-{at}-*") };
    std::iter::once(("web-1".to_owned(), above("cpu", 80.0)))
        .chain((1..policies).map(move |at| (other(at), above("cpu", 80.0))))
}

/// One policy concerns the sample, all others watch other metrics of the same target.
fn other_metrics(policies: usize) -> impl Iterator<Item = (String, String)> {
    std::iter::once(("web-1".to_owned(), above("cpu", 80.0)))
        .chain((1..policies).map(|at| ("all".to_owned(), above(&format!("m{at}"), 80.0))))
}

/// A target's samples one after the other: every tenth violates.
fn observe(c: &mut Criterion) {
    let mut group = c.benchmark_group("observe");
    for policies in SIZES {
        let series = [
            ("other_targets", set(table(1, others(policies)))),
            ("other_metrics", set(table(1, other_metrics(policies)))),
        ];
        for (name, set) in series {
            let (mut shard, mut metric, mut tick) = (Shard::default(), sample("web-1", "cpu", 10.0, now()), 0_u64);
            group.bench_function(BenchmarkId::new(name, policies), |b| {
                b.iter(|| {
                    tick += 1;
                    metric.value = if tick.is_multiple_of(10) { 90.0 } else { 10.0 };
                    metric.at = now() + Duration::from_micros(tick);
                    black_box(shard.observe(&set, &metric, metric.at, STALENESS))
                });
            });
        }
        let set = set(table(1, others(policies)));
        let (mut shard, mut metric, mut tick) = (Shard::default(), sample("web-1", "unread", 10.0, now()), 0_u64);
        group.bench_function(BenchmarkId::new("nobody_concerned", policies), |b| {
            b.iter(|| {
                tick += 1;
                metric.at = now() + Duration::from_micros(tick);
                black_box(shard.observe(&set, &metric, metric.at, STALENESS))
            });
        });
    }
    group.finish();
}

/// The simple evaluator over one snapshot, as the sandbox uses it: all policies, one after the other.
fn evaluate_all(c: &mut Criterion) {
    let mut group = c.benchmark_group("evaluate_all");
    let metrics = Snapshot::of([("cpu", 90.0), ("memory", 10.0)], now()).expect("values");
    for policies in SIZES {
        let set = set(table(1, others(policies)));
        group.bench_function(BenchmarkId::from_parameter(policies), |b| {
            b.iter(|| {
                set.enabled(&TenantId::default())
                    .iter()
                    .map(|policy| evaluate(policy, &metrics).verdict)
                    .filter(|v| *v == Verdict::Met)
                    .count()
            });
        });
    }
    group.finish();
}

fn one(condition: String) -> std::sync::Arc<Policy> {
    set(table(1, [("all".to_owned(), condition)])).enabled(&TenantId::default())[0].clone()
}

/// Compound conditions, whose every leaf is looked at.
fn compound(c: &mut Criterion) {
    let mut group = c.benchmark_group("compound");
    let names: Vec<String> = (0..255).map(|at| format!("metric_{at}")).collect();
    let metrics = Snapshot::of(names.iter().map(|name| (name.as_str(), 90.0)), now()).expect("values");
    for leaves in [2, 16, 255] {
        let children: Vec<_> = names.iter().take(leaves).map(|name| above(name, 80.0)).collect();
        let policy = one(compound_of("all", &children));
        group.bench_function(BenchmarkId::new("all", leaves), |b| b.iter(|| policy.evaluate(black_box(&metrics))));
    }
    let deep = (1..16).fold(above("metric_0", 80.0), |inner, at| {
        compound_of(if at % 2 == 0 { "all" } else { "any" }, &[inner, above("metric_1", 95.0)])
    });
    let policy = one(deep);
    group.bench_function("16_deep", |b| b.iter(|| policy.evaluate(black_box(&metrics))));
    group.finish();
}

/// Glob targets: what the first sample of a target costs, and what every later one does.
fn globs(c: &mut Criterion) {
    let mut group = c.benchmark_group("globs");
    for policies in SIZES {
        let patterns = (0..policies).map(|at| match at % 4 {
            0 => (format!("web-{at}-*"), above("cpu", 80.0)),
            1 => (format!("*-{at}"), above("cpu", 80.0)),
            2 => (format!("web-?-{at}"), above("cpu", 80.0)),
            _ => (format!("{{web,api}}-{at}-[ab]*"), above("cpu", 80.0)),
        });
        let set = set(table(1, patterns));
        let mut next = 0_u64;
        let mut shard = Shard::default();
        group.bench_function(BenchmarkId::new("first_sight", policies), |b| {
            b.iter_batched(
                || {
                    next += 1;
                    sample(&format!("web-8-{next}"), "cpu", 90.0, now())
                },
                |metric| black_box(shard.observe(&set, &metric, now(), STALENESS)),
                BatchSize::SmallInput,
            );
        });
        let (mut shard, mut metric, mut tick) = (Shard::default(), sample("web-8-east", "cpu", 90.0, now()), 0_u64);
        group.bench_function(BenchmarkId::new("repeat", policies), |b| {
            b.iter(|| {
                tick += 1;
                metric.at = now() + Duration::from_micros(tick);
                black_box(shard.observe(&set, &metric, metric.at, STALENESS))
            });
        });
    }
    group.finish();
}

/// A new set: its compilation, and the first sample after it in a shard that knows a thousand targets.
fn swap(c: &mut Criterion) {
    let mut group = c.benchmark_group("swap");
    group.sample_size(10);
    for policies in SIZES {
        let stored = table(1, others(policies));
        group.bench_function(BenchmarkId::new("compile", policies), |b| {
            b.iter_batched(|| stored.clone(), |stored| black_box(set(stored)), BatchSize::LargeInput);
        });
        let sets = [set(table(1, others(policies))), set(table(2, others(policies)))];
        let mut shard = Shard::default();
        for target in 0..1000 {
            shard.observe(&sets[0], &sample(&format!("web-{target}"), "cpu", 10.0, now()), now(), STALENESS);
        }
        let (mut metric, mut tick) = (sample("web-1", "cpu", 10.0, now()), 0_usize);
        group.bench_function(BenchmarkId::new("first_sample_of_1000_targets", policies), |b| {
            b.iter(|| {
                tick += 1;
                metric.at = now() + Duration::from_micros(tick as u64);
                black_box(shard.observe(&sets[tick % 2], &metric, metric.at, STALENESS))
            });
        });
    }
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30)
}

criterion_group! { name = benches; config = quick(); targets = observe, evaluate_all, compound, globs, swap }
criterion_main!(benches);
