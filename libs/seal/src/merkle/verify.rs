//! Checking proofs against roots, as whoever does not hold the tree does.

use super::{Hash, empty_root, node_hash};

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf cannot be in a tree of this size.
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
    /// The proof has more or fewer hashes than these sizes require.
    #[error("the proof has {found} hashes where {expected} are required")]
    WrongLength {
        /// Hashes required.
        expected: usize,
        /// Hashes given.
        found: usize,
    },
    /// Leaf and audit path do not lead to the root.
    #[error("the leaf is not under this root")]
    RootMismatch,
    /// The proof does not lead to the earlier root. Like [`ProofError::NewRootMismatch`] it means that the log was
    /// rewritten or that the proof is of other trees; a proof alone does not tell which.
    #[error("the proof does not lead to the earlier root")]
    OldRootMismatch,
    /// The proof does not lead to the later root.
    #[error("the proof does not lead to the later root")]
    NewRootMismatch,
}

/// Checks that the leaf with this hash is at `leaf_index`, counted from 0, in the tree of `tree_size` leaves and this
/// root (RFC 9162 §2.1.3.2).
///
/// A root says nothing about the size of its tree: take both from the same signed checkpoint.
///
/// # Errors
///
/// [`ProofError::LeafBeyondTree`], [`ProofError::WrongLength`], [`ProofError::RootMismatch`].
pub fn verify_inclusion(
    leaf_hash: &Hash,
    leaf_index: u64,
    tree_size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if leaf_index >= tree_size {
        return Err(ProofError::LeafBeyondTree { leaf_index, tree_size });
    }
    let path = Path::new(leaf_index, tree_size);
    require_length(proof, path.len())?;
    let found = proof.iter().enumerate().fold(*leaf_hash, |hash, (level, sibling)| path.step(level, &hash, sibling));
    if found == *root { Ok(()) } else { Err(ProofError::RootMismatch) }
}

/// Checks that the tree of `new_size` leaves and `new_root` begins with that of `old_size` and `old_root`
/// (RFC 9162 §2.1.4.2).
///
/// Every tree continues itself and the empty tree; for those the proof is empty and the roots still have to fit.
/// As with inclusion, size and root must come from the same signed checkpoint.
///
/// # Errors
///
/// [`ProofError::SizesReversed`], [`ProofError::WrongLength`], [`ProofError::OldRootMismatch`],
/// [`ProofError::NewRootMismatch`].
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::SizesReversed { old_size, new_size });
    }
    if old_size == 0 && *old_root != empty_root() {
        return Err(ProofError::OldRootMismatch);
    }
    if old_size == new_size {
        require_length(proof, 0)?;
        return if old_root == new_root { Ok(()) } else { Err(ProofError::NewRootMismatch) };
    }
    if old_size == 0 {
        return require_length(proof, 0);
    }

    // The proof climbs from the smallest complete subtree at the old tree's right edge. Siblings on its left belong
    // to both trees, those on its right to the new one only. If that subtree is the whole old tree, its root is known
    // and not part of the proof.
    let edge_level = old_size.trailing_zeros() as usize;
    let path = Path::new(old_size - 1, new_size);
    let climb = path.len() - edge_level;
    let (edge, siblings) = if old_size.is_power_of_two() {
        require_length(proof, climb)?;
        (old_root, proof)
    } else {
        require_length(proof, climb + 1)?;
        match proof.split_first() {
            Some(split) => split,
            None => return Err(ProofError::OldRootMismatch),
        }
    };
    let (mut old, mut new) = (*edge, *edge);
    for (level, sibling) in (edge_level..).zip(siblings) {
        if path.is_on_the_right(level) {
            old = node_hash(sibling, &old);
        }
        new = path.step(level, &new, sibling);
    }
    if old != *old_root {
        return Err(ProofError::OldRootMismatch);
    }
    if new != *new_root {
        return Err(ProofError::NewRootMismatch);
    }
    Ok(())
}

fn require_length(proof: &[Hash], expected: usize) -> Result<(), ProofError> {
    if proof.len() == expected { Ok(()) } else { Err(ProofError::WrongLength { expected, found: proof.len() }) }
}

/// The way from a leaf to the root of its tree.
///
/// Below the level at which the ways of this leaf and of the last leaf meet, every level has a sibling, on the side
/// that the bit of the index tells. Above it the way runs along the tree's right edge, where only levels with a
/// complete subtree on the left have one.
struct Path {
    leaf_index: u64,
    /// Steps below the right edge; at most 64.
    inner: usize,
    /// Steps along the right edge.
    border: usize,
}

impl Path {
    /// Requires `leaf_index < tree_size`.
    fn new(leaf_index: u64, tree_size: u64) -> Self {
        let inner = u64::BITS - (leaf_index ^ (tree_size - 1)).leading_zeros();
        let border = leaf_index.checked_shr(inner).unwrap_or(0).count_ones();
        Self { leaf_index, inner: inner as usize, border: border as usize }
    }

    fn len(&self) -> usize {
        self.inner + self.border
    }

    /// Whether the node at this step is a right child, its sibling being on the left.
    fn is_on_the_right(&self, step: usize) -> bool {
        step >= self.inner || self.leaf_index >> step & 1 == 1
    }

    fn step(&self, step: usize, hash: &Hash, sibling: &Hash) -> Hash {
        if self.is_on_the_right(step) { node_hash(sibling, hash) } else { node_hash(hash, sibling) }
    }
}
