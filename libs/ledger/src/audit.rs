//! What auditors get: leaves, proofs and checkpoints; never payloads.

use haetae_wire::audit::v1::audit_service_server::AuditService;
use haetae_wire::audit::v1::{
    GetCheckpointRequest, GetCheckpointResponse, GetConsistencyProofRequest, GetConsistencyProofResponse,
    GetInclusionProofRequest, GetInclusionProofResponse, ListLeavesRequest, ListLeavesResponse,
};
use haetae_wire::log::v1::{ConsistencyProof, InclusionProof, Leaf};
use tonic::{Request, Response, Status, async_trait};

use crate::log::Log;
use crate::read::{ReadError, SealedRow};
use crate::sql::int;

/// The most leaves in one answer.
const LEAVES: u32 = 1_000;

/// A log as `haetae.audit.v1.AuditService`.
#[derive(Clone, Debug)]
pub struct AuditApi {
    log: Log,
}

impl AuditApi {
    /// Serves this log.
    #[must_use]
    pub fn new(log: Log) -> Self {
        Self { log }
    }
}

impl Log {
    /// The newest signed checkpoint, read back from its committed row.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn checkpoint(&self) -> Result<String, ReadError> {
        Ok(self.head().await?.checkpoint)
    }

    /// Leaves of sealed entries from a position on, at most `limit`.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn leaves(&self, start: u64, limit: u32) -> Result<Vec<Leaf>, ReadError> {
        let rows: Vec<SealedRow> = sqlx::query_as(
            "select position, kind, version, time, null::bytea as header, null::bytea as payload,
                    null::bytea as salt, commitment, traceparent
             from ledger.entry where position >= $1 order by position limit $2",
        )
        .bind(int(start))
        .bind(i64::from(limit))
        .fetch_all(&self.0.pool)
        .await?;
        Ok(rows.iter().map(SealedRow::leaf).collect())
    }

    /// Proof that a leaf is in the tree of a given size.
    ///
    /// # Errors
    ///
    /// [`ReadError::Beyond`] if the log has not reached the size, or the leaf is not in it.
    pub async fn inclusion_proof(&self, leaf_index: u64, tree_size: u64) -> Result<InclusionProof, ReadError> {
        self.reached(tree_size).await?;
        if leaf_index >= tree_size {
            return Err(ReadError::Beyond("leaf_index is not below tree_size"));
        }
        self.inclusion(leaf_index, tree_size).await
    }

    /// Proof that the tree of one size continues that of an earlier one.
    ///
    /// # Errors
    ///
    /// [`ReadError::Beyond`] if the log has not reached the sizes, or they are in the wrong order.
    pub async fn consistency_proof(&self, old_size: u64, new_size: u64) -> Result<ConsistencyProof, ReadError> {
        self.reached(new_size).await?;
        if old_size > new_size {
            return Err(ReadError::Beyond("old_size is above new_size"));
        }
        self.consistency(old_size, new_size).await
    }

    async fn reached(&self, size: u64) -> Result<(), ReadError> {
        if size > self.head().await?.size {
            return Err(ReadError::Beyond("the log has not reached this size"));
        }
        Ok(())
    }
}

#[async_trait]
impl AuditService for AuditApi {
    async fn get_checkpoint(
        &self,
        _: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        Ok(Response::new(GetCheckpointResponse {
            log_id: self.log.id().to_string(),
            checkpoint: self.log.checkpoint().await?,
            verifier_key: self.log.verifier().to_string(),
        }))
    }

    async fn list_leaves(&self, request: Request<ListLeavesRequest>) -> Result<Response<ListLeavesResponse>, Status> {
        let ListLeavesRequest { start_position, limit } = request.into_inner();
        let limit = if limit == 0 { LEAVES } else { limit.min(LEAVES) };
        let leaves = self.log.leaves(start_position, limit).await?;
        Ok(Response::new(ListLeavesResponse { leaves }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<GetInclusionProofRequest>,
    ) -> Result<Response<GetInclusionProofResponse>, Status> {
        let GetInclusionProofRequest { leaf_index, tree_size } = request.into_inner();
        let proof = self.log.inclusion_proof(leaf_index, tree_size).await?;
        Ok(Response::new(GetInclusionProofResponse { proof: Some(proof) }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<GetConsistencyProofResponse>, Status> {
        let GetConsistencyProofRequest { old_size, new_size } = request.into_inner();
        let proof = self.log.consistency_proof(old_size, new_size).await?;
        Ok(Response::new(GetConsistencyProofResponse { proof: Some(proof) }))
    }
}
