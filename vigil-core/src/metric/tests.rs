use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_768_910_400_000_000) + Duration::from_secs(seconds)
}

fn metric(value: f64, timestamp: Option<Timestamp>) -> Result<Metric, InvalidValue> {
    let name = MetricName::new("cpu").unwrap();
    Metric::new(TenantId::default(), name, value, Tags::default(), timestamp, at(1000), &TargetTags::default())
}

fn sample(zone: usize, value: f64, at: Timestamp) -> Sample {
    let tags = Tags::new([("zone", zone.to_string())]).unwrap();
    Sample { metric: MetricName::new("cpu").unwrap(), tags, value, at }
}

fn values(metrics: &Snapshot) -> Vec<f64> {
    metrics.iter().map(|sample| sample.value).collect()
}

#[test]
fn the_effective_time_is_the_earlier_of_timestamp_and_receipt() {
    assert_eq!(metric(1.0, None).unwrap().at, at(1000));
    assert_eq!(metric(1.0, Some(at(400))).unwrap().at, at(400));
    assert_eq!(metric(1.0, Some(at(1600))).unwrap().at, at(1000), "ten minutes ahead is a clock that is wrong");
    assert_eq!(metric(1.0, Some(at(1601))).unwrap_err().field, "timestamp");
}

/// LESSONS 18: NaN, Infinity and NUL were stored.
#[test]
fn lesson_18_only_finite_numbers_are_values_and_no_nul_is_a_name() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(metric(value, None).unwrap_err().field, "value");
    }
    for name in ["", "  ", "a\0b", "a\nb", &"m".repeat(256)] {
        assert_eq!(MetricName::new(name).unwrap_err().field, "name", "{name:?}");
    }
    assert_eq!(MetricName::new(" cpu\n").unwrap().as_str(), "cpu");
    assert_eq!(Tags::new([("a", "\0")]).unwrap_err().field, "tags/a");
}

#[test]
fn tags_have_limits_and_their_errors_point_at_the_key() {
    let many = |pairs: usize| Tags::new((0..pairs).map(|i| (i.to_string(), "x")));
    assert!(many(64).is_ok() && many(65).is_err());
    assert!(Tags::new([("k".repeat(128), "v".repeat(1024))]).is_ok());
    assert_eq!(Tags::new([("k".repeat(129), "v")]).unwrap_err().field, "tags");
    assert_eq!(Tags::new([("", "v")]).unwrap_err().field, "tags");
    assert_eq!(Tags::new([("a/b", "v".repeat(1025))]).unwrap_err().field, "tags/a~1b");
}

#[test]
fn the_newest_of_a_series_counts_whatever_the_order() {
    for order in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
        let metrics = Snapshot::new(order.map(|second| sample(0, second as f64, at(second))), at(0));
        assert_eq!(values(&metrics), [3.0]);
    }
    let mut metrics = Snapshot::new([sample(0, 1.0, at(5))], at(0));
    assert!(metrics.put(sample(0, 2.0, at(5))) && !metrics.put(sample(0, 3.0, at(4))));
    assert_eq!(values(&metrics), [2.0]);
}

#[test]
fn stale_samples_are_kept_but_not_shown() {
    let metrics = Snapshot::new([sample(0, 1.0, at(5)), sample(1, 2.0, at(6))], at(6));
    assert_eq!(values(&metrics), [2.0]);
    assert_eq!(values(&metrics.clone().since(at(5))).len(), 2);
    let mut forgetful = metrics;
    forgetful.forget(at(6));
    assert_eq!(values(&forgetful.clone().since(at(0))), [2.0]);
    forgetful.forget(at(7));
    assert!(forgetful.is_empty());
}

#[test]
fn of_too_many_series_the_longest_silent_one_makes_room() {
    let mut metrics =
        Snapshot::new((0..Snapshot::MAX_SERIES).map(|zone| sample(zone, 0.0, at(10 + zone as u64))), at(0));
    assert!(!metrics.put(sample(5000, 1.0, at(9))), "it would be the longest silent one itself");
    assert!(metrics.put(sample(5000, 1.0, at(10))));
    assert_eq!(values(&metrics).len(), Snapshot::MAX_SERIES);
    assert_eq!(
        metrics.iter().filter(|sample| sample.at == at(10)).map(|sample| sample.value).collect::<Vec<_>>(),
        [1.0]
    );
}

#[test]
fn plain_values_are_checked_and_errors_point_at_their_name() {
    assert_eq!(Snapshot::of([("cpu", f64::NAN)], at(0)).unwrap_err().field, "metrics/cpu");
    assert_eq!(Snapshot::of([("a/b\0", 1.0)], at(0)).unwrap_err().field, "metrics/a~1b\0");
    assert_eq!(values(&Snapshot::of([("cpu", 1.0)], at(0)).unwrap()), [1.0]);
}
