//! The one byte form of a JSON value: RFC 8785 restricted to integers, so that a hash over it means one thing.
//! Keys sorted, no white space, no fractions, no duplicate keys. Reading accepts nothing that writing would not give.
//! Written straight from the value, because every entry of the log passes here: an object's members are put in order
//! after they were written, and most objects already are.

mod integer;
mod members;
mod object;
mod text;

use std::borrow::Cow;

use serde::{Serialize, Serializer, de::DeserializeOwned, ser};

use integer::integer;
use members::Members;
pub(super) use object::{Name, Object, name, write_object};
use text::{is_escaped, text};

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

impl ser::Error for CanonicalFault {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Shape(ser::Error::custom(message))
    }
}

/// The canonical bytes of `value`.
pub fn to_canonical(value: &impl Serialize) -> Result<Vec<u8>, CanonicalFault> {
    let mut out = Vec::with_capacity(1_536);
    write_canonical(value, &mut out)?;
    Ok(out)
}

/// Adds the canonical bytes of `value` to `out`. After a fault, what was added means nothing.
pub fn write_canonical(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) -> Result<(), CanonicalFault> {
    value.serialize(&mut Writer { out, members: Members::default() })
}

/// The value that `bytes` stand for, if they are its canonical bytes.
pub fn from_canonical<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, CanonicalFault> {
    let value: T = serde_json::from_slice(bytes)?;
    let mut again = Vec::with_capacity(bytes.len());
    write_canonical(&value, &mut again)?;
    if again == bytes { Ok(value) } else { Err(CanonicalFault::Form) }
}

/// Writes one value after the other.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    members: Members,
}

/// An array or object that has begun, and what ends it.
struct Begun<'w, 'o> {
    writer: &'w mut Writer<'o>,
    is_first: bool,
    object: members::Mark,
    end: &'static [u8],
}

impl<'o> Writer<'o> {
    fn begin<'w>(&'w mut self, begin: &[u8], end: &'static [u8]) -> Begun<'w, 'o> {
        self.out.extend_from_slice(begin);
        let object = self.members.begin(self.out.len());
        Begun { writer: self, is_first: true, object, end }
    }

    fn variant<'w>(&'w mut self, name: &str, begin: u8, end: &'static [u8]) -> Begun<'w, 'o> {
        self.out.push(b'{');
        text(name, self.out);
        self.begin(&[b':', begin], end)
    }
}

impl Begun<'_, '_> {
    fn next(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.writer.out.push(b',');
        }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalFault> {
        self.next();
        value.serialize(&mut *self.writer)
    }

    fn member<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Result<(), CanonicalFault> {
        self.next();
        let start = self.writer.out.len();
        text(&key, self.writer.out);
        self.writer.out.push(b':');
        self.value(start, Cow::Owned(key), value)
    }

    /// A member whose key is a field's name: a word of our own, with nothing in it that needs an escape.
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), CanonicalFault> {
        debug_assert!(!name.bytes().any(is_escaped), "{name}");
        self.next();
        let (start, out) = (self.writer.out.len(), &mut *self.writer.out);
        out.reserve(name.len() + 3);
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        self.value(start, Cow::Borrowed(name), value)
    }

    fn value<T>(&mut self, start: usize, key: Cow<'static, str>, value: &T) -> Result<(), CanonicalFault>
    where
        T: Serialize + ?Sized,
    {
        value.serialize(&mut *self.writer)?;
        self.writer.members.add(key, start..self.writer.out.len());
        Ok(())
    }

    fn close_array(self) -> Result<(), CanonicalFault> {
        self.writer.out.extend_from_slice(self.end);
        Ok(())
    }

    fn close_object(self) -> Result<(), CanonicalFault> {
        self.writer.members.sort(self.object, self.writer.out)?;
        self.writer.out.extend_from_slice(self.end);
        Ok(())
    }
}

