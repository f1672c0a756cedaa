//! [`Reader`]: checks the fields of one policy and collects everything that is wrong with them.

use std::time::Duration;

use serde_json::{Map, Value};

use super::node::Content;
use super::{ConditionRegistry, ConditionSpec, FieldError, Node, PolicyName, PolicySpec, seconds};
use crate::action::{ActionType, Severity};
use crate::invalid::{InvalidValue, pointer_to};
use crate::metric::MetricName;
use crate::target::TargetPattern;

/// The fields of a policy.
const FIELDS: [&str; 11] = [
    "name",
    "description",
    "severity",
    "target",
    "enabled",
    "auto_remediate",
    "condition",
    "action",
    "params",
    "for",
    "keep_firing_for",
];
/// Fields that answers add and clients send back.
const ANSWERED: [&str; 4] = ["revision", "source", "updated_at", "ok"];

/// Reads a condition from a document; custom ones are not looked up.
pub(super) fn condition_of(node: &Node) -> Result<ConditionSpec, Vec<FieldError>> {
    let mut reader = Reader::new(None);
    let condition = reader.condition(node, "", 1);
    condition.filter(|_| reader.errors.is_empty()).ok_or(reader.errors)
}

/// Collects every error on the way through a document.
pub(super) struct Reader<'a> {
    /// Where custom conditions are looked up; not at all when what is stored is read again.
    registry: Option<&'a ConditionRegistry>,
    errors: Vec<FieldError>,
    conditions: usize,
}

impl<'a> Reader<'a> {
    /// How many errors are told of one policy.
    const MAX_ERRORS: usize = 100;

    pub(super) fn new(registry: Option<&'a ConditionRegistry>) -> Self {
        Self { registry, errors: Vec::new(), conditions: 0 }
    }

    pub(super) fn policy(mut self, node: &Node, base: &str) -> Result<PolicySpec, Vec<FieldError>> {
        let Content::Map(pairs) = &node.content else {
            return Err(vec![node.error(base, "must be a policy: a map with name, condition and action")]);
        };
        let known = |key: &str| FIELDS.contains(&key) || ANSWERED.contains(&key);
        for (key, value) in pairs.iter().filter(|(key, _)| !known(key)) {
            let detail = format!("is not a field of a policy; those are {}", FIELDS.join(", "));
            self.wrong(value, &pointer_to(base, key), detail);
        }
        self.required(node, base, &["name", "condition", "action"]);
        let field = |name: &str| node.field(name).map(|value| (value, format!("{base}/{name}")));
        let name = field("name").and_then(|(n, at)| self.value(n, &at, PolicyName::new));
        let description = field("description").and_then(|(n, at)| self.text(n, &at));
        let severity = field("severity").and_then(|(n, at)| self.value(n, &at, Severity::parse));
        let target = field("target").and_then(|(n, at)| self.value(n, &at, TargetPattern::new));
        let enabled = field("enabled").and_then(|(n, at)| self.boolean(n, &at));
        let auto_remediate = field("auto_remediate").and_then(|(n, at)| self.boolean(n, &at));
        let condition = field("condition").and_then(|(n, at)| self.condition(n, &at, 1));
        let action = field("action").and_then(|(n, at)| self.value(n, &at, ActionType::parse));
        let params = field("params").and_then(|(n, at)| self.params(n, &at));
        let hold = field("for").and_then(|(n, at)| self.duration(n, &at));
        let keep_firing = field("keep_firing_for").and_then(|(n, at)| self.duration(n, &at));
        match (name, condition, action) {
            (Some(name), Some(condition), Some(action)) if self.errors.is_empty() => Ok(PolicySpec {
                name,
                description: description.unwrap_or_default(),
                severity: severity.unwrap_or_default(),
                target: target.map_or_else(|| "all".to_owned(), |pattern| pattern.as_str().to_owned()),
                enabled: enabled.unwrap_or(true),
                auto_remediate: auto_remediate.unwrap_or(false),
                condition,
                action,
                params: params.unwrap_or_default(),
                hold: hold.unwrap_or_default(),
                keep_firing: keep_firing.unwrap_or_default(),
            }),
            _ => Err(self.errors),
        }
    }

    fn condition(&mut self, node: &Node, pointer: &str, depth: usize) -> Option<ConditionSpec> {
        self.conditions += 1;
        if self.conditions > ConditionSpec::MAX_CONDITIONS {
            if self.conditions == ConditionSpec::MAX_CONDITIONS + 1 {
                self.wrong(node, pointer, format!("must have at most {} conditions", ConditionSpec::MAX_CONDITIONS));
            }
            return None;
        }
        if depth > ConditionSpec::MAX_DEPTH {
            self.wrong(node, pointer, format!("must be nested at most {} deep", ConditionSpec::MAX_DEPTH));
            return None;
        }
        if !matches!(node.content, Content::Map(_)) {
            self.wrong(node, pointer, "must be a condition: a map with a type");
            return None;
        }
        let Some(kind) = node.field("type") else {
            self.wrong(node, &format!("{pointer}/type"), "is required");
            return None;
        };
        let kind = self.text(kind, &format!("{pointer}/type"))?;
        match kind.as_str() {
            "metric_exceeds" | "metric_below" => {
                let (metric, threshold) = self.threshold(node, pointer)?;
                Some(if kind == "metric_exceeds" {
                    ConditionSpec::Exceeds { metric, threshold }
                } else {
                    ConditionSpec::Below { metric, threshold }
                })
            }
            "all" => self.compound(node, pointer, depth).map(ConditionSpec::All),
            "any" => self.compound(node, pointer, depth).map(ConditionSpec::Any),
            _ => self.custom(node, pointer, kind),
        }
    }

