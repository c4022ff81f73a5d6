//! Laws of traces, over any movements.

use std::collections::{BTreeMap, BTreeSet};

use haetae_core::{Account, Amount, Moment, TransferId, WatchId};
use proptest::prelude::*;
use uuid::Uuid;

use super::answer::{self, About};
use super::{Edge, EdgeKind, Filter, Graph, Key, Limit, Query, Search, Start, Way};
use crate::said::{Finality, Said, SaidEnd, SaidHop, TrailEnd};
use crate::scene::{account, transfer};
use crate::trail::Payer;
use crate::watched::Movement;

fn watch(n: u8) -> WatchId {
    WatchId(Uuid::from_u128(n.into()))
}

/// Movement `n`: a hop that stands or was retracted, dust, or other money.
fn movement(n: u32, kind: u8, from: u8, to: u8, amount: u64) -> Movement {
    let mut sighting = transfer(n, 1 + u64::from(n) / 3, from, to, amount);
    sighting.seen_at = Moment::UNIX_EPOCH + time::Duration::seconds(n.into());
    let hop = |finality| SaidHop {
        depth: 1,
        traced: Amount::from(amount / 2),
        provisional: false,
        finality,
        block_hash: String::new(),
        payers: Vec::new(),
    };
    let said = match kind {
        0 => Said { end: Some(SaidEnd { reason: TrailEnd::Dust, traced: Amount::from(amount) }), ..Said::default() },
        1 => Said { hop: Some(hop(Finality::Retracted)), ..Said::default() },
        2 => Said::default(),
        _ => Said { hop: Some(hop(Finality::Seen)), ..Said::default() },
    };
    Movement { sighting, live: kind != 1, said }
}

/// One to which others bring traced money too.
fn joint(mut movement: Movement, brought: &[(u8, u64)]) -> Movement {
    let payers = brought.iter().map(|(n, traced)| Payer { account: account(*n), traced: Amount::from(*traced) });
    if let Some(hop) = &mut movement.said.hop {
        hop.payers = payers.collect();
    }
    movement
}

fn edge(n: u32, from: u8, to: u8) -> Edge {
    Edge::all_of(watch(0), movement(n, 3, from, to, 10)).remove(0)
}

/// Movements between six accounts, recorded by two watches; some by two payers.
fn any_records() -> impl Strategy<Value = Vec<Edge>> {
    let other = prop::option::weighted(0.2, (0u8..6, 1u64..50));
    prop::collection::vec((0u8..8, 0u8..2, 0u8..6, 0u8..6, 0u64..100, other), 1..50).prop_map(|moves| {
        let numbered = (1u32..).zip(moves).filter(|(_, (_, _, from, to, ..))| from != to);
        numbered
            .flat_map(|(n, (kind, by, from, to, amount, other))| {
                let movement = movement(n, kind, from, to, amount);
                let other = other.filter(|(other, _)| *other != from && *other != to);
                let brought = other.map(|other| vec![(from, amount), other]).unwrap_or_default();
                Edge::all_of(watch(by), joint(movement, &brought))
            })
            .collect()
    })
}

fn any_filter() -> impl Strategy<Value = Filter> {
    (any::<[bool; 3]>(), 0i64..20, 20i64..60).prop_map(|([dust, retracted, untraced], since, until)| Filter {
        since: Some(Moment::UNIX_EPOCH + time::Duration::seconds(since)),
        until: Some(Moment::UNIX_EPOCH + time::Duration::seconds(until)),
        dust,
        retracted,
        untraced,
        ..Filter::default()
    })
}

fn query(filter: &Filter, forward: bool, backward: bool) -> Query {
    Query { start: Start::Roots, forward, backward, max_nodes: usize::MAX, max_depth: None, filter: filter.clone() }
}

/// Carries a search out on records in memory, as the database would.
fn found(records: &[Edge], query: &Query, accounts: &[Account], transfers: &[Edge]) -> Graph {
    let mut search = Search::begin(query, accounts.iter().cloned(), transfers.to_vec());
    while let Some(look) = search.next() {
        let wanted = |edge: &&Edge| look.accounts.contains(look.way.ends(edge).0);
        let mut found: Vec<Edge> = records.iter().filter(wanted).cloned().collect();
        found.sort_by_key(Edge::key);
        let all = found.len() <= look.at_most;
        found.truncate(look.at_most);
        search.take(found, all);
    }
    search.finish()
}

