//! The structure of a JSON text, read without building it: as values a text may weigh a hundred times what it has in bytes.

/// How many values a text has, at most.
pub(crate) fn weight(text: &str) -> usize {
    1 + marks(text).filter(|(_, mark)| matches!(mark, b',' | b'[' | b'{')).count()
}

/// The elements of a list, or the members of an object, of valid JSON; nothing if it is neither.
pub(crate) fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut marks = marks(text);
    let (mut depth, mut from) = (0_usize, None);
    std::iter::from_fn(move || {
        for (at, mark) in marks.by_ref() {
            let (begins, ends) = (matches!(mark, b'[' | b'{'), matches!(mark, b']' | b'}'));
            depth += usize::from(begins);
            let part = from.filter(|_| depth == 1 && (ends || mark == b',')).map(|from| text[from..at].trim());
            depth = depth.saturating_sub(usize::from(ends));
            if depth == 1 && (from.is_none() || mark == b',') {
                from = Some(at + 1);
            }
            if part.is_some_and(|part| !part.is_empty()) {
                return part;
            }
        }
        None
    })
}

/// The value of an object's member of this name, of valid JSON; of several the last.
pub(crate) fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let members = parts(text).filter_map(|member| {
        let (colon, _) = marks(member).find(|(_, mark)| *mark == b':')?;
        let key: String = serde_json::from_str(&member[..colon]).ok()?;
        (key == name).then(|| member[colon + 1..].trim())
    });
    members.last()
}

/// What stands outside of strings and means something, with its place.
fn marks(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let (mut inside, mut escaped) = (false, false);
    text.bytes().enumerate().filter(move |(_, byte)| {
        if inside {
            inside = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            return false;
        }
        inside = *byte == b'"';
        matches!(byte, b',' | b':' | b'[' | b'{' | b']' | b'}')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts_of(text: &str) -> Vec<&str> {
        parts(text).collect()
    }

    #[test]
    fn lists_and_objects_fall_into_their_parts() {
        assert_eq!(parts_of(r#" [1, {"a": [2, 3]}, "x,]\"" ] "#), ["1", r#"{"a": [2, 3]}"#, r#""x,]\"""#]);
        assert_eq!(parts_of(r#"{"a": [1, 2], "b": {}}"#), [r#""a": [1, 2]"#, r#""b": {}"#]);
        assert_eq!(parts_of("[[], [[]]]"), ["[]", "[[]]"]);
        for none in ["[]", "[ ]", "{}", "1", r#""[1,2]""#, ""] {
            assert!(parts_of(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn a_member_is_found_by_its_name_however_it_is_written() {
        let text = r#"{"a": {"metrics": 0}, "m\u0065trics": [1], "b": 2}"#;
        assert_eq!(member(text, "metrics"), Some("[1]"));
        assert_eq!(member(r#"{"metrics": 1, "metrics": 2}"#, "metrics"), Some("2"), "as serde_json has it");
        assert_eq!(member("{}", "metrics"), None);
        assert_eq!(member(r#"{"a:metrics": 1}"#, "metrics"), None);
    }

    #[test]
    fn a_text_weighs_no_less_than_its_values() {
        assert_eq!(weight("0"), 1);
        assert_eq!(weight(r#"{"a": [1, 2, {}], "b,c": "x,y[{"}"#), 7, "six, and one for the empty object");
    }
}
