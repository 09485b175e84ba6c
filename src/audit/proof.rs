//! Inclusion and consistency proofs (RFC 6962, sections 2.1.1 and 2.1.2) out of the stored tiles, never out of entries:
//! at most one tile for each level on the way, and for the right edge, whose tiles are not complete yet, those below it.
//! What is read may have been edited by the database's owner, so a proof is only worth what its check says.

use std::{cell::RefCell, collections::HashMap, fmt::Write as _, ops::Range};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sqlx::PgConnection;

use super::{
    bundle::cover,
    tile::{HEIGHT, WIDTH, root_of},
    tree::{Hash, Subtrees, consistency_proof, empty_root, hashes, inclusion_proof, range_root},
};
use crate::store::{StoreFault, head, tile};

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofFault {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// It was asked of a tree that is not there, or of a leaf that the tree does not have.
    #[error("the log has no {0}")]
    Beyond(String),
    /// A tile is missing or malformed: the log has been tampered with.
    #[error("hashes that a proof needs are not stored: verify the log")]
    Missing,
}

/// Proof that leaf `index` is in the tree of the first `size` leaves, from its sibling up to the root's child.
pub async fn inclusion(db: &mut PgConnection, index: u64, size: u64) -> Result<Vec<Hash>, ProofFault> {
    let mut all = inclusions(db, &[index], size).await?;
    all.pop().ok_or(ProofFault::Missing)
}

/// The same for several leaves; what they share is read once.
pub async fn inclusions(db: &mut PgConnection, indexes: &[u64], size: u64) -> Result<Vec<Vec<Hash>>, ProofFault> {
    if let Some(index) = indexes.iter().find(|index| **index >= size) {
        return Err(ProofFault::Beyond(format!("entry {index} in a tree of {size}")));
    }
    expect_size(db, size).await?;
    from_tiles(db, |from| indexes.iter().map(|index| inclusion_proof(from, *index, size)).collect()).await
}

/// Proof that the tree of `new` leaves continues the tree of `old`.
pub async fn consistency(db: &mut PgConnection, old: u64, new: u64) -> Result<Vec<Hash>, ProofFault> {
    if old > new {
        return Err(ProofFault::Beyond(format!("{old} entries in a tree of {new}")));
    }
    expect_size(db, new).await?;
    from_tiles(db, |from| consistency_proof(from, old, new)).await
}

/// The root over the first `size` leaves.
pub async fn root(db: &mut PgConnection, size: u64) -> Result<Hash, ProofFault> {
    if size == 0 {
        return Ok(empty_root());
    }
    expect_size(db, size).await?;
    from_tiles(db, |from| range_root(from, 0, size)).await
}

/// The hash of leaf `index`, as the tree has it.
pub async fn leaf(db: &mut PgConnection, index: u64) -> Result<Hash, ProofFault> {
    expect_size(db, index.saturating_add(1)).await?;
    from_tiles(db, |from| from.subtree(0, index)).await
}

/// For each range the roots of the subtrees that [`cover`] it. What they share is read once.
pub async fn covers(db: &mut PgConnection, ranges: &[Range<u64>]) -> Result<Vec<Vec<Hash>>, ProofFault> {
    let roots = |from: &dyn Subtrees, range: &Range<u64>| {
        cover(range.clone()).into_iter().map(|(height, index)| from.subtree(height, index)).collect()
    };
    from_tiles(db, |from| ranges.iter().map(|range| roots(from, range)).collect()).await
}

/// The first `width` hashes of a tile (C2SP tlog-tiles), if the tree has as many. At level 0 they are the leaves'.
pub async fn tile(db: &mut PgConnection, level: u8, index: u64, width: usize) -> Result<Option<Vec<Hash>>, ProofFault> {
    let spans = HEIGHT * u32::from(level);
    let end = index.checked_mul(WIDTH as u64).and_then(|start| start.checked_add(width as u64));
    let needed = end.and_then(|end| end.checked_mul(1_u64.checked_shl(spans).filter(|span| *span <= i64::MAX as u64)?));
    let size = head::newest(&mut *db).await?.size;
    if width == 0 || width > WIDTH || needed.is_none_or(|needed| needed > size) {
        return Ok(None);
    }
    let tiles = Tiles::read(db, vec![(level, index, width)]).await?;
    let mut found = tiles.0.into_values().next().ok_or(ProofFault::Missing)?;
    found.truncate(width);
    if found.len() == width { Ok(Some(found)) } else { Err(ProofFault::Missing) }
}

