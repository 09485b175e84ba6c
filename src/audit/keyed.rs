//! Maps with a cheap hasher, for what is looked up once for each entry or more. Peers choose some of the keys, and what all
//! are hashed with is drawn when the process starts: both of the hasher's seeds, since under one that is known there
//! are keys that meet whatever the other is.

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
    static SEEDS: LazyLock<(u64, SharedSeed)> = LazyLock::new(|| {
        let drawn = RandomState::new();
        (drawn.hash_one(0), SharedSeed::from_u64(drawn.hash_one(1)))
    });
    let (own, shared) = &*SEEDS;
    Map::with_capacity_and_hasher(capacity, SeedableRandomState::with_seed(*own, shared))
}
