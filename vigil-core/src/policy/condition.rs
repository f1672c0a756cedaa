//! Conditions: what is wrong. The [`Condition`] seam, the built-in ones, and the registry of custom ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value, json};

use super::error::sentence;
use super::reader::condition_of;
use super::{ConditionRegistry, Node};
use crate::invalid::InvalidValue;
use crate::metric::{MetricName, Sample, Snapshot};

/// What a condition says of a snapshot. No data is an answer: [`Verdict::Unknown`] neither opens nor resolves anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is violated.
    Met,
    /// It is known not to be.
    Unmet,
    /// Fresh data is missing.
    Unknown,
}

impl Verdict {
    /// Kleene's strong conjunction: one Unmet decides, then one Unknown.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unmet, _) | (_, Self::Unmet) => Self::Unmet,
            (Self::Met, Self::Met) => Self::Met,
            _ => Self::Unknown,
        }
    }

    /// Kleene's strong disjunction: one Met decides, then one Unknown.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Met, _) | (_, Self::Met) => Self::Met,
            (Self::Unmet, Self::Unmet) => Self::Unmet,
            _ => Self::Unknown,
        }
    }

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Unmet => "unmet",
            Self::Unknown => "unknown",
        }
    }
}

/// When a policy is violated. Implement it for conditions of your own and register them under their `type`.
///
/// # Contract
/// A function of the snapshot: no I/O, no clock, no memory. One that panics makes its policy Unknown, also when it is
/// one of several conditions, and is counted as an error.
///
/// # Time
/// The snapshot shows fresh samples only: what is not there is Unknown.
///
/// # Implementing
/// See `examples/custom_condition.rs`.
pub trait Condition: fmt::Debug + Send + Sync + 'static {
    /// The verdict over the newest fresh samples of one target.
    fn evaluate(&self, metrics: &Snapshot) -> Verdict;

    /// The metrics it looks at, at least one: only a sample of one of them makes it be judged. Asked once, when the
    /// policy is compiled.
    fn reads(&self) -> &[MetricName];

    /// The samples that violate it, asked when it is met: the evidence of an episode. The episode recovers only when a
    /// fresh sample of each of their series is there. Default: every fresh sample of what it reads.
    fn violating<'s>(&self, metrics: &'s Snapshot) -> Vec<&'s Sample> {
        self.reads().iter().flat_map(|metric| metrics.samples(metric)).collect()
    }
}

/// Met when the value of any fresh series of `metric` is above `threshold`.
///
/// # Panics
/// If `metric` is no metric's name or `threshold` is not finite: this is for conditions written in code. Conditions from
/// outside are [`ConditionSpec`]s.
pub fn metric_exceeds(metric: &str, threshold: f64) -> Arc<dyn Condition> {
    Arc::new(Threshold::new(metric, Side::Above, threshold).expect("a metric's name and a finite threshold"))
}

/// Met when the value of any fresh series of `metric` is below `threshold`.
///
/// # Panics
/// As [`metric_exceeds`].
pub fn metric_below(metric: &str, threshold: f64) -> Arc<dyn Condition> {
    Arc::new(Threshold::new(metric, Side::Below, threshold).expect("a metric's name and a finite threshold"))
}

/// Met when all conditions are; Unmet when one is; otherwise Unknown.
///
/// # Panics
/// If there is no condition: `all` of nothing is a mistake.
pub fn all_conditions(conditions: impl IntoIterator<Item = Arc<dyn Condition>>) -> Arc<dyn Condition> {
    Arc::new(Compound::new(Verdict::and, conditions.into_iter().collect()).expect("at least one condition"))
}

/// Met when one condition is; Unmet when all are; otherwise Unknown.
///
/// # Panics
/// If there is no condition.
pub fn any_condition(conditions: impl IntoIterator<Item = Arc<dyn Condition>>) -> Arc<dyn Condition> {
    Arc::new(Compound::new(Verdict::or, conditions.into_iter().collect()).expect("at least one condition"))
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Above,
    Below,
}

#[derive(Debug)]
struct Threshold {
    metric: [MetricName; 1],
    side: Side,
    threshold: f64,
}

impl Threshold {
    fn new(metric: &str, side: Side, threshold: f64) -> Result<Self, InvalidValue> {
        if !threshold.is_finite() {
            return Err(InvalidValue::new("threshold", "must be a finite number"));
        }
        Ok(Self { metric: [MetricName::new(metric)?], side, threshold })
    }

    fn is_crossed_by(&self, sample: &Sample) -> bool {
        match self.side {
            Side::Above => sample.value > self.threshold,
            Side::Below => sample.value < self.threshold,
        }
    }
}

impl Condition for Threshold {
    fn evaluate(&self, metrics: &Snapshot) -> Verdict {
        let mut verdict = Verdict::Unknown;
        for sample in metrics.samples(&self.metric[0]) {
            if self.is_crossed_by(sample) {
                return Verdict::Met;
            }
            verdict = Verdict::Unmet;
        }
        verdict
    }

    fn reads(&self) -> &[MetricName] {
        &self.metric
    }

    fn violating<'s>(&self, metrics: &'s Snapshot) -> Vec<&'s Sample> {
        metrics.samples(&self.metric[0]).filter(|sample| self.is_crossed_by(sample)).collect()
    }
}

#[derive(Debug)]
struct Compound {
    join: fn(Verdict, Verdict) -> Verdict,
    conditions: Vec<Arc<dyn Condition>>,
    reads: Vec<MetricName>,
}

impl Compound {
    fn new(join: fn(Verdict, Verdict) -> Verdict, conditions: Vec<Arc<dyn Condition>>) -> Option<Self> {
        let reads: BTreeSet<_> = conditions.iter().flat_map(|c| c.reads().iter().cloned()).collect();
        (!conditions.is_empty()).then(|| Self { join, conditions, reads: reads.into_iter().collect() })
    }
}

