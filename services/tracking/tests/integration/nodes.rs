//! Nodes die, hang, lag and disagree; what can be read is read, and only once.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use haetae_core::{Account, Amount, Asset, ChainId, WatchId};
use haetae_testkit::anvil::{Anvil, AnvilOptions};
use haetae_testkit::proxy::{FaultProxy, Mode};
use haetae_tracking::{ChainConfig, NodeConfig};
use haetae_wire::operations::v1::ChainCapability;
use haetae_wire::tracking::v1 as wire;
use haetae_wire::tracking::v1::tracking_service_server::TrackingService;
use serde_json::json;
use tonic::Request;

use crate::mesh::{Mesh, Replica, WatchOf, eventually};

async fn before(node: &Anvil) -> FaultProxy {
    FaultProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, node.port()))).await.unwrap()
}

fn http(proxy: &FaultProxy) -> String {
    format!("http://{}", proxy.address())
}

fn ws(proxy: &FaultProxy) -> Option<String> {
    Some(format!("ws://{}", proxy.address()))
}

async fn transactions(mesh: &Mesh, watch: WatchId) -> Vec<String> {
    let hops: Vec<wire::Hop> = mesh.of_kind(watch, "hop").await;
    hops.into_iter().map(|hop| hop.transfer.unwrap().transaction).collect()
}

