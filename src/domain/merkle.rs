//! RFC 6962 trees with SHA-256: a root stands for exactly one sequence of records, and a path shows that a
//! record is one of them without the others.
//!
//! Chunks are aligned blocks of 2^k records, so a chunk's root is an inner node of the batch's tree, and
//! folding the chunk roots by the same rule gives the batch's root. Source: RFC 6962, section 2.1.

use super::digest::Digest;

/// Longest path of a tree with 2^64 leaves.
const PATH_MAX: usize = 64;
/// Records up to this size are hashed from the stack.
const ON_STACK: usize = 1024;

/// Returns the hash of a record's canonical bytes: `SHA-256(00 ‖ record)`.
#[must_use]
pub fn leaf_hash(record: &[u8]) -> Digest {
    let mut stack = [0; ON_STACK + 1];
    if let Some(room) = stack.get_mut(1..=record.len()) {
        room.copy_from_slice(record);
        return Digest::of(&stack[..=record.len()]);
    }
    let mut heap = Vec::with_capacity(record.len() + 1);
    heap.push(0);
    heap.extend_from_slice(record);
    Digest::of(&heap)
}

/// Returns the hash of an inner node: `SHA-256(01 ‖ left ‖ right)`.
#[must_use]
pub fn node_hash(left: Digest, right: Digest) -> Digest {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Digest::of(&bytes)
}

/// Returns the root over these nodes, which are leaf hashes or the roots of chunks; `SHA-256()` for none.
#[must_use]
pub fn root(nodes: &[Digest]) -> Digest {
    let mut tree = Accumulator::default();
    nodes.iter().for_each(|node| tree.push(*node));
    tree.root()
}

/// Adds nodes from left to right and holds one digest for each bit of their count.
#[derive(Debug, Clone, Default)]
pub struct Accumulator {
    // Roots of full trees, the largest first: one for each bit that is set in `count`.
    peaks: Vec<Digest>,
    count: u64,
}

impl Accumulator {
    /// Adds the next node.
    pub fn push(&mut self, node: Digest) {
        let mut node = node;
        for _ in 0..self.count.trailing_ones() {
            let left = self.peaks.pop().expect("each bit of the count has its peak");
            node = node_hash(left, node);
        }
        self.peaks.push(node);
        self.count += 1;
    }

    /// How many nodes were added.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the root over what was added so far.
    #[must_use]
    pub fn root(&self) -> Digest {
        let folded = self.peaks.iter().rev().copied().reduce(|right, left| node_hash(left, right));
        folded.unwrap_or_else(|| Digest::of(b""))
    }
}

/// Returns the audit path of node `index`, from the bottom up; empty if there is no such node.
///
/// The path from a record to the batch's root is the path within its chunk followed by the path of the
/// chunk's root over all chunk roots.
#[must_use]
pub fn path(nodes: &[Digest], index: usize) -> Vec<Digest> {
    let mut path = Vec::new();
    if index >= nodes.len() {
        return path;
    }
    let (mut nodes, mut index) = (nodes, index);
    while nodes.len() > 1 {
        let (left, right) = nodes.split_at(split(nodes.len()));
        if index < left.len() {
            path.push(root(right));
            nodes = left;
        } else {
            path.push(root(left));
            index -= left.len();
            nodes = right;
        }
    }
    path.reverse();
    path
}

/// Whether `path` leads from `leaf`, number `index` of `count`, to `root`.
#[must_use]
pub fn verify(leaf: Digest, index: u64, count: u64, path: &[Digest], root: Digest) -> bool {
    if index >= count || path.len() > PATH_MAX {
        return false;
    }
    // RFC 9162, section 2.1.3.2: the same paths as RFC 6962's, checked without recursion.
    let (mut node, mut at, mut last) = (leaf, index, count - 1);
    for hash in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            node = node_hash(*hash, node);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            node = node_hash(node, *hash);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && node == root
}

// The largest power of two below `count`, which is at least 2.
fn split(count: usize) -> usize {
    1 << (count - 1).ilog2()
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
