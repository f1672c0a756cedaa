//! The indexed engine agrees with the simple evaluator, whatever happens.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::policy::PolicyName;
use crate::store::PolicyTable;

const METRICS: [&str; 3] = ["m0", "m1", "m2"];
const TARGETS: [&str; 4] = ["", "t0", "t1", "t2"];
const PATTERNS: [&str; 9] = ["all", "*", "t0", "t1", "t?", "t[12]", "{t0,t2}", "unknown", "x*"];

fn any_condition() -> impl Strategy<Value = Value> {
    let metric = || prop::sample::select(METRICS.to_vec());
    let leaf = prop_oneof![
        (metric(), 0_u8..5).prop_map(|(metric, threshold)| above(metric, threshold.into())),
        (metric(), 0_u8..5).prop_map(|(metric, threshold)| below(metric, threshold.into())),
        (metric(), 2_u8..5).prop_map(|(metric, limit)| json!({"type": "fragile", "metric": metric, "limit": limit})),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        (prop::sample::select(vec!["all", "any"]), prop::collection::vec(inner, 1..4))
            .prop_map(|(kind, conditions)| json!({"type": kind, "conditions": conditions}))
    })
}

/// Policies of two tenants, some of them off.
fn any_policies() -> impl Strategy<Value = Vec<Written>> {
    let policy = (0_usize..2, prop::sample::select(PATTERNS.to_vec()), any_condition(), prop::bool::weighted(0.8));
    prop::collection::vec(policy, 0..7)
}

