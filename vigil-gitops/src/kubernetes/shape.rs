//! What of an object is compared, sent and shown.

use serde_json::{Map, Value, json};

/// Asks to be left alone, if it is `disabled`.
pub(super) const RECONCILE: &str = "vigil.io/reconcile";
/// What the API server writes itself.
const WRITTEN: [&str; 6] = ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"];
/// What `kubectl apply` writes down of a former apply.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Stands for a value of a Secret.
const HIDDEN: &str = "***";
/// Stands for a value of a Secret that is not the one declared.
const OTHER: &str = "*** (another)";

/// Whether its annotation asks to leave it alone.
pub(super) fn is_suspended(object: &Value) -> bool {
    object["metadata"]["annotations"][RECONCILE] == "disabled"
}

/// An object without what the API server and `kubectl` write themselves: what is compared, and what is applied.
pub(super) fn essence(object: &Value) -> Value {
    let mut object = object.clone();
    let Some(fields) = object.as_object_mut() else { return object };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !WRITTEN.contains(&name.as_str()));
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    object
}

/// Hides the values of a Secret that is declared, and of the same one as it lives: only whether they differ is left to see.
pub(super) fn hide(declared: &mut Value, live: Option<&mut Value>) {
    if !is_secret(declared) {
        return;
    }
    let nothing = &mut Value::Null;
    let live = live.unwrap_or(nothing);
    for field in ["data", "stringData"] {
        let wanted = declared[field].as_object().cloned().unwrap_or_default();
        let found = live[field].as_object().cloned().unwrap_or_default();
        let is_same = |name: &String| wanted.get(name) == found.get(name);
        let masked = |values: &Map<String, Value>, other: &str| -> Value {
            values.keys().map(|name| (name.clone(), json!(if is_same(name) { HIDDEN } else { other }))).collect()
        };
        if declared[field].is_object() {
            declared[field] = masked(&wanted, HIDDEN);
        }
        if live[field].is_object() {
            live[field] = masked(&found, OTHER);
        }
    }
}

/// Whether what the API server says of it may hold what must not be told: its errors quote what they do not understand.
pub(super) fn is_secret(object: &Value) -> bool {
    object["kind"] == "Secret"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::diff;

    #[test]
    fn what_the_server_writes_is_no_part_of_an_object() {
        let live = json!({
            "kind": "ConfigMap",
            "metadata": {"name": "a", "uid": "1", "resourceVersion": "7", "generation": 2, "selfLink": "/x",
                "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{}], "annotations": {LAST_APPLIED: "{}"}},
            "status": {"phase": "Active"}, "data": {"k": "v"},
        });
        let expected = json!({"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
        assert_eq!(essence(&live), expected);
    }

    #[test]
    fn of_a_secret_only_whether_it_differs_is_shown() {
        let mut declared = json!({"kind": "Secret", "data": {"same": "AAAA", "changed": "BBBB", "added": "CCCC"}});
        let mut live = json!({"kind": "Secret", "data": {"same": "AAAA", "changed": "DDDD", "removed": "EEEE"}});
        hide(&mut declared, Some(&mut live));
        let drift = diff(&declared, &live, &[]).unwrap();
        let all = format!("{drift:?}");
        for value in ["AAAA", "BBBB", "CCCC", "DDDD", "EEEE"] {
            assert!(!all.contains(value), "{all}");
        }
        let mut operations: Vec<_> = drift.patch.as_array().unwrap().iter().map(ToString::to_string).collect();
        operations.sort();
        assert_eq!(
            operations,
            [
                r#"{"op":"add","path":"/data/added","value":"***"}"#,
                r#"{"op":"remove","path":"/data/removed"}"#,
                r#"{"op":"replace","path":"/data/changed","value":"***"}"#,
            ]
        );
        let mut map = json!({"kind": "ConfigMap", "data": {"k": "v"}});
        hide(&mut map, None);
        assert_eq!(map["data"]["k"], "v");
    }
}
