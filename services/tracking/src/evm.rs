//! Chains that speak Ethereum's JSON-RPC.

mod answers;
mod heads;
mod logs;
mod node;
mod nodes;
mod pending;
#[cfg(test)]
mod scripted;
mod traces;
mod tron;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U64, U256, address, hex};
use anyhow::{Context, ensure};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use haetae_core::ChainId;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::answers::{FullBlock, Header, Placed, Receipt, ShortBlock};
use self::logs::Logs;
use self::node::{NoAnswer, Node};
pub(crate) use self::nodes::Nodes;
use self::traces::{FlatCall, TracedTransaction, Tracer, Traces};
pub(crate) use self::tron::Tron;
use crate::knowledge::AccountFacts;
use crate::metrics::METRICS;
use crate::source::{
    BLOCKS_SIDE_BY_SIDE, BalanceAt, Block, BlockRef, ChainSource, Condition, Dated, Paying, Payments, Waiting,
};
use crate::waiting::Whereabouts;

/// `balanceOf(address)` (ERC-20).
const BALANCE_OF: [u8; 4] = hex!("70a08231");
/// Balances asked for at the same time.
const SIDE_BY_SIDE: usize = 8;
/// What an account's code begins with where it only names the contract it delegates to (EIP-7702): it is no contract.
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];
/// Whence nothing comes back, though there is no code: what is sent here is burnt.
const BURNT: [Address; 2] = [Address::ZERO, address!("000000000000000000000000000000000000dead")];

/// A chain and the nodes that are asked about it.
#[derive(Debug)]
pub(crate) struct Evm {
    chain: ChainId,
    nodes: Nodes,
    logs: Logs,
}

impl Evm {
    pub(crate) fn new(chain: ChainId, nodes: Nodes) -> Self {
        Self { chain, nodes, logs: Logs::default() }
    }

    async fn header(&self, tag: Value) -> Result<Option<Header>, NoAnswer> {
        self.nodes.ask("eth_getBlockByNumber", json!([tag, false])).await
    }

    /// Blocks by number, as many as the node has of them.
    async fn short(&self, first: u64, last: u64) -> Result<Vec<ShortBlock>, NoAnswer> {
        let calls = (first..=last).map(|number| ("eth_getBlockByNumber", json!([U64::from(number), false]))).collect();
        let short: Vec<Option<ShortBlock>> = self.nodes.ask_all(calls).await?;
        Ok(short.into_iter().map_while(|block| block).collect())
    }

    /// A block, all of it from one node; none where the node does not have all of it.
    async fn block_of(&self, node: &Node, hash: B256) -> anyhow::Result<Option<Read>> {
        let block = node.ask::<Option<FullBlock>>("eth_getBlockByHash", json!([hash, true]));
        let (block, receipts) = tokio::try_join!(block, receipts(node, hash))?;
        let Some(block) = block else { return Ok(None) };
        ensure!(block.header.hash == hash, "the node answered with another block");
        let receipts = receipts.all(node, &block.hashes()).await?;
        // A block that is leaving the chain: the node does not have all of it any more.
        let Some(receipts) = receipts else { return Ok(None) };
        let traces = match node.known().tracer {
            Some(tracer) => traces(node, tracer, &block)
                .await
                .inspect_err(|error| {
                    tracing::warn!(error = format!("{error:#}"), "what calls moved in a block is not known");
                })
                .ok(),
            None => None,
        };
        let traced = traces.is_some();
        Ok(Some(Read { block: block.with(&receipts, traces.as_ref())?, traced }))
    }

