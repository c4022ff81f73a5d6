//! One watch in memory: its inputs, its trail, and what was already said about it. Where money is kept in accounts the
//! inputs are the movements themselves; where it is kept in outputs they are whole transactions (`Pool`), and a movement is
//! a part of one.
//!
//! [`Watched::settle`] is the only way anything gets said: it compares what was said with what the fold says now. So it
//! does not matter whether the trail came about block by block or was folded again after a reorganisation or a late
//! answer: what is said ends up the same.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Txid};
use haetae_core::{Account, Amount, Asset, TransferId};

use crate::knowledge::{AccountFacts, Knowledge, Known, Look, Missing, Opening, Payment, Standing, StoredKnowledge};
use crate::said::{self, Change, Said, SaidEnd, TrailEnd};
use crate::terms::Terms;
use crate::trail::{EndReason, Lying, Outcome, Part, Place, Pool, Sighting, Totals, Trail};

/// A transfer that carried traced money at some time, or where the rule needs it, came to an account under watch or left
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Movement {
    /// Where it stands in the chain, or last stood.
    pub(crate) sighting: Sighting,
    /// It is in the chain.
    pub(crate) live: bool,
    /// What was said about it.
    pub(crate) said: Said,
}

/// A transaction that moved traced money at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pooled {
    /// As it stands in the chain, or last stood.
    pub(crate) pool: Pool,
    /// It is in the chain.
    pub(crate) live: bool,
}

/// What is stored of a watch, besides its terms.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    pub(crate) knowledge: StoredKnowledge,
    pub(crate) movements: Vec<Movement>,
    pub(crate) pools: Vec<Pooled>,
}

/// A question that follows from a step: about an account, because of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) account: Account,
    pub(crate) hop: TransferId,
}

/// What has to be said and stored since the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Retractions first, then in the order of the chain.
    pub(crate) changes: Vec<Change>,
    pub(crate) asks: Vec<Ask>,
    pub(crate) movements: Vec<Movement>,
    pub(crate) pools: Vec<Pooled>,
    pub(crate) known: Vec<(Account, Known)>,
    pub(crate) payments: Vec<Payment>,
    /// None where one is to be forgotten.
    pub(crate) openings: Vec<(Account, Asset, Option<Opening>)>,
}

/// Nothing is asked when what is known is gone through again.
struct AllKnown;

impl Look for AllKnown {
    fn facts(&self, _: &Account) -> Option<AccountFacts> {
        None
    }

    fn opening(&self, _: &Account, _: &Asset) -> Option<Opening> {
        None
    }
}

/// What a transaction pays beside traced money is nobody's business, when it is gone through again as at first.
struct Untraced;

impl Look for Untraced {
    fn facts(&self, _: &Account) -> Option<AccountFacts> {
        Some(AccountFacts::default())
    }

