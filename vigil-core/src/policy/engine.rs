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
use crate::tenant::TenantId;

/// What the evaluator says of one policy over one snapshot.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The verdict.
    pub verdict: Verdict,
    /// The samples that violate a condition that is met; of any other, the fresh samples of the metrics that it reads.
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
        if values.is_empty() {
            return format!("policy '{}' is violated", policy.name);
        }
        format!("policy '{}' is violated: {}", policy.name, values.join(", "))
    }
}

/// The simple evaluator: walks the condition over the snapshot. A custom condition that panics is Unknown.
pub fn evaluate(policy: &Policy, metrics: &Snapshot) -> Evaluation {
    let evaluated = judge(policy, metrics).and_then(|verdict| Ok((verdict, evidence(policy, metrics, verdict)?)));
    match evaluated {
        Ok((verdict, evidence)) => Evaluation { verdict, evidence, panic: None },
        Err(panic) => Evaluation { verdict: Verdict::Unknown, evidence: Vec::new(), panic: Some(panic) },
    }
}

fn evidence(policy: &Policy, metrics: &Snapshot, verdict: Verdict) -> Result<Vec<Sample>, String> {
    if !policy.enabled {
        return Ok(Vec::new());
    }
    if verdict == Verdict::Met {
        let violating = catch_unwind(AssertUnwindSafe(|| policy.condition.violating(metrics))).map_err(said)?;
        return Ok(violating.into_iter().cloned().collect());
    }
    Ok(policy.condition.reads().iter().flat_map(|name| metrics.samples(name)).cloned().collect())
}

/// The verdict without the evidence; the error is what a condition that panicked said.
pub(super) fn judge(policy: &Policy, metrics: &Snapshot) -> Result<Verdict, String> {
    if !policy.enabled {
        return Ok(Verdict::Unknown);
    }
    // A condition is a function of the snapshot: a panic leaves nothing half done.
    catch_unwind(AssertUnwindSafe(|| policy.condition.evaluate(metrics))).map_err(said)
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
    tenants: HashMap<TenantId, HashMap<Option<Target>, ScopeState>>,
    /// How many samples that no policy reads were taken since it last forgot.
    spare: usize,
}

#[derive(Debug)]
struct ScopeState {
    /// The generation of the set that the watches are from.
    generation: i64,
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
    const MOST_SPARE: usize = 1024;

    /// Takes a committed sample; answers the verdict of every policy it concerns, with a trigger where one asks for
    /// attention: every Met that was not [deferred](Shard::defer), and the first Unmet after anything else.
    ///
    /// A sample older than the newest of its series changes nothing. Another set than before keeps the samples, and what is
    /// known of the policies that it did not change. Of the samples that no policy of the tenant reads only some are kept, so that
    /// memory does not grow with names that somebody thinks up: a policy that comes to read others waits for their next.
    pub fn observe(&mut self, set: &PolicySet, metric: &Metric, now: Timestamp, staleness: Duration) -> Vec<Evaluated> {
        if !set.reads(&metric.tenant, &metric.name) {
            if self.spare >= Self::MOST_SPARE {
                return Vec::new();
            }
            self.spare += 1;
        }
        let known = self.tenants.get_mut(&metric.tenant).and_then(|targets| targets.get_mut(&metric.target));
        if let Some(state) = known {
            return state.observe(set, metric, now, staleness);
        }
        let mut state = ScopeState::new(set, &scope_of(metric));
        let evaluated = state.observe(set, metric, now, staleness);
        self.tenants.entry(metric.tenant.clone()).or_default().insert(metric.target.clone(), state);
        evaluated
    }

    /// Does not report that this policy is Met on this target again before `next_at`.
    pub fn defer(&mut self, scope: &Scope, trigger: &Trigger, next_at: Timestamp) {
        let state = self.tenants.get_mut(&scope.tenant).and_then(|targets| targets.get_mut(&scope.target));
        for watch in state.into_iter().flat_map(|state| &mut state.watches) {
            if watch.policy.name == trigger.policy.name && watch.target == trigger.target {
                watch.next_at = next_at;
            }
        }
    }

    /// Drops the samples older than `before`, and the targets that have no other.
    pub fn forget(&mut self, before: Timestamp) {
        self.spare = 0;
        self.tenants.retain(|_, targets| {
            targets.retain(|_, state| {
                state.metrics.forget(before);
                !state.metrics.is_empty()
            });
            !targets.is_empty()
        });
    }

    /// How many targets it knows.
    pub fn len(&self) -> usize {
        self.tenants.values().map(HashMap::len).sum()
    }

    /// Whether it knows no target.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

fn scope_of(metric: &Metric) -> Scope {
    Scope { tenant: metric.tenant.clone(), target: metric.target.clone() }
}

impl ScopeState {
    fn new(set: &PolicySet, scope: &Scope) -> Self {
        let metrics = Snapshot::empty(Timestamp::MIN);
        let mut state = Self { generation: set.generation(), metrics, watches: Vec::new(), by_metric: HashMap::new() };
        state.resolve(set, scope);
        state
    }

    /// Finds the policies of the target anew. What is known of those that are still the same stays.
    fn resolve(&mut self, set: &PolicySet, scope: &Scope) {
        let key = |policy: &Policy, target: &Target| (policy.name.clone(), target.clone(), policy.revision);
        let known: HashMap<_, _> = self
            .watches
            .drain(..)
            .map(|watch| (key(&watch.policy, &watch.target), (watch.verdict, watch.next_at)))
            .collect();
        self.generation = set.generation();
        self.by_metric.clear();
        for (at, (policy, target)) in set.judging(scope).into_iter().enumerate() {
            for name in policy.condition.reads() {
                self.by_metric.entry(name.clone()).or_default().push(at);
            }
            let unknown = (Verdict::Unknown, Timestamp::MIN);
            let (verdict, next_at) = known.get(&key(&policy, &target)).copied().unwrap_or(unknown);
            self.watches.push(Watch { policy, target, verdict, next_at });
        }
    }

    fn observe(&mut self, set: &PolicySet, metric: &Metric, now: Timestamp, staleness: Duration) -> Vec<Evaluated> {
        if self.generation != set.generation() {
            self.resolve(set, &scope_of(metric));
        }
        let sample =
            Sample { metric: metric.name.clone(), tags: metric.series.clone(), value: metric.value, at: metric.at };
        self.metrics.show_until(now + Metric::CLOCK_TOLERANCE);
        if !self.metrics.put(sample) {
            return Vec::new();
        }
        self.metrics.show_since(now - staleness);
        let Some(concerned) = self.by_metric.get(&metric.name) else { return Vec::new() };
        concerned.iter().map(|&at| self.watches[at].judge(&self.metrics, now)).collect()
    }
}

impl Watch {
    fn judge(&mut self, metrics: &Snapshot, now: Timestamp) -> Evaluated {
        let (verdict, panic) = match judge(&self.policy, metrics) {
            Ok(verdict) => (verdict, None),
            Err(panic) => (Verdict::Unknown, Some(panic)),
        };
        let trigger = self.wants(verdict, now).then(|| Trigger {
            policy: self.policy.clone(),
            target: self.target.clone(),
            verdict,
        });
        Evaluated { policy: self.policy.clone(), verdict, panic, trigger }
    }

    /// Whether this verdict asks for attention; remembers it.
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

#[cfg(test)]
mod tests;
