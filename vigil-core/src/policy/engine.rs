//! The engine: which policies a sample concerns, and whether their verdict asks for attention.
//!
//! Stage one: policies are indexed by (target, metric) when a target is first seen or the set changes; the few that are
//! left are judged by the simple evaluator over the target's samples. The verdict is a *trigger*: the controller judges
//! again over the Store's snapshot before anything happens. `observe` and `defer` are the boundary behind which a
//! threshold index can replace this.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::registry::said;
use super::{Policy, PolicySet, Verdict};
use crate::clock::Timestamp;
use crate::metric::{Metric, MetricName, Sample, Snapshot};
use crate::store::Scope;
use crate::target::Target;

/// What the evaluator says of one policy over one snapshot.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The verdict.
    pub verdict: Verdict,
    /// The fresh samples of the metrics that the condition reads.
    pub evidence: Vec<Sample>,
    /// What a condition that panicked said; its verdict is Unknown.
    pub panic: Option<String>,
}

impl Evaluation {
    /// The violation in words, for an action's details.
    pub fn sentence(&self, policy: &Policy) -> String {
        const SHOWN: usize = 4;
        let mut values: Vec<_> =
            self.evidence.iter().take(SHOWN).map(|s| format!("{} = {}", s.metric, s.value)).collect();
        if self.evidence.len() > SHOWN {
            values.push(format!("{} more", self.evidence.len() - SHOWN));
        }
        format!("policy '{}' is violated: {}", policy.name, values.join(", "))
    }
}

/// The simple evaluator: walks the condition over the snapshot. A custom condition that panics is Unknown.
pub fn evaluate(policy: &Policy, metrics: &Snapshot) -> Evaluation {
    if !policy.enabled {
        return Evaluation { verdict: Verdict::Unknown, evidence: Vec::new(), panic: None };
    }
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let evidence = policy.condition.reads().iter().flat_map(|name| metrics.samples(name)).cloned().collect();
        (policy.condition.evaluate(metrics), evidence)
    }));
    match judged {
        Ok((verdict, evidence)) => Evaluation { verdict, evidence, panic: None },
        Err(payload) => Evaluation { verdict: Verdict::Unknown, evidence: Vec::new(), panic: Some(said(payload)) },
    }
}

/// Since when the condition has been met without a break, given stored samples, oldest first: the time of the first
/// Met after the last Unmet, or `since` if there was no Unmet. `None` if it is not met at the end.
///
/// An Unknown breaks nothing: no data is no evidence of recovery.
pub fn unbroken_since(policy: &Policy, samples: &[Sample], since: Timestamp, staleness: Duration) -> Option<Timestamp> {
    let mut metrics = Snapshot::empty(Timestamp::MIN);
    let mut start = Some(since);
    let mut last = Verdict::Unknown;
    for sample in samples {
        metrics.show_since(sample.at - staleness);
        metrics.put(sample.clone());
        match evaluate(policy, &metrics).verdict {
            Verdict::Unmet if sample.at > since => (start, last) = (None, Verdict::Unmet),
            Verdict::Met => {
                start = start.or(Some(sample.at));
                last = Verdict::Met;
            }
            Verdict::Unmet | Verdict::Unknown => {}
        }
    }
    start.filter(|_| last != Verdict::Unmet)
}

/// A policy whose verdict on a target asks for attention.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// The policy.
    pub policy: Arc<Policy>,
    /// The target it would act on.
    pub target: Target,
    /// Met: it is to be planned. Unmet: an open episode is to be ended.
    pub verdict: Verdict,
}

/// The state of the engine for some of the targets. Owned by whoever calls it; one target's samples always come to the
/// same shard.
#[derive(Debug, Default)]
pub struct Shard {
    generation: i64,
    scopes: HashMap<Scope, ScopeState>,
}

#[derive(Debug)]
struct ScopeState {
    metrics: Snapshot,
    watches: Vec<Watch>,
    /// The watches that read a metric.
    by_metric: HashMap<MetricName, Vec<usize>>,
}

/// One policy on one target.
#[derive(Debug)]
struct Watch {
    policy: Arc<Policy>,
    target: Target,
    /// The newest verdict but Unknown.
    verdict: Verdict,
    /// A Met is not reported again before.
    next_at: Timestamp,
}