impl Condition for Compound {
    fn evaluate(&self, metrics: &Snapshot) -> Verdict {
        let verdicts = self.conditions.iter().map(|condition| condition.evaluate(metrics));
        verdicts.reduce(self.join).unwrap_or(Verdict::Unknown)
    }

    fn reads(&self) -> &[MetricName] {
        &self.reads
    }

    /// What violates the conditions that are met, each sample once.
    fn violating<'s>(&self, metrics: &'s Snapshot) -> Vec<&'s Sample> {
        let met = self.conditions.iter().filter(|condition| condition.evaluate(metrics) == Verdict::Met);
        let violating = met.flat_map(|condition| condition.violating(metrics));
        violating
            .map(|sample| ((&sample.metric, &sample.tags), sample))
            .collect::<BTreeMap<_, _>>()
            .into_values()
            .collect()
    }
}

/// A condition as written: the documented JSON. Its reading and writing round-trips.
#[derive(Debug, Clone, PartialEq)]
pub enum ConditionSpec {
    /// `{"type": "metric_exceeds", "metric": "...", "threshold": 80}`
    Exceeds {
        /// Which metric.
        metric: MetricName,
        /// Above what.
        threshold: f64,
    },
    /// `{"type": "metric_below", "metric": "...", "threshold": 10}`
    Below {
        /// Which metric.
        metric: MetricName,
        /// Below what.
        threshold: f64,
    },
    /// `{"type": "all", "conditions": [...]}`
    All(Vec<Self>),
    /// `{"type": "any", "conditions": [...]}`
    Any(Vec<Self>),
    /// `{"type": "<registered>", ...}`
    Custom {
        /// The registered type.
        kind: String,
        /// All other fields.
        fields: Map<String, Value>,
    },
}

impl ConditionSpec {
    /// How deep conditions may be nested.
    pub const MAX_DEPTH: usize = 16;
    /// How many conditions one policy may have.
    pub const MAX_CONDITIONS: usize = 256;

    /// Compiles it. What this takes can also be written as JSON and read again.
    ///
    /// # Errors
    /// [`InvalidValue`] whose field is the JSON pointer, from this condition, to what is wrong: a custom condition that is
    /// not registered or that its factory refuses, or a limit of a condition that was made in code.
    pub fn compile(&self, registry: &ConditionRegistry) -> Result<Arc<dyn Condition>, InvalidValue> {
        Compiler { registry, conditions: 0 }.compile(self, 1)
    }

    /// The documented JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Exceeds { metric, threshold } => {
                json!({"type": "metric_exceeds", "metric": metric, "threshold": threshold})
            }
            Self::Below { metric, threshold } => {
                json!({"type": "metric_below", "metric": metric, "threshold": threshold})
            }
            Self::All(conditions) => json!({"type": "all", "conditions": conditions}),
            Self::Any(conditions) => json!({"type": "any", "conditions": conditions}),
            Self::Custom { kind, fields } => {
                let mut all = fields.clone();
                all.insert("type".to_owned(), Value::from(kind.as_str()));
                Value::Object(all)
            }
        }
    }
}

struct Compiler<'a> {
    registry: &'a ConditionRegistry,
    conditions: usize,
}

impl Compiler<'_> {
    fn compile(&mut self, spec: &ConditionSpec, depth: usize) -> Result<Arc<dyn Condition>, InvalidValue> {
        let refused = |problem: String| Err(InvalidValue::new("", problem));
        self.conditions += 1;
        if self.conditions > ConditionSpec::MAX_CONDITIONS {
            return refused(format!("must have at most {} conditions", ConditionSpec::MAX_CONDITIONS));
        }
        if depth > ConditionSpec::MAX_DEPTH {
            return refused(format!("must be nested at most {} deep", ConditionSpec::MAX_DEPTH));
        }
        match spec {
            ConditionSpec::Exceeds { metric, threshold } => Self::threshold(metric, Side::Above, *threshold),
            ConditionSpec::Below { metric, threshold } => Self::threshold(metric, Side::Below, *threshold),
            ConditionSpec::All(conditions) => self.compound(Verdict::and, conditions, depth),
            ConditionSpec::Any(conditions) => self.compound(Verdict::or, conditions, depth),
            ConditionSpec::Custom { kind, fields } => self.registry.compile(kind, fields),
        }
    }

    fn threshold(metric: &MetricName, side: Side, threshold: f64) -> Result<Arc<dyn Condition>, InvalidValue> {
        let condition = Threshold::new(metric.as_str(), side, threshold)
            .map_err(|e| InvalidValue::new(format!("/{}", e.field), e.problem))?;
        Ok(Arc::new(condition))
    }

    fn compound(
        &mut self,
        join: fn(Verdict, Verdict) -> Verdict,
        conditions: &[ConditionSpec],
        depth: usize,
    ) -> Result<Arc<dyn Condition>, InvalidValue> {
        let mut compiled = Vec::with_capacity(conditions.len());
        for (index, condition) in conditions.iter().enumerate() {
            let inner = |e: InvalidValue| InvalidValue::new(format!("/conditions/{index}{}", e.field), e.problem);
            compiled.push(self.compile(condition, depth + 1).map_err(inner)?);
        }
        let compound = Compound::new(join, compiled)
            .ok_or_else(|| InvalidValue::new("/conditions", "must have at least one condition"))?;
        Ok(Arc::new(compound))
    }
}

impl Serialize for ConditionSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ConditionSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        condition_of(&node).map_err(|errors| de::Error::custom(sentence(&errors)))
    }
}

#[cfg(test)]
mod tests;
