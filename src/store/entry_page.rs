//! Whole stretches of entries with all of their columns, for verification. They come a few dozen to a message: a message for
//! each costs more than all that is done with it. Nothing is read here but where a field ends; what the fields mean is the
//! audit room's to say. Whoever owns the database controls every byte.

use std::future::poll_fn;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::{StoreFault, moment::YEAR_2000, stored};
use crate::model::Timestamp;

/// An entry as it lies in the table. Text is left as bytes: it is only ever compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRow<'r> {
    /// `leaf_index`
    pub leaf_index: i64,
    /// `recorded_at`
    pub recorded_at: Timestamp,
    /// `leaf`
    pub leaf: &'r [u8],
    /// `happened_at`
    pub happened_at: Timestamp,
    /// `kind`
    pub kind: &'r [u8],
    /// `broker`
    pub broker: Uuid,
    /// `request`
    pub request: Option<Uuid>,
    /// `person`
    pub person: Option<Uuid>,
    /// `login`
    pub login: Option<Uuid>,
    /// `credential`
    pub credential: Option<Uuid>,
    /// `verdict`
    pub verdict: Option<&'r [u8]>,
    /// `target`
    pub target: Option<&'r [u8]>,
}

/// Reads the entries `from..to`, in order: one for each index, unless someone has been at the table. They are handed to `take` as
/// they arrive, some at a time; a fault of its own ends the reading.
pub async fn read(
    db: &mut PgConnection,
    (from, to): (u64, u64),
    mut take: impl FnMut(Rows<'_>) -> Result<(), StoreFault>,
) -> Result<(), StoreFault> {
    // A row as it is sent names the types of its columns, so they arrive in the forms that we made or not at all. One more
    // than there are indexes is enough to show that one is there twice.
    let statement = "select (select string_agg(record_send(found), '')
                               from (select leaf_index, recorded_at, leaf, happened_at, kind, broker, request, person,
                                            login, credential, verdict, target
                                       from entry
                                      where leaf_index >= first and leaf_index < least(first + $3, $2)
                                      order by leaf_index, recorded_at
                                      limit $3 + 1) found)
                       from generate_series($1, $2 - 1, $3) first";
    let mut messages = sqlx::query(statement).bind(stored(from)).bind(stored(to)).bind(AT_ONCE).fetch(db);
    while let Some(message) = poll_fn(|context| messages.as_mut().poll_next(context)).await {
        take(Rows(message?.try_get::<Option<&[u8]>, _>(0)?))?;
    }
    Ok(())
}

/// How many entries come in one message. What is larger than the caches costs more than it saves.
const AT_ONCE: i64 = 64;

/// Entries, one after the other, copying nothing. After a fault there is nothing more.
#[derive(Debug)]
pub struct Rows<'r>(Option<&'r [u8]>);

impl<'r> Iterator for Rows<'r> {
    type Item = Result<EntryRow<'r>, StoreFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.0.take().filter(|rest| !rest.is_empty())?;
        let row = row(&mut rest);
        self.0 = row.is_some().then_some(rest);
        Some(row.ok_or(StoreFault::Malformed { what: "an entry" }))
    }
}

/// The next row in the form of `record_send`: how many columns it has, and the type, the length and the bytes of each.
fn row<'r>(rest: &mut &'r [u8]) -> Option<EntryRow<'r>> {
    *rest = rest.strip_prefix(COLUMNS)?;
    Some(EntryRow {
        leaf_index: i64::from_be_bytes(fixed(rest, INT8)?),
        recorded_at: moment(rest)?,
        leaf: field(rest, BYTEA)??,
        happened_at: moment(rest)?,
        kind: field(rest, TEXT)??,
        broker: id(rest)??,
        request: id(rest)?,
        person: id(rest)?,
        login: id(rest)?,
        credential: id(rest)?,
        verdict: field(rest, TEXT)?,
        target: field(rest, TEXT)?,
    })
}

const COLUMNS: &[u8] = &12_i32.to_be_bytes();

// The object identifiers of these types are the same in every Postgres.
const BYTEA: u32 = 17;
const INT8: u32 = 20;
const TEXT: u32 = 25;
const TIMESTAMPTZ: u32 = 1184;
const UUID: u32 = 2950;

/// The bytes of the next field, which is of this type, or NULL.
#[allow(clippy::option_option, reason = "the inner one is NULL")]
fn field<'r>(rest: &mut &'r [u8], kind: u32) -> Option<Option<&'r [u8]>> {
    let (found, after) = rest.split_first_chunk()?;
    let (length, after) = after.split_first_chunk()?;
    *rest = after;
    match i32::from_be_bytes(*length) {
        _ if u32::from_be_bytes(*found) != kind => None,
        -1 => Some(None),
        length => rest.split_off(..usize::try_from(length).ok()?).map(Some),
    }
}

fn fixed<const N: usize>(rest: &mut &[u8], kind: u32) -> Option<[u8; N]> {
    field(rest, kind)??.try_into().ok()
}

#[allow(clippy::option_option, reason = "the inner one is NULL")]
fn id(rest: &mut &[u8]) -> Option<Option<Uuid>> {
    match field(rest, UUID)? {
        None => Some(None),
        Some(bytes) => Uuid::from_slice(bytes).ok().map(Some),
    }
}

/// A `timestamptz`: microseconds since the year 2000.
fn moment(rest: &mut &[u8]) -> Option<Timestamp> {
    let micros = i64::from_be_bytes(fixed(rest, TIMESTAMPTZ)?);
    Some(Timestamp::from_micros(micros.saturating_add(YEAR_2000)))
}
