//! Who asked, shared by everything that is recorded about their requests, so that a caller who asks a thousand times is
//! copied and encoded once. What is kept beside the caller is derived from it alone, and a caller here never changes.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use super::canonical::{CanonicalFault, to_canonical};
use crate::model::Caller;

/// A caller, shared. Reads as the caller that it is.
#[derive(Clone)]
pub struct Asker(Arc<Parts>);

struct Parts {
    caller: Caller,
    canonical: OnceLock<Box<[u8]>>,
}

impl Asker {
    /// The caller's canonical bytes.
    pub(super) fn canonical(&self) -> Result<&[u8], CanonicalFault> {
        if let Some(bytes) = self.0.canonical.get() {
            return Ok(bytes);
        }
        let bytes = to_canonical(&self.0.caller)?.into_boxed_slice();
        Ok(self.0.canonical.get_or_init(|| bytes))
    }

    /// What no other caller has as long as this one is held.
    pub(super) fn address_of(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// A copy of the caller, for whoever changes it.
    pub fn to_caller(&self) -> Caller {
        self.0.caller.clone()
    }
}

impl From<Caller> for Asker {
    fn from(caller: Caller) -> Self {
        Self(Arc::new(Parts { caller, canonical: OnceLock::new() }))
    }
}

impl From<&Caller> for Asker {
    fn from(caller: &Caller) -> Self {
        caller.clone().into()
    }
}

impl From<&Asker> for Asker {
    fn from(asker: &Asker) -> Self {
        asker.clone()
    }
}

impl Deref for Asker {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0.caller
    }
}

impl PartialEq for Asker {
    fn eq(&self, other: &Self) -> bool {
        self.0.caller == other.0.caller
    }
}

impl Eq for Asker {}

impl PartialEq<Caller> for Asker {
    fn eq(&self, other: &Caller) -> bool {
        self.0.caller == *other
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.caller.fmt(f)
    }
}
