//! The tracing decision: where the stolen money went, as a fold over the transfers out of accounts under watch, and where
//! the rule needs it, into them.
//!
//! What part of a transfer is traced is the rule's to say (`taint.rs`), in the order of the chain. What the fold says
//! depends on nothing but the terms, the transfers that are in the chain, and what is known of the accounts. So a
//! reorganisation, or an answer that comes late, is the same fold over other inputs.

mod pool;

use std::collections::BTreeMap;

use bitcoin::OutPoint;
use haetae_core::{Account, Amount, Asset, Crossing, Moment, TransferId, TransferIndex};

use self::pool::Coin;
#[cfg(test)]
pub(crate) use self::pool::laws as laws_of_pools;
pub(crate) use self::pool::{Input, Output, Part, Payer, Pool};

use crate::knowledge::{Holder, Knowledge, Look, Missing, Standing};
use crate::taint::{Parcel, Purse};
use crate::terms::Terms;

/// A transfer out of an account under watch, or into it, as it stands in the chain. What a transaction costs is one that
/// nobody receives: it names its payer twice.
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

impl Sighting {
    pub(crate) fn is_fee(&self) -> bool {
        self.transfer.index == TransferIndex::Fee
    }
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
    /// Traced money was spent on a transaction.
    Fee { traced: Amount },
    /// Traced money moved.
    Hop(Hop),
    /// It moves less than is worth following; its payee is left alone.
    Dust { traced: Amount },
    /// It shows that its payer pays too many to be followed: what was traced there ends there.
    ServiceLike { left: Amount },
    /// Traced money was paid to a script that has no address.
    NoAddress { traced: Amount },
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
    /// All that brought traced money to the transaction, in the order of its inputs, where it was more than one account.
    pub(crate) payers: Vec<Payer>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EndReason {
    Contract,
    ServiceLike,
    HopLimit,
    AddressLimit,
    QuestionLimit,
    /// No node could say what lay there before.
    BalanceUnknown,
    /// It was paid to a script that has no address.
    NoAddress,
    /// A label says that money goes in there and comes out elsewhere.
    Crossing(Crossing),
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
    /// What lies at accounts, as far as the rule has to know.
    purses: BTreeMap<Account, BTreeMap<Asset, Purse>>,
    /// Outputs that carry traced money, where money is kept in outputs.
    coins: BTreeMap<OutPoint, Coin>,
    /// What ended on the way: as dust, as fees, or at payers that showed to be services; and what was not at the root.
    lost: BTreeMap<Asset, Amount>,
    /// Of that, what had ended at accounts and left them later; nobody followed it.
    left: BTreeMap<(Account, Asset, EndReason), Amount>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    depth: u32,
    reached: Reached,
    /// An open question lies before some of what it holds.
    provisional: bool,
}

impl Node {
    fn lying<'a>(&self, account: &'a Account, asset: &'a Asset, reached: Reached, traced: Amount) -> Lying<'a> {
        Lying { account, asset, traced, reached, depth: self.depth, provisional: self.provisional }
    }
}

/// Where the stolen amount of one asset is. The parts add up to it under every rule but poison. Poison multiplies: there
/// each part is the sum of all that moved after the stolen money had come, and they add up to the stolen amount at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) stolen: Amount,
    pub(crate) arrived: Amount,
    /// Still at accounts under watch, the root included.
    pub(crate) in_flight: Amount,
    pub(crate) ended: Amount,
}

impl Trail {
    /// Everything is still at the root, as far as it is there; it came last of what lies there.
    pub(crate) fn begin(terms: &Terms, knowledge: &Knowledge) -> Self {
        let account = &terms.root.account;
        let root = Node { depth: 0, reached: Reached::Followed, provisional: false };
        let nodes = BTreeMap::from([(account.clone(), root)]);
        let (purses, coins) = (BTreeMap::new(), BTreeMap::new());
        let mut trail = Self { nodes, purses, coins, lost: BTreeMap::new(), left: BTreeMap::new() };
        for (asset, stolen) in &terms.stolen {
            let balance = knowledge.opening(account, asset).and_then(|opening| opening.balance);
            let here = balance.map_or(*stolen, |balance| balance.min(*stolen));
            let others = balance.unwrap_or(here).saturating_sub(here);
            trail.lose(asset, stolen.saturating_sub(here));
            let mut purse = Purse::open(terms.rule_at_root(), others);
            purse.receive(Parcel::traced_only(here));
            trail.put(account, asset, purse);
        }
        trail
    }

