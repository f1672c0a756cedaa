//! [`diff`]: the exact difference between what is declared and what lives.

use serde_json::{Value, json};

use crate::declaration::Drift;
use crate::pointer::Pointer;

/// How many characters of a value are in a summary.
const SHOWN: usize = 60;

/// How `live` differs from `declared`, apart from what is `ignored`; `None` if it does not.
pub fn diff(declared: &Value, live: &Value, ignored: &[Pointer]) -> Option<Drift> {
    let (mut declared, mut live) = (declared.clone(), live.clone());
    for pointer in ignored {
        pointer.remove_from(&mut declared);
        pointer.remove_from(&mut live);
    }
    let patch = json_patch::diff(&live, &declared);
    let patch = serde_json::to_value(&patch).expect("a patch is JSON");
    let summary = summary(patch.as_array()?, &live)?;
    Some(Drift { summary, patch })
}

/// What does not live at all, and should.
pub fn missing(declared: &Value) -> Drift {
    Drift { summary: "it is missing".to_owned(), patch: json!([{ "op": "add", "path": "", "value": declared }]) }
}

/// What lives, and should not any more.
pub fn surplus() -> Drift {
    let patch = json!([{ "op": "remove", "path": "" }]);
    Drift { summary: "it is not declared any more".to_owned(), patch }
}

/// The first difference in words, and how many more there are; `None` for none.
fn summary(operations: &[Value], live: &Value) -> Option<String> {
    let first = operations.first()?;
    let path = first["path"].as_str().unwrap_or_default();
    let is = || live.pointer(path).map_or_else(|| "absent".to_owned(), short);
    let place = if path.is_empty() { "it" } else { path };
    let words = match first["op"].as_str() {
        Some("add") => format!("{place} is missing, declared {}", short(&first["value"])),
        Some("remove") => format!("{place} is {}, and not declared", is()),
        _ => format!("{place} is {}, declared {}", is(), short(&first["value"])),
    };
    Some(match operations.len() {
        1 => words,
        count => format!("{words}; and {} more", count - 1),
    })
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    let mut cut: String = text.chars().take(SHOWN).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patch_turns_what_lives_into_what_is_declared() {
        let declared = json!({"spec": {"replicas": 3, "image": "web:2"}});
        let live = json!({"spec": {"replicas": 5, "image": "web:2", "paused": true}});
        let drift = diff(&declared, &live, &[]).unwrap();
        let patch: json_patch::Patch = serde_json::from_value(drift.patch.clone()).unwrap();
        let mut healed = live;
        json_patch::patch(&mut healed, &patch).unwrap();
        assert_eq!(healed, declared);
        assert!(drift.summary.ends_with("; and 1 more"), "{}", drift.summary);
    }

    #[test]
    fn what_is_ignored_is_no_difference() {
        let (declared, live) = (json!({"replicas": 3}), json!({"replicas": 5}));
        assert_eq!(diff(&declared, &live, &[Pointer::parse("/replicas").unwrap()]), None);
        assert_eq!(diff(&declared, &live, &[]).unwrap().summary, "/replicas is 5, declared 3");
        assert_eq!(diff(&declared, &declared, &[]), None);
    }
}
