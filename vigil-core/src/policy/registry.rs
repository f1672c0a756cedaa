//! [`ConditionRegistry`]: the custom conditions of a program, and the fence between them and the engine.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Condition, Verdict};
use crate::invalid::InvalidValue;
use crate::metric::{MetricName, Sample, Snapshot};

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

    /// Makes the condition of a type; an error's field is `/type` when no such type is registered, empty otherwise.
    ///
    /// A factory, or a condition's `reads`, that panics is an error like any other.
    pub(super) fn compile(&self, kind: &str, fields: &Map<String, Value>) -> Result<Arc<dyn Condition>, InvalidValue> {
        let factory = self.0.get(kind).ok_or_else(|| {
            let custom = self.0.keys().map(|kind| format!(", {kind}")).collect::<String>();
            let problem = format!("'{kind}' is not one of metric_exceeds, metric_below, all, any{custom}");
            InvalidValue::new("/type", problem)
        })?;
        let made = catch_unwind(AssertUnwindSafe(|| factory(fields).map(Fenced::new)));
        let fenced = made
            .map_err(|panic| format!("cannot be made: {}", said(panic)))
            .and_then(|made| made)
            .and_then(|fenced| if fenced.reads.is_empty() { Err("reads no metric".to_owned()) } else { Ok(fenced) });
        fenced.map(|fenced| Arc::new(fenced) as _).map_err(|problem| InvalidValue::new("", problem))
    }
}

impl fmt::Debug for ConditionRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A custom condition, asked once what it reads: the indexes are built from that, and must neither change nor panic.
#[derive(Debug)]
struct Fenced {
    condition: Arc<dyn Condition>,
    reads: Vec<MetricName>,
}

impl Fenced {
    fn new(condition: Arc<dyn Condition>) -> Self {
        let reads: BTreeSet<_> = condition.reads().iter().cloned().collect();
        Self { condition, reads: reads.into_iter().collect() }
    }
}

impl Condition for Fenced {
    fn evaluate(&self, metrics: &Snapshot) -> Verdict {
        self.condition.evaluate(metrics)
    }

    fn reads(&self) -> &[MetricName] {
        &self.reads
    }

    fn violating<'s>(&self, metrics: &'s Snapshot) -> Vec<&'s Sample> {
        self.condition.violating(metrics)
    }
}

/// What a panic said.
pub(super) fn said(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().map_or_else(|| "it panicked".to_owned(), ToString::to_string),
    }
}
