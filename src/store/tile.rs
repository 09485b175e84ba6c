//! Complete tiles of the log's tree (C2SP tlog-tiles). Added through `extend_log` alone.

use sqlx::PgExecutor;

use super::{StoreFault, stored};

/// The hashes of the complete tiles `from..to` of a level, in order, with their places.
pub async fn tiles(db: impl PgExecutor<'_>, level: u8, from: u64, to: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "select tile_index, hashes
           from tile
          where level = $1 and tile_index >= $2 and tile_index < $3
          order by tile_index",
    )
    .bind(i16::from(level))
    .bind(stored(from))
    .bind(stored(to))
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|(index, hashes)| Ok((super::natural(index)?, hashes))).collect()
}

/// Those of these tiles (level, index) that are complete, in no order.
pub async fn at(db: impl PgExecutor<'_>, places: &[(u8, u64)]) -> Result<Vec<((u8, u64), Vec<u8>)>, StoreFault> {
    let (levels, indexes): (Vec<i16>, Vec<i64>) =
        places.iter().map(|(level, index)| (i16::from(*level), stored(*index))).unzip();
    let rows: Vec<(i16, i64, Vec<u8>)> = sqlx::query_as(
        "select t.level, t.tile_index, t.hashes
           from unnest($1, $2) as w (level, tile_index)
                join tile t using (level, tile_index)",
    )
    .bind(levels)
    .bind(indexes)
    .fetch_all(db)
    .await?;
    let read = |(level, index, hashes): (i16, i64, Vec<u8>)| {
        let level = u8::try_from(level).map_err(|_| StoreFault::Malformed { what: "a tile's level" })?;
        Ok(((level, super::natural(index)?), hashes))
    };
    rows.into_iter().map(read).collect()
}

/// The first tile, by level and place, that the log is too short for.
pub async fn beyond(db: impl PgExecutor<'_>) -> Result<Option<(i16, i64)>, StoreFault> {
    let row: Option<(i16, i64)> = sqlx::query_as(
        "select t.level, t.tile_index
           from tile t
          cross join (select size from head order by epoch desc, size desc limit 1) h
          where t.level not between 0 and 6
             or t.tile_index < 0
             or t.tile_index >= h.size >> (8 * (t.level + 1))
          order by t.level, t.tile_index
          limit 1",
    )
    .fetch_optional(db)
    .await?;
    Ok(row)
}

/// How many complete tiles a level has.
pub async fn count(db: impl PgExecutor<'_>, level: u8) -> Result<u64, StoreFault> {
    let (count,): (i64,) =
        sqlx::query_as("select count(*) from tile where level = $1").bind(i16::from(level)).fetch_one(db).await?;
    super::natural(count)
}
