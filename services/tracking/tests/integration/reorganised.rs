//! Blocks leave the chain.

use haetae_core::{ConfirmationAnswer, WatchId};
use haetae_wire::signed::open_arrival;
use haetae_wire::tracking::v1 as wire;
use haetae_wire::tracking::v1::tracking_service_server::TrackingService;
use tonic::Request;

use crate::mesh::{Mesh, Replica, WatchOf, eventually};

/// How a watch's hop stands, by what was said of it.
async fn finality(mesh: &Mesh, watch: WatchId) -> Vec<wire::Finality> {
    let said: Vec<wire::FinalityChanged> = mesh.of_kind(watch, "hop-finality").await;
    said.iter().map(wire::FinalityChanged::finality).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_leaves_the_chain_is_retracted_and_comes_back_as_the_same() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.mine(3).await;
    let transaction = mesh.chain.pay(0, 1, 700).await;
    let raw = mesh.chain.raw(&transaction).await;
    mesh.answer("upbit", &mesh.chain.account(1), ConfirmationAnswer::Held).await;
    let arrivals = async || {
        let stream = mesh.stream(watch).await;
        let envelopes = stream.into_iter().filter(|said| said.kind == "arrival");
        envelopes.map(|said| open_arrival(&said.payload, &mesh.keyring).unwrap()).collect::<Vec<_>>()
    };
    eventually("it arrived", async || arrivals().await.len() == 1).await;

    mesh.chain.reorg(2).await;
    eventually("it is retracted", async || finality(&mesh, watch).await.contains(&wire::Finality::Retracted)).await;
    let retracted: Vec<wire::ArrivalMoved> = mesh.of_kind(watch, "arrival-retracted").await;
    assert_eq!(retracted.len(), 1);

    assert_eq!(mesh.chain.send_raw(raw).await, transaction);
    eventually("it arrived again", async || arrivals().await.len() == 2).await;
    let said = arrivals().await;
    assert_eq!(said[0].id, said[1].id);
    assert_ne!(said[0].block_hash, said[1].block_hash);
    assert!(finality(&mesh, watch).await.contains(&wire::Finality::Seen));
    assert_eq!(mesh.questions("upbit", &mesh.chain.account(1)).await.len(), 1, "nobody is asked twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_on_a_branch_that_is_gone_can_be_spent_otherwise() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.mine(3).await;
    mesh.chain.pay(0, 1, 1_000).await;
    let hops = async || mesh.of_kind::<wire::Hop>(watch, "hop").await;
    eventually("a hop", async || hops().await.len() == 1).await;
    mesh.chain.reorg(1).await;
    eventually("it is retracted", async || finality(&mesh, watch).await.contains(&wire::Finality::Retracted)).await;
    mesh.chain.pay(0, 2, 900).await;
    eventually("another hop", async || hops().await.len() == 2).await;
    assert_eq!(hops().await[1].traced_amount, "900");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_depth_what_left_the_chain_is_retracted_with_all_that_followed_from_it() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    mesh.chain.mine(3).await;
    for (depth, root) in [(1, 0), (2, 3), (7, 6)] {
        let watch = mesh.watch(&WatchOf::coins(root, 1_000)).await;
        mesh.chain.pay(root, root + 1, 900).await;
        mesh.chain.pay(root + 1, root + 2, 800).await;
        // What is spent beyond an account that turns out to be an exchange's does not matter here.
        let hops = async || mesh.of_kind::<wire::Hop>(watch, "hop").await;
        eventually("two hops", async || hops().await.len() == 2).await;
        mesh.chain.mine(depth.max(2) - 2).await;
        mesh.caught_up().await;
        mesh.chain.reorg(depth).await;
        let left = if depth == 1 { 1 } else { 2 };
        eventually("what left is retracted", async || {
            let said = finality(&mesh, watch).await;
            said.iter().filter(|finality| **finality == wire::Finality::Retracted).count() == left
        })
        .await;
        let reached: Vec<wire::AddressReached> = mesh.of_kind(watch, "address-reached").await;
        assert_eq!(reached.len(), left, "nobody is asked again about accounts to which nothing leads");
        assert!(reached.iter().all(|reached| !reached.reached));
        mesh.chain.pay(root + (2 - left), root + 3, 700).await;
        eventually("the money went elsewhere", async || hops().await.len() == 3).await;
        assert_eq!(hops().await[2].traced_amount, "700");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_moves_to_another_block_is_the_same_arrival_and_is_not_taken_back() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.mine(3).await;
    let transaction = mesh.chain.pay(0, 1, 700).await;
    let raw = mesh.chain.raw(&transaction).await;
    mesh.answer("upbit", &mesh.chain.account(1), ConfirmationAnswer::Held).await;
    eventually("it arrived", async || mesh.stream(watch).await.iter().any(|said| said.kind == "arrival")).await;
    mesh.chain.mine(1).await;
    mesh.caught_up().await;
    let before = mesh.chain.block_of(&transaction).await;
    mesh.chain.reorg_moving(2, &raw).await;
    assert_eq!(mesh.chain.block_of(&transaction).await, before + 1);
    eventually("it is seen in its new block", async || {
        let said: Vec<wire::FinalityChanged> = mesh.of_kind(watch, "hop-finality").await;
        said.iter().any(|said| said.finality() == wire::Finality::Seen && said.block_number == before + 1)
    })
    .await;
    // Where the node shows the branch half made, the deposit is away for a moment; it is back as what it was.
    let kinds: Vec<String> = mesh.stream(watch).await.into_iter().map(|said| said.kind).collect();
    let count = |kind: &str| kinds.iter().filter(|said| *said == kind).count();
    assert_eq!(count("arrival"), 1 + count("arrival-retracted"));
    assert_eq!(count("hop"), 1);
}

async fn chain(replica: &Replica) -> wire::ChainStatus {
    replica.api().list_chains(Request::new(wire::ListChainsRequest {})).await.unwrap().into_inner().chains.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_bound_the_chain_halts_for_all_to_see_and_goes_on_when_a_person_allows_for_more() {
    let mut mesh = Mesh::start().await;
    mesh.bound_reorganisations(3);
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.pay(0, 1, 900).await;
    mesh.chain.mine(5).await;
    mesh.caught_up().await;
    assert_eq!(chain(&replica).await.halted_at, None);
    let read = chain(&replica).await;

    mesh.chain.reorg(6).await;
    mesh.chain.mine(2).await;
    eventually("it halts", async || chain(&replica).await.halted_at.is_some()).await;
    let halted = chain(&replica).await;
    assert_eq!((halted.head_number, halted.head_hash), (read.head_number, read.head_hash), "nothing is guessed");
    assert!(!halted.halted_by_hash.is_empty());
    assert!(finality(&mesh, watch).await.iter().all(|said| *said != wire::Finality::Retracted));

    drop(replica);
    mesh.bound_reorganisations(64);
    let replica = mesh.replica().await;
    eventually("it is read on", async || chain(&replica).await.halted_at.is_none()).await;
    eventually("it is retracted", async || finality(&mesh, watch).await.contains(&wire::Finality::Retracted)).await;
}
