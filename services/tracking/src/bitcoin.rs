//! Chains that speak Bitcoin Core's JSON-RPC. Blocks come raw and are checked here, down to the proof of work; what an
//! input spends is taken from the transaction that made it, whose bytes hash to the name that the input gives.

mod blocks;
mod nodes;
mod revealed;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context, ensure};
use async_trait::async_trait;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash, Network, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::nodes::Nodes;
pub(crate) use self::revealed::{may_be_taproot, revealed};
use crate::config::NodeConfig;
use crate::knowledge::AccountFacts;
use crate::source::{self, BalanceAt, Block, BlockRef, Body, ChainSource, Condition, Dated, Pending, Spent, Waiting};
use crate::waiting::Claim;

/// Transactions asked for at the same time.
const SIDE_BY_SIDE: usize = 8;
/// Transactions that wait, looked at in one round: there may be very many at the start.
const WAITING_AT_ONCE: usize = 2_000;
/// `getblock`: every input with the output that it spends.
const WITH_PREVIOUS: u8 = 3;
const NEEDS_AN_INDEX_OF_TRANSACTIONS: &str = "no node can say where a transaction is: one of them needs an index of transactions \
     (Bitcoin Core: txindex=1; bcoin: index-tx)";
/// How often all nodes are asked where their chains end.
const LOOK_AROUND: Duration = Duration::from_secs(5);
const NEEDS_AN_INDEX: &str = "no node can say what is spent: one of them needs an index of transactions (Bitcoin Core: txindex=1; \
     bcoin: index-tx), or to be Bitcoin Core 23 or newer";

/// A chain and the nodes that are asked about it.
#[derive(Debug)]
pub(crate) struct Bitcoin {
    nodes: Nodes,
}

/// Of `getblockheader`.
#[derive(Debug, Deserialize)]
struct Header {
    height: u64,
    /// Seconds since 1970.
    time: i64,
}

/// Of `getrawtransaction`, told at length.
#[derive(Debug, Deserialize)]
struct Placed {
    /// None while it waits for a block.
    blockhash: Option<BlockHash>,
}

impl Bitcoin {
    /// # Errors
    /// When its nodes cannot be called at all.
    pub(crate) fn new(nodes: &[NodeConfig], network: Network) -> anyhow::Result<Self> {
        Ok(Self { nodes: Nodes::new(nodes, genesis_block(network).block_hash())? })
    }

    /// A transaction, whose bytes are those that its name stands for.
    async fn transaction(&self, id: Txid) -> anyhow::Result<Transaction> {
        let raw: String = self.nodes.ask_any("getrawtransaction", json!([id, false])).await?;
        let transaction: Transaction = deserialize_hex(&raw).context("the node's transaction cannot be read")?;
        ensure!(transaction.compute_txid() == id, "the node answered with another transaction");
        Ok(transaction)
    }

    /// What outputs are, from the transactions that made them; none of those that no node keeps.
    async fn look_up(&self, of: &[Spent]) -> anyhow::Result<HashMap<OutPoint, TxOut>> {
        let ids: BTreeSet<Txid> = of.iter().map(|spent| spent.output.txid).collect();
        let asked = stream::iter(ids).map(|id| async move {
            match self.transaction(id).await {
                Ok(transaction) => Ok(Some((id, transaction))),
                Err(error) if nodes::is_refusal(&error) => Ok(None),
                Err(error) => Err(error),
            }
        });
        let made: Vec<_> = asked.buffered(SIDE_BY_SIDE).try_collect().await?;
        let made: HashMap<Txid, Transaction> = made.into_iter().flatten().collect();
        let output = |at: OutPoint| made.get(&at.txid)?.output.get(usize::try_from(at.vout).ok()?).cloned();
        Ok(of.iter().filter_map(|spent| Some((spent.output, output(spent.output)?))).collect())
    }

    /// What a block spends, as the node has kept it to be able to take the block back. No index is needed for this, but it
    /// has to be believed.
    async fn spent_in(&self, block: B256) -> anyhow::Result<HashMap<OutPoint, TxOut>> {
        let hash = blocks::read_hash(block);
        let answer: WithPrevious = self.nodes.ask_any("getblock", json!([hash, WITH_PREVIOUS])).await?;
        let inputs = answer.tx.into_iter().flat_map(|transaction| transaction.vin);
        let output = |input: Input| {
            let previous = input.prevout?;
            let output = TxOut { value: previous.value, script_pubkey: previous.script.hex };
            Some((OutPoint { txid: input.txid?, vout: input.vout? }, output))
        };
        Ok(inputs.filter_map(output).collect())
    }

    async fn keep_looking_around(&self) {
        let mut ticks = interval(LOOK_AROUND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.nodes.look_around().await;
        }
    }

    async fn keep_polling(&self, newest: &watch::Sender<Option<BlockRef>>, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.newest().await {
                Ok(at) => {
                    newest.send_if_modified(|known| known.replace(at) != Some(at));
                }
                Err(error) => tracing::debug!(error = format!("{error:#}"), "no newest block"),
            }
        }
    }
}

#[async_trait]
impl ChainSource for Bitcoin {
    async fn newest(&self) -> anyhow::Result<BlockRef> {
        self.nodes.newest().await
    }

    /// The chain has no word for it.
    async fn finalized(&self) -> anyhow::Result<Option<BlockRef>> {
        Ok(None)
    }

