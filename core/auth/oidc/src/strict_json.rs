//! JSON objects of tokens, read strictly: a member that comes twice makes two readers see two tokens
//! (RFC 7519 section 4, RFC 8725 section 2.4), so such an object is refused.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The octets are not one JSON object, or a member comes twice in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON object with distinct members")]
pub struct Malformed;

/// Reads one JSON object; members are distinct at every depth. serde_json bounds the depth.
pub fn object(octets: &[u8]) -> Result<Map<String, Value>, Malformed> {
    match serde_json::from_slice(octets) {
        Ok(Strict(Value::Object(members))) => Ok(members),
        _ => Err(Malformed),
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a JSON number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Strict(value) = members.next_value()?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a member comes twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_member_that_comes_twice_is_refused_at_any_depth() {
        for twice in [
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"sub":"a","s\u0075b":"b"}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a":[{"b":1},{"b":1,"b":2}]}"#,
        ] {
            assert_eq!(object(twice.as_bytes()), Err(Malformed), "{twice}");
        }
        let kept = json!({"a": {"b": [1, -2, 1.5, true, null, "x"]}, "b": {}});
        assert_eq!(object(kept.to_string().as_bytes()).map(Value::Object), Ok(kept));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for bad in ["", "[]", "\"x\"", "null", "{", "{}{}", "{\"a\":NaN}", "{\"a\":1e999}", "\u{feff}{}"] {
            assert_eq!(object(bad.as_bytes()), Err(Malformed), "{bad}");
        }
        assert_eq!(object(&[b'{', 0xff, b'}']), Err(Malformed));
        let deep = format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500));
        assert_eq!(object(deep.as_bytes()), Err(Malformed), "depth is bounded");
    }
}
