//! Reads one chain: from the node's newest block to what has to be said of it, block by block and without a gap.
//!
//! A segment of blocks is written by compare-and-set on the chain's head row: whoever holds the row's lock and finds the
//! head that the segment follows may write it. Everything else that changes a watch holds the same lock, so what was
//! loaded at the head's `watch_version` is all there is.

mod waiting;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use haetae_core::{ChainId, Moment, WatchId};
use sqlx::PgConnection;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::asked::{Asked, Needed, Witnesses};
use crate::book::Book;
use crate::config::{ChainConfig, LabelsConfig};
use crate::db;
use crate::db::chain::Head;
use crate::lease::Lease;
use crate::metrics::METRICS;
use crate::segment::{self, NoWay, Segment};
use crate::sleepers::Sleepers;
use crate::source::{BlockRef, ChainSource, Condition, Transfer};
use crate::tell::Told;
use crate::voice::{Found, Mark, Voice};

/// Changed watches that are looked at in one go.
const PAGE: i64 = 20_000;
/// Watches that are read into the book in one go.
const LOADED_AT_ONCE: usize = 500;
/// How often it is looked besides being told.
const TICK: Duration = Duration::from_millis(250);
/// How often a node is asked at most what waits to be included: that can be very much.
const WAITING_EVERY: Duration = Duration::from_secs(1);
/// How long a replica without the lease lets a block wait for the one that has it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the node is asked what is final.
const FINALITY_EVERY: Duration = Duration::from_millis(900);

pub(crate) struct Reader {
    chain: ChainId,
    config: ChainConfig,
    labels: LabelsConfig,
    source: Arc<dyn ChainSource>,
    voice: Arc<Voice>,
    lease: Lease,
    /// Watches of which something has happened.
    book: Book,
    /// The others.
    sleepers: Sleepers,
    /// Watches that are to be read into the book: they woke, or the book that they were in was thrown away.
    to_load: Vec<WatchId>,
    /// The version of the chain's watches that book and sleepers have.
    version: i64,
    /// The same, as it is stored.
    stored: i64,
    finalized: Option<u64>,
    finality_asked: Option<Instant>,
    /// Since when there is a block that nobody has read.
    waiting_since: Option<Instant>,
    /// How the nodes were when that was last noted.
    condition: Option<Condition>,
    /// Changes when all that waits to be included has to be looked at again; 0 where nobody wants to know.
    interest: watch::Sender<u64>,
    looks: u64,
    watches_looked_for: usize,
}

/// What became of a segment.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    Yes,
    /// Another replica moved the head.
    Overtaken,
}

impl Reader {
    pub(crate) fn new(
        chain: ChainId,
        config: ChainConfig,
        labels: LabelsConfig,
        source: Arc<dyn ChainSource>,
        voice: Arc<Voice>,
    ) -> Self {
        Self {
            lease: Lease::new(&chain),
            book: Book::new(chain.clone()),
            chain,
            config,
            labels,
            source,
            voice,
            sleepers: Sleepers::default(),
            to_load: Vec::new(),
            version: 0,
            stored: 0,
            finalized: None,
            finality_asked: None,
            waiting_since: None,
            condition: None,
            interest: watch::channel(0).0,
            looks: 0,
            watches_looked_for: 0,
        }
    }

