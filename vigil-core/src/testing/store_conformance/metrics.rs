//! Samples: what is recorded, and what a snapshot shows of it.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use std::collections::HashSet;
use std::time::Duration;

use super::StoreBench;
use super::bench::{ALL, SECOND, TICK, name, scope};
use crate::clock::Timestamp;
use crate::metric::{Sample, Tags};
use crate::store::{IDEMPOTENCY_KEPT, Idempotency, MetricBatch, Scope, StoreError};
use crate::tenant::TenantId;
use crate::testing::{batch, metric, tenant};

fn values(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.value).collect()
}

/// A batch received now.
fn keyed(t: &StoreBench, key: &str, fingerprint: &str, value: f64) -> MetricBatch {
    let idempotency = Idempotency { key: key.to_owned(), fingerprint: fingerprint.to_owned() };
    MetricBatch { idempotency: Some(idempotency), ..batch([metric("cpu", value).on("web-1").at(t.now())]) }
}

pub async fn every_sample_gets_an_id_of_its_own(t: &mut StoreBench) {
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let many = (0..400).map(|n| metric("cpu", f64::from(n)).on("web-1").tag("core", &n.to_string()));
        let recorded = t.store().record_metrics(batch(many)).await.unwrap();
        assert_eq!(recorded.ids.len(), 400);
        assert!(!recorded.replayed);
        seen.extend(recorded.ids);
    }
    assert_eq!(seen.len(), 1200);
}

pub async fn an_empty_batch_is_recorded(t: &mut StoreBench) {
    assert_eq!(t.store().record_metrics(batch([])).await.unwrap().ids, []);
}

pub async fn a_sample_is_kept_to_the_last_digit(t: &mut StoreBench) {
    let odd = "naïve ☃ 'quoted' \"double\" \\ % _ 🦀";
    let values = [0.1 + 0.2, f64::MIN_POSITIVE, f64::MAX, -1e-300, 9_007_199_254_740_993.0];
    for (n, value) in values.into_iter().enumerate() {
        t.record([metric(&format!("{odd} {n}"), value).on(odd).tag("zone", odd)]).await;
    }
    let samples = t.snapshot(&scope(odd)).await;
    assert_eq!(samples.len(), values.len());
    for (n, (sample, value)) in samples.iter().zip(values).enumerate() {
        assert_eq!(sample.metric, name(&format!("{odd} {n}")));
        assert_eq!(sample.value.to_bits(), value.to_bits());
        assert_eq!(sample.tags, Tags::new([("zone", odd)]).unwrap());
        assert_eq!(sample.at, t.now());
    }
}

pub async fn a_snapshot_shows_the_newest_sample_of_each_series(t: &mut StoreBench) {
    t.record([metric("cpu", 1.0).on("web-1").tag("core", "0"), metric("cpu", 2.0).on("web-1").tag("core", "1")]).await;
    let later = t.pass(SECOND);
    t.record([metric("cpu", 3.0).on("web-1").tag("core", "0").at(later), metric("mem", 4.0).on("web-1").at(later)])
        .await;
    assert_eq!(values(&t.snapshot(&scope("web-1")).await), [3.0, 2.0, 4.0]);
}

pub async fn a_late_sample_is_stored_but_does_not_replace_a_newer_one(t: &mut StoreBench) {
    let (early, late) = (t.now(), t.pass(SECOND));
    t.record([metric("cpu", 2.0).on("web-1").at(late)]).await;
    t.record([metric("cpu", 1.0).on("web-1").late(early, late)]).await;
    assert_eq!(values(&t.snapshot(&scope("web-1")).await), [2.0]);
    let stored = t.store().samples(&scope("web-1"), &[name("cpu")], Timestamp::MIN, ALL).await.unwrap();
    assert_eq!(values(&stored), [1.0, 2.0]);
}

pub async fn of_two_samples_of_one_time_the_later_recorded_is_the_newest(t: &mut StoreBench) {
    t.record([metric("cpu", 1.0).on("web-1")]).await;
    t.record([metric("cpu", 2.0).on("web-1")]).await;
    assert_eq!(values(&t.snapshot(&scope("web-1")).await), [2.0]);
    let on = |target: &str, value: f64| metric("cpu", value).on(target);
    t.record([on("web-1", 4.0), on("web-0", 5.0), on("web-1", 3.0), on("web-2", 6.0)]).await;
    assert_eq!(values(&t.snapshot(&scope("web-1")).await), [3.0], "also within one batch");
}

