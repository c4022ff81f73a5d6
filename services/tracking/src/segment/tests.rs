use std::time::Duration;

use alloy_primitives::{Address, U256};
use async_trait::async_trait;
use haetae_core::Moment;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::knowledge::AccountFacts;
use crate::source::{BalanceAt, Body, Dated};

/// A node with every block it ever had; `main` is its chain, by number from 0.
struct Node {
    blocks: HashMap<B256, Block>,
    main: Vec<B256>,
}

fn hash(branch: u8, number: u64) -> B256 {
    let mut hash = B256::with_last_byte(branch);
    hash.0[..8].copy_from_slice(&number.to_be_bytes());
    hash
}

impl Node {
    /// One branch of blocks `0..=tip`.
    fn new(tip: u64) -> Self {
        let mut node = Self { blocks: HashMap::new(), main: Vec::new() };
        node.grow(0, 0, tip);
        node
    }

    /// Its chain follows `branch` from block `first` to block `tip`.
    fn grow(&mut self, branch: u8, first: u64, tip: u64) {
        self.main.truncate(usize::try_from(first).unwrap());
        for number in first..=tip {
            let at = BlockRef { number, hash: hash(branch, number) };
            let parent = self.main.last().copied().unwrap_or_default();
            let block = Block { at, parent, time: Moment::UNIX_EPOCH, body: Body::Transfers(Vec::new()) };
            self.blocks.insert(at.hash, block);
            self.main.push(at.hash);
        }
    }

    fn tip(&self) -> BlockRef {
        let number = self.main.len() as u64 - 1;
        BlockRef { number, hash: self.main[self.main.len() - 1] }
    }

    fn read(&self, from: u64) -> BTreeMap<u64, B256> {
        (0..).zip(self.main.iter().copied()).skip(usize::try_from(from).unwrap()).collect()
    }
}

#[async_trait]
impl ChainSource for Node {
    async fn newest(&self) -> anyhow::Result<BlockRef> {
        Ok(self.tip())
    }

    async fn finalized(&self) -> anyhow::Result<Option<BlockRef>> {
        Ok(None)
    }

    async fn at(&self, number: u64) -> anyhow::Result<Option<BlockRef>> {
        let hash = self.main.get(usize::try_from(number)?);
        Ok(hash.map(|hash| BlockRef { number, hash: *hash }))
    }

    async fn block(&self, hash: B256) -> anyhow::Result<Option<Block>> {
        Ok(self.blocks.get(&hash).cloned())
    }

    async fn dated(&self, number: u64) -> anyhow::Result<Option<Dated>> {
        Ok(self.at(number).await?.map(|at| Dated { at, time: 0 }))
    }

    async fn block_with(&self, _: &str) -> anyhow::Result<Option<BlockRef>> {
        Ok(None)
    }

    async fn facts(&self, _: &[Address], _: u64) -> anyhow::Result<Vec<AccountFacts>> {
        Ok(Vec::new())
    }

    async fn balances(&self, _: &[BalanceAt]) -> anyhow::Result<Vec<Option<U256>>> {
        Ok(Vec::new())
    }

    async fn tell_newest(&self, _: watch::Sender<Option<BlockRef>>, _: Duration, _: CancellationToken) {}
}

fn numbers(segment: &Segment) -> Vec<u64> {
    segment.blocks.iter().map(|block| block.at.number).collect()
}

#[tokio::test]
async fn the_next_block_follows_the_head() {
    let mut node = Node::new(9);
    let (read, head) = (node.read(0), node.tip());
    assert_eq!(next(&node, &read, head, head).await.unwrap(), None);
    node.grow(0, 10, 10);
    let segment = next(&node, &read, head, node.tip()).await.unwrap().unwrap();
    assert_eq!((segment.fork, numbers(&segment)), (head, vec![10]));
}

#[tokio::test]
async fn a_gap_is_filled_without_leaving_a_block_out() {
    let mut node = Node::new(9);
    let (mut read, mut head) = (node.read(0), node.tip());
    node.grow(0, 10, 100);
    let mut seen = Vec::new();
    while let Some(segment) = next(&node, &read, head, node.tip()).await.unwrap() {
        assert_eq!(segment.fork, head);
        seen.extend(numbers(&segment));
        head = segment.blocks.last().unwrap().at;
        read.extend(segment.blocks.iter().map(|block| (block.at.number, block.at.hash)));
    }
    assert_eq!(seen, (10..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reorganisation_goes_back_to_the_fork() {
    let mut node = Node::new(9);
    let (read, head) = (node.read(0), node.tip());
    node.grow(1, 7, 11);
    let segment = next(&node, &read, head, node.tip()).await.unwrap().unwrap();
    assert_eq!((segment.fork.number, numbers(&segment)), (6, vec![7, 8, 9, 10, 11]));
    assert!(segment.blocks.iter().all(|block| node.main.contains(&block.at.hash)));
}

#[tokio::test]
async fn a_block_in_the_middle_of_a_reorganisation_leads_to_its_end() {
    let mut node = Node::new(9);
    let (read, head) = (node.read(0), node.tip());
    node.grow(1, 7, 10);
    let told = BlockRef { number: 7, hash: hash(1, 7) };
    let segment = next(&node, &read, head, told).await.unwrap().unwrap();
    assert_eq!(numbers(&segment), [7, 8, 9, 10]);
}

#[tokio::test]
async fn a_chain_that_became_shorter_is_followed() {
    let mut node = Node::new(9);
    let (read, head) = (node.read(0), node.tip());
    node.grow(1, 7, 8);
    let segment = next(&node, &read, head, node.tip()).await.unwrap().unwrap();
    assert_eq!((segment.fork.number, numbers(&segment)), (6, vec![7, 8]));
}

#[tokio::test]
async fn a_node_that_lags_behind_is_not_a_reorganisation() {
    let node = Node::new(9);
    let behind = BlockRef { number: 7, hash: hash(0, 7) };
    assert_eq!(next(&node, &node.read(0), node.tip(), behind).await.unwrap(), None);
}

#[tokio::test]
async fn a_reorganisation_deeper_than_what_is_kept_stops_the_reading() {
    let mut node = Node::new(9);
    let (read, head) = (node.read(6), node.tip());
    node.grow(1, 4, 11);
    let stopped = next(&node, &read, head, node.tip()).await;
    assert!(matches!(stopped, Err(NoWay::TooDeep(3))), "{stopped:?}");
}

#[tokio::test]
async fn a_block_that_the_node_has_lost_is_waited_for() {
    let mut node = Node::new(9);
    let (read, head) = (node.read(0), node.tip());
    node.grow(0, 10, 12);
    node.blocks.remove(&hash(0, 11));
    assert!(matches!(next(&node, &read, head, node.tip()).await, Err(NoWay::Node(_))));
}
