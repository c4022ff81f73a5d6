//! Which stored nodes a proof needs, and the proof once they are loaded.

use super::{Hash, MAX_TREE_SIZE, NodeId, TreeError, cover, fold};

/// The hashes of a proof, each as the complete nodes from which it is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    /// Nodes of all hashes, one after the other.
    nodes: Vec<NodeId>,
    /// How many of `nodes` belong to each hash; more than one only at the ragged right edge of the tree.
    parts: Vec<usize>,
}

impl Plan {
    /// Takes the subtrees (leaves `start..end`) in the order in which the proof lists their roots.
    fn new(subtrees: impl Iterator<Item = (u64, u64)>) -> Self {
        let mut plan = Self { nodes: Vec::new(), parts: Vec::new() };
        for (start, end) in subtrees {
            let nodes = cover(start, end);
            plan.parts.push(nodes.len());
            plan.nodes.extend(nodes);
        }
        plan
    }

    fn assemble(&self, load: impl Fn(NodeId) -> Option<Hash>) -> Result<Vec<Hash>, TreeError> {
        let hashes = self
            .nodes
            .iter()
            .map(|&node| load(node).ok_or(TreeError::MissingNode(node)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut rest = hashes.as_slice();
        Ok(self
            .parts
            .iter()
            .filter_map(|&count| {
                let (part, after) = rest.split_at(count);
                rest = after;
                fold(part)
            })
            .collect())
    }
}

/// How to prove that a leaf is in a tree (RFC 6962 §2.1.1), given the complete nodes of that tree or a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionPlan(Plan);

impl InclusionPlan {
    /// Plans the audit path of the leaf at `leaf_index`, counted from 0, in the tree of `tree_size` leaves.
    ///
    /// # Errors
    ///
    /// [`TreeError::TooLarge`], [`TreeError::LeafBeyondTree`].
    pub fn new(leaf_index: u64, tree_size: u64) -> Result<Self, TreeError> {
        if tree_size > MAX_TREE_SIZE {
            return Err(TreeError::TooLarge(tree_size));
        }
        if leaf_index >= tree_size {
            return Err(TreeError::LeafBeyondTree { leaf_index, tree_size });
        }
        let mut siblings = Vec::new();
        let (mut start, mut end) = (0, tree_size);
        while end - start > 1 {
            let middle = split(start, end);
            if leaf_index < middle {
                siblings.push((middle, end));
                end = middle;
            } else {
                siblings.push((start, middle));
                start = middle;
            }
        }
        Ok(Self(Plan::new(siblings.into_iter().rev())))
    }

    /// The complete nodes to load, all at once.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.0.nodes
    }

    /// The audit path, from the leaf upwards.
    ///
    /// # Errors
    ///
    /// [`TreeError::MissingNode`] if `load` does not know one of [`InclusionPlan::nodes`].
    pub fn assemble(&self, load: impl Fn(NodeId) -> Option<Hash>) -> Result<Vec<Hash>, TreeError> {
        self.0.assemble(load)
    }
}

/// How to prove that a tree continues an earlier one (RFC 6962 §2.1.2), given the complete nodes of the later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyPlan(Plan);

impl ConsistencyPlan {
    /// Plans the proof that the tree of `new_size` leaves begins with that of `old_size`. It is empty if the sizes
    /// are equal or the old tree is.
    ///
    /// # Errors
    ///
    /// [`TreeError::TooLarge`], [`TreeError::SizesReversed`].
    pub fn new(old_size: u64, new_size: u64) -> Result<Self, TreeError> {
        if new_size > MAX_TREE_SIZE {
            return Err(TreeError::TooLarge(new_size));
        }
        if old_size > new_size {
            return Err(TreeError::SizesReversed { old_size, new_size });
        }
        let mut subtrees = Vec::new();
        if old_size > 0 {
            let (mut start, mut end) = (0, new_size);
            while old_size != end {
                let middle = split(start, end);
                if old_size <= middle {
                    subtrees.push((middle, end));
                    end = middle;
                } else {
                    subtrees.push((start, middle));
                    start = middle;
                }
            }
            // With start = 0 the remaining subtree is the whole old tree, whose root the verifier holds.
            if start > 0 {
                subtrees.push((start, end));
            }
        }
        Ok(Self(Plan::new(subtrees.into_iter().rev())))
    }

    /// The complete nodes to load, all at once.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.0.nodes
    }

    /// The consistency proof, in the order of RFC 6962.
    ///
    /// # Errors
    ///
    /// [`TreeError::MissingNode`] if `load` does not know one of [`ConsistencyPlan::nodes`].
    pub fn assemble(&self, load: impl Fn(NodeId) -> Option<Hash>) -> Result<Vec<Hash>, TreeError> {
        self.0.assemble(load)
    }
}

/// Where RFC 6962 splits the subtree over leaves `start..end` of at least two: after the largest power of two that
/// leaves something on the right.
fn split(start: u64, end: u64) -> u64 {
    start + (1 << (end - start - 1).ilog2())
}
