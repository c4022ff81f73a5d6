//! What was recorded is traced forward and backward, with its filters, its budget, and what is known of each account.

use haetae_core::{Amount, ConfirmationAnswer, TaintRule, WatchId};
use haetae_wire::exchange::v1::{AssetAmount, Transfer};
use haetae_wire::tracking::v1 as wire;
use haetae_wire::tracking::v1::TraceNodeKind as Kind;
use haetae_wire::tracking::v1::trace_query::Start;
use haetae_wire::tracking::v1::tracking_service_server::TrackingService;
use tonic::{Code, Request, Status};

use crate::chain::Chain;
use crate::mesh::{Mesh, Replica, WatchOf, eventually};

async fn trace(replica: &Replica, watches: &[WatchId], query: wire::TraceQuery) -> Result<wire::Trace, Status> {
    let watch_ids = watches.iter().map(ToString::to_string).collect();
    let request = wire::TraceRequest { watch_ids, query: Some(query) };
    Ok(replica.api().trace(Request::new(request)).await?.into_inner().trace.unwrap())
}

fn moves(trace: &wire::Trace) -> Vec<(&str, &str, &str)> {
    trace.edges.iter().map(|edge| (edge.from.as_str(), edge.to.as_str(), edge.traced_amount.as_str())).collect()
}

fn at<'a>(trace: &'a wire::Trace, account: &str) -> &'a wire::TraceNode {
    trace.nodes.iter().find(|node| node.account == account).unwrap()
}

