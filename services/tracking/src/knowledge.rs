//! What is known about the accounts that a watch has reached: what the chain says of them, and what exchanges say.
//!
//! It only grows. Budgets are counted over everything that was ever asked or put under watch, also where the hop that
//! led there has left the chain: so a trail folded again is held to the same limits at the same places.

use std::collections::{BTreeMap, BTreeSet};

use haetae_core::{Account, ExchangeId, WalletRole};
use thiserror::Error;

use crate::terms::Terms;

/// What the chain says about an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AccountFacts {
    /// It has code of its own. A delegation (EIP-7702) is none.
    pub(crate) contract: bool,
    /// Transactions it has sent.
    pub(crate) degree: u64,
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

/// The chain has not been asked about an account that money leads to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("an account's facts are needed first")]
pub(crate) struct FactsMissing(pub(crate) Account);

/// Everything known to one watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Knowledge {
    known: BTreeMap<Account, Known>,
    questions: u32,
    admitted: u32,
    /// To whom money was ever traced from each account.
    paid: BTreeMap<Account, BTreeSet<Account>>,
    unsaved: BTreeSet<Account>,
}

impl Knowledge {
    pub(crate) fn restore(terms: &Terms, known: BTreeMap<Account, Known>) -> Self {
        let asked = known.values().filter(|known| known.standing != Standing::NotAsked).count();
        let admitted = known.values().filter(|known| known.admitted).count();
        let questions = count(asked).saturating_mul(terms.exchanges);
        Self { known, questions, admitted: count(admitted), ..Self::default() }
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
    pub(crate) fn reach(
        &mut self,
        terms: &Terms,
        account: &Account,
        facts: impl FnOnce(&Account) -> Option<AccountFacts>,
    ) -> Result<bool, FactsMissing> {
        if self.known.contains_key(account) {
            return Ok(false);
        }
        let facts = facts(account).ok_or_else(|| FactsMissing(account.clone()))?;
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
        Ok(ask)
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
        self.paid.entry(from.clone()).or_default().insert(to.clone());
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
