//! Ids for requests, drawn many at a time: each draw costs about as much as sixty-four ids do.

use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Entropy, RequestId};

/// Where a door takes its ids from. None is given twice.
pub(super) struct Ids {
    entropy: Arc<dyn Entropy>,
    drawn: Mutex<Vec<RequestId>>,
}

const AT_ONCE: usize = 64;
const EACH: usize = 16;

impl Ids {
    pub(super) fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, drawn: Mutex::default() }
    }

    /// An id that nobody can have foreseen.
    pub(super) fn draw(&self) -> RequestId {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = drawn.pop() {
            return id;
        }
        let bytes = self.entropy.bytes::<{ AT_ONCE * EACH }>();
        let (each, _) = bytes.as_chunks::<EACH>();
        drawn.extend(
            each.iter().map(|bytes| RequestId::from_uuid(uuid::Builder::from_random_bytes(*bytes).into_uuid())),
        );
        drawn.pop().unwrap_or_else(|| RequestId::random(self.entropy.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::model::SeededEntropy;

    #[test]
    fn no_id_is_given_twice_and_each_is_random() {
        let ids = Ids::new(Arc::new(SeededEntropy::new(7)));
        let given: HashSet<_> = (0..1000).map(|_| ids.draw().uuid()).collect();
        assert_eq!(given.len(), 1000);
        assert!(given.iter().all(|id| id.get_version_num() == 4));
    }
}
