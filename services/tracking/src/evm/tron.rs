//! Tron. Its nodes speak Ethereum's JSON-RPC as far as blocks and the index of logs go. The rest comes from their own HTTP
//! API: the value that a transaction carries, since what their JSON-RPC calls `value` may as well be a number of votes or
//! the amount of another asset; what became of it, what it cost, and what it and calls inside it moved, for a whole block at
//! once; and which blocks are solid, which is Tron's word for final.
//!
//! Tron's nodes know what accounts have now and not what they had at a block, and number nobody's transactions: balances
//! are not known, and an account is taken for a service by its payees alone.

mod api;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U64, U256};
use anyhow::{Context, ensure};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::api::{Api, Info, Sent};
use super::answers::{FullBlock, Header, Receipt, Transaction};
use super::node::Node;
use super::traces::{Step, Traces};
use super::{Evm, is_contract};
use crate::knowledge::AccountFacts;
use crate::source::{BalanceAt, Block, BlockRef, ChainSource, Condition, Dated, Paying, Payments};

/// Tron's network and the nodes that are asked about it.
#[derive(Debug)]
pub(crate) struct Tron {
    /// Asked for what Tron's nodes do as Ethereum's do.
    evm: Evm,
    api: Api,
    /// A node told of calls inside a transaction: whether it keeps them is its operator's choice, and cannot be asked.
    internal_transfers: AtomicBool,
}

/// A block as JSON-RPC tells it: of its transactions only what they are called.
#[derive(Debug, Deserialize)]
struct Named {
    #[serde(flatten)]
    header: Header,
    transactions: Vec<B256>,
}

impl Tron {
    pub(crate) fn new(evm: Evm) -> anyhow::Result<Self> {
        Ok(Self { evm, api: Api::new()?, internal_transfers: AtomicBool::new(false) })
    }

    /// A block, all of it from one node; none where the node does not have all of it.
    async fn block_of(&self, node: &Node, hash: B256) -> anyhow::Result<Option<Block>> {
        let named = node.ask::<Option<Named>>("eth_getBlockByHash", json!([hash, false])).await?;
        let Some(named) = named else { return Ok(None) };
        let at = named.header.at();
        ensure!(at.hash == hash, "the node answered with another block");
        let sent = self.api.block(&node.config, hash);
        let (sent, infos) = tokio::try_join!(sent, self.api.infos(&node.config, at.number))?;
        let Some(sent) = sent else { return Ok(None) };
        // What was asked for by number has to be about this block.
        let now: Option<Header> = node.ask("eth_getBlockByNumber", json!([U64::from(at.number), false])).await?;
        if now.is_none_or(|now| now.hash != hash) {
            return Ok(None);
        }
        let traces = traces(&infos);
        if traces.values().any(|steps| !steps.is_empty()) {
            self.internal_transfers.store(true, Ordering::Relaxed);
        }
        let (block, receipts) = assemble(named, &sent, &infos)?;
        Ok(Some(block.with(&receipts, Some(&traces))?))
    }
}

/// The block and its receipts as Ethereum's nodes would have told them.
fn assemble(named: Named, sent: &[Sent], infos: &[Info]) -> anyhow::Result<(FullBlock, Vec<Receipt>)> {
    let sent: HashMap<B256, &Sent> = sent.iter().map(|sent| (sent.id(), sent)).collect();
    let infos: HashMap<B256, &Info> = infos.iter().map(|info| (info.id(), info)).collect();
    let transactions = named.transactions.iter().map(|hash| {
        let sent = sent.get(hash).context("the node's APIs disagree on what is in the block")?;
        let info = infos.get(hash).context("the node does not say what became of a transaction")?;
        let (from, to, value) = sent.value();
        let became = info.became(from, named.header.hash)?;
        Ok((Transaction { hash: *hash, from, to, value, fee: Some(U256::from(info.fee)) }, became.into()))
    });
    let (transactions, receipts) = transactions.collect::<anyhow::Result<(Vec<_>, Vec<_>)>>()?;
    Ok((FullBlock { header: named.header, transactions }, receipts))
}

/// What calls moved, by transaction. Tron numbers them all in one row, whatever lies in what.
fn traces(infos: &[Info]) -> Traces {
    let steps = |info: &Info| {
        let moved = (0u32..).zip(&info.internal_transactions).filter_map(|(ordinal, call)| {
            let (from, to, amount) = call.moved()?;
            Some(Step::Moved { path: vec![ordinal], from, to, amount })
        });
        moved.collect()
    };
    infos.iter().map(|info| (info.id(), steps(info))).collect()
}

#[async_trait]
impl ChainSource for Tron {
    async fn newest(&self) -> anyhow::Result<BlockRef> {
        self.evm.newest().await
    }

    async fn finalized(&self) -> anyhow::Result<Option<BlockRef>> {
        let mut failed = None;
        for node in self.evm.nodes.in_order() {
            match self.api.solid(&node.config).await {
                Ok(solid) => return Ok(Some(solid)),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    async fn at(&self, number: u64) -> anyhow::Result<Option<BlockRef>> {
        self.evm.at(number).await
    }

    async fn dated(&self, number: u64) -> anyhow::Result<Option<Dated>> {
        self.evm.dated(number).await
    }

    /// Its JSON-RPC spells hashes as Ethereum does.
    async fn block_with(&self, transaction: &str) -> anyhow::Result<Option<BlockRef>> {
        self.evm.block_with(&format!("0x{transaction}")).await
    }

    async fn block(&self, hash: B256) -> anyhow::Result<Option<Block>> {
        let mut failed = None;
        for node in self.evm.nodes.in_order() {
            match self.block_of(node, hash).await {
                Ok(Some(block)) => {
                    self.evm.nodes.note_read(block.at);
                    return Ok(Some(block));
                }
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    async fn outlines(&self, first: u64, last: u64) -> anyhow::Result<Vec<Block>> {
        self.evm.outlines(first, last).await
    }

    async fn paying(&self, payments: &Payments, first: u64, last: u64) -> anyhow::Result<Option<Paying>> {
        self.evm.paying(payments, first, last).await
    }

    /// As they are now: nodes answer for no other time.
    async fn facts(&self, accounts: &[Address], _: u64) -> anyhow::Result<Vec<AccountFacts>> {
        let about = accounts.iter().map(|account| ("eth_getCode", json!([account, "latest"]))).collect();
        let codes: Vec<Bytes> = self.evm.nodes.ask_all(about).await?;
        let known = accounts.iter().zip(&codes);
        let known = known
            .map(|(account, code)| AccountFacts { contract: is_contract(*account, code), ..AccountFacts::default() });
        Ok(known.collect())
    }

    async fn balances(&self, of: &[BalanceAt]) -> anyhow::Result<Vec<Option<U256>>> {
        Ok(vec![None; of.len()])
    }

    fn condition(&self) -> Condition {
        let internal_transfers = self.internal_transfers.load(Ordering::Relaxed);
        Condition { internal_transfers, ..self.evm.condition() }
    }

    async fn tell_newest(&self, newest: watch::Sender<Option<BlockRef>>, poll: Duration, cancel: CancellationToken) {
        self.evm.tell_newest(newest, poll, cancel).await;
    }
}

#[cfg(test)]
mod tests;
