use haetae_wire::{
    exchange::v1::{AssetAmount, LegState, TaintRule, Target, Transfer},
    freeze::v1::{DesiredState, Leg},
    intake::v1::{TraceResponse, intake_service_server::IntakeServiceServer, trace_request::Scope},
    tracking::v1::{
        Finality, Trace, TraceDirection, TraceEdge, TraceEdgeKind, TraceLimit, TraceNode, TraceNodeKind, TraceSums,
        TraceWatch, trace_query::Start,
    },
};

use crate::{
    intake::Intake,
    world::{ROOT, Running, World},
};

const WATCH: &str = "6f0c7f7e-52a7-4a0e-8a1c-0c4d7a0f3b11";
const DEPOSIT: &str = "eip155:1:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const COIN: &str = "eip155:1/slip44:60";

async fn intake(answer: Option<TraceResponse>) -> (World, Intake, Running) {
    let (world, intake) = (World::new(), Intake::default());
    let running = Running::start(world.server().add(IntakeServiceServer::new(intake.clone()))).await;
    let assets = format!("[[asset]]\nid = \"{COIN}\"\nsymbol = \"ETH\"\ndecimals = 18\n");
    world.profile(running.at, "default_case = \"2026-1\"", &assets);
    intake.with(|script| script.trace = answer);
    (world, intake, running)
}

