//! No block is left out and none is read twice, whoever dies and whatever races.

use std::collections::{BTreeSet, HashMap};

use haetae_core::WatchId;
use haetae_wire::tracking::v1 as wire;
use haetae_wire::tracking::v1::tracking_service_server::TrackingService;
use tonic::Request;

use crate::mesh::{Mesh, WatchOf, eventually};

async fn transactions(mesh: &Mesh, watch: WatchId) -> Vec<String> {
    let hops: Vec<wire::Hop> = mesh.of_kind(watch, "hop").await;
    hops.into_iter().map(|hop| hop.transfer.unwrap().transaction).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_misses_nothing_from_the_block_after_the_one_it_names() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    // Blocks come while the watch is being added.
    let paying = async {
        let mut paid = Vec::new();
        for _ in 0..20 {
            paid.push(mesh.chain.pay(0, 1, 10).await);
        }
        paid
    };
    let of = WatchOf::coins(0, 1_000_000);
    let (watch, paid) = tokio::join!(mesh.watch(&of), paying);
    let active: Vec<wire::WatchMoved> = mesh.of_kind(watch, "watch-active").await;
    let after = active[0].watch.as_ref().unwrap().active_after_block;
    let mut expected = Vec::new();
    for hash in paid {
        if mesh.chain.block_of(&hash).await > after {
            expected.push(hash);
        }
    }
    mesh.caught_up().await;
    assert_eq!(transactions(&mesh, watch).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_replica_reads_on_where_it_stopped() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    let mut paid = vec![mesh.chain.pay(0, 1, 500).await];
    mesh.caught_up().await;
    drop(replica);

    paid.push(mesh.chain.pay(1, 2, 400).await);
    mesh.chain.mine(50).await;
    paid.push(mesh.chain.pay(2, 3, 300).await);
    let _replica = mesh.replica().await;
    mesh.caught_up().await;
    assert_eq!(transactions(&mesh, watch).await, paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_say_everything_once_and_the_second_goes_on_when_the_first_dies() {
    let mesh = Mesh::start().await;
    let first = mesh.replica().await;
    let second = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000_000)).await;
    let mut paid = Vec::new();
    for n in 0..10 {
        paid.push(mesh.chain.pay(0, 1 + n % 3, 100).await);
    }
    drop(first);
    for n in 0..10 {
        paid.push(mesh.chain.pay(0, 1 + n % 3, 100).await);
    }
    mesh.caught_up().await;
    assert_eq!(transactions(&mesh, watch).await, paid);
    for account in 1..=3 {
        assert_eq!(mesh.questions("upbit", &mesh.chain.account(account)).await.len(), 1);
    }
    let request = wire::ListTrailRequest {
        watch_id: watch.to_string(),
        page_size: 1_000,
        page_token: String::new(),
        newest_first: false,
    };
    let items = second.api().list_trail(Request::new(request)).await.unwrap().into_inner().items;
    let hops: BTreeSet<_> = items
        .iter()
        .filter_map(|item| match &item.item {
            Some(wire::trail_item::Item::Hop(hop)) => Some(hop.hop_id.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(hops.len(), paid.len());
    assert_eq!(items.iter().map(|item| item.number).collect::<Vec<_>>(), (1..=items.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_within_one_block_is_followed_to_its_end() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.automine(false).await;
    // The node orders transactions of equal price by when they came.
    let paid = [mesh.chain.pay(0, 1, 500).await, mesh.chain.pay(1, 2, 400).await, mesh.chain.pay(2, 3, 300).await];
    mesh.chain.mine(1).await;
    eventually("three hops", async || transactions(&mesh, watch).await.len() == 3).await;
    assert_eq!(transactions(&mesh, watch).await, paid);
    let hops: Vec<wire::Hop> = mesh.of_kind(watch, "hop").await;
    assert!(hops.iter().all(|hop| hop.block_number == hops[0].block_number));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hangs_delays_and_loses_nothing() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.anvil.pause().unwrap();
    let request = Request::new(wire::ListChainsRequest {});
    let chains = replica.api().list_chains(request).await.unwrap().into_inner().chains;
    assert_eq!(chains[0].chain, "eip155:31337");
    mesh.chain.anvil.resume().unwrap();
    let paid = mesh.chain.pay(0, 1, 500).await;
    mesh.caught_up().await;
    assert_eq!(transactions(&mesh, watch).await, [paid]);
}

/// That come in while blocks do.
const WATCHES: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn of_many_watches_that_come_in_between_blocks_each_misses_nothing_after_the_block_it_names() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let active = async || mesh.said().await.iter().filter(|said| said.kind == "watch-active").count();
    // Blocks come before the first, all the while, and after the last.
    let paying = async {
        let mut paid = vec![mesh.chain.pay(0, 1, 10).await];
        while paid.len() < 200 && active().await < WATCHES {
            paid.push(mesh.chain.pay(0, 1, 10).await);
        }
        paid.push(mesh.chain.pay(0, 1, 10).await);
        paid
    };
    let of = WatchOf::coins(0, 1_000_000);
    let granting = async {
        let mut watches = Vec::new();
        for _ in 0..WATCHES {
            watches.push(mesh.grant_watch(&of).await);
        }
        watches
    };
    let (paid, watches) = tokio::join!(paying, granting);
    let mut blocks = Vec::new();
    for hash in &paid {
        blocks.push((mesh.chain.block_of(hash).await, hash.clone()));
    }
    eventually("all are active", async || active().await == watches.len()).await;
    mesh.caught_up().await;

    let (mut after, mut found) = (HashMap::new(), HashMap::<String, Vec<String>>::new());
    for said in mesh.said().await {
        match said.kind.as_str() {
            "watch-active" => {
                let watch = said.read::<wire::WatchMoved>().watch.unwrap();
                after.insert(watch.watch_id, watch.active_after_block);
            }
            "hop" => {
                let hop: wire::Hop = said.read();
                found.entry(hop.watch_id).or_default().push(hop.transfer.unwrap().transaction);
            }
            _ => {}
        }
    }
    let mut raced = 0;
    for watch in watches.iter().map(ToString::to_string) {
        let later = blocks.iter().filter(|(block, _)| *block > after[&watch]);
        let expected: Vec<_> = later.map(|(_, hash)| hash.clone()).collect();
        raced += usize::from(!expected.is_empty() && expected.len() < paid.len());
        assert_eq!(found.remove(&watch).unwrap_or_default(), expected);
    }
    assert!(raced > 0, "none came in between two payments");
}
