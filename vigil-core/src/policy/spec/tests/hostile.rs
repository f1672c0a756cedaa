//! Documents that are made to hurt.

use super::*;

#[test]
fn many_keys_are_read_in_time_that_grows_with_their_number() {
    // Compared pair by pair, these would take minutes.
    let text: String = (0..200_000).map(|i| format!("\"k{i}\":0,")).collect();
    let node: Node = serde_json::from_str(&format!("{{{}}}", text.trim_end_matches(','))).unwrap();
    assert!(node.field("k199999").is_some());
}

#[test]
fn a_bomb_of_aliases_is_refused_soon() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let inner = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{inner}]\n"));
    }
    assert!(matches!(parse(&text), Err(PolicyError::Syntax { .. })));
}

#[test]
fn nesting_is_refused_before_the_stack_ends() {
    for depth in [41, 200, 5000, 100_000] {
        for (open, close) in [("[", "]"), ("{a: ", "}")] {
            let text = format!("{}x{}", open.repeat(depth), close.repeat(depth));
            assert!(parse(&text).is_err());
        }
    }
    let blocks: String = (0..5000).map(|i| format!("{}- \n", " ".repeat(i))).collect();
    assert!(parse(&blocks).is_err());
    let json = "[".repeat(127) + &"]".repeat(127);
    assert!(serde_json::from_str::<ConditionSpec>(&json).is_err(), "the deepest that the JSON parser takes");
}

#[test]
fn errors_that_nobody_could_read_are_not_all_told() {
    let policy = policy(&Value::Object((0..5000).map(|i| (format!("f{i}"), json!(i))).collect()));
    assert_eq!(of_json(&policy).unwrap_err().len(), 100);
}

#[test]
fn nul_is_refused_wherever_it_hides() {
    for (pointer, changes) in [
        ("/description", json!({"description": "a\0"})),
        ("/params/a/0", json!({"params": {"a": ["\0"]}})),
        ("/params/a\0", json!({"params": {"a\0": 1}})),
        ("/condition/note", json!({"condition": {"type": "over", "limit": 1, "note": "\0"}})),
    ] {
        assert_eq!(only_error(&policy(&changes)).0, pointer);
    }
}

#[test]
fn text_that_is_no_yaml_says_where() {
    for (text, line) in [("policies: [\n", 1), ("policies:\n  - name: x\n   action: y\n", 3), ("a: 'b\n", 1)] {
        let Err(PolicyError::Syntax { place: Some((at, _)), .. }) = parse(text) else { panic!("{text:?}") };
        assert!(at >= line, "{text:?}: {at}");
    }
    assert!(matches!(parse("[]\n---\n[]\n"), Err(PolicyError::Syntax { .. })), "one document a file");
}
