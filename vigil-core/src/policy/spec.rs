//! [`PolicySpec`]: a policy as written in YAML or JSON, with every error pointing at its field.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::node::Content;
use super::{ConditionRegistry, ConditionSpec, FieldError, Node, PolicyName};
use crate::action::{ActionType, Severity};
use crate::metric::MetricName;
use crate::target::TargetPattern;

/// A policy as written: the documented fields, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicySpec {
    /// Its name, unique within the tenant.
    pub name: PolicyName,
    /// For people. Default: empty.
    #[serde(default)]
    pub description: String,
    /// How bad a violation is. Default: warning.
    #[serde(default)]
    pub severity: Severity,
    /// Which targets it watches: `all`, an exact name or a glob. Default: `all`.
    pub target: String,
    /// Whether it is in force. Default: true.
    pub enabled: bool,
    /// Whether it may act on its own. Default: false.
    pub auto_remediate: bool,
    /// When it is violated.
    pub condition: ConditionSpec,
    /// What heals it.
    pub action: ActionType,
    /// Passed on to the remediator; `cooldown_seconds` is read by Vigil. Default: empty.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// How long the condition must be met without a break before anything is done: written `for`, in seconds or as
    /// `90s`, `5m`, `1h`. Default: zero.
    #[serde(default, rename = "for", with = "seconds", skip_serializing_if = "Duration::is_zero")]
    pub hold: Duration,
    /// How long the condition must be unmet before the episode ends: written `keep_firing_for`. Default: zero.
    #[serde(default, rename = "keep_firing_for", with = "seconds", skip_serializing_if = "Duration::is_zero")]
    pub keep_firing: Duration,
}

impl PolicySpec {
    /// The least time between automatic actions on one target when `params.cooldown_seconds` does not say.
    pub const DEFAULT_COOLDOWN: Duration = Duration::from_secs(300);

    /// The least time from one automatic action to the next on one target.
    pub fn cooldown(&self) -> Duration {
        self.params.get("cooldown_seconds").and_then(Value::as_u64).map_or(Self::DEFAULT_COOLDOWN, Duration::from_secs)
    }

    /// Reads one policy from a document; custom conditions are looked up in `registry`. Fields that answers add (`revision`, `source`, `updated_at`, `ok`) are accepted and
    /// ignored.
    ///
    /// # Errors
    /// Every field that is wrong, missing or unknown.
    pub fn of_node(node: &Node, registry: &ConditionRegistry) -> Result<Self, Vec<FieldError>> {
        Reader::new(Some(registry)).policy(node, "")
    }

    /// Reads one policy from JSON.
    ///
    /// # Errors
    /// As [`PolicySpec::of_node`].
    pub fn of_json(value: &Value, registry: &ConditionRegistry) -> Result<Self, Vec<FieldError>> {
        Self::of_node(&Node::of_json(value), registry)
    }

    /// Reads a file of policies: YAML (or JSON), `policies: [...]` or a bare list. An empty file has none.
    ///
    /// # Errors
    /// [`PolicyError`] with the file, and line and column of everything that is wrong.
    pub fn parse_file(text: &str, file: &str, registry: &ConditionRegistry) -> Result<Vec<Self>, PolicyError> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Vec::new());
        }
        let document: Node = serde_saphyr::from_str(text).map_err(|error| PolicyError::syntax(file, &error))?;
        let invalid = |errors| PolicyError::Invalid { file: Some(file.to_owned()), errors };
        let (items, base) = match &document.content {
            Content::List(items) => (items, ""),
            Content::Map(pairs) => match pairs.as_slice() {
                [(key, Node { content: Content::List(items), .. })] if key == "policies" => (items, "/policies"),
                [(key, Node { content: Content::Scalar(Value::Null), .. })] if key == "policies" => {
                    return Ok(Vec::new());
                }
                _ => {
                    return Err(invalid(vec![
                        document.error("", "the file must be a list of policies under the key 'policies'"),
                    ]));
                }
            },
            Content::Scalar(_) => {
                return Err(invalid(vec![
                    document.error("", "the file must be a list of policies under the key 'policies'"),
                ]));
            }
        };
        let mut specs = Vec::new();
        let mut errors = Vec::new();
        let mut seen: BTreeMap<PolicyName, usize> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            match Reader::new(Some(registry)).policy(item, &format!("{base}/{index}")) {
                Ok(spec) => {
                    if let Some(first) = seen.insert(spec.name.clone(), index) {
                        let detail = format!("'{}' is the name of policy {first} already", spec.name);
                        errors.push(item.error(&format!("{base}/{index}/name"), detail));
                    }
                    specs.push(spec);
                }
                Err(found) => errors.extend(found),
            }
        }
        if errors.is_empty() { Ok(specs) } else { Err(invalid(errors)) }
    }
}

