//! The graph as it is answered: every account with what is known of it and what moved there.

use std::collections::{BTreeMap, BTreeSet};

use haetae_core::{Account, Amount, Asset, ChainId, ExchangeId, Moment, TaintRule, WalletRole};
use haetae_wire::convert::{asset_amounts, timestamp};
use haetae_wire::exchange::v1 as exchange;
use haetae_wire::tracking::v1 as wire;

use super::{Edge, EdgeKind, Graph, Limit, Node};
use crate::db::trace::{Ended, Knows, Sums, Traced};
use crate::said::TrailEnd;
use crate::tell;
use crate::trail::EndReason;

/// What is recorded of the graph's accounts besides its movements.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) watches: Vec<Traced>,
    pub(crate) heads: Vec<(ChainId, u64)>,
    pub(crate) sums: Vec<Sums>,
    pub(crate) ends: Vec<Ended>,
    pub(crate) known: Vec<Knows>,
    pub(crate) labels: Vec<(Account, wire::TraceLabel)>,
}

/// Puts it together.
pub(crate) fn trace(graph: &Graph, about: &About, now: Moment) -> wire::Trace {
    let mut places: BTreeMap<&Account, Place<'_>> =
        graph.nodes.iter().map(|node| (&node.account, Place::default())).collect();
    for edge in &graph.edges {
        let (asset, at) = (&edge.movement.sighting.asset, edge.movement.sighting.seen_at);
        for (account, part) in [(edge.from(), Part::Out), (edge.to(), Part::In)] {
            if let Some(place) = places.get_mut(account) {
                place.moved(asset, part, edge, at);
            }
        }
    }
    // Which of several payers brought what an output got is not told apart: what is left at each is not known then.
    let shared: BTreeSet<&Account> =
        graph.edges.iter().flat_map(|edge| edge.payers().iter().map(|payer| &payer.account)).collect();
    let multiplies = about.watches.iter().any(|watch| watch.rule == TaintRule::Poison);
    for watch in &about.watches {
        if let Some(place) = places.get_mut(&watch.root) {
            place.root(watch);
        }
    }
    for sums in &about.sums {
        if let Some(place) = places.get_mut(&sums.account) {
            let here = place.sums.entry(&sums.asset).or_default();
            here.came = here.came.saturating_add(sums.came);
            (here.went, here.fees) = (sums.went, sums.fees);
        }
    }
    for ended in &about.ends {
        if let Some(place) = places.get_mut(&ended.account) {
            place.end(ended.reason, &ended.asset, ended.traced);
        }
    }
    for knows in &about.known {
        if let Some(place) = places.get_mut(&knows.account) {
            place.contract |= knows.contract;
            place.open |= knows.open;
            place.held = place.held.or(knows.held.as_ref());
        }
    }
    for (account, label) in &about.labels {
        if let Some(place) = places.get_mut(account) {
            place.labels.push(label.clone());
        }
    }
    let nodes = graph.nodes.iter().map(|node| {
        let unknown = multiplies || shared.contains(&node.account);
        places.remove(&node.account).unwrap_or_default().write(node, unknown)
    });
    wire::Trace {
        nodes: nodes.collect(),
        edges: graph.edges.iter().map(edge_of).collect(),
        watches: about.watches.iter().map(watch_of).collect(),
        limits: graph.limits.iter().map(|limit| limit_of(*limit).into()).collect(),
        as_of: Some(timestamp(now)),
        heads: about.heads.iter().map(head_of).collect(),
    }
}

/// What is known of one account.
#[derive(Default)]
struct Place<'a> {
    root: bool,
    contract: bool,
    open: bool,
    held: Option<&'a (ExchangeId, Option<WalletRole>)>,
    sums: BTreeMap<&'a Asset, Here>,
    ends: Vec<wire::TraceEnd>,
    reasons: BTreeSet<i32>,
    seen: Option<(Moment, Moment)>,
    labels: Vec<wire::TraceLabel>,
}

/// Sums of one asset: of the movements shown, and of everything recorded.
#[derive(Default)]
struct Here {
    shown_in: Amount,
    shown_out: Amount,
    came: Amount,
    went: Amount,
    fees: Amount,
}

#[derive(Clone, Copy)]
enum Part {
    In,
    Out,
}