/// A proof as a C2SP tlog-proof file: the index, the hashes, and the checkpoint that they lead to.
pub fn tlog_proof(index: u64, proof: &[Hash], checkpoint: &str) -> String {
    format!("c2sp.org/tlog-proof@v1\nindex {index}\n{}\n{checkpoint}", lines(proof))
}

/// A consistency proof as C2SP tlog-witness sends it: the old size, the hashes, and the newer checkpoint.
pub fn witness_request(old: u64, proof: &[Hash], checkpoint: &str) -> String {
    format!("old {old}\n{}\n{checkpoint}", lines(proof))
}

fn lines(proof: &[Hash]) -> String {
    proof.iter().fold(String::new(), |mut lines, hash| {
        let _ = writeln!(lines, "{}", BASE64.encode(hash));
        lines
    })
}

async fn expect_size(db: &mut PgConnection, size: u64) -> Result<(), ProofFault> {
    let found = head::newest(db).await?.size;
    if size <= found {
        return Ok(());
    }
    Err(ProofFault::Beyond(format!("{size} entries, it has {found}")))
}

/// Asks `prove` which subtrees it needs, reads the tiles that hold them, and lets it prove.
async fn from_tiles<T>(db: &mut PgConnection, prove: impl Fn(&dyn Subtrees) -> Option<T>) -> Result<T, ProofFault> {
    let asked = Asked::default();
    prove(&asked);
    let tiles = Tiles::read(db, asked.0.into_inner()).await?;
    prove(&tiles).ok_or(ProofFault::Missing)
}

/// Notes which tiles hold the subtrees that a proof is made of: level, index, and how many hashes are needed.
#[derive(Default)]
struct Asked(RefCell<Vec<(u8, u64, usize)>>);

impl Subtrees for Asked {
    fn subtree(&self, height: u32, index: u64) -> Option<Hash> {
        let (level, tile, first, count) = place(height, index)?;
        self.0.borrow_mut().push((level, tile, first + count));
        Some([0; 32])
    }
}

/// Hashes by level and index of the tile.
#[derive(Default)]
struct Tiles(HashMap<(u8, u64), Vec<Hash>>);

impl Subtrees for Tiles {
    fn subtree(&self, height: u32, index: u64) -> Option<Hash> {
        let (level, tile, first, count) = place(height, index)?;
        Some(root_of(self.0.get(&(level, tile))?.get(first..first + count)?))
    }
}

impl Tiles {
    /// Complete tiles are read as they are. A tile at the right edge is put together from what lies below it: leaf
    /// hashes that the heads list, or the roots of complete tiles.
    async fn read(db: &mut PgConnection, wanted: Vec<(u8, u64, usize)>) -> Result<Self, ProofFault> {
        let mut widths: HashMap<(u8, u64), usize> = HashMap::new();
        for (level, index, width) in wanted {
            let widest = widths.entry((level, index)).or_default();
            *widest = width.max(*widest);
        }
        let mut tiles = Self(stored(db, widths.keys().copied().collect()).await?);
        widths.retain(|tile, _| !tiles.0.contains_key(tile));
        let start = |index: u64| index.saturating_mul(WIDTH as u64);
        let below = |(&(level, index), &width): (&(u8, u64), &usize)| {
            let level = level.checked_sub(1)?;
            Some((start(index)..start(index) + width as u64).map(move |index| (level, index)))
        };
        let roots = stored(db, widths.iter().filter_map(below).flatten().collect()).await?;
        for ((level, index), width) in widths {
            let (from, to) = (start(index), start(index) + width as u64);
            let hashes = match level.checked_sub(1) {
                None => leaf_hashes(db, from, to).await?,
                Some(below) => {
                    let tiles = (from..to).map(|index| Some(root_of(roots.get(&(below, index))?)));
                    tiles.collect::<Option<_>>().ok_or(ProofFault::Missing)?
                }
            };
            tiles.0.insert((level, index), hashes);
        }
        Ok(tiles)
    }
}