/// What is wrong with a policy or a file of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// The text is neither YAML nor JSON.
    Syntax {
        /// The file.
        file: String,
        /// Line and column, from 1.
        place: Option<(u64, u64)>,
        /// What the parser says.
        detail: String,
    },
    /// Fields are wrong, missing or unknown.
    Invalid {
        /// The file, if the policy came from one.
        file: Option<String>,
        /// All of them.
        errors: Vec<FieldError>,
    },
    /// A name that another file, or the API, uses already.
    Duplicate {
        /// The name.
        name: PolicyName,
        /// Where it comes from.
        file: String,
        /// Where it is already.
        other: String,
    },
    /// The file cannot be read.
    Unreadable {
        /// The file.
        file: String,
        /// Why, in the operating system's words.
        detail: String,
    },
}

impl PolicyError {
    /// One wrong field, without a file.
    pub fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        let error = FieldError { pointer: pointer.to_owned(), detail: detail.into(), place: None };
        Self::Invalid { file: None, errors: vec![error] }
    }

    fn syntax(file: &str, error: &serde_saphyr::Error) -> Self {
        let place = error.location().map(|at| (at.line(), at.column()));
        Self::Syntax { file: file.to_owned(), place, detail: error.without_snippet().to_string() }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { file, place, detail } => {
                f.write_str(file)?;
                if let Some((line, column)) = place {
                    write!(f, ", line {line} column {column}")?;
                }
                write!(f, ": {detail}")
            }
            Self::Invalid { file, errors } => {
                if let Some(file) = file {
                    write!(f, "{file}: ")?;
                }
                for (index, error) in errors.iter().enumerate() {
                    write!(f, "{}{error}", if index == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Self::Duplicate { name, file, other } => write!(f, "{file}: the policy '{name}' exists already in {other}"),
            Self::Unreadable { file, detail } => write!(f, "{file} cannot be read: {detail}"),
        }
    }
}

impl std::error::Error for PolicyError {}

/// Reads a condition from a document.
pub(super) fn condition_of(node: &Node) -> Result<ConditionSpec, Vec<FieldError>> {
    let mut reader = Reader::new(None);
    let condition = reader.condition(node, "", 1);
    condition.filter(|_| reader.errors.is_empty()).ok_or(reader.errors)
}

/// Collects every error on the way through a document.
struct Reader<'a> {
    /// Where custom conditions are looked up; not at all when a stored condition is read again.
    registry: Option<&'a ConditionRegistry>,
    errors: Vec<FieldError>,
    conditions: usize,
}

impl<'a> Reader<'a> {
    fn new(registry: Option<&'a ConditionRegistry>) -> Self {
        Self { registry, errors: Vec::new(), conditions: 0 }
    }

