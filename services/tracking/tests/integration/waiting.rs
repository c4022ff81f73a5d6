//! What waits to be included is told as a warning, and nobody acts on it.

use alloy_primitives::{U256, hex};
use haetae_core::{Amount, WatchId};
use haetae_wire::tracking::v1 as wire;
use haetae_wire::tracking::v1::WaitingState::{Dropped, Included, Replaced, Seen};
use serde_json::json;

use crate::mesh::{Mesh, WatchOf, eventually};

/// What was said of which transaction, in its order.
async fn waiting(mesh: &Mesh, watch: WatchId) -> Vec<(wire::WaitingState, String)> {
    let said: Vec<wire::Waiting> = mesh.of_kind(watch, "waiting").await;
    said.into_iter().map(|waiting| (waiting.state(), waiting.transaction)).collect()
}

/// What a block has room for.
const BLOCK: u64 = 10_000_000;
/// What a transaction may need that fits into a block where there is no other in it.
const ALMOST_A_BLOCK: u64 = BLOCK - 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_told_as_a_warning_and_what_became_of_it() {
    let mesh = Mesh::looking_at_what_waits().await;
    let _replica = mesh.replica().await;
    let mut of = WatchOf::coins(0, 1_000);
    of.stolen.insert(mesh.chain.token(), Amount::from(500u64));
    let watch = mesh.watch(&of).await;
    let said = async || waiting(&mesh, watch).await;
    mesh.chain.automine(false).await;

    // Nothing had happened to the watch before.
    let first = mesh.chain.pay(0, 1, 700).await;
    eventually("the payment is told", async || said().await == [(Seen, first.clone())]).await;
    let payment = mesh.of_kind::<wire::Waiting>(watch, "waiting").await.remove(0).payments.remove(0);
    let (from, to) = (mesh.chain.account(0).to_string(), mesh.chain.account(1).to_string());
    assert_eq!((payment.from, payment.to, payment.amount), (from, to, "700".to_owned()));
    assert!(mesh.questions("upbit", &mesh.chain.account(1)).await.is_empty(), "nobody is asked because of it");

    let second = mesh.chain.pay_instead(&first, 2, 650).await;
    eventually("the other in its place is told", async || said().await.len() == 3).await;
    assert_eq!(said().await[1..], [(Replaced, first.clone()), (Seen, second.clone())]);
    let replaced = mesh.of_kind::<wire::Waiting>(watch, "waiting").await.remove(1);
    assert_eq!(replaced.replaced_by, second);

    mesh.chain.mine(1).await;
    eventually("it is in a block", async || said().await.last() == Some(&(Included, second.clone()))).await;
    assert_eq!(mesh.of_kind::<wire::Hop>(watch, "hop").await.len(), 1);

    let third = mesh.chain.pay(2, 3, 100).await;
    eventually("what its payee would pay is told", async || said().await.last() == Some(&(Seen, third.clone()))).await;
    mesh.chain.anvil.rpc("anvil_dropTransaction", json!([third])).await.unwrap();
    eventually("it waits no more", async || said().await.last() == Some(&(Dropped, third.clone()))).await;

    let call = hex::encode_prefixed(
        [&hex!("a9059cbb")[..], mesh.chain.accounts[4].into_word().as_slice(), &U256::from(300u64).to_be_bytes::<32>()]
            .concat(),
    );
    let fourth = mesh.chain.pay_with(0, mesh.chain.token, 0, json!({"data": call, "gas": "0x20000"})).await;
    eventually("a token's payment is told", async || said().await.last() == Some(&(Seen, fourth.clone()))).await;
    let payment = mesh.of_kind::<wire::Waiting>(watch, "waiting").await.pop().unwrap().payments.remove(0);
    assert_eq!((payment.asset, payment.amount), (mesh.chain.token().to_string(), "300".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_the_next_block_waits_on() {
    let mesh = Mesh::looking_at_what_waits().await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    let said = async || waiting(&mesh, watch).await;
    mesh.chain.anvil.rpc("evm_setBlockGasLimit", json!([U256::from(BLOCK)])).await.unwrap();
    mesh.chain.mine(1).await;
    mesh.chain.automine(false).await;

    let large = |price: u64| json!({"gas": U256::from(ALMOST_A_BLOCK), "gasPrice": U256::from(price)});
    let to = mesh.chain.accounts[1];
    let slow = mesh.chain.pay_with(0, to, 700, large(3_000_000_000)).await;
    eventually("the payment is told", async || said().await == [(Seen, slow.clone())]).await;
    let dearer = mesh.chain.pay_with(6, to, 10, large(9_000_000_000)).await;
    eventually("the next block holds another", async || mesh.chain.next_block().await == [dearer.clone()]).await;
    // What is told of another watch shows that there was another look since.
    let other = mesh.watch(&WatchOf::coins(6, 1_000)).await;
    eventually("the other is told", async || waiting(&mesh, other).await == [(Seen, dearer.clone())]).await;
    assert_eq!(said().await, [(Seen, slow.clone())], "it waits all the same");

    mesh.chain.mine(2).await;
    eventually("it is in a block", async || said().await.last() == Some(&(Included, slow.clone()))).await;
    assert_eq!(said().await.len(), 2);
}