    fn opening(&self, _: &Account, _: &Asset) -> Option<Opening> {
        None
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Watched {
    terms: Terms,
    knowledge: Knowledge,
    trail: Trail,
    movements: BTreeMap<TransferId, Movement>,
    pools: BTreeMap<Txid, Pooled>,
    outcomes: BTreeMap<TransferId, Outcome>,
    asks: Vec<Ask>,
    /// Movements of which something may have to be said or stored.
    touched: BTreeSet<TransferId>,
    unsaved_pools: BTreeSet<Txid>,
    /// Accounts to which every hop that was said to lead was taken back.
    unreached: BTreeSet<Account>,
}

impl Watched {
    /// From what is stored.
    ///
    /// # Errors
    /// When money leads to an account whose facts are not among what is known; then what is stored is damaged.
    pub(crate) fn restore(terms: Terms, stored: Stored) -> Result<Self, Missing> {
        let Stored { knowledge, movements, pools } = stored;
        let knowledge = Knowledge::restore(&terms, knowledge);
        let mut unreached: BTreeSet<Account> = BTreeSet::new();
        unreached.extend(movements.iter().filter(|m| m.said.hop.is_some()).map(|m| m.sighting.to.clone()));
        for standing in movements.iter().filter(|movement| movement.said.hop_stands()) {
            unreached.remove(&standing.sighting.to);
        }
        unreached.remove(&terms.root.account);
        let mut watched = Self { unreached, ..Self::beginning(terms, knowledge) };
        watched.movements = movements.into_iter().map(|m| (m.sighting.transfer.clone(), m)).collect();
        watched.pools = pools.into_iter().map(|pooled| (pooled.pool.id, pooled)).collect();
        watched.fold()?;
        watched.touched.clear();
        watched.asks.clear();
        Ok(watched)
    }

    fn beginning(terms: Terms, knowledge: Knowledge) -> Self {
        Self {
            trail: Trail::begin(&terms, &knowledge),
            knowledge,
            unreached: BTreeSet::new(),
            terms,
            movements: BTreeMap::new(),
            pools: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            asks: Vec::new(),
            touched: BTreeSet::new(),
            unsaved_pools: BTreeSet::new(),
        }
    }

    /// From the beginning, with what was learnt in the course of another.
    #[cfg(test)]
    fn knowing(terms: Terms, knowledge: Knowledge) -> Self {
        Self::beginning(terms, knowledge)
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Counts from this place on.
    pub(crate) fn begin_at(&mut self, place: Place) {
        self.terms.begins = Some(place);
    }

    pub(crate) fn knowledge(&self) -> &Knowledge {
        &self.knowledge
    }

    pub(crate) fn followed(&self) -> impl Iterator<Item = &Account> {
        self.trail.followed()
    }

    pub(crate) fn follows(&self, account: &Account) -> bool {
        self.trail.follows(account)
    }

    /// Outputs that carry traced money.
    pub(crate) fn coins(&self) -> impl Iterator<Item = OutPoint> {
        self.trail.coins()
    }

    pub(crate) fn totals(&self) -> BTreeMap<Asset, Totals> {
        self.trail.totals(&self.terms, &self.knowledge)
    }

    /// Where traced money lies or ended.
    pub(crate) fn lying(&self) -> Vec<Lying<'_>> {
        self.trail.lying(&self.knowledge)
    }

    /// What the transfers that are in the chain turned out to be.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (&Sighting, &Outcome)> {
        let live = self.movements.iter().filter(|(_, movement)| movement.live);
        live.filter_map(|(transfer, movement)| Some((&movement.sighting, self.outcomes.get(transfer)?)))
    }

    /// Transfers from the root to an account, by the shortest way.
    pub(crate) fn depth(&self, account: &Account) -> Option<u32> {
        self.trail.depth(account)
    }

    /// What was not at the root any more when the watch began.
    pub(crate) fn left_before(&self) -> impl Iterator<Item = (&Account, &Asset, Amount)> {
        let root = &self.terms.root.account;
        self.terms.stolen.iter().filter_map(move |(asset, stolen)| {
            let balance = self.knowledge.opening(root, asset)?.balance?;
            let gone = stolen.saturating_sub(balance);
            (!gone.is_zero()).then_some((root, asset, gone))
        })
    }

    /// Accounts at which everything that comes and leaves counts.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &Account> {
        self.knowledge.counted(&self.terms)
    }

    pub(crate) fn counts(&self, account: &Account, asset: &Asset) -> bool {
        self.knowledge.counts(&self.terms, account, asset)
    }

    /// True where a payment may move traced money.
    pub(crate) fn may_carry(&self, from: &Account, asset: &Asset) -> bool {
        (!self.terms.needs_balances() || self.counts(from, asset)) && self.trail.may_carry(from, asset)
    }

    fn concerns(&self, sighting: &Sighting) -> bool {
        let Sighting { from, to, asset, amount, .. } = sighting;
        let too_early = self.terms.begins.is_some_and(|begins| sighting.place < begins);
        if amount.is_zero() || from == to && !sighting.is_fee() || too_early {
            return false;
        }
        match self.terms.needs_balances() {
            true => self.counts(from, asset) || self.counts(to, asset),
            false => from != to && self.trail.may_carry(from, asset),
        }
    }

    /// Assets of which it has to be known what lies at the root before the next block.
    pub(crate) fn unopened(&self) -> impl Iterator<Item = &Asset> {
        let root = &self.terms.root.account;
        let assets = self.terms.stolen.keys().filter(|_| self.terms.needs_balances());
        assets.filter(|asset| self.knowledge.opening(root, asset).is_none())
    }

    /// Takes in what lies at the root.
    pub(crate) fn open_root(&mut self, asset: &Asset, opening: Opening) {
        self.knowledge.open(&self.terms.root.account, asset, opening);
        self.fold_known();
    }

    /// The next transfer of the chain. True if it is kept.
    ///
    /// # Errors
    /// When something has to be known of the payee; nothing has changed then.
    pub(crate) fn see(&mut self, sighting: Sighting, look: &impl Look) -> Result<bool, Missing> {
        if !self.concerns(&sighting) {
            // Not kept: what is traced to a payer at a given place never grows by what is learnt later, so that it
            // stays untraced as long as the blocks before it stand; and if they do not, it is seen again.
            return Ok(false);
        }
        let step = self.trail.step(&self.terms, &mut self.knowledge, &sighting, look)?;
        let transfer = sighting.transfer.clone();
        if step.ask {
            self.asks.push(Ask { account: sighting.to.clone(), hop: transfer.clone() });
        }
        self.outcomes.insert(transfer.clone(), step.outcome);
        let movement = self.movements.entry(transfer.clone()).or_insert_with(|| Movement {
            sighting: sighting.clone(),
            live: true,
            said: Said::default(),
        });
        movement.sighting = sighting;
        movement.live = true;
        self.touched.insert(transfer);
        Ok(true)
    }

