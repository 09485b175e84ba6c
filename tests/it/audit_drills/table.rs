//! The drills, as a list: what somebody does who may write everything in the database, and what is then said.

use Broker::{Refuses, Starts};

/// What is done, how, what `audit verify --key` then says is broken (`…` is anything), and what a broker does that starts.
pub type Drill = (&'static str, &'static str, &'static str, Broker);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    /// It goes on from the end of the log, which is as it was.
    Starts,
    /// It sees that the end of the log is not what it was, and lets nobody in.
    Refuses,
}

pub const DRILLS: &[Drill] = &[
    // Entries.
    (
        "flip a byte of the first",
        "update entry set leaf = set_byte(leaf, 0, 3) where leaf_index = 0",
        "entry 0: its bytes were changed: they do not hash to what was recorded",
        Starts,
    ),
    (
        "flip a byte of one",
        "update entry set leaf = set_byte(leaf, 40, get_byte(leaf, 40) # 1) where leaf_index = 137",
        "entry 137: its bytes were changed: they do not hash to what was recorded",
        Starts,
    ),
    (
        "flip a byte of the last",
        "update entry set leaf = set_byte(leaf, 200, get_byte(leaf, 200) # 1) where leaf_index = 299",
        "entry 299: its bytes were changed: they do not hash to what was recorded",
        Starts,
    ),
    ("drop one", "delete from entry where leaf_index = 120", "entry 120: it is missing", Starts),
    (
        "drop one, and close the gap",
        "delete from entry where leaf_index = 120; update entry set leaf_index = -1 + leaf_index where leaf_index > 120",
        "entry 120: it holds the bytes of entry 121",
        Starts,
    ),
    (
        "insert one",
        "update entry set leaf_index = 1000 + leaf_index where leaf_index >= 120; update entry set leaf_index = -999 + leaf_index where leaf_index >= 1000; insert into entry select 120, recorded_at, leaf, happened_at, kind, broker, request, person, login, credential, verdict, target from entry where leaf_index = 5",
        "entry 120: its bytes were changed: they do not hash to what was recorded",
        Starts,
    ),
    (
        "insert one beside another",
        "insert into entry select leaf_index, recorded_at + interval '1 second', leaf, happened_at, kind, broker, request, person, login, credential, verdict, target from entry where leaf_index = 44",
        "entry 44: it is there twice",
        Starts,
    ),
    (
        "insert one past the end",
        "insert into entry select 300, recorded_at, leaf, happened_at, kind, broker, request, person, login, credential, verdict, target from entry where leaf_index = 299",
        "entry 300: it lies beyond the head",
        Starts,
    ),
    (
        "swap two of one batch",
        "update entry set leaf_index = leaf_index + 1000 where leaf_index in (7, 9); update entry set leaf_index = 1016 - leaf_index where leaf_index > 1000",
        "entry 7: it holds the bytes of entry 9",
        Starts,
    ),
    (
        "swap two of different batches",
        "update entry set leaf_index = case leaf_index when 5 then 9 else 5 end where leaf_index in (5, 9)",
        "entry 5: its bytes were changed: they do not hash to what was recorded",
        Starts,
    ),
    (
        "swap the bytes of two",
        "update entry e set leaf = o.leaf from entry o where e.leaf_index in (7, 9) and o.leaf_index = 16 - e.leaf_index",
        "entry 7: it holds the bytes of entry 9",
        Starts,
    ),
    // Columns: what a search would go by.
    (
        "edit when it happened",
        "update entry set happened_at = happened_at + interval '1 microsecond' where leaf_index = 7",
        "entry 7: its column `happened_at` was changed: …",
        Starts,
    ),
    (
        "edit when it was recorded",
        "update entry set recorded_at = recorded_at - interval '1 second' where leaf_index = 7",
        "entry 7: its column `recorded_at` was changed: …",
        Starts,
    ),
    (
        "edit the kind",
        "update entry set kind = 'outcome' where leaf_index = 7",
        "entry 7: its column `kind` was changed: …",
        Starts,
    ),
    (
        "edit the broker",
        "update entry set broker = gen_random_uuid() where leaf_index = 7",
        "entry 7: its column `broker` was changed: …",
        Starts,
    ),
    (
        "empty the request",
        "update entry set request = null where leaf_index = 7",
        "entry 7: its column `request` was changed: …",
        Starts,
    ),
    (
        "edit the person",
        "update entry set person = gen_random_uuid() where leaf_index = 7",
        "entry 7: its column `person` was changed: …",
        Starts,
    ),
    (
        "empty the login",
        "update entry set login = null where leaf_index = 7",
        "entry 7: its column `login` was changed: …",
        Starts,
    ),
    (
        "add a credential",
        "update entry set credential = gen_random_uuid() where leaf_index = 7",
        "entry 7: its column `credential` was changed: …",
        Starts,
    ),
    (
        "edit the verdict",
        "update entry set verdict = 'allow' where leaf_index = 7",
        "entry 7: its column `verdict` was changed: …",
        Starts,
    ),
    (
        "edit the target",
        "update entry set target = target || ' ' where leaf_index = 7",
        "entry 7: its column `target` was changed: …",
        Starts,
    ),
    // Heads, tiles, checkpoints.
    (
        "edit the newest root",
        "update head set root = sha256('x') where size = 300",
        "the head at 300 entries: its root is not that of its own edge: one of them was changed",
        Refuses,
    ),
    (
        "edit an old root",
        "update head set root = sha256('x') where size = 105",
        "the head at 105 entries: its root is not that of its own edge: one of them was changed",
        Starts,
    ),
    (
        "set a head back in time",
        "update head set recorded_at = recorded_at - interval '1 hour' where size = 105",
        "the head at 105 entries: it was recorded before the head before it",
        Starts,
    ),
    (
        "give a head to another log",
        "update head set origin = 'another' where size = 105",
        "the head at 105 entries: it names another log",
        Starts,
    ),
    (
        "edit a list of leaf hashes",
        "update head set hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1) where size = 105",
        "the head at 105 entries: its list of leaf hashes and its root disagree about entry 99: one was changed",
        Starts,
    ),
    (
        "edit a right edge",
        "update head set edge = set_byte(edge, 0, get_byte(edge, 0) # 1) where size = 105",
        "the head at 105 entries: its root is not that of its own edge: one of them was changed",
        Starts,
    ),
    (
        "drop a head",
        "delete from head where size = 105",
        "the head at 112 entries: it does not follow the head at 99 entries: one is missing",
        Starts,
    ),
    (
        "edit a tile",
        "update tile set hashes = set_byte(hashes, 77, get_byte(hashes, 77) # 1)",
        "tile 0 of level 0: it disagrees with entry 2, and the heads agree",
        Refuses,
    ),
    ("drop a tile", "delete from tile", "tile 0 of level 0: it is missing", Refuses),
    (
        "edit a checkpoint's note",
        "update checkpoint set note = replace(note, E'\\n112\\n', E'\\n111\\n') where size = 112",
        "the checkpoint at 112 entries: …",
        Starts,
    ),
    (
        "edit a checkpoint's row",
        "update checkpoint set root = sha256('x') where size = 112",
        "the checkpoint at 112 entries: its row and its note disagree",
        Starts,
    ),
    // The end.
    ("cut off the newest entries", "delete from entry where leaf_index >= 250", "entry 250: it is missing", Starts),
    (
        "cut off the newest entries and heads",
        "delete from entry where leaf_index >= 258; delete from head where size > 258",
        "one of the entries 258 to 299: the end of the log is missing: 300 entries were signed, 258 are there",
        Refuses,
    ),
];