async fn status(replica: &Replica) -> Vec<wire::ChainStatus> {
    replica.api().list_chains(Request::new(wire::ListChainsRequest {})).await.unwrap().into_inner().chains
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_contract_pays_by_a_call_is_a_hop_and_a_chain_says_that_it_sees_that() {
    let mesh = Mesh::start().await;
    let forwarder = mesh.chain.forwarder().await;
    let replica = mesh.replica().await;
    let root = Account::evm(mesh.chain.account(0).chain().clone(), forwarder);
    let watch = mesh.grant_watch_from(root, &WatchOf::coins(0, 1_000)).await;
    eventually("the watch is active", async || !mesh.stream(watch).await.is_empty()).await;
    mesh.chain.pay_through(forwarder, 5, 1, 700).await;
    let last = mesh.chain.pay(1, 2, 600).await;
    eventually("two hops", async || transactions(&mesh, watch).await.len() == 2).await;
    let hops: Vec<wire::Hop> = mesh.of_kind(watch, "hop").await;
    let first = hops[0].transfer.as_ref().unwrap();
    assert_eq!((first.index.as_str(), hops[0].traced_amount.as_str()), ("trace/0", "700"));
    assert_eq!(hops[1].transfer.as_ref().unwrap().transaction, last);

    eventually("how the nodes are is told", async || status(&replica).await[0].nodes_answering == 1).await;
    let capabilities: Vec<_> = status(&replica).await[0].capabilities().collect();
    assert_eq!(capabilities, [ChainCapability::InternalTransfers]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_lost_heads_leaves_no_gap() {
    let mut mesh = Mesh::start().await;
    let proxy = before(&mesh.chain.anvil).await;
    let chain = &mut mesh.chains()[0];
    // Nothing but the subscription tells of blocks.
    (chain.nodes[0].ws, chain.poll_ms) = (ws(&proxy), 3_600_000);
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    let mut paid = vec![mesh.chain.pay(0, 1, 100).await];
    eventually("a hop", async || transactions(&mesh, watch).await.len() == 1).await;

    proxy.set(Mode::Refuse).await.unwrap();
    proxy.cut().await.unwrap();
    for _ in 0..3 {
        paid.push(mesh.chain.pay(0, 1, 100).await);
    }
    proxy.set(Mode::Pass).await.unwrap();
    // Some head comes after the subscription is there again.
    eventually("no hop is missing", async || {
        mesh.chain.mine(1).await;
        transactions(&mesh, watch).await.len() == paid.len()
    })
    .await;
    assert_eq!(transactions(&mesh, watch).await, paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_went_stale_costs_time_and_nothing_else() {
    let mut mesh = Mesh::start().await;
    let proxy = before(&mesh.chain.anvil).await;
    mesh.chains()[0].nodes[0].ws = ws(&proxy);
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    proxy.set(Mode::BlackHole).await.unwrap();
    let paid = [mesh.chain.pay(0, 1, 100).await, mesh.chain.pay(1, 2, 90).await];
    eventually("two hops", async || transactions(&mesh, watch).await.len() == 2).await;
    assert_eq!(transactions(&mesh, watch).await, paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_answering_is_left_for_another_and_back_again() {
    let mut mesh = Mesh::start().await;
    let (first, second) = (before(&mesh.chain.anvil).await, before(&mesh.chain.anvil).await);
    mesh.chains()[0].nodes =
        [&first, &second].map(|proxy| NodeConfig { http: http(proxy), ws: ws(proxy), ..NodeConfig::default() }).into();
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    let mut paid = vec![mesh.chain.pay(0, 1, 100).await];
    let all = async |paid: &[String]| {
        eventually("a hop", async || transactions(&mesh, watch).await.len() == paid.len()).await;
        assert_eq!(transactions(&mesh, watch).await, paid);
    };
    all(&paid).await;

    first.set(Mode::BlackHole).await.unwrap();
    paid.push(mesh.chain.pay(0, 1, 100).await);
    all(&paid).await;
    eventually("one of two answers", async || {
        let status = &status(&replica).await[0];
        (status.nodes, status.nodes_answering) == (2, 1)
    })
    .await;

    first.set(Mode::Pass).await.unwrap();
    second.set(Mode::Refuse).await.unwrap();
    second.cut().await.unwrap();
    paid.push(mesh.chain.pay(0, 1, 100).await);
    all(&paid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_another_branch_counts_once_its_chain_is_the_longer() {
    let mut mesh = Mesh::start().await;
    mesh.chain.mine(3).await;
    let fork_of = Some(mesh.chain.anvil.http_url());
    let other = Anvil::start(AnvilOptions { fork_of, ..AnvilOptions::default() }).await.unwrap();
    let proxy = before(&mesh.chain.anvil).await;
    let chain = &mut mesh.chains()[0];
    chain.block_time_ms = 3_600_000;
    chain.nodes = [http(&proxy), other.http_url()].map(|http| NodeConfig { http, ..NodeConfig::default() }).into();
    let replica = mesh.replica().await;
    eventually("both nodes answer", async || status(&replica).await[0].nodes_answering == 2).await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    let paid = mesh.chain.pay(0, 1, 100).await;
    let raw = mesh.chain.raw(&paid).await;
    eventually("a hop", async || transactions(&mesh, watch).await.len() == 1).await;
    let finality = async || {
        let said: Vec<wire::FinalityChanged> = mesh.of_kind(watch, "hop-finality").await;
        said.iter().map(wire::FinalityChanged::finality).collect::<Vec<_>>()
    };

    // As long, but another: nothing is taken back for it.
    other.rpc("anvil_mine", json!(["0x1"])).await.unwrap();
    proxy.set(Mode::Refuse).await.unwrap();
    proxy.cut().await.unwrap();
    eventually("one of two answers", async || status(&replica).await[0].nodes_answering == 1).await;
    assert!(finality().await.is_empty());

    other.rpc("anvil_mine", json!(["0x1"])).await.unwrap();
    eventually("the hop is retracted", async || finality().await.contains(&wire::Finality::Retracted)).await;
    other.rpc("eth_sendRawTransaction", json!([raw])).await.unwrap();
    eventually("it is there again", async || finality().await.last() == Some(&wire::Finality::Seen)).await;
    assert_eq!(transactions(&mesh, watch).await, [paid]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_chains_are_read_and_never_mixed() {
    let mut mesh = Mesh::start().await;
    let (number, id) = (31_338, ChainId::evm(31_338));
    let second = Anvil::start(AnvilOptions { chain_id: number, ..AnvilOptions::default() }).await.unwrap();
    let first = mesh.chains()[0].clone();
    let node = |anvil: &Anvil| NodeConfig { http: anvil.http_url(), ws: Some(anvil.ws_url()), ..NodeConfig::default() };
    // A node of the first chain is named for the second by mistake.
    let nodes = vec![node(&mesh.chain.anvil), node(&second)];
    mesh.chains().push(ChainConfig { id: id.to_string(), nodes, ..first });
    let replica = mesh.replica().await;
    eventually("both chains are read", async || {
        let status = status(&replica).await;
        status.len() == 2 && status[1].nodes_answering == 1
    })
    .await;
    assert_eq!(status(&replica).await[1].nodes, 2);

    let root = mesh.chain.account(0);
    let elsewhere = Account::evm(id.clone(), root.evm_address().unwrap());
    let of =
        |asset: Asset| WatchOf { stolen: BTreeMap::from([(asset, Amount::from(1_000u64))]), ..WatchOf::coins(0, 0) };
    let watches = [
        mesh.grant_watch_from(root, &of(Asset::evm_native(mesh.chain.account(0).chain().clone()))).await,
        mesh.grant_watch_from(elsewhere, &of(Asset::evm_native(id))).await,
    ];
    for watch in watches {
        eventually("the watch is active", async || {
            mesh.stream(watch).await.iter().any(|said| said.kind == "watch-active")
        })
        .await;
    }
    let here = mesh.chain.pay(0, 1, 100).await;
    let payment = json!([{"from": mesh.chain.accounts[0], "to": mesh.chain.accounts[2], "value": "0x64"}]);
    let there = second.rpc("eth_sendTransaction", payment).await.unwrap();
    for (watch, paid) in watches.into_iter().zip([here.as_str(), there.as_str().unwrap()]) {
        eventually("a hop", async || transactions(&mesh, watch).await.len() == 1).await;
        assert_eq!(transactions(&mesh, watch).await, [paid]);
    }
}
