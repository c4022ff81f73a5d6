//! What a chain is to this service: blocks of transfers, in their order.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use haetae_core::TransferIndex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::knowledge::AccountFacts;

/// A block's place and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRef {
    pub(crate) number: u64,
    pub(crate) hash: B256,
}

/// A block and the transfers in it that took effect, in the order of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) at: BlockRef,
    pub(crate) parent: B256,
    pub(crate) transfers: Vec<Transfer>,
}

/// Value that moved. None of nothing, and none to oneself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) transaction: B256,
    pub(crate) index: TransferIndex,
    pub(crate) from: Address,
    pub(crate) to: Address,
    /// The token's contract; none for the chain's own coin.
    pub(crate) token: Option<Address>,
    pub(crate) amount: U256,
}

/// Nodes that are asked about a chain. What they say is checked as far as it can be: blocks are asked for by hash, and
/// must lead back to what is stored.
#[async_trait]
pub(crate) trait ChainSource: Send + Sync {
    /// The newest block.
    async fn newest(&self) -> anyhow::Result<BlockRef>;

    /// The newest block that the chain will not take back; none where it does not say.
    async fn finalized(&self) -> anyhow::Result<Option<BlockRef>>;

    /// The block of this number in the node's chain; none beyond its newest.
    async fn at(&self, number: u64) -> anyhow::Result<Option<BlockRef>>;

    /// A block by its hash; none where the node does not have it, or not any more.
    async fn block(&self, hash: B256) -> anyhow::Result<Option<Block>>;

    /// What is known of accounts at a block.
    async fn facts(&self, accounts: &[Address], at: u64) -> anyhow::Result<Vec<AccountFacts>>;

    /// Tells of new blocks as soon as they are known, until cancelled: by subscription, and by asking every `poll`
    /// besides, so that a subscription that has died without a word costs time and nothing else.
    async fn tell_newest(&self, newest: watch::Sender<Option<BlockRef>>, poll: Duration, cancel: CancellationToken);
}