fn keys(graph: &Graph) -> BTreeSet<Key> {
    graph.edges.iter().map(Edge::key).collect()
}

/// What lies beyond a transfer, by the definition and nothing else: the least set of movements that holds it and whatever
/// goes on from one of them.
fn beyond(records: &[Edge], filter: &Filter, start: &Edge, way: Way) -> BTreeSet<Key> {
    let mut reached = vec![start];
    let mut known = BTreeSet::from([start.key()]);
    while let Some(last) = reached.pop() {
        for next in records.iter().filter(|next| filter.passes(next)) {
            let follows = way.ends(last).1 == way.ends(next).0 && way.goes_on(Some(last.key().1), next.key().1);
            if follows && known.insert(next.key()) {
                reached.push(next);
            }
        }
    }
    known
}

proptest! {
    #[test]
    fn a_trace_is_all_that_a_way_in_the_order_of_the_chain_leads_to(
        records in any_records(), filter in any_filter(), pick: prop::sample::Index,
    ) {
        prop_assume!(!records.is_empty());
        let start = pick.get(&records);
        for (way, forward) in [(Way::Forward, true), (Way::Backward, false)] {
            let graph = found(&records, &query(&filter, forward, !forward), &[], std::slice::from_ref(start));
            prop_assert_eq!(keys(&graph), beyond(&records, &filter, start, way));
            prop_assert!(graph.limits.is_empty());
        }
    }

    #[test]
    fn what_is_forward_of_a_transfer_has_it_backward(records in any_records(), filter in any_filter(), pick: prop::sample::Index) {
        prop_assume!(!records.is_empty());
        let start = pick.get(&records);
        prop_assume!(filter.passes(start));
        let forward = found(&records, &query(&filter, true, false), &[], std::slice::from_ref(start));
        for end in &forward.edges {
            let backward = found(&records, &query(&filter, false, true), &[], std::slice::from_ref(end));
            prop_assert!(keys(&backward).contains(&start.key()));
        }
    }

    #[test]
    fn the_budget_holds_and_what_it_hides_is_said(
        records in any_records(), nodes in 1usize..6, depth in prop::option::of(1u32..4), both: bool,
    ) {
        let filter = Filter::default();
        let whole = found(&records, &query(&filter, true, both), &[account(0)], &[]);
        let cut = Query { max_nodes: nodes, max_depth: depth, ..query(&filter, true, both) };
        let graph = found(&records, &cut, &[account(0)], &[]);
        prop_assert!(graph.nodes.len() <= nodes);
        prop_assert!(graph.nodes.iter().all(|node| depth.is_none_or(|depth| node.depth <= depth)));
        prop_assert!(keys(&graph).is_subset(&keys(&whole)));
        let complete = keys(&graph) == keys(&whole);
        prop_assert_eq!(complete, graph.limits.is_empty());
        let more: u32 = graph.nodes.iter().map(|node| node.more_out + node.more_in).sum();
        prop_assert_eq!(more == 0, complete);
    }

    #[test]
    fn no_movement_ends_nowhere_and_the_nearest_accounts_come_first(records in any_records(), nodes in 1usize..6) {
        let limited = Query { max_nodes: nodes, ..query(&Filter { dust: true, ..Filter::default() }, true, true) };
        let graph = found(&records, &limited, &[account(0)], &[]);
        let known: BTreeSet<&Account> = graph.nodes.iter().map(|node| &node.account).collect();
        prop_assert_eq!(known.len(), graph.nodes.len());
        prop_assert!(graph.edges.iter().all(|edge| known.contains(edge.from()) && known.contains(edge.to())));
        prop_assert!(graph.nodes.windows(2).all(|two| two[0].depth <= two[1].depth));
        prop_assert!(graph.edges.windows(2).all(|two| two[0].key() < two[1].key()));
    }

    #[test]
    fn the_sums_at_accounts_are_those_of_the_movements(records in any_records(), filter in any_filter()) {
        let graph = found(&records, &query(&filter, true, true), &[account(0)], &[]);
        let trace = answer::trace(&graph, &About::default(), Moment::UNIX_EPOCH);
        let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for edge in trace.edges.iter().zip(&graph.edges).filter(|(_, of)| !of.is_retracted()).map(|(edge, _)| edge) {
            let traced: u64 = edge.traced_amount.parse().unwrap();
            sums.entry(edge.to.clone()).or_default().0 += traced;
            sums.entry(edge.from.clone()).or_default().1 += traced;
        }
        for node in &trace.nodes {
            let (came, went) = sums.get(&node.account).copied().unwrap_or_default();
            let said = node.sums.first().map_or((0, 0), |s| (s.traced_in.parse().unwrap(), s.traced_out.parse().unwrap()));
            prop_assert_eq!(said, (came, went));
        }
    }

    #[test]
    fn the_order_in_which_records_lie_changes_nothing(
        records in any_records().prop_shuffle(), nodes in 1usize..6,
    ) {
        let limited = Query { max_nodes: nodes, ..query(&Filter::default(), true, true) };
        let shuffled = found(&records, &limited, &[account(0)], &[]);
        let mut sorted = records;
        sorted.sort_by_key(Edge::key);
        prop_assert_eq!(shuffled, found(&sorted, &limited, &[account(0)], &[]));
    }
}