    fn threshold(&mut self, node: &Node, pointer: &str) -> Option<(MetricName, f64)> {
        self.only(node, pointer, &["type", "metric", "threshold"]);
        let metric = node.field("metric").and_then(|n| self.value(n, &format!("{pointer}/metric"), MetricName::new));
        let threshold = node.field("threshold").and_then(|n| self.number(n, &format!("{pointer}/threshold")));
        metric.zip(threshold)
    }

    fn compound(&mut self, node: &Node, pointer: &str, depth: usize) -> Option<Vec<ConditionSpec>> {
        self.only(node, pointer, &["type", "conditions"]);
        let (list, pointer) = (node.field("conditions")?, format!("{pointer}/conditions"));
        let Content::List(items) = &list.content else {
            self.wrong(list, &pointer, "must be a list of conditions");
            return None;
        };
        if items.is_empty() {
            self.wrong(list, &pointer, "must have at least one condition");
        }
        let mut children = Vec::new();
        for (index, item) in items.iter().enumerate() {
            children.extend(self.condition(item, &format!("{pointer}/{index}"), depth + 1));
        }
        Some(children)
    }

    fn custom(&mut self, node: &Node, pointer: &str, kind: String) -> Option<ConditionSpec> {
        let mut fields = self.object(node, pointer)?;
        fields.remove("type");
        if let Some(Err(error)) = self.registry.map(|registry| registry.compile(&kind, &fields)) {
            let at = if error.field == "/type" { node.field("type") } else { None };
            self.wrong(at.unwrap_or(node), &format!("{pointer}{}", error.field), error.problem);
        }
        Some(ConditionSpec::Custom { kind, fields })
    }

    fn params(&mut self, node: &Node, pointer: &str) -> Option<Map<String, Value>> {
        let params = self.object(node, pointer)?;
        if let Err(error) = PolicySpec::cooldown_in(&params) {
            let at = node.field(&error.field).unwrap_or(node);
            self.wrong(at, &pointer_to(pointer, &error.field), error.problem);
        }
        Some(params)
    }

    /// Complains of the keys that are not among `known`, and of those of `known` that are not there.
    fn only(&mut self, node: &Node, pointer: &str, known: &[&str]) {
        let Content::Map(pairs) = &node.content else { return };
        for (key, value) in pairs.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            let detail = format!("is not a field of this condition; those are {}", known.join(", "));
            self.wrong(value, &pointer_to(pointer, key), detail);
        }
        self.required(node, pointer, known);
    }

    fn required(&mut self, node: &Node, pointer: &str, names: &[&str]) {
        for name in names.iter().filter(|name| node.field(name).is_none()) {
            self.wrong(node, &pointer_to(pointer, name), "is required");
        }
    }

    fn value<T>(&mut self, node: &Node, at: &str, parse: impl Fn(&str) -> Result<T, InvalidValue>) -> Option<T> {
        let text = self.text(node, at)?;
        parse(&text).map_err(|error| self.wrong(node, at, error.problem)).ok()
    }

    fn text(&mut self, node: &Node, pointer: &str) -> Option<String> {
        match &node.content {
            Content::Scalar(Value::String(text)) if !text.contains('\0') => return Some(text.clone()),
            Content::Scalar(Value::String(_)) => self.wrong(node, pointer, NUL),
            _ => self.wrong(node, pointer, "must be text"),
        }
        None
    }

    fn boolean(&mut self, node: &Node, pointer: &str) -> Option<bool> {
        let Content::Scalar(Value::Bool(value)) = node.content else {
            self.wrong(node, pointer, "must be true or false");
            return None;
        };
        Some(value)
    }

    fn number(&mut self, node: &Node, pointer: &str) -> Option<f64> {
        let number = match &node.content {
            Content::Scalar(Value::Number(number)) => number.as_f64().filter(|n| n.is_finite()),
            _ => None,
        };
        if number.is_none() {
            self.wrong(node, pointer, "must be a finite number");
        }
        number
    }

    fn duration(&mut self, node: &Node, pointer: &str) -> Option<Duration> {
        let parsed = match &node.content {
            Content::Scalar(value) => seconds::parse(value),
            _ => None,
        };
        if parsed.is_none() {
            self.wrong(node, pointer, "must be seconds, or text such as 90s, 5m or 1h, and at most 30 days");
        }
        parsed
    }

    fn object(&mut self, node: &Node, pointer: &str) -> Option<Map<String, Value>> {
        match self.free(node, pointer) {
            Value::Object(map) => Some(map),
            _ => {
                self.wrong(node, pointer, "must be a map");
                None
            }
        }
    }

    /// A value of any form; what no store can keep is wrong.
    fn free(&mut self, node: &Node, pointer: &str) -> Value {
        match &node.content {
            Content::NotFinite => self.wrong(node, pointer, "must be a finite number"),
            Content::Scalar(Value::String(text)) if text.contains('\0') => self.wrong(node, pointer, NUL),
            Content::Scalar(value) => return value.clone(),
            Content::List(items) => {
                let item = |(index, item)| self.free(item, &format!("{pointer}/{index}"));
                return Value::Array(items.iter().enumerate().map(item).collect());
            }
            Content::Map(pairs) => {
                let mut map = Map::new();
                for (key, value) in pairs {
                    let pointer = pointer_to(pointer, key);
                    if key.contains('\0') {
                        self.wrong(value, &pointer, NUL);
                    }
                    map.insert(key.clone(), self.free(value, &pointer));
                }
                return Value::Object(map);
            }
        }
        Value::Null
    }

    fn wrong(&mut self, node: &Node, pointer: &str, detail: impl Into<String>) {
        if self.errors.len() < Self::MAX_ERRORS {
            self.errors.push(node.error(pointer, detail));
        }
    }
}

const NUL: &str = "must not contain the character NUL";
