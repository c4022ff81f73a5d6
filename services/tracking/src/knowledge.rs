//! What is known about the accounts that a watch has reached: what the chain says of them, and what exchanges say.
//!
//! It only grows. Budgets are counted over everything that was ever asked or put under watch, also where the hop that
//! led there has left the chain: so a trail folded again is held to the same limits at the same places.

use std::collections::{BTreeMap, BTreeSet};

use haetae_core::{Account, Amount, Asset, ExchangeId, WalletRole};
use thiserror::Error;

use crate::labels::Labelled;
use crate::terms::Terms;
use crate::trail::Place;

/// What the chain says about an account, and what a label says, where that ends a trail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AccountFacts {
    /// It has code of its own. A delegation (EIP-7702) is none.
    pub(crate) contract: bool,
    /// Transactions it has sent.
    pub(crate) degree: u64,
    /// As it was when money first came here.
    pub(crate) label: Option<Labelled>,
}

/// What follows from the exchanges' answers about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The watch's questions were used up before anyone could be asked.
    NotAsked,
    /// Some have not said whether they hold it.
    Open,
    /// An exchange holds it.
    Held(Holder),
    /// None of those asked holds it.
    NotHeld,
}

/// The exchange that holds an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) exchange: ExchangeId,
    pub(crate) role: Option<WalletRole>,
}

/// An account that a watch has reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) facts: AccountFacts,
    pub(crate) standing: Standing,
    /// It came under watch at some time.
    pub(crate) admitted: bool,
}

/// What lay at an account before the first traced money came to it. From there on everything that comes to it and leaves
/// it counts, where the rule needs that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    /// The first transfer that counts is here, or comes later.
    pub(crate) since: Place,
    /// None where no node could say.
    pub(crate) balance: Option<Amount>,
}

/// Money was traced from one account to another, at some time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Payment {
    pub(crate) from: Account,
    pub(crate) to: Account,
}

/// What is stored of everything known to one watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredKnowledge {
    pub(crate) known: BTreeMap<Account, Known>,
    pub(crate) openings: BTreeMap<Account, BTreeMap<Asset, Opening>>,
    pub(crate) payments: Vec<Payment>,
}

/// What the chain has been asked about.
pub(crate) trait Look {
    fn facts(&self, account: &Account) -> Option<AccountFacts>;

    /// What lies at an account before the transfer that is being looked at.
    fn opening(&self, account: &Account, asset: &Asset) -> Option<Opening>;
}

impl AccountFacts {
    pub(crate) fn is_busy(&self, terms: &Terms) -> bool {
        self.degree > terms.limits.max_degree
    }

    fn goes_on(&self, terms: &Terms) -> bool {
        self.label.is_none() && !self.contract && !self.is_busy(terms)
    }
}

impl Known {
    /// Neither what the chain says of the account nor what exchanges say ends the trail there.
    fn goes_on(&self, terms: &Terms) -> bool {
        self.facts.goes_on(terms) && matches!(self.standing, Standing::Open | Standing::NotHeld)
    }
}

/// The chain has not been asked about an account that money leads to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Missing {
    #[error("an account's facts are needed first")]
    Facts(Account),
    #[error("an account's balance is needed first")]
    Balance(Account, Asset),
}

/// Everything known to one watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Knowledge {
    known: BTreeMap<Account, Known>,
    questions: u32,
    admitted: u32,
    /// To whom money was ever traced from each account.
    paid: BTreeMap<Account, BTreeSet<Account>>,
    openings: BTreeMap<Account, BTreeMap<Asset, Opening>>,
    unsaved: BTreeSet<Account>,
    unsaved_payments: BTreeSet<Payment>,
    unsaved_openings: BTreeSet<(Account, Asset)>,
}

