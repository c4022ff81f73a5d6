//! The tracing decision: where the stolen money went, as a fold over the transfers out of accounts under watch.
//!
//! A transfer traces min(what it moves, the traced amount left at its payer): traced money leaves first, in the order of
//! the chain. What the fold says depends on nothing but the terms, the transfers that are in the chain, and what is
//! known of the accounts. So a reorganisation, or an answer that comes late, is the same fold over other inputs.

use std::collections::BTreeMap;

use haetae_core::{Account, Amount, Asset, Moment, TransferId};

use crate::knowledge::{AccountFacts, FactsMissing, Holder, Knowledge, Standing};
use crate::terms::Terms;

/// A transfer out of an account under watch, as it stands in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) transfer: TransferId,
    pub(crate) from: Account,
    pub(crate) to: Account,
    pub(crate) asset: Asset,
    pub(crate) amount: Amount,
    pub(crate) place: Place,
    /// Hash of its block, as the chain prints it.
    pub(crate) block_hash: String,
    pub(crate) seen_at: Moment,
}

/// Where a transfer stands in the order of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) block: u64,
    /// Among the transfers of the block.
    pub(crate) position: u32,
}

/// What a transfer turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It moves nothing that is traced.
    Untraced,
    /// Traced money moved.
    Hop(Hop),
    /// It moves less than is worth following; its payee is left alone.
    Dust { traced: Amount },
    /// It shows that its payer pays too many to be followed: what was traced there ends there.
    ServiceLike { left: Amount },
}

/// Traced money that moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// Transfers from the root, from 1.
    pub(crate) depth: u32,
    pub(crate) traced: Amount,
    /// An open question lies before it.
    pub(crate) provisional: bool,
    pub(crate) reached: Reached,
}

/// What traced money came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// An account from where it is followed on.
    Followed,
    /// An account of an exchange.
    Held(Holder),
    /// An account beyond which it is not followed.
    Ended(EndReason),
}

/// Why a trail ends other than at an exchange, or at a transfer that is dust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    Contract,
    ServiceLike,
    HopLimit,
    AddressLimit,
    QuestionLimit,
}

/// One step of the fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) outcome: Outcome,
    /// The payee is new: exchanges are to be asked.
    pub(crate) ask: bool,
}

/// Where the money is after some transfers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trail {
    nodes: BTreeMap<Account, Node>,
    /// What ended on the way: as dust, or at payers that showed to be services.
    lost: BTreeMap<Asset, Amount>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    depth: u32,
    reached: Reached,
    /// An open question lies before some of what it holds.
    provisional: bool,
    /// Traced and still there.
    left: BTreeMap<Asset, Amount>,
}

/// Where the stolen amount of one asset is. The parts add up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) stolen: Amount,
    pub(crate) arrived: Amount,
    /// Still at accounts under watch, the root included.
    pub(crate) in_flight: Amount,
    pub(crate) ended: Amount,
}

impl Trail {
    /// Everything is still at the root.
    pub(crate) fn begin(terms: &Terms) -> Self {
        let root = Node { depth: 0, reached: Reached::Followed, provisional: false, left: terms.stolen.clone() };
        Self { nodes: BTreeMap::from([(terms.root.account.clone(), root)]), lost: BTreeMap::new() }
    }

    /// The accounts whose transfers matter: money was traced to them and is followed from there.
    pub(crate) fn followed(&self) -> impl Iterator<Item = &Account> {
        self.nodes.iter().filter(|(_, node)| node.reached == Reached::Followed).map(|(account, _)| account)
    }

    pub(crate) fn follows(&self, account: &Account) -> bool {
        self.nodes.get(account).is_some_and(|node| node.reached == Reached::Followed)
    }

    /// What of an asset is traced to an account and still there.
    pub(crate) fn left(&self, account: &Account, asset: &Asset) -> Amount {
        self.nodes.get(account).and_then(|node| node.left.get(asset)).copied().unwrap_or_default()
    }

