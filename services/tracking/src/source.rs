//! What a chain is to this service: blocks of transfers, in their order.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use anyhow::ensure;
use async_trait::async_trait;
use bitcoin::{OutPoint, TxOut, Txid};
use futures::{StreamExt, TryStreamExt, stream};
use haetae_core::{Moment, TransferIndex};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::knowledge::AccountFacts;
use crate::waiting::{Claim, Whereabouts};

/// Blocks asked for at the same time.
pub(crate) const BLOCKS_SIDE_BY_SIDE: usize = 16;

/// A block's place and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRef {
    pub(crate) number: u64,
    pub(crate) hash: B256,
}

/// A block and the time that it states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dated {
    pub(crate) at: BlockRef,
    /// Seconds since 1970. Its maker wrote it: nothing is known of it but that.
    pub(crate) time: i64,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) at: BlockRef,
    pub(crate) parent: B256,
    /// As its maker says; chains allow some seconds or hours of error.
    pub(crate) time: Moment,
    pub(crate) body: Body,
}

/// What a block does, by how its chain keeps money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// In accounts: the transfers that took effect, and what each transaction cost, in the order of the chain: gas is
    /// bought before anything else happens.
    Transfers(Vec<Transfer>),
    /// In outputs that are spent whole: transactions, in the order of the chain.
    Transactions(Vec<Transaction>),
}

/// A transaction of a chain that keeps money in outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    /// Of `body`.
    pub(crate) id: Txid,
    pub(crate) body: bitcoin::Transaction,
}

/// An output that is spent in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spent {
    pub(crate) output: OutPoint,
    pub(crate) block: B256,
}

impl Body {
    /// Transfers between accounts, in the order of the chain; none where money is kept in outputs.
    pub(crate) fn transfers(&self) -> &[Transfer] {
        match self {
            Self::Transfers(transfers) => transfers,
            Self::Transactions(_) => &[],
        }
    }

    /// Transactions, in the order of the chain; none where money is kept in accounts.
    pub(crate) fn transactions(&self) -> &[Transaction] {
        match self {
            Self::Transfers(_) => &[],
            Self::Transactions(transactions) => transactions,
        }
    }
}

impl Block {
    pub(crate) fn transfers(&self) -> &[Transfer] {
        self.body.transfers()
    }

    pub(crate) fn transactions(&self) -> &[Transaction] {
        self.body.transactions()
    }
}

/// Value that moved. None of nothing, and none to oneself but a transaction's cost: its sender is named twice.
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

impl Transfer {
    pub(crate) fn is_fee(&self) -> bool {
        self.index == TransferIndex::Fee
    }
}

/// What an account has of an asset after a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BalanceAt {
    pub(crate) account: Address,
    /// The token's contract; none for the chain's own coin.
    pub(crate) token: Option<Address>,
    pub(crate) block: B256,
}

/// Payments of tokens that are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Payments {
    pub(crate) by: BTreeSet<Address>,
    /// The tokens' contracts.
    pub(crate) of: BTreeSet<Address>,
}

/// In which blocks such payments may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paying {
    pub(crate) blocks: BTreeSet<u64>,
    /// The last block that was looked at, as the node has it that said so: of another branch it knows nothing.
    pub(crate) last: BlockRef,
}

/// How a chain's nodes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    /// As configured.
    pub(crate) nodes: u32,
    /// Those that answer and are of the chain.
    pub(crate) answering: u32,
    /// They tell what calls inside transactions moved.
    pub(crate) internal_transfers: bool,
}

/// A transaction that waits to be included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Its hash, in the order in which people read it.
    pub(crate) id: B256,
    /// What only one transaction can have.
    pub(crate) claims: Vec<Claim>,
    /// What it would do alone in a block, as far as that is known before.
    pub(crate) body: Body,
}

/// What waits to be included, as a node shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) new: Vec<Pending>,
    /// All that were shown.
    pub(crate) all: HashSet<B256>,
    /// The newest block, before and after that was asked: none of these is in it or before it, and what is gone may be.
    pub(crate) newest: BlockRef,
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

    /// The block of this number in the node's chain, and its time; none beyond its newest.
    async fn dated(&self, number: u64) -> anyhow::Result<Option<Dated>>;

    /// The block that a transaction is in, by the hash that the chain prints; none where it is in none that the node has.
    async fn block_with(&self, transaction: &str) -> anyhow::Result<Option<BlockRef>>;

    /// Blocks by number, in their order, as many as the node has of them. They need not lead on to one another: the chain
    /// may change while they are asked for.
    async fn blocks(&self, first: u64, last: u64) -> anyhow::Result<Vec<Block>> {
        let blocks = stream::iter(first..=last).map(|number| async move {
            let Some(at) = self.at(number).await? else { return Ok(None) };
            self.block(at.hash).await
        });
        let blocks: Vec<Option<Block>> =
            blocks.buffered(BLOCKS_SIDE_BY_SIDE).try_collect().await.map_err(|error: anyhow::Error| error)?;
        Ok(blocks.into_iter().map_while(|block| block).collect())
    }

    /// The same without what the blocks do, where that is less to ask for.
    async fn outlines(&self, first: u64, last: u64) -> anyhow::Result<Vec<Block>> {
        self.blocks(first, last).await
    }

    /// In which of these blocks there may be such payments; none where nodes cannot say.
    async fn paying(&self, _payments: &Payments, _first: u64, _last: u64) -> anyhow::Result<Option<Paying>> {
        Ok(None)
    }

    /// What is known of accounts at a block.
    async fn facts(&self, accounts: &[Address], at: u64) -> anyhow::Result<Vec<AccountFacts>>;

    /// Balances after blocks; none where nodes have the block and cannot say, such as those that keep no old state.
    async fn balances(&self, of: &[BalanceAt]) -> anyhow::Result<Vec<Option<U256>>>;

    /// Outputs that are spent in blocks, in this order.
    async fn outputs(&self, of: &[Spent]) -> anyhow::Result<Vec<TxOut>> {
        ensure!(of.is_empty(), "the chain keeps no money in outputs");
        Ok(Vec::new())
    }

    /// How its nodes are now.
    fn condition(&self) -> Condition {
        Condition::default()
    }

    /// What waits to be included, the transactions that are not `known` in full; none where nodes do not show it. Where there
    /// are very many, some may be left for the next time.
    async fn waiting(&self, _known: &HashSet<B256>) -> anyhow::Result<Option<Waiting>> {
        Ok(None)
    }

    /// Where transactions are that are not shown among those that wait; none of those that are gone. Where all that wait are
    /// shown, all others are.
    async fn whereabouts(&self, _of: &[B256]) -> anyhow::Result<HashMap<B256, Whereabouts>> {
        Ok(HashMap::new())
    }

    /// Tells of new blocks as soon as they are known, until cancelled: by subscription, and by asking every `poll`
    /// besides, so that a subscription that has died without a word costs time and nothing else.
    async fn tell_newest(&self, newest: watch::Sender<Option<BlockRef>>, poll: Duration, cancel: CancellationToken);
}
