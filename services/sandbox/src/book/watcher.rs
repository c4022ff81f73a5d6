//! Reads the chain block by block: sees deposits, takes them back when a block is replaced, and credits them after
//! enough confirmations.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use haetae_core::{Amount, Asset, Moment, Target, TransferId, TransferIndex, micros};
use opentelemetry::metrics::Gauge;
use opentelemetry::{KeyValue, global};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::books::{Books, key};
use super::db::{self, Head, Output};
use super::network::{Block, Header, Network, Transfer};
use crate::contract::{Credit, Legs};

/// How often the node is asked for news, besides its own announcements.
const POLL: Duration = Duration::from_millis(250);
/// How many blocks are remembered by their hashes.
const KEPT: i64 = 1_000;

/// Reads one chain for one exchange.
#[derive(Debug)]
pub(crate) struct Watcher {
    books: Books,
    legs: Legs,
    network: Arc<dyn Network>,
    confirmations: u32,
    /// A hint that there is a new block.
    grown: Arc<Notify>,
    behind: Gauge<u64>,
}

impl Watcher {
    pub(crate) fn new(
        books: Books,
        legs: Legs,
        network: Arc<dyn Network>,
        confirmations: u32,
        grown: Arc<Notify>,
    ) -> Self {
        let behind = global::meter("haetae")
            .u64_gauge("haetae.exchange.blocks_behind")
            .with_unit("{block}")
            .with_description("The node's newest block less the last that the rehearsal exchange has read")
            .build();
        Self { books, legs, network, confirmations, grown, behind }
    }

    /// Reads until cancelled. A failure is logged and tried again.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            if let Err(error) = self.catch_up(&cancel).await {
                tracing::warn!(chain = %self.network.chain(), error = format!("{error:#}"), "the chain is not read");
            }
            let woken = async {
                let _ = timeout(POLL, self.grown.notified()).await;
            };
            cancel.run_until_cancelled(woken).await;
        }
    }

    async fn catch_up(&self, cancel: &CancellationToken) -> anyhow::Result<()> {
        let (chain, pool) = (self.network.chain(), self.books.pool());
        let newest = self.network.newest().await?;
        loop {
            // Also where nothing is new: what was due when a replica died is due still.
            self.credit_due().await?;
            let Some(head) = db::head(pool, chain).await? else {
                self.begin(&newest).await?;
                continue;
            };
            self.behind
                .record(newest.number.saturating_sub(head.number()), &[KeyValue::new("chain", chain.to_string())]);
            if cancel.is_cancelled() || head.is(&newest.hash) {
                return Ok(());
            }
            if newest.number > head.number() {
                match self.network.block(head.number() + 1).await? {
                    None => return Ok(()),
                    Some(block) if head.is(&block.header.parent) => self.read(&head, &block).await?,
                    Some(_) => self.step_back(&head).await?,
                }
            } else {
                match self.network.at(head.number()).await? {
                    Some(same) if head.is(&same.hash) => return Ok(()),
                    _ => self.step_back(&head).await?,
                }
            }
        }
    }

    /// Begins with the newest block: before the first start there was no deposit address.
    async fn begin(&self, newest: &Header) -> anyhow::Result<()> {
        let chain = self.network.chain();
        let mut tx = self.books.pool().begin().await?;
        if db::move_head(&mut tx, chain, None, newest.number, &newest.hash).await? {
            db::put_block(&mut tx, chain, newest.number, &newest.hash, KEPT).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn read(&self, head: &Head, block: &Block) -> anyhow::Result<()> {
        let chain = self.network.chain();
        let Header { number, hash, .. } = &block.header;
        let mut tx = self.books.pool().begin().await?;
        if !db::move_head(&mut tx, chain, Some(head), *number, hash).await? {
            return Ok(());
        }
        db::put_block(&mut tx, chain, *number, hash, KEPT).await?;
        db::mined(&mut tx, chain, &block.transactions, *number).await?;
        let coins: Vec<Output<'_>> = block.transfers.iter().filter_map(as_output).collect();
        if !coins.is_empty() {
            db::put_coins(&mut tx, &self.network.hot(), &coins, *number).await?;
        }
        let assets = self.books.assets();
        let taken: Vec<&Transfer> =
            block.transfers.iter().filter(|transfer| assets.contains(&transfer.asset)).collect();
        if !taken.is_empty() {
            let addresses = taken.iter().map(|transfer| transfer.to.address().to_owned()).collect();
            let depositors: HashMap<String, i64> =
                db::depositors(&mut tx, chain, addresses).await?.into_iter().collect();
            for transfer in taken {
                if let Some(customer) = depositors.get(transfer.to.address()) {
                    db::put_deposit(&mut tx, transfer, *customer, &block.header).await?;
                }
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// The head was replaced: takes it back and stands on the block before.
    async fn step_back(&self, head: &Head) -> anyhow::Result<()> {
        let chain = self.network.chain();
        let before = head.number().saturating_sub(1);
        let hash = match db::block_hash(self.books.pool(), chain, before).await? {
            Some(hash) => hash,
            // Reading began after it: whatever it is, nothing was taken from it.
            None => self.network.at(before).await?.context("the chain has become shorter than was read")?.hash,
        };
        let mut tx = self.books.pool().begin().await?;
        if db::move_head(&mut tx, chain, Some(head), before, &hash).await? {
            let lost = db::take_back(&mut tx, chain, head.number()).await?;
            if lost > 0 {
                tracing::error!(deposits = lost, "credited deposits were in a block that was replaced");
            }
        }
        tx.commit().await?;
        Ok(())
    }

    async fn credit_due(&self) -> anyhow::Result<()> {
        for deposit in db::due(self.books.pool(), self.network.chain(), self.confirmations).await? {
            self.credit(deposit, micros(OffsetDateTime::now_utc())).await?;
        }
        Ok(())
    }

    /// Credits a deposit, and tells the contract, in one transaction: freezes withhold what becomes the customer's before
    /// the customer can touch it.
    async fn credit(&self, deposit: i64, now: Moment) -> anyhow::Result<()> {
        let chain = self.network.chain();
        let mut tx = self.legs.begin().await?;
        let Some(deposit) = db::lock_due(&mut tx, chain, self.confirmations, deposit).await? else { return Ok(()) };
        let (asset, amount): (Asset, Amount) = (deposit.asset.parse()?, deposit.amount()?);
        let customer = deposit.customer_id;
        db::lock_customer(&mut tx, customer).await?;
        let balance = db::balance(&mut tx, customer, &asset).await?;
        db::set_balance(&mut tx, customer, &asset, balance.saturating_add(amount)).await?;
        db::credited(&mut tx, chain, &deposit, now).await?;
        let credit = Credit {
            account: key(customer),
            target: Target::account(format!("{chain}:{}", deposit.address).parse()?),
            asset,
            amount,
            transfer: TransferId {
                chain: chain.clone(),
                transaction: deposit.transaction.clone(),
                index: deposit.index.parse()?,
            },
        };
        self.legs.credited(&mut tx, &credit, now).await?;
        self.legs.commit(tx).await?;
        Ok(())
    }
}

/// A transfer as something that is spent whole, where money is kept so.
fn as_output(transfer: &Transfer) -> Option<Output<'_>> {
    let TransferIndex::Output(output) = transfer.index else { return None };
    let amount = transfer.amount.to_u256().try_into().ok()?;
    Some(Output { transaction: &transfer.transaction, output, to: transfer.to.address(), amount })
}
