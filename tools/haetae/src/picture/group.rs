//! What is told together so that a large picture stays readable: branches of plain accounts of which nothing is to be said
//! but what moved. What is frozen, held, labelled, or otherwise of note is always told apart, and so is the way to it.

use std::collections::{BTreeMap, BTreeSet};

use haetae_core::Amount;

use super::flow::{End, Flow, Kind, Link, LinkKind, Node, Sums};

/// A picture with no more boxes than this tells every account apart.
const READABLE: usize = 60;
/// What larger pictures should come to.
const CROWDED: usize = 120;
/// Ways to group, gentle first: how long branches may be that are told together, how many of an account's branches are told
/// apart all the same, the largest first, and how many accounts the rest must have.
const STEPS: [(usize, usize, usize); 5] = [(1, 5, 4), (1, 3, 3), (1, 1, 2), (4, 0, 2), (usize::MAX, 0, 2)];

/// The flow with groups; none where it is readable without.
pub(super) fn grouped(flow: &Flow) -> Option<Flow> {
    if flow.nodes.len() <= READABLE {
        return None;
    }
    let mut best = None;
    for (length, keep, least) in STEPS {
        let together: Vec<Vec<usize>> = bunches(flow, length)
            .into_iter()
            .map(|branches| branches.into_iter().skip(keep).flatten().collect::<Vec<usize>>())
            .filter(|rest| rest.len() >= least)
            .collect();
        if together.is_empty() {
            continue;
        }
        let drawn = flow.nodes.len() + together.len() - together.iter().map(Vec::len).sum::<usize>();
        best = Some(together);
        if drawn <= CROWDED {
            break;
        }
    }
    best.map(|together| merge(flow, &together))
}

/// Branches of plain accounts, by the account at which they hang and whether money comes from there: each no longer than so
/// many accounts in a row, the one that moves the most first.
fn bunches(flow: &Flow, length: usize) -> Vec<Vec<Vec<usize>>> {
    let mut near: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); flow.nodes.len()];
    for link in &flow.links {
        near[link.from].insert(link.to);
        near[link.to].insert(link.from);
    }
    // Plain accounts at the rim are taken off, again and again: each hangs at its one neighbour that is left.
    let mut hangs: Vec<Option<usize>> = vec![None; flow.nodes.len()];
    let mut rim: Vec<usize> = (0..flow.nodes.len()).collect();
    for _ in 0..length {
        let taken: Vec<(usize, usize)> = rim
            .iter()
            .filter(|at| hangs[**at].is_none() && is_plain(&flow.nodes[**at]))
            .filter_map(|at| match near[*at].iter().collect::<Vec<_>>().as_slice() {
                [one] => Some((*at, **one)),
                _ => None,
            })
            .collect();
        if taken.is_empty() {
            break;
        }
        for (at, one) in &taken {
            // Two that have only one another: the first stays.
            if hangs[*one].is_none() {
                hangs[*at] = Some(*one);
                near[*one].remove(at);
            }
        }
        rim = taken.into_iter().map(|(_, one)| one).collect::<BTreeSet<_>>().into_iter().collect();
    }
    let mut moves: BTreeMap<(usize, usize), (Amount, bool)> = BTreeMap::new();
    for link in &flow.links {
        let weight = if link.traced.is_zero() { link.amount } else { link.traced };
        for (at, other, comes) in [(link.to, link.from, true), (link.from, link.to, false)] {
            let moved = moves.entry((at, other)).or_insert((Amount::ZERO, comes));
            moved.0 = moved.0.saturating_add(weight);
        }
    }
    let mut branches: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in (0..flow.nodes.len()).filter(|at| hangs[*at].is_some()) {
        let mut top = at;
        while let Some(next) = hangs[top].filter(|next| hangs[*next].is_some()) {
            top = next;
        }
        branches.entry(top).or_default().push(at);
    }
    // By where they hang and whether money comes from there: what each branch weighs, and what is in it.
    type Branch = (Amount, Vec<usize>);
    let mut bunches: BTreeMap<(usize, bool), Vec<Branch>> = BTreeMap::new();
    for (top, members) in branches {
        let Some(anchor) = hangs[top] else { continue };
        let (weight, comes) = moves.get(&(top, anchor)).copied().unwrap_or_default();
        bunches.entry((anchor, comes)).or_default().push((weight, members));
    }
    let sorted = bunches.into_values().map(|mut bunch| {
        bunch.sort_by(|one, two| two.0.cmp(&one.0).then_with(|| one.1.cmp(&two.1)));
        bunch.into_iter().map(|(_, members)| members).collect()
    });
    sorted.collect()
}

