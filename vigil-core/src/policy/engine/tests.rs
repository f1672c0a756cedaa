use serde_json::json;

use super::*;
use crate::metric::Tags;
use crate::policy::fixtures::*;
use crate::target::TargetTags;

mod properties;

fn verdicts(evaluated: &[Evaluated]) -> Vec<(&str, Verdict)> {
    evaluated.iter().map(|e| (e.policy.name.as_str(), e.verdict)).collect()
}

fn triggers(evaluated: &[Evaluated]) -> Vec<(&str, Verdict)> {
    let triggers = evaluated.iter().filter_map(|e| e.trigger.as_ref());
    triggers.map(|trigger| (trigger.policy.name.as_str(), trigger.verdict)).collect()
}

fn scope(target: &str) -> Scope {
    Scope { tenant: TenantId::default(), target: Target::new(target).ok() }
}

/// A shard over one set, observing as things happen.
struct Engine {
    shard: Shard,
    set: PolicySet,
}

impl Engine {
    fn new(set: PolicySet) -> Self {
        Self { shard: Shard::default(), set }
    }

    fn observe(&mut self, target: &str, name: &str, value: f64, seconds: u64) -> Vec<Evaluated> {
        self.shard.observe(&self.set, &metric(target, name, value, at(seconds)), at(seconds), STALENESS)
    }
}

#[test]
fn every_met_is_reported_until_it_is_deferred() {
    let mut engine = Engine::new(set(1, [spec("hot", &json!({}))]));
    for second in 0..3 {
        assert_eq!(triggers(&engine.observe("web-1", "cpu", 90.0, second)), [("hot", Verdict::Met)]);
    }
    let trigger = engine.observe("web-1", "cpu", 90.0, 3)[0].trigger.clone().unwrap();
    engine.shard.defer(&scope("web-1"), &trigger, at(60));
    let quiet = engine.observe("web-1", "cpu", 91.0, 59);
    assert_eq!((verdicts(&quiet), triggers(&quiet)), (vec![("hot", Verdict::Met)], vec![]));
    assert_eq!(triggers(&engine.observe("web-2", "cpu", 90.0, 59)).len(), 1, "another target is not deferred");
    assert_eq!(triggers(&engine.observe("web-1", "cpu", 91.0, 60)), [("hot", Verdict::Met)]);
}

#[test]
fn only_the_first_unmet_is_reported_and_unknown_never_is() {
    let mut engine = Engine::new(set(
        1,
        [spec("hot", &json!({"condition": {"type": "all", "conditions": [above("cpu", 80.0), above("mem", 80.0)]}}))],
    ));
    assert_eq!(triggers(&engine.observe("web-1", "cpu", 90.0, 0)), [], "mem is unknown");
    assert_eq!(triggers(&engine.observe("web-1", "mem", 10.0, 1)), [("hot", Verdict::Unmet)]);
    assert_eq!(triggers(&engine.observe("web-1", "mem", 11.0, 2)), []);
    assert_eq!(triggers(&engine.observe("web-1", "mem", 90.0, 3)), [("hot", Verdict::Met)]);
    assert_eq!(
        verdicts(&engine.observe("web-1", "mem", 90.0, 400)),
        [("hot", Verdict::Unknown)],
        "cpu has become stale"
    );
    assert_eq!(triggers(&engine.observe("web-1", "mem", 10.0, 401)), [("hot", Verdict::Unmet)]);
}

#[test]
fn a_late_sample_changes_nothing() {
    let mut engine = Engine::new(set(1, [spec("hot", &json!({}))]));
    engine.observe("web-1", "cpu", 10.0, 100);
    assert!(engine.shard.observe(&engine.set, &metric("web-1", "cpu", 90.0, at(99)), at(101), STALENESS).is_empty());
    let same_time = engine.shard.observe(&engine.set, &metric("web-1", "cpu", 90.0, at(100)), at(101), STALENESS);
    assert_eq!(
        verdicts(&same_time),
        [("hot", Verdict::Met)],
        "of two samples of one time the later recorded one counts"
    );
}

#[test]
fn samples_without_a_target_are_judged_by_every_policy() {
    let specs = [
        spec("exact", &json!({"target": "web-1"})),
        spec("glob", &json!({"target": "web-*"})),
        spec("everything", &json!({})),
    ];
    let mut engine = Engine::new(set(1, specs));
    let evaluated = engine.observe("", "cpu", 90.0, 0);
    let acting: Vec<_> =
        evaluated.iter().map(|e| (e.policy.name.as_str(), e.trigger.as_ref().unwrap().target.as_str())).collect();
    assert_eq!(acting, [("everything", "unknown"), ("exact", "web-1"), ("glob", "unknown")]);
}

