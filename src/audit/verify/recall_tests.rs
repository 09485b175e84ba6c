//! Reading with a memory against the full reading: it knows the usual entries, and says of any bytes what the full reading
//! says of them, or nothing.

use super::*;
use crate::{
    audit::Entry,
    model::{Entropy, SeededEntropy},
};

const LEAVES: &str = include_str!("../../../tests/it/golden/leaves.txt");

/// Golden leaves, and the same with a name where an object has none, in other namespaces.
fn leaves() -> Vec<Vec<u8>> {
    let lines = LEAVES.lines().filter(|line| line.starts_with('{'));
    let bodies = lines.flat_map(|line| {
        let named = line.replace(r#""name":"","#, r#""name":"a\u0001\u0002é","#);
        let in_namespace = |namespace| named.replace(r#""namespace":"default","#, namespace);
        let elsewhere = [r#""namespace":"","#, r#""namespace":"\u0002a\u0001","#].map(in_namespace);
        [line.to_owned(), named].into_iter().chain(elsewhere)
    });
    bodies.map(|body| [b"\x01", body.as_bytes()].concat()).collect()
}

/// What the full reading says; nothing of what is left to it.
fn fully(leaf: &[u8]) -> Option<Columns> {
    let entry = Entry::from_leaf(leaf).ok().filter(|entry| !entry.event.is_of_the_log())?;
    Some(Columns::of(&entry))
}

/// What is recalled, with the target as it stands in its column.
fn recalled(recall: &mut Recall, leaf: &[u8]) -> Option<Columns> {
    let Columns { happened_at, recorded_at, kind, broker, request, person, login, credential, verdict, target } =
        recall.columns(leaf)?;
    let target = target.map(|target| {
        let column = target.column().into_owned();
        assert!(target.is(column.as_bytes()) && !target.is(&[column.as_bytes(), b"x"].concat()), "{column}");
        column
    });
    Some(Columns { happened_at, recorded_at, kind, broker, request, person, login, credential, verdict, target })
}

#[test]
fn what_is_recalled_is_what_the_full_reading_says() {
    let mut recall = Recall::default();
    for _ in 0..2 {
        for leaf in leaves() {
            assert_eq!(recalled(&mut recall, &leaf), fully(&leaf), "{}", String::from_utf8_lossy(&leaf));
        }
    }
}

/// What a forger may put in the place of a few bytes: other digits and letters, other spellings of the same, other JSON.
const FORGED: [&[u8]; 26] = [
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
    b"//",
    b"/..",
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
                match recalled(&mut recall, &changed) {
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

/// Where a member or an object ends.
fn seams(leaf: &[u8]) -> Vec<usize> {
    (0..leaf.len()).filter(|at| leaf[*at..].starts_with(b",\"") || leaf[*at..].starts_with(b"},\"")).collect()
}

#[test]
fn pieces_that_are_known_are_not_taken_in_the_place_of_others() {
    let leaves: Vec<Vec<u8>> = leaves().into_iter().step_by(4).collect();
    let (mut recall, mut taken, mut refused) = (Recall::default(), 0, 0);
    leaves.iter().for_each(|leaf| drop(recalled(&mut recall, leaf)));
    let dice = SeededEntropy::new(8);
    for (one, other) in leaves.iter().flat_map(|one| leaves.iter().map(move |other| (one, other))) {
        let ends = seams(other);
        for at in seams(one) {
            let end = ends[u64::from_be_bytes((&dice as &dyn Entropy).bytes()) as usize % ends.len()];
            let spliced = [&one[..at], &other[end..]].concat();
            match recalled(&mut recall, &spliced) {
                None => refused += 1,
                Some(columns) => {
                    taken += 1;
                    assert_eq!(Some(columns), fully(&spliced), "{}", String::from_utf8_lossy(&spliced));
                }
            }
        }
    }
    assert!(taken > 1_000 && refused > 10_000, "{taken} {refused}");
}

#[test]
fn what_the_full_reading_takes_is_recalled_as_well() {
    let mut recall = Recall::default();
    for leaf in leaves() {
        for at in 1..leaf.len() {
            let mut changed = leaf.clone();
            changed[at] = if changed[at].is_ascii_digit() { b'0' + (changed[at] - b'0' + 1) % 10 } else { b'x' };
            assert_eq!(recalled(&mut recall, &changed), fully(&changed), "{}", String::from_utf8_lossy(&changed));
        }
    }
}

#[test]
fn a_target_that_is_not_stored_as_it_is_is_not_found_as_it_is() {
    for name in ["\0", "\u{1b}[2J", "\u{202e}sdop", &"x".repeat(501)] {
        let target = Target::Joined(["get pods", " ", name, " in demo", "", ""].map(str::as_bytes));
        assert!(target.is(target.column().as_bytes()), "{name:?}");
        assert!(!target.is(format!("get pods {name} in demo").as_bytes()), "{name:?}");
    }
}