impl<'w, 'o> Serializer for &'w mut Writer<'o> {
    type Ok = ();
    type Error = CanonicalFault;
    type SerializeSeq = Begun<'w, 'o>;
    type SerializeTuple = Begun<'w, 'o>;
    type SerializeTupleStruct = Begun<'w, 'o>;
    type SerializeTupleVariant = Begun<'w, 'o>;
    type SerializeMap = Begun<'w, 'o>;
    type SerializeStruct = Begun<'w, 'o>;
    type SerializeStructVariant = Begun<'w, 'o>;

    fn serialize_bool(self, value: bool) -> Result<(), CanonicalFault> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), CanonicalFault> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), CanonicalFault> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), CanonicalFault> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), CanonicalFault> {
        integer(value < 0, value.unsigned_abs(), self.out);
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), CanonicalFault> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), CanonicalFault> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), CanonicalFault> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), CanonicalFault> {
        integer(false, value, self.out);
        Ok(())
    }

    fn serialize_f32(self, _: f32) -> Result<(), CanonicalFault> {
        Err(CanonicalFault::Fraction)
    }

    fn serialize_f64(self, _: f64) -> Result<(), CanonicalFault> {
        Err(CanonicalFault::Fraction)
    }

    fn serialize_char(self, value: char) -> Result<(), CanonicalFault> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), CanonicalFault> {
        text(value, self.out);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), CanonicalFault> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<(), CanonicalFault> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CanonicalFault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), CanonicalFault> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), CanonicalFault> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<(), CanonicalFault> {
        self.serialize_str(name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &str, value: &T) -> Result<(), CanonicalFault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), CanonicalFault> {
        let mut object = self.begin(b"{", b"}");
        object.field(name, value)?;
        object.close_object()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Begun<'w, 'o>, CanonicalFault> {
        Ok(self.begin(b"[", b"]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Begun<'w, 'o>, CanonicalFault> {
        Ok(self.begin(b"[", b"]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Begun<'w, 'o>, CanonicalFault> {
        Ok(self.begin(b"[", b"]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Begun<'w, 'o>, CanonicalFault> {
        Ok(self.variant(name, b'[', b"]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Begun<'w, 'o>, CanonicalFault> {
        Ok(self.begin(b"{", b"}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Begun<'w, 'o>, CanonicalFault> {
        Ok(self.begin(b"{", b"}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Begun<'w, 'o>, CanonicalFault> {
        Ok(self.variant(name, b'{', b"}}"))
    }
}

macro_rules! compound {
    ($($of:ident $method:ident $(($name:ident))? $add:ident $close:ident;)*) => {$(
        impl ser::$of for Begun<'_, '_> {
            type Ok = ();
            type Error = CanonicalFault;

            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($name: &'static str,)?
                value: &T,
            ) -> Result<(), CanonicalFault> {
                self.$add($($name,)? value)
            }

            fn end(self) -> Result<(), CanonicalFault> {
                self.$close()
            }
        }
    )*};
}

compound! {
    SerializeSeq serialize_element item close_array;
    SerializeTuple serialize_element item close_array;
    SerializeTupleStruct serialize_field item close_array;
    SerializeTupleVariant serialize_field item close_array;
    SerializeStruct serialize_field (name) field close_object;
    SerializeStructVariant serialize_field (name) field close_object;
}

impl ser::SerializeMap for Begun<'_, '_> {
    type Ok = ();
    type Error = CanonicalFault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), CanonicalFault> {
        Err(CanonicalFault::Form)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), CanonicalFault> {
        Err(CanonicalFault::Form)
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), CanonicalFault> {
        // Only text is a key; whatever else it may be, it does not read back as text.
        let key: String = serde_json::from_slice(&serde_json::to_vec(key)?)?;
        self.member(key, value)
    }

    fn end(self) -> Result<(), CanonicalFault> {
        self.close_object()
    }
}

#[cfg(test)]
mod tests;