#[test]
fn a_new_set_judges_by_the_samples_that_are_there() {
    let both = json!({"condition": {"type": "all", "conditions": [above("cpu", 80.0), above("mem", 80.0)]}});
    let mut engine = Engine::new(set(1, []));
    assert!(engine.observe("web-1", "cpu", 90.0, 0).is_empty());
    engine.set = set(2, [spec("both", &both)]);
    assert_eq!(verdicts(&engine.observe("web-1", "mem", 90.0, 1)), [("both", Verdict::Met)]);
    engine.set = set(3, []);
    assert!(engine.observe("web-1", "mem", 91.0, 2).is_empty(), "a removed policy is gone");
}

#[test]
fn memory_does_not_grow_with_names_that_no_policy_reads() {
    let mut engine = Engine::new(set(1, [spec("hot", &json!({}))]));
    for number in 0..10_000 {
        assert!(engine.observe(&format!("web-{number}"), &format!("made-up-{number}"), 1.0, 0).is_empty());
    }
    assert_eq!(engine.shard.len(), Shard::MOST_SPARE);
    assert_eq!(triggers(&engine.observe("web-9999", "cpu", 90.0, 1)), [("hot", Verdict::Met)], "what is read is kept");
    engine.shard.forget(at(1));
    engine.observe("web-1", "made-up", 1.0, 1);
    assert_eq!(engine.shard.len(), 2, "and there is room again");
}

#[test]
fn a_new_set_keeps_what_is_known_of_the_policies_it_did_not_change() {
    let table = |generation, changed| crate::store::PolicyTable {
        generation,
        policies: vec![
            stored(&TenantId::default(), spec("same", &json!({})), 1),
            stored(&TenantId::default(), spec("edited", &json!({})), changed),
        ],
    };
    let mut engine = Engine::new(compiled(table(1, 1)));
    for evaluated in engine.observe("web-1", "cpu", 90.0, 0) {
        engine.shard.defer(&scope("web-1"), &evaluated.trigger.unwrap(), at(60));
    }
    engine.set = compiled(table(2, 2));
    assert_eq!(triggers(&engine.observe("web-1", "cpu", 90.0, 1)), [("edited", Verdict::Met)]);
}

#[test]
fn a_disabled_policy_judges_nothing() {
    let mut engine = Engine::new(set(1, [spec("off", &json!({"enabled": false}))]));
    assert!(engine.observe("web-1", "cpu", 90.0, 0).is_empty());
    let off = policy(&json!({"enabled": false}));
    let evaluation = evaluate(&off, &Snapshot::of([("cpu", 90.0)], at(0)).unwrap());
    assert_eq!((evaluation.verdict, evaluation.evidence.len()), (Verdict::Unknown, 0));
}

#[test]
fn a_condition_that_panics_is_unknown_with_what_it_said() {
    let fragile = json!({"type": "fragile", "metric": "cpu", "limit": 80});
    let among = json!({"type": "any", "conditions": [above("cpu", 50.0), fragile]});
    let mut engine = Engine::new(set(1, [spec("fragile", &json!({ "condition": among })), spec("sound", &json!({}))]));
    let evaluated = engine.observe("web-1", "cpu", 90.0, 0);
    assert_eq!(verdicts(&evaluated), [("fragile", Verdict::Unknown), ("sound", Verdict::Met)], "the others go on");
    assert_eq!(evaluated[0].panic.as_deref(), Some("90 is too much"));
    assert_eq!(triggers(&evaluated), [("sound", Verdict::Met)]);
    assert_eq!(verdicts(&engine.observe("web-1", "cpu", 70.0, 1))[0], ("fragile", Verdict::Met), "it is asked again");
    let policy = policy(&json!({ "condition": fragile }));
    let evaluation = evaluate(&policy, &Snapshot::of([("cpu", 90.0)], at(0)).unwrap());
    assert_eq!((evaluation.verdict, evaluation.panic.as_deref()), (Verdict::Unknown, Some("90 is too much")));
    assert_eq!(policy.evaluate(&Snapshot::of([("cpu", 90.0)], at(0)).unwrap()), Verdict::Unknown);
}

#[test]
fn silent_targets_and_silent_series_are_forgotten() {
    let mut engine = Engine::new(set(1, [spec("hot", &json!({}))]));
    engine.observe("web-1", "cpu", 90.0, 0);
    engine.observe("web-1", "mem", 90.0, 100);
    engine.observe("web-2", "cpu", 90.0, 0);
    engine.shard.forget(at(1));
    assert_eq!((engine.shard.len(), engine.shard.is_empty()), (1, false));
    engine.shard.forget(at(101));
    assert_eq!((engine.shard.len(), engine.shard.is_empty()), (0, true));
}

