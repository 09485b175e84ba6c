//! The Merkle tree of RFC 6962, section 2.1 (unchanged in RFC 9162): pure, over hashes alone.
//! An [`Edge`] is all that is needed to grow a tree; proofs need the hashes of complete subtrees, from wherever they
//! are kept. INVARIANT: leaves and nodes are hashed with different first bytes, so neither can pass for the other.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// What stands before a leaf's bytes where they are hashed.
pub(super) const LEAF: u8 = 0;

/// The hash of a leaf's bytes.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    // What lies together is hashed in one go, which is worth copying as much as a leaf usually has.
    let mut marked = [LEAF; 2_048];
    let Some(copy) = marked.get_mut(1..=leaf.len()) else { return sha256(&[&[LEAF], leaf]) };
    copy.copy_from_slice(leaf);
    hash_of_marked(marked.get(..=leaf.len()).unwrap_or_default())
}

/// The hash of a leaf's bytes that have [`LEAF`] before them, in one go.
pub(super) fn hash_of_marked(leaf: &[u8]) -> Hash {
    digest(&SHA256, leaf).as_ref().try_into().unwrap_or_default()
}

/// The hash of two neighbours.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    let (_, halves) = bytes.split_at_mut(1);
    if let ([to_left, to_right], []) = halves.as_chunks_mut() {
        (*to_left, *to_right) = (*left, *right);
    }
    // SHA-256 gives 32 bytes; another length could not become a hash that matches anything.
    digest(&SHA256, &bytes).as_ref().try_into().unwrap_or_default()
}

/// The root of the tree without leaves.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// The right edge of a tree: the roots of its complete subtrees, from left to right, one for each bit of its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    nodes: Vec<Hash>,
}

