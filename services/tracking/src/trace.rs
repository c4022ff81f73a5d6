//! What is asked of recorded movements as a graph: from a start on, forward or backward, as far as a budget goes.
//!
//! The search decides and loads nothing: it says what it has to look at next ([`Search::next`]) and takes in what was
//! found ([`Search::take`]), level by level, so that no more is loaded than it needs. A movement is reached where a way
//! leads to it on which every movement comes after the one before it in the chain. At each level the movements are gone
//! through in the order of the chain, so that the same question over the same records has one answer, and a budget that
//! does not suffice is spent on what is nearest, and among that on what came first.

mod answer;
mod find;
pub(crate) mod question;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{U256, U512};
use haetae_core::{Account, Amount, Asset, ChainId, Moment, TransferId, WatchId};

use crate::said::{Finality, TrailEnd};
use crate::trail::{Payer, Place};
use crate::watched::Movement;

pub(crate) use find::find;

/// Movements in an answer at most.
pub(crate) const MAX_EDGES: usize = 5_000;
/// Movements gone through for one answer at most.
pub(crate) const MAX_WORK: usize = 50_000;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) start: Start,
    pub(crate) forward: bool,
    pub(crate) backward: bool,
    pub(crate) max_nodes: usize,
    pub(crate) max_depth: Option<u32>,
    pub(crate) filter: Filter,
}

/// Where a trace starts.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// At the roots of the watches.
    Roots,
    Account(Account),
    /// At one transfer, or where its index is not stated, at all of a transaction.
    Transfer {
        chain: ChainId,
        transaction: String,
        index: Option<String>,
    },
}

/// What is left out. By itself only hops that stand pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// All where it is empty.
    pub(crate) assets: BTreeSet<Asset>,
    pub(crate) since: Option<Moment>,
    pub(crate) until: Option<Moment>,
    pub(crate) minimums: BTreeMap<Asset, Amount>,
    pub(crate) dust: bool,
    pub(crate) retracted: bool,
    pub(crate) untraced: bool,
}

/// A movement as a part of the graph: from one that brought traced money to it. Where several did, each has an edge of its own
/// with a share of what is traced, in proportion to what each brought: which of them an output is of, only some rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) watch: WatchId,
    pub(crate) kind: EdgeKind,
    from: Account,
    pub(crate) traced: Amount,
    pub(crate) movement: Movement,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EdgeKind {
    /// Traced money moved, and is followed or ends at the payee.
    Hop,
    Dust,
    /// Other money moved.
    Untraced,
}

/// The order of the graph's movements: that of the chain, then what tells them apart.
type Key = (ChainId, Place, TransferId, WatchId, Account);

impl Edge {
    /// None for what a transaction cost: nobody is paid by it.
    pub(crate) fn all_of(watch: WatchId, movement: Movement) -> Vec<Self> {
        if movement.sighting.is_fee() {
            return Vec::new();
        }
        let said = &movement.said;
        let (kind, traced) = match (&said.hop, &said.end) {
            (Some(hop), _) if hop.finality != Finality::Retracted => (EdgeKind::Hop, hop.traced),
            (_, Some(end)) if end.reason == TrailEnd::Dust => (EdgeKind::Dust, end.traced),
            (Some(hop), _) => (EdgeKind::Hop, hop.traced),
            (None, _) => (EdgeKind::Untraced, Amount::ZERO),
        };
        let payers = said.hop.as_ref().filter(|_| kind == EdgeKind::Hop).map(|hop| hop.payers.as_slice());
        match payers.unwrap_or_default() {
            [] => vec![Self { watch, kind, from: movement.sighting.from.clone(), traced, movement }],
            payers => shares(traced, payers)
                .into_iter()
                .map(|(from, traced)| Self { watch, kind, from, traced, movement: movement.clone() })
                .collect(),
        }
    }

    pub(crate) fn from(&self) -> &Account {
        &self.from
    }

    pub(crate) fn to(&self) -> &Account {
        &self.movement.sighting.to
    }

    /// All that brought traced money, where they were several.
    fn payers(&self) -> &[Payer] {
        self.movement.said.hop.as_ref().map(|hop| hop.payers.as_slice()).unwrap_or_default()
    }

    fn key(&self) -> Key {
        let sighting = &self.movement.sighting;
        (sighting.transfer.chain.clone(), sighting.place, sighting.transfer.clone(), self.watch, self.from.clone())
    }

    /// It is a hop no longer, or it is not in the chain.
    fn is_retracted(&self) -> bool {
        let hop = self.movement.said.hop.as_ref();
        match self.kind {
            EdgeKind::Hop => hop.is_some_and(|hop| hop.finality == Finality::Retracted),
            EdgeKind::Dust | EdgeKind::Untraced => !self.movement.live,
        }
    }
}

