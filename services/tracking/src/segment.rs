//! From where a chain was read to, to where the node is: the blocks between, each the parent of the next.

use std::collections::{BTreeMap, HashMap, VecDeque};

use alloy_primitives::B256;
use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};

use crate::source::{Block, BlockRef, ChainSource, Transfer};

/// Blocks written in one transaction, where none have left the chain.
const AT_ONCE: u64 = 32;
/// Blocks asked for at the same time.
const SIDE_BY_SIDE: usize = 8;
/// Blocks before the first that are asked for at most.
const BEFORE: u64 = 64;

/// Blocks that follow one that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The last block of those read that is still in the chain. Those after it have left it.
    pub(crate) fork: BlockRef,
    /// Never empty.
    pub(crate) blocks: Vec<Block>,
}

impl Segment {
    /// Transfers between accounts in its blocks.
    pub(crate) fn transfers(&self) -> impl Iterator<Item = &Transfer> {
        self.blocks.iter().flat_map(Block::transfers)
    }
}

/// Why the way from what was read to the newest block is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoWay {
    /// More blocks have left the chain than can be taken back.
    #[error("the chain left what was read more than {0} blocks ago")]
    TooDeep(u64),
    /// The node cannot say now.
    #[error(transparent)]
    Node(#[from] anyhow::Error),
}

/// The next blocks on the way to `newest`; none where the node is not ahead of what was read. `read` are the last blocks
/// that were read, by number, with the head.
pub(crate) async fn next(
    source: &dyn ChainSource,
    read: &BTreeMap<u64, B256>,
    head: BlockRef,
    newest: BlockRef,
) -> Result<Option<Segment>, NoWay> {
    if read.get(&newest.number) == Some(&newest.hash) {
        return Ok(None);
    }
    // What was told may be in the middle of a reorganisation; a block that follows the head never is.
    let first = block(source, newest.hash).await?;
    if first.parent == head.hash {
        return Ok(Some(Segment { fork: head, blocks: vec![first] }));
    }
    let newest = source.newest().await?;
    if read.get(&newest.number) == Some(&newest.hash) {
        return Ok(None);
    }
    let tip = match newest.number.min(head.number + AT_ONCE) {
        number if number == newest.number => newest,
        number => source.at(number).await?.context("the node lost a block")?,
    };
    let mut near = HashMap::from([(newest.hash, first)]);
    near.extend(near_by(source, head.number + 1, tip.number).await?);
    back(source, read, tip.hash, near).await.map(Some)
}

/// The last blocks before one, `most` of them or as many as there are, in the order of the chain.
pub(crate) async fn before(source: &dyn ChainSource, at: BlockRef, most: u64) -> anyhow::Result<Vec<BlockRef>> {
    let numbers = at.number.saturating_sub(most.min(BEFORE))..at.number;
    let blocks = stream::iter(numbers).map(|number| source.at(number)).buffered(SIDE_BY_SIDE);
    let blocks: Vec<Option<BlockRef>> = blocks.try_collect().await?;
    Ok(blocks.into_iter().flatten().collect())
}

/// Goes back from a block to one that was read.
async fn back(
    source: &dyn ChainSource,
    read: &BTreeMap<u64, B256>,
    tip: B256,
    mut near: HashMap<B256, Block>,
) -> Result<Segment, NoWay> {
    let mut blocks = VecDeque::new();
    let mut at = tip;
    loop {
        let next = match near.remove(&at) {
            Some(near) if near.at.hash == at => near,
            _ => block(source, at).await?,
        };
        let (parent, number) = (next.parent, next.at.number);
        blocks.push_front(next);
        let below = number.checked_sub(1).context("the chain has no more blocks")?;
        if read.get(&below) == Some(&parent) {
            let fork = BlockRef { number: below, hash: parent };
            return Ok(Segment { fork, blocks: blocks.into() });
        }
        if read.first_key_value().is_none_or(|(oldest, _)| below <= *oldest) {
            return Err(NoWay::TooDeep(read.len().saturating_sub(1) as u64));
        }
        at = parent;
    }
}

/// Blocks by number, asked for side by side: only a help, since going back takes none that does not fit.
async fn near_by(source: &dyn ChainSource, first: u64, tip: u64) -> anyhow::Result<Vec<(B256, Block)>> {
    let blocks = stream::iter(first..tip).map(|number| async move {
        let Some(at) = source.at(number).await? else { return Ok(None) };
        Ok(source.block(at.hash).await?.map(|block| (at.hash, block)))
    });
    let blocks: Vec<_> = blocks.buffered(SIDE_BY_SIDE).try_collect::<Vec<_>>().await.map_err(|e: anyhow::Error| e)?;
    Ok(blocks.into_iter().flatten().collect())
}

async fn block(source: &dyn ChainSource, hash: B256) -> anyhow::Result<Block> {
    source.block(hash).await?.context("the node does not have the block, or not any more")
}

#[cfg(test)]
mod tests;