/// What is rewritten together, what `audit verify --key` says, what it says with what was published, and the broker.
pub type Rewritten = (&'static str, Rewriting, Option<&'static str>, &'static str, Broker);

pub enum Rewriting {
    /// An entry and the head that it came with.
    Head,
    /// The tile as well.
    HeadAndTile,
    /// Every head and tile; not the checkpoints.
    Tree,
    /// Every checkpoint is gone as well.
    TreeUnsigned,
    /// The end is cut off in every table.
    Tail,
    /// Everything, and it is signed with another key.
    Signed,
    /// The same, and the other key stands beside ours.
    SignedAndKept,
    /// The same, and an entry says that ours was replaced by it.
    SignedAndVouched,
    /// Everything, by somebody who unwrapped our key.
    SignedWithOurs,
}

pub const REWRITTEN: &[Rewritten] = &[
    (
        "an entry and its head",
        Rewriting::Head,
        Some("entry 100: rewritten together with its hash: a later head remembers another one"),
        "entry 100: …",
        Starts,
    ),
    (
        "an entry, its head and its tile",
        Rewriting::HeadAndTile,
        Some("one of the entries 96 to 111: rewritten together with its hash: a later head remembers another one"),
        "one of the entries 96 to 111: …",
        Refuses,
    ),
    (
        "an entry and the whole tree",
        Rewriting::Tree,
        Some(
            "one of the entries 90 to 111: the entries are not those that were signed, and the heads were rewritten with them",
        ),
        "one of the entries 90 to 111: …",
        Refuses,
    ),
    (
        "the same, with no checkpoint left",
        Rewriting::TreeUnsigned,
        Some("one of the entries 0 to 299: no good checkpoint covers any entry: nothing proves what they say"),
        "one of the entries 0 to 299: the entries are not those whose checkpoint was published, and the heads were rewritten with them",
        Refuses,
    ),
    (
        "the end, in every table",
        Rewriting::Tail,
        None,
        "one of the entries 258 to 299: the end of the log is missing: 300 entries were signed, 258 are there",
        Refuses,
    ),
    (
        "everything, with another key",
        Rewriting::Signed,
        Some("the checkpoint at 300 entries: it is not signed by auth.example.test/audit+…"),
        "…",
        Refuses,
    ),
    (
        "everything, with another key beside ours",
        Rewriting::SignedAndKept,
        Some(
            "the checkpoint at 300 entries: it is signed by auth.example.test/audit+…, which no trusted key has vouched for",
        ),
        "…",
        Refuses,
    ),
    (
        "everything, with a key that it says replaced ours",
        Rewriting::SignedAndVouched,
        Some(
            "entry 200: it says that auth.example.test/audit+… replaces auth.example.test/audit+…, which has not vouched for it: …",
        ),
        "…",
        Refuses,
    ),
    (
        "everything, with our own key",
        Rewriting::SignedWithOurs,
        None,
        "one of the entries 0 to 299: the entries are not those whose checkpoint was published, and the heads were rewritten with them",
        Refuses,
    ),
];
