//! Watches that begin in the past: the chain is read for them from where they begin to its head, in its order, since what
//! counts as stolen depends on it. There they become active, under the head's lock: so the last block that is read here and
//! the first that the reader matches are neighbours. What is found on the way is said at once.
//!
//! How far a watch has come is stored with what was found. So a replica that takes over goes on from there, and nothing is
//! left out or said twice.

mod ahead;
mod begin;
mod pass;
mod since;
mod start;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use haetae_core::{ChainId, ChainKind, Moment, WatchId, WatchStart};
use sqlx::PgConnection;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::ahead::Ahead;
use self::pass::Pass;
use crate::asked::{Asked, Witnesses};
use crate::book::Book;
use crate::config::{ChainConfig, LabelsConfig};
use crate::db;
use crate::db::chain::Head;
use crate::db::history::OnTheWay;
use crate::db::watch::WatchRow;
use crate::lease::Lease;
use crate::metrics::METRICS;
use crate::source::{Block, BlockRef, ChainSource};
use crate::tell;
use crate::voice::{Found, Voice};

/// How often it is looked whether there is something to do.
const TICK: Duration = Duration::from_millis(250);
/// Blocks that are read and written at once: the most, and the least where a node does not keep up.
const AT_ONCE: (u64, u64) = (256, 4);
/// The same where a block is some megabytes of transactions, all of which are kept until it is read.
const LARGE_AT_ONCE: (u64, u64) = (8, 1);

pub(crate) struct History {
    chain: ChainId,
    config: ChainConfig,
    labels: LabelsConfig,
    source: Arc<dyn ChainSource>,
    voice: Arc<Voice>,
    lease: Lease,
    renewed: Option<Instant>,
    at_once: u64,
    group: Option<Group>,
    /// What the chain has said about blocks that are not written yet.
    asked: Asked,
    /// Since when the transactions are looked for in vain that watches begin with.
    looked_since: HashMap<WatchId, Instant>,
}

/// The watches of a pass in memory, as they are stored.
struct Group {
    /// Every block up to this one is in the book.
    at: BlockRef,
    versions: BTreeMap<WatchId, i64>,
    rows: Vec<WatchRow>,
    book: Book,
}

/// Whether there may be more to do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    Wait,
}

impl History {
    pub(crate) fn new(
        chain: ChainId,
        config: ChainConfig,
        labels: LabelsConfig,
        source: Arc<dyn ChainSource>,
        voice: Arc<Voice>,
    ) -> Self {
        Self {
            lease: Lease::of_history(&chain),
            at_once: at_once(&chain).0,
            chain,
            config,
            labels,
            source,
            voice,
            renewed: None,
            group: None,
            asked: Asked::default(),
            looked_since: HashMap::new(),
        }
    }