impl Shard {
    /// Takes a committed sample; answers the policies whose verdict asks for attention: every Met that was not
    /// [deferred](Shard::defer), and the first Unmet after anything else.
    ///
    /// A sample older than the newest of its series changes nothing.
    pub fn observe(&mut self, set: &PolicySet, metric: &Metric, now: Timestamp, staleness: Duration) -> Vec<Evaluated> {
        if self.generation != set.generation() {
            self.resolve_anew(set);
        }
        let scope = Scope { tenant: metric.tenant.clone(), target: metric.target.clone() };
        let state = self
            .scopes
            .entry(scope)
            .or_insert_with_key(|scope| ScopeState::new(set, scope, Snapshot::empty(Timestamp::MIN)));
        let sample =
            Sample { metric: metric.name.clone(), tags: metric.series.clone(), value: metric.value, at: metric.at };
        if !state.metrics.put(sample) {
            return Vec::new();
        }
        state.metrics.show_since(now - staleness);
        let mut evaluated = Vec::new();
        for &at in state.by_metric.get(&metric.name).into_iter().flatten() {
            let watch = &mut state.watches[at];
            let evaluation = evaluate(&watch.policy, &state.metrics);
            let wanted = watch.wants(evaluation.verdict, now);
            let trigger = wanted.then(|| Trigger {
                policy: watch.policy.clone(),
                target: watch.target.clone(),
                verdict: evaluation.verdict,
            });
            evaluated.push(Evaluated {
                policy: watch.policy.clone(),
                verdict: evaluation.verdict,
                panic: evaluation.panic,
                trigger,
            });
        }
        evaluated
    }

    /// Does not report that this policy is Met on this target again before `next_at`.
    pub fn defer(&mut self, scope: &Scope, trigger: &Trigger, next_at: Timestamp) {
        let watches = self.scopes.get_mut(scope).map(|state| state.watches.iter_mut());
        for watch in watches.into_iter().flatten() {
            if watch.policy.name == trigger.policy.name && watch.target == trigger.target {
                watch.next_at = next_at;
            }
        }
    }

    /// Drops the targets whose newest sample is older than `before`.
    pub fn forget(&mut self, before: Timestamp) {
        self.scopes.retain(|_, state| state.metrics.newest().is_some_and(|newest| newest >= before));
    }

    /// How many targets it knows.
    pub fn len(&self) -> usize {
        self.scopes.len()
    }

    /// Whether it knows no target.
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// The set was swapped: finds the policies of every target anew and keeps the samples.
    fn resolve_anew(&mut self, set: &PolicySet) {
        self.generation = set.generation();
        for (scope, state) in &mut self.scopes {
            let metrics = std::mem::replace(&mut state.metrics, Snapshot::empty(Timestamp::MIN));
            *state = ScopeState::new(set, scope, metrics);
        }
    }
}

/// What [`Shard::observe`] says of one policy.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its verdict over what this shard has seen.
    pub verdict: Verdict,
    /// What a condition that panicked said.
    pub panic: Option<String>,
    /// Whether it asks for attention.
    pub trigger: Option<Trigger>,
}

impl ScopeState {
    fn new(set: &PolicySet, scope: &Scope, metrics: Snapshot) -> Self {
        let watch = |(policy, target)| Watch { policy, target, verdict: Verdict::Unknown, next_at: Timestamp::MIN };
        let watches: Vec<Watch> = set.judging(scope).into_iter().map(watch).collect();
        let mut by_metric: HashMap<MetricName, Vec<usize>> = HashMap::new();
        for (at, watch) in watches.iter().enumerate() {
            for name in watch.policy.condition.reads() {
                let readers = by_metric.entry(name.clone()).or_default();
                if readers.last() != Some(&at) {
                    readers.push(at);
                }
            }
        }
        Self { metrics, watches, by_metric }
    }
}

impl Watch {
    fn wants(&mut self, verdict: Verdict, now: Timestamp) -> bool {
        let before = self.verdict;
        match verdict {
            Verdict::Unknown => return false,
            known => self.verdict = known,
        }
        match verdict {
            Verdict::Met => now >= self.next_at,
            _ => before != Verdict::Unmet,
        }
    }
}