pub async fn one_batch_may_have_many_samples_of_one_series_in_any_order(t: &mut StoreBench) {
    let start = t.now();
    let end = t.pass(SECOND * 3);
    let late = |n: u32| metric("cpu", f64::from(n)).on("web-1").late(start + SECOND * n, end);
    t.record([late(1), late(3), late(2)]).await;
    assert_eq!(values(&t.snapshot(&scope("web-1")).await), [3.0]);
    let stored = t.store().samples(&scope("web-1"), &[name("cpu")], Timestamp::MIN, ALL).await.unwrap();
    assert_eq!(values(&stored), [1.0, 2.0, 3.0]);
}

pub async fn a_snapshot_shows_nothing_older_than_it_is_asked_for(t: &mut StoreBench) {
    let at = t.now();
    t.record([metric("cpu", 1.0).on("web-1")]).await;
    assert_eq!(t.store().snapshot(&scope("web-1"), at).await.unwrap().len(), 1, "since includes its own time");
    assert_eq!(t.store().snapshot(&scope("web-1"), at + TICK).await.unwrap().len(), 0);
}

pub async fn a_snapshot_never_mixes_targets(t: &mut StoreBench) {
    t.record([metric("cpu", 1.0).on("web-1"), metric("cpu", 2.0).on("web-2"), metric("cpu", 3.0)]).await;
    assert_eq!(values(&t.snapshot(&scope("web-1")).await), [1.0]);
    assert_eq!(values(&t.snapshot(&scope("web-2")).await), [2.0]);
    assert_eq!(t.snapshot(&scope("web")).await, []);
    let none = Scope { target: None, ..scope("web-1") };
    assert_eq!(values(&t.snapshot(&none).await), [3.0]);
}