/// Those of these tiles that are complete.
async fn stored(db: &mut PgConnection, places: Vec<(u8, u64)>) -> Result<HashMap<(u8, u64), Vec<Hash>>, ProofFault> {
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = tile::at(db, &places).await?;
    rows.into_iter()
        .map(|(place, bytes)| Some((place, hashes(&bytes)?)))
        .collect::<Option<_>>()
        .ok_or(ProofFault::Missing)
}

async fn leaf_hashes(db: &mut PgConnection, from: u64, to: u64) -> Result<Vec<Hash>, ProofFault> {
    let bytes = head::leaf_hashes(db, from, to).await?.concat();
    hashes(&bytes).filter(|hashes| hashes.len() as u64 == to - from).ok_or(ProofFault::Missing)
}

/// Where the complete subtree of 2^`height` leaves lies: level and index of its tile, the first hash in it, how many.
fn place(height: u32, index: u64) -> Option<(u8, u64, usize, usize)> {
    let (level, height) = (u8::try_from(height / HEIGHT).ok()?, height % HEIGHT);
    let first = index.checked_mul(1 << height)?;
    Some((level, first / WIDTH as u64, usize::try_from(first % WIDTH as u64).ok()?, 1 << height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{
        tile::Tree,
        tree::{continues, includes, leaf_hash},
    };

    /// What the database would give, without one.
    fn tiles(leaves: &[Hash]) -> Tiles {
        let (mut tree, mut complete) = (Tree::default(), Vec::new());
        leaves.iter().for_each(|leaf| tree.append(*leaf, &mut complete));
        let mut tiles = Tiles(complete.into_iter().map(|tile| ((tile.level, tile.index), tile.hashes)).collect());
        let mut level = leaves.to_vec();
        for number in 0..3_u8 {
            let whole = level.len() / WIDTH;
            tiles.0.insert((number, whole as u64), level[whole * WIDTH..].to_vec());
            level = level.chunks_exact(WIDTH).map(root_of).collect();
        }
        tiles
    }

    #[test]
    fn proofs_from_tiles_are_those_of_the_leaves() {
        let leaves: Vec<Hash> = (0..70_000_u32).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let tiles = tiles(&leaves);
        for (index, size) in [(0, 1), (3, 7), (255, 256), (255, 257), (700, 66_000), (65_535, 65_536), (69_999, 70_000)]
        {
            let root = range_root(&tiles, 0, size).unwrap();
            assert_eq!(Some(root), range_root(leaves.as_slice(), 0, size));
            let proof = inclusion_proof(&tiles, index, size).unwrap();
            assert!(includes(&root, size, index, leaves[index as usize], &proof), "{index} in {size}");
            let old_root = range_root(&tiles, 0, index + 1).unwrap();
            let proof = consistency_proof(&tiles, index + 1, size).unwrap();
            assert!(continues(&old_root, index + 1, &root, size, &proof), "{index} to {size}");
        }
    }

    #[test]
    fn a_proof_asks_for_few_tiles_however_long_the_log_is() {
        for size in [10_000_000_u64, 9_999_999, 1 << 40, (1 << 40) - 1] {
            for index in [0, 1, size / 3, size - 2, size - 1] {
                let asked = Asked::default();
                inclusion_proof(&asked, index, size).unwrap();
                consistency_proof(&asked, index + 1, size).unwrap();
                let mut tiles: Vec<_> =
                    asked.0.into_inner().into_iter().map(|(level, tile, _)| (level, tile)).collect();
                tiles.sort_unstable();
                tiles.dedup();
                assert!(tiles.len() <= 12, "{index} in {size}: {tiles:?}");
            }
        }
    }
}
