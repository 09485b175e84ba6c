//! An object whose members are at hand one by one: written as if it were one value that has them. What is canonical already
//! goes in as it stands.

use std::borrow::Cow;

use serde::Serialize;

use super::{Begun, CanonicalFault, Members, Writer};

/// Adds an object to `out`, member by member. After a fault, what was added means nothing.
pub(in crate::audit) fn write_object(
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut Object<'_, '_>) -> Result<(), CanonicalFault>,
) -> Result<(), CanonicalFault> {
    let mut writer = Writer { out, members: Members::new() };
    let mut object = Object(writer.begin(b"{", b"}"));
    fill(&mut object)?;
    object.0.close_object()
}

/// An object that is being written.
pub(in crate::audit) struct Object<'w, 'o>(Begun<'w, 'o>);

impl Object<'_, '_> {
    /// A member.
    pub(in crate::audit) fn member<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), CanonicalFault> {
        self.0.field(name, value)
    }

    /// A member whose value is canonical already.
    pub(in crate::audit) fn written(&mut self, name: &'static str, value: &[u8]) {
        let start = self.0.name(name);
        self.0.writer.out.extend_from_slice(value);
        self.0.writer.members.add(Cow::Borrowed(name), start..self.0.writer.out.len());
    }

    /// A member that is an object itself.
    pub(in crate::audit) fn object(
        &mut self,
        name: &'static str,
        fill: impl FnOnce(&mut Object<'_, '_>) -> Result<(), CanonicalFault>,
    ) -> Result<(), CanonicalFault> {
        let start = self.0.name(name);
        let mut object = Object(self.0.writer.begin(b"{", b"}"));
        fill(&mut object)?;
        object.0.close_object()?;
        self.0.writer.members.add(Cow::Borrowed(name), start..self.0.writer.out.len());
        Ok(())
    }

    /// How long all that was written is.
    pub(in crate::audit) fn len(&self) -> usize {
        self.0.writer.out.len()
    }
}
