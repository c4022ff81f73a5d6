//! The right edge of a growing tree.

use super::{Hash, MAX_TREE_SIZE, NodeId, TreeError, cover, empty_root, fold, node_hash};

/// A tree reduced to what it needs to grow: the roots of its complete subtrees, one for every set bit of its size,
/// from the largest (left) to the smallest. At most 63 hashes, whatever the number of leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The frontier of a tree of `size` leaves, from what [`Frontier::nodes`] gave or [`Frontier::needed`] named.
    ///
    /// The hashes are taken on trust: compare [`Frontier::root`] with a signed checkpoint if their store is not trusted.
    ///
    /// # Errors
    ///
    /// [`TreeError::TooLarge`], [`TreeError::WrongNodeCount`].
    pub fn from_nodes(size: u64, nodes: Vec<Hash>) -> Result<Self, TreeError> {
        if size > MAX_TREE_SIZE {
            return Err(TreeError::TooLarge(size));
        }
        let expected = size.count_ones() as usize;
        if nodes.len() != expected {
            return Err(TreeError::WrongNodeCount { size, expected, found: nodes.len() });
        }
        Ok(Self { size, nodes })
    }

    /// The complete nodes from which [`Frontier::from_nodes`] rebuilds a tree of `size` leaves, in its order.
    #[must_use]
    pub fn needed(size: u64) -> Vec<NodeId> {
        cover(0, size)
    }

    /// Leaves in the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, from left to right.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.nodes).unwrap_or_else(empty_root)
    }

    /// Appends a leaf and adds every node that it completes to `completed`: the leaf itself first, then upwards.
    pub fn push(&mut self, leaf_hash: Hash, completed: &mut Vec<(NodeId, Hash)>) {
        let mut node = NodeId { level: 0, index: self.size };
        let mut hash = leaf_hash;
        completed.push((node, hash));
        while node.index & 1 == 1
            && let Some(left) = self.nodes.pop()
        {
            hash = node_hash(&left, &hash);
            node = NodeId { level: node.level + 1, index: node.index >> 1 };
            completed.push((node, hash));
        }
        self.nodes.push(hash);
        self.size += 1;
    }
}
