//! Which part of a payment is traced, under each rule, where stolen money was mixed with other money.

use alloy_primitives::U256;
use haetae_core::{Amount, TaintRule, WatchId};
use haetae_wire::exchange::v1 as exchange;
use haetae_wire::tracking::v1 as wire;
use haetae_wire::tracking::v1::tracking_service_server::TrackingService;
use tonic::Request;

use crate::chain::Chain;
use crate::mesh::{Mesh, Replica, WatchOf, eventually};

async fn hops(mesh: &Mesh, watch: WatchId) -> Vec<wire::Hop> {
    mesh.of_kind(watch, "hop").await
}

async fn ends(mesh: &Mesh, watch: WatchId) -> Vec<wire::TrailEnded> {
    mesh.of_kind(watch, "trail-ended").await
}

async fn shown(replica: &Replica, watch: WatchId) -> wire::Watch {
    let request = wire::GetWatchRequest { watch_id: watch.to_string() };
    replica.api().get_watch(Request::new(request)).await.unwrap().into_inner().watch.unwrap()
}

fn coins(rule: TaintRule, stolen: u64) -> WatchOf {
    let mut of = WatchOf { rule, ..WatchOf::coins(0, stolen) };
    of.limits.dust.clear();
    of
}

/// Hops in short: what was moved, and what of it is traced.
fn short(hops: &[wire::Hop]) -> Vec<(&str, &str)> {
    hops.iter().map(|hop| (hop.amount.as_str(), hop.traced_amount.as_str())).collect()
}

