//! What stands in the database beside entries and heads, and misleads whoever reads it if it was changed: the shape of
//! the tables, the head of the empty log, tiles past the end, the places of checkpoints, the texts of rules. None of it makes an
//! entry true; all of it is compared.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Broken, Place, Stop, VerifyFault, chain::Stated, heard::Heard};
use crate::{
    audit::{
        checkpoint::Verifier,
        tree::{empty_root, sha256},
    },
    store::{
        StoreFault,
        checkpoint::{self, Checkpoint},
        head::{self, Head, Step},
        key::{self, KeyPurpose},
        policy_text,
        shape::{self, Shape},
        tile,
    },
};

/// The tables must be those that the migrations made.
pub(super) async fn expect_shape(db: &mut PgConnection) -> Result<(), Stop> {
    match shape::of_the_log(db).await? {
        Shape::AsMade => Ok(()),
        Shape::Foreign => Err(Stop::Fault(VerifyFault::NoLog)),
        Shape::Altered { table, what } => Err(Broken::table(table, what).into()),
    }
}

/// The newest head, which a database with these tables has as soon as a broker was started on it.
pub(super) async fn newest(db: &mut PgConnection) -> Result<Head, Stop> {
    if !head::is_there(&mut *db).await? {
        return Err(Broken::table("head", "it is empty: no log was begun here, or its heads were removed").into());
    }
    head::newest(&mut *db).await.of("head")
}

/// The head of the empty log `origin`: it is there once, and says nothing else.
pub(super) async fn expect_founding(db: &mut PgConnection, origin: &str) -> Result<(), Stop> {
    let first = head::founding(&mut *db).await.of("head")?;
    let wrong = |what: &str| Err(Broken::head(0, what).into());
    let [Step { head, parent_size: None, hashes }] = first.as_slice() else {
        return wrong(if first.is_empty() { "it is missing" } else { "it is there twice, or follows another" });
    };
    let is_empty = head.size == 0 && head.root == empty_root() && head.edge.is_empty() && hashes.is_empty();
    match is_empty && head.epoch == 0 && head.origin == origin {
        true => Ok(()),
        false => wrong("it is not that of an empty log of this name"),
    }
}

/// No tile may be stored that the log is too short for.
pub(super) async fn expect_no_more_tiles(db: &mut PgConnection) -> Result<(), Stop> {
    match tile::beyond(&mut *db).await.of("tile")? {
        None => Ok(()),
        Some((level, index)) => {
            Err(Broken::table("tile", format!("it has tile {index} of level {level}, which the log is too short for"))
                .into())
        }
    }
}

/// Every text must be the one that its hash names, and those that were put in force must be there.
pub(super) async fn expect_texts(db: &mut PgConnection, heard: &Heard) -> Result<(), Stop> {
    let mut missing = heard.texts().clone();
    let mut last = None;
    while let Some(text) = policy_text::next(&mut *db, last.as_ref()).await.of("policy_text")? {
        let hash = hex::encode(&text.hash);
        if sha256(&[text.body.as_bytes()]).as_slice() != text.hash {
            let what = format!("its text of {} {hash} is not the one that this hash names", text.kind);
            return Err(Broken::table("policy_text", what).into());
        }
        missing.retain(|(kind, named)| *kind != text.kind || *named != hash);
        last = Some((text.kind, text.hash));
    }
    match missing.first() {
        None => Ok(()),
        Some((kind, hash)) => {
            let what = format!("the text of {kind} {hash} is missing, which an entry puts in force");
            Err(Broken::table("policy_text", what).into())
        }
    }
}

/// Public keys that the database has, by their rows.
pub(super) async fn stored_keys(db: &mut PgConnection, origin: &str) -> Result<Vec<(Uuid, Verifier)>, StoreFault> {
    let rows = key::identified(db, KeyPurpose::Checkpoint).await?;
    let verifier = |(id, public): (Uuid, Vec<u8>)| Some((id, Verifier::new(origin, public.try_into().ok()?).ok()?));
    Ok(rows.into_iter().filter_map(verifier).collect())
}

/// A checkpoint's row must say what its note states, and whose it is.
pub(super) fn expect_its_row(row: &Checkpoint, stated: &Stated, keys: &[(Uuid, Verifier)]) -> Result<(), Broken> {
    let of_note = (stated.epoch, stated.checkpoint.size, stated.checkpoint.root.as_slice());
    if (row.epoch, row.size, row.root.as_slice()) != of_note {
        return Err(Broken::checkpoint(row.size, "its row and its note disagree"));
    }
    let is_its_key = match keys.iter().find(|(id, _)| *id == row.key) {
        Some((_, key)) => stated.by.contains(key),
        None => !keys.iter().any(|(_, key)| stated.by.contains(key)),
    };
    if !is_its_key {
        return Err(Broken::checkpoint(row.size, "its row names another key than the one that signed it"));
    }
    match row.signed_at.is_on_the_calendar() {
        true => Ok(()),
        false => Err(Broken::checkpoint(row.size, "it was signed at a moment that no calendar has")),
    }
}

/// There is no checkpoint of no entries.
pub(super) async fn expect_no_empty_checkpoint(db: &mut PgConnection) -> Result<(), Stop> {
    match checkpoint::any_of_nothing(&mut *db).await.of("checkpoint")? {
        false => Ok(()),
        true => Err(Broken::table("checkpoint", "it has one of no entries, which nobody signs").into()),
    }
}

/// Says in which table a row could not be read. No broker writes such a row, so that is a finding.
pub(super) trait Of<T> {
    fn of(self, table: &'static str) -> Result<T, Stop>;
    fn at(self, place: Place) -> Result<T, Stop>;
}

impl<T> Of<T> for Result<T, StoreFault> {
    fn of(self, table: &'static str) -> Result<T, Stop> {
        self.at(Place::Table { name: table })
    }

    fn at(self, place: Place) -> Result<T, Stop> {
        self.map_err(|fault| match fault.is_of_the_rows() {
            true => Broken { place, what: format!("a row there is not one that a broker writes: {fault}") }.into(),
            false => fault.into(),
        })
    }
}
