//! Why trails end: each reason is a fact, and stands among the places where money is.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use haetae_core::{Account, TaintRule, WatchId};
use haetae_testkit::bcoin::{Kind, Wallet};
use haetae_wire::tracking::v1::tracking_service_server::TrackingService as _;
use haetae_wire::tracking::v1::{self as wire, TrailEndReason};
use tonic::Request;

use crate::chain::Chain;
use crate::coins::{self, Coins, of, watch_of};
use crate::labels::{concept, known, label, pack, pack_of};
use crate::mesh::{Mesh, Replica, WatchOf, eventually};

/// What ended where, as the log says it.
async fn ended<C>(mesh: &Mesh<C>, watch: WatchId) -> BTreeSet<(TrailEndReason, String)> {
    let said: Vec<wire::TrailEnded> = mesh.of_kind(watch, "trail-ended").await;
    said.into_iter().filter(|said| !said.retracted).map(|said| (said.reason(), said.account)).collect()
}

/// What ended where, as it is listed, with the label that says so.
async fn listed(replica: &Replica, watch: WatchId) -> BTreeMap<(TrailEndReason, String), Option<String>> {
    let request = wire::ListTrailEndsRequest { watch_id: watch.to_string(), ..Default::default() };
    let ends = replica.api().list_trail_ends(Request::new(request)).await.unwrap().into_inner();
    let label = |place: &wire::TrailPlace| Some(place.label.as_ref()?.says.as_ref()?.label.clone());
    let ends = ends.places.into_iter().filter(|place| place.reason() != TrailEndReason::Unspent);
    ends.map(|place| ((place.reason(), place.account.clone()), label(&place))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_for_which_a_trail_ends_is_a_fact_and_listed_as_one() {
    use TrailEndReason::{
        AddressLimit, Bridge, Contract, Dust, HopLimit, Mixer, PrivacyPool, QuestionLimit, ServiceLike,
    };
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let place = |n: usize| mesh.chain.account(n).to_string();
    for (n, kind) in [(1u8, "mixing_service"), (2, "defi_bridge"), (3, "privacy_pool")] {
        let account = mesh.chain.account(n.into());
        let pack = wire::LabelPack { series: kind.into(), ..pack(n, concept(kind, "forensic"), 1) };
        mesh.import(&pack, vec![label(account.address())], "").await;
        known(&replica, &account, 1).await;
    }
    for _ in 0..40 {
        mesh.chain.pay(6, 7, 1).await;
    }
    let mut of_all = WatchOf::coins(0, 10_000);
    (of_all.limits.max_hops, of_all.limits.max_degree) = (2, 39);
    let all = mesh.watch(&of_all).await;
    let mut of_addresses = WatchOf::coins(9, 10_000);
    of_addresses.limits.max_addresses = 1;
    let addresses = mesh.watch(&of_addresses).await;
    let mut of_questions = WatchOf::coins(8, 10_000);
    of_questions.limits.max_questions = 2;
    let questions = mesh.watch(&of_questions).await;

    let fresh = |n: u64| Address::left_padding_from(&(70_000 + n).to_be_bytes());
    let at = |address| Account::evm(Chain::id(), address).to_string();
    for n in [1, 2, 3, 4, 6] {
        mesh.chain.pay(0, n, 100).await;
    }
    mesh.chain.pay(4, 5, 60).await;
    mesh.chain.pay(0, 7, 5).await;
    mesh.chain.pay_to(0, mesh.chain.token, 100).await;
    for (root, first) in [(9, 1), (8, 3)] {
        mesh.chain.pay_to(root, fresh(first), 100).await;
        mesh.chain.pay_to(root, fresh(first + 1), 100).await;
    }
    mesh.caught_up().await;

    let expected = [
        (Mixer, place(1), Some("pack 1")),
        (Bridge, place(2), Some("pack 2")),
        (PrivacyPool, place(3), Some("pack 3")),
        (HopLimit, place(5), None),
        (ServiceLike, place(6), None),
        (Dust, place(7), None),
        (Contract, at(mesh.chain.token), None),
    ];
    let facts = expected.iter().map(|(reason, account, _)| (*reason, account.clone())).collect();
    assert_eq!(ended(&mesh, all).await, facts);
    assert_eq!(ended(&mesh, addresses).await, [(AddressLimit, at(fresh(2)))].into());
    assert_eq!(ended(&mesh, questions).await, [(QuestionLimit, at(fresh(4)))].into());

    // A replica that knows only what is stored says the same.
    drop(replica);
    let replica = mesh.replica().await;
    let places = expected.map(|(reason, account, label)| ((reason, account), label.map(str::to_owned)));
    assert_eq!(listed(&replica, all).await, places.into());
    assert_eq!(listed(&replica, addresses).await, [((AddressLimit, at(fresh(2))), None)].into());
    assert_eq!(listed(&replica, questions).await, [((QuestionLimit, at(fresh(4))), None)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_names_an_exchange_is_a_hint_and_neither_an_arrival_nor_an_end() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let account = mesh.chain.account(1);
    let says = wire::Attribution { actor: "upbit".into(), ..concept("exchange", "ownership") };
    mesh.import(&pack(1, says, 1), vec![label(account.address())], "").await;
    known(&replica, &account, 1).await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.pay(0, 1, 400).await;
    mesh.asked("upbit", &account, 1).await;
    mesh.chain.pay(1, 2, 300).await;
    eventually("it is followed on", async || mesh.of_kind::<wire::Hop>(watch, "hop").await.len() == 2).await;
    mesh.caught_up().await;
    let stream = mesh.stream(watch).await;
    assert!(!stream.iter().any(|said| said.kind.starts_with("arrival") || said.kind == "trail-ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_money_is_kept_in_outputs_a_labelled_mixer_ends_the_trail_too() {
    let mesh = Coins::started().await;
    let replica = mesh.replica().await;
    let (mut thief, mixer) = (Wallet::new(Kind::P2wpkh, "thief"), Wallet::new(Kind::P2tr, "mixer"));
    mesh.endow(&mut thief, &[500_000]).await;
    let coinjoin = pack_of(&coins::chain(), 1, concept("coinjoin", "forensic"), 1);
    mesh.import(&coinjoin, vec![label(of(&mixer).address())], "").await;
    known(&replica, &of(&mixer), 1).await;
    let watch = mesh.watch_from(of(&thief), &watch_of(TaintRule::TracedFirst, 500_000)).await;
    let mixed = thief.pay(&[(mixer.address(), 300_000)]).unwrap();
    mesh.chain.send(&mixed).await.unwrap();
    mesh.chain.mine(1).await.unwrap();
    mesh.hops(watch, 1).await;
    mesh.read_all().await;
    let mixed = (TrailEndReason::Mixer, of(&mixer).to_string());
    assert!(ended(&mesh, watch).await.contains(&mixed));
    assert_eq!(listed(&replica, watch).await.get(&mixed), Some(&Some("pack 1".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_names_what_others_say_now_about_its_accounts_and_who_says_it() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let account = mesh.chain.account(1);
    let exchange = pack(1, concept("exchange", "web_crawl"), 1);
    mesh.import(&exchange, vec![label(account.address())], "").await;
    known(&replica, &account, 1).await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.pay(0, 1, 400).await;
    eventually("a hop", async || mesh.of_kind::<wire::Hop>(watch, "hop").await.len() == 1).await;
    let labels = async |of: &Account| {
        let request =
            wire::TraceRequest { watch_ids: vec![watch.to_string()], query: Some(wire::TraceQuery::default()) };
        let trace = replica.api().trace(Request::new(request)).await.unwrap().into_inner().trace.unwrap();
        let node = trace.nodes.into_iter().find(|node| node.account == of.to_string()).unwrap();
        node.labels.into_iter().map(|label| (label.label, label.source)).collect::<Vec<_>>()
    };
    let said = |n: u8| vec![(format!("pack {n}"), "https://labels.test".to_owned())];
    assert_eq!(labels(&account).await, said(1));
    assert!(labels(&mesh.chain.account(0)).await.is_empty());
    // Its pack is replaced: what it said does not count any more.
    let newer = pack(2, concept("exchange", "web_crawl"), 1);
    mesh.import(&newer, vec![label(account.address())], &exchange.pack_id).await;
    known(&replica, &account, 1).await;
    eventually("the newer one counts", async || labels(&account).await == said(2)).await;
}
