//! [`Plain`]: a JSON value as it stands there.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A [`Value`] that hides nothing. With serde_json's feature `raw_value`, which any crate of a program may switch on, `Value` itself
/// takes the text under one key of its own for JSON: a text of any weight that nobody has weighed. That key is refused here.
pub(crate) struct Plain(pub(crate) Value);

/// serde_json's `raw::TOKEN`, which is private.
const HIDING: &str = "$serde_json::private::RawValue";

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Plain(part)) = parts.next_element()? {
            list.push(part);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if key == HIDING {
                return Err(A::Error::custom(format!("the key '{HIDING}' is not taken")));
            }
            let Plain(value) = members.next_value()?;
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_value_is_what_serde_json_makes_of_it() {
        let text = r#"{"a": [null, true, -1, 18446744073709551615, 1.5, 1e300, "x\n"], "b": {}, "": "ü", "a b": {"c": [[]]}, "b": 2}"#;
        let Plain(value) = serde_json::from_str(text).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
        for wrong in ["", "[1", "{\"a\"}", "01", "1e999", &"[".repeat(200)] {
            let (plain, value) =
                (serde_json::from_str::<Plain>(wrong).err(), serde_json::from_str::<Value>(wrong).err());
            assert_eq!(plain.map(|error| error.to_string()), value.map(|error| error.to_string()), "{wrong}");
        }
    }
}