    /// Takes in the next transfer of the chain.
    pub(crate) fn step(
        &mut self,
        terms: &Terms,
        knowledge: &mut Knowledge,
        sighting: &Sighting,
        facts: impl FnOnce(&Account) -> Option<AccountFacts>,
    ) -> Result<Step, FactsMissing> {
        let Sighting { from, to, asset, amount, .. } = sighting;
        let quiet = |outcome| Ok(Step { outcome, ask: false });
        let root = *to == terms.root.account;
        let traced = self.left(from, asset).min(*amount);
        let carries = from != to && !traced.is_zero() && self.follows(from);
        let dust = terms.is_dust(asset, *amount);
        let too_many = knowledge.pays_too_many(terms, from, to);
        // The only thing that can fail comes before anything changes.
        let ask = carries && !dust && !too_many && !root && knowledge.reach(terms, to, facts)?;
        if !carries {
            return quiet(Outcome::Untraced);
        }
        if dust {
            self.take(from, asset, traced);
            self.lose(asset, traced);
            return quiet(Outcome::Dust { traced });
        }
        if too_many {
            let left = self.left(from, asset);
            self.take(from, asset, left);
            self.lose(asset, left);
            return quiet(Outcome::ServiceLike { left });
        }

        knowledge.note_payment(from, to);
        let payer = self.take(from, asset, traced);
        let depth = payer.depth + 1;
        let provisional = payer.provisional || knowledge.is_open(from);

        let before = self.nodes.get(to);
        let shortest = before.map_or(depth, |node| node.depth.min(depth));
        let reached = if root { Reached::Followed } else { reached(terms, knowledge, to, shortest) };

        let payee = self.nodes.entry(to.clone()).or_insert_with(|| Node {
            depth: shortest,
            reached: reached.clone(),
            provisional: false,
            left: BTreeMap::new(),
        });
        payee.depth = shortest;
        payee.reached = reached.clone();
        payee.provisional |= provisional;
        let left = payee.left.entry(asset.clone()).or_default();
        *left = left.saturating_add(traced);
        Ok(Step { outcome: Outcome::Hop(Hop { depth, traced, provisional, reached }), ask })
    }

    /// Where the stolen amounts are now.
    pub(crate) fn totals(&self, terms: &Terms) -> BTreeMap<Asset, Totals> {
        let mut totals: BTreeMap<Asset, Totals> = terms
            .stolen
            .iter()
            .map(|(asset, stolen)| {
                let ended = self.lost.get(asset).copied().unwrap_or_default();
                (asset.clone(), Totals { stolen: *stolen, ended, ..Totals::default() })
            })
            .collect();
        for node in self.nodes.values() {
            for (asset, left) in &node.left {
                let Some(totals) = totals.get_mut(asset) else { continue };
                let part = match node.reached {
                    Reached::Followed => &mut totals.in_flight,
                    Reached::Held(_) => &mut totals.arrived,
                    Reached::Ended(_) => &mut totals.ended,
                };
                *part = part.saturating_add(*left);
            }
        }
        totals
    }

    #[expect(clippy::expect_used, reason = "only called for a payer whose traced amount was just read")]
    fn take(&mut self, from: &Account, asset: &Asset, traced: Amount) -> &mut Node {
        let payer = self.nodes.get_mut(from).expect("the payer is in the trail");
        if let Some(left) = payer.left.get_mut(asset) {
            *left = left.saturating_sub(traced);
        }
        payer
    }

    fn lose(&mut self, asset: &Asset, traced: Amount) {
        let lost = self.lost.entry(asset.clone()).or_default();
        *lost = lost.saturating_add(traced);
    }
}

/// What an account is to money that comes to it. Who holds it comes before everything else: contracts and busy accounts
/// are asked about too, since exchanges take deposits at contracts.
fn reached(terms: &Terms, knowledge: &mut Knowledge, account: &Account, depth: u32) -> Reached {
    let Some(known) = knowledge.get(account) else {
        return Reached::Ended(EndReason::QuestionLimit);
    };
    match &known.standing {
        Standing::Held(holder) => Reached::Held(holder.clone()),
        Standing::NotAsked => Reached::Ended(EndReason::QuestionLimit),
        Standing::Open | Standing::NotHeld => {
            if known.facts.contract {
                Reached::Ended(EndReason::Contract)
            } else if known.facts.degree > terms.limits.max_degree {
                Reached::Ended(EndReason::ServiceLike)
            } else if depth >= terms.limits.max_hops {
                Reached::Ended(EndReason::HopLimit)
            } else if !knowledge.admit(terms, account) {
                Reached::Ended(EndReason::AddressLimit)
            } else {
                Reached::Followed
            }
        }
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
