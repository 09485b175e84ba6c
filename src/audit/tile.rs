//! Tiles of 256 hashes (C2SP tlog-tiles): what proofs read instead of the log. A [`Tree`] grows leaf by leaf and hands
//! out each tile once it is complete; only the incomplete ones are kept in memory, at most 255 hashes per level.

use super::tree::{Edge, Hash, hashes};

/// How many hashes a complete tile has.
pub const WIDTH: usize = 256;

/// How many levels of the tree one tile spans.
pub const HEIGHT: u32 = WIDTH.trailing_zeros();

/// A complete tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// 0: leaf hashes; above that, each hash is the root of a whole tile of the level below.
    pub level: u8,
    /// Its place in the level.
    pub index: u64,
    /// Its hashes, from left to right.
    pub hashes: Vec<Hash>,
}

/// A growing tree: its right edge, and the hashes of the tiles that are not complete yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    edge: Edge,
    partial: Vec<Vec<Hash>>,
}

impl Tile {
    /// The root over a tile's hashes: one hash of the level above.
    pub fn root(&self) -> Hash {
        root_of(&self.hashes)
    }

    /// Reads a complete tile's bytes.
    pub fn from_bytes(level: u8, index: u64, bytes: &[u8]) -> Option<Self> {
        let hashes = hashes(bytes)?;
        (hashes.len() == WIDTH).then_some(Self { level, index, hashes })
    }
}

impl Tree {
    /// Takes up a tree from what is stored: the edge, and for each level the hashes of its incomplete tile. None when
    /// they do not belong together.
    pub fn resume(edge: Edge, partial: Vec<Vec<Hash>>) -> Option<Self> {
        let mut again = Edge::default();
        let mut counted = 0_u64;
        for (level, hashes) in partial.iter().enumerate().rev() {
            let width = 1_u64.checked_shl(HEIGHT.checked_mul(u32::try_from(level).ok()?)?)?;
            counted = counted.checked_add(width.checked_mul(u64::try_from(hashes.len()).ok()?)?)?;
            if hashes.len() >= WIDTH {
                return None;
            }
            again = again.followed_by(hashes, width)?;
        }
        (counted == edge.size() && again == edge).then_some(Self { edge, partial })
    }

    /// How many leaves it has.
    pub const fn size(&self) -> u64 {
        self.edge.size()
    }

    /// Its root.
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Its right edge.
    pub const fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Adds a leaf; tiles that it completes go to `complete`, lowest level first.
    pub fn append(&mut self, leaf: Hash, complete: &mut Vec<Tile>) {
        let Self { edge, partial } = self;
        let size = edge.size() + 1;
        edge.grow(leaf, |height, root| {
            let level = height / HEIGHT;
            let Ok(at) = usize::try_from(level) else { return };
            if !height.is_multiple_of(HEIGHT) {
                return;
            }
            if partial.len() <= at {
                partial.resize_with(at + 1, Vec::new);
            }
            let Some(partial) = partial.get_mut(at) else { return };
            partial.push(root);
            if partial.len() == WIDTH {
                let index = size.checked_shr(HEIGHT * (level + 1)).unwrap_or(0).saturating_sub(1);
                let level = u8::try_from(level).unwrap_or(u8::MAX);
                complete.push(Tile { level, index, hashes: std::mem::take(partial) });
            }
        });
    }
}

/// For each level, the incomplete tile of a tree of `size` leaves: its place, and how many hashes it has.
pub fn partial_tiles(size: u64) -> Vec<(u8, u64, usize)> {
    let mut tiles = Vec::new();
    let (mut level, mut hashes) = (0, size);
    while hashes > 0 {
        let width = WIDTH as u64;
        tiles.push((level, hashes / width, usize::try_from(hashes % width).unwrap_or(0)));
        (level, hashes) = (level + 1, hashes / width);
    }
    tiles
}

/// The root over the hashes of a complete tile.
pub fn root_of(hashes: &[Hash]) -> Hash {
    let mut edge = Edge::default();
    hashes.iter().for_each(|hash| edge.append(*hash));
    edge.root()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tree::leaf_hash;

    #[test]
    fn tiles_come_out_complete_and_a_tree_is_taken_up_where_it_was() {
        let (mut tree, mut complete) = (Tree::default(), Vec::new());
        let mut leaves = Vec::new();
        for i in 0..(WIDTH * WIDTH + 700) as u32 {
            let leaf = leaf_hash(&i.to_be_bytes());
            leaves.push(leaf);
            tree.append(leaf, &mut complete);
        }
        let (upper, lower): (Vec<&Tile>, Vec<&Tile>) = complete.iter().partition(|tile| tile.level > 0);
        assert_eq!(lower.len(), WIDTH + 2);
        for (index, tile) in lower.iter().enumerate() {
            assert_eq!((tile.index, tile.level), (index as u64, 0));
            assert_eq!(tile.hashes, leaves[index * WIDTH..(index + 1) * WIDTH]);
            assert_eq!(Tile::from_bytes(0, tile.index, &tile.hashes.concat()).as_ref(), Some(*tile));
        }
        assert_eq!(upper.len(), 1);
        assert_eq!((upper[0].index, upper[0].level), (0, 1));
        assert!(upper[0].hashes.iter().zip(&lower).all(|(hash, tile)| *hash == tile.root()));

        let size = leaves.len() as u64;
        assert_eq!(partial_tiles(size), [(0, 258, 188), (1, 1, 2), (2, 0, 1)]);
        let partial = vec![
            leaves[258 * WIDTH..].to_vec(),
            lower[256..].iter().map(|tile| tile.root()).collect(),
            vec![upper[0].root()],
        ];
        assert_eq!(Tree::resume(tree.edge().clone(), partial.clone()).as_ref(), Some(&tree));
        let mut forged = partial;
        forged[0][5] = leaf_hash(b"another");
        assert_eq!(Tree::resume(tree.edge().clone(), forged), None);
    }

    #[test]
    fn a_tree_of_any_size_resumes_from_its_leaves() {
        for size in [0, 1, 2, 3, 7, 255] {
            let (mut tree, mut complete) = (Tree::default(), Vec::new());
            let leaves: Vec<Hash> = (0..size).map(|i: u32| leaf_hash(&i.to_be_bytes())).collect();
            leaves.iter().for_each(|leaf| tree.append(*leaf, &mut complete));
            let partial = if size == 0 { Vec::new() } else { vec![leaves] };
            assert_eq!(Tree::resume(tree.edge().clone(), partial), Some(tree));
        }
    }
}
