//! [`PolicySpec`]: a policy as written in YAML or JSON, with every error pointing at its field.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use super::error::sentence;
use super::node::Content;
use super::reader::Reader;
use super::seconds;
use super::{ConditionRegistry, ConditionSpec, FieldError, Node, PolicyError, PolicyName};
use crate::action::{ActionType, Severity};
use crate::invalid::{InvalidValue, pointer_to};

/// A policy as written: the documented fields, checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicySpec {
    /// Its name, unique within the tenant.
    pub name: PolicyName,
    /// For people. Default: empty.
    pub description: String,
    /// How bad a violation is. Default: warning.
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
    pub params: Map<String, Value>,
    /// How long the condition must be met without a break before anything is done: written `for`, in seconds or as
    /// `90s`, `5m`, `1h`. Default: zero.
    #[serde(rename = "for", serialize_with = "seconds::serialize", skip_serializing_if = "Duration::is_zero")]
    pub hold: Duration,
    /// How long the condition must be unmet before the episode ends: written `keep_firing_for`. Default: zero.
    #[serde(
        rename = "keep_firing_for",
        serialize_with = "seconds::serialize",
        skip_serializing_if = "Duration::is_zero"
    )]
    pub keep_firing: Duration,
}

impl PolicySpec {
    /// The least time between automatic actions on one target when `params.cooldown_seconds` does not say.
    pub const DEFAULT_COOLDOWN: Duration = Duration::from_secs(300);

    /// The longest cooldown that a policy may ask for: 30 days.
    pub const MAX_COOLDOWN: Duration = Duration::from_secs(30 * 86_400);

    /// The least time from one automatic action to the next on one target.
    pub fn cooldown(&self) -> Duration {
        Self::cooldown_in(&self.params).unwrap_or(Self::DEFAULT_COOLDOWN)
    }

    /// The cooldown that `params` ask for.
    pub(super) fn cooldown_in(params: &Map<String, Value>) -> Result<Duration, InvalidValue> {
        const FIELD: &str = "cooldown_seconds";
        let longest = Self::MAX_COOLDOWN.as_secs_f64();
        let Some(value) = params.get(FIELD) else { return Ok(Self::DEFAULT_COOLDOWN) };
        // JSON has no integers of its own: 60.0 is 60.
        let seconds = value.as_f64().filter(|seconds| seconds.fract() == 0.0 && (0.0..=longest).contains(seconds));
        let refused = || InvalidValue::new(FIELD, format!("must be a whole number of seconds from 0 to {longest}"));
        seconds.map(Duration::from_secs_f64).ok_or_else(refused)
    }

    /// Reads one policy from a document; custom conditions are looked up in `registry`. Fields that answers add
    /// (`revision`, `source`, `updated_at`, `ok`) are accepted and ignored.
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
        let (specs, errors) = Self::read_all(text, file, Some(registry))?;
        if errors.is_empty() {
            return Ok(specs.into_iter().map(|(spec, _)| spec).collect());
        }
        Err(PolicyError::Invalid { file: Some(file.to_owned()), errors })
    }

    /// Reads a file as far as it is good: the policies without a mistake, each with the line it begins at, and everything that is
    /// wrong with the others. Custom conditions are not looked up: whoever takes the policies does.
    ///
    /// # Errors
    /// [`PolicyError`] if the file as a whole is no list of policies.
    #[expect(clippy::type_complexity)] // said here, and in what it calls
    pub fn parse_each(text: &str, file: &str) -> Result<(Vec<(Self, Option<u64>)>, Vec<FieldError>), PolicyError> {
        Self::read_all(text, file, None)
    }

    #[expect(clippy::type_complexity)] // as above
    fn read_all(
        text: &str,
        file: &str,
        registry: Option<&ConditionRegistry>,
    ) -> Result<(Vec<(Self, Option<u64>)>, Vec<FieldError>), PolicyError> {
        // The parser takes no document for no list; a file of comments alone is one without policies.
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok((Vec::new(), Vec::new()));
        }
        let document = Node::of_yaml(text).map_err(|error| PolicyError::syntax(file, &error))?;
        let (items, base) =
            policies_of(&document).map_err(|errors| PolicyError::Invalid { file: Some(file.to_owned()), errors })?;
        let mut specs = Vec::new();
        let mut errors = Vec::new();
        let mut seen: BTreeMap<PolicyName, usize> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let pointer = format!("{base}/{index}");
            match Reader::new(registry).policy(item, &pointer) {
                Ok(spec) => match seen.entry(spec.name.clone()) {
                    Entry::Occupied(first) => {
                        let detail = format!("'{}' is the name of policy {} already", spec.name, first.get());
                        errors.push(item.field("name").unwrap_or(item).error(&format!("{pointer}/name"), detail));
                    }
                    Entry::Vacant(free) => {
                        free.insert(index);
                        specs.push((spec, item.place.map(|(line, _)| line)));
                    }
                },
                Err(found) => errors.extend(found),
            }
        }
        Ok((specs, errors))
    }
}

/// The policies of a file, with the pointer to their list.
fn policies_of(document: &Node) -> Result<(&[Node], &'static str), Vec<FieldError>> {
    const LIST: &str = "must be a list of policies";
    let pairs = match &document.content {
        Content::Scalar(Value::Null) => return Ok((&[], "")),
        Content::List(items) => return Ok((items, "")),
        Content::Map(pairs) => pairs,
        Content::Scalar(_) | Content::NotFinite => return Err(vec![document.error("", LIST)]),
    };
    let unknown = pairs.iter().filter(|(key, _)| key != "policies");
    let mut errors: Vec<_> = unknown
        .map(|(key, value)| {
            value.error(&pointer_to("", key), "is not a key of a policy file; 'policies' is the only one")
        })
        .collect();
    let items: &[Node] = match document.field("policies").map(|list| (list, &list.content)) {
        Some((_, Content::List(items))) => items,
        Some((_, Content::Scalar(Value::Null))) => &[],
        Some((list, _)) => {
            errors.push(list.error("/policies", LIST));
            &[]
        }
        None => {
            errors.push(document.error("/policies", "is required"));
            &[]
        }
    };
    if errors.is_empty() { Ok((items, "/policies")) } else { Err(errors) }
}

/// What is stored is read by the rules by which it was taken; only custom conditions are not looked up.
impl<'de> Deserialize<'de> for PolicySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        Reader::new(None).policy(&node, "").map_err(|errors| de::Error::custom(sentence(&errors)))
    }
}

#[cfg(test)]
mod tests;