/// 300 honest coins lie at a wallet; 100 stolen ones come to it; 200 leave it, then 150, then 50.
#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_mixes_is_traced_as_each_rule_says_and_every_result_names_its_rule() {
    let mesh = Mesh::start().await;
    mesh.chain.without_gas().await;
    mesh.chain.endow(0, 100).await;
    mesh.chain.endow(1, 300).await;
    let replica = mesh.replica().await;
    let mut watches = Vec::new();
    for rule in TaintRule::ALL {
        watches.push(mesh.watch(&coins(rule, 100)).await);
    }
    let [first, poison, haircut, fifo] = watches[..] else { unreachable!() };

    mesh.chain.pay(0, 1, 100).await;
    mesh.chain.pay(1, 2, 200).await;
    mesh.caught_up().await;
    // What lay there before is remembered: another replica goes on.
    drop(replica);
    let replica = mesh.replica().await;
    mesh.chain.pay(1, 3, 150).await;
    mesh.chain.pay(1, 4, 50).await;
    mesh.caught_up().await;

    let expected = [
        (first, exchange::TaintRule::TracedFirst, vec![("100", "100"), ("200", "100")]),
        (poison, exchange::TaintRule::Poison, vec![("100", "100"), ("200", "200"), ("150", "150"), ("50", "50")]),
        (haircut, exchange::TaintRule::Haircut, vec![("100", "100"), ("200", "50"), ("150", "37"), ("50", "13")]),
        (fifo, exchange::TaintRule::Fifo, vec![("100", "100"), ("150", "50"), ("50", "50")]),
    ];
    for (watch, rule, expected) in expected {
        let found = hops(&mesh, watch).await;
        assert_eq!(short(&found), expected, "{rule:?}");
        assert!(found.iter().all(|hop| hop.taint_rule() == rule));
        let shown = shown(&replica, watch).await;
        assert_eq!(shown.taint_rule(), rule);
        let parts = [&shown.totals[0].arrived, &shown.totals[0].in_flight, &shown.totals[0].ended];
        let sum: u64 = parts.iter().map(|part| part.parse::<u64>().unwrap()).sum();
        assert_eq!(sum, if rule == exchange::TaintRule::Poison { 400 } else { 100 }, "{rule:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arrival_names_the_rule_by_which_it_was_traced() {
    let mesh = Mesh::start().await;
    mesh.chain.without_gas().await;
    mesh.chain.endow(0, 400).await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&coins(TaintRule::Haircut, 100)).await;
    mesh.chain.pay(0, 1, 200).await;
    mesh.answer("upbit", &mesh.chain.account(1), haetae_core::ConfirmationAnswer::Held).await;
    eventually("it arrived", async || mesh.stream(watch).await.iter().any(|said| said.kind == "arrival")).await;
    let stream = mesh.stream(watch).await;
    let envelope = &stream.iter().find(|said| said.kind == "arrival").unwrap().payload;
    let arrival = haetae_wire::signed::open_arrival(envelope, &mesh.keyring).unwrap();
    assert_eq!((arrival.rule, arrival.traced), (TaintRule::Haircut, Amount::from(50u64)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_transactions_cost_carries_its_part_of_the_stolen_money() {
    let mesh = Mesh::start().await;
    let balance = 1_000_000_000_000_000_000_u64;
    mesh.chain.endow(0, balance).await;
    let replica = mesh.replica().await;
    let stolen = U256::from(balance / 2);
    let watch = mesh.watch(&coins(TaintRule::Haircut, balance / 2)).await;
    let transaction = mesh.chain.pay(0, 1, 1_000_000).await;
    eventually("a hop", async || hops(&mesh, watch).await.len() == 1).await;

    let cost = mesh.chain.cost_of(&transaction).await;
    assert!(!cost.is_zero());
    let spent = stolen * cost / U256::from(balance);
    let ended = ends(&mesh, watch).await;
    assert_eq!((ended[0].reason(), &ended[0].traced_amount), (wire::TrailEndReason::Fee, &spent.to_string()));
    assert_eq!(ended[0].transfer.as_ref().unwrap().index, "fee");
    let traced = (stolen - spent) * U256::from(1_000_000) / (U256::from(balance) - cost);
    assert_eq!(hops(&mesh, watch).await[0].traced_amount, traced.to_string());
    let totals = &shown(&replica, watch).await.totals[0];
    assert_eq!((&totals.ended, &totals.in_flight), (&spent.to_string(), &(stolen - spent).to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_node_can_say_what_lay_there_the_trail_ends_and_says_so() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    // A token whose contract does not answer what anybody has.
    let mut of = coins(TaintRule::Fifo, 0);
    of.stolen = [(mesh.chain.token(), Amount::from(500u64))].into();
    let watch = mesh.watch(&of).await;
    mesh.chain.pay_token(0, 2, 300).await;
    eventually("it is said", async || !ends(&mesh, watch).await.is_empty()).await;
    mesh.caught_up().await;
    let ended = ends(&mesh, watch).await;
    let [end] = ended.as_slice() else { panic!("{ended:?}") };
    assert_eq!((end.reason(), end.traced_amount.as_str()), (wire::TrailEndReason::BalanceUnknown, "500"));
    assert_eq!((&end.account, &end.transfer), (&mesh.chain.account(0).to_string(), &None));
    assert!(hops(&mesh, watch).await.is_empty());
    assert_eq!(shown(&replica, watch).await.totals[0].ended, "500");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_left_the_root_before_the_watch_is_not_traced_to_it() {
    let mesh = Mesh::start().await;
    mesh.chain.without_gas().await;
    mesh.chain.endow(0, 60).await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&coins(TaintRule::Fifo, 100)).await;
    mesh.chain.pay(0, 1, 40).await;
    eventually("a hop", async || hops(&mesh, watch).await.len() == 1).await;
    let ended = ends(&mesh, watch).await;
    assert_eq!((ended[0].reason(), ended[0].traced_amount.as_str()), (wire::TrailEndReason::LeftBefore, "40"));
    assert_eq!(short(&hops(&mesh, watch).await), [("40", "40")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reorganisation_what_lay_there_is_asked_anew() {
    let mesh = Mesh::start().await;
    mesh.chain.without_gas().await;
    mesh.chain.endow(0, 100).await;
    mesh.chain.endow(1, 300).await;
    mesh.chain.endow(5, 70).await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&coins(TaintRule::Fifo, 100)).await;
    mesh.chain.mine(3).await;
    let brought = mesh.chain.pay(0, 1, 100).await;
    let raw = mesh.chain.raw(&brought).await;
    mesh.chain.pay(1, 2, 320).await;
    eventually("two hops", async || hops(&mesh, watch).await.len() == 2).await;
    assert_eq!(short(&hops(&mesh, watch).await), [("100", "100"), ("320", "20")]);

    mesh.chain.reorg(2).await;
    // On the other branch more honest money is there before the stolen.
    mesh.chain.pay(5, 1, 70).await;
    mesh.chain.send_raw(raw).await;
    mesh.chain.pay(1, 3, 400).await;
    eventually("another hop", async || hops(&mesh, watch).await.iter().any(|hop| hop.amount == "400")).await;
    let found = hops(&mesh, watch).await;
    assert_eq!(short(&found).last(), Some(&("400", "30")));
    assert_eq!(mesh.chain.balance(1).await, U256::from(70));
}

#[tokio::test(flavor = "multi_thread")]
async fn endowments_are_exact_and_payments_without_gas_cost_nothing() {
    let chain = Chain::start().await;
    chain.without_gas().await;
    chain.endow(0, 100).await;
    let transaction = chain.pay(0, 1, 40).await;
    assert_eq!(chain.balance(0).await, U256::from(60));
    assert_eq!(chain.cost_of(&transaction).await, U256::ZERO);
}
