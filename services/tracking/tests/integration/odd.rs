//! Tokens that are not what they seem, and payments that are none.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use haetae_core::Amount;
use haetae_wire::tracking::v1 as wire;

use crate::mesh::{Mesh, WatchOf, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn spoofed_tokens_and_payments_of_nothing_are_no_hops_and_what_is_burnt_has_ended() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let spoofed = mesh.chain.another_token().await;
    let stolen = BTreeMap::from([(mesh.chain.token(), Amount::from(1_000u64))]);
    let watch = mesh.watch(&WatchOf { stolen, ..WatchOf::coins(0, 0) }).await;

    mesh.chain.pay_token_of(spoofed, 0, mesh.chain.accounts[3], U256::from(1_000)).await;
    mesh.chain.pay_token(0, 4, 0).await;
    mesh.chain.pay_token(0, 0, 1_000).await;
    let paid = mesh.chain.pay_token(0, 1, 600).await;
    let burnt = mesh.chain.pay_token_of(mesh.chain.token, 0, Address::ZERO, U256::from(400)).await;

    let hops = async || mesh.of_kind::<wire::Hop>(watch, "hop").await;
    eventually("two hops", async || hops().await.len() == 2).await;
    let found: Vec<_> =
        hops().await.into_iter().map(|hop| (hop.transfer.unwrap().transaction, hop.traced_amount)).collect();
    assert_eq!(found, [(paid, "600".to_owned()), (burnt, "400".to_owned())]);
    let ends: Vec<wire::TrailEnded> = mesh.of_kind(watch, "trail-ended").await;
    assert_eq!(ends.iter().map(wire::TrailEnded::reason).collect::<Vec<_>>(), [wire::TrailEndReason::Contract]);
}
