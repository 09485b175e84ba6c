//! The canonical form against the plain way of writing it: through a tree of values whose members are sorted. The log
//! was written that way before, so both must give the same bytes, for whatever value.

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::model::{Entropy, SeededEntropy};

/// The plain way.
fn oracle(value: &impl Serialize) -> Vec<u8> {
    fn write(value: &Value, out: &mut Vec<u8>) {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                serde_json::to_writer(&mut *out, value).unwrap();
            }
            Value::Array(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write(item, out);
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
                    serde_json::to_writer(&mut *out, key).unwrap();
                    out.push(b':');
                    write(member, out);
                }
                out.push(b'}');
            }
        }
    }
    let mut out = Vec::new();
    write(&serde_json::to_value(value).unwrap(), &mut out);
    out
}

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
    for other in [r#"{"b":1,"a":2}"#, r#"{"a": 1}"#, r#"{"a":1,"a":1}"#, r#"{"a":"\u0041"}"#, r#"{"a":1} "#] {
        assert!(from_canonical::<Value>(other.as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn whatever_the_value_the_bytes_are_those_of_the_plain_way() {
    let mut dice = Dice(SeededEntropy::new(3));
    for _ in 0..3_000 {
        let value = dice.value(4);
        let bytes = to_canonical(&value).unwrap();
        assert_eq!(String::from_utf8(bytes.clone()), String::from_utf8(oracle(&value)));
        assert_eq!(from_canonical::<Value>(&bytes).unwrap(), value);
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    Newtype(Vec<Option<i8>>),
    Tuple(u64, i64, char),
    Struct { z: (), a: Box<Option<Shape>>, m: Tagged },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    One { zebra: (u16, bool), apple: String },
    Two(Inner),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    zoo: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    none: Option<u8>,
    #[serde(flatten)]
    rest: std::collections::BTreeMap<String, i64>,
}

#[test]
fn every_shape_that_a_type_can_have_is_written_the_same_way() {
    let rest = [("\"quoted\"", 1), ("\u{7f}", i64::MIN), ("kinds", i64::MAX), ("", 0)];
    let inner = Inner { zoo: 3, none: None, rest: rest.map(|(key, value)| (key.to_owned(), value)).into() };
    let innermost = Shape::Struct { z: (), a: Box::new(Some(Shape::Unit)), m: Tagged::Two(inner) };
    let one = Tagged::One { zebra: (1, false), apple: "a\u{0}\u{8}\t\u{c}\r\\/\u{2028}😀".to_owned() };
    for shape in [
        Shape::Struct { z: (), a: Box::new(Some(innermost)), m: one },
        Shape::Newtype(vec![None, Some(-128), Some(0)]),
        Shape::Tuple(u64::MAX, i64::MIN, '"'),
    ] {
        let bytes = to_canonical(&shape).unwrap();
        assert_eq!(String::from_utf8(bytes.clone()), String::from_utf8(oracle(&shape)));
        assert_eq!(from_canonical::<Shape>(&bytes).unwrap(), shape);
    }
}

#[test]
fn a_key_that_comes_twice_has_no_canonical_form() {
    #[derive(Serialize)]
    struct Twice {
        kind: u8,
        #[serde(flatten)]
        rest: std::collections::BTreeMap<&'static str, u8>,
    }
    assert!(matches!(to_canonical(&Twice { kind: 1, rest: [("kind", 2)].into() }), Err(CanonicalFault::Form)));
}

struct Dice(SeededEntropy);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        u64::from_be_bytes((&self.0 as &dyn Entropy).bytes()) % sides
    }

    fn text(&mut self) -> String {
        let length = self.throw(6) * self.throw(6);
        (0..length)
            .map(|_| match self.throw(4) {
                0 => char::from(u8::try_from(self.throw(0x30)).unwrap()),
                1 => ['"', '\\', '\u{7f}', '\u{80}', '\u{ffff}', '😀', '/', '\u{2028}'][self.throw(8) as usize],
                _ => char::from(b'a' + u8::try_from(self.throw(26)).unwrap()),
            })
            .collect()
    }

    fn value(&mut self, depth: u64) -> Value {
        match self.throw(if depth == 0 { 5 } else { 8 }) {
            0 => Value::Null,
            1 => Value::Bool(self.throw(2) == 0),
            2 => (self.throw(u64::MAX) as i64 >> self.throw(64)).into(),
            3 => (self.throw(u64::MAX) >> self.throw(64)).into(),
            4 => self.text().into(),
            5 => (0..self.throw(5)).map(|_| self.value(depth - 1)).collect(),
            _ => Value::Object((0..self.throw(9)).map(|_| (self.text(), self.value(depth - 1))).collect()),
        }
    }
}