/// Tenant, target, condition, whether it is on.
type Written = (usize, &'static str, Value, bool);

fn tenant(at: usize) -> TenantId {
    TenantId::new(["one", "two"][at]).unwrap()
}

/// As a Store has it: policies of one name and one revision are the same policy.
fn set_of(generation: i64, revision: usize, policies: &[Written]) -> PolicySet {
    let policies = policies.iter().enumerate().map(|(at, (of, target, condition, enabled))| {
        let changes = json!({"target": target, "condition": condition, "enabled": enabled});
        stored(&tenant(*of), spec(&format!("p{at}"), &changes), revision as i64)
    });
    compiled(PolicyTable { generation, policies: policies.collect() })
}

#[derive(Debug, Clone)]
enum Event {
    Sample { tenant: usize, target: usize, metric: usize, zone: usize, value: u8, late: u64 },
    Swap(usize),
    Wait(u64),
    Defer(u64),
}

fn any_event() -> impl Strategy<Value = Event> {
    let late = prop_oneof![4 => Just(0_u64), 1 => 0_u64..400];
    prop_oneof![
        12 => (0_usize..2, 0..TARGETS.len(), 0..METRICS.len(), 0_usize..2, 0_u8..6, late).prop_map(
            |(tenant, target, metric, zone, value, late)| Event::Sample { tenant, target, metric, zone, value, late }
        ),
        1 => (0_usize..3).prop_map(Event::Swap),
        2 => (0_u64..200).prop_map(Event::Wait),
        1 => (0_u64..200).prop_map(Event::Defer),
    ]
}

type Series = (TenantId, Option<Target>, MetricName, Tags);
/// A policy of one revision on one scope.
type Watched = (TenantId, Option<Target>, PolicyName, i64);

/// What the engine should know, kept the long way round.
#[derive(Default)]
struct Model {
    newest: BTreeMap<Series, (f64, Timestamp)>,
    /// The newest verdict but Unknown, and until when a Met is deferred.
    known: HashMap<Watched, (Verdict, Timestamp)>,
    /// The set that a scope was last judged by.
    generations: HashMap<(TenantId, Option<Target>), i64>,
}

impl Model {
    fn put(&mut self, metric: &Metric) -> bool {
        let series = (metric.tenant.clone(), metric.target.clone(), metric.name.clone(), metric.series.clone());
        let newer = self.newest.get(&series).is_none_or(|(_, at)| *at <= metric.at);
        if newer {
            self.newest.insert(series, (metric.value, metric.at));
        }
        newer
    }

    fn snapshot(&self, metric: &Metric, since: Timestamp) -> Snapshot {
        let same = self.newest.iter().filter(|((tenant, target, ..), (_, at))| {
            *tenant == metric.tenant && *target == metric.target && *at >= since
        });
        let samples = same.map(|((_, _, name, tags), (value, at))| Sample {
            metric: name.clone(),
            tags: tags.clone(),
            value: *value,
            at: *at,
        });
        Snapshot::new(samples, Timestamp::MIN)
    }

    /// What was known of policies that the scope's set no longer has is gone.
    fn swap(&mut self, set: &PolicySet, metric: &Metric) {
        let scope = (metric.tenant.clone(), metric.target.clone());
        if self.generations.insert(scope.clone(), set.generation()) != Some(set.generation()) {
            let now: Vec<_> =
                Self::concerned(set, metric).into_iter().map(|(p, _)| (p.name.clone(), p.revision)).collect();
            self.known.retain(|(tenant, target, name, revision), _| {
                (tenant, target) != (&scope.0, &scope.1) || now.contains(&(name.clone(), *revision))
            });
        }
    }

    /// The policies that judge a sample, each with the target it acts on: by brute force.
    fn concerned<'a>(set: &'a PolicySet, metric: &Metric) -> Vec<(&'a Arc<Policy>, Target)> {
        let acting = |policy: &Policy| match &metric.target {
            Some(target) => policy.target.matches(target).then(|| target.clone()),
            None => Some(policy.target.exact().cloned().unwrap_or_else(Target::unknown)),
        };
        let policies = set.enabled(&metric.tenant).iter().filter(|p| p.enabled && p.tenant == metric.tenant);
        policies.filter_map(|p| acting(p).map(|target| (p, target))).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_engine_agrees_with_the_simple_evaluator(
        sets in prop::collection::vec(any_policies(), 3),
        events in prop::collection::vec(any_event(), 1..80),
    ) {
        let mut generation = 1;
        let mut set = set_of(generation, 0, &sets[0]);
        let (mut shard, mut model, mut now) = (Shard::default(), Model::default(), at(1000));
        let mut triggered: Option<(Scope, Trigger)> = None;
        for event in events {
            let metric = match event {
                Event::Wait(seconds) => {
                    now = now + Duration::from_secs(seconds);
                    continue;
                }
                Event::Swap(index) => {
                    generation += 1;
                    set = set_of(generation, index, &sets[index]);
                    triggered = None;
                    continue;
                }
                Event::Defer(seconds) => {
                    if let Some((scope, trigger)) = triggered.take() {
                        let next_at = now + Duration::from_secs(seconds);
                        shard.defer(&scope, &trigger, next_at);
                        let key = (scope.tenant, scope.target, trigger.policy.name.clone(), trigger.policy.revision);
                        model.known.get_mut(&key).unwrap().1 = next_at;
                    }
                    continue;
                }
                Event::Sample { tenant: of, target, metric: name, zone, value, late } => Metric {
                    tenant: tenant(of),
                    series: Tags::new([("zone", ["a", "b"][zone])]).unwrap(),
                    ..metric(TARGETS[target], METRICS[name], value.into(), now - Duration::from_secs(late))
                },
            };
            model.swap(&set, &metric);
            let taken = model.put(&metric);
            let evaluated = shard.observe(&set, &metric, now, STALENESS);
            if !taken {
                prop_assert!(evaluated.is_empty());
                continue;
            }
            let snapshot = model.snapshot(&metric, now - STALENESS);
            let mut expected = Vec::new();
            for (policy, target) in Model::concerned(&set, &metric) {
                if !policy.condition.reads().contains(&metric.name) {
                    continue;
                }
                let evaluation = evaluate(policy, &snapshot);
                let key = (metric.tenant.clone(), metric.target.clone(), policy.name.clone(), policy.revision);
                let known = model.known.entry(key).or_insert((Verdict::Unknown, Timestamp::MIN));
                let wanted = match evaluation.verdict {
                    Verdict::Met => now >= known.1,
                    Verdict::Unmet => known.0 != Verdict::Unmet,
                    Verdict::Unknown => false,
                };
                if evaluation.verdict != Verdict::Unknown {
                    known.0 = evaluation.verdict;
                }
                expected.push((policy.name.clone(), evaluation.verdict, evaluation.panic, wanted.then_some(target)));
            }
            let trigger_of = |e: &Evaluated| e.trigger.as_ref().map(|trigger| trigger.target.clone());
            let said: Vec<_> =
                evaluated.iter().map(|e| (e.policy.name.clone(), e.verdict, e.panic.clone(), trigger_of(e))).collect();
            prop_assert_eq!(said, expected);
            for trigger in evaluated.iter().filter_map(|e| e.trigger.clone()) {
                triggered = Some((scope_of(&metric), trigger));
            }
        }
    }

    #[test]
    fn judging_is_what_brute_force_finds(policies in any_policies(), of in 0_usize..2, target in 0..TARGETS.len()) {
        let set = set_of(1, 0, &policies);
        let metric = Metric { tenant: tenant(of), ..metric(TARGETS[target], "m0", 0.0, at(0)) };
        let found: Vec<_> = set.judging(&scope_of(&metric)).into_iter().map(|(p, target)| (p.name.clone(), target)).collect();
        let expected: Vec<_> =
            Model::concerned(&set, &metric).into_iter().map(|(p, target)| (p.name.clone(), target)).collect();
        prop_assert_eq!(found, expected);
        let stored = policies.iter().filter(|(tenant, ..)| *tenant == of).count();
        prop_assert_eq!(set.all_stored(&tenant(of)).len(), stored, "those that are off are stored all the same");
        prop_assert_eq!(set.len(), policies.len());
    }

    #[test]
    fn forgetting_what_is_stale_changes_no_verdict(
        policies in any_policies(),
        events in prop::collection::vec(any_event(), 1..60),
    ) {
        let set = set_of(1, 0, &policies);
        let (mut remembers, mut forgets, mut now) = (Shard::default(), Shard::default(), at(1000));
        for event in events {
            match event {
                Event::Wait(seconds) => now = now + Duration::from_secs(seconds),
                Event::Sample { tenant: of, target, metric: name, zone, value, .. } => {
                    let metric = Metric {
                        tenant: tenant(of),
                        series: Tags::new([("zone", ["a", "b"][zone])]).unwrap(),
                        ..metric(TARGETS[target], METRICS[name], value.into(), now)
                    };
                    let all = remembers.observe(&set, &metric, now, STALENESS);
                    let fresh = forgets.observe(&set, &metric, now, STALENESS);
                    prop_assert_eq!(verdicts(&all), verdicts(&fresh));
                }
                Event::Swap(_) | Event::Defer(_) => forgets.forget(now - STALENESS),
            }
        }
    }
}
