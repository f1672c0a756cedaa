use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::metric::{Sample, Tags};
use crate::policy::fixtures::{at, sample};

const VERDICTS: [Verdict; 3] = [Verdict::Met, Verdict::Unmet, Verdict::Unknown];

fn not(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Met => Verdict::Unmet,
        Verdict::Unmet => Verdict::Met,
        Verdict::Unknown => Verdict::Unknown,
    }
}

/// Whether `more` says no less than `less`: what is known stays.
fn refines(less: Verdict, more: Verdict) -> bool {
    less == Verdict::Unknown || less == more
}

#[test]
fn the_logic_of_three_values_has_its_laws() {
    for a in VERDICTS {
        assert_eq!((a.and(a), a.or(a)), (a, a), "idempotent");
        assert_eq!((a.and(Verdict::Met), a.or(Verdict::Unmet)), (a, a), "neutral");
        assert_eq!((a.and(Verdict::Unmet), a.or(Verdict::Met)), (Verdict::Unmet, Verdict::Met), "one decides");
        for b in VERDICTS {
            assert_eq!((a.and(b), a.or(b)), (b.and(a), b.or(a)), "commutative");
            assert_eq!((a.and(a.or(b)), a.or(a.and(b))), (a, a), "absorption");
            assert_eq!((not(a.and(b)), not(a.or(b))), (not(a).or(not(b)), not(a).and(not(b))), "De Morgan");
            for c in VERDICTS {
                assert_eq!((a.and(b).and(c), a.or(b).or(c)), (a.and(b.and(c)), a.or(b.or(c))), "associative");
                assert_eq!(a.and(b.or(c)), a.and(b).or(a.and(c)), "distributive");
                if refines(a, b) {
                    assert!(refines(a.and(c), b.and(c)) && refines(a.or(c), b.or(c)), "monotone in information");
                }
            }
        }
    }
}

fn snapshot(values: &[(&str, f64)]) -> Snapshot {
    Snapshot::of(values.iter().copied(), at(0)).unwrap()
}

#[test]
fn a_threshold_is_crossed_and_not_touched() {
    let (above, below) = (metric_exceeds("cpu", 80.0), metric_below("cpu", 80.0));
    for (value, expected) in [(79.9, Verdict::Unmet), (80.0, Verdict::Unmet), (80.1, Verdict::Met)] {
        assert_eq!(above.evaluate(&snapshot(&[("cpu", value)])), expected, "{value}");
    }
    for (value, expected) in [(79.9, Verdict::Met), (80.0, Verdict::Unmet), (80.1, Verdict::Unmet)] {
        assert_eq!(below.evaluate(&snapshot(&[("cpu", value)])), expected, "{value}");
    }
}

#[test]
fn of_several_series_one_is_enough_to_meet_and_all_are_needed_not_to() {
    let tagged =
        |zone: &str, value, at| Sample { tags: Tags::new([("zone", zone)]).unwrap(), ..sample("cpu", value, at) };
    let condition = metric_exceeds("cpu", 80.0);
    let judge = |samples: Vec<Sample>| condition.evaluate(&Snapshot::new(samples, at(100)));
    assert_eq!(judge(vec![tagged("a", 10.0, at(100)), tagged("b", 90.0, at(100))]), Verdict::Met);
    assert_eq!(judge(vec![tagged("a", 10.0, at(100)), tagged("b", 20.0, at(100))]), Verdict::Unmet);
    assert_eq!(judge(vec![tagged("a", 10.0, at(100)), tagged("b", 90.0, at(99))]), Verdict::Unmet, "b is stale");
    assert_eq!(judge(vec![tagged("a", 10.0, at(99)), tagged("b", 90.0, at(99))]), Verdict::Unknown);
}

#[test]
fn compounds_read_what_their_conditions_read_once() {
    let condition = any_condition([
        all_conditions([metric_exceeds("cpu", 1.0), metric_below("disk", 1.0)]),
        metric_exceeds("cpu", 2.0),
    ]);
    let reads: Vec<_> = condition.reads().iter().map(MetricName::as_str).collect();
    assert_eq!(reads, ["cpu", "disk"]);
}

