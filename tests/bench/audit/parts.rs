//! What the parts of an entry's way cost on one core, one at a time.

use std::hint::black_box;

use bailiwick::{
    audit::{
        Draft, Entry,
        entry::{Columns, Salt},
        tile::Tree,
        tree::leaf_hash,
    },
    model::{BrokerId, Entropy, SystemEntropy, Timestamp, Verdict},
};

use super::{cpu, load::again, median, support::audit::decision};

/// Measures and says them.
pub fn measure() {
    let broker = BrokerId::random(&SystemEntropy);
    let entry = |draft: Draft| {
        let Draft { caller, event, happened_at, request } = draft;
        let caller = caller.map(|caller| caller.to_value());
        let recorded_at = Timestamp::from_micros(1_800_000_000_000_000);
        Entry { broker, caller, event, happened_at, recorded_at, request, salt: Salt([7; 16]) }
    };
    let usual = entry(decision(7, Verdict::Allow));
    let leaf = usual.leaf().unwrap();
    println!("parts, in microseconds on one core; a leaf of {} bytes", leaf.len());
    let before = decision(7, Verdict::Allow);
    say("making the draft (the caller's)", || drop(black_box(again(&before, 8))));
    let mut ahead: Vec<[u8; 16]> = Vec::new();
    say("the salt, 64 drawn at once", || {
        if ahead.is_empty() {
            ahead.extend((&SystemEntropy as &dyn Entropy).bytes::<1_024>().as_chunks::<16>().0);
        }
        black_box(ahead.pop());
    });
    say("leaf bytes, written the plain way", || drop(black_box(black_box(&usual).leaf().unwrap())));
    say("columns", || drop(black_box(Columns::of(black_box(&usual)))));
    say("leaf hash", || {
        black_box(leaf_hash(black_box(&leaf)));
    });
    let (mut tree, hash) = (Tree::default(), leaf_hash(&leaf));
    say("its place in the tree", || tree.append(hash, &mut Vec::new()));
    say("reading the leaf back, and writing it again to compare", || {
        drop(black_box(Entry::from_leaf(black_box(&leaf)).unwrap()));
    });
}

fn say(what: &str, mut part: impl FnMut()) {
    let batches = (0..15).map(|_| {
        let start = cpu::used();
        (0..20_000).for_each(|_| part());
        (cpu::used() - start).as_secs_f64() * 1e6 / 20_000.0
    });
    println!("  {:>6.2}  {what}", median(batches.collect()));
}
