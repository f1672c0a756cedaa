//! [`Ignore`]: what may differ, by JSON pointer.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::declaration::ItemKey;

/// A place in a document, as RFC 6901 writes it; a segment `*` stands for any one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    segments: Vec<String>,
}

/// What may differ in which items.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ignore {
    /// Only in items of this kind.
    pub kind: Option<String>,
    /// Only in items in this namespace.
    pub namespace: Option<String>,
    /// Only in the item with this name.
    pub name: Option<String>,
    /// What may differ there.
    pub pointers: Vec<Pointer>,
}

impl Ignore {
    /// What the rules together leave out of one item.
    pub fn pointers_of(rules: &[Self], item: &ItemKey) -> Vec<Pointer> {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        rules
            .iter()
            .filter(|rule| {
                is(&rule.kind, &item.kind) && is(&rule.namespace, &item.namespace) && is(&rule.name, &item.name)
            })
            .flat_map(|rule| rule.pointers.iter().cloned())
            .collect()
    }
}

impl Pointer {
    /// Reads `/spec/replicas`, `/spec/containers/*/image`.
    ///
    /// # Errors
    /// A sentence, if it does not begin with a slash or ends in nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("'{text}' is no JSON pointer: write /spec/replicas, with ~1 for a slash and ~0 for a tilde");
        let rest = text.strip_prefix('/').ok_or_else(wrong)?;
        let segments: Vec<String> =
            rest.split('/').map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect();
        if segments.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(Self { segments })
    }

    /// Takes what it points at out of a document; elements of a list become null, so that the others keep their places.
    pub fn remove_from(&self, document: &mut Value) {
        remove(&self.segments, document);
    }

    /// Writes what it points at in one document over the same in another, so that applying that one changes nothing there. What the first
    /// does not have goes; what the other does not have stays away.
    pub fn copy(&self, from: &Value, to: &mut Value) {
        copy(&self.segments, Some(from), to);
    }
}

fn copy(segments: &[String], from: Option<&Value>, to: &mut Value) {
    let Some((first, rest)) = segments.split_first() else { return };
    let is_meant = |name: &str| first == "*" || first == name;
    match to {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().filter(|name| is_meant(name)).cloned().collect();
            for name in names {
                let found = from.and_then(|from| from.get(&name));
                match (rest.is_empty(), found) {
                    (true, Some(found)) => _ = fields.insert(name, found.clone()),
                    (true, None) => _ = fields.remove(&name),
                    (false, _) => _ = fields.get_mut(&name).map(|field| copy(rest, found, field)),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate().filter(|(index, _)| is_meant(&index.to_string())) {
                let found = from.and_then(|from| from.get(index));
                match (rest.is_empty(), found) {
                    (true, Some(found)) => *item = found.clone(),
                    (true, None) => {}
                    (false, _) => copy(rest, found, item),
                }
            }
        }
        _ => {}
    }
}

fn remove(segments: &[String], value: &mut Value) {
    let Some((first, rest)) = segments.split_first() else { return };
    match value {
        Value::Object(fields) if rest.is_empty() && first == "*" => fields.clear(),
        Value::Object(fields) if rest.is_empty() => _ = fields.remove(first),
        Value::Object(fields) if first == "*" => fields.values_mut().for_each(|value| remove(rest, value)),
        Value::Object(fields) => _ = fields.get_mut(first).map(|value| remove(rest, value)),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                if first != "*" && *first != index.to_string() {
                    continue;
                }
                if rest.is_empty() {
                    *item = Value::Null;
                } else {
                    remove(rest, item);
                }
            }
        }
        _ => {}
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| write!(f, "/{}", segment.replace('~', "~0").replace('/', "~1")))
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn without(pointer: &str, mut document: Value) -> Value {
        Pointer::parse(pointer).unwrap().remove_from(&mut document);
        document
    }

    #[test]
    fn a_pointer_takes_out_what_it_points_at_and_a_star_any_one() {
        assert_eq!(
            without("/spec/replicas", json!({"spec": {"replicas": 3, "paused": true}})),
            json!({"spec": {"paused": true}})
        );
        assert_eq!(without("/a~1b", json!({"a/b": 1, "c": 2})), json!({"c": 2}));
        let containers = json!({"c": [{"image": "a", "name": "x"}, {"image": "b"}]});
        assert_eq!(without("/c/*/image", containers.clone()), json!({"c": [{"name": "x"}, {}]}));
        assert_eq!(without("/c/1", containers), json!({"c": [{"image": "a", "name": "x"}, null]}));
        assert_eq!(without("/absent/deep", json!({"c": 1})), json!({"c": 1}));
    }

    #[test]
    fn what_may_differ_is_copied_from_what_lives() {
        let copied = |pointer: &str| {
            let live = json!({"r": 5, "c": [{"image": "x"}, {"image": "y", "name": "b"}]});
            let mut declared = json!({"r": 3, "gone": 1, "c": [{"image": "1", "name": "a"}]});
            Pointer::parse(pointer).unwrap().copy(&live, &mut declared);
            declared
        };
        assert_eq!(copied("/r"), json!({"r": 5, "gone": 1, "c": [{"image": "1", "name": "a"}]}));
        assert_eq!(copied("/gone"), json!({"r": 3, "c": [{"image": "1", "name": "a"}]}));
        assert_eq!(copied("/c/*/image"), json!({"r": 3, "gone": 1, "c": [{"image": "x", "name": "a"}]}));
        assert_eq!(copied("/c/0/name"), json!({"r": 3, "gone": 1, "c": [{"image": "1"}]}));
        assert_eq!(copied("/absent"), json!({"r": 3, "gone": 1, "c": [{"image": "1", "name": "a"}]}));
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for wrong in ["spec", "", "/", "/a//b"] {
            assert!(Pointer::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Pointer::parse("/a~1b/*").unwrap().to_string(), "/a~1b/*");
    }

    #[test]
    fn a_rule_is_for_the_items_it_names() {
        let rule = |kind: Option<&str>, name: Option<&str>| Ignore {
            kind: kind.map(str::to_owned),
            namespace: None,
            name: name.map(str::to_owned),
            pointers: vec![Pointer::parse("/spec/replicas").unwrap()],
        };
        let item = ItemKey::new("Deployment", "shop", "web");
        assert_eq!(Ignore::pointers_of(&[rule(None, None), rule(Some("Deployment"), Some("web"))], &item).len(), 2);
        assert!(Ignore::pointers_of(&[rule(Some("Job"), None), rule(None, Some("api"))], &item).is_empty());
    }
}