impl Edge {
    /// Reads what [`Edge::to_bytes`] wrote for a tree of `size` leaves.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let nodes: Vec<Hash> = hashes(bytes)?;
        (nodes.len() == size.count_ones() as usize).then_some(Self { size, nodes })
    }

    /// The nodes, one after the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.nodes.concat()
    }

    /// The complete subtrees from left to right: the height and the root of each.
    pub fn subtrees(&self) -> impl Iterator<Item = (u32, &Hash)> {
        let size = self.size;
        (0..u64::BITS).rev().filter(move |height| size >> height & 1 == 1).zip(&self.nodes)
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn append(&mut self, leaf: Hash) {
        self.grow(leaf, |_, _| {});
    }

    /// Adds a leaf, and hands out each subtree that it completes, itself among them: the height and the root.
    pub(super) fn grow(&mut self, leaf: Hash, mut complete: impl FnMut(u32, Hash)) {
        let mut node = leaf;
        complete(0, node);
        for height in 1..=self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = node_hash(&left, &node);
                complete(height, node);
            }
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// This edge, with complete subtrees of `width` leaves added to its right. None when one would not fit there.
    pub fn followed_by(mut self, subtrees: &[Hash], width: u64) -> Option<Self> {
        if !width.is_power_of_two() || !self.size.is_multiple_of(width) {
            return None;
        }
        for subtree in subtrees {
            let mut node = *subtree;
            for _ in 0..(self.size / width).trailing_ones() {
                node = node_hash(&self.nodes.pop()?, &node);
            }
            self.nodes.push(node);
            self.size = self.size.checked_add(width)?;
        }
        Some(self)
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else { return empty_root() };
        nodes.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// Where the hashes of complete subtrees are kept.
pub trait Subtrees {
    /// The root of the complete subtree of 2^`height` leaves that begins at leaf `index` * 2^`height`.
    fn subtree(&self, height: u32, index: u64) -> Option<Hash>;
}

impl Subtrees for [Hash] {
    fn subtree(&self, height: u32, index: u64) -> Option<Hash> {
        let width = 1_usize.checked_shl(height)?;
        let start = usize::try_from(index).ok()?.checked_mul(width)?;
        let mut edge = Edge::default();
        self.get(start..start.checked_add(width)?)?.iter().for_each(|leaf| edge.append(*leaf));
        Some(edge.root())
    }
}

/// The root over the leaves `start..end`; `start` must be a multiple of the width, rounded up to a power of two.
pub fn range_root(from: &(impl Subtrees + ?Sized), start: u64, end: u64) -> Option<Hash> {
    let width = end.checked_sub(start)?;
    match width {
        0 => None,
        _ if width.is_power_of_two() => from.subtree(width.trailing_zeros(), start / width),
        _ => {
            let middle = start + left_width(width);
            Some(node_hash(&range_root(from, start, middle)?, &range_root(from, middle, end)?))
        }
    }
}

/// Proof that leaf `index` is in the tree of `size` leaves (RFC 9162, section 2.1.3.1).
pub fn inclusion_proof(from: &(impl Subtrees + ?Sized), index: u64, size: u64) -> Option<Vec<Hash>> {
    if index >= size {
        return None;
    }
    let (mut start, mut end, mut proof) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + left_width(end - start);
        if index < middle {
            proof.push(range_root(from, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(from, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Some(proof)
}

/// Checks an inclusion proof (RFC 9162, section 2.1.3.2).
pub fn includes(root: &Hash, size: u64, index: u64, leaf: Hash, proof: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut node) = (index, size - 1, leaf);
    for step in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            node = node_hash(step, &node);
            let skipped = if at & 1 == 1 { 0 } else { at.trailing_zeros() };
            (at, last) = (at.checked_shr(skipped).unwrap_or(0), last.checked_shr(skipped).unwrap_or(0));
        } else {
            node = node_hash(&node, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && node == *root
}

/// Proof that the tree of `old` leaves is a prefix of the tree of `new` (RFC 9162, section 2.1.4.1).
pub fn consistency_proof(from: &(impl Subtrees + ?Sized), old: u64, new: u64) -> Option<Vec<Hash>> {
    if old > new {
        return None;
    }
    if old == 0 || old == new {
        return Some(Vec::new());
    }
    let (mut start, mut end, mut proof) = (0, new, Vec::new());
    // INVARIANT: start < old <= end. The old root itself is known to the verifier and is left out.
    while end != old {
        let middle = start + left_width(end - start);
        if old <= middle {
            proof.push(range_root(from, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(from, start, middle)?);
            start = middle;
        }
    }
    if start != 0 {
        proof.push(range_root(from, start, end)?);
    }
    proof.reverse();
    Some(proof)
}

/// Checks a consistency proof (RFC 9162, section 2.1.4.2). Every tree continues the empty one.
pub fn continues(old_root: &Hash, old: u64, new_root: &Hash, new: u64, proof: &[Hash]) -> bool {
    if old > new || (old == 0 || old == new) && !proof.is_empty() {
        return false;
    }
    if old == 0 {
        return *old_root == empty_root();
    }
    if old == new {
        return old_root == new_root;
    }
    let mut steps = proof.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { steps.next() };
    let Some(first) = first else { return false };
    let skipped = (old - 1).trailing_ones();
    let (mut at, mut last) = ((old - 1).checked_shr(skipped).unwrap_or(0), (new - 1).checked_shr(skipped).unwrap_or(0));
    let (mut old_node, mut new_node) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_node = node_hash(step, &old_node);
            new_node = node_hash(step, &new_node);
            let skipped = if at & 1 == 1 { 0 } else { at.trailing_zeros() };
            (at, last) = (at.checked_shr(skipped).unwrap_or(0), last.checked_shr(skipped).unwrap_or(0));
        } else {
            new_node = node_hash(&new_node, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old_node == *old_root && new_node == *new_root
}

/// Splits bytes into hashes, if they divide evenly.
pub fn hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, []) = bytes.as_chunks() else { return None };
    Some(hashes.to_vec())
}

/// The largest power of two below `width`, which is at least two.
const fn left_width(width: u64) -> u64 {
    1 << (u64::BITS - 1 - (width - 1).leading_zeros())
}

/// SHA-256 over `parts`, one after the other.
pub(super) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    // SHA-256 gives 32 bytes; another length could not become a hash that matches anything.
    context.finish().as_ref().try_into().unwrap_or_default()
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