impl<'a> Place<'a> {
    fn moved(&mut self, asset: &'a Asset, part: Part, edge: &Edge, at: Moment) {
        let here = self.sums.entry(asset).or_default();
        let sum = match part {
            Part::In => &mut here.shown_in,
            Part::Out => &mut here.shown_out,
        };
        if !edge.is_retracted() {
            *sum = sum.saturating_add(edge.traced);
        }
        self.seen = Some(self.seen.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
    }

    /// What was stolen is at the root, as far as it was found there.
    fn root(&mut self, watch: &'a Traced) {
        self.root = true;
        for (asset, stolen) in &watch.stolen {
            let found = watch.found.get(asset).copied();
            let there = found.flatten().map_or(*stolen, |balance| balance.min(*stolen));
            let here = self.sums.entry(asset).or_default();
            here.came = here.came.saturating_add(there);
            if found == Some(None) {
                self.end(TrailEnd::Other(EndReason::BalanceUnknown), asset, *stolen);
            } else if there < *stolen {
                self.end(TrailEnd::LeftBefore, asset, stolen.saturating_sub(there));
            }
        }
    }

    fn end(&mut self, reason: TrailEnd, asset: &Asset, traced: Amount) {
        let reason = i32::from(tell::end_reason(reason));
        self.reasons.insert(reason);
        self.ends.push(wire::TraceEnd { reason, asset: asset.to_string(), traced_amount: traced.to_string() });
    }

    fn kind(&self) -> wire::TraceNodeKind {
        use wire::TraceNodeKind as Kind;
        use wire::TrailEndReason as Reason;
        let ended = |reason: Reason| self.reasons.contains(&reason.into());
        if self.root {
            Kind::Root
        } else if self.held.is_some() {
            Kind::Exchange
        } else if self.contract || ended(Reason::Contract) {
            Kind::Contract
        } else if ended(Reason::ServiceLike) {
            Kind::Service
        } else {
            Kind::Wallet
        }
    }

    fn write(self, node: &Node, left_unknown: bool) -> wire::TraceNode {
        let role = |role: WalletRole| i32::from(exchange::WalletRole::from(role));
        let kind = self.kind();
        let sums = self.sums.iter().map(|(asset, here)| wire::TraceSums {
            asset: asset.to_string(),
            traced_in: here.shown_in.to_string(),
            traced_out: here.shown_out.to_string(),
            left: match left_unknown {
                true => String::new(),
                false => here.came.saturating_sub(here.went).saturating_sub(here.fees).to_string(),
            },
            fees: here.fees.to_string(),
        });
        wire::TraceNode {
            account: node.account.to_string(),
            kind: kind.into(),
            exchange: self.held.map(|(exchange, _)| exchange.to_string()).unwrap_or_default(),
            wallet_role: self.held.and_then(|(_, held)| *held).map(role).unwrap_or_default(),
            open: self.open && self.held.is_none(),
            depth: node.depth,
            sums: sums.collect(),
            ends: self.ends,
            first_seen: self.seen.map(|(first, _)| timestamp(first)),
            last_seen: self.seen.map(|(_, last)| timestamp(last)),
            more_out: node.more_out,
            more_in: node.more_in,
            labels: self.labels,
        }
    }
}

fn edge_of(edge: &Edge) -> wire::TraceEdge {
    let (sighting, said) = (&edge.movement.sighting, &edge.movement.said);
    let hop = said.hop.as_ref().filter(|_| edge.kind == EdgeKind::Hop);
    let arrival = said.arrival.as_ref().filter(|_| edge.kind == EdgeKind::Hop);
    wire::TraceEdge {
        hop_id: sighting.transfer.hop(edge.watch).to_string(),
        watch_id: edge.watch.to_string(),
        kind: match edge.kind {
            EdgeKind::Hop => wire::TraceEdgeKind::Hop,
            EdgeKind::Dust => wire::TraceEdgeKind::Dust,
            EdgeKind::Untraced => wire::TraceEdgeKind::Untraced,
        }
        .into(),
        transfer: Some((&sighting.transfer).into()),
        from: edge.from().to_string(),
        to: sighting.to.to_string(),
        asset: sighting.asset.to_string(),
        amount: sighting.amount.to_string(),
        traced_amount: edge.traced.to_string(),
        time: Some(timestamp(sighting.seen_at)),
        block_number: sighting.place.block,
        finality: hop.map(|hop| tell::finality_of(hop.finality).into()).unwrap_or_default(),
        provisional: hop.is_some_and(|hop| hop.provisional),
        depth: hop.map(|hop| hop.depth).unwrap_or_default(),
        arrival_id: arrival.map(|_| sighting.transfer.arrival(edge.watch).to_string()).unwrap_or_default(),
        payers: edge.payers().iter().map(tell::payer).collect(),
        arrival_state: arrival.map(|arrival| tell::arrival_state_of(arrival.state).into()).unwrap_or_default(),
    }
}

fn watch_of(watch: &Traced) -> wire::TraceWatch {
    wire::TraceWatch {
        watch_id: watch.id.to_string(),
        root: watch.root.to_string(),
        taint_rule: exchange::TaintRule::from(watch.rule).into(),
        stolen: asset_amounts(&watch.stolen),
    }
}

fn head_of((chain, number): &(ChainId, u64)) -> wire::TraceHead {
    wire::TraceHead { chain: chain.to_string(), block_number: *number }
}

fn limit_of(limit: Limit) -> wire::TraceLimit {
    match limit {
        Limit::Nodes => wire::TraceLimit::Nodes,
        Limit::Depth => wire::TraceLimit::Depth,
        Limit::Edges => wire::TraceLimit::Edges,
        Limit::Work => wire::TraceLimit::Work,
    }
}
