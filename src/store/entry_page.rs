//! Whole stretches of entries with all of their columns, for verification: read by binary COPY, which costs a fraction of
//! what rows one by one do. Nothing is read here but where a field ends; what the fields mean is the audit room's to say.
//! Whoever owns the database controls every byte.

use std::{future::poll_fn, pin::Pin};

use futures_core::Stream as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{StoreFault, stored};
use crate::model::Timestamp;

/// Entries as the database sent them, not read yet: that can be done on another core. Can be filled again and again.
#[derive(Debug, Default)]
pub struct EntryPage {
    bytes: Vec<u8>,
}

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

impl EntryPage {
    /// Reads the entries `from..to`, in order: one for each index, unless someone has been at the table. What was in the
    /// page before is gone.
    pub async fn fill(&mut self, db: &mut PgConnection, from: u64, to: u64) -> Result<(), StoreFault> {
        self.bytes.clear();
        let limit = stored(to.saturating_sub(from).saturating_add(1));
        let (from, to) = (stored(from), stored(to));
        // COPY binds nothing, so the numbers are written out. It does not name types either: the casts do nothing to the
        // columns that we made, and refuse those that someone has made of them.
        let statement = format!(
            "copy (select leaf_index::bigint, recorded_at::timestamptz, leaf::bytea, happened_at::timestamptz, kind::text,
                          broker::uuid, request::uuid, person::uuid, login::uuid, credential::uuid, verdict::text,
                          target::text
                     from entry
                    where leaf_index >= {from} and leaf_index < {to}
                    order by leaf_index, recorded_at
                    limit {limit}) to stdout (format binary)"
        );
        let mut parts = db.copy_out_raw(&statement).await?;
        while let Some(part) = poll_fn(|context| Pin::new(&mut parts).poll_next(context)).await {
            self.bytes.extend_from_slice(&part?);
        }
        Ok(())
    }

    /// The entries, one after the other, copying nothing. After a fault there is nothing more.
    pub fn rows(&self) -> Rows<'_> {
        Rows(Some(after_header(&self.bytes).unwrap_or_default()))
    }
}

/// See [`EntryPage::rows`].
#[derive(Debug)]
pub struct Rows<'r>(Option<&'r [u8]>);

impl<'r> Iterator for Rows<'r> {
    type Item = Result<EntryRow<'r>, StoreFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.0.take()?;
        let row = match rest.split_off(..2) {
            Some(END) if rest.is_empty() => return None,
            Some(COLUMNS) => row(&mut rest),
            _ => None,
        };
        self.0 = row.is_some().then_some(rest);
        Some(row.ok_or(StoreFault::Malformed { what: "an entry" }))
    }
}

/// How many columns a row has.
const COLUMNS: &[u8] = &12_i16.to_be_bytes();

/// What stands in the place of that number after the last row.
const END: &[u8] = &(-1_i16).to_be_bytes();

/// What comes after the signature, the flags, which are none that we know, and an extension of as many bytes as it says.
fn after_header(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(b"PGCOPY\n\xff\r\n\0\0\0\0\0")?;
    field(&mut rest)?;
    Some(rest)
}

fn row<'r>(rest: &mut &'r [u8]) -> Option<EntryRow<'r>> {
    Some(EntryRow {
        leaf_index: i64::from_be_bytes(fixed(rest)?),
        recorded_at: moment(rest)?,
        leaf: field(rest)??,
        happened_at: moment(rest)?,
        kind: field(rest)??,
        broker: Uuid::from_bytes(fixed(rest)?),
        request: id(rest)?,
        person: id(rest)?,
        login: id(rest)?,
        credential: id(rest)?,
        verdict: field(rest)?,
        target: field(rest)?,
    })
}

/// The bytes of the next field, or NULL.
#[allow(clippy::option_option, reason = "the inner one is NULL")]
fn field<'r>(rest: &mut &'r [u8]) -> Option<Option<&'r [u8]>> {
    let (length, after) = rest.split_first_chunk()?;
    *rest = after;
    match i32::from_be_bytes(*length) {
        -1 => Some(None),
        length => rest.split_off(..usize::try_from(length).ok()?).map(Some),
    }
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    field(rest)??.try_into().ok()
}

#[allow(clippy::option_option, reason = "the inner one is NULL")]
fn id(rest: &mut &[u8]) -> Option<Option<Uuid>> {
    match field(rest)? {
        None => Some(None),
        Some(bytes) => Uuid::from_slice(bytes).ok().map(Some),
    }
}

/// A `timestamptz`: microseconds since the year 2000.
fn moment(rest: &mut &[u8]) -> Option<Timestamp> {
    let micros = i64::from_be_bytes(fixed(rest)?);
    Some(Timestamp::from_micros(micros.saturating_add(MICROS_TO_2000)))
}

/// From 1970, where our time begins.
const MICROS_TO_2000: i64 = 946_684_800_000_000;