    /// The next transaction of the chain. True if it is kept.
    ///
    /// # Errors
    /// When something has to be known of a payee; nothing has changed then.
    pub(crate) fn see_pool(&mut self, pool: Pool, look: &impl Look) -> Result<bool, Missing> {
        let too_early = self.terms.begins.is_some_and(|begins| pool.place < begins);
        if too_early || self.first_mover(&pool).is_none() {
            return Ok(false);
        }
        let parts = self.trail.join(&self.terms, &mut self.knowledge, &pool, look)?;
        for part in parts {
            self.touched.insert(part.sighting.transfer.clone());
            let (transfer, outcome) = self.take_part(part);
            self.outcomes.insert(transfer, outcome);
        }
        self.unsaved_pools.insert(pool.id);
        self.pools.insert(pool.id, Pooled { pool, live: true });
        Ok(true)
    }

    /// Whose traced money a transaction would move; the first of several.
    pub(crate) fn first_mover(&self, pool: &Pool) -> Option<&Account> {
        self.trail.first_mover(&self.terms, pool)
    }

    /// Keeps a part of a transaction that is in the chain.
    fn take_part(&mut self, part: Part) -> (TransferId, Outcome) {
        let Part { sighting, outcome, ask } = part;
        let transfer = sighting.transfer.clone();
        if ask {
            self.asks.push(Ask { account: sighting.to.clone(), hop: transfer.clone() });
        }
        let movement = self.movements.entry(transfer.clone()).or_insert_with(|| Movement {
            sighting: sighting.clone(),
            live: true,
            said: Said::default(),
        });
        movement.sighting = sighting;
        movement.live = true;
        (transfer, outcome)
    }

    /// Forgets the blocks after `fork`: they have left the chain. True if there was anything in them.
    pub(crate) fn rewind(&mut self, fork: u64) -> bool {
        let mut any = self.knowledge.close_after(fork);
        for (transfer, movement) in &mut self.movements {
            if movement.live && movement.sighting.place.block > fork {
                movement.live = false;
                self.touched.insert(transfer.clone());
                any = true;
            }
        }
        for (id, pooled) in &mut self.pools {
            if pooled.live && pooled.pool.place.block > fork {
                pooled.live = false;
                self.unsaved_pools.insert(*id);
                any = true;
            }
        }
        if any {
            self.fold_known();
        }
        any
    }

    /// Takes in what exchanges say of an account. True where that is news.
    pub(crate) fn learn(&mut self, account: &Account, standing: Standing) -> bool {
        let news = self.knowledge.learn(account, standing);
        if news {
            self.fold_known();
        }
        news
    }

    /// Says what has to be said: the difference between what was said and what is so now.
    pub(crate) fn settle(&mut self) -> News {
        let mut retractions = Vec::new();
        let mut changes: Vec<(Place, Vec<Change>)> = Vec::new();
        let mut stored = Vec::new();
        let (mut left, mut led) = (BTreeSet::new(), BTreeSet::new());
        for transfer in std::mem::take(&mut self.touched) {
            let Some(movement) = self.movements.get_mut(&transfer) else { continue };
            let outcome = match movement.live {
                true => self.outcomes.get(&transfer).unwrap_or(&Outcome::Untraced),
                false => &Outcome::Untraced,
            };
            let (said, now) = said::settle(&movement.said, &movement.sighting, outcome);
            let on_the_way = movement.sighting.to != self.terms.root.account;
            match (movement.said.hop_stands(), said.hop_stands()) {
                _ if !on_the_way => false,
                (true, false) => left.insert(movement.sighting.to.clone()),
                (false, true) => led.insert(movement.sighting.to.clone()),
                _ => false,
            };
            movement.said = said;
            stored.push(movement.clone());
            if now.iter().any(Change::is_retraction) {
                retractions.push((movement.sighting.place, now));
            } else {
                changes.push((movement.sighting.place, now));
            }
        }
        retractions.sort_by_key(|(place, _)| *place);
        changes.sort_by_key(|(place, _)| *place);
        let openings = self.knowledge.take_unsaved_openings();
        let at_root =
            openings.iter().filter_map(|(account, asset, opening)| self.end_at_root(account, asset, (*opening)?));
        let at_root: Vec<Change> = at_root.collect();
        let (lost, again) = self.note_reached(left, led);
        let of = |moved: Vec<(Place, Vec<Change>)>| moved.into_iter().flat_map(|(_, changes)| changes);
        News {
            changes: at_root.into_iter().chain(of(retractions)).chain(lost).chain(of(changes)).chain(again).collect(),
            asks: std::mem::take(&mut self.asks),
            movements: stored,
            pools: std::mem::take(&mut self.unsaved_pools)
                .into_iter()
                .filter_map(|id| self.pools.get(&id).cloned())
                .collect(),
            known: self.knowledge.take_unsaved(),
            payments: self.knowledge.take_unsaved_payments(),
            openings,
        }
    }

