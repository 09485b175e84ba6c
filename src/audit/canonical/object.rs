//! An object whose members are at hand one by one, in the order of their names: written as if it were one value that has
//! them. What is canonical already goes in as it stands.
//! INVARIANT: whoever writes members gives them in order; tests compare what comes out with the bytes of the whole value.

use std::net::IpAddr;

use serde::Serialize;
use uuid::Uuid;

use super::{CanonicalFault, integer::integer, text::hex_digit, write_canonical};

/// A member's name as it stands between the member before it and its value: a word of our own, with nothing in it that
/// needs an escape.
macro_rules! name {
    ($name:literal) => {
        $crate::audit::canonical::Name(concat!(",\"", $name, "\":"))
    };
}

pub(in crate::audit) use name;

/// See [`name`].
#[derive(Clone, Copy)]
pub(in crate::audit) struct Name(pub(in crate::audit) &'static str);

/// Adds an object to `out`, member by member. After a fault, what was added means nothing.
pub(in crate::audit) fn write_object(
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut Object<'_>) -> Result<(), CanonicalFault>,
) -> Result<(), CanonicalFault> {
    out.push(b'{');
    let mut object = Object { out, before: "" };
    fill(&mut object)?;
    object.out.push(b'}');
    Ok(())
}

/// An object that is being written.
pub(in crate::audit) struct Object<'o> {
    out: &'o mut Vec<u8>,
    before: &'static str,
}

impl Object<'_> {
    /// A member.
    pub(in crate::audit) fn member<T: Serialize + ?Sized>(
        &mut self,
        name: Name,
        value: &T,
    ) -> Result<(), CanonicalFault> {
        self.name(name);
        write_canonical(value, self.out)
    }

    /// A member whose value is canonical already.
    pub(in crate::audit) fn written(&mut self, name: Name, value: &[u8]) {
        self.name(name);
        self.out.extend_from_slice(value);
    }

    /// A member whose value is an address.
    pub(in crate::audit) fn address(&mut self, name: Name, address: IpAddr) -> Result<(), CanonicalFault> {
        let IpAddr::V4(address) = address else { return self.member(name, &address) };
        self.name(name);
        let mut before = b'"';
        for part in address.octets() {
            self.out.push(before);
            integer(false, part.into(), self.out);
            before = b'.';
        }
        self.out.push(b'"');
        Ok(())
    }

    /// A member whose value are bytes in lower-case hex.
    pub(in crate::audit) fn hex<const N: usize>(&mut self, name: Name, bytes: &[u8; N]) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(bytes.map(|byte| [hex_digit(byte >> 4), hex_digit(byte & 15)]).as_flattened());
        self.out.push(b'"');
    }

    /// A member whose value is an id, or none.
    pub(in crate::audit) fn id(&mut self, name: Name, id: Option<Uuid>) {
        let Some(id) = id else { return self.written(name, b"null") };
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
        self.out.push(b'"');
    }

    /// A member that is an object itself.
    pub(in crate::audit) fn object(
        &mut self,
        name: Name,
        fill: impl FnOnce(&mut Object<'_>) -> Result<(), CanonicalFault>,
    ) -> Result<(), CanonicalFault> {
        self.name(name);
        write_object(self.out, fill)
    }

    /// How long all that was written is.
    pub(in crate::audit) const fn len(&self) -> usize {
        self.out.len()
    }

    fn name(&mut self, Name(name): Name) {
        debug_assert!(self.before < name, "{} before {name}", self.before);
        let name_alone = if self.before.is_empty() { name.strip_prefix(',').unwrap_or(name) } else { name };
        self.out.extend_from_slice(name_alone.as_bytes());
        self.before = name;
    }
}
