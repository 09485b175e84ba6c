//! The members of the objects that are being written, so that they can be put in the order of their keys.
//! Objects lie within one another, so one stack holds them all; an object in order already costs a comparison a member.

use std::{borrow::Cow, ops::Range};

use super::CanonicalFault;

/// The members of all objects that have begun, innermost last.
#[derive(Default)]
pub(super) struct Members {
    written: Vec<Member>,
    spare: Vec<u8>,
}

/// Where an object's members begin.
pub(super) struct Mark {
    text: usize,
    members: usize,
}

struct Member {
    key: Cow<'static, str>,
    text: Range<usize>,
}

impl Members {
    /// An object begins, whose first member will stand at `text`.
    pub(super) const fn begin(&self, text: usize) -> Mark {
        Mark { text, members: self.written.len() }
    }

    /// A member of the innermost object was written at `text`.
    pub(super) fn add(&mut self, key: Cow<'static, str>, text: Range<usize>) {
        if self.written.capacity() == 0 {
            self.written.reserve(USUAL);
        }
        self.written.push(Member { key, text });
    }

    /// The innermost object ends: puts its members in order. A key may come once only.
    pub(super) fn sort(&mut self, object: Mark, out: &mut Vec<u8>) -> Result<(), CanonicalFault> {
        let members = self.written.get_mut(object.members..).unwrap_or_default();
        if !members.is_sorted_by(|one, next| one.key < next.key) {
            members.sort_unstable_by(|one, other| one.key.cmp(&other.key));
            if !members.is_sorted_by(|one, next| one.key < next.key) {
                return Err(CanonicalFault::Form);
            }
            self.spare.clear();
            self.spare.reserve(out.len().saturating_sub(object.text));
            for (nth, member) in members.iter().enumerate() {
                if nth > 0 {
                    self.spare.push(b',');
                }
                self.spare.extend_from_slice(out.get(member.text.clone()).unwrap_or_default());
            }
            out.truncate(object.text);
            out.append(&mut self.spare);
        }
        self.written.truncate(object.members);
        Ok(())
    }
}

/// Room for an entry's members, so that none is moved while it grows; a value without members takes none.
const USUAL: usize = 32;
