//! Flows of any size, the same each time: a theft that is split, peeled, swapped and brought to exchanges.

use haetae_wire::{
    exchange::v1::{AssetAmount, LegState, RefusalReason, TaintRule, Target, Transfer, WalletRole},
    freeze::v1::{DesiredState, Leg},
    intake::v1::TraceResponse,
    tracking::v1::{
        Finality, Trace, TraceEdge, TraceEdgeKind, TraceEnd, TraceHead, TraceLabel, TraceNode, TraceNodeKind,
        TraceSums, TraceWatch, TrailEndReason,
    },
};
use prost_types::Timestamp;

use crate::{
    picture::{Flow, Question},
    show::{AssetName, Look},
};

pub(super) const SIZES: [usize; 3] = [8, 60, 500];
const COIN: &str = "eip155:1/slip44:60";
const TOKEN: &str = "eip155:1/erc20:0xdAC17F958D2ee523a2206206994597C13D831ec7";
const OTHER: &str = "eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";

pub(super) fn look() -> Look {
    let name = AssetName { id: TOKEN.parse().unwrap(), symbol: "USDT".into(), decimals: 6 };
    Look { colour: false, assets: vec![name] }
}

pub(super) fn question() -> Question {
    Question { scope: "one watch".into(), start: "from where the stolen money was".into(), filter: String::new() }
}

pub(super) fn flow(nodes: usize) -> Flow {
    Flow::of(&answer(nodes), question(), &look())
}

/// Numbers that look like chance.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most.max(1)
    }
}

fn account(n: usize) -> String {
    let mut chance = Chance(n as u64 + 1);
    let digits: String = (0..40).map(|_| char::from_digit(chance.below(16) as u32, 16).unwrap()).collect();
    format!("eip155:1:0x{digits}")
}

/// A trace with so many accounts.
pub(super) fn answer(nodes: usize) -> TraceResponse {
    let mut chance = Chance(7);
    let mut trace = Trace { nodes: vec![node(0)], as_of: at(4_000), ..Trace::default() };
    trace.nodes[0].kind = TraceNodeKind::Root.into();
    let mut amounts: Vec<u64> = vec![900_000_000_000];
    for n in 1..nodes {
        // Mostly from one of the last few; sometimes a wide fan-out from one account.
        let from = match n {
            1..=4 => 0,
            5..60 if n % 7 < 4 => (n / 9) * 2 % n,
            60.. if n % 7 < 4 => n / 60 * 9 + 3,
            _ => n - 1 - chance.below(6.min(n - 1)),
        };
        let amount = (amounts[from] / (2 + chance.below(4) as u64)).max(1_000_003);
        amounts.push(amount);
        let mut to = node(n);
        to.depth = trace.nodes[from].depth + 1;
        dress(&mut to, n, amount);
        trace.nodes.push(to);
        let asset = if n % 11 == 5 {
            OTHER
        } else if n % 5 == 3 {
            COIN
        } else {
            TOKEN
        };
        trace.edges.push(edge(n, from, n, asset, amount));
        if n % (if n < 60 { 13 } else { 41 }) == 6 {
            // Comes together again, or goes back.
            let other = chance.below(n);
            trace.edges.push(edge(n + 10_000, n, other, TOKEN, amount / 3));
        }
    }
    for edge in &mut trace.edges {
        let here = |node: &&mut TraceNode| node.account == edge.to;
        if let Some(node) = trace.nodes.iter_mut().find(here) {
            let mut sums = sums(&edge.asset, &edge.traced_amount);
            if !edge.traced_amount.len().is_multiple_of(2) {
                sums.left = "0".into();
            }
            node.sums.retain(|known| known.asset != sums.asset);
            node.sums.push(sums);
        }
    }
    trace.watches.push(TraceWatch {
        watch_id: "6f0c7f7e-52a7-4a0e-8a1c-0c4d7a0f3b11".into(),
        root: account(0),
        taint_rule: TaintRule::Haircut.into(),
        stolen: vec![AssetAmount { asset: TOKEN.into(), amount: "900000000000".into() }],
    });
    trace.heads.push(TraceHead { chain: "eip155:1".into(), block_number: 21_000_345 });
    let legs = trace.nodes.iter().filter(|node| node.kind() == TraceNodeKind::Exchange).enumerate();
    let legs = legs.map(|(n, node)| leg(n, node)).collect();
    TraceResponse { trace: Some(trace), case_number: "2026-사이버-00412".into(), legs }
}

