use std::sync::{Arc, Mutex, PoisonError};

use haetae_seal::{
    checkpoint::{Checkpoint, LogKey},
    leaf,
    merkle::{ConsistencyPlan, Frontier, InclusionPlan},
};
use haetae_wire::{
    audit::v1::{audit_service_server::*, *},
    log::v1 as log,
};
use tonic::{Request, Response, Status, async_trait};

use crate::world::{Running, World};

const ORIGIN: &str = "police.example/intake";

/// A log that can be made to lie.
#[derive(Clone)]
struct Log {
    key: Arc<LogKey>,
    leaves: Arc<Mutex<Vec<log::Leaf>>>,
    /// What it shows where that is not what it signs for.
    shown: Arc<Mutex<Option<Vec<log::Leaf>>>>,
}

impl Log {
    fn new() -> Self {
        Self { key: Arc::new(LogKey::generate()), leaves: Arc::default(), shown: Arc::default() }
    }

    fn holds(&self, count: u64, word: &str) {
        let leaf = |position| log::Leaf {
            position,
            kind: word.to_owned(),
            version: 1,
            time: Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: 0 }),
            commitment: vec![1; 32],
        };
        *self.leaves.lock().unwrap_or_else(PoisonError::into_inner) = (0..count).map(leaf).collect();
    }

    fn leaves(&self) -> Vec<log::Leaf> {
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn shows(&self, leaves: Vec<log::Leaf>) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(leaves);
    }

    fn tree(&self) -> (Frontier, Vec<(haetae_seal::merkle::NodeId, haetae_seal::merkle::Hash)>) {
        let (mut tree, mut nodes) = (Frontier::new(), Vec::new());
        for leaf in self.leaves() {
            let time_us = leaf.time.unwrap().seconds * 1_000_000;
            let commitment = leaf.commitment.try_into().unwrap();
            tree.push(leaf::Leaf { kind: leaf.kind, version: leaf.version, time_us, commitment }.hash(), &mut nodes);
        }
        (tree, nodes)
    }

    async fn served(&self, world: &World) -> Running {
        let running = Running::start(world.server().add(AuditServiceServer::new(self.clone()))).await;
        let verifier = self.key.verifier(ORIGIN).unwrap();
        let log = format!(
            "[[log]]\nservice = \"intake\"\nendpoints = [\"https://{}\"]\nverifier = \"{verifier}\"\nAUDITOR",
            running.at
        );
        world.profile(running.at, "", &log);
        running
    }
}

#[async_trait]
impl AuditService for Log {
    async fn get_checkpoint(
        &self,
        _: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        let (tree, _) = self.tree();
        let checkpoint = Checkpoint { origin: ORIGIN.into(), size: tree.size(), root: tree.root() };
        let checkpoint = checkpoint.sign(&self.key).unwrap();
        Ok(Response::new(GetCheckpointResponse { checkpoint, ..Default::default() }))
    }

    async fn list_leaves(&self, asked: Request<ListLeavesRequest>) -> Result<Response<ListLeavesResponse>, Status> {
        let start = usize::try_from(asked.into_inner().start_position).unwrap();
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let leaves = shown.unwrap_or_else(|| self.leaves()).into_iter().skip(start).take(1_000).collect();
        Ok(Response::new(ListLeavesResponse { leaves }))
    }

    async fn get_inclusion_proof(
        &self,
        asked: Request<GetInclusionProofRequest>,
    ) -> Result<Response<GetInclusionProofResponse>, Status> {
        let GetInclusionProofRequest { leaf_index, tree_size } = asked.into_inner();
        let (_, nodes) = self.tree();
        let load = |id| nodes.iter().find(|(node, _)| *node == id).map(|(_, hash)| *hash);
        let hashes = InclusionPlan::new(leaf_index, tree_size).unwrap().assemble(load).unwrap();
        let hashes = hashes.iter().map(|hash| hash.to_vec()).collect();
        let proof = log::InclusionProof { leaf_index, tree_size, hashes };
        Ok(Response::new(GetInclusionProofResponse { proof: Some(proof) }))
    }

