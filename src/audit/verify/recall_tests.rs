//! Reading with a memory against the full reading: it knows the usual entries, and says of any bytes what the full reading
//! says of them, or nothing.

use super::*;
use crate::{
    audit::Entry,
    model::{Entropy, SeededEntropy},
};

const LEAVES: &str = include_str!("../../../tests/it/golden/leaves.txt");

/// Golden leaves, and the same with a name where an object has none.
fn leaves() -> Vec<Vec<u8>> {
    let lines = LEAVES.lines().filter(|line| line.starts_with('{'));
    let bodies = lines.flat_map(|line| [line.to_owned(), line.replace(r#""name":"","#, r#""name":"a\u0001é","#)]);
    bodies.map(|body| [b"\x01", body.as_bytes()].concat()).collect()
}

fn fully(leaf: &[u8]) -> Option<Columns> {
    Entry::from_leaf(leaf).ok().map(|entry| Columns::of(&entry))
}

#[test]
fn decisions_and_outcomes_are_recalled_and_the_rest_is_left_to_the_full_reading() {
    let mut recall = Recall::default();
    for _ in 0..2 {
        for leaf in leaves() {
            let expected = fully(&leaf).filter(|columns| matches!(columns.kind, "decision" | "outcome"));
            assert_eq!(recall.columns(&leaf), expected, "{}", String::from_utf8_lossy(&leaf));
        }
    }
}

/// What a forger may put in the place of a few bytes: other digits and letters, other spellings of the same, other JSON.
const FORGED: [&[u8]; 24] = [
    b"",
    b" ",
    b"\"",
    b"\\",
    b"0",
    b"-",
    b"+1",
    b"00",
    b"1.5",
    b"1e3",
    b"-0",
    b"18446744073709551616",
    b"null",
    b"[]",
    b"{}",
    b"A",
    b"a",
    b"\\u0061",
    b"\\/",
    b",\"event\":",
    b",\"time\":0",
    b"}",
    b"\xff",
    b"\x00",
];

#[test]
fn whatever_is_changed_the_full_reading_agrees() {
    let (mut recall, mut taken, mut refused) = (Recall::default(), 0, 0);
    let dice = SeededEntropy::new(7);
    let throw = |sides: usize| u64::from_be_bytes((&dice as &dyn Entropy).bytes()) as usize % sides;
    for leaf in leaves() {
        for at in 0..leaf.len() {
            for _ in 0..3 {
                let mut changed = leaf.clone();
                let end = (at + throw(3)).min(leaf.len());
                match throw(3) {
                    0 => changed[at] ^= 1 << throw(8),
                    _ => drop(changed.splice(at..end, FORGED[throw(FORGED.len())].iter().copied())),
                }
                match recall.columns(&changed) {
                    None => refused += 1,
                    Some(columns) => {
                        taken += 1;
                        assert_eq!(Some(columns), fully(&changed), "{}", String::from_utf8_lossy(&changed));
                    }
                }
            }
        }
    }
    assert!(taken > 1_000 && refused > 10_000, "{taken} {refused}");
}

#[test]
fn what_the_full_reading_takes_is_recalled_as_well() {
    let mut recall = Recall::default();
    let kinds = ["decision", "outcome"];
    for leaf in leaves() {
        let Some(columns) = fully(&leaf).filter(|columns| kinds.contains(&columns.kind)) else { continue };
        for at in 1..leaf.len() {
            let mut changed = leaf.clone();
            changed[at] = if changed[at].is_ascii_digit() { b'0' + (changed[at] - b'0' + 1) % 10 } else { b'x' };
            let expected = fully(&changed).filter(|changed| changed.kind == columns.kind);
            assert_eq!(recall.columns(&changed), expected, "{}", String::from_utf8_lossy(&changed));
        }
    }
}
