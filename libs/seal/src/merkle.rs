//! Merkle trees as RFC 6962 §2.1 hashes them, with SHA-256.
//!
//! A tree is stored as its *complete* nodes ([`NodeId`]): those never change once written, so a log appends them and
//! any earlier size can be proven from them later. [`Frontier`] grows a tree and says which nodes to store;
//! [`InclusionPlan`] and [`ConsistencyPlan`] say which to load for a proof, then assemble it; [`verify_inclusion`]
//! and [`verify_consistency`] are what the other side runs.

mod frontier;
mod plan;
#[cfg(test)]
mod tests;
mod verify;

use sha2::{Digest, Sha256};

pub use frontier::Frontier;
pub use plan::{ConsistencyPlan, InclusionPlan};
pub use verify::{ProofError, verify_consistency, verify_inclusion};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// The largest tree that can be grown or proven: positions are signed 64-bit integers where logs are stored.
pub const MAX_TREE_SIZE: u64 = i64::MAX as u64;

/// The hash of a leaf with this data: `SHA-256(0x00 ‖ data)`.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0x00]).chain_update(data).finalize().into()
}

/// The hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([0x01]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the tree without leaves: the hash of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Names a complete node: the root of the 2^`level` leaves that start at `index` × 2^`level`. Level 0 is a leaf hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    /// Height above the leaves.
    pub level: u8,
    /// Position among the nodes of its level, from the left.
    pub index: u64,
}

/// Why a tree cannot be rebuilt, or a proof not be built, from stored nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The tree is larger than [`MAX_TREE_SIZE`].
    #[error("a tree of {0} leaves is larger than any log")]
    TooLarge(u64),
    /// A frontier has exactly one node for every set bit of its size.
    #[error("a frontier of {size} leaves has {expected} nodes, not {found}")]
    WrongNodeCount {
        /// Leaves in the tree.
        size: u64,
        /// Nodes that its frontier has.
        expected: usize,
        /// Nodes that were given.
        found: usize,
    },
    /// The leaf is not in a tree of this size.
    #[error("leaf {leaf_index} is not in a tree of {tree_size} leaves")]
    LeafBeyondTree {
        /// Position of the leaf, from 0.
        leaf_index: u64,
        /// Leaves in the tree.
        tree_size: u64,
    },
    /// The tree that should continue the other is the smaller one.
    #[error("a tree of {new_size} leaves cannot continue one of {old_size}")]
    SizesReversed {
        /// Leaves in the earlier tree.
        old_size: u64,
        /// Leaves in the later tree.
        new_size: u64,
    },
    /// A node that the plan named could not be loaded.
    #[error("node {} of level {} is missing", .0.index, .0.level)]
    MissingNode(NodeId),
}

/// The complete nodes that cover leaves `start..end`, from left to right.
///
/// `start` must be a multiple of the largest power of two in `end - start`; every subtree of RFC 6962 is so aligned.
fn cover(mut start: u64, end: u64) -> Vec<NodeId> {
    let mut nodes = Vec::new();
    while start < end {
        let level = (end - start).ilog2();
        nodes.push(NodeId { level: level as u8, index: start >> level });
        start += 1 << level;
    }
    nodes
}

/// The root over neighbouring subtrees of falling height, as [`cover`] lists them; `None` if there is none.
fn fold(hashes: &[Hash]) -> Option<Hash> {
    let (last, rest) = hashes.split_last()?;
    Some(rest.iter().rev().fold(*last, |right, left| node_hash(left, &right)))
}
