//! Values in one line.

use std::time::Duration;

use serde_json::{Map, Value};

use super::ManualClock;
use crate::action::{Action, ActionStatus, ActionType, Severity};
use crate::clock::Timestamp;
use crate::episode::EpisodeIntent;
use crate::metric::{Metric, MetricName, Tags};
use crate::policy::{ConditionSpec, PolicyName, PolicySpec};
use crate::store::{ActionIntent, Actor, MetricBatch};
use crate::target::{Target, TargetTags};
use crate::task::Task;
use crate::tenant::TenantId;

/// A tenant.
pub fn tenant(id: &str) -> TenantId {
    TenantId::new(id).expect("the test names a valid tenant")
}

/// A target.
pub fn target(name: &str) -> Target {
    Target::new(name).expect("the test names a valid target")
}

/// A policy's name.
pub fn policy_name(name: &str) -> PolicyName {
    PolicyName::new(name).expect("the test names a valid policy")
}

/// Begins a sample of the default tenant, without tags, taken and received at [`ManualClock::START`].
pub fn metric(name: &str, value: f64) -> MetricBuilder {
    MetricBuilder {
        tenant: TenantId::default(),
        name: MetricName::new(name).expect("the test names a valid metric"),
        value,
        tags: Vec::new(),
        at: None,
        received_at: ManualClock::START,
    }
}

/// Builds a [`Metric`].
#[derive(Debug, Clone)]
pub struct MetricBuilder {
    tenant: TenantId,
    name: MetricName,
    value: f64,
    tags: Vec<(String, String)>,
    at: Option<Timestamp>,
    received_at: Timestamp,
}

impl MetricBuilder {
    /// Of another tenant.
    #[must_use]
    pub fn of(mut self, tenant: &TenantId) -> Self {
        self.tenant = tenant.clone();
        self
    }

    /// About a target: the tag `target`.
    #[must_use]
    pub fn on(self, target: &str) -> Self {
        self.tag("target", target)
    }

    /// With one more tag.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Taken and received then.
    #[must_use]
    pub fn at(mut self, at: Timestamp) -> Self {
        (self.at, self.received_at) = (None, at);
        self
    }

    /// Taken at `at`, but received only at `received_at`.
    #[must_use]
    pub fn late(mut self, at: Timestamp, received_at: Timestamp) -> Self {
        (self.at, self.received_at) = (Some(at), received_at);
        self
    }

    /// The sample, its target found by the default tags.
    pub fn build(self) -> Metric {
        let tags = Tags::new(self.tags).expect("the test gives valid tags");
        Metric::new(self.tenant, self.name, self.value, tags, self.at, self.received_at, &TargetTags::default())
            .expect("the test gives a finite value and a time that is not ahead")
    }
}

/// A batch of samples without an idempotency key; the tenant is that of the first.
pub fn batch(metrics: impl IntoIterator<Item = MetricBuilder>) -> MetricBatch {
    let metrics: Vec<Metric> = metrics.into_iter().map(MetricBuilder::build).collect();
    let tenant = metrics.first().map_or_else(TenantId::default, |metric| metric.tenant.clone());
    MetricBatch { tenant, metrics, idempotency: None }
}

/// Begins a policy: `metric_exceeds` on `cpu` with threshold 90, target `all`, action `restart`, not acting on its own.
pub fn policy(name: &str) -> PolicyBuilder {
    PolicyBuilder(PolicySpec {
        name: policy_name(name),
        description: String::new(),
        severity: Severity::Warning,
        target: "all".to_owned(),
        enabled: true,
        auto_remediate: false,
        condition: exceeds("cpu", 90.0),
        action: ActionType::RestartService,
        params: Map::new(),
        hold: Duration::ZERO,
        keep_firing: Duration::ZERO,
    })
}

/// Builds a [`PolicySpec`].
#[derive(Debug, Clone)]
pub struct PolicyBuilder(PolicySpec);

