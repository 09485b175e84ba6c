//! What many entries repeat (who asked, what was decided, under which rules), shared by all of them, so that it is copied
//! encoded and put into terms of the search once. What is kept beside a value is derived from it alone, and a value here never changes.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    canonical::{CanonicalFault, to_canonical},
    search::Lasting,
};
use crate::model::Caller;

/// A value, shared. Reads as the value that it is.
pub struct Common<T>(Arc<Parts<T>>);

/// Who asked.
pub type Asker = Common<Caller>;

struct Parts<T> {
    value: T,
    canonical: OnceLock<Box<[u8]>>,
    lasting: OnceLock<Lasting>,
}

impl<T> Common<T> {
    /// What no other value has as long as this one is held.
    pub(super) fn address_of(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// What every entry that has the value is found by, as `make` says of it.
    pub(super) fn lasting(&self, make: impl FnOnce(&T) -> Lasting) -> &Lasting {
        self.0.lasting.get_or_init(|| make(&self.0.value))
    }
}

impl<T: Serialize> Common<T> {
    /// The value's canonical bytes.
    pub(super) fn canonical(&self) -> Result<&[u8], CanonicalFault> {
        if let Some(bytes) = self.0.canonical.get() {
            return Ok(bytes);
        }
        let bytes = to_canonical(&self.0.value)?.into_boxed_slice();
        Ok(self.0.canonical.get_or_init(|| bytes))
    }
}

impl<T: Clone> Common<T> {
    /// A copy of the value, for whoever changes it.
    pub fn to_value(&self) -> T {
        self.0.value.clone()
    }
}

impl<T> Clone for Common<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> From<T> for Common<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(Parts { value, canonical: OnceLock::new(), lasting: OnceLock::new() }))
    }
}

impl<T: Clone> From<&T> for Common<T> {
    fn from(value: &T) -> Self {
        value.clone().into()
    }
}

impl<T> From<&Self> for Common<T> {
    fn from(kept: &Self) -> Self {
        kept.clone()
    }
}

impl<T> Deref for Common<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: PartialEq> PartialEq for Common<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.value == other.0.value
    }
}

impl<T: Eq> Eq for Common<T> {}

impl<T: PartialEq> PartialEq<T> for Common<T> {
    fn eq(&self, other: &T) -> bool {
        self.0.value == *other
    }
}

impl<T: fmt::Debug> fmt::Debug for Common<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}

impl<T: Serialize> Serialize for Common<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Common<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}
