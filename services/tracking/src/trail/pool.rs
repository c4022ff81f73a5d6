//! Money that is kept in outputs. A transaction is a pool: it joins what its inputs bring and parts it among its outputs,
//! and what part of each is traced is the rule's to say (`taint.rs`).
//!
//! Every output that carries traced money is a coin of its own, so that nothing has to be known of what else lies at an
//! address. Only at the root it is not known which coins are the stolen ones: whatever is spent there carries stolen money
//! first, until it is used up, and traced money that comes back joins it.

use std::collections::BTreeMap;

use bitcoin::{OutPoint, Txid};
use haetae_core::{Account, Amount, Asset, Moment, TransferId, TransferIndex};

use super::{Hop, Node, Outcome, Place, Reached, Sighting, Trail, reached};
use crate::knowledge::{AccountFacts, Knowledge, Look, Missing};
use crate::taint::{Parcel, through};
use crate::terms::Terms;

/// A transaction, as it stands in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    /// The chain's own coin.
    pub(crate) asset: Asset,
    pub(crate) id: Txid,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<Output>,
    /// Its place among the transactions of the block.
    pub(crate) place: Place,
    /// Hash of its block, as the chain prints it.
    pub(crate) block_hash: String,
    pub(crate) seen_at: Moment,
}

/// An output that a transaction spends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) spends: OutPoint,
    /// None where the output's script has no address.
    pub(crate) account: Option<Account>,
    pub(crate) amount: Amount,
}

/// An output that a transaction makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// None where its script has no address: notes, and what is paid to a bare key or script.
    pub(crate) account: Option<Account>,
    pub(crate) amount: Amount,
}

/// An account that brings traced money to a transaction, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payer {
    pub(crate) account: Account,
    pub(crate) traced: Amount,
}

/// An output that carries traced money and was not spent; or not that it mattered, where the trail ends at its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coin {
    pub(super) account: Account,
    pub(super) asset: Asset,
    pub(super) parcel: Parcel,
}

/// A part of a transaction that is traced: an output, or the fee. Change is none: it has not moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) sighting: Sighting,
    pub(crate) outcome: Outcome,
    /// The payee is new: exchanges are to be asked.
    pub(crate) ask: bool,
}

/// What the accounts that bring traced money have in common.
struct Before {
    payers: Vec<Payer>,
    /// Of the hops that follow.
    depth: u32,
    /// An open question lies before some of it.
    provisional: bool,
}

/// An output that carries traced money.
struct Paid<'a> {
    to: &'a Account,
    amount: Amount,
    traced: Amount,
    facts: AccountFacts,
}

impl Pool {
    /// What is known of the accounts that are paid and that the watch has not met.
    fn facts_of_payees(
        &self,
        terms: &Terms,
        knowledge: &Knowledge,
        look: &impl Look,
    ) -> Result<BTreeMap<&Account, AccountFacts>, Missing> {
        let payees = self.outputs.iter().filter_map(|output| output.account.as_ref());
        payees
            .filter(|to| **to != terms.root.account && knowledge.get(to).is_none())
            .map(|to| Ok((to, look.facts(to).ok_or_else(|| Missing::Facts(to.clone()))?)))
            .collect()
    }

    fn sighting(&self, index: TransferIndex, from: &Account, to: &Account, amount: Amount) -> Sighting {
        Sighting {
            transfer: TransferId { chain: self.asset.chain().clone(), transaction: self.id.to_string(), index },
            from: from.clone(),
            to: to.clone(),
            asset: self.asset.clone(),
            amount,
            place: self.place,
            block_hash: self.block_hash.clone(),
            seen_at: self.seen_at,
        }
    }
}

impl Trail {
    /// Coins that carry traced money.
    pub(crate) fn coins(&self) -> impl Iterator<Item = OutPoint> {
        self.coins.keys().copied()
    }

    /// Whose traced money a transaction moves; the first of several.
    pub(crate) fn first_mover<'a>(&'a self, terms: &'a Terms, pool: &Pool) -> Option<&'a Account> {
        let root = &terms.root.account;
        pool.inputs.iter().find_map(|input| match self.coins.get(&input.spends) {
            Some(coin) => Some(&coin.account).filter(|account| self.follows(account)),
            None => Some(root).filter(|_| self.is_of_root(terms, input) && self.may_carry(root, &pool.asset)),
        })
    }