/// Nothing is to be said of it but what came or went.
fn is_plain(node: &Node) -> bool {
    node.kind == Kind::Wallet && node.depth > 0 && node.freezes.is_empty() && node.labels.is_empty()
}

fn merge(flow: &Flow, together: &[Vec<usize>]) -> Flow {
    let mut place = vec![usize::MAX; flow.nodes.len()];
    let mut nodes = Vec::new();
    let members: BTreeSet<usize> = together.iter().flat_map(|rest| rest.iter().copied()).collect();
    for (at, node) in flow.nodes.iter().enumerate().filter(|(at, _)| !members.contains(at)) {
        place[at] = nodes.len();
        nodes.push(node.clone());
    }
    for rest in together {
        rest.iter().for_each(|at| place[*at] = nodes.len());
        nodes.push(group(flow, rest));
    }
    let mut links: BTreeMap<(usize, usize, usize, LinkKind), Link> = BTreeMap::new();
    for link in &flow.links {
        let (from, to) = (place[link.from], place[link.to]);
        if from == to {
            continue;
        }
        let merged = links.entry((from, to, link.asset, link.kind)).or_insert_with(|| Link {
            from,
            to,
            provisional: true,
            amount: Amount::ZERO,
            traced: Amount::ZERO,
            hops: Vec::new(),
            ..*link
        });
        merged.provisional &= link.provisional;
        merged.amount = merged.amount.saturating_add(link.amount);
        merged.traced = merged.traced.saturating_add(link.traced);
        merged.hops.extend(link.hops.iter().cloned());
    }
    let mut links: Vec<Link> = links.into_values().collect();
    links.iter_mut().for_each(|link| link.hops.sort_by_key(|hop| hop.order));
    Flow { title: flow.title.clone(), assets: flow.assets.clone(), nodes, links }
}

fn group(flow: &Flow, members: &[usize]) -> Node {
    let of = || members.iter().map(|at| &flow.nodes[*at]);
    let mut sums: BTreeMap<usize, [Amount; 4]> = BTreeMap::new();
    for part in of().flat_map(|node| &node.sums) {
        let total = sums.entry(part.asset).or_default();
        for (total, part) in total.iter_mut().zip([&part.came, &part.went, &part.left, &part.fees]) {
            *total = total.saturating_add(part.parse().unwrap_or_default());
        }
    }
    let untold = of().flat_map(|node| &node.sums).any(|sums| sums.left.is_empty());
    let told = |node: &Node| {
        let parts = node.sums.iter().map(|sums| {
            let amount = if sums.came == "0" { &sums.went } else { &sums.came };
            flow.unit(sums.asset).exact(amount)
        });
        (node.account.clone(), parts.collect::<Vec<_>>().join(", "))
    };
    let within = |link: &&Link| members.contains(&link.from) && members.contains(&link.to);
    let among: usize = flow.links.iter().filter(within).map(|link| link.hops.len()).sum();
    let what = match among {
        0 => format!("{} more wallets", members.len()),
        n => format!("{} more wallets, {n} movements among them", members.len()),
    };
    let mut reasons: BTreeMap<(&str, usize), Amount> = BTreeMap::new();
    for end in of().flat_map(|node| &node.ends) {
        let sum = reasons.entry((end.reason.as_str(), end.asset)).or_default();
        *sum = sum.saturating_add(end.traced.parse().unwrap_or_default());
    }
    let ends = reasons.into_iter().map(|((reason, asset), sum)| End {
        reason: reason.to_owned(),
        asset,
        traced: sum.to_string(),
    });
    let sums = sums.into_iter().map(|(asset, [came, went, left, fees])| Sums {
        asset,
        came: came.to_string(),
        went: went.to_string(),
        left: if untold { String::new() } else { left.to_string() },
        fees: fees.to_string(),
    });
    Node {
        account: String::new(),
        kind: Kind::Group,
        what,
        open: of().any(|node| node.open),
        depth: of().map(|node| node.depth).min().unwrap_or_default(),
        sums: sums.collect(),
        ends: ends.collect(),
        first: of().map(|node| node.first.clone()).min().unwrap_or_default(),
        last: of().map(|node| node.last.clone()).max().unwrap_or_default(),
        more_out: of().map(|node| node.more_out).fold(0, u32::saturating_add),
        more_in: of().map(|node| node.more_in).fold(0, u32::saturating_add),
        freezes: Vec::new(),
        labels: Vec::new(),
        members: of().map(told).collect(),
    }
}
