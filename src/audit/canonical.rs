//! The one byte form of a JSON value: RFC 8785 restricted to integers, so that a hash over it means one thing.
//! Keys sorted, no white space, no fractions, no duplicate keys. Reading accepts nothing that writing would not give.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Why bytes are not canonical, or a value has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalFault {
    /// A number that is not an integer of 64 bits.
    #[error("a number is not an integer")]
    Fraction,
    /// Not JSON of the expected shape.
    #[error("not an entry's JSON: {0}")]
    Shape(#[from] serde_json::Error),
    /// The right content in another form.
    #[error("the bytes are not in canonical form")]
    Form,
}

/// The canonical bytes of `value`.
pub fn to_canonical(value: &impl Serialize) -> Result<Vec<u8>, CanonicalFault> {
    let mut out = Vec::with_capacity(1024);
    write(&serde_json::to_value(value)?, &mut out)?;
    Ok(out)
}

/// The value that `bytes` stand for, if they are its canonical bytes.
pub fn from_canonical<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, CanonicalFault> {
    let value: T = serde_json::from_slice(bytes)?;
    if to_canonical(&value)? == bytes { Ok(value) } else { Err(CanonicalFault::Form) }
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), CanonicalFault> {
    match value {
        Value::Number(number) if !(number.is_i64() || number.is_u64()) => return Err(CanonicalFault::Fraction),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => serde_json::to_writer(&mut *out, value)?,
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            out.push(b'{');
            for (i, (key, member)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, key)?;
                out.push(b':');
                write(member, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_and_nothing_is_spaced() {
        let value = json!({"b": [1, -2, null], "a": {"d": "é\n\u{1f}", "c": true}});
        assert_eq!(
            to_canonical(&value).unwrap(),
            "{\"a\":{\"c\":true,\"d\":\"é\\n\\u001f\"},\"b\":[1,-2,null]}".as_bytes()
        );
    }

    #[test]
    fn fractions_and_other_forms_are_refused() {
        assert!(matches!(to_canonical(&json!({"a": 1.5})), Err(CanonicalFault::Fraction)));
        for other in [r#"{"b":1,"a":2}"#, r#"{"a": 1}"#, r#"{"a":1,"a":1}"#, r#"{"a":"\u0041"}"#] {
            assert!(from_canonical::<Value>(other.as_bytes()).is_err(), "{other}");
        }
    }
}
