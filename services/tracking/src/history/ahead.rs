//! The blocks of a pass, whole as far as what they do can matter: where watches look for nothing but payments of tokens,
//! nodes are asked first in which blocks there are any, and of the others only how they lead on is read.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::follow;
use crate::source::{BLOCKS_SIDE_BY_SIDE, Block, BlockRef, ChainSource, Paying, Payments};

pub(super) struct Ahead<'a> {
    source: &'a dyn ChainSource,
    /// What is looked for; none where all blocks are whole.
    payments: Option<Payments>,
    /// Where nodes say that there are such payments.
    at: BTreeSet<u64>,
    whole: BTreeMap<u64, Block>,
    last: BlockRef,
}

impl<'a> Ahead<'a> {
    /// Blocks that lead on from `from`, each from the one before: as many as the node's chain has of them up to `to`. It may be
    /// changing, or be another than the one that was read.
    ///
    /// # Errors
    /// When nodes do not answer.
    pub(super) async fn of(
        source: &'a dyn ChainSource,
        payments: Option<Payments>,
        from: BlockRef,
        to: u64,
    ) -> anyhow::Result<(Self, Vec<Block>)> {
        let (at, whole) = (BTreeSet::new(), BTreeMap::new());
        let mut ahead = Self { source, payments: None, at, whole, last: from };
        if to <= from.number {
            return Ok((ahead, Vec::new()));
        }
        if let Some(payments) = payments {
            let outlines = follow(from, source.outlines(from.number + 1, to).await?);
            ahead.last = outlines.last().map_or(from, |block| block.at);
            if ahead.look_for(payments, from.number + 1).await? {
                return Ok((ahead, outlines));
            }
        }
        let blocks = follow(from, source.blocks(from.number + 1, to).await?);
        Ok((ahead, blocks))
    }

    /// A block as it has to be taken in; none where no node has it any more.
    pub(super) async fn whole(&mut self, block: Block) -> anyhow::Result<Option<Block>> {
        if !self.at.contains(&block.at.number) {
            return Ok(Some(block));
        }
        match self.whole.remove(&block.at.number).filter(|whole| whole.at == block.at) {
            Some(whole) => Ok(Some(whole)),
            None => self.source.block(block.at.hash).await,
        }
    }

    /// Money has come to other accounts in a block: those after it may matter where they did not before. False where that
    /// cannot be known.
    pub(super) async fn look_on(&mut self, payments: Option<Payments>, after: u64) -> anyhow::Result<bool> {
        match (&self.payments, payments) {
            (None, _) => Ok(true),
            (Some(before), Some(now)) if *before == now => Ok(true),
            (Some(_), Some(now)) => self.look_for(now, after + 1).await,
            (Some(_), None) => Ok(false),
        }
    }

    /// False where no node can say, or the node's chain has changed meanwhile.
    async fn look_for(&mut self, payments: Payments, first: u64) -> anyhow::Result<bool> {
        let last = self.last;
        if first > last.number {
            return Ok(true);
        }
        let paying = self.source.paying(&payments, first, last.number).await?;
        let Some(Paying { blocks: at, .. }) = paying.filter(|paying| paying.last == last) else { return Ok(false) };
        let wanted: Vec<u64> = at.iter().copied().filter(|number| !self.whole.contains_key(number)).collect();
        let source = self.source;
        let blocks = stream::iter(wanted).map(|number| async move {
            let Some(at) = source.at(number).await? else { return Ok(None) };
            source.block(at.hash).await
        });
        let blocks: Vec<Option<Block>> =
            blocks.buffered(BLOCKS_SIDE_BY_SIDE).try_collect().await.map_err(|error: anyhow::Error| error)?;
        self.whole.extend(blocks.into_iter().flatten().map(|block| (block.at.number, block)));
        self.at.extend(at);
        self.payments = Some(payments);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene;
    use crate::scripted::{Scripted, address};

    fn payments(by: &[u8]) -> Option<Payments> {
        let of = scene::token().contract().into_iter().collect();
        Some(Payments { by: by.iter().copied().map(address).collect(), of })
    }

    /// Blocks in which 1 pays 2, in which 5 pays 6, in which 2 pays 3 and in which nothing happens.
    fn chain() -> Scripted {
        let node = Scripted::new();
        let mut tip = node.shown();
        for moves in [[(1, 2, 10)].as_slice(), &[(5, 6, 10)], &[(2, 3, 10)], &[], &[(5, 6, 10)]] {
            tip = node.mine(tip, &[], moves);
        }
        node.show(tip);
        node
    }

    #[tokio::test]
    async fn only_blocks_with_such_payments_are_read_whole_also_those_that_matter_because_of_one_before() {
        let node = chain();
        let from = node.below(node.shown(), 5);
        let (mut ahead, blocks) = Ahead::of(&node, payments(&[1]), from, 5).await.unwrap();
        assert_eq!((blocks.len(), node.take_asked()), (5, vec![1]));
        let mut moved = Vec::new();
        for block in blocks {
            let block = ahead.whole(block).await.unwrap().unwrap();
            moved.push(block.transfers().len());
            let by = if block.transfers().is_empty() { payments(&[1]) } else { payments(&[1, 2]) };
            if block.at.number == 1 {
                assert!(ahead.look_on(by, 1).await.unwrap());
            }
        }
        assert_eq!(moved, [1, 0, 1, 0, 0]);
        assert_eq!(node.take_asked(), [3]);
    }

    #[tokio::test]
    async fn where_all_matters_all_blocks_are_read_whole() {
        let node = chain();
        let from = node.below(node.shown(), 3);
        let (mut ahead, blocks) = Ahead::of(&node, None, from, 9).await.unwrap();
        assert_eq!(blocks, node.branch(node.shown())[3..]);
        assert_eq!(ahead.whole(blocks[0].clone()).await.unwrap().as_ref(), Some(&blocks[0]));
        assert!(ahead.look_on(payments(&[1]), 3).await.unwrap());
        let (_, none) = Ahead::of(&node, payments(&[1]), node.shown(), 5).await.unwrap();
        assert!(none.is_empty());
    }

    #[tokio::test]
    async fn a_chain_that_changes_meanwhile_is_read_again() {
        let node = chain();
        let from = node.below(node.shown(), 5);
        let (mut ahead, blocks) = Ahead::of(&node, payments(&[1]), from, 5).await.unwrap();
        let fork = node.below(node.shown(), 2);
        node.show(node.mine_empty(fork, 3));
        assert_eq!(ahead.whole(blocks[0].clone()).await.unwrap().map(|block| block.at), Some(blocks[0].at));
        assert!(!ahead.look_on(payments(&[1, 2]), 1).await.unwrap());
    }
}
