//! Maps with a cheap hasher, for what is looked up once for each entry or more. Nobody can choose keys so that they meet:
//! what they are hashed with is drawn when the process starts.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::LazyLock,
};

use foldhash::{SharedSeed, fast::SeedableRandomState};

/// A map.
pub(super) type Map<K, V> = HashMap<K, V, SeedableRandomState>;

/// An empty map, with room for so many.
pub(super) fn map<K, V>(capacity: usize) -> Map<K, V> {
    static SEED: LazyLock<SharedSeed> = LazyLock::new(|| SharedSeed::from_u64(RandomState::new().hash_one(0)));
    Map::with_capacity_and_hasher(capacity, SeedableRandomState::with_seed(0, &SEED))
}
