//! [`InvalidValue`]: what the border says to a value that cannot be.

/// A value that was refused at the border, with the field and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidValue {
    /// The field as the client wrote it, e.g. `target`.
    pub field: String,
    /// What it must be, e.g. `must be 1 to 255 characters`.
    pub problem: String,
}

impl InvalidValue {
    /// Names the field and what it must be.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// Trims `text` and checks that it has 1 to 255 characters, none of them a control character.
pub(crate) fn name_of(field: &str, text: &str) -> Result<std::sync::Arc<str>, InvalidValue> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 255 {
        return Err(InvalidValue::new(field, "must be 1 to 255 characters"));
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidValue::new(field, "must have no control characters"));
    }
    Ok(text.into())
}

/// The JSON pointer to a key of what `base` points to.
pub(crate) fn pointer_to(base: &str, key: &str) -> String {
    format!("{base}/{}", key.replace('~', "~0").replace('/', "~1"))
}