    /// Brings watches to the head until cancelled. What fails is tried again with the next tick, with fewer blocks at once.
    pub(crate) async fn run(mut self, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
            loop {
                self.renew().await;
                if cancel.is_cancelled() {
                    break;
                }
                if !self.lease.is_held() {
                    METRICS.catching_up(self.chain.as_str(), 0, 0);
                    break;
                }
                match self.turn().await {
                    Ok(Then::GoOn) => self.at_once = (self.at_once * 2).min(at_once(&self.chain).0),
                    Ok(Then::Wait) => break,
                    Err(error) => {
                        tracing::warn!(chain = %self.chain, error = format!("{error:#}"), "catching up waits");
                        self.at_once = (self.at_once / 2).max(at_once(&self.chain).1);
                        self.group = None;
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Twice a second is enough to know who does it.
    async fn renew(&mut self) {
        if self.renewed.is_none_or(|at| at.elapsed() >= TICK * 2) {
            self.lease.renew(self.voice.log.pool()).await;
            self.renewed = Some(Instant::now());
        }
    }

    /// Does what there is to do next.
    async fn turn(&mut self) -> anyhow::Result<Then> {
        let pool = self.voice.log.pool().clone();
        let Some(head) = db::chain::head(&pool, &self.chain).await? else { return Ok(Then::Wait) };
        let on_the_way = db::history::on_the_way(&pool, &self.chain).await?;
        self.measure(&on_the_way, head);
        if on_the_way.is_empty() {
            (self.group, self.asked) = (None, Asked::default());
            self.looked_since.clear();
            return Ok(Then::Wait);
        }
        let mut then = Then::Wait;
        for watch in on_the_way.iter().filter(|watch| watch.read.is_none()) {
            match self.begin(watch, head).await {
                Ok(Then::GoOn) => then = Then::GoOn,
                Ok(Then::Wait) => {}
                // Others do not wait for one whose beginning no node can show now.
                Err(error) => tracing::warn!(
                    chain = %self.chain, error = format!("{error:#}"), "where a watch begins is not known yet"
                ),
            }
        }
        let read: Vec<_> = on_the_way.iter().filter_map(|watch| Some((watch.watch, watch.read?))).collect();
        let Some(pass) = pass::next(&read, head.at.number, self.at_once) else { return Ok(then) };
        let versions = on_the_way.iter().filter(|watch| pass.watches.contains(&watch.watch));
        let versions = versions.map(|watch| (watch.watch, watch.version)).collect();
        let transaction = |watch: &OnTheWay| match &watch.start {
            WatchStart::Transaction(transaction) => Some((watch.watch, transaction.clone())),
            WatchStart::Since(_) => None,
        };
        let begun_with: BTreeMap<WatchId, String> = on_the_way.iter().filter_map(transaction).collect();
        let span = tracing::info_span!("catch up", chain = %self.chain, from = pass.from.number, to = pass.to);
        self.read(&pass, versions, &begun_with, head).instrument(span).await
    }

    fn measure(&self, on_the_way: &[OnTheWay], head: Head) {
        let behind = on_the_way.iter().filter_map(|watch| Some(head.at.number.saturating_sub(watch.read?.number)));
        METRICS.catching_up(self.chain.as_str(), on_the_way.len() as u64, behind.max().unwrap_or_default());
    }

    /// Reads blocks for some watches, and writes what they find.
    async fn read(
        &mut self,
        pass: &Pass,
        versions: BTreeMap<WatchId, i64>,
        begun_with: &BTreeMap<WatchId, String>,
        head: Head,
    ) -> anyhow::Result<Then> {
        let pool = self.voice.log.pool().clone();
        let ids: Vec<WatchId> = versions.keys().copied().collect();
        let begun = db::history::begun_in(&mut *pool.acquire().await?, &ids).await?;
        let stand_on: Vec<BlockRef> = std::iter::once(pass.from).chain(begun.into_values()).collect();
        let gone = db::chain::gone(&pool, &self.chain, &stand_on).await?;
        if !gone.is_empty() && self.send_back(&versions, pass.from).await? {
            return Ok(Then::GoOn);
        }
        let anew = gone.contains(&pass.from);
        let (from, to) = if anew {
            // Its branch is gone. From before where it can have left, all is read anew, and only what is different then is
            // said.
            let before = db::chain::before(&pool, &self.chain, self.config.max_reorg_depth, pass.from.number).await?;
            self.group = None;
            (before.context("the last blocks are not there")?, head.at.number)
        } else {
            (pass.from, pass.to)
        };
        let mut group = self.group(versions, pass.from).await?;
        let mut touched = if anew { group.book.rewind(from.number) } else { BTreeSet::new() };
        let source = Arc::clone(&self.source);
        let mut last = from;
        while last.number < to {
            let until = to.min(last.number + self.at_once);
            // What is read anew is not said before all of it is read: it would be taken back in between.
            let payments = group.book.payments().filter(|_| !anew);
            let blocks = Ahead::of(&*source, payments, last, until).await?;
            let Some(read) = self.take_in(&mut group.book, blocks, last, begun_with, head, &mut touched).await? else {
                return Ok(Then::GoOn);
            };
            if anew && read.number < until || read == last {
                return Ok(Then::Wait);
            }
            last = read;
            if !anew {
                break;
            }
        }
        self.write(pass.from, last, group, touched, self.now()).await
    }

    /// Takes blocks into a book, as far as they are there: gives the last of them. None where something had to be asked first; the
    /// book is of no use then.
    async fn take_in(
        &mut self,
        book: &mut Book,
        (mut ahead, blocks): (Ahead<'_>, Vec<Block>),
        from: BlockRef,
        begun_with: &BTreeMap<WatchId, String>,
        head: Head,
        touched: &mut BTreeSet<WatchId>,
    ) -> anyhow::Result<Option<BlockRef>> {
        let now = self.now();
        let (chain, source, pool) = (&self.chain, &*self.source, self.voice.log.pool());
        let witnesses = Witnesses { chain, source, labels: self.labels, pool };
        let mut last = from;
        for block in blocks {
            let Some(block) = ahead.whole(block).await? else { break };
            begin::place_anew(book, &block, begun_with);
            let needs = book.needs(std::slice::from_ref(&block));
            self.asked.complete(needs, std::slice::from_ref(&block), &witnesses, head.at.number).await?;
            // What is read from the past was not seen now: it happened when its block says.
            match book.take_in(&block, block.time.min(now), &self.asked) {
                Ok(more) => {
                    last = block.at;
                    let found = !more.is_empty();
                    touched.extend(more);
                    // What follows is read in the next pass where it is not known which blocks matter from here on.
                    if found && !ahead.look_on(book.payments(), last.number).await? {
                        break;
                    }
                }
                Err(needed) => {
                    self.asked
                        .complete(needed.into(), std::slice::from_ref(&block), &witnesses, head.at.number)
                        .await?;
                    return Ok(None);
                }
            }
        }
        Ok(Some(last))
    }

    /// The watches of a pass, from memory where they are there as they are stored.
    async fn group(&mut self, versions: BTreeMap<WatchId, i64>, at: BlockRef) -> anyhow::Result<Group> {
        if let Some(group) = self.group.take().filter(|group| group.versions == versions && group.at == at) {
            return Ok(group);
        }
        let ids: Vec<_> = versions.keys().map(|id| id.0).collect();
        let mut conn = self.voice.log.pool().acquire().await?;
        let mut book = Book::new(self.chain.clone());
        let mut rows = Vec::new();
        for (row, watched) in db::watch::load_all(&mut conn, &ids).await? {
            book.put(watched);
            rows.push(row);
        }
        Ok(Group { at, versions, rows, book })
    }

    /// Writes what was found up to a block, unless the watches changed meanwhile or the block left the chain. At the head
    /// they become active in the same transaction.
    async fn write(
        &mut self,
        from: BlockRef,
        last: BlockRef,
        mut group: Group,
        touched: BTreeSet<WatchId>,
        now: Moment,
    ) -> anyhow::Result<Then> {
        let found: Vec<Found> = touched.into_iter().filter_map(|id| group.book.found(id)).collect();
        // Old hops are final as soon as they are found.
        let finalized = if found.is_empty() { None } else { self.source.finalized().await?.map(|block| block.number) };
        let mut tx = self.voice.log.begin().await?;
        let Some(head) = db::chain::lock_head(&mut tx, &self.chain).await? else { return Ok(Then::Wait) };
        if last.number > head.at.number || !db::chain::gone(&mut *tx, &self.chain, &[last]).await?.is_empty() {
            return Ok(Then::Wait);
        }
        if !db::history::unchanged(&mut tx, &group.versions, Some(from)).await? {
            return Ok(Then::GoOn);
        }
        let ids: Vec<WatchId> = group.versions.keys().copied().collect();
        if !found.is_empty() {
            self.voice.say(&mut tx, &self.chain, &found, Vec::new(), now).await?;
            let confirmed = head.at.number.checked_sub(self.config.confirmations);
            let finalized =
                finalized.or_else(|| head.at.number.checked_sub(self.config.final_after(self.chain.kind())?));
            self.voice.finalise(&mut tx, &self.chain, confirmed, finalized, now).await?;
        }
        db::history::advance(&mut tx, &ids, last).await?;
        if last == head.at {
            self.join(&mut tx, &group, &ids, now).await?;
        }
        self.voice.log.commit(tx).await?;
        self.asked = Asked::default();
        if found.is_empty() && last != head.at {
            group.at = last;
            self.group = Some(group);
        }
        Ok(Then::GoOn)
    }

    /// Makes watches active that have come to the chain's head, which is locked: the reader matches the next block.
    async fn join(&self, tx: &mut PgConnection, group: &Group, ids: &[WatchId], now: Moment) -> anyhow::Result<()> {
        let version = db::chain::bump(tx, &self.chain).await?;
        db::history::join(tx, ids, version).await?;
        let active = group.rows.iter().filter_map(|row| {
            let row = WatchRow { active: true, catching_up: None, ..row.clone() };
            let watched = group.book.get(row.terms.watch)?;
            Some(tell::watch_moved(tell::WATCH_ACTIVE, &row, watched, now))
        });
        self.voice.append(tx, active.collect()).await?;
        Ok(())
    }

    /// Sends those of some watches back to find their beginning anew that begin with a transaction whose block has left the
    /// chain. True if there were any.
    async fn send_back(&mut self, versions: &BTreeMap<WatchId, i64>, from: BlockRef) -> anyhow::Result<bool> {
        let ids: Vec<WatchId> = versions.keys().copied().collect();
        let mut tx = self.voice.log.begin().await?;
        if db::chain::lock_head(&mut tx, &self.chain).await?.is_none() {
            return Ok(false);
        }
        let begun = db::history::begun_in(&mut tx, &ids).await?;
        let blocks: Vec<BlockRef> = begun.values().copied().collect();
        let left = db::chain::gone(&mut *tx, &self.chain, &blocks).await?;
        let gone: Vec<WatchId> = begun.iter().filter(|(_, at)| left.contains(at)).map(|(id, _)| *id).collect();
        if gone.is_empty() || !db::history::unchanged(&mut tx, versions, Some(from)).await? {
            return Ok(!gone.is_empty());
        }
        let mut found = Vec::new();
        for id in &gone {
            if let Some((row, mut watched)) = db::watch::load(&mut tx, *id).await? {
                watched.rewind(begun[id].number.saturating_sub(1));
                found.push(Found { terms: row.terms, news: watched.settle() });
            }
        }
        let version = self.voice.say(&mut tx, &self.chain, &found, Vec::new(), self.now()).await?;
        db::history::begin_again(&mut tx, &gone, version).await?;
        self.voice.log.commit(tx).await?;
        Ok(true)
    }

    fn now(&self) -> Moment {
        self.voice.now()
    }
}

fn at_once(chain: &ChainId) -> (u64, u64) {
    if matches!(chain.kind(), Some(ChainKind::Bitcoin(_))) { LARGE_AT_ONCE } else { AT_ONCE }
}

/// The blocks that lead on from a block, each from the one before.
fn follow(from: BlockRef, blocks: Vec<Block>) -> Vec<Block> {
    let mut last = from;
    let leads = |block: &Block| {
        let leads = block.parent == last.hash && block.at.number == last.number + 1;
        last = block.at;
        leads
    };
    blocks.into_iter().take_while(leads).collect()
}

#[cfg(test)]
mod tests;
