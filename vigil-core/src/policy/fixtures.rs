//! What the tests of this folder are made of.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Condition, ConditionRegistry, Policy, PolicySet, PolicySpec, Verdict};
use crate::clock::Timestamp;
use crate::metric::{Metric, MetricName, Sample, Snapshot, Tags};
use crate::store::{PolicySource, PolicyTable, StoredPolicy};
use crate::target::Target;
use crate::tenant::TenantId;

pub(super) const STALENESS: Duration = Duration::from_secs(300);

/// So many seconds after a day long ago.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_768_910_400_000_000) + Duration::from_secs(seconds)
}

pub(super) fn above(metric: &str, threshold: f64) -> Value {
    json!({"type": "metric_exceeds", "metric": metric, "threshold": threshold})
}

pub(super) fn below(metric: &str, threshold: f64) -> Value {
    json!({"type": "metric_below", "metric": metric, "threshold": threshold})
}

/// A spec that acts, with `changes`.
pub(super) fn spec(name: &str, changes: &Value) -> PolicySpec {
    let mut spec = json!({"name": name, "action": "restart", "auto_remediate": true, "condition": above("cpu", 80.0)});
    for (field, value) in changes.as_object().unwrap() {
        spec[field] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

/// A custom condition that panics when its metric is above its limit, and is Unmet otherwise.
#[derive(Debug)]
struct Fragile {
    metric: [MetricName; 1],
    limit: f64,
}

impl Condition for Fragile {
    fn evaluate(&self, metrics: &Snapshot) -> Verdict {
        let worst = metrics.samples(&self.metric[0]).map(|sample| sample.value).fold(f64::MIN, f64::max);
        assert!(worst <= self.limit, "{worst} is too much");
        Verdict::Unmet
    }

    fn reads(&self) -> &[MetricName] {
        &self.metric
    }
}

pub(super) fn registry() -> ConditionRegistry {
    let mut registry = ConditionRegistry::default();
    registry.register("fragile", |fields| {
        let metric =
            fields["metric"].as_str().and_then(|name| MetricName::new(name).ok()).ok_or("metric must be a name")?;
        let limit = fields["limit"].as_f64().ok_or("limit must be a number")?;
        Ok(Arc::new(Fragile { metric: [metric], limit }))
    });
    registry
}

pub(super) fn policy(changes: &Value) -> Policy {
    Policy::compile(TenantId::default(), &spec("p", changes), 1, &registry()).unwrap()
}

pub(super) fn stored(tenant: &TenantId, spec: PolicySpec, revision: i64) -> StoredPolicy {
    let (source, updated_at) = (PolicySource::Api, at(0));
    StoredPolicy { tenant: tenant.clone(), spec, source, enabled_override: None, revision, updated_at }
}

/// A set of the default tenant; every policy has the generation as its revision.
pub(super) fn set(generation: i64, specs: impl IntoIterator<Item = PolicySpec>) -> PolicySet {
    let stored = specs.into_iter().map(|spec| stored(&TenantId::default(), spec, generation)).collect();
    compiled(PolicyTable { generation, policies: stored })
}

pub(super) fn compiled(table: PolicyTable) -> PolicySet {
    let (set, refused) = PolicySet::compile(table, &registry());
    assert!(refused.is_empty(), "{refused:?}");
    set
}

pub(super) fn sample(metric: &str, value: f64, at: Timestamp) -> Sample {
    Sample { metric: MetricName::new(metric).unwrap(), tags: Tags::default(), value, at }
}

/// A sample of the default tenant; without a target if `target` is empty.
pub(super) fn metric(target: &str, name: &str, value: f64, at: Timestamp) -> Metric {
    Metric {
        tenant: TenantId::default(),
        target: Target::new(target).ok(),
        name: MetricName::new(name).unwrap(),
        value,
        tags: Tags::default(),
        series: Tags::default(),
        at,
        received_at: at,
    }
}