impl PolicyBuilder {
    /// Watches a target, a pattern, or `all`.
    #[must_use]
    pub fn on(mut self, target: &str) -> Self {
        target.clone_into(&mut self.0.target);
        self
    }

    /// Violated by a metric above a threshold.
    #[must_use]
    pub fn exceeds(self, metric: &str, threshold: f64) -> Self {
        self.condition(exceeds(metric, threshold))
    }

    /// Violated by a metric below a threshold.
    #[must_use]
    pub fn below(self, metric: &str, threshold: f64) -> Self {
        let metric = MetricName::new(metric).expect("the test names a valid metric");
        self.condition(ConditionSpec::Below { metric, threshold })
    }

    /// Violated by this condition.
    #[must_use]
    pub fn condition(mut self, condition: ConditionSpec) -> Self {
        self.0.condition = condition;
        self
    }

    /// Acts on its own.
    #[must_use]
    pub fn auto(mut self) -> Self {
        self.0.auto_remediate = true;
        self
    }

    /// Not in force.
    #[must_use]
    pub fn disabled(mut self) -> Self {
        self.0.enabled = false;
        self
    }

    /// How bad a violation is.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.0.severity = severity;
        self
    }

    /// What heals it.
    #[must_use]
    pub fn action(mut self, action: ActionType) -> Self {
        self.0.action = action;
        self
    }

    /// With one more parameter.
    #[must_use]
    pub fn param(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.params.insert(key.to_owned(), value.into());
        self
    }

    /// The least time between its actions on one target, in whole seconds.
    #[must_use]
    pub fn cooldown(self, cooldown: Duration) -> Self {
        self.param("cooldown_seconds", cooldown.as_secs())
    }

    /// Its `for`.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.0.hold = hold;
        self
    }

    /// Its `keep_firing_for`.
    #[must_use]
    pub fn keep_firing(mut self, keep_firing: Duration) -> Self {
        self.0.keep_firing = keep_firing;
        self
    }

    /// The policy as written.
    pub fn build(self) -> PolicySpec {
        self.0
    }
}

fn exceeds(metric: &str, threshold: f64) -> ConditionSpec {
    let metric = MetricName::new(metric).expect("the test names a valid metric");
    ConditionSpec::Exceeds { metric, threshold }
}

/// What a pending `restart` of a target by a person shall be; change the fields that matter with struct update syntax.
pub fn intent(on: &str) -> ActionIntent {
    ActionIntent {
        tenant: TenantId::default(),
        target: target(on),
        action: ActionType::RestartService,
        status: ActionStatus::Pending,
        details: None,
        severity: Severity::Warning,
        params: Map::new(),
        policy: None,
        episode: None,
        opens: None,
        condition: None,
        evidence_at: None,
        nonce: 7,
        expires_after: Duration::from_secs(600),
        idempotency: None,
        actor: Actor::new("test"),
    }
}

/// What opens a firing episode of `policy` on a target, without evidence.
pub fn episode_intent(policy: &str, on: &str) -> EpisodeIntent {
    EpisodeIntent {
        tenant: TenantId::default(),
        policy: policy_name(policy),
        target: target(on),
        severity: Severity::Warning,
        condition: exceeds("cpu", 90.0),
        pending_since: ManualClock::START,
        firing: true,
        evidence: Vec::new(),
    }
}

/// The task that delivers an action, as the controller makes it; `number` makes its id unique.
pub fn task(action: &Action, number: u64) -> Task {
    Task {
        task_id: format!("task_{number}"),
        action_id: action.id,
        target: action.target.clone(),
        action: Some(action.action),
        severity: action.severity,
        enqueued_at: action.started_at,
        tenant: action.tenant.clone(),
        attempt: action.attempt,
        policy_name: action.policy.as_ref().map(ToString::to_string),
        params: action.params.clone(),
    }
}