fn at(second: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_796_047_200 + second, nanos: 0 })
}

fn node(n: usize) -> TraceNode {
    let second = n as i64 * 7;
    TraceNode {
        account: account(n),
        kind: TraceNodeKind::Wallet.into(),
        first_seen: at(second),
        last_seen: at(second + 30),
        ..TraceNode::default()
    }
}

fn sums(asset: &str, amount: &str) -> TraceSums {
    TraceSums {
        asset: asset.to_owned(),
        traced_in: amount.to_owned(),
        traced_out: "0".into(),
        left: amount.to_owned(),
        fees: "0".into(),
    }
}

fn dress(node: &mut TraceNode, n: usize, amount: u64) {
    let mut ends = |reason: TrailEndReason| {
        node.ends.push(TraceEnd { reason: reason.into(), asset: TOKEN.into(), traced_amount: amount.to_string() });
    };
    // Of many accounts few are of note.
    let note = if n < 60 { n % 17 } else { n % 61 };
    match note {
        4 | 15 | 33 | 48 => {
            node.kind = TraceNodeKind::Exchange.into();
            node.exchange = if n.is_multiple_of(2) { "upbit".into() } else { "bithumb".into() };
            node.wallet_role = WalletRole::CustomerDeposit.into();
            ends(TrailEndReason::Held);
        }
        7 => {
            node.kind = TraceNodeKind::Contract.into();
            ends(TrailEndReason::Contract);
        }
        10 => {
            node.kind = TraceNodeKind::Service.into();
            ends(TrailEndReason::ServiceLike);
        }
        5 => node.labels.push(TraceLabel { label: "Sample mixer".into(), source: "a label pack".into() }),
        12 => ends(TrailEndReason::HopLimit),
        2 => node.open = true,
        _ => {}
    }
}

fn edge(n: usize, from: usize, to: usize, asset: &str, amount: u64) -> TraceEdge {
    let kind = match n % 23 {
        9 => TraceEdgeKind::Dust,
        16 => TraceEdgeKind::Untraced,
        _ => TraceEdgeKind::Hop,
    };
    let finality = match n % 19 {
        13 => Finality::Retracted,
        _ => Finality::Confirmed,
    };
    let wei = if asset == COIN { "000000000" } else { "" };
    TraceEdge {
        hop_id: format!("00000000-0000-5000-8000-{n:012}"),
        watch_id: "6f0c7f7e-52a7-4a0e-8a1c-0c4d7a0f3b11".into(),
        kind: kind.into(),
        transfer: Some(Transfer {
            chain: "eip155:1".into(),
            transaction: format!("0x{n:064x}"),
            index: "log/0".into(),
        }),
        from: account(from),
        to: account(to),
        asset: asset.to_owned(),
        amount: format!("{amount}{wei}"),
        traced_amount: if kind == TraceEdgeKind::Untraced {
            "0".into()
        } else {
            format!("{}{wei}", amount - amount / 5)
        },
        time: at(n as i64 % 10_000 * 7),
        block_number: 21_000_000 + n as u64,
        finality: if kind == TraceEdgeKind::Hop { finality.into() } else { 0 },
        provisional: n % 6 == 1,
        depth: 1,
        ..TraceEdge::default()
    }
}

fn leg(n: usize, node: &TraceNode) -> Leg {
    let reported = [
        LegState::Binding,
        LegState::FrozenPartial,
        LegState::Unspecified,
        LegState::Refused,
        LegState::FrozenFull,
        LegState::Released,
    ][n % 6];
    Leg {
        leg_id: format!("11111111-0000-5000-8000-{n:012}"),
        exchange: node.exchange.clone(),
        target: Some(Target { account: node.account.clone(), memo: String::new() }),
        asset: TOKEN.into(),
        revision: 1,
        desired: DesiredState::Frozen.into(),
        cap: "150000000000".into(),
        until: at(2_592_000),
        reported: reported.into(),
        frozen_amount: if n.is_multiple_of(6) { String::new() } else { "60000000000".into() },
        binding_at: at(60),
        refusal: if reported == LegState::Refused { RefusalReason::Incomplete.into() } else { 0 },
        ..Leg::default()
    }
}
