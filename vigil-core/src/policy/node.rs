//! [`Node`]: a YAML or JSON document with the place of every value, so that an error can point at it.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// A value of a document and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub content: Content,
    /// Line and column, from 1; `None` for JSON, where the pointer says enough.
    pub place: Option<(u64, u64)>,
}

/// What a [`Node`] is.
#[derive(Debug, Clone)]
pub enum Content {
    /// Null, a boolean, a number or a string.
    Scalar(Value),
    /// A number that JSON has no word for: NaN or an infinity.
    NotFinite,
    /// A list.
    List(Vec<Node>),
    /// A map in the order it is written.
    Map(Vec<(String, Node)>),
}

/// What is wrong with one field of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The JSON pointer to it (RFC 6901), e.g. `/condition/threshold`.
    pub pointer: String,
    /// What it must be.
    pub detail: String,
    /// Line and column, from 1, if the document has them.
    pub place: Option<(u64, u64)>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line} column {column}: ")?;
        }
        if self.pointer.is_empty() {
            return write!(f, "the document {}", self.detail);
        }
        let path: Vec<_> =
            self.pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect();
        write!(f, "{} {}", path.join("."), self.detail)
    }
}

impl Node {
    /// Reads a YAML document, or a JSON one, which is YAML too. Its size, its depth and what its aliases may stand for
    /// are bounded.
    ///
    /// # Errors
    /// The parser's, with the place.
    pub(super) fn of_yaml(text: &str) -> Result<Self, serde_saphyr::Error> {
        let options = serde_saphyr::options! {
            // Room for tens of thousands of policies, and none for aliases of aliases. The parser recurses, and takes some
            // 40 KB of stack a level in a debug build; the deepest condition needs 34 levels.
            budget: serde_saphyr::budget! {
                max_events: 8_000_000,
                max_nodes: 4_000_000,
                max_aliases: 10_000,
                max_depth: 40,
            },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
            // An infinity is refused where it stands, with its field, not by the parser.
            non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options(text, options)
    }

    /// The value of a map's key.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let Content::Map(pairs) = &self.content else { return None };
        pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The value without its places; null for a number that is not finite.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::NotFinite => Value::Null,
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Map(pairs) => {
                Value::Object(pairs.iter().map(|(k, v)| (k.clone(), v.to_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// A document without places.
    pub fn of_json(value: &Value) -> Self {
        let content = match value {
            Value::Array(items) => Content::List(items.iter().map(Self::of_json).collect()),
            Value::Object(pairs) => Content::Map(pairs.iter().map(|(k, v)| (k.clone(), Self::of_json(v))).collect()),
            scalar => Content::Scalar(scalar.clone()),
        };
        Self { content, place: None }
    }

    /// An error about this node.
    pub fn error(&self, pointer: &str, detail: impl Into<String>) -> FieldError {
        FieldError { pointer: pointer.to_owned(), detail: detail.into(), place: self.place }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Content>::deserialize(deserializer)?;
        let place = (referenced.line() > 0).then(|| (referenced.line(), referenced.column()));
        Ok(Self { content: value, place })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a map")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Content, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Content, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Number::from_f64(value).map_or(Content::NotFinite, |number| Content::Scalar(Value::Number(number))))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut pairs: Vec<(String, Node)> = Vec::new();
        let mut known = HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, Node>()? {
            if !known.insert(key.clone()) {
                return Err(de::Error::custom(format!("the key '{key}' stands here twice")));
            }
            pairs.push((key, value));
        }
        Ok(Content::Map(pairs))
    }
}
