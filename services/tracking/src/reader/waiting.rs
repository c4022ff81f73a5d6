//! Transactions that wait to be included: looked at beside the reading of blocks, and said as warnings.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use haetae_core::{Moment, micros};
use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};

use super::{PATIENCE, Reader};
use crate::asked::Asked;
use crate::book::Foreseen;
use crate::db;
use crate::source::{Block, Body, ChainSource, Waiting};
use crate::tell::{self, Told};
use crate::waiting::{self, Claim, Fate, Waits, Whereabouts};

/// How long a node may take to say where transactions are.
const AT_ONCE: Duration = Duration::from_millis(250);
/// How long until a node is asked again that does not show what waits.
const NOT_SHOWN: Duration = Duration::from_mins(1);

/// What waits, as it is shown to the reader.
pub(super) struct Shown {
    pub(super) waiting: Waiting,
    /// Takes those that there was no time for: they are shown again. All are, where nothing comes of it.
    pub(super) passed_over: oneshot::Sender<Vec<B256>>,
}

/// Asks a node what waits, as long as anybody is there to hear it. `interest` is 0 where nobody wants to know, and changes
/// when everything has to be looked at again: another watch may see more in it.
pub(super) async fn keep_looking(
    source: Arc<dyn ChainSource>,
    every: Duration,
    interest: watch::Receiver<u64>,
    tell: mpsc::Sender<Shown>,
) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: HashSet<B256> = HashSet::new();
    let mut looked_for = 0;
    loop {
        ticks.tick().await;
        let wanted = *interest.borrow();
        if wanted != looked_for {
            known.clear();
            looked_for = wanted;
        }
        if wanted == 0 {
            continue;
        }
        match source.waiting(&known).await {
            Ok(Some(waiting)) => {
                known.retain(|id| waiting.all.contains(id));
                known.extend(waiting.new.iter().map(|pending| pending.id));
                let (passed_over, heard) = oneshot::channel();
                if tell.send(Shown { waiting, passed_over }).await.is_err() {
                    return;
                }
                match heard.await {
                    Ok(again) => known.retain(|id| !again.contains(id)),
                    Err(_) => known.clear(),
                }
            }
            // The node does not show it; another may, when it is followed.
            Ok(None) => sleep(NOT_SHOWN).await,
            Err(error) => tracing::debug!(error = format!("{error:#}"), "what waits is not known now"),
        }
    }
}

impl Reader {
    /// Notes whether anybody wants to know what waits.
    pub(super) fn note_interest(&mut self) {
        let watches = self.book.len() + self.sleepers.len();
        if watches > self.watches_looked_for {
            self.looks += 1;
        }
        self.watches_looked_for = watches;
        let wanted = if self.lease.is_held() && watches > 0 { self.looks } else { 0 };
        self.interest.send_if_modified(|known| std::mem::replace(known, wanted) != wanted);
    }

    /// Says what is new among those that wait. Gives those that there was no time for.
    pub(super) async fn hear_waiting(&mut self, waiting: &Waiting) -> anyhow::Result<Vec<B256>> {
        if !self.lease.is_held() {
            return Ok(Vec::new());
        }
        let (asked, passed_over) = self.ask_about(waiting).await;
        let hidden = self.find_hidden(waiting).await?;
        let voice = Arc::clone(&self.voice);
        let mut tx = voice.log.begin().await?;
        let Some(head) = db::chain::lock_head(&mut tx, &self.chain).await? else { return Ok(passed_over) };
        self.refresh(&mut tx, head).await?;
        let bodies = waiting.new.iter().map(|pending| &pending.body);
        self.wake(&mut tx, bodies.flat_map(Body::transfers)).await?;
        if head.at.number >= waiting.newest.number && head.at != waiting.newest {
            // Blocks have been read since that may hold some of these: all are looked at again.
            self.looks += 1;
            return Ok(passed_over);
        }

        let known = db::waiting::all(&mut *tx, &self.chain).await?;
        let mut fates: Vec<(Waits, Fate)> = Vec::new();
        let mut foreseen: HashMap<_, Foreseen> = HashMap::new();
        for pending in &waiting.new {
            let replaced = waiting::seen(&known, pending.id, &pending.claims);
            fates.extend(replaced.into_iter().map(|(waits, fate)| (waits.clone(), fate)));
            for found in self.book.foresee(pending, &asked) {
                fates.push((found.waits.clone(), Fate::Seen));
                foreseen.insert((found.waits.watch, found.waits.transaction), found);
            }
        }
        // What is gone may be in a block that was not read yet.
        if let Some(hidden) = hidden.filter(|_| head.at == waiting.newest) {
            let left = waiting::left(&known, &waiting.all, &hidden, head.at.number);
            fates.extend(left.into_iter().map(|(waits, fate)| (waits.clone(), fate)));
        }
        let told = self.tell_fates(&mut tx, fates, &foreseen).await?;
        if !told.is_empty() {
            self.version = voice.say(&mut tx, &self.chain, &[], told, micros(Moment::now_utc())).await?;
            voice.log.commit(tx).await?;
        }
        Ok(passed_over)
    }