    /// Takes in the next transaction of the chain. Gives what of it is traced.
    ///
    /// # Errors
    /// When something has to be known of a payee; nothing has changed then.
    pub(crate) fn join(
        &mut self,
        terms: &Terms,
        knowledge: &mut Knowledge,
        pool: &Pool,
        look: &impl Look,
    ) -> Result<Vec<Part>, Missing> {
        if self.first_mover(terms, pool).is_none() {
            return Ok(Vec::new());
        }
        let facts = pool.facts_of_payees(terms, knowledge, look)?;
        let mut payers = Vec::new();
        let inputs: Vec<Parcel> =
            pool.inputs.iter().map(|input| self.draw(terms, input, &pool.asset, &mut payers)).collect();
        let before = self.before(knowledge, payers);
        let Some(first) = before.payers.first().map(|payer| payer.account.clone()) else { return Ok(Vec::new()) };
        let amounts: Vec<Amount> = pool.outputs.iter().map(|output| output.amount).collect();
        let (parcels, fee) = through(terms.rule, inputs, &amounts);

        let mut parts = Vec::new();
        for ((output, parcel), place) in pool.outputs.iter().zip(parcels).zip(0u32..) {
            let traced = parcel.traced();
            if traced.is_zero() {
                continue;
            }
            let coin = OutPoint { txid: pool.id, vout: place };
            let sighting = |to: &Account| pool.sighting(TransferIndex::Output(place), &first, to, output.amount);
            let Some(to) = &output.account else {
                self.lose(&pool.asset, traced);
                parts.push(Part { sighting: sighting(&first), outcome: Outcome::NoAddress { traced }, ask: false });
                continue;
            };
            if before.payers.iter().any(|payer| payer.account == *to) {
                self.keep(terms, to, coin, parcel, &pool.asset);
                continue;
            }
            let paid = Paid { to, amount: output.amount, traced, facts: facts.get(to).copied().unwrap_or_default() };
            let (outcome, ask) = self.reach(terms, knowledge, &before, &pool.asset, &paid);
            match outcome {
                Outcome::Hop(_) => self.keep(terms, to, coin, parcel, &pool.asset),
                _ => self.lose(&pool.asset, traced),
            }
            parts.push(Part { sighting: sighting(to), outcome, ask });
        }
        let traced = fee.traced();
        if !traced.is_zero() {
            self.lose(&pool.asset, traced);
            let sighting = pool.sighting(TransferIndex::Fee, &first, &first, fee.amount());
            parts.push(Part { sighting, outcome: Outcome::Fee { traced }, ask: false });
        }
        Ok(parts)
    }

    /// What an input brings. Notes who brings what of the traced money.
    fn draw(&mut self, terms: &Terms, input: &Input, asset: &Asset, payers: &mut Vec<Payer>) -> Parcel {
        let root = &terms.root.account;
        let followed = self.coins.get(&input.spends).map(|coin| self.follows(&coin.account));
        let (account, parcel) = match followed {
            Some(true) => match self.coins.remove(&input.spends) {
                Some(coin) => (coin.account, coin.parcel),
                None => return Parcel::clean(input.amount),
            },
            // What ended there stays ended, whoever spends it.
            Some(false) => return Parcel::clean(input.amount),
            None if self.is_of_root(terms, input) => {
                let purse = self.purses.get_mut(root).and_then(|purses| purses.get_mut(asset));
                let Some(purse) = purse else { return Parcel::clean(input.amount) };
                (root.clone(), purse.pay(input.amount))
            }
            None => return Parcel::clean(input.amount),
        };
        let traced = parcel.traced();
        match payers.iter_mut().find(|payer| payer.account == account) {
            _ if traced.is_zero() => {}
            Some(payer) => payer.traced = payer.traced.saturating_add(traced),
            None => payers.push(Payer { account, traced }),
        }
        parcel
    }

    fn before(&self, knowledge: &Knowledge, payers: Vec<Payer>) -> Before {
        let nodes = || payers.iter().filter_map(|payer| self.nodes.get(&payer.account));
        let open = payers.iter().any(|payer| knowledge.is_open(&payer.account));
        Before {
            depth: nodes().map(|node| node.depth).min().unwrap_or_default() + 1,
            provisional: open || nodes().any(|node| node.provisional),
            payers,
        }
    }

    /// What traced money comes to that is paid to an account of which it was not. True where exchanges are to be asked.
    fn reach(
        &mut self,
        terms: &Terms,
        knowledge: &mut Knowledge,
        before: &Before,
        asset: &Asset,
        &Paid { to, amount, traced, facts }: &Paid<'_>,
    ) -> (Outcome, bool) {
        if terms.is_dust(asset, if terms.rule.needs_balances() { traced } else { amount }) {
            return (Outcome::Dust { traced }, false);
        }
        // Of all that pay together, not of one: else the trail would grow, past what was read, when one of them turns out
        // not to pay; and for the same reason it is not counted for one that has paid too many already.
        let payers = before.payers.iter().map(|payer| &payer.account);
        let few: Vec<&Account> = payers.filter(|from| !knowledge.pays_too_many(terms, from, to)).collect();
        if few.is_empty() {
            return (Outcome::ServiceLike { left: traced }, false);
        }
        let root = *to == terms.root.account;
        let ask = !root && knowledge.meet(terms, to, facts);
        few.into_iter().for_each(|from| knowledge.note_payment(from, to));
        let depth = self.nodes.get(to).map_or(before.depth, |node| node.depth.min(before.depth));
        let reached = if root { Reached::Followed } else { reached(terms, knowledge, to, depth) };
        let node = Node { depth, reached: reached.clone(), provisional: false };
        let payee = self.nodes.entry(to.clone()).or_insert(node);
        payee.depth = depth;
        payee.reached = reached.clone();
        payee.provisional |= before.provisional;
        let payers = if before.payers.len() > 1 { before.payers.clone() } else { Vec::new() };
        (Outcome::Hop(Hop { depth: before.depth, traced, provisional: before.provisional, reached, payers }), ask)
    }

    /// Puts traced money where it now lies.
    fn keep(&mut self, terms: &Terms, account: &Account, coin: OutPoint, parcel: Parcel, asset: &Asset) {
        let root = &terms.root.account;
        match self.purses.get_mut(root).and_then(|purses| purses.get_mut(asset)).filter(|_| account == root) {
            Some(purse) => purse.receive(parcel),
            None => {
                self.coins.insert(coin, Coin { account: account.clone(), asset: asset.clone(), parcel });
            }
        }
    }

    fn is_of_root(&self, terms: &Terms, input: &Input) -> bool {
        input.account.as_ref() == Some(&terms.root.account)
    }
}

#[cfg(test)]
pub(crate) mod laws;
#[cfg(test)]
mod tests;