    /// The accounts whose transfers matter: money was traced to them and is followed from there.
    pub(crate) fn followed(&self) -> impl Iterator<Item = &Account> {
        self.nodes.iter().filter(|(_, node)| node.reached == Reached::Followed).map(|(account, _)| account)
    }

    pub(crate) fn follows(&self, account: &Account) -> bool {
        self.nodes.get(account).is_some_and(|node| node.reached == Reached::Followed)
    }

    /// Whether a payment of an asset by an account may carry traced money.
    pub(crate) fn may_carry(&self, account: &Account, asset: &Asset) -> bool {
        self.follows(account) && self.purse(account, asset).is_some_and(Purse::is_touched)
    }

    /// What of an asset is traced to an account and still there.
    #[cfg(test)]
    pub(crate) fn left(&self, account: &Account, asset: &Asset) -> Amount {
        self.purse(account, asset).map(Purse::traced).unwrap_or_default()
    }

    /// Takes in the next transfer of the chain.
    pub(crate) fn step(
        &mut self,
        terms: &Terms,
        knowledge: &mut Knowledge,
        sighting: &Sighting,
        look: &impl Look,
    ) -> Result<Step, Missing> {
        let Sighting { from, to, asset, amount, .. } = sighting;
        let mut payment = self.payment(terms, knowledge, sighting);
        let traced = payment.traced;
        let carries = !traced.is_zero() && self.follows(from);
        let root = *to == terms.root.account;
        if sighting.is_fee() || !carries {
            if !carries {
                self.leave(from, asset, traced);
            }
            self.settle(terms, knowledge, sighting, payment);
            let outcome = if carries { Outcome::Fee { traced } } else { Outcome::Untraced };
            return Ok(Step { outcome, ask: false });
        }
        // Where other money is told from traced, a payment is worth what is traced of it.
        let dust = terms.is_dust(asset, if terms.needs_balances() { traced } else { *amount });
        let too_many = !dust && knowledge.pays_too_many(terms, from, to);
        if dust || too_many {
            let left = match &mut payment.purse {
                Some(purse) if too_many => purse.forget(),
                _ => Amount::ZERO,
            };
            payment.traced = traced.saturating_add(left);
            let left = payment.traced;
            self.settle(terms, knowledge, sighting, payment);
            let outcome = if too_many { Outcome::ServiceLike { left } } else { Outcome::Dust { traced } };
            return Ok(Step { outcome, ask: false });
        }

        // The only things that can fail come before anything changes.
        let opening = knowledge.opening_of(terms, to, asset, look)?;
        let ask = !root && knowledge.reach(terms, to, look)?;

        if let Some(opening) = opening {
            knowledge.open(to, asset, opening);
        }
        knowledge.note_payment(from, to);
        self.put_back(from, asset, payment.purse);
        let (depth, before) = self.nodes.get(from).map_or((1, false), |payer| (payer.depth + 1, payer.provisional));
        let provisional = before || knowledge.is_open(from);
        let shortest = self.nodes.get(to).map_or(depth, |node| node.depth.min(depth));
        let reached = if root { Reached::Followed } else { reached(terms, knowledge, to, shortest) };
        let payee = self.nodes.entry(to.clone()).or_insert_with(|| Node {
            depth: shortest,
            reached: reached.clone(),
            provisional: false,
        });
        payee.depth = shortest;
        payee.reached = reached.clone();
        payee.provisional |= provisional;

        let unknown = opening.is_some_and(|opening| opening.balance.is_none());
        let reached = match reached {
            Reached::Followed if unknown => Reached::Ended(EndReason::BalanceUnknown),
            reached => reached,
        };
        let mut purse = self.taken(terms, knowledge, to, asset);
        purse.receive(payment.parcel);
        self.put(to, asset, purse);
        Ok(Step { outcome: Outcome::Hop(Hop { depth, traced, provisional, reached, payers: Vec::new() }), ask })
    }