#[test]
fn the_evidence_is_what_violates_and_otherwise_what_is_fresh() {
    let policy = policy(&json!({"condition": {"type": "any", "conditions": [above("cpu", 80.0), below("disk", 5.0)]}}));
    let samples = [
        sample("cpu", 90.0, at(400)),
        sample("disk", 50.0, at(401)),
        sample("mem", 99.0, at(402)),
        sample("disk", 3.0, at(0)),
    ];
    let evaluation = evaluate(&policy, &Snapshot::new(samples, at(300)));
    assert_eq!(evaluation.evidence, [sample("cpu", 90.0, at(400))]);
    assert_eq!(evaluation.sentence(&policy), "policy 'p' is violated: cpu = 90");
    let healthy = [sample("cpu", 10.0, at(400)), sample("disk", 50.0, at(401)), sample("mem", 99.0, at(402))];
    let evaluation = evaluate(&policy, &Snapshot::new(healthy.clone(), at(300)));
    assert_eq!((evaluation.verdict, &evaluation.evidence[..]), (Verdict::Unmet, &healthy[..2]));
}

#[test]
fn lesson_5_every_series_counts_not_the_newest_rows() {
    let mut engine = Engine::new(set(1, [spec("hot", &json!({}))]));
    let tagged = |core: u64, value| {
        let series = Tags::new([("core", core.to_string())]).unwrap();
        Metric { series, ..metric("web-1", "cpu", value, at(core)) }
    };
    engine.shard.observe(&engine.set, &tagged(0, 99.0), at(0), STALENESS);
    for core in 1..200 {
        let evaluated = engine.shard.observe(&engine.set, &tagged(core, 10.0), at(core), STALENESS);
        assert_eq!(verdicts(&evaluated), [("hot", Verdict::Met)], "core 0 is still hot");
    }
    assert!(engine.observe("idle", "other", 1.0, 200).is_empty(), "no data is no error");
}

/// LESSONS 6: `all(cpu, mem)` was true with cpu of one host and memory of another, and never true across requests.
#[test]
fn lesson_6_compounds_work_across_requests_and_never_mix_targets() {
    let both = json!({"condition": {"type": "all", "conditions": [above("cpu", 80.0), above("mem", 80.0)]}});
    let mut engine = Engine::new(set(1, [spec("both", &both)]));
    engine.observe("web-1", "cpu", 90.0, 0);
    assert_eq!(verdicts(&engine.observe("web-2", "mem", 90.0, 1)), [("both", Verdict::Unknown)], "another target");
    assert_eq!(verdicts(&engine.observe("", "mem", 90.0, 2)), [("both", Verdict::Unknown)], "no target");
    let foreign = Metric { tenant: TenantId::new("other").unwrap(), ..metric("web-1", "mem", 90.0, at(3)) };
    assert!(engine.shard.observe(&engine.set, &foreign, at(3), STALENESS).is_empty(), "another tenant");
    assert_eq!(
        verdicts(&engine.observe("web-1", "mem", 90.0, 4)),
        [("both", Verdict::Met)],
        "two requests, one target"
    );
}

/// LESSONS 7: an absent metric was read as 0 or infinity.
#[test]
fn lesson_7_an_absent_metric_is_unknown() {
    let empty = Snapshot::empty(Timestamp::MIN);
    for condition in
        [above("cpu", -1.0), below("cpu", 1e300), json!({"type": "all", "conditions": [above("cpu", -1.0)]})]
    {
        assert_eq!(policy(&json!({ "condition": condition })).evaluate(&empty), Verdict::Unknown);
    }
    let stale = Snapshot::new([sample("cpu", 90.0, at(0))], at(1));
    assert_eq!(policy(&json!({})).evaluate(&stale), Verdict::Unknown, "stale data is no data");
}

/// LESSONS 8: a tag `cpu_percent=99` overwrote the metric.
#[test]
fn lesson_8_a_tag_is_never_a_value() {
    let cpu = json!({"condition": above("cpu_percent", 80.0)});
    let set = set(1, [spec("hot", &cpu)]);
    let tags =
        Tags::new([("host", "web-1"), ("cpu_percent", "99"), ("value", "99"), ("metric", "cpu_percent")]).unwrap();
    let mut shard = Shard::default();
    for (name, value, expected) in [("memory", 1.0, vec![]), ("cpu_percent", 10.0, vec![("hot", Verdict::Unmet)])] {
        let name = MetricName::new(name).unwrap();
        let metric =
            Metric::new(TenantId::default(), name, value, tags.clone(), None, at(0), &TargetTags::default()).unwrap();
        assert_eq!(verdicts(&shard.observe(&set, &metric, at(0), STALENESS)), expected);
    }
}
