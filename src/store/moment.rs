//! Instants as Postgres keeps them: microseconds since the year 2000, and `infinity`, which is none. Every value of the
//! type is read, however far it lies from any calendar: whoever owns the database may have put it there.

use sqlx::{
    Decode, Postgres, Type,
    error::BoxDynError,
    postgres::{PgTypeInfo, PgValueRef},
};
use time::OffsetDateTime;

use crate::model::Timestamp;

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        <OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl Decode<'_, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let micros: i64 = Decode::<Postgres>::decode(value)?;
        Ok(Self::from_micros(micros.saturating_add(YEAR_2000)))
    }
}

/// Where Postgres counts microseconds from.
pub(super) const YEAR_2000: i64 = 946_684_800_000_000;
