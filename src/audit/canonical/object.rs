//! An object whose members are at hand one by one, in the order of their names: written as if it were one value that has
//! them. What is canonical already goes in as it stands.
//! INVARIANT: whoever writes members gives them in order; tests compare what comes out with the bytes of the whole value.

use serde::Serialize;

use super::{CanonicalFault, text::is_escaped, write_canonical};

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
        name: &'static str,
        value: &T,
    ) -> Result<(), CanonicalFault> {
        self.name(name);
        write_canonical(value, self.out)
    }

    /// A member whose value is canonical already.
    pub(in crate::audit) fn written(&mut self, name: &'static str, value: &[u8]) {
        self.name(name);
        self.out.extend_from_slice(value);
    }

    /// A member that is an object itself.
    pub(in crate::audit) fn object(
        &mut self,
        name: &'static str,
        fill: impl FnOnce(&mut Object<'_>) -> Result<(), CanonicalFault>,
    ) -> Result<(), CanonicalFault> {
        self.name(name);
        write_object(self.out, fill)
    }

    /// How long all that was written is.
    pub(in crate::audit) const fn len(&self) -> usize {
        self.out.len()
    }

    /// A name is a word of our own, with nothing in it that needs an escape.
    fn name(&mut self, name: &'static str) {
        debug_assert!(self.before < name && !name.bytes().any(is_escaped), "{} before {name}", self.before);
        self.out.reserve(name.len() + 4);
        if !self.before.is_empty() {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.before = name;
    }
}