    /// Reads until cancelled. What fails is tried again with the next tick.
    pub(crate) async fn run(mut self, cancel: CancellationToken) -> anyhow::Result<()> {
        let (tell, mut told) = watch::channel(None);
        let source = Arc::clone(&self.source);
        let poll = Duration::from_millis(self.config.poll_ms);
        let stop = cancel.clone();
        let _telling = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
            source.tell_newest(tell, poll, stop).await;
        }));
        let (show, mut shown) = mpsc::channel(1);
        let looking =
            waiting::keep_looking(Arc::clone(&self.source), poll.max(WAITING_EVERY), self.interest.subscribe(), show);
        let looking = self.config.look_at_waiting.then(|| tokio::spawn(looking));
        let _looking = looking.map(tokio_util::task::AbortOnDropHandle::new);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0u32;
        let mut ticked: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                changed = told.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                _ = ticks.tick() => {}
                Some(waiting::Shown { waiting, passed_over }) = shown.recv() => {
                    match self.hear_waiting(&waiting).await {
                        // Nobody may be there any more to look again.
                        Ok(again) => drop(passed_over.send(again)),
                        Err(error) => {
                            tracing::warn!(chain = %self.chain, error = format!("{error:#}"), "what waits is not told now");
                            self.forget();
                        }
                    }
                    continue;
                }
            }
            // Also where blocks come faster than they are looked at, so that there always is one to be told of.
            let tick = ticked.is_none_or(|at| at.elapsed() >= TICK);
            if tick {
                ticked = Some(Instant::now());
            }
            let newest = *told.borrow_and_update();
            // Twice a second is enough to know who reads.
            if tick && looks.is_multiple_of(2) {
                self.lease.renew(self.voice.log.pool()).await;
            }
            looks = looks.wrapping_add(u32::from(tick));
            let Some(newest) = newest else { continue };
            if let Err(error) = self.look(newest, tick, &cancel).await {
                tracing::warn!(chain = %self.chain, error = format!("{error:#}"), "reading waits");
            }
        }
    }

    /// Reads what there is to read, if it is for this replica to do.
    async fn look(&mut self, newest: BlockRef, tick: bool, cancel: &CancellationToken) -> anyhow::Result<()> {
        let pool = self.voice.log.pool().clone();
        let Some(mut head) = db::chain::head(&pool, &self.chain).await? else { return self.begin(newest).await };
        if tick {
            self.measure(newest).await?;
            self.note_condition().await?;
            self.ask_finality().await;
            self.refresh(&mut *pool.acquire().await?, head).await?;
            self.note_interest();
        }
        if head.at == newest {
            self.waiting_since = None;
            return self.lead_back(head).await;
        }
        let waiting_since = *self.waiting_since.get_or_insert_with(Instant::now);
        if !self.lease.is_held() && waiting_since.elapsed() < PATIENCE {
            return Ok(());
        }
        while !cancel.is_cancelled() {
            let span = tracing::info_span!("read blocks", chain = %self.chain, newest = newest.number);
            if !self.step(head, newest).instrument(span).await? {
                break;
            }
            let Some(now) = db::chain::head(&pool, &self.chain).await? else { break };
            head = now;
        }
        self.waiting_since = None;
        Ok(())
    }

    /// Begins to read the chain after this block. Those before it are noted too, so that it may leave the chain itself.
    async fn begin(&self, at: BlockRef) -> anyhow::Result<()> {
        let before = segment::before(&*self.source, at, self.config.max_reorg_depth).await?;
        let mut tx = self.voice.log.pool().begin().await?;
        db::chain::begin(&mut tx, &self.chain, &before, at, self.voice.now()).await?;
        Ok(tx.commit().await?)
    }

    /// The node's chain leads to what was read, or back to it.
    async fn lead_back(&self, head: Head) -> anyhow::Result<()> {
        if head.halted {
            db::chain::go_on(self.voice.log.pool(), &self.chain).await?;
            tracing::info!(chain = %self.chain, "the node's chain leads back to what was read: it is read on");
        }
        Ok(())
    }

    /// Reads one segment. False where there is none.
    async fn step(&mut self, head: Head, newest: BlockRef) -> anyhow::Result<bool> {
        let pool = self.voice.log.pool().clone();
        let read = db::chain::recent(&pool, &self.chain, self.config.max_reorg_depth).await?;
        let segment = match segment::next(&*self.source, &read, head.at, newest).await {
            Ok(Some(segment)) => segment,
            Ok(None) => {
                self.lead_back(head).await?;
                return Ok(false);
            }
            Err(NoWay::Node(error)) => return Err(error),
            // The node has not come as far yet as was read, and is on the same chain.
            Err(NoWay::TooDeep(_)) if db::chain::is_kept(&pool, &self.chain, newest).await? => {
                self.lead_back(head).await?;
                return Ok(false);
            }
            Err(error @ NoWay::TooDeep(_)) => {
                // Which chain is the true one is not guessed.
                if db::chain::halt(&pool, &self.chain, head.at, newest, self.voice.now()).await? {
                    tracing::error!(chain = %self.chain, %error, "the chain cannot be read on: a person has to look");
                }
                return Err(error.into());
            }
        };
        let mut conn = pool.acquire().await?;
        self.refresh(&mut conn, head).await?;
        self.wake(&mut conn, segment.transfers()).await?;
        drop(conn);
        let mut asked = Asked::default();
        asked.complete(self.book.needs(&segment.blocks), &segment.blocks, &self.witnesses(), newest.number).await?;
        // Each round answers one more of the questions that a segment can raise.
        loop {
            match self.write(head, &segment, newest, &asked).await {
                Ok(Written::Yes | Written::Overtaken) => return Ok(true),
                Err(error) => {
                    self.forget();
                    // A watch came in just now, or a way led through accounts of several blocks.
                    let needed = error.downcast::<Needed>()?;
                    asked.complete(needed.into(), &segment.blocks, &self.witnesses(), newest.number).await?;
                }
            }
        }
    }

    /// Writes a segment, if the head still is where it begins.
    async fn write(
        &mut self,
        expected: Head,
        segment: &Segment,
        newest: BlockRef,
        asked: &Asked,
    ) -> anyhow::Result<Written> {
        let voice = Arc::clone(&self.voice);
        let mut tx = voice.log.begin().await?;
        let head = db::chain::lock_head(&mut tx, &self.chain).await?;
        let Some(head) = head.filter(|head| head.at == expected.at) else { return Ok(Written::Overtaken) };
        self.refresh(&mut tx, head).await?;
        self.wake(&mut tx, segment.transfers()).await?;

        let now = voice.now();
        let mut touched = BTreeSet::new();
        let mut found = Vec::new();
        if segment.fork != head.at {
            METRICS.reorganised(self.chain.as_str());
            let depth = head.at.number.saturating_sub(segment.fork.number);
            tracing::warn!(chain = %self.chain, depth, "blocks have left the chain");
            touched.extend(self.book.rewind(segment.fork.number));
            db::watch::begin_earlier(&mut tx, &self.chain, segment.fork.number).await?;
            found.extend(self.send_back(&mut tx, segment.fork.number).await?);
        }
        for block in &segment.blocks {
            touched.extend(self.book.take_in(block, now, asked)?);
        }
        found.extend(touched.into_iter().filter_map(|id| self.book.found(id)));

        let blocks: Vec<BlockRef> = segment.blocks.iter().map(|block| block.at).collect();
        let depth = self.config.max_reorg_depth;
        db::chain::advance(&mut tx, &self.chain, segment.fork, &blocks, depth, newest.number, now).await?;
        if !found.is_empty() {
            // Money has come to where another transaction may wait to take it away.
            self.looks += 1;
        }
        let fates = self.settle_waiting(&mut tx, &segment.blocks).await?;
        let marks = self.say(&mut tx, &blocks, found, fates, now).await?;
        voice.log.commit(tx).await?;
        self.stored = self.version;
        for (watch, transfer, finality) in marks {
            if let Some(watched) = self.book.get_mut(watch) {
                watched.mark(&transfer, finality);
            }
        }
        Ok(Written::Yes)
    }

    /// Sends watches back to find their beginning anew where it has left the chain: from then on they are `history`'s. Gives
    /// what they have to take back.
    async fn send_back(&mut self, tx: &mut PgConnection, fork: u64) -> Result<Vec<Found>, sqlx::Error> {
        let ids = db::history::begun_after(&mut *tx, &self.chain, fork).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let version = db::chain::bump(tx, &self.chain).await?;
        db::history::begin_again(tx, &ids, version).await?;
        self.version = version;
        let found = ids.iter().filter_map(|id| self.book.found(*id)).collect();
        for id in ids {
            self.book.remove(id);
            // Where this is not committed it is as it was; otherwise it is not active and stays out.
            self.to_load.push(id);
        }
        Ok(found)
    }

    /// Says what was found, and which hops have become more final. Gives the latter, for the book.
    async fn say(
        &mut self,
        tx: &mut PgConnection,
        blocks: &[BlockRef],
        found: Vec<Found>,
        more: Vec<Told>,
        now: Moment,
    ) -> anyhow::Result<Vec<Mark>> {
        if !found.is_empty() || !more.is_empty() {
            self.version = self.voice.say(tx, &self.chain, &found, more, now).await?;
        }
        let confirmed = blocks.last().and_then(|head| head.number.checked_sub(self.config.confirmations));
        let finalized =
            self.finalized.or_else(|| blocks.last()?.number.checked_sub(self.config.final_after(self.chain.kind())?));
        let (version, marks) = self.voice.finalise(tx, &self.chain, confirmed, finalized, now).await?;
        self.version = version.unwrap_or(self.version);
        Ok(marks)
    }

    /// Brings the book up to what is stored.
    async fn refresh(&mut self, conn: &mut PgConnection, head: Head) -> Result<(), sqlx::Error> {
        let mut after = None;
        while head.watch_version != self.version {
            let changed = db::watch::changed_since(&mut *conn, &self.chain, self.version, after, PAGE).await?;
            let Some(last) = changed.last() else {
                (self.version, self.stored) = (head.watch_version, head.watch_version);
                break;
            };
            after = Some((last.version, last.id));
            for watch in changed {
                let root = watch.root.bytes();
                if let Some(root) = root {
                    self.sleepers.remove(root, watch.id);
                }
                self.book.remove(watch.id);
                match root.filter(|_| watch.quiet) {
                    _ if !watch.active => {}
                    Some(root) => self.sleepers.put(root, watch.id),
                    None => self.to_load.push(watch.id),
                }
            }
        }
        self.load(conn).await
    }

    /// Reads the watches into the book that wait for it, in parts.
    async fn load(&mut self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        while !self.to_load.is_empty() {
            let from = self.to_load.len().saturating_sub(LOADED_AT_ONCE);
            let ids: Vec<_> = self.to_load[from..].iter().map(|id| id.0).collect();
            for (row, watched) in db::watch::load_all(&mut *conn, &ids).await? {
                if row.active {
                    self.book.put(watched);
                }
            }
            self.to_load.truncate(from);
        }
        Ok(())
    }

    /// Reads the watches into the book that start at an account which pays by one of these.
    async fn wake(
        &mut self,
        conn: &mut PgConnection,
        transfers: impl Iterator<Item = &Transfer> + Send,
    ) -> Result<(), sqlx::Error> {
        for transfer in transfers {
            self.to_load.extend(self.sleepers.wake(&transfer.from));
        }
        self.load(conn).await
    }

    /// What the book holds is not what was stored: what was in it is read again.
    fn forget(&mut self) {
        let book = std::mem::replace(&mut self.book, Book::new(self.chain.clone()));
        self.to_load.extend(book.ids());
        self.version = self.stored;
    }

    fn witnesses(&self) -> Witnesses<'_> {
        let (chain, source, pool) = (&self.chain, &*self.source, self.voice.log.pool());
        Witnesses { chain, source, labels: self.labels, pool }
    }

    /// Asks the node now and then how far the chain is final. Between blocks: it matters to nobody's deadline.
    async fn ask_finality(&mut self) {
        if self.finality_asked.is_some_and(|asked| asked.elapsed() < FINALITY_EVERY) {
            return;
        }
        self.finality_asked = Some(Instant::now());
        match self.source.finalized().await {
            Ok(finalized) => self.finalized = finalized.map(|block| block.number),
            Err(error) => tracing::debug!(error = format!("{error:#}"), "what is final is not known now"),
        }
    }

    /// Notes how the nodes are, where that has changed and this replica reads.
    async fn note_condition(&mut self) -> Result<(), sqlx::Error> {
        let condition = self.source.condition();
        if condition.nodes > 0 {
            METRICS.nodes(&self.chain, condition.answering);
        }
        if self.lease.is_held() && self.condition != Some(condition) {
            db::chain::note_condition(self.voice.log.pool(), &self.chain, condition).await?;
            self.condition = Some(condition);
        }
        Ok(())
    }

    async fn measure(&self, newest: BlockRef) -> Result<(), sqlx::Error> {
        let chains = db::chain::list(self.voice.log.pool()).await?;
        if let Some(status) = chains.iter().find(|status| status.chain == self.chain) {
            let behind = newest.number.saturating_sub(status.at.number);
            let since = (self.voice.now() - status.handled_at).as_seconds_f64();
            let block_time = Duration::from_millis(self.config.block_time_ms).as_secs_f64();
            let halted = status.halt.is_some();
            METRICS.chain(self.chain.as_str(), behind, since, block_time.max(0.001), halted);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
