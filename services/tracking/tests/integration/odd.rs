//! Tokens that are not what they seem, and payments that are none.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use haetae_core::{Account, Amount, Asset};
use haetae_wire::tracking::v1 as wire;

use crate::chain::Chain;
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

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_answer_nothing_take_a_fee_or_stand_behind_a_proxy_are_followed_by_what_they_log() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    // The plain one answers nothing to whoever calls it.
    let tokens = [mesh.chain.token, mesh.chain.token_with_fee().await, mesh.chain.proxy(mesh.chain.token).await];
    let asset = |token| Asset::erc20(Chain::id(), token);
    let stolen = tokens.iter().map(|token| (asset(*token), Amount::from(1_000u64))).collect();
    let watch = mesh.watch(&WatchOf { stolen, ..WatchOf::coins(0, 0) }).await;
    for token in tokens {
        mesh.chain.pay_token_of(token, 0, mesh.chain.accounts[1], U256::from(500)).await;
        mesh.chain.pay_token_of(token, 1, mesh.chain.accounts[2], U256::from(200)).await;
    }
    let hops = async || mesh.of_kind::<wire::Hop>(watch, "hop").await;
    eventually("all hops", async || hops().await.len() == 8).await;
    let found = hops().await;
    for (n, token) in tokens.into_iter().enumerate() {
        let of_it = found.iter().filter(|hop| hop.asset == asset(token).to_string());
        let moved: Vec<_> = of_it.map(|hop| (hop.traced_amount.as_str(), hop.to.as_str())).collect();
        let [one, two, itself] = [mesh.chain.account(1), mesh.chain.account(2), Account::evm(Chain::id(), token)];
        let [one, two, itself] = [one, two, itself].map(|account| account.to_string());
        match n {
            1 => assert_eq!(moved, [("499", &*one), ("1", &*itself), ("199", &*two), ("1", &*itself)]),
            _ => assert_eq!(moved, [("500", &*one), ("200", &*two)]),
        }
    }
}
