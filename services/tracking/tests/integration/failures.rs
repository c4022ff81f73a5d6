//! What goes wrong in the open tools that people use today, each under its name: here it does not.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use haetae_core::{Amount, Asset, ConfirmationAnswer, WatchId};
use haetae_testkit::proxy::FaultProxy;
use haetae_wire::exchange::v1 as exchange;
use haetae_wire::signed::open_arrival;
use haetae_wire::tracking::v1 as wire;

use crate::chain::Chain;
use crate::mesh::{Mesh, WatchOf, eventually};

async fn hops(mesh: &Mesh, watch: WatchId) -> Vec<wire::Hop> {
    mesh.of_kind(watch, "hop").await
}

/// Blocks leave the chain, others come in their place, and the chain goes on: every payment of the branch that won is
/// found, those in the blocks around the fork too.
#[tokio::test(flavor = "multi_thread")]
async fn reorg_gaps() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000_000)).await;
    mesh.chain.mine(3).await;
    let mut standing = vec![mesh.chain.pay(0, 1, 100).await];
    for _ in 0..3 {
        mesh.chain.pay(0, 1, 100).await;
    }
    mesh.caught_up().await;
    // Nobody reads while it happens.
    drop(replica);
    mesh.chain.reorg(3).await;
    for n in 0..5 {
        standing.push(mesh.chain.pay(0, 2 + n % 3, 100).await);
    }
    let _replica = mesh.replica().await;
    mesh.caught_up().await;
    let retracted: Vec<wire::FinalityChanged> = mesh.of_kind(watch, "hop-finality").await;
    let is_retracted = |hop: &wire::Hop| {
        let said = retracted.iter().rfind(|said| said.hop_id == hop.hop_id);
        said.is_some_and(|said| said.finality() == wire::Finality::Retracted)
    };
    let found = hops(&mesh, watch).await;
    let stand = found.iter().filter(|hop| !is_retracted(hop)).map(|h| h.transfer.clone().unwrap().transaction);
    assert_eq!(stand.collect::<Vec<_>>(), standing);
}

/// Hundreds of payments leave an account in the block in which the money came, and hundreds more in one transaction after it.
#[tokio::test(flavor = "multi_thread")]
async fn missed_outgoing_transfers() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let mut of = WatchOf::coins(0, 1_000_000);
    of.limits.max_addresses = 1_000;
    of.limits.max_questions = 10_000;
    let batch = mesh.chain.batch_token().await;
    of.stolen.insert(Asset::erc20(Chain::id(), batch), Amount::from(1_000_000u64));
    let watch = mesh.watch(&of).await;
    mesh.chain.automine(false).await;
    let mut paid = vec![mesh.chain.pay(0, 1, 900_000).await];
    for n in 0..200u64 {
        paid.push(mesh.chain.pay_to(1, Address::left_padding_from(&(10_000 + n).to_be_bytes()), 100).await);
    }
    paid.push(mesh.chain.pay_batch(batch, 0, mesh.chain.accounts[1], 100_000, 1).await);
    let at_once = mesh.chain.pay_batch(batch, 1, Address::left_padding_from(&20_000u64.to_be_bytes()), 100, 300).await;
    paid.extend(std::iter::repeat_n(at_once, 300));
    mesh.chain.mine(1).await;
    eventually("all are found", async || hops(&mesh, watch).await.len() == paid.len()).await;
    let found: Vec<_> = hops(&mesh, watch).await.into_iter().map(|hop| hop.transfer.unwrap().transaction).collect();
    assert_eq!(found, paid);
}

/// Nothing moves, and yet a transfer is recorded: of nothing, or from somebody to himself.
#[tokio::test(flavor = "multi_thread")]
async fn ghost_zero_value_transfers() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let mut of = WatchOf::coins(0, 1_000);
    of.stolen.insert(mesh.chain.token(), Amount::from(500u64));
    of.limits.dust.clear();
    let watch = mesh.watch(&of).await;
    mesh.chain.pay(0, 1, 0).await;
    mesh.chain.pay_token(0, 1, 0).await;
    mesh.chain.pay_token(0, 0, 500).await;
    let real = mesh.chain.pay_token(0, 2, 1).await;
    eventually("the one that moves something", async || !hops(&mesh, watch).await.is_empty()).await;
    mesh.caught_up().await;
    let found: Vec<_> = hops(&mesh, watch).await.into_iter().map(|hop| hop.transfer.unwrap().transaction).collect();
    assert_eq!(found, [real]);
    assert!(mesh.questions("upbit", &mesh.chain.account(1)).await.is_empty(), "nobody is asked about a bystander");
}