/// One transfer into an exchange that has bound itself.
fn answer() -> TraceResponse {
    let sums = |came: &str, went: &str| TraceSums {
        asset: COIN.into(),
        traced_in: came.into(),
        traced_out: went.into(),
        left: came.into(),
        fees: "0".into(),
    };
    let amount = "1500000000000000000";
    let root = TraceNode {
        account: ROOT.into(),
        kind: TraceNodeKind::Root.into(),
        sums: vec![sums("0", amount)],
        ..TraceNode::default()
    };
    let deposit = TraceNode {
        account: DEPOSIT.into(),
        kind: TraceNodeKind::Exchange.into(),
        exchange: "upbit".into(),
        depth: 1,
        sums: vec![sums(amount, "0")],
        more_out: 2,
        ..TraceNode::default()
    };
    let edge = TraceEdge {
        hop_id: "1d1c7f7e-52a7-4a0e-8a1c-0c4d7a0f3b11".into(),
        watch_id: WATCH.into(),
        kind: TraceEdgeKind::Hop.into(),
        transfer: Some(Transfer {
            chain: "eip155:1".into(),
            transaction: format!("0x{}", "ab".repeat(32)),
            index: "native".into(),
        }),
        from: ROOT.into(),
        to: DEPOSIT.into(),
        asset: COIN.into(),
        amount: amount.into(),
        traced_amount: amount.into(),
        finality: Finality::Final.into(),
        block_number: 42,
        depth: 1,
        ..TraceEdge::default()
    };
    let watch = TraceWatch {
        watch_id: WATCH.into(),
        root: ROOT.into(),
        taint_rule: TaintRule::Fifo.into(),
        stolen: vec![AssetAmount { asset: COIN.into(), amount: amount.into() }],
    };
    let leg = Leg {
        leg_id: "2e1c7f7e-52a7-4a0e-8a1c-0c4d7a0f3b11".into(),
        exchange: "upbit".into(),
        target: Some(Target { account: DEPOSIT.into(), memo: String::new() }),
        asset: COIN.into(),
        desired: DesiredState::Frozen.into(),
        cap: amount.into(),
        reported: LegState::Binding.into(),
        ..Leg::default()
    };
    TraceResponse {
        trace: Some(Trace {
            nodes: vec![root, deposit],
            edges: vec![edge],
            watches: vec![watch],
            limits: vec![TraceLimit::Depth.into()],
            ..Trace::default()
        }),
        case_number: "2026-1".into(),
        legs: vec![leg],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_printed_with_everything_that_stands_in_it() {
    let (world, intake, _running) = intake(Some(answer())).await;
    let ran = world.haetae(&["trace", "--watch", WATCH]).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    for part in [
        "case 2026-1",
        "taint rule: fifo",
        "NOT COMPLETE: as many transfers from the start as were asked for; 1 account has more",
        ROOT,
        DEPOSIT,
        "1.5 ETH",
        "BINDING up to 1.5 ETH at upbit",
        "at least 2 movements not shown",
    ] {
        assert!(ran.out().contains(part), "{part} in {}", ran.out());
    }
    intake.with(|script| {
        let asked = &script.traced[0];
        assert_eq!(asked.scope, Some(Scope::WatchId(WATCH.into())));
        assert!(asked.with_legs && asked.purpose == "test");
        assert!(asked.query.as_ref().unwrap().start.is_none());
    });
    let json = world.haetae(&["trace", "--watch", WATCH, "--json"]).await.json();
    assert_eq!(json["trace"]["edges"][0]["to"], DEPOSIT);
    assert_eq!(json["legs"][0]["reported"], "LEG_STATE_BINDING");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_drawn_into_every_file_by_its_ending() {
    let (world, _intake, _running) = intake(Some(answer())).await;
    let files =
        ["flow.svg", "flow.html", "flow.json", "flow.graphml"].map(|name| world.path(name).display().to_string());
    let mut words = vec!["trace", "--watch", WATCH, "--json"];
    words.extend(files.iter().flat_map(|file| ["--out", file.as_str()]));
    let ran = world.haetae(&words).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(ran.json()["nodes"], 2);
    assert_eq!(ran.json()["complete"], false);
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(DEPOSIT) && text.contains("upbit"), "{file}");
    }
    let ran = world.haetae(&["trace", "--watch", WATCH, "--out", "flow.png"]).await;
    assert_eq!((ran.code(), ran.err().contains(".graphml")), (2, true), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_goes_to_intake_and_what_cannot_be_read_goes_nowhere() {
    let (world, intake, _running) = intake(Some(answer())).await;
    let address = DEPOSIT.rsplit_once(':').unwrap().1;
    let words = ["trace", address, "--both", "--asset", "ETH", "--min", "5", "--since", "2h", "--max-nodes", "9"];
    assert_eq!(world.haetae(&words).await.code(), 0);
    let words = ["trace", "--transfer", &format!("eip155:1/0x{}/log/2", "ab".repeat(32)), "--backward", "--with-dust"];
    assert_eq!(world.haetae(&words).await.code(), 0);
    intake.with(|script| {
        let query = script.traced[0].query.clone().unwrap();
        assert_eq!(script.traced[0].scope, Some(Scope::CaseNumber("2026-1".into())));
        assert!(query.start == Some(Start::Account(DEPOSIT.into())));
        assert_eq!((query.direction(), query.max_nodes), (TraceDirection::Both, 9));
        let filter = query.filter.unwrap();
        assert_eq!((filter.assets, filter.minimums[0].amount.as_str()), (vec![COIN.to_owned()], "5"));
        assert!(filter.since.is_some() && filter.until.is_none() && !filter.include_dust);
        let query = script.traced[1].query.clone().unwrap();
        let Some(Start::Transfer(transfer)) = query.start else { panic!("no transfer") };
        assert_eq!((transfer.index.as_str(), query.direction), ("log/2", TraceDirection::Backward.into()));
        assert!(query.filter.unwrap().include_dust);
        script.traced.clear();
    });
    for words in [
        &["trace", "0x123"][..],
        &["trace", "--transfer", "0xab"],
        &["trace", "--min", "5"],
        &["trace", "--since", "yesterday"],
        &["trace", "--asset", "USDC"],
        &["trace", "--backward", "--both"],
    ] {
        assert_eq!(world.haetae(words).await.code(), 2, "{words:?}");
    }
    intake.with(|script| assert!(script.traced.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_of_what_is_not_recorded_is_not_found() {
    let (world, _intake, _running) = intake(None).await;
    let ran = world.haetae(&["trace", "--watch", WATCH]).await;
    assert_eq!((ran.code(), ran.out()), (3, ""), "{ran:?}");
}