    /// What a transfer moves, and its payer's purse after it, which is not put back yet.
    fn payment(&self, terms: &Terms, knowledge: &Knowledge, sighting: &Sighting) -> Payment {
        let Sighting { from, to, asset, amount, place, .. } = sighting;
        let pays = (from != to || sighting.is_fee())
            && match terms.needs_balances() {
                true => knowledge.counts_at(terms, from, asset, *place),
                false => self.follows(from),
            };
        if !pays {
            return Payment { purse: None, parcel: Parcel::clean(*amount), traced: Amount::ZERO };
        }
        let mut purse = self.taken(terms, knowledge, from, asset);
        let parcel = purse.pay(*amount);
        Payment { purse: Some(purse), traced: parcel.traced(), parcel }
    }

    /// A payment whose traced part goes no further.
    fn settle(&mut self, terms: &Terms, knowledge: &Knowledge, sighting: &Sighting, payment: Payment) {
        let Sighting { from, to, asset, amount, place, .. } = sighting;
        self.put_back(from, asset, payment.purse);
        self.lose(asset, payment.traced);
        if from != to && knowledge.counts_at(terms, to, asset, *place) {
            let mut purse = self.taken(terms, knowledge, to, asset);
            purse.receive(Parcel::clean(*amount));
            self.put(to, asset, purse);
        }
    }

    /// Where the stolen amounts are now.
    pub(crate) fn totals(&self, terms: &Terms, knowledge: &Knowledge) -> BTreeMap<Asset, Totals> {
        let mut totals: BTreeMap<Asset, Totals> = terms
            .stolen
            .iter()
            .map(|(asset, stolen)| {
                let ended = self.lost.get(asset).copied().unwrap_or_default();
                (asset.clone(), Totals { stolen: *stolen, ended, ..Totals::default() })
            })
            .collect();
        for lying in self.at_accounts(knowledge) {
            let Some(totals) = totals.get_mut(lying.asset) else { continue };
            let part = match lying.reached {
                Reached::Held(_) => &mut totals.arrived,
                Reached::Followed => &mut totals.in_flight,
                Reached::Ended(_) => &mut totals.ended,
            };
            *part = part.saturating_add(lying.traced);
        }
        totals
    }

    /// Where traced money lies now or ended, and why it is not followed on from there.
    pub(crate) fn lying<'a>(&'a self, knowledge: &'a Knowledge) -> Vec<Lying<'a>> {
        let mut lying: Vec<Lying<'_>> = self.at_accounts(knowledge).collect();
        // It ended there, wherever it is now.
        for ((account, asset, reason), left) in &self.left {
            let (Some(node), reached) = (self.nodes.get(account), Reached::Ended(*reason)) else { continue };
            let same = |one: &&mut Lying<'_>| one.account == account && one.asset == asset && one.reached == reached;
            match lying.iter_mut().find(same) {
                Some(one) => one.traced = one.traced.saturating_add(*left),
                None => lying.push(node.lying(account, asset, reached, *left)),
            }
        }
        lying
    }

    /// What of it is still there.
    fn at_accounts<'a>(&'a self, knowledge: &'a Knowledge) -> impl Iterator<Item = Lying<'a>> {
        self.lies().filter(|(.., traced)| !traced.is_zero()).map(move |(account, node, asset, traced)| {
            let unknown = knowledge.opening(account, asset).is_some_and(|opening| opening.balance.is_none());
            let reached = match &node.reached {
                Reached::Followed if unknown => Reached::Ended(EndReason::BalanceUnknown),
                reached => reached.clone(),
            };
            node.lying(account, asset, reached, traced)
        })
    }

