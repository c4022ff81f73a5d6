//! The stored tree: its nodes, and proofs from them.

use std::collections::HashMap;

use haetae_seal::merkle::{ConsistencyPlan, Frontier, Hash, InclusionPlan, NodeId};
use haetae_wire::log::v1::{ConsistencyProof, InclusionProof};

use crate::log::Log;
use crate::read::ReadError;
use crate::sql::{int, uint};

/// Stored nodes that some proofs need.
pub(crate) struct Nodes(HashMap<NodeId, Hash>);

impl Log {
    /// Loads nodes, in one query however many proofs they are for.
    pub(crate) async fn nodes(&self, wanted: impl IntoIterator<Item = NodeId>) -> Result<Nodes, sqlx::Error> {
        let (levels, indexes): (Vec<i16>, Vec<i64>) =
            wanted.into_iter().map(|node| (i16::from(node.level), int(node.index))).unzip();
        if levels.is_empty() {
            return Ok(Nodes(HashMap::new()));
        }
        let rows: Vec<(i16, i64, Hash)> = sqlx::query_as(
            "select level, index, hash from ledger.node
             join unnest($1::smallint[], $2::bigint[]) as wanted (level, index) using (level, index)",
        )
        .bind(levels)
        .bind(indexes)
        .fetch_all(&self.0.pool)
        .await?;
        Ok(Nodes(
            rows.into_iter()
                .filter_map(|(level, index, hash)| {
                    let level = u8::try_from(level).ok()?;
                    let index = uint(index);
                    Some((NodeId { level, index }, hash))
                })
                .collect(),
        ))
    }

    /// The right edge of the tree of this size, from stored nodes.
    pub(crate) async fn frontier(&self, size: u64) -> Result<Frontier, ReadError> {
        let needed = Frontier::needed(size);
        let nodes = self.nodes(needed.iter().copied()).await?;
        let hashes = needed.into_iter().filter_map(|node| nodes.get(node));
        Ok(Frontier::from_nodes(size, hashes.collect())?)
    }

    /// Proof that a leaf is in the tree of a size the log has reached.
    pub(crate) async fn inclusion(&self, leaf_index: u64, tree_size: u64) -> Result<InclusionProof, ReadError> {
        let plan = InclusionPlan::new(leaf_index, tree_size)?;
        let nodes = self.nodes(plan.nodes().iter().copied()).await?;
        nodes.inclusion(&plan, leaf_index, tree_size)
    }

    /// Proof that a tree of a size the log has reached continues an earlier one.
    pub(crate) async fn consistency(&self, old_size: u64, new_size: u64) -> Result<ConsistencyProof, ReadError> {
        let plan = ConsistencyPlan::new(old_size, new_size)?;
        let nodes = self.nodes(plan.nodes().iter().copied()).await?;
        nodes.consistency(&plan, old_size, new_size)
    }
}

impl Nodes {
    fn get(&self, node: NodeId) -> Option<Hash> {
        self.0.get(&node).copied()
    }

    pub(crate) fn inclusion(
        &self,
        plan: &InclusionPlan,
        leaf_index: u64,
        tree_size: u64,
    ) -> Result<InclusionProof, ReadError> {
        Ok(InclusionProof { leaf_index, tree_size, hashes: to_wire(plan.assemble(|node| self.get(node))?) })
    }

    pub(crate) fn consistency(
        &self,
        plan: &ConsistencyPlan,
        old_size: u64,
        new_size: u64,
    ) -> Result<ConsistencyProof, ReadError> {
        Ok(ConsistencyProof { old_size, new_size, hashes: to_wire(plan.assemble(|node| self.get(node))?) })
    }
}

fn to_wire(hashes: Vec<Hash>) -> Vec<Vec<u8>> {
    hashes.into_iter().map(Vec::from).collect()
}