/// Amounts are what the chain says, in the asset's smallest unit: no decimals are assumed, and none are lost.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_units() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let most = Amount::from_u256(U256::MAX);
    let odd: U256 = "123456789012345678901234567890123456789012345678901234567".parse().unwrap();
    let mut of = WatchOf::coins(0, 3);
    of.stolen.insert(mesh.chain.token(), most);
    of.limits.dust.clear();
    let watch = mesh.watch(&of).await;
    mesh.chain.pay(0, 1, 1).await;
    mesh.chain.pay_token_of(mesh.chain.token, 0, mesh.chain.accounts[2], odd).await;
    eventually("two hops", async || hops(&mesh, watch).await.len() == 2).await;
    let found = hops(&mesh, watch).await;
    let amounts: Vec<_> = found.iter().map(|hop| (hop.asset.clone(), hop.amount.clone())).collect();
    assert_eq!(
        amounts,
        [(Chain::coin().to_string(), "1".to_owned()), (mesh.chain.token().to_string(), odd.to_string())]
    );
}

/// What an address is, its exchange says, and signs: not its form, not its traffic, and nobody else. An exchange's own
/// wallet is told from a customer's deposit address, and neither is followed into.
#[tokio::test(flavor = "multi_thread")]
async fn deposits_misclassified() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    // It looks like a deposit address: money comes, and all of it goes on to a wallet that many pay.
    mesh.chain.pay(0, 1, 700).await;
    mesh.chain.pay(1, 2, 700).await;
    mesh.chain.pay(5, 2, 50_000).await;
    mesh.forge("upbit", &mesh.chain.account(1), ConfirmationAnswer::Held).await;
    for exchange in ["upbit", "bithumb"] {
        mesh.answer(exchange, &mesh.chain.account(1), ConfirmationAnswer::NotHeld).await;
    }
    mesh.answer_as_own("upbit", &mesh.chain.account(2)).await;
    eventually("it arrived", async || mesh.stream(watch).await.iter().any(|said| said.kind == "arrival")).await;
    mesh.chain.pay(2, 3, 700).await;
    mesh.caught_up().await;
    let stream = mesh.stream(watch).await;
    let arrivals: Vec<_> = stream
        .iter()
        .filter(|said| said.kind == "arrival")
        .map(|said| open_arrival(&said.payload, &mesh.keyring).unwrap())
        .collect();
    let [arrival] = arrivals.as_slice() else { panic!("{arrivals:?}") };
    assert_eq!(arrival.target.account, mesh.chain.account(2));
    assert_eq!(exchange::WalletRole::from(arrival.wallet_role.unwrap()), exchange::WalletRole::ExchangeOwn);
    assert_eq!(hops(&mesh, watch).await.iter().filter(|hop| hop.depth > 2).count(), 0, "nor into the wallet");
}

/// A subscription dies without a word: nothing is closed, and nothing comes any more. Nothing else tells of blocks here.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_go_stale() {
    let mut mesh = Mesh::start().await;
    let node = mesh.chain.anvil.ws_url();
    let node = node.trim_start_matches("ws://").trim_end_matches('/').parse().unwrap();
    let proxy = FaultProxy::start(node).await.unwrap();
    mesh.subscribe_at(proxy.address());
    mesh.chains()[0].poll_ms = 3_600_000;
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.pay(0, 1, 100).await;
    eventually("a hop", async || hops(&mesh, watch).await.len() == 1).await;
    proxy.strand().await.unwrap();
    mesh.chain.pay(0, 1, 100).await;
    eventually("another, once the silence was noticed and some block comes after it", async || {
        mesh.chain.mine(1).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        hops(&mesh, watch).await.len() == 2
    })
    .await;
    mesh.chain.pay(0, 1, 100).await;
    eventually("and on", async || hops(&mesh, watch).await.len() == 3).await;
}