    /// Transfers from the root to an account, by the shortest way.
    pub(crate) fn depth(&self, account: &Account) -> Option<u32> {
        self.nodes.get(account).map(|node| node.depth)
    }

    /// Where traced money lies, whether it is followed from there or not, and how much.
    fn lies(&self) -> impl Iterator<Item = (&Account, &Node, &Asset, Amount)> {
        let in_purses = self
            .purses
            .iter()
            .flat_map(|(account, purses)| purses.iter().map(move |(asset, purse)| (account, asset, purse.traced())));
        let in_coins = self.coins.values().map(|coin| (&coin.account, &coin.asset, coin.parcel.traced()));
        let mut lying: BTreeMap<(&Account, &Asset), Amount> = BTreeMap::new();
        for (account, asset, traced) in in_purses.chain(in_coins) {
            let here = lying.entry((account, asset)).or_default();
            *here = here.saturating_add(traced);
        }
        lying
            .into_iter()
            .filter_map(|((account, asset), traced)| Some((account, self.nodes.get(account)?, asset, traced)))
    }

    fn purse(&self, account: &Account, asset: &Asset) -> Option<&Purse> {
        self.purses.get(account)?.get(asset)
    }

    /// What lies at an account, to be changed and put back.
    fn taken(&self, terms: &Terms, knowledge: &Knowledge, account: &Account, asset: &Asset) -> Purse {
        let opened = || {
            let before = knowledge.opening(account, asset).and_then(|opening| opening.balance);
            Purse::open(terms.rule, before.unwrap_or_default())
        };
        self.purse(account, asset).cloned().unwrap_or_else(opened)
    }

    fn put(&mut self, account: &Account, asset: &Asset, purse: Purse) {
        self.purses.entry(account.clone()).or_default().insert(asset.clone(), purse);
    }

    fn put_back(&mut self, account: &Account, asset: &Asset, purse: Option<Purse>) {
        if let Some(purse) = purse {
            self.put(account, asset, purse);
        }
    }

    /// Notes that money leaves an account at which it had ended.
    fn leave(&mut self, account: &Account, asset: &Asset, traced: Amount) {
        let Some(Reached::Ended(reason)) = self.nodes.get(account).map(|node| &node.reached) else { return };
        if !traced.is_zero() {
            let left = self.left.entry((account.clone(), asset.clone(), *reason)).or_default();
            *left = left.saturating_add(traced);
        }
    }

    fn lose(&mut self, asset: &Asset, traced: Amount) {
        let lost = self.lost.entry(asset.clone()).or_default();
        *lost = lost.saturating_add(traced);
    }
}

/// Traced money at an account that it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lying<'a> {
    pub(crate) account: &'a Account,
    pub(crate) asset: &'a Asset,
    pub(crate) traced: Amount,
    pub(crate) reached: Reached,
    pub(crate) depth: u32,
    pub(crate) provisional: bool,
}

/// What leaves an account.
struct Payment {
    /// The payer's after it; none where what leaves does not count.
    purse: Option<Purse>,
    parcel: Parcel,
    traced: Amount,
}

/// What an account is to money that comes to it. Who holds it comes before everything else: contracts and busy accounts
/// are asked about too, since exchanges take deposits at contracts. A label says more than that there is code.
fn reached(terms: &Terms, knowledge: &mut Knowledge, account: &Account, depth: u32) -> Reached {
    let Some(known) = knowledge.get(account) else {
        return Reached::Ended(EndReason::QuestionLimit);
    };
    match &known.standing {
        Standing::Held(holder) => Reached::Held(holder.clone()),
        _ if let Some(label) = known.facts.label => Reached::Ended(EndReason::Crossing(label.crossing)),
        Standing::NotAsked => Reached::Ended(EndReason::QuestionLimit),
        Standing::Open | Standing::NotHeld => {
            if known.facts.contract {
                Reached::Ended(EndReason::Contract)
            } else if known.facts.is_busy(terms) {
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
