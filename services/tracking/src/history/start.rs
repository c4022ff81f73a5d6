//! Finding where a watch begins, by asking the chain, and storing it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use haetae_core::{Reason, WatchStart};
use tokio::time::Instant;

use super::begin::{Beginning, with_outputs, with_transaction};
use super::since::{Next, Search, before_all};
use super::{History, Then};
use crate::bitcoin::shown;
use crate::book::Book;
use crate::db;
use crate::db::chain::Head;
use crate::db::history::OnTheWay;
use crate::source::{Block, BlockRef, Dated, Spent, Transaction};
use crate::tell;
use crate::terms::Terms;
use crate::trail::Place;

/// Usual times between blocks for which a transaction is looked for in vain before the watch that begins with it is refused: a
/// node may be some blocks behind.
const BLOCK_TIMES: u32 = 5;
/// The least and the most of that: people wait for the answer.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));
/// Blocks just before the place to begin of which each may be younger: Bitcoin's times rise over so many only.
const JUST_BEFORE: u64 = 11;

impl History {
    /// Finds where a watch begins.
    pub(super) async fn begin(&mut self, watch: &OnTheWay, head: Head) -> anyhow::Result<Then> {
        match &watch.start {
            WatchStart::Since(since) => {
                let read = self.before(since.unix_timestamp(), head.at.number).await?;
                let place = Place { block: read.number + 1, position: 0 };
                self.has_begun(watch, read, place, None).await
            }
            WatchStart::Transaction(transaction) => {
                let found = self.source.block_with(transaction).await?;
                match found {
                    Some(at) if at.number <= head.at.number => self.begin_with(watch, transaction, at).await,
                    // It is so new that it has not been read yet; or another has taken its place on the way.
                    Some(_) => Ok(Then::Wait),
                    None if watch.again => Ok(Then::Wait),
                    None => {
                        let since = *self.looked_since.entry(watch.watch).or_insert_with(Instant::now);
                        let usual = Duration::from_millis(self.config.block_time_ms) * BLOCK_TIMES;
                        match since.elapsed() < usual.clamp(PATIENCE.0, PATIENCE.1) {
                            true => Ok(Then::Wait),
                            false => self.refuse(watch, Reason::StartNotFound).await,
                        }
                    }
                }
            }
        }
    }

    async fn begin_with(&mut self, watch: &OnTheWay, transaction: &str, at: BlockRef) -> anyhow::Result<Then> {
        let dated = self.source.dated(at.number).await?.context("the node lost a block")?;
        if watch.not_before.is_some_and(|not_before| dated.time < not_before.unix_timestamp()) {
            return self.refuse(watch, Reason::PeriodOverLimit).await;
        }
        let block = self.source.block(at.hash).await?.context("the node lost a block")?;
        let mut conn = self.voice.log.pool().acquire().await?;
        let Some((row, _)) = db::watch::load(&mut conn, watch.watch).await? else { return Ok(Then::Wait) };
        drop(conn);
        let Some(beginning) = self.beginning(&row.terms, &block, transaction).await? else {
            return self.refuse(watch, Reason::StartNotFound).await;
        };
        let before = at.number.checked_sub(1).context("a transaction of the first block")?;
        let read = BlockRef { number: before, hash: block.parent };
        self.has_begun(watch, read, beginning.place, Some((at, beginning))).await
    }

    async fn beginning(&self, terms: &Terms, block: &Block, transaction: &str) -> anyhow::Result<Option<Beginning>> {
        let by_name = |other: &&Transaction| self.chain.hash(shown(other.id)) == transaction;
        let Some(theft) = block.transactions().iter().find(by_name) else {
            let sightings = Book::new(self.chain.clone()).sightings(block, self.now());
            return Ok(with_transaction(terms, &sightings, transaction));
        };
        let spent = theft.body.input.iter().map(|input| Spent { output: input.previous_output, block: block.at.hash });
        let spent: Vec<Spent> = spent.filter(|_| !theft.body.is_coinbase()).collect();
        let outputs = self.source.outputs(&spent).await?;
        let spent = spent.iter().map(|spent| spent.output).zip(outputs).collect();
        Ok(with_outputs(terms, block, theft, &spent))
    }

    /// The last block that is older than a time.
    async fn before(&self, since: i64, newest: u64) -> anyhow::Result<BlockRef> {
        let mut search = Search::new(since, newest);
        let found = loop {
            match search.next() {
                Next::Found(number) => break number,
                Next::Look(number) => search.saw(number, self.dated(number).await?.time),
            }
        };
        let mut just_before = Vec::new();
        for number in found.saturating_sub(JUST_BEFORE)..found {
            just_before.push((number, self.dated(number).await?.time));
        }
        Ok(self.dated(before_all(found, &just_before, since)).await?.at)
    }

    async fn dated(&self, number: u64) -> anyhow::Result<Dated> {
        self.source.dated(number).await?.context("the node has lost a block or keeps no old ones")
    }

    /// Stores where a watch begins.
    async fn has_begun(
        &self,
        watch: &OnTheWay,
        read: BlockRef,
        place: Place,
        with: Option<(BlockRef, Beginning)>,
    ) -> anyhow::Result<Then> {
        let mut tx = self.voice.log.begin().await?;
        if db::chain::lock_head(&mut tx, &self.chain).await?.is_none() {
            return Ok(Then::Wait);
        }
        let with_at = with.as_ref().map(|(at, _)| *at);
        let blocks: Vec<BlockRef> = std::iter::once(read).chain(with_at).collect();
        let stands = db::chain::gone(&mut *tx, &self.chain, &blocks).await?.is_empty();
        let versions = BTreeMap::from([(watch.watch, watch.version)]);
        if !stands || !db::history::unchanged(&mut tx, &versions, None).await? {
            return Ok(Then::Wait);
        }
        let version = db::chain::bump(&mut tx, &self.chain).await?;
        db::history::begin(&mut tx, watch.watch, read, place, with_at.map(|at| at.hash), version).await?;
        if let Some((_, beginning)) = with {
            db::history::limit_stolen(&mut tx, watch.watch, &beginning.stolen).await?;
        }
        if let Some((row, watched)) = db::watch::load(&mut tx, watch.watch).await? {
            let told = tell::watch_moved(tell::WATCH_CATCHING_UP, &row, &watched, self.now());
            self.voice.append(&mut tx, vec![told]).await?;
        }
        self.voice.log.commit(tx).await?;
        Ok(Then::GoOn)
    }

    /// A watch cannot begin where people asked it to. They hear of it, and it is over.
    async fn refuse(&self, watch: &OnTheWay, reason: Reason) -> anyhow::Result<Then> {
        let mut tx = self.voice.log.begin().await?;
        if db::chain::lock_head(&mut tx, &self.chain).await?.is_none() {
            return Ok(Then::Wait);
        }
        let version = db::chain::bump(&mut tx, &self.chain).await?;
        if db::watch::end(&mut tx, watch.watch, version).await?
            && let Some((row, _)) = db::watch::load(&mut tx, watch.watch).await?
        {
            let refused = tell::watch_refused(&row.terms, reason, self.now());
            self.voice.append(&mut tx, vec![refused]).await?;
        }
        self.voice.log.commit(tx).await?;
        Ok(Then::GoOn)
    }
}