/// What is traced, shared out in proportion to what each brought, to the last unit.
fn shares(traced: Amount, payers: &[Payer]) -> Vec<(Account, Amount)> {
    let wide = |amount: Amount| U512::from(amount.to_u256());
    let brought: U512 = payers.iter().map(|payer| wide(payer.traced)).sum();
    let mut given = Amount::ZERO;
    let mut so_far = U512::ZERO;
    let share = |payer: &Payer| {
        so_far += wide(payer.traced);
        // No more than what is traced: it fits.
        let up_to = if brought.is_zero() { U512::ZERO } else { wide(traced) * so_far / brought };
        let up_to = Amount::from_u256(up_to.wrapping_to::<U256>());
        let part = up_to.saturating_sub(given);
        given = up_to;
        (payer.account.clone(), part)
    };
    payers.iter().map(share).collect()
}

impl Filter {
    pub(crate) fn passes(&self, edge: &Edge) -> bool {
        let sighting = &edge.movement.sighting;
        let kind = match edge.kind {
            EdgeKind::Hop => true,
            EdgeKind::Dust => self.dust,
            EdgeKind::Untraced => self.untraced,
        };
        let weight = if edge.traced.is_zero() { sighting.amount } else { edge.traced };
        kind && (self.retracted || !edge.is_retracted())
            && (self.assets.is_empty() || self.assets.contains(&sighting.asset))
            && self.since.is_none_or(|since| sighting.seen_at >= since)
            && self.until.is_none_or(|until| sighting.seen_at < until)
            && self.minimums.get(&sighting.asset).is_none_or(|least| weight >= *least)
    }
}

/// Along the money, or against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Forward,
    Backward,
}

impl Way {
    /// Where one stands before a movement, going this way, and where after it.
    fn ends(self, edge: &Edge) -> (&Account, &Account) {
        match self {
            Self::Forward => (edge.from(), edge.to()),
            Self::Backward => (edge.to(), edge.from()),
        }
    }

    /// Whether a movement at `place` goes on from an account that was reached at `bound`; at any time where there is none.
    fn goes_on(self, bound: Option<Place>, place: Place) -> bool {
        bound.is_none_or(|bound| match self {
            Self::Forward => place > bound,
            Self::Backward => place < bound,
        })
    }

    /// The bound that lets more through.
    fn wider(self, one: Option<Place>, other: Option<Place>) -> Option<Place> {
        let (one, other) = (one?, other?);
        Some(match self {
            Self::Forward => one.min(other),
            Self::Backward => one.max(other),
        })
    }
}

/// Why an answer is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    Nodes,
    Depth,
    Edges,
    Work,
}

/// What has to be looked at: all movements out of these accounts, or into them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) way: Way,
    pub(crate) accounts: Vec<Account>,
    /// No more of them than this, in the order of the chain.
    pub(crate) at_most: usize,
}

/// An account of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) account: Account,
    pub(crate) depth: u32,
    pub(crate) more_out: u32,
    pub(crate) more_in: u32,
}

/// The graph that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Graph {
    /// In the order in which they were reached.
    pub(crate) nodes: Vec<Node>,
    /// In the order of the chain.
    pub(crate) edges: Vec<Edge>,
    pub(crate) limits: BTreeSet<Limit>,
}

/// A search under way.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    query: &'a Query,
    nodes: Vec<(Account, u32)>,
    known: BTreeSet<Account>,
    edges: BTreeMap<Key, Edge>,
    /// What was seen and is not in the graph, by where it would go on.
    hidden: BTreeMap<(Way, Account), BTreeSet<Key>>,
    limits: BTreeSet<Limit>,
    waves: Vec<Wave>,
    work: usize,
}

/// One direction of a search.
#[derive(Debug)]
struct Wave {
    way: Way,
    /// Transfers gone from the start.
    depth: u32,
    /// When each account was reached first, or going backward last; none where time is not bounded there.
    bounds: BTreeMap<Account, Option<Place>>,
    /// Accounts that lead on further than before.
    frontier: BTreeSet<Account>,
    /// Movements gone over.
    gone: BTreeSet<Key>,
}

impl<'a> Search<'a> {
    /// From these accounts, and over these transfers.
    pub(crate) fn begin(query: &'a Query, accounts: impl IntoIterator<Item = Account>, transfers: Vec<Edge>) -> Self {
        let ways = [(Way::Forward, query.forward), (Way::Backward, query.backward)];
        let wave =
            |way| Wave { way, depth: 0, bounds: BTreeMap::new(), frontier: BTreeSet::new(), gone: BTreeSet::new() };
        let mut search = Self {
            query,
            nodes: Vec::new(),
            known: BTreeSet::new(),
            edges: BTreeMap::new(),
            hidden: BTreeMap::new(),
            limits: BTreeSet::new(),
            waves: ways.into_iter().filter(|(_, wanted)| *wanted).map(|(way, _)| wave(way)).collect(),
            work: MAX_WORK,
        };
        for account in accounts {
            search.waves.iter_mut().for_each(|wave| wave.reach(&account, None));
            search.enter(&account, 0);
        }
        let transfers: BTreeMap<Key, Edge> = transfers.into_iter().map(|edge| (edge.key(), edge)).collect();
        for (key, edge) in transfers {
            search.enter(edge.from(), 0);
            search.enter(edge.to(), 0);
            for wave in &mut search.waves {
                let (_, there) = wave.way.ends(&edge);
                wave.reach(there, Some(key.1));
                wave.gone.insert(key.clone());
            }
            search.edges.insert(key, edge);
        }
        search
    }

