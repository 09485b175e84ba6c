//! The members of the objects that are being written, so that they can be put in the order of their keys.
//! Objects lie within one another, so one stack holds them all; an object in order already costs a comparison a member.

use std::ops::Range;

use super::CanonicalFault;

/// The members of all objects that have begun, innermost last.
#[derive(Default)]
pub(super) struct Members {
    keys: Vec<u8>,
    written: Vec<Member>,
    spare: Vec<u8>,
}

/// Where an object's members begin.
pub(super) struct Mark {
    text: usize,
    keys: usize,
    members: usize,
}

#[derive(Clone, Debug)]
struct Member {
    key: Range<usize>,
    text: Range<usize>,
}

impl Members {
    /// An object begins, whose first member will stand at `text`.
    pub(super) const fn begin(&self, text: usize) -> Mark {
        Mark { text, keys: self.keys.len(), members: self.written.len() }
    }

    /// A member of the innermost object was written at `text`.
    pub(super) fn add(&mut self, key: &str, text: Range<usize>) {
        let start = self.keys.len();
        self.keys.extend_from_slice(key.as_bytes());
        self.written.push(Member { key: start..self.keys.len(), text });
    }

    /// The innermost object ends: puts its members in order. A key may come once only.
    pub(super) fn sort(&mut self, object: Mark, out: &mut Vec<u8>) -> Result<(), CanonicalFault> {
        let keys = &self.keys;
        let key = |member: &Member| keys.get(member.key.clone()).unwrap_or_default();
        let members = self.written.get_mut(object.members..).unwrap_or_default();
        if !members.is_sorted_by(|one, next| key(one) < key(next)) {
            members.sort_unstable_by(|one, other| key(one).cmp(key(other)));
            if !members.is_sorted_by(|one, next| key(one) < key(next)) {
                return Err(CanonicalFault::Form);
            }
            self.spare.clear();
            for (nth, member) in members.iter().enumerate() {
                if nth > 0 {
                    self.spare.push(b',');
                }
                self.spare.extend_from_slice(out.get(member.text.clone()).unwrap_or_default());
            }
            out.truncate(object.text);
            out.append(&mut self.spare);
        }
        self.keys.truncate(object.keys);
        self.written.truncate(object.members);
        Ok(())
    }
}