impl Knowledge {
    pub(crate) fn restore(terms: &Terms, stored: StoredKnowledge) -> Self {
        let StoredKnowledge { known, openings, payments } = stored;
        let asked = known.values().filter(|known| known.standing != Standing::NotAsked).count();
        let admitted = known.values().filter(|known| known.admitted).count();
        let questions = count(asked).saturating_mul(terms.exchanges);
        let mut paid: BTreeMap<Account, BTreeSet<Account>> = BTreeMap::new();
        for Payment { from, to } in payments {
            paid.entry(from).or_default().insert(to);
        }
        Self { known, questions, admitted: count(admitted), paid, openings, ..Self::default() }
    }

    pub(crate) fn get(&self, account: &Account) -> Option<&Known> {
        self.known.get(account)
    }

    /// Questions asked so far.
    pub(crate) fn questions(&self) -> u32 {
        self.questions
    }

    pub(crate) fn is_open(&self, account: &Account) -> bool {
        self.known.get(account).is_some_and(|known| known.standing == Standing::Open)
    }

    /// Accounts that were under watch at some time.
    pub(crate) fn admitted(&self) -> u32 {
        self.admitted
    }

    /// What has to be stored since the last call.
    pub(crate) fn take_unsaved(&mut self) -> Vec<(Account, Known)> {
        let unsaved = std::mem::take(&mut self.unsaved);
        unsaved
            .into_iter()
            .filter_map(|account| self.known.get(&account).cloned().map(|known| (account, known)))
            .collect()
    }

    /// Notes that money leads to an account. True where exchanges are to be asked about it: it is new, and the budget
    /// allows.
    pub(crate) fn reach(&mut self, terms: &Terms, account: &Account, look: &impl Look) -> Result<bool, Missing> {
        if self.known.contains_key(account) {
            return Ok(false);
        }
        let facts = look.facts(account).ok_or_else(|| Missing::Facts(account.clone()))?;
        Ok(self.meet(terms, account, facts))
    }

    /// The same where the chain need not be asked.
    pub(crate) fn meet(&mut self, terms: &Terms, account: &Account, facts: AccountFacts) -> bool {
        if self.known.contains_key(account) {
            return false;
        }
        let affordable = self.questions.saturating_add(terms.exchanges) <= terms.limits.max_questions;
        let standing = match terms.exchanges {
            0 => Standing::NotHeld,
            _ if affordable => Standing::Open,
            _ => Standing::NotAsked,
        };
        let ask = standing == Standing::Open;
        if ask {
            self.questions += terms.exchanges;
        }
        self.known.insert(account.clone(), Known { facts, standing, admitted: false });
        self.unsaved.insert(account.clone());
        ask
    }

    pub(crate) fn opening(&self, account: &Account, asset: &Asset) -> Option<Opening> {
        self.openings.get(account)?.get(asset).copied()
    }

    /// As if nothing had been asked about balances.
    #[cfg(test)]
    pub(crate) fn without_openings(self) -> Self {
        Self { openings: BTreeMap::new(), ..self }
    }

    /// Notes what lay at an account. What was noted first stays.
    pub(crate) fn open(&mut self, account: &Account, asset: &Asset, opening: Opening) {
        let openings = self.openings.entry(account.clone()).or_default();
        if !openings.contains_key(asset) {
            openings.insert(asset.clone(), opening);
            self.unsaved_openings.insert((account.clone(), asset.clone()));
        }
    }

    /// Forgets what lay at accounts on blocks after `fork`. True if there was anything.
    pub(crate) fn close_after(&mut self, fork: u64) -> bool {
        let mut closed = Vec::new();
        for (account, openings) in &mut self.openings {
            openings.retain(|asset, opening| {
                let stays = opening.since.block <= fork;
                if !stays {
                    closed.push((account.clone(), asset.clone()));
                }
                stays
            });
        }
        let any = !closed.is_empty();
        self.unsaved_openings.extend(closed);
        any
    }