/// 0 → 1 → 2, 0 → 3 → a contract, and dust to 4; 2 is held by upbit.
async fn spread() -> (Mesh, Replica, WatchId, Vec<String>) {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    let contract = alloy_primitives::Address::repeat_byte(0xc0);
    mesh.chain.anvil.rpc("anvil_setCode", serde_json::json!([contract, "0x00"])).await.unwrap();
    let mut paid = vec![mesh.chain.pay(0, 1, 700).await];
    paid.push(mesh.chain.pay(1, 2, 600).await);
    paid.push(mesh.chain.pay(0, 3, 200).await);
    paid.push(mesh.chain.pay_to(3, contract, 150).await);
    paid.push(mesh.chain.pay(0, 4, 9).await);
    for exchange in ["upbit", "bithumb"] {
        mesh.answer(exchange, &mesh.chain.account(1), ConfirmationAnswer::NotHeld).await;
    }
    mesh.answer("upbit", &mesh.chain.account(2), ConfirmationAnswer::Held).await;
    eventually("it arrived", async || mesh.stream(watch).await.iter().any(|said| said.kind == "arrival")).await;
    mesh.caught_up().await;
    (mesh, replica, watch, paid)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_leads_from_the_root_to_every_end_and_back() {
    let (mesh, replica, watch, paid) = spread().await;
    let names = [0, 1, 2, 3].map(|n| mesh.chain.account(n).to_string());
    let [root, one, two, three] = names.each_ref().map(String::as_str);
    let contract = haetae_core::Account::evm(Chain::id(), alloy_primitives::Address::repeat_byte(0xc0)).to_string();
    let contract = contract.as_str();

    let whole = trace(&replica, &[watch], wire::TraceQuery::default()).await.unwrap();
    let expected = [(root, one, "700"), (one, two, "600"), (root, three, "200"), (three, contract, "150")];
    assert_eq!(moves(&whole), expected);
    assert!(whole.limits.is_empty() && whole.as_of.is_some() && whole.heads.len() == 1);
    assert_eq!((whole.watches[0].root.as_str(), whole.watches[0].stolen[0].amount.as_str()), (root, "1000"));

    let kinds = [root, one, two, contract].map(|account| at(&whole, account).kind());
    assert_eq!(kinds, [Kind::Root, Kind::Wallet, Kind::Exchange, Kind::Contract]);
    assert_eq!(at(&whole, two).exchange, "upbit");
    assert!(at(&whole, three).open && !at(&whole, one).open && !at(&whole, two).open);
    let sums = |account: &str| {
        let sums = &at(&whole, account).sums[0];
        [&sums.traced_in, &sums.traced_out, &sums.left].map(String::as_str)
    };
    assert_eq!(sums(root), ["0", "900", "91"], "what is left knows of the dust that is not shown");
    assert_eq!(sums(one), ["700", "600", "100"]);
    assert_eq!(sums(two), ["600", "0", "600"]);
    let ends = |account: &str| at(&whole, account).ends.iter().map(wire::TraceEnd::reason).collect::<Vec<_>>();
    assert_eq!(ends(two), [wire::TrailEndReason::Held]);
    assert_eq!(ends(contract), [wire::TrailEndReason::Contract]);
    let arrived = whole.edges.iter().find(|edge| edge.to == two).unwrap();
    assert_eq!((arrived.arrival_state(), arrived.arrival_id.is_empty()), (wire::ArrivalState::Settled, false));

    let transfer = |n: usize, index: &str| {
        let (chain, transaction) = (Chain::id().to_string(), paid[n].clone());
        Some(Start::Transfer(Transfer { chain, transaction, index: index.into() }))
    };
    let backward = wire::TraceDirection::Backward.into();
    let query = wire::TraceQuery { start: transfer(1, "native"), direction: backward, ..Default::default() };
    let back = trace(&replica, &[watch], query).await.unwrap();
    assert_eq!(moves(&back), [(root, one, "700"), (one, two, "600")]);
    let query = wire::TraceQuery { start: transfer(2, ""), ..Default::default() };
    let onward = trace(&replica, &[watch], query).await.unwrap();
    assert_eq!(moves(&onward), [(root, three, "200"), (three, contract, "150")]);
    let query = wire::TraceQuery {
        start: Some(Start::Account(one.to_owned())),
        direction: wire::TraceDirection::Both.into(),
        ..Default::default()
    };
    assert_eq!(moves(&trace(&replica, &[watch], query).await.unwrap()), moves(&back));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_and_a_filter_say_what_they_leave_out() {
    let (mesh, replica, watch, paid) = spread().await;
    let [root, three] = [0, 3].map(|n| mesh.chain.account(n).to_string());
    let query = wire::TraceQuery { max_nodes: 2, ..Default::default() };
    let small = trace(&replica, &[watch], query).await.unwrap();
    assert_eq!((small.nodes.len(), small.edges.len()), (2, 1));
    assert_eq!(small.limits, [i32::from(wire::TraceLimit::Nodes)]);
    assert_eq!(small.nodes.iter().map(|node| node.more_out).collect::<Vec<_>>(), [1, 1]);
    let query = wire::TraceQuery { max_depth: 1, ..Default::default() };
    let near = trace(&replica, &[watch], query).await.unwrap();
    assert_eq!((near.edges.len(), near.limits.as_slice()), (2, [i32::from(wire::TraceLimit::Depth)].as_slice()));
    assert_eq!((at(&near, &root).more_out, at(&near, &three).more_out), (0, 1));

    let filtered = |filter| wire::TraceQuery { filter: Some(filter), ..Default::default() };
    let with_dust = filtered(wire::TraceFilter { include_dust: true, ..Default::default() });
    let dust = trace(&replica, &[watch], with_dust).await.unwrap();
    assert_eq!(dust.edges.iter().filter(|edge| edge.kind() == wire::TraceEdgeKind::Dust).count(), 1);
    let minimum = AssetAmount { asset: Chain::coin().to_string(), amount: "650".into() };
    let large = filtered(wire::TraceFilter { minimums: vec![minimum], ..Default::default() });
    assert_eq!(trace(&replica, &[watch], large).await.unwrap().edges.len(), 1);
    let other = filtered(wire::TraceFilter { assets: vec![mesh.chain.token().to_string()], ..Default::default() });
    assert!(trace(&replica, &[watch], other).await.unwrap().edges.is_empty());

    // Nothing is made up about what was not recorded.
    let refused = async |watches: &[WatchId], query| trace(&replica, watches, query).await.unwrap_err().code();
    let nobody = Some(Start::Account(mesh.chain.account(7).to_string()));
    assert_eq!(refused(&[watch], wire::TraceQuery { start: nobody, ..Default::default() }).await, Code::NotFound);
    let elsewhere = Transfer { chain: Chain::id().to_string(), transaction: paid[0].clone(), index: "log/9".into() };
    let elsewhere = Some(Start::Transfer(elsewhere));
    assert_eq!(refused(&[watch], wire::TraceQuery { start: elsewhere, ..Default::default() }).await, Code::NotFound);
    let rubbish = Transfer { chain: Chain::id().to_string(), transaction: "0x12".into(), index: String::new() };
    let rubbish = Some(Start::Transfer(rubbish));
    assert_eq!(
        refused(&[watch], wire::TraceQuery { start: rubbish, ..Default::default() }).await,
        Code::InvalidArgument
    );
    assert_eq!(refused(&[], wire::TraceQuery::default()).await, Code::InvalidArgument);
    let unknown = trace(&replica, &[WatchId(uuid::Uuid::new_v4())], wire::TraceQuery::default()).await.unwrap();
    assert_eq!((unknown.nodes.len(), unknown.watches.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_of_a_time_knows_neither_what_was_before_nor_what_came_after() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    for (n, (from, to, amount)) in [(0, 1, 700), (0, 2, 200), (1, 3, 600), (2, 4, 150)].into_iter().enumerate() {
        mesh.chain.pay(from, to, amount).await;
        // One after the other, so that none is seen together with another.
        eventually("it is followed", async || mesh.of_kind::<wire::Hop>(watch, "hop").await.len() > n).await;
    }
    let whole = trace(&replica, &[watch], wire::TraceQuery::default()).await.unwrap();
    let amount = |edge: &wire::TraceEdge| edge.traced_amount.clone();
    let seen = |amount: &str| whole.edges.iter().find(|edge| edge.traced_amount == amount).unwrap().time;
    let [second, third] = ["200", "600"].map(seen);
    assert!(second.is_some() && third.is_some());
    let of = async |since, until| {
        let filter = Some(wire::TraceFilter { since, until, ..Default::default() });
        let trace = trace(&replica, &[watch], wire::TraceQuery { filter, ..Default::default() }).await.unwrap();
        trace.edges.iter().map(amount).collect::<Vec<_>>()
    };
    assert_eq!(of(None, None).await, ["700", "200", "600", "150"]);
    assert_eq!(of(second, None).await, ["200", "150"], "from then on, and not beyond what was before");
    assert_eq!(of(None, third).await, ["700", "200"], "until then, and without that moment itself");
    assert_eq!(of(second, third).await, ["200"]);
    assert!(of(third, second).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn fees_and_money_that_was_never_at_the_root_are_told_at_the_accounts() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    mesh.chain.endow(1, 5_000_000_000_000_000_000).await;
    let balance = mesh.chain.balance(1).await;
    let stolen = balance + alloy_primitives::U256::from(77u64);
    let mut of = WatchOf::coins(1, 0);
    of.rule = TaintRule::Haircut;
    of.stolen.insert(Chain::coin(), Amount::from_u256(stolen));
    let watch = mesh.watch(&of).await;
    let paid = mesh.chain.pay(1, 2, 1_000).await;
    eventually("a hop", async || mesh.stream(watch).await.iter().any(|said| said.kind == "hop")).await;
    mesh.caught_up().await;
    let whole = trace(&replica, &[watch], wire::TraceQuery::default()).await.unwrap();
    let root = at(&whole, &mesh.chain.account(1).to_string());
    let cost = mesh.chain.cost_of(&paid).await;
    assert_eq!(root.sums[0].fees, cost.to_string());
    let left = balance - alloy_primitives::U256::from(1_000u64) - cost;
    assert_eq!(root.sums[0].left, left.to_string());
    let ends: Vec<_> = root.ends.iter().map(|end| (end.reason(), end.traced_amount.as_str())).collect();
    assert_eq!(ends, [(wire::TrailEndReason::LeftBefore, "77")]);
}