    async fn get_consistency_proof(
        &self,
        asked: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<GetConsistencyProofResponse>, Status> {
        let GetConsistencyProofRequest { old_size, new_size } = asked.into_inner();
        let (_, nodes) = self.tree();
        let load = |id| nodes.iter().find(|(node, _)| *node == id).map(|(_, hash)| *hash);
        let hashes = ConsistencyPlan::new(old_size, new_size).unwrap().assemble(load).unwrap();
        let hashes = hashes.iter().map(|hash| hash.to_vec()).collect();
        let proof = log::ConsistencyProof { old_size, new_size, hashes };
        Ok(Response::new(GetConsistencyProofResponse { proof: Some(proof) }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_verifies_over_several_pages_and_again_from_what_was_saved() {
    let (world, log) = (World::new(), Log::new());
    let _running = log.served(&world).await;
    log.holds(1_500, "fact");
    let seen = world.path("seen.json");
    let seen = seen.to_str().unwrap();
    let ran = world.haetae(&["log", "verify", "--save", seen, "--json"]).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    let json = ran.json();
    assert_eq!((&json["logs"][0]["size"], &json["logs"][0]["verified"]), (&"1500".into(), &true.into()));
    assert_eq!(json["logs"][0]["root"], hex::encode(log.tree().0.root()));

    log.holds(2_100, "fact");
    let ran = world.haetae(&["log", "verify", "--service", "intake", "--from", seen]).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.out().contains("2100") && ran.out().contains("1500 leaves"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_shows_other_leaves_than_it_signed_is_tampered_with() {
    let (world, log) = (World::new(), Log::new());
    let _running = log.served(&world).await;
    log.holds(5, "fact");
    let mut shown = log.leaves();
    shown[2].commitment[0] ^= 1;
    log.shows(shown);
    let ran = world.haetae(&["log", "verify"]).await;
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(ran.out().contains("TAMPERED") && ran.err().contains("1 of 1 log did not verify"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_leaves_of_a_large_log_are_proven_against_the_signed_root() {
    let (world, log) = (World::new(), Log::new());
    let _running = log.served(&world).await;
    log.holds(500, "fact");
    let verify = ["log", "verify", "--newest", "5"];
    let ran = world.haetae(&[&verify[..], &["--json"]].concat()).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(ran.json()["logs"][0]["leaves_read"], "5");
    assert!(world.haetae(&verify).await.out().contains("newest 5 read"));

    let mut shown = log.leaves();
    shown[0].commitment[0] ^= 1;
    log.shows(shown.clone());
    assert_eq!(world.haetae(&verify).await.code(), 0, "what is older is not looked at");
    shown[498].commitment[0] ^= 1;
    log.shows(shown);
    let ran = world.haetae(&verify).await;
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(ran.out().contains("TAMPERED") && ran.out().contains("leaf 498"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_log_is_forked_and_a_shorter_one_rolled_back_and_neither_replaces_what_was_kept() {
    let (world, log) = (World::new(), Log::new());
    let _running = log.served(&world).await;
    log.holds(7, "fact");
    let seen = world.path("seen.json");
    let verify = ["log", "verify", "--from", seen.to_str().unwrap(), "--save", seen.to_str().unwrap()];
    assert_eq!(world.haetae(&[&verify[..2], &verify[4..]].concat()).await.code(), 0);
    let kept = std::fs::read_to_string(&seen).unwrap();

    for (count, word, result) in [(9, "rewritten", "FORKED"), (4, "fact", "ROLLED BACK")] {
        log.holds(count, word);
        let ran = world.haetae(&verify).await;
        assert_eq!(ran.code(), 1, "{ran:?}");
        assert!(ran.out().contains(result), "{ran:?}");
        assert_eq!(std::fs::read_to_string(&seen).unwrap(), kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_by_another_key_is_not_signed() {
    let (world, log) = (World::new(), Log::new());
    let running = log.served(&world).await;
    let other = LogKey::generate().verifier(ORIGIN).unwrap();
    let entry = format!(
        "[[log]]\nservice = \"intake\"\nendpoints = [\"https://{}\"]\nverifier = \"{other}\"\nAUDITOR",
        running.at
    );
    world.profile(running.at, "", &entry);
    let ran = world.haetae(&["log", "verify"]).await;
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(ran.out().contains("NOT SIGNED"), "{ran:?}");
}