#[test]
fn compounds_decide_as_soon_as_one_condition_does() {
    let (met, unmet, unknown) = (metric_exceeds("cpu", 0.0), metric_below("cpu", 0.0), metric_exceeds("absent", 0.0));
    let judge = |condition: Arc<dyn Condition>| condition.evaluate(&snapshot(&[("cpu", 5.0)]));
    assert_eq!(judge(all_conditions([unknown.clone(), met.clone()])), Verdict::Unknown);
    assert_eq!(judge(all_conditions([unknown.clone(), unmet.clone()])), Verdict::Unmet);
    assert_eq!(judge(any_condition([unknown.clone(), met])), Verdict::Met);
    assert_eq!(judge(any_condition([unknown, unmet])), Verdict::Unknown);
}

#[test]
#[should_panic(expected = "at least one condition")]
fn all_of_nothing_is_a_mistake() {
    drop(all_conditions([]));
}

#[test]
#[should_panic(expected = "a finite threshold")]
fn a_threshold_is_finite() {
    drop(metric_exceeds("cpu", f64::NAN));
}

#[test]
fn a_later_registration_replaces_an_earlier_one() {
    let mut registry = ConditionRegistry::default();
    registry.register("x", |_| Err("the first".to_owned()));
    registry.register("x", |_| Ok(metric_exceeds("cpu", 1.0)));
    assert!(registry.compile("x", &Map::new()).is_ok());
    assert_eq!(format!("{registry:?}"), "{\"x\"}");
}

fn any_tree() -> impl Strategy<Value = ConditionSpec> {
    let metric = || prop::sample::select(vec!["a", "b", "c"]).prop_map(|name| MetricName::new(name).unwrap());
    let leaf = prop_oneof![
        (metric(), 0_u8..4).prop_map(|(metric, n)| ConditionSpec::Exceeds { metric, threshold: n.into() }),
        (metric(), 0_u8..4).prop_map(|(metric, n)| ConditionSpec::Below { metric, threshold: n.into() }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![list().prop_map(ConditionSpec::All), list().prop_map(ConditionSpec::Any)]
    })
}

fn any_values() -> impl Strategy<Value = Vec<(&'static str, f64)>> {
    prop::collection::vec((prop::sample::select(vec!["a", "b", "c"]), (0_u8..5).prop_map(f64::from)), 0..4)
}

fn judge(spec: &ConditionSpec, values: &[(&str, f64)]) -> Verdict {
    spec.compile(&ConditionRegistry::default()).unwrap().evaluate(&snapshot(values))
}

proptest! {
    #[test]
    fn conditions_obey_the_laws(a in any_tree(), b in any_tree(), c in any_tree(), values in any_values()) {
        use ConditionSpec::{All, Any};
        let same = |left: ConditionSpec, right: ConditionSpec| {
            let (left, right) = (judge(&left, &values), judge(&right, &values));
            prop_assert_eq!(left, right);
            Ok(())
        };
        let (a, b, c) = (|| a.clone(), || b.clone(), || c.clone());
        same(All(vec![a(), b()]), All(vec![b(), a()]))?;
        same(Any(vec![a(), b()]), Any(vec![b(), a()]))?;
        same(All(vec![All(vec![a(), b()]), c()]), All(vec![a(), b(), c()]))?;
        same(Any(vec![Any(vec![a(), b()]), c()]), Any(vec![a(), b(), c()]))?;
        same(All(vec![a(), Any(vec![a(), b()])]), a())?;
        same(Any(vec![a(), All(vec![a(), b()])]), a())?;
        same(All(vec![a(), Any(vec![b(), c()])]), Any(vec![All(vec![a(), b()]), All(vec![a(), c()])]))?;
    }

    #[test]
    fn more_metrics_never_contradict_what_was_known(tree in any_tree(), values in any_values(), more in any_values()) {
        let known = |name| values.iter().any(|(known, _)| *known == name);
        let mut all = values.clone();
        all.extend(more.into_iter().filter(|(name, _)| !known(*name)));
        prop_assert!(refines(judge(&tree, &values), judge(&tree, &all)));
    }

    #[test]
    fn what_a_condition_does_not_read_does_not_matter(tree in any_tree(), values in any_values(), other: f64) {
        prop_assume!(other.is_finite());
        let mut more = values.clone();
        more.push(("other", other));
        prop_assert_eq!(judge(&tree, &values), judge(&tree, &more));
    }
}

#[test]
fn a_value_that_is_not_finite_is_no_sample() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut metrics = Snapshot::empty(Timestamp::MIN);
        assert!(!metrics.put(sample("cpu", value, at(0))));
        assert_eq!(metric_exceeds("cpu", 0.0).evaluate(&metrics), Verdict::Unknown);
    }
}
