//! Conditions: what is wrong. The [`Condition`] seam, the built-in ones, and the registry of custom ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value, json};

use super::Node;
use super::spec::condition_of;
use crate::invalid::InvalidValue;
use crate::metric::{MetricName, Snapshot};

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
/// A function of the snapshot: no I/O, no clock, no memory. One that panics is Unknown, and is counted as an error.
///
/// # Time
/// The snapshot shows fresh samples only: what is not there is Unknown.
///
/// # Implementing
/// See `examples/custom_condition.rs`.
pub trait Condition: fmt::Debug + Send + Sync + 'static {
    /// The verdict over the newest fresh samples of one target.
    fn evaluate(&self, metrics: &Snapshot) -> Verdict;

    /// The metrics it looks at: only a sample of one of them makes it be judged.
    fn reads(&self) -> &[MetricName];
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
}

impl Condition for Threshold {
    fn evaluate(&self, metrics: &Snapshot) -> Verdict {
        let mut verdict = Verdict::Unknown;
        for sample in metrics.samples(&self.metric[0]) {
            let met = match self.side {
                Side::Above => sample.value > self.threshold,
                Side::Below => sample.value < self.threshold,
            };
            if met {
                return Verdict::Met;
            }
            verdict = Verdict::Unmet;
        }
        verdict
    }

    fn reads(&self) -> &[MetricName] {
        &self.metric
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

    /// Compiles it.
    ///
    /// # Errors
    /// [`InvalidValue`] for a custom condition that is not registered or that its factory refuses.
    pub fn compile(&self, registry: &ConditionRegistry) -> Result<Arc<dyn Condition>, InvalidValue> {
        let threshold = |metric: &MetricName, side, threshold| {
            Threshold::new(metric.as_str(), side, threshold).map(|c| Arc::new(c) as Arc<dyn Condition>)
        };
        match self {
            Self::Exceeds { metric, threshold: limit } => threshold(metric, Side::Above, *limit),
            Self::Below { metric, threshold: limit } => threshold(metric, Side::Below, *limit),
            Self::All(conditions) => compound(Verdict::and, conditions, registry),
            Self::Any(conditions) => compound(Verdict::or, conditions, registry),
            Self::Custom { kind, fields } => registry.compile(kind, fields),
        }
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
                let mut all = Map::from_iter([("type".to_owned(), Value::from(kind.as_str()))]);
                all.extend(fields.clone());
                Value::Object(all)
            }
        }
    }
}

fn compound(
    join: fn(Verdict, Verdict) -> Verdict,
    conditions: &[ConditionSpec],
    registry: &ConditionRegistry,
) -> Result<Arc<dyn Condition>, InvalidValue> {
    let compiled: Vec<_> = conditions.iter().map(|condition| condition.compile(registry)).collect::<Result<_, _>>()?;
    let compound = Compound::new(join, compiled)
        .ok_or_else(|| InvalidValue::new("conditions", "must have at least one condition"))?;
    Ok(Arc::new(compound))
}

impl Serialize for ConditionSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ConditionSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        condition_of(&node).map_err(|errors| de::Error::custom(errors.first().map_or("invalid", |e| e.detail.as_str())))
    }
}

/// Makes a condition of the fields written beside its `type`; the error is a sentence for the policy's author.
pub type ConditionFactory = Arc<dyn Fn(&Map<String, Value>) -> Result<Arc<dyn Condition>, String> + Send + Sync>;

/// The custom conditions of a program, by `type`.
#[derive(Clone, Default)]
pub struct ConditionRegistry(BTreeMap<String, ConditionFactory>);

impl ConditionRegistry {
    /// Registers a condition; a later one of the same type replaces it. The built-in types cannot be replaced.
    pub fn register<F>(&mut self, kind: &str, factory: F)
    where
        F: Fn(&Map<String, Value>) -> Result<Arc<dyn Condition>, String> + Send + Sync + 'static,
    {
        self.0.insert(kind.to_owned(), Arc::new(factory));
    }

    /// Makes the condition of a type; an error's field is `type` when no such type is registered, empty otherwise.
    pub(super) fn compile(&self, kind: &str, fields: &Map<String, Value>) -> Result<Arc<dyn Condition>, InvalidValue> {
        let factory = self.0.get(kind).ok_or_else(|| {
            let custom = self.0.keys().map(|kind| format!(", {kind}")).collect::<String>();
            let problem = format!("'{kind}' is not one of metric_exceeds, metric_below, all, any{custom}");
            InvalidValue::new("type", problem)
        })?;
        factory(fields).map_err(|problem| InvalidValue::new("", problem))
    }
}

impl fmt::Debug for ConditionRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
