//! [`Fields`]: reads the fields of one JSON object and collects what is wrong with all of them, each with its pointer.

use serde_json::{Map, Value};
use vigil_core::clock::Timestamp;
use vigil_core::invalid::InvalidValue;
use vigil_core::policy::FieldError;

/// The fields of one object. Null is the same as absent.
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    base: String,
    errors: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    /// Begins with the object at `base` (empty for the whole body).
    pub(crate) fn of(value: &'a Value, base: impl Into<String>) -> Result<Self, Vec<FieldError>> {
        let base = base.into();
        match value {
            Value::Object(object) => Ok(Self { object, base, errors: Vec::new() }),
            _ => Err(vec![error(base, "must be an object")]),
        }
    }

    /// Refuses every field that is neither `known` nor `ignored`: a misspelt one must not be dropped silently.
    pub(crate) fn only(&mut self, known: &[&str], ignored: &[&str]) {
        for name in self.object.keys().map(String::as_str) {
            if !known.contains(&name) && !ignored.contains(&name) {
                let detail = format!("is not a field here; those are {}", known.join(", "));
                self.errors.push(error(self.pointer(name), detail));
            }
        }
    }

    /// A field that must be there.
    pub(crate) fn required<T>(&mut self, name: &str, read: impl FnOnce(&'a Value) -> Result<T, Wrong>) -> Option<T> {
        if self.value(name).is_none() {
            self.errors.push(error(self.pointer(name), "is required"));
        }
        self.optional(name, read)
    }

    /// A field that may be there; `None` also when it is wrong, which [`end`](Fields::end) tells.
    pub(crate) fn optional<T>(&mut self, name: &str, read: impl FnOnce(&'a Value) -> Result<T, Wrong>) -> Option<T> {
        match read(self.value(name)?) {
            Ok(value) => Some(value),
            Err(Wrong(found)) => {
                let pointer = self.pointer(name);
                self.errors.extend(found.into_iter().map(|(below, detail)| error(pointer.clone() + &below, detail)));
                None
            }
        }
    }

    /// One more thing that is wrong with a field.
    pub(crate) fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(error(self.pointer(name), detail));
    }

    /// Everything that was wrong.
    pub(crate) fn end(self) -> Vec<FieldError> {
        self.errors
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn pointer(&self, name: &str) -> String {
        format!("{}/{}", self.base, escape(name))
    }
}

/// What is wrong with a value: pointers below it, and what each must be.
pub(crate) struct Wrong(pub(crate) Vec<(String, String)>);

impl Wrong {
    /// The value itself is wrong.
    pub(crate) fn new(detail: impl Into<String>) -> Self {
        Self(vec![(String::new(), detail.into())])
    }
}

impl From<InvalidValue> for Wrong {
    fn from(invalid: InvalidValue) -> Self {
        Self::new(invalid.problem)
    }
}

/// Reads text and parses it.
pub(crate) fn text<T>(parse: impl FnOnce(&str) -> Result<T, InvalidValue>) -> impl FnOnce(&Value) -> Result<T, Wrong> {
    move |value| match value {
        Value::String(text) => Ok(parse(text)?),
        _ => Err(Wrong::new("must be text")),
    }
}

/// Reads text of at most `max` bytes.
pub(crate) fn prose(max: usize) -> impl FnOnce(&Value) -> Result<String, Wrong> {
    move |value| match value {
        Value::String(text) if text.len() > max => Err(Wrong::new(format!("must be at most {max} bytes"))),
        Value::String(text) => Ok(text.clone()),
        _ => Err(Wrong::new("must be text")),
    }
}

/// Reads a finite number.
pub(crate) fn number(value: &Value) -> Result<f64, Wrong> {
    value.as_f64().filter(|number| number.is_finite()).ok_or_else(|| Wrong::new("must be a finite number"))
}

/// Reads a time.
pub(crate) fn time(value: &Value) -> Result<Timestamp, Wrong> {
    let text = value.as_str().ok_or_else(|| Wrong::new("must be text, an RFC 3339 time"))?;
    Timestamp::parse(text).map_err(Wrong::new)
}

/// Reads an object as it is.
pub(crate) fn object(value: &Value) -> Result<Map<String, Value>, Wrong> {
    value.as_object().cloned().ok_or_else(|| Wrong::new("must be an object"))
}

/// What is wrong at a pointer.
pub(crate) fn error(pointer: impl Into<String>, detail: impl Into<String>) -> FieldError {
    FieldError { pointer: pointer.into(), detail: detail.into(), place: None }
}

/// A key as a part of a JSON pointer (RFC 6901).
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