    fn policy(mut self, node: &Node, base: &str) -> Result<PolicySpec, Vec<FieldError>> {
        let Content::Map(pairs) = &node.content else {
            return Err(vec![node.error(base, "must be a policy: a map with name, condition and action")]);
        };
        let field = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let at = |name: &str| format!("{base}/{name}");
        const KNOWN: [&str; 11] = [
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
        const IGNORED: [&str; 4] = ["revision", "source", "updated_at", "ok"];
        for (key, value) in pairs {
            if !KNOWN.contains(&key.as_str()) && !IGNORED.contains(&key.as_str()) {
                self.errors
                    .push(value.error(&at(key), format!("is not a field of a policy; those are {}", KNOWN.join(", "))));
            }
        }
        for required in ["name", "condition", "action"] {
            if field(required).is_none() {
                self.errors.push(node.error(&at(required), "is required"));
            }
        }
        let name =
            field("name").and_then(|n| self.parse(n, &at("name"), |text| PolicyName::new(text).map_err(|e| e.problem)));
        let description =
            field("description").and_then(|n| self.parse(n, &at("description"), |text| Ok(text.to_owned())));
        let severity = field("severity")
            .and_then(|n| self.parse(n, &at("severity"), |text| Severity::parse(text).map_err(|e| e.problem)));
        let target = field("target").and_then(|n| {
            let pattern = |text: &str| TargetPattern::new(text).map(|p| p.as_str().to_owned()).map_err(|e| e.problem);
            self.parse(n, &at("target"), pattern)
        });
        let enabled = field("enabled").and_then(|n| self.boolean(n, &at("enabled")));
        let auto_remediate = field("auto_remediate").and_then(|n| self.boolean(n, &at("auto_remediate")));
        let condition = field("condition").and_then(|n| self.condition(n, &at("condition"), 1));
        let action = field("action")
            .and_then(|n| self.parse(n, &at("action"), |text| ActionType::parse(text).map_err(|e| e.problem)));
        let params = field("params").and_then(|n| self.params(n, &at("params")));
        let hold = field("for").and_then(|n| self.duration(n, &at("for")));
        let keep_firing = field("keep_firing_for").and_then(|n| self.duration(n, &at("keep_firing_for")));
        match (name, condition, action) {
            (Some(name), Some(condition), Some(action)) if self.errors.is_empty() => Ok(PolicySpec {
                name,
                description: description.unwrap_or_default(),
                severity: severity.unwrap_or_default(),
                target: target.unwrap_or_else(|| "all".to_owned()),
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
                let detail = format!("must have at most {} conditions", ConditionSpec::MAX_CONDITIONS);
                self.errors.push(node.error(pointer, detail));
            }
            return None;
        }
        if depth > ConditionSpec::MAX_DEPTH {
            self.errors.push(node.error(pointer, format!("must be nested at most {} deep", ConditionSpec::MAX_DEPTH)));
            return None;
        }
        let Content::Map(pairs) = &node.content else {
            self.errors.push(node.error(pointer, "must be a condition: a map with a type"));
            return None;
        };
        let field = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let Some(kind) = field("type") else {
            self.errors.push(node.error(&format!("{pointer}/type"), "is required"));
            return None;
        };
        let kind = self.parse(kind, &format!("{pointer}/type"), |text| Ok(text.to_owned()))?;
        let only = |reader: &mut Self, known: &[&str]| {
            for (key, value) in pairs.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
                let detail = format!("is not a field of this condition; those are {}", known.join(", "));
                reader.errors.push(value.error(&format!("{pointer}/{key}"), detail));
            }
            for name in known.iter().filter(|name| field(name).is_none()) {
                reader.errors.push(node.error(&format!("{pointer}/{name}"), "is required"));
            }
        };
        match kind.as_str() {
            "metric_exceeds" | "metric_below" => {
                only(self, &["type", "metric", "threshold"]);
                let name = |text: &str| MetricName::new(text).map_err(|e| e.problem);
                let metric = field("metric").and_then(|n| self.parse(n, &format!("{pointer}/metric"), name));
                let threshold = field("threshold").and_then(|n| self.number(n, &format!("{pointer}/threshold")));
                let (metric, threshold) = (metric?, threshold?);
                Some(if kind == "metric_exceeds" {
                    ConditionSpec::Exceeds { metric, threshold }
                } else {
                    ConditionSpec::Below { metric, threshold }
                })
            }
            "all" | "any" => {
                only(self, &["type", "conditions"]);
                let list = field("conditions")?;
                let Content::List(items) = &list.content else {
                    self.errors.push(list.error(&format!("{pointer}/conditions"), "must be a list of conditions"));
                    return None;
                };
                if items.is_empty() {
                    self.errors.push(list.error(&format!("{pointer}/conditions"), "must have at least one condition"));
                }
                let mut children = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    children.extend(self.condition(item, &format!("{pointer}/conditions/{index}"), depth + 1));
                }
                Some(if kind == "all" { ConditionSpec::All(children) } else { ConditionSpec::Any(children) })
            }
            _ => {
                let fields =
                    pairs.iter().filter(|(key, _)| key != "type").map(|(key, value)| (key.clone(), value.to_json()));
                let fields = fields.collect();
                if let Some(Err(error)) = self.registry.map(|registry| registry.compile(&kind, &fields)) {
                    let (at, place) = if error.field == "type" { ("/type", field("type")) } else { ("", None) };
                    self.errors.push(place.unwrap_or(node).error(&format!("{pointer}{at}"), error.problem));
                }
                Some(ConditionSpec::Custom { kind, fields })
            }
        }
    }