    /// What lay at an account that traced money comes to; none where the rule need not know it, or the money is not
    /// followed on from there.
    ///
    /// # Errors
    /// When the chain has to be asked.
    pub(crate) fn opening_of(
        &self,
        terms: &Terms,
        account: &Account,
        asset: &Asset,
        look: &impl Look,
    ) -> Result<Option<Opening>, Missing> {
        if !terms.needs_balances() {
            return Ok(None);
        }
        if let Some(opening) = self.opening(account, asset) {
            return Ok(Some(opening));
        }
        let goes_on = match self.known.get(account) {
            Some(known) => known.goes_on(terms),
            None => look.facts(account).ok_or_else(|| Missing::Facts(account.clone()))?.goes_on(terms),
        };
        match look.opening(account, asset) {
            _ if !goes_on => Ok(None),
            None => Err(Missing::Balance(account.clone(), asset.clone())),
            opening => Ok(opening),
        }
    }

    /// Whether everything that comes to an account and leaves it counts: money is followed from there, or may yet be, by
    /// a shorter way.
    pub(crate) fn counts(&self, terms: &Terms, account: &Account, asset: &Asset) -> bool {
        let room = self.admitted < terms.limits.max_addresses;
        self.opening(account, asset).is_some_and(|opening| opening.balance.is_some())
            && self.known.get(account).is_none_or(|known| known.goes_on(terms) && (known.admitted || room))
    }

    /// Whether what comes to an account and leaves it counts at a place already.
    pub(crate) fn counts_at(&self, terms: &Terms, account: &Account, asset: &Asset, place: Place) -> bool {
        self.counts(terms, account, asset) && self.opening(account, asset).is_some_and(|opening| opening.since <= place)
    }

    /// Accounts at which everything counts, in some asset.
    pub(crate) fn counted(&self, terms: &Terms) -> impl Iterator<Item = &Account> {
        let some = |(account, openings): &(&Account, &BTreeMap<Asset, Opening>)| {
            openings.keys().any(|asset| self.counts(terms, account, asset))
        };
        self.openings.iter().filter(some).map(|(account, _)| account)
    }

    /// Openings that have to be stored since the last call; none where one is to be forgotten.
    pub(crate) fn take_unsaved_openings(&mut self) -> Vec<(Account, Asset, Option<Opening>)> {
        let unsaved = std::mem::take(&mut self.unsaved_openings);
        let stored = |(account, asset)| {
            let opening = self.opening(&account, &asset);
            (account, asset, opening)
        };
        unsaved.into_iter().map(stored).collect()
    }

    /// Puts a reached account under watch, where there is room. True if it is under watch.
    pub(crate) fn admit(&mut self, terms: &Terms, account: &Account) -> bool {
        let room = self.admitted < terms.limits.max_addresses;
        match self.known.get_mut(account) {
            Some(known) if known.admitted => true,
            Some(known) if room => {
                known.admitted = true;
                self.admitted += 1;
                self.unsaved.insert(account.clone());
                true
            }
            _ => false,
        }
    }

    /// Whether this would be one payee too many for an account to be anything but a service. The root is followed
    /// whomever it pays: people chose it.
    pub(crate) fn pays_too_many(&self, terms: &Terms, from: &Account, to: &Account) -> bool {
        *from != terms.root.account
            && self
                .paid
                .get(from)
                .is_some_and(|paid| !paid.contains(to) && paid.len() as u64 >= terms.limits.max_degree)
    }

    /// Notes that money was traced from one account to another.
    pub(crate) fn note_payment(&mut self, from: &Account, to: &Account) {
        if self.paid.entry(from.clone()).or_default().insert(to.clone()) {
            self.unsaved_payments.insert(Payment { from: from.clone(), to: to.clone() });
        }
    }

    /// Payments that have to be stored since the last call.
    pub(crate) fn take_unsaved_payments(&mut self) -> Vec<Payment> {
        std::mem::take(&mut self.unsaved_payments).into_iter().collect()
    }

    /// Takes in what exchanges say of an account. False where that is nothing new. Who is known as the holder stays it, and
    /// where nobody was asked there is no answer.
    pub(crate) fn learn(&mut self, account: &Account, standing: Standing) -> bool {
        match self.known.get_mut(account) {
            Some(known)
                if matches!(known.standing, Standing::Open | Standing::NotHeld) && known.standing != standing =>
            {
                known.standing = standing;
                self.unsaved.insert(account.clone());
                true
            }
            _ => false,
        }
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