    /// Accounts to which no hop leads any more, of those that one led to before; and those to which one leads again.
    fn note_reached(&mut self, left: BTreeSet<Account>, led: BTreeSet<Account>) -> (Vec<Change>, Vec<Change>) {
        let mut reached = BTreeSet::new();
        if !left.is_empty() {
            let standing = self.movements.values().filter(|movement| movement.said.hop_stands());
            reached.extend(standing.map(|movement| &movement.sighting.to).filter(|to| left.contains(to)).cloned());
        }
        let lost = left.into_iter().filter(|account| !reached.contains(account));
        let lost: Vec<Account> = lost.filter(|account| self.unreached.insert(account.clone())).collect();
        let again: Vec<Account> = led.into_iter().filter(|account| self.unreached.remove(account)).collect();
        let said = |accounts: Vec<Account>, reached| {
            accounts.into_iter().map(|account| Change::Reached { account, reached }).collect()
        };
        (said(lost, false), said(again, true))
    }

    /// What ends at the root because of what lay there when the watch began.
    fn end_at_root(&self, account: &Account, asset: &Asset, opening: Opening) -> Option<Change> {
        let stolen = *self.terms.stolen.get(asset).filter(|_| *account == self.terms.root.account)?;
        let end = match opening.balance {
            None => SaidEnd { reason: TrailEnd::Other(EndReason::BalanceUnknown), traced: stolen },
            Some(balance) if balance < stolen => {
                SaidEnd { reason: TrailEnd::LeftBefore, traced: stolen.saturating_sub(balance) }
            }
            Some(_) => return None,
        };
        Some(Change::EndedAtRoot { account: account.clone(), asset: asset.clone(), end })
    }

    /// Notes how final hops have become; that is said by whoever watches the chain's head.
    pub(crate) fn mark(&mut self, transfer: &TransferId, finality: said::Finality) {
        if let Some(hop) = self.movements.get_mut(transfer).and_then(|movement| movement.said.hop.as_mut()) {
            hop.finality = finality;
        }
    }

    /// Folds anew over what is in the chain. Facts are known of every account that money led to before.
    fn fold(&mut self) -> Result<(), Missing> {
        let (trail, outcomes) = match self.pools.is_empty() {
            true => self.fold_movements()?,
            false => self.fold_pools()?,
        };
        let changed = self.movements.keys().filter(|transfer| outcomes.get(transfer) != self.outcomes.get(transfer));
        self.touched.extend(changed.cloned());
        self.trail = trail;
        self.outcomes = outcomes;
        Ok(())
    }

    fn fold_movements(&mut self) -> Result<(Trail, BTreeMap<TransferId, Outcome>), Missing> {
        let mut live: Vec<&Movement> = self.movements.values().filter(|movement| movement.live).collect();
        live.sort_by_key(|movement| movement.sighting.place);
        let mut trail = Trail::begin(&self.terms, &self.knowledge);
        let mut outcomes = BTreeMap::new();
        for movement in live {
            let step = trail.step(&self.terms, &mut self.knowledge, &movement.sighting, &AllKnown)?;
            outcomes.insert(movement.sighting.transfer.clone(), step.outcome);
        }
        Ok((trail, outcomes))
    }

    fn fold_pools(&mut self) -> Result<(Trail, BTreeMap<TransferId, Outcome>), Missing> {
        let mut live: Vec<&Pool> =
            self.pools.values().filter(|pooled| pooled.live).map(|pooled| &pooled.pool).collect();
        live.sort_by_key(|pool| pool.place);
        let mut trail = Trail::begin(&self.terms, &self.knowledge);
        let mut parts: Vec<Part> = Vec::new();
        for pool in live {
            parts.extend(trail.join(&self.terms, &mut self.knowledge, pool, &Untraced)?);
        }
        Ok((trail, parts.into_iter().map(|part| self.take_part(part)).collect()))
    }

    #[expect(clippy::expect_used, reason = "a fold over fewer transfers, or with less traced, reaches no new account")]
    fn fold_known(&mut self) {
        self.fold().expect("every account reached was reached before");
    }
}

#[cfg(test)]
mod tests;