    /// What has to be looked at next; none when the graph is found.
    pub(crate) fn next(&self) -> Option<Look> {
        let wave = self.current()?;
        let accounts = wave.frontier.iter().cloned().collect();
        Some(Look { way: wave.way, accounts, at_most: self.work })
    }

    /// Takes in what was found where it was told to look, `all` of it or no more than was asked for.
    pub(crate) fn take(&mut self, found: Vec<Edge>, all: bool) {
        let Some(at) = self.waves.iter().position(|wave| !wave.frontier.is_empty() && self.is_turn(wave)) else {
            return;
        };
        self.work = self.work.saturating_sub(found.len());
        let mut wave = self.waves.remove(at);
        let deepest = self.query.max_depth.is_some_and(|most| wave.depth >= most);
        let found: BTreeMap<Key, Edge> = found.into_iter().map(|edge| (edge.key(), edge)).collect();
        let frontier = std::mem::take(&mut wave.frontier);
        let here: BTreeMap<Account, Option<Place>> = frontier
            .into_iter()
            .filter_map(|account| wave.bounds.get(&account).map(|at| (account.clone(), *at)))
            .collect();
        wave.depth += 1;
        for (key, edge) in found {
            let (from, there) = wave.way.ends(&edge);
            let goes_on = here.get(from).is_some_and(|bound| wave.way.goes_on(*bound, key.1));
            if !goes_on || wave.gone.contains(&key) || !self.query.filter.passes(&edge) {
                continue;
            }
            if let Some(limit) = self.limit(&key, there, deepest) {
                self.limits.insert(limit);
                self.hidden.entry((wave.way, from.clone())).or_default().insert(key);
                continue;
            }
            self.enter(there, wave.depth);
            wave.reach(there, Some(key.1));
            wave.gone.insert(key.clone());
            self.edges.entry(key).or_insert(edge);
        }
        if !all {
            self.limits.insert(Limit::Work);
            wave.frontier.clear();
        }
        self.waves.insert(at, wave);
    }

    /// What stands against showing a movement.
    fn limit(&self, key: &Key, there: &Account, deepest: bool) -> Option<Limit> {
        let shown = self.edges.contains_key(key);
        if deepest && !shown {
            Some(Limit::Depth)
        } else if self.edges.len() >= MAX_EDGES && !shown {
            Some(Limit::Edges)
        } else if self.nodes.len() >= self.query.max_nodes && !self.known.contains(there) {
            Some(Limit::Nodes)
        } else {
            None
        }
    }

    pub(crate) fn finish(self) -> Graph {
        let more = |way, account: &Account| {
            let hidden = self.hidden.get(&(way, account.clone()));
            let missing = hidden.map_or(0, |keys| keys.iter().filter(|key| !self.edges.contains_key(*key)).count());
            u32::try_from(missing).unwrap_or(u32::MAX)
        };
        let nodes = self.nodes.iter().map(|(account, depth)| Node {
            account: account.clone(),
            depth: *depth,
            more_out: more(Way::Forward, account),
            more_in: more(Way::Backward, account),
        });
        Graph { nodes: nodes.collect(), edges: self.edges.into_values().collect(), limits: self.limits }
    }

    fn enter(&mut self, account: &Account, depth: u32) {
        if self.known.insert(account.clone()) {
            self.nodes.push((account.clone(), depth));
        }
    }

    fn current(&self) -> Option<&Wave> {
        self.waves.iter().find(|wave| !wave.frontier.is_empty() && self.is_turn(wave))
    }

    /// Both directions go level by level, so that neither spends the budget of the other.
    fn is_turn(&self, wave: &Wave) -> bool {
        self.waves.iter().all(|other| other.frontier.is_empty() || wave.depth <= other.depth)
    }
}

impl Wave {
    fn reach(&mut self, account: &Account, at: Option<Place>) {
        let bound = match self.bounds.get(account) {
            Some(before) => self.way.wider(*before, at),
            None => at,
        };
        if self.bounds.get(account) != Some(&bound) {
            self.bounds.insert(account.clone(), bound);
            self.frontier.insert(account.clone());
        }
    }
}

#[cfg(test)]
mod laws;