pub async fn samples_come_oldest_first_of_the_named_metrics_only(t: &mut StoreBench) {
    let start = t.now();
    for n in 1..=3_u32 {
        let at = t.pass(SECOND);
        let named = ["cpu", "mem", "disk"].map(|name| metric(name, f64::from(n)).on("web-1").at(at));
        t.record(named).await;
    }
    let ask =
        async |metrics: &[_], since, limit| t.store().samples(&scope("web-1"), metrics, since, limit).await.unwrap();
    let both = ask(&[name("cpu"), name("mem")], Timestamp::MIN, ALL).await;
    assert_eq!(values(&both), [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
    assert_eq!(values(&ask(&[name("cpu")], start + SECOND * 2, ALL).await), [2.0, 3.0], "since includes its own time");
    assert_eq!(values(&ask(&[name("cpu")], Timestamp::MIN, 2).await), [1.0, 2.0], "the limit keeps the oldest");
    assert_eq!(ask(&[], Timestamp::MIN, ALL).await, []);
    assert_eq!(ask(&[name("absent")], Timestamp::MIN, ALL).await, []);
}

pub async fn a_late_sample_among_many_is_found_by_its_own_time(t: &mut StoreBench) {
    let early = t.now();
    for n in 0..5_u32 {
        let at = t.pass(SECOND * 600);
        let others = (0..400).map(|host| metric("cpu", f64::from(n)).on(&format!("db-{host}")).at(at));
        t.record(others.chain([metric("cpu", f64::from(n)).on("web-1").at(at)])).await;
    }
    let late = |at, value| metric("cpu", value).on("web-1").late(at, t.now());
    t.record([late(early, 10.0), late(early + TICK, 11.0)]).await;
    let since = async |since| {
        let stored = t.store().samples(&scope("web-1"), &[name("cpu")], since, ALL).await.unwrap();
        values(&stored)
    };
    assert_eq!(since(early).await, [10.0, 11.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(since(early + TICK).await, [11.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(since(early + TICK * 2).await, [0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(since(t.now()).await, [4.0]);
    assert_eq!(since(t.now() + TICK).await, [0.0; 0]);
}

pub async fn a_repeated_batch_is_answered_with_the_first_ids_and_not_written_again(t: &mut StoreBench) {
    let first = t.store().record_metrics(keyed(t, "k", "f", 1.0)).await.unwrap();
    assert!(!first.replayed);
    t.pass(SECOND);
    let again = t.store().record_metrics(keyed(t, "k", "f", 1.0)).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.ids, first.ids);
    assert_eq!(t.store().samples(&scope("web-1"), &[name("cpu")], Timestamp::MIN, ALL).await.unwrap().len(), 1);
}

pub async fn a_key_used_for_another_batch_is_refused_and_nothing_is_written(t: &mut StoreBench) {
    t.store().record_metrics(keyed(t, "k", "f", 1.0)).await.unwrap();
    let refused = t.store().record_metrics(keyed(t, "k", "g", 2.0)).await;
    assert!(matches!(refused, Err(StoreError::KeyReused)), "{refused:?}");
    assert_eq!(values(&t.snapshot(&scope("web-1")).await), [1.0]);
}

pub async fn a_key_is_forgotten_after_a_day(t: &mut StoreBench) {
    t.store().record_metrics(keyed(t, "k", "f", 1.0)).await.unwrap();
    t.pass(IDEMPOTENCY_KEPT - SECOND);
    assert!(t.store().record_metrics(keyed(t, "k", "f", 1.0)).await.unwrap().replayed);
    t.pass(SECOND * 2);
    assert!(!t.store().record_metrics(keyed(t, "k", "g", 2.0)).await.unwrap().replayed);
    assert!(t.store().record_metrics(keyed(t, "k", "g", 2.0)).await.unwrap().replayed);
}

pub async fn keys_of_two_tenants_are_two_keys(t: &mut StoreBench) {
    t.store().record_metrics(keyed(t, "k", "f", 1.0)).await.unwrap();
    let other = tenant("other");
    let theirs = MetricBatch {
        idempotency: keyed(t, "k", "g", 0.0).idempotency,
        ..batch([metric("cpu", 2.0).on("web-1").of(&other)])
    };
    assert!(!t.store().record_metrics(theirs).await.unwrap().replayed);
}

pub async fn samples_of_one_tenant_are_not_seen_by_another(t: &mut StoreBench) {
    t.record([metric("cpu", 1.0).on("web-1")]).await;
    let theirs = Scope { tenant: tenant("other"), ..scope("web-1") };
    assert_eq!(t.snapshot(&theirs).await, []);
    assert_eq!(t.store().samples(&theirs, &[name("cpu")], Timestamp::MIN, ALL).await.unwrap(), []);
}

pub async fn the_stores_clock_is_the_one_it_was_given(t: &mut StoreBench) {
    assert_eq!(t.store().now().await.unwrap(), t.now());
    t.pass(SECOND);
    assert_eq!(t.store().now().await.unwrap(), t.now());
    t.store().ping().await.unwrap();
}

pub async fn the_series_of_a_tenant_are_counted_as_far_as_asked(t: &mut StoreBench) {
    let (own, other) = (TenantId::default(), tenant("other"));
    let count = async |tenant: &TenantId, most| t.store().count_series(tenant, most).await.unwrap();
    assert_eq!(count(&own, 10).await, 0);
    t.record([metric("cpu", 1.0).on("web-1"), metric("cpu", 2.0).on("web-1"), metric("mem", 1.0).on("web-1")]).await;
    t.record([metric("cpu", 1.0).on("web-2"), metric("cpu", 1.0).on("web-2").tag("core", "1"), metric("cpu", 1.0)])
        .await;
    t.record([metric("cpu", 1.0).on("web-1").of(&other)]).await;
    assert_eq!((count(&own, 10).await, count(&own, 3).await, count(&other, 10).await), (5, 3, 1));
}

pub async fn a_clock_that_was_ahead_and_stepped_back_freezes_no_series(t: &mut StoreBench) {
    let right = t.now();
    t.clock.set(right + Duration::from_secs(3600));
    t.record([metric("cpu", 95.0).on("web-1").at(t.now())]).await;
    t.clock.set(right + SECOND);
    t.record([metric("cpu", 10.0).on("web-1").at(t.now())]).await;
    assert_eq!(values(&t.snapshot(&scope("web-1")).await), [10.0], "the wrong clock's sample gives way");
    let all = t.store().samples(&scope("web-1"), &[name("cpu")], Timestamp::MIN, ALL).await.unwrap();
    assert_eq!(values(&all), [10.0, 95.0], "both are kept");
    t.pass(SECOND);
    t.record([metric("cpu", 20.0).on("web-1").late(right, t.now())]).await;
    assert_eq!(values(&t.snapshot(&scope("web-1")).await), [10.0], "a late one changes nothing as before");
}