    /// Of the node that is followed and no other: another may be on another branch.
    async fn at(&self, number: u64) -> anyhow::Result<Option<BlockRef>> {
        match self.nodes.ask_followed::<BlockHash>("getblockhash", json!([number])).await {
            Ok(hash) => Ok(Some(BlockRef { number, hash: blocks::shown_hash(hash) })),
            Err(error) if nodes::is_refusal(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn dated(&self, number: u64) -> anyhow::Result<Option<Dated>> {
        let Some(at) = self.at(number).await? else { return Ok(None) };
        let name = blocks::read_hash(at.hash);
        match self.nodes.ask_any::<Header>("getblockheader", json!([name, true])).await {
            Ok(header) => Ok(Some(Dated { at, time: header.time })),
            Err(error) if nodes::is_refusal(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn block_with(&self, transaction: &str) -> anyhow::Result<Option<BlockRef>> {
        let placed = async {
            let placed: Placed = self.nodes.ask_any("getrawtransaction", json!([transaction, true])).await?;
            let Some(hash) = placed.blockhash else { return Ok(None) };
            let header: Header = self.nodes.ask_any("getblockheader", json!([hash, true])).await?;
            Ok(Some(BlockRef { number: header.height, hash: blocks::shown_hash(hash) }))
        };
        match placed.await {
            Err(error) if nodes::is_refusal(&error) => {
                // A node without an index knows of none that is in a block, and that is not what was asked.
                ensure!(self.nodes.any_index().await, NEEDS_AN_INDEX_OF_TRANSACTIONS);
                Ok(None)
            }
            placed => placed,
        }
    }

    async fn block(&self, hash: B256) -> anyhow::Result<Option<Block>> {
        let name = blocks::read_hash(hash);
        // Not a number: some nodes know only of yes and no there.
        let raw = self.nodes.ask_any::<String>("getblock", json!([name, false]));
        let header = self.nodes.ask_any::<Header>("getblockheader", json!([name, true]));
        match tokio::try_join!(raw, header) {
            Ok((raw, header)) => {
                let block = blocks::decode(&raw, hash, header.height)?;
                self.nodes.note_read(block.at);
                Ok(Some(block))
            }
            Err(error) if nodes::is_refusal(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Nobody's account is anything but a script that he can spend by.
    async fn facts(&self, accounts: &[Address], _: u64) -> anyhow::Result<Vec<AccountFacts>> {
        Ok(vec![AccountFacts::default(); accounts.len()])
    }

    /// Money lies in outputs, not at accounts.
    async fn balances(&self, of: &[BalanceAt]) -> anyhow::Result<Vec<Option<U256>>> {
        Ok(vec![None; of.len()])
    }

    async fn outputs(&self, of: &[Spent]) -> anyhow::Result<Vec<TxOut>> {
        let mut known = self.look_up(of).await?;
        let missing: BTreeSet<B256> =
            of.iter().filter(|spent| !known.contains_key(&spent.output)).map(|spent| spent.block).collect();
        for block in missing {
            known.extend(self.spent_in(block).await.context(NEEDS_AN_INDEX)?);
        }
        of.iter().map(|spent| known.get(&spent.output).cloned().context(NEEDS_AN_INDEX)).collect()
    }

    /// Replacing (BIP-125) and double spending are told by what transactions spend, not by what the node makes of it.
    async fn waiting(&self, known: &HashSet<B256>) -> anyhow::Result<Option<Waiting>> {
        let newest = self.newest().await?;
        let ids: Vec<Txid> = self.nodes.ask("getrawmempool", json!([false])).await?;
        let new = ids.iter().filter(|id| !known.contains(&shown(**id))).take(WAITING_AT_ONCE).copied();
        let asked = stream::iter(new.collect::<Vec<_>>()).map(|id| async move {
            match self.transaction(id).await {
                Ok(body) => Ok(Some(pending(id, body))),
                // It waits no more.
                Err(error) if nodes::is_refusal(&error) => Ok(None),
                Err(error) => Err(error),
            }
        });
        let new: Vec<Option<Pending>> = asked.buffered(SIDE_BY_SIDE).try_collect().await?;
        ensure!(self.newest().await? == newest, "a block came meanwhile");
        let all = ids.into_iter().map(shown).collect();
        Ok(Some(Waiting { new: new.into_iter().flatten().collect(), all, newest }))
    }

    fn condition(&self) -> Condition {
        self.nodes.condition()
    }

    async fn tell_newest(&self, newest: watch::Sender<Option<BlockRef>>, poll: Duration, cancel: CancellationToken) {
        let telling = async { tokio::join!(self.keep_polling(&newest, poll), self.keep_looking_around()) };
        cancel.run_until_cancelled(telling).await;
    }
}

/// A transaction's name as it stands where hashes of any chain do.
pub(crate) fn shown(id: Txid) -> B256 {
    let mut bytes = id.to_byte_array();
    bytes.reverse();
    bytes.into()
}

fn pending(id: Txid, body: Transaction) -> Pending {
    Pending {
        id: shown(id),
        claims: body.input.iter().map(|input| Claim::Output(input.previous_output)).collect(),
        body: Body::Transactions(vec![source::Transaction { id, body }]),
    }
}

/// Of `getblock` with previous outputs, which Bitcoin Core gives from version 23 on.
#[derive(Debug, Deserialize)]
struct WithPrevious {
    tx: Vec<Spending>,
}

#[derive(Debug, Deserialize)]
struct Spending {
    vin: Vec<Input>,
}

#[derive(Debug, Deserialize)]
struct Input {
    /// None of a coinbase.
    txid: Option<Txid>,
    vout: Option<u32>,
    prevout: Option<Previous>,
}

#[derive(Debug, Deserialize)]
struct Previous {
    #[serde(with = "bitcoin::amount::serde::as_btc")]
    value: Amount,
    #[serde(rename = "scriptPubKey")]
    script: PreviousScript,
}

#[derive(Debug, Deserialize)]
struct PreviousScript {
    hex: ScriptBuf,
}
