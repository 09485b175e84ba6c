//! Arrays as parameters of statements that carry thousands of rows: each written from the rows themselves, in the form in
//! which Postgres receives one (`array_recv`), a few instructions for each element.
//! INVARIANT: the element type and the bytes of its values belong together, for each [`Cell`].

use sqlx::{
    Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::moment::YEAR_2000;
use crate::model::Timestamp;

/// An element.
pub(super) trait Cell {
    /// By what sqlx knows its type.
    type Known: Type<Postgres> + PgHasArrayType;

    /// Adds its length and its bytes.
    fn put(self, out: &mut Vec<u8>) -> Result<(), BoxDynError>;
}

/// What `of` says of each of the rows; null where it says nothing.
pub(super) struct Column<'r, R, F> {
    rows: &'r [R],
    of: F,
}

impl<'r, R, F, C: Cell> Column<'r, R, F>
where
    F: Fn(&'r R) -> Option<C>,
{
    pub(super) const fn new(rows: &'r [R], of: F) -> Self {
        Self { rows, of }
    }
}

impl<'r, R, F, C: Cell> Type<Postgres> for Column<'r, R, F>
where
    F: Fn(&'r R) -> Option<C>,
{
    fn type_info() -> PgTypeInfo {
        C::Known::array_type_info()
    }
}

impl<'r, R, F, C: Cell> Encode<'_, Postgres> for Column<'r, R, F>
where
    F: Fn(&'r R) -> Option<C>,
{
    fn encode_by_ref(&self, out: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let element = C::Known::type_info().oid().ok_or("a type without a number of its own")?.0;
        let count = u32::try_from(self.rows.len())?;
        let [dimensions, flags, first] = [1, 0, 1];
        let header = [dimensions, flags, element, count, first].map(u32::to_be_bytes);
        out.extend_from_slice(header.as_flattened());
        for row in self.rows {
            match (self.of)(row) {
                Some(cell) => cell.put(out)?,
                None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
            }
        }
        Ok(IsNull::No)
    }
}

impl Cell for &[u8] {
    type Known = Self;

    fn put(self, out: &mut Vec<u8>) -> Result<(), BoxDynError> {
        put(self, out)
    }
}

impl Cell for &str {
    type Known = Self;

    fn put(self, out: &mut Vec<u8>) -> Result<(), BoxDynError> {
        put(self.as_bytes(), out)
    }
}

impl Cell for Uuid {
    type Known = Self;

    fn put(self, out: &mut Vec<u8>) -> Result<(), BoxDynError> {
        put(self.as_bytes(), out)
    }
}

impl Cell for i64 {
    type Known = Self;

    fn put(self, out: &mut Vec<u8>) -> Result<(), BoxDynError> {
        put(&self.to_be_bytes(), out)
    }
}

impl Cell for Timestamp {
    type Known = OffsetDateTime;

    fn put(self, out: &mut Vec<u8>) -> Result<(), BoxDynError> {
        put(&self.micros().saturating_sub(YEAR_2000).to_be_bytes(), out)
    }
}

fn put(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BoxDynError> {
    out.extend_from_slice(&i32::try_from(bytes.len())?.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}