    fn parse<T>(&mut self, node: &Node, pointer: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let Content::Scalar(Value::String(text)) = &node.content else {
            self.errors.push(node.error(pointer, "must be text"));
            return None;
        };
        parse(text).map_err(|problem| self.errors.push(node.error(pointer, problem))).ok()
    }

    fn boolean(&mut self, node: &Node, pointer: &str) -> Option<bool> {
        let Content::Scalar(Value::Bool(value)) = node.content else {
            self.errors.push(node.error(pointer, "must be true or false"));
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
            self.errors.push(node.error(pointer, "must be a finite number"));
        }
        number
    }

    fn duration(&mut self, node: &Node, pointer: &str) -> Option<Duration> {
        let parsed = match &node.content {
            Content::Scalar(value) => seconds::parse(value),
            _ => None,
        };
        if parsed.is_none() {
            self.errors
                .push(node.error(pointer, "must be seconds, or text such as 90s, 5m or 1h, and at most 30 days"));
        }
        parsed
    }

    fn params(&mut self, node: &Node, pointer: &str) -> Option<Map<String, Value>> {
        let Value::Object(params) = node.to_json() else {
            self.errors.push(node.error(pointer, "must be a map"));
            return None;
        };
        if let Some(cooldown) = params.get("cooldown_seconds")
            && cooldown.as_u64().is_none_or(|seconds| seconds > 2_592_000)
        {
            let detail = "must be a whole number of seconds from 0 to 2592000";
            self.errors.push(node.error(&format!("{pointer}/cooldown_seconds"), detail));
        }
        Some(params)
    }
}

/// Durations as seconds or as `90s`, `5m`, `1h`, `2d`.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};
    use serde_json::Value;

    const LONGEST: f64 = 30.0 * 86_400.0;

    pub(super) fn parse(value: &Value) -> Option<Duration> {
        let seconds = match value {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => {
                let text = text.trim();
                let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
                let factor = match &text[unit..] {
                    "ms" => 0.001,
                    "s" | "" => 1.0,
                    "m" => 60.0,
                    "h" => 3600.0,
                    "d" => 86_400.0,
                    _ => return None,
                };
                text[..unit].trim().parse::<f64>().ok()? * factor
            }
            _ => return None,
        };
        (0.0..=LONGEST).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
    }

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        if duration.subsec_nanos() == 0 {
            serializer.serialize_u64(duration.as_secs())
        } else {
            serializer.serialize_f64(duration.as_secs_f64())
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let value = Value::deserialize(deserializer)?;
        parse(&value).ok_or_else(|| de::Error::custom("must be seconds"))
    }
}

#[cfg(test)]
mod tests;
