//! Blocks leave the chain.

use haetae_core::{ConfirmationAnswer, WatchId};
use haetae_wire::signed::open_arrival;
use haetae_wire::tracking::v1 as wire;

use crate::mesh::{Mesh, WatchOf, eventually};

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