    /// What blocks make of those that waited, to be said. The chain's head is locked.
    pub(super) async fn settle_waiting(&self, conn: &mut PgConnection, blocks: &[Block]) -> sqlx::Result<Vec<Told>> {
        let mut waiting = db::waiting::all(&mut *conn, &self.chain).await?;
        let mut fates = Vec::new();
        for block in blocks {
            if waiting.is_empty() {
                break;
            }
            let held = Held::of(block);
            let settled = waiting::included(&waiting, block.at.number, |waits| held.of_either(waits));
            let settled: Vec<(Waits, Fate)> = settled.into_iter().map(|(waits, fate)| (waits.clone(), fate)).collect();
            waiting.retain(|waits| !settled.iter().any(|(settled, _)| settled == waits));
            fates.extend(settled);
        }
        self.tell_fates(conn, fates, &HashMap::new()).await
    }

    /// Stores what became of those that wait, and gives what has to be said: what is not said already, and of each the first
    /// word only.
    async fn tell_fates(
        &self,
        conn: &mut PgConnection,
        fates: Vec<(Waits, Fate)>,
        foreseen: &HashMap<(haetae_core::WatchId, B256), Foreseen>,
    ) -> sqlx::Result<Vec<Told>> {
        let now = micros(Moment::now_utc());
        let mut told = Vec::new();
        let mut settled = HashSet::new();
        for (waits, fate) in fates {
            let key = (waits.watch, waits.transaction);
            if settled.insert(key) && db::waiting::note(conn, &self.chain, &waits, fate).await? {
                let payments = foreseen.get(&key).map(|found| found.payments.as_slice()).unwrap_or_default();
                told.push(tell::waiting(&self.chain, &waits, fate, payments, now));
            }
        }
        Ok(told)
    }

    /// Where those are that were told and are not shown any more. None where that is not known now: where the node has come
    /// further than was read, or does not say at once.
    async fn find_hidden(&self, waiting: &Waiting) -> sqlx::Result<Option<HashMap<B256, Whereabouts>>> {
        let pool = self.voice.log.pool();
        if db::chain::head(pool, &self.chain).await?.is_none_or(|head| head.at != waiting.newest) {
            return Ok(None);
        }
        let noted = db::waiting::all(pool, &self.chain).await?;
        let hidden: BTreeSet<B256> = noted.iter().map(|waits| waits.transaction).collect();
        let hidden: Vec<B256> = hidden.difference(&waiting.all.iter().copied().collect()).copied().collect();
        if hidden.is_empty() {
            return Ok(Some(HashMap::new()));
        }
        // Blocks are not read meanwhile.
        Ok(timeout(AT_ONCE, self.source.whereabouts(&hidden)).await.ok().and_then(Result::ok))
    }

    /// What those that wait spend, as far as a node can say; and those that there was no time for.
    async fn ask_about(&self, waiting: &Waiting) -> (Asked, Vec<B256>) {
        let mut asked = Asked::default();
        // Blocks are not read meanwhile.
        let until = Instant::now() + PATIENCE;
        for (place, pending) in waiting.new.iter().enumerate() {
            let needs = self.book.needs_to_foresee(pending);
            let witnesses = self.witnesses();
            match timeout_at(until, asked.complete(needs, &[], &witnesses, waiting.newest.number)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(error = format!("{error:#}"), "a transaction that waits is passed over");
                }
                Err(_) => {
                    tracing::debug!("there is no more time for what waits");
                    return (asked, waiting.new[place..].iter().map(|pending| pending.id).collect());
                }
            }
        }
        (asked, Vec::new())
    }
}

/// What a block holds: transactions, and outputs that they spend.
struct Held {
    transactions: HashSet<B256>,
    spent: HashMap<Claim, B256>,
}

impl Held {
    fn of(block: &Block) -> Self {
        let name = |id: bitcoin::Txid| crate::bitcoin::shown(id);
        let transfers = block.transfers().iter().map(|transfer| transfer.transaction);
        let transactions = block.transactions().iter().map(|transaction| name(transaction.id));
        let spent = block.transactions().iter().flat_map(|transaction| {
            let by = name(transaction.id);
            transaction.body.input.iter().map(move |input| (Claim::Output(input.previous_output), by))
        });
        Self { transactions: transfers.chain(transactions).collect(), spent: spent.collect() }
    }

    /// The transaction that waited, or the one that excludes it.
    fn of_either(&self, waits: &Waits) -> Option<B256> {
        if self.transactions.contains(&waits.transaction) {
            return Some(waits.transaction);
        }
        waits.claims.iter().find_map(|claim| self.spent.get(claim).copied())
    }
}