    /// A block from the first node that has all of it; from one that can tell what calls moved, if there is such a one.
    async fn whole(&self, hash: B256) -> anyhow::Result<Option<Block>> {
        let mut untraced = None;
        let mut failed = None;
        for node in self.nodes.in_order() {
            match self.block_of(node, hash).await {
                Ok(Some(read)) if read.traced || !self.nodes.any_traces() => return Ok(Some(read.block)),
                Ok(Some(read)) => untraced = untraced.or(Some(read.block)),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        match (untraced, failed) {
            // Tokens go on being followed: they are most of what is stolen.
            (Some(block), _) => {
                METRICS.untraced(&self.chain);
                Ok(Some(block))
            }
            (None, Some(error)) => Err(error),
            (None, None) => Ok(None),
        }
    }

    async fn balance(&self, of: BalanceAt) -> anyhow::Result<Option<U256>> {
        // By hash (EIP-1898): the number may mean another block by now.
        let at = json!({"blockHash": of.block});
        let answer = match of.token {
            None => self.nodes.ask_any("eth_getBalance", json!([of.account, at])).await.map(Some),
            Some(token) => {
                let data = hex::encode_prefixed([&BALANCE_OF[..], of.account.into_word().as_slice()].concat());
                let answer = self.nodes.ask_any::<Bytes>("eth_call", json!([{"to": token, "data": data}, at])).await;
                // A contract may answer with nothing, or with more.
                answer.map(|bytes| bytes.get(..32).map(U256::from_be_slice))
            }
        };
        match answer {
            Err(error) if error.is_refusal() => {
                let block: Option<Header> = self.nodes.ask("eth_getBlockByHash", json!([of.block, false])).await?;
                block.context("the node does not have the block any more")?;
                Ok(None)
            }
            answer => Ok(answer?),
        }
    }
}

/// A block as one node tells it.
struct Read {
    block: Block,
    /// What calls moved is in it.
    traced: bool,
}

enum Receipts {
    Known(Option<Vec<Receipt>>),
    OneByOne,
}

impl Receipts {
    /// The receipts of these transactions; none where the node does not have all of them.
    async fn all(self, node: &Node, transactions: &[B256]) -> Result<Option<Vec<Receipt>>, NoAnswer> {
        match self {
            // Some have nothing to say of a block that is empty.
            Self::Known(None) if transactions.is_empty() => Ok(Some(Vec::new())),
            Self::Known(receipts) => Ok(receipts),
            Self::OneByOne => {
                let calls: Vec<_> =
                    transactions.iter().map(|hash| ("eth_getTransactionReceipt", json!([hash]))).collect();
                let receipts: Vec<Option<Receipt>> = node.ask_all(&calls).await?;
                Ok(receipts.into_iter().collect())
            }
        }
    }
}

/// All receipts of a block. Nodes that do not know the call for a whole block are asked for each.
async fn receipts(node: &Node, hash: B256) -> Result<Receipts, NoAnswer> {
    match node.ask::<Option<Vec<Receipt>>>("eth_getBlockReceipts", json!([hash])).await {
        Ok(receipts) => Ok(Receipts::Known(receipts)),
        Err(error) if error.unknown_method() => Ok(Receipts::OneByOne),
        Err(error) => Err(error),
    }
}

async fn traces(node: &Node, tracer: Tracer, block: &FullBlock) -> anyhow::Result<Traces> {
    let at = block.header.at();
    let (method, params) = tracer.question(at);
    Ok(match tracer {
        // Nobody can execute the first block again, or has to.
        _ if block.hashes().is_empty() => Traces::new(),
        Tracer::Calls => {
            let answer: Vec<TracedTransaction> = node.ask_traces(method, params).await?;
            traces::from_calls(&answer, &block.hashes())?
        }
        Tracer::Flat => traces::from_flat(&node.ask_traces::<Vec<FlatCall>>(method, params).await?, at.hash)?,
    })
}

#[async_trait]
impl ChainSource for Evm {
    async fn newest(&self) -> anyhow::Result<BlockRef> {
        Ok(self.nodes.newest().await?)
    }

    async fn finalized(&self) -> anyhow::Result<Option<BlockRef>> {
        Ok(self.header(json!("finalized")).await?.map(|header| header.at()))
    }

    /// Of the node that is followed and no other: another may be on another branch.
    async fn at(&self, number: u64) -> anyhow::Result<Option<BlockRef>> {
        let header: Option<Header> =
            self.nodes.followed().ask("eth_getBlockByNumber", json!([U64::from(number), false])).await?;
        Ok(header.map(|header| header.at()))
    }

    async fn block(&self, hash: B256) -> anyhow::Result<Option<Block>> {
        let block = self.whole(hash).await?;
        if let Some(block) = &block {
            self.nodes.note_read(block.at);
        }
        Ok(block)
    }

    async fn dated(&self, number: u64) -> anyhow::Result<Option<Dated>> {
        Ok(self.header(json!(U64::from(number))).await?.map(|header| header.dated()))
    }

    async fn block_with(&self, transaction: &str) -> anyhow::Result<Option<BlockRef>> {
        let found: Option<Placed> = self.nodes.ask("eth_getTransactionByHash", json!([transaction])).await?;
        Ok(found.and_then(|placed| placed.at()))
    }

    /// Which blocks are empty is asked of many at once; only the others are asked for whole.
    async fn blocks(&self, first: u64, last: u64) -> anyhow::Result<Vec<Block>> {
        let blocks = stream::iter(self.short(first, last).await?).map(|short| async move {
            match short.empty() {
                Some(empty) => Ok(Some(empty)),
                None => self.block(short.header.hash).await,
            }
        });
        let blocks: Vec<Option<Block>> =
            blocks.buffered(BLOCKS_SIDE_BY_SIDE).try_collect().await.map_err(|error: anyhow::Error| error)?;
        Ok(blocks.into_iter().map_while(|block| block).collect())
    }

    async fn outlines(&self, first: u64, last: u64) -> anyhow::Result<Vec<Block>> {
        Ok(self.short(first, last).await?.iter().map(ShortBlock::outline).collect())
    }

    async fn paying(&self, payments: &Payments, first: u64, last: u64) -> anyhow::Result<Option<Paying>> {
        Ok(self.logs.paying(self.nodes.followed(), payments, first, last).await?)
    }

    async fn facts(&self, accounts: &[Address], at: u64) -> anyhow::Result<Vec<AccountFacts>> {
        let at = U64::from(at);
        let about = |method: &'static str| accounts.iter().map(|a| (method, json!([a, at]))).collect();
        let codes = self.nodes.ask_all::<Bytes>(about("eth_getCode"));
        let nonces = self.nodes.ask_all::<U64>(about("eth_getTransactionCount"));
        let (codes, nonces) = tokio::try_join!(codes, nonces)?;
        let known = accounts.iter().zip(&codes).zip(nonces).map(|((account, code), nonce)| AccountFacts {
            contract: is_contract(*account, code),
            degree: nonce.to(),
            label: None,
        });
        Ok(known.collect())
    }

    async fn balances(&self, of: &[BalanceAt]) -> anyhow::Result<Vec<Option<U256>>> {
        stream::iter(of.to_vec()).map(|of| self.balance(of)).buffered(SIDE_BY_SIDE).try_collect().await
    }

    fn condition(&self) -> Condition {
        self.nodes.condition()
    }

    /// Of the node that is followed: what waits is different at every node.
    async fn waiting(&self, known: &HashSet<B256>) -> anyhow::Result<Option<Waiting>> {
        pending::waiting(self.nodes.followed(), known).await
    }

    async fn whereabouts(&self, of: &[B256]) -> anyhow::Result<HashMap<B256, Whereabouts>> {
        Ok(pending::whereabouts(self.nodes.followed(), of).await?)
    }

    async fn tell_newest(&self, newest: watch::Sender<Option<BlockRef>>, poll: Duration, cancel: CancellationToken) {
        cancel.run_until_cancelled(heads::tell(&self.nodes, &newest, poll)).await;
    }
}

/// Whether money that comes to an account goes on by its code, or not at all. The node's own contracts have no code that
/// it would show.
fn is_contract(account: Address, code: &[u8]) -> bool {
    let has_code = !code.is_empty() && !code.starts_with(&DELEGATION);
    has_code || BURNT.contains(&account) || traces::is_low(account)
}

#[cfg(test)]
mod tests;
