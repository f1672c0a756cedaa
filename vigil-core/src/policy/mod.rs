//! Policies: what is wrong, and what to do about it. Everything in this folder is a function of its arguments
//! (ARCHITECTURE.md, AI-2): no runtime, no clock, no I/O, no lock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::action::{ActionType, Severity};
use crate::invalid::{InvalidValue, name_of};
use crate::metric::Snapshot;
use crate::target::{Target, TargetPattern};
use crate::tenant::TenantId;

mod condition;
mod continuity;
mod engine;
mod error;
mod evidence;
#[cfg(test)]
mod fixtures;
mod gate;
mod index;
mod node;
mod plan;
mod reader;
mod registry;
mod seconds;
mod set;
mod spec;

pub use condition::{Condition, ConditionSpec, Verdict, all_conditions, any_condition, metric_below, metric_exceeds};
pub use continuity::Continuity;
pub use engine::{Evaluated, Evaluation, Shard, Trigger, evaluate};
pub use error::PolicyError;
pub use evidence::{merge_evidence, recovery_verdict, same_series};
pub use gate::{Decision, Gate, Reason};
pub use node::{FieldError, Node};
pub use plan::{Limits, explain, plan};
pub use registry::{ConditionFactory, ConditionRegistry};
pub use set::PolicySet;
pub use spec::PolicySpec;

/// The name of a policy: 1 to 255 printable characters without `/`, and none of the words that are routes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyName(Arc<str>);

impl PolicyName {
    /// Words that name routes beside policies.
    const RESERVED: [&str; 6] = [".", "..", "evaluate", "reload", "runner", "severity"];

    /// Checks and takes a policy's name.
    ///
    /// # Errors
    /// [`InvalidValue`] on `name`.
    pub fn new(name: &str) -> Result<Self, InvalidValue> {
        let name = name_of("name", name)?;
        if name.contains('/') {
            return Err(InvalidValue::new("name", "must not contain '/'"));
        }
        if Self::RESERVED.contains(&&*name) {
            return Err(InvalidValue::new("name", format!("must not be one of {}", Self::RESERVED.join(", "))));
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PolicyName {
    type Error = InvalidValue;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<PolicyName> for String {
    fn from(name: PolicyName) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// A compiled policy: a condition on targets that match a pattern, and the action that heals its violation.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Whose.
    pub tenant: TenantId,
    /// Its name, unique within the tenant.
    pub name: PolicyName,
    /// For people.
    pub description: String,
    /// How bad a violation is.
    pub severity: Severity,
    /// Which targets it watches.
    pub target: TargetPattern,
    /// Whether it is in force.
    pub enabled: bool,
    /// Whether it may act on its own. If not, violations are recorded only.
    pub auto_remediate: bool,
    /// When it is violated, compiled.
    pub condition: Arc<dyn Condition>,
    /// When it is violated, as written.
    pub condition_spec: ConditionSpec,
    /// What heals it.
    pub action: ActionType,
    /// Passed on to the remediator.
    pub params: Map<String, Value>,
    /// The least time from one automatic action to the next on one target.
    pub cooldown: Duration,
    /// How long the condition must be met without a break before anything is done.
    pub hold: Duration,
    /// How long the condition must be unmet before the episode ends.
    pub keep_firing: Duration,
    /// The Store's revision of it; 0 if it is not stored.
    pub revision: i64,
}

impl Policy {
    /// Compiles a policy. What this takes can also be stored and read again.
    ///
    /// # Errors
    /// [`PolicyError::Invalid`] if the pattern does not compile, a custom condition is refused by the registry, or a spec
    /// that was made in code breaks a limit.
    pub fn compile(
        tenant: TenantId,
        spec: &PolicySpec,
        revision: i64,
        registry: &ConditionRegistry,
    ) -> Result<Self, PolicyError> {
        let invalid =
            |base: &'static str| move |e: InvalidValue| PolicyError::invalid(&format!("{base}{}", e.field), e.problem);
        let target = TargetPattern::new(&spec.target).map_err(invalid("/"))?;
        let condition = spec.condition.compile(registry).map_err(invalid("/condition"))?;
        let cooldown = PolicySpec::cooldown_in(&spec.params).map_err(invalid("/params/"))?;
        for (field, duration) in [("for", spec.hold), ("keep_firing_for", spec.keep_firing)] {
            seconds::check(field, duration).map_err(invalid("/"))?;
        }
        Ok(Self {
            tenant,
            name: spec.name.clone(),
            description: spec.description.clone(),
            severity: spec.severity,
            target,
            enabled: spec.enabled,
            auto_remediate: spec.auto_remediate,
            condition,
            condition_spec: spec.condition.clone(),
            action: spec.action,
            params: spec.params.clone(),
            cooldown,
            hold: spec.hold,
            keep_firing: spec.keep_firing,
            revision,
        })
    }

    /// The verdict over a snapshot; [`Verdict::Unknown`] if the policy is disabled, or its condition panics.
    pub fn evaluate(&self, metrics: &Snapshot) -> Verdict {
        engine::judge(self, metrics).unwrap_or(Verdict::Unknown)
    }

    /// Whether the policy watches `target`.
    pub fn matches_target(&self, target: &str) -> bool {
        Target::new(target).is_ok_and(|target| self.target.matches(&target))
    }
}
