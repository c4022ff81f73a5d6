//! The nodes of one chain. One of them is followed: where its chain ends is where the chain ends. The others answer for
//! it when it cannot, and one takes its place when it falls silent or behind.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy::primitives::B256;
use futures::future::join_all;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::node::{Answer, Known, NoAnswer, Node};
use crate::config::NodeConfig;
use crate::source::{BlockRef, Condition};

/// Blocks by which the node that is followed may be behind another.
const LAG: u64 = 3;
/// How many usual times between blocks a node that has taken another's place has to be on a branch that is not longer than
/// what was read, until that counts.
const LASTS: u32 = 3;
/// Blocks that are remembered.
const REMEMBERED: usize = 256;

#[derive(Debug)]
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    following: watch::Sender<usize>,
    past: Mutex<Past>,
    block_time: Duration,
}

/// What the nodes have said so far.
#[derive(Debug, Default)]
struct Past {
    /// The last blocks that were read.
    read: BTreeMap<u64, B256>,
    /// Since when the node that is followed has been in another's place without having been ahead of what was read.
    in_place_since: Option<Instant>,
}

impl Nodes {
    /// `chain` is the number by which the nodes have to call their chain (EIP-155).
    pub(crate) fn new(chain: u64, nodes: &[NodeConfig], block_time: Duration) -> anyhow::Result<Self> {
        let nodes: Vec<Node> =
            nodes.iter().enumerate().map(|(place, node)| Node::new(place, chain, node)).collect::<Result<_, _>>()?;
        anyhow::ensure!(!nodes.is_empty(), "a chain needs a node");
        Ok(Self { nodes, following: watch::Sender::new(0), past: Mutex::default(), block_time })
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a block that was read.
    pub(super) fn note_read(&self, at: BlockRef) {
        let read = &mut self.past().read;
        read.insert(at.number, at.hash);
        while read.len() > REMEMBERED {
            read.pop_first();
        }
    }

    /// Whether the chain ends at this block of the node that is followed. A node that has just taken another's place may be
    /// behind, on a branch that is dying: then it counts when it is longer than what was read, or if it lasts.
    pub(super) fn counts(&self, tip: BlockRef) -> bool {
        let mut past = self.past();
        let Some(since) = past.in_place_since else { return true };
        let longer = past.read.last_key_value().is_none_or(|(last, _)| tip.number > *last);
        if longer || since.elapsed() >= self.block_time * LASTS {
            past.in_place_since = None;
            return true;
        }
        past.read.get(&tip.number) == Some(&tip.hash)
    }

    /// The node that is followed.
    pub(super) fn followed(&self) -> &Node {
        &self.nodes[*self.following.borrow()]
    }

    /// Which node is followed, as it changes.
    pub(super) fn following(&self) -> watch::Receiver<usize> {
        self.following.subscribe()
    }

    /// In the order in which they are asked.
    pub(super) fn in_order(&self) -> Vec<&Node> {
        let following = *self.following.borrow();
        let mut nodes: Vec<(usize, &Node)> = self.nodes.iter().enumerate().collect();
        nodes.sort_by_key(|(place, node)| (!node.known().answers, *place != following, *place));
        nodes.into_iter().map(|(_, node)| node).collect()
    }

    /// Whether any node can tell now what calls moved.
    pub(super) fn any_traces(&self) -> bool {
        self.nodes.iter().map(Node::known).any(|known| known.answers && known.tracer.is_some())
    }

    /// One call to the first node that answers, if only by a refusal.
    pub(super) async fn ask<T: Answer>(&self, method: &'static str, params: Value) -> Result<T, NoAnswer> {
        self.ask_until(method, params, |_| true).await
    }

    /// One call that another node may know where one refuses: not all keep what is old.
    pub(super) async fn ask_any<T: Answer>(&self, method: &'static str, params: Value) -> Result<T, NoAnswer> {
        self.ask_until(method, params, |_| false).await
    }

    async fn ask_until<T: Answer>(
        &self,
        method: &'static str,
        params: Value,
        ends: fn(&NoAnswer) -> bool,
    ) -> Result<T, NoAnswer> {
        let mut silent = None;
        let mut refused = None;
        for node in self.in_order() {
            match node.ask(method, params.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_refusal() && ends(&error) => return Err(error),
                Err(error) if error.is_refusal() => refused = Some(error),
                Err(error) => silent = Some(error),
            }
        }
        Err(refused.or(silent).unwrap_or(NoAnswer::Silent { what: method, place: 0 }))
    }

    /// Calls that one node answers, in their order.
    pub(super) async fn ask_all<T: Answer>(&self, calls: Vec<(&'static str, Value)>) -> Result<Vec<T>, NoAnswer> {
        let mut failed = NoAnswer::Silent { what: "batch", place: 0 };
        for node in self.in_order() {
            match node.ask_all(&calls).await {
                Err(error) if !error.is_refusal() => failed = error,
                answered => return answered,
            }
        }
        Err(failed)
    }

    /// The end of the chain: of the node that is followed, or of the one that is from now on.
    pub(super) async fn newest(&self) -> Result<BlockRef, NoAnswer> {
        let before = *self.following.borrow();
        let mut looked = self.nodes[before].look().await;
        if looked.is_err() {
            self.look_around().await;
        }
        self.reconsider();
        let following = *self.following.borrow();
        if let (Known { answers: true, tip: Some(tip), .. }, true) =
            (self.nodes[following].known(), following != before)
        {
            looked = Ok(tip);
        }
        let tip = looked?;
        if self.counts(tip) { Ok(tip) } else { Err(NoAnswer::Behind { place: following }) }
    }

    /// Asks the nodes that are not followed where their chains end.
    pub(super) async fn look_around(&self) {
        let following = *self.following.borrow();
        let others = self.nodes.iter().enumerate().filter(|(place, _)| *place != following);
        join_all(others.map(|(_, node)| node.look())).await;
    }

    fn reconsider(&self) {
        let known: Vec<Known> = self.nodes.iter().map(Node::known).collect();
        self.following.send_if_modified(|following| {
            let before = *following;
            *following = choose(&known, before);
            if *following != before {
                tracing::warn!(from = before, to = *following, "another node is followed");
                self.past().in_place_since = Some(Instant::now());
            }
            *following != before
        });
    }

    /// How they are.
    pub(super) fn condition(&self) -> Condition {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let answering = self.nodes.iter().filter(|node| node.known().answers).count();
        Condition { nodes: count(self.nodes.len()), answering: count(answering), internal_transfers: self.any_traces() }
    }
}

/// Which node to follow: one that answers and is not far behind, and that can tell what calls moved, if there is such a
/// one. Between equals it is the one that is followed already, then the first.
fn choose(nodes: &[Known], following: usize) -> usize {
    let tip = |known: &Known| known.tip.filter(|_| known.answers).map(|tip| tip.number);
    let Some(highest) = nodes.iter().filter_map(tip).max() else { return following };
    let level = |place: &usize| nodes.get(*place).and_then(tip).is_some_and(|number| number + LAG >= highest);
    let traces = |place: usize| nodes.get(place).is_some_and(|known| known.tracer.is_some());
    (0..nodes.len())
        .filter(level)
        .min_by_key(|place| (!traces(*place), *place != following, *place))
        .unwrap_or(following)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evm::traces::Tracer;

    fn at(number: u64) -> Known {
        let tip = Some(BlockRef { number, hash: B256::with_last_byte(1) });
        Known { answers: true, tip, ..Known::default() }
    }

    fn silent(number: u64) -> Known {
        Known { answers: false, ..at(number) }
    }

    fn tracing(number: u64) -> Known {
        Known { tracer: Some(Tracer::Flat), ..at(number) }
    }

    #[test]
    fn a_node_is_followed_until_it_falls_silent_or_behind() {
        for (nodes, following, expected) in [
            (vec![at(100), at(100)], 1, 1),
            (vec![at(100 + LAG), at(100)], 1, 1),
            (vec![at(101 + LAG), at(100)], 1, 0),
            (vec![at(90), silent(100)], 1, 0),
            (vec![silent(100), at(90), at(95)], 0, 2),
            (vec![silent(100), silent(100)], 1, 1),
            (vec![Known::default(), at(7)], 0, 1),
        ] {
            assert_eq!(choose(&nodes, following), expected, "{nodes:?}");
        }
    }

    #[test]
    fn a_node_in_anothers_place_does_not_lead_backwards_unless_it_lasts() {
        let config = NodeConfig { http: "http://localhost".to_owned(), ..NodeConfig::default() };
        let mut nodes = Nodes::new(1, &[config.clone(), config], Duration::from_secs(3_600)).unwrap();
        let block = |branch, number| BlockRef { number, hash: B256::with_last_byte(branch) };
        (1..=10).for_each(|number| nodes.note_read(block(1, number)));
        assert!(nodes.counts(block(2, 8)), "what the same node says has happened");
        let switch = |nodes: &Nodes, first: Known, second: Known| {
            nodes.nodes[0].learn(|known| *known = first);
            nodes.nodes[1].learn(|known| *known = second);
            nodes.reconsider();
        };
        switch(&nodes, silent(10), at(8));
        assert!(nodes.counts(block(1, 8)), "it is behind on the same branch");
        assert!(!nodes.counts(block(2, 8)) && !nodes.counts(block(2, 10)));
        assert!(nodes.counts(block(2, 11)) && nodes.counts(block(2, 9)), "it has been ahead");
        switch(&nodes, at(9), silent(9));
        assert!(!nodes.counts(block(2, 8)));
        nodes.block_time = Duration::ZERO;
        assert!(nodes.counts(block(2, 8)), "it has lasted");
    }

    #[test]
    fn a_node_that_tells_what_calls_moved_goes_before_one_that_does_not_if_it_keeps_up() {
        assert_eq!(choose(&[at(100), tracing(100 - LAG)], 0), 1);
        assert_eq!(choose(&[at(100), tracing(99 - LAG)], 1), 0);
        assert_eq!(choose(&[tracing(100), tracing(100)], 1), 1);
    }
}