#[test]
fn a_way_that_is_longer_and_earlier_leads_further() {
    // 0 → 1 late; 0 → 2 → 1 early; 1 → 3 in between.
    let records = [edge(1, 0, 2), edge(2, 2, 1), edge(3, 1, 3), edge(9, 0, 1)];
    let graph = found(&records, &query(&Filter::default(), true, false), &[account(0)], &[]);
    assert_eq!(graph.edges.len(), 4);
    let depths: Vec<_> = graph.nodes.iter().map(|node| (node.account.clone(), node.depth)).collect();
    assert_eq!(depths, [(account(0), 0), (account(2), 1), (account(1), 1), (account(3), 3)]);
}

#[test]
fn a_search_that_costs_too_much_stops_and_says_so() {
    let records: Vec<Edge> = (1..=super::MAX_EDGES as u32 + 5).map(|n| edge(n, 0, 1)).collect();
    let graph = found(&records, &query(&Filter::default(), true, false), &[account(0)], &[]);
    assert_eq!((graph.edges.len(), graph.nodes[0].more_out), (super::MAX_EDGES, 5));
    assert_eq!(graph.limits, BTreeSet::from([Limit::Edges]));

    let mut search_query = query(&Filter::default(), true, false);
    search_query.max_nodes = 2;
    let mut search = Search::begin(&search_query, [account(0)], Vec::new());
    let look = search.next().unwrap();
    assert_eq!((look.way, look.at_most), (Way::Forward, super::MAX_WORK));
    search.take(records[..1].to_vec(), false);
    assert_eq!(search.next(), None);
    assert_eq!(search.finish().limits, BTreeSet::from([Limit::Work]));
}

#[test]
fn a_fee_is_no_movement_and_a_retracted_hop_that_became_dust_is_dust() {
    let mut fee = movement(1, 3, 0, 1, 10);
    fee.sighting.transfer = TransferId { index: haetae_core::TransferIndex::Fee, ..fee.sighting.transfer };
    assert_eq!(Edge::all_of(watch(0), fee), []);
    let mut dust = movement(1, 1, 0, 1, 10);
    dust.live = true;
    dust.said.end = Some(SaidEnd { reason: TrailEnd::Dust, traced: Amount::from(1u64) });
    let edge = Edge::all_of(watch(0), dust).remove(0);
    assert_eq!((edge.kind, edge.traced, edge.is_retracted()), (EdgeKind::Dust, Amount::from(1u64), false));
}

#[test]
fn all_that_pay_together_are_gone_back_to_and_on_from_with_their_shares() {
    let together = Edge::all_of(watch(0), joint(movement(5, 3, 1, 3, 200), &[(1, 10), (2, 20)]));
    let shares: Vec<_> = together.iter().map(|edge| (edge.from().clone(), edge.traced)).collect();
    assert_eq!(shares, [(account(1), Amount::from(33u64)), (account(2), Amount::from(67u64))]);
    let records = [vec![edge(1, 0, 1), edge(2, 4, 2)], together].concat();
    let back = found(&records, &query(&Filter::default(), false, true), &[account(3)], &[]);
    assert_eq!(keys(&back), records.iter().map(Edge::key).collect());
    let on = found(&records, &query(&Filter::default(), true, false), &[account(4)], &[]);
    assert_eq!(keys(&on), records[1..].iter().filter(|edge| edge.from() != &account(1)).map(Edge::key).collect());
}
