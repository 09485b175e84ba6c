//! More drills: what stands beside entries and misleads whoever reads it, and rows that no broker can have written.

use super::table::{
    Broker::{Refuses, Starts},
    Drill,
};

pub const DRILLS: &[Drill] = &[
    // Epochs.
    (
        "put the newest head into another epoch",
        "update head set epoch = 7 where size = 300",
        "the head at 300 entries: it claims epoch 7, and its entries say that it is epoch 0",
        Refuses,
    ),
    (
        "put an old head into another epoch",
        "update head set epoch = 7 where size = 105",
        "the head at 105 entries: it claims epoch 7, and its entries say that it is epoch 0",
        Refuses,
    ),
    (
        "put every head into another epoch",
        "update head set epoch = 3",
        "the head at 1 entries: it claims epoch 3, and its entries say that it is epoch 0",
        Refuses,
    ),
    (
        "put a checkpoint into another epoch",
        "update checkpoint set epoch = 99 where size = 112",
        "the checkpoint at 112 entries: its row and its note disagree",
        Starts,
    ),
    (
        "put a checkpoint into an epoch far away",
        "update checkpoint set epoch = 1000000000 where size = 300",
        "the checkpoint at 300 entries: its row and its note disagree",
        Starts,
    ),
    // Places and owners.
    (
        "edit the head of the empty log",
        "update head set origin = 'another' where size = 0",
        "the head at 0 entries: it is not that of an empty log of this name",
        Starts,
    ),
    (
        "drop the head of the empty log",
        "delete from head where size = 0",
        "the head at 0 entries: it is missing",
        Starts,
    ),
    (
        "drop the newest head",
        "delete from head where size = 300",
        "the head at 300 entries: it is missing: so many entries were signed, and are there",
        Refuses,
    ),
    (
        "give a checkpoint to another key",
        "update checkpoint set key = gen_random_uuid() where size = 112",
        "the checkpoint at 112 entries: its row names another key than the one that signed it",
        Starts,
    ),
    (
        "move a checkpoint past the end",
        "update checkpoint set size = 1000 where size = 112",
        "the checkpoint at 1000 entries: its row and its note disagree",
        Starts,
    ),
    (
        "move a checkpoint before the beginning",
        "update checkpoint set size = -1 where size = 112",
        "the table `checkpoint`: it has one of no entries, which nobody signs",
        Starts,
    ),
    (
        "plant a tile",
        "insert into tile select 0, 5, hashes from tile",
        "the table `tile`: it has tile 5 of level 0, which the log is too short for",
        Starts,
    ),
    (
        "claim an archive",
        "insert into archive values ('entry_2020_01', 0, 10, 'x', sha256('x'), now(), now())",
        "the table `archive`: it says that the entries 0 to 9 were archived, and no entry does",
        Starts,
    ),
    (
        "edit a text of rules",
        "alter table policy_text drop constraint policy_text_hash_is_true; insert into policy_text values (sha256('a'), 'policies', 'b', now())",
        "the table `policy_text`: its text of policies ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb is not the one that this hash names",
        Starts,
    ),
    // Moments that no clock shows.
    (
        "set the newest head to the end of time",
        "update head set recorded_at = 'infinity' where size = 300",
        "the head at 300 entries: it was recorded at a moment that no calendar has",
        Starts,
    ),
    (
        "set an old head before all time",
        "update head set recorded_at = '-infinity' where size = 105",
        "the head at 105 entries: it was recorded at a moment that no calendar has",
        Starts,
    ),
    (
        "set a checkpoint to the end of time",
        "update checkpoint set signed_at = 'infinity' where size = 112",
        "the checkpoint at 112 entries: it was signed at a moment that no calendar has",
        Starts,
    ),
    (
        "set an entry to the end of time",
        "update entry set happened_at = 'infinity' where leaf_index = 7",
        "entry 7: its column `happened_at` was changed: …",
        Starts,
    ),
    // Rows and tables that are none of ours.
    (
        "put an entry before the first",
        "do $$ declare part regclass; begin
             alter table entry drop constraint entry_index_is_natural;
             for part in select inhrelid::regclass from pg_inherits where inhparent = 'entry'::regclass loop
                 execute format('alter table %s drop constraint if exists entry_index_is_natural', part);
             end loop;
         end $$;
         update entry set leaf_index = -1 where leaf_index = 5",
        "entry 0: there is an entry with a negative index",
        Starts,
    ),
    (
        "shorten the newest root",
        "alter table head drop constraint head_root_is_a_hash; update head set root = 'x' where size = 300",
        "the table `head`: a row there is not one that a broker writes: the root of a head in the database is malformed",
        Refuses,
    ),
    (
        "put a head before the first epoch",
        "alter table head drop constraint head_epoch_is_natural; update head set epoch = -1 where size = 105",
        "the table `head`: a row there is not one that a broker writes: …",
        Starts,
    ),
    (
        "empty the heads",
        "truncate head",
        "the table `head`: it is empty: no log was begun here, or its heads were removed",
        Refuses,
    ),
    (
        "empty every table",
        "truncate head, entry, tile, checkpoint, archive, succession, policy_text, broker, key",
        "the table `head`: it is empty: no log was begun here, or its heads were removed",
        Refuses,
    ),
    (
        "empty the entries",
        "truncate entry",
        "one of the entries 0 to 299: missing, and no entry says that it was archived",
        Starts,
    ),
    ("drop a table", "drop table checkpoint", "the table `checkpoint`: it is missing", Starts),
    (
        "empty the bytes of an entry",
        "alter table entry alter leaf drop not null; update entry set leaf = null where leaf_index = 7",
        "the table `entry`: its column `leaf` was changed so that it may be empty",
        Starts,
    ),
    (
        "empty a note",
        "alter table checkpoint alter note drop not null; update checkpoint set note = null where size = 112",
        "the table `checkpoint`: its column `note` was changed so that it may be empty",
        Starts,
    ),
    (
        "give a column another type",
        "alter table entry alter kind type varchar",
        "the table `entry`: its column `kind` was made character varying, and is to be text",
        Starts,
    ),
];
