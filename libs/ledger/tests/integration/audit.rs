//! What an auditor can check from outside, through the contract.

use haetae_ledger::AuditApi;
use haetae_seal::checkpoint::{Checkpoint, LogVerifier};
use haetae_seal::merkle::verify_consistency;
use haetae_wire::audit::v1::audit_service_server::AuditService;
use haetae_wire::audit::v1::{
    GetCheckpointRequest, GetConsistencyProofRequest, GetInclusionProofRequest, ListLeavesRequest,
};
use tonic::{Code, Request};

use crate::fixture::{House, fact};

#[tokio::test]
async fn an_auditor_checks_that_the_log_only_grows() {
    let house = House::new().await;
    let audit = AuditApi::new(house.log.clone());
    let checkpoint = async || {
        let answer = audit.get_checkpoint(Request::new(GetCheckpointRequest {}));
        let answer = answer.await.unwrap().into_inner();
        let verifier: LogVerifier = answer.verifier_key.parse().unwrap();
        Checkpoint::open(&answer.checkpoint, &verifier).unwrap()
    };
    house.append_many(5).await;
    let older = checkpoint().await;
    house.append_many(8).await;
    let newer = checkpoint().await;
    let request = GetConsistencyProofRequest { old_size: older.size, new_size: newer.size };
    let proof = audit.get_consistency_proof(Request::new(request)).await;
    let proof = proof.unwrap().into_inner().proof.unwrap();
    let hashes: Vec<[u8; 32]> = proof.hashes.iter().map(|hash| hash.as_slice().try_into().unwrap()).collect();
    verify_consistency(older.size, &older.root, newer.size, &newer.root, &hashes).unwrap();
}

#[tokio::test]
async fn leaves_come_in_order_and_in_pages() {
    let house = House::new().await;
    for n in 0..7 {
        house.append(fact("case", &n.to_string())).await;
    }
    let audit = AuditApi::new(house.log.clone());
    let page = async |start_position, limit| -> Vec<u64> {
        let request = ListLeavesRequest { start_position, limit };
        let answer = audit.list_leaves(Request::new(request)).await.unwrap();
        let leaves = answer.into_inner().leaves;
        leaves.iter().map(|leaf| leaf.position).collect()
    };
    assert_eq!(page(0, 3).await, [0, 1, 2]);
    assert_eq!(page(3, 0).await, [3, 4, 5, 6]);
    assert_eq!(page(7, 3).await, Vec::<u64>::new());
}

#[tokio::test]
async fn proofs_of_what_the_log_has_not_reached_are_refused() {
    let house = House::new().await;
    house.append_many(3).await;
    let audit = AuditApi::new(house.log.clone());
    for (leaf_index, tree_size) in [(0, 4), (3, 3), (u64::MAX, u64::MAX)] {
        let request = GetInclusionProofRequest { leaf_index, tree_size };
        let refused = audit.get_inclusion_proof(Request::new(request)).await;
        assert_eq!(refused.unwrap_err().code(), Code::OutOfRange);
    }
    for (old_size, new_size) in [(2, 4), (3, 2)] {
        let request = GetConsistencyProofRequest { old_size, new_size };
        let refused = audit.get_consistency_proof(Request::new(request)).await;
        assert_eq!(refused.unwrap_err().code(), Code::OutOfRange);
    }
}
