//! All watches of one chain in memory, and which of them a transfer concerns: two looks by a keyed hash, whatever the
//! number of watches.

mod outputs;
mod waiting;
mod watching;

use std::collections::{BTreeSet, HashMap, HashSet};

use alloy_primitives::Address;
use haetae_core::{Account, Amount, Asset, ChainId, Moment, TransferId, WatchId};

use self::outputs::Outputs;
pub(crate) use self::outputs::made_in;
pub(crate) use self::waiting::Foreseen;
use self::watching::Watching;
use crate::asked::{Asked, Needed, Needs};
use crate::knowledge::{AccountFacts, Look, Missing, Opening};
use crate::source::{BalanceAt, Block, Body, Payments, Transfer};
use crate::trail::{Place, Sighting};
use crate::voice::Found;
use crate::watched::{News, Watched};

#[derive(Debug)]
pub(crate) struct Book {
    chain: ChainId,
    watches: HashMap<WatchId, Watched>,
    /// Accounts whose payments matter. May name watches that do not follow the account any more: they are asked before it
    /// counts.
    payers: Watching<Address>,
    /// Accounts to whom payments matter as well; likewise.
    payees: Watching<Address>,
    outputs: Outputs,
    /// Watches that have to know what lies at their root before the next block.
    unopened: BTreeSet<WatchId>,
}

/// What was asked, as it bears on one transfer of a block.
struct Before<'a> {
    block: &'a Block,
    position: u32,
    asked: &'a Asked,
}

impl Look for Before<'_> {
    fn facts(&self, account: &Account) -> Option<AccountFacts> {
        self.asked.facts.get(&account.bytes()?).copied()
    }

    /// What lay there before the block, and what the block itself moved before the transfer.
    fn opening(&self, account: &Account, asset: &Asset) -> Option<Opening> {
        let (account, token) = (account.bytes()?, asset.contract());
        let before = *self.asked.balances.get(&BalanceAt { account, token, block: self.block.parent })?;
        let earlier =
            self.block.transfers().iter().take(self.position as usize).filter(|earlier| earlier.token == token);
        let balance = before.map(|before| {
            earlier.fold(before, |balance, earlier| match (earlier.from == account, earlier.to == account) {
                (true, _) => balance.saturating_sub(earlier.amount),
                (false, true) => balance.saturating_add(earlier.amount),
                (false, false) => balance,
            })
        });
        let since = Place { block: self.block.at.number, position: self.position };
        Some(Opening { since, balance: balance.map(Amount::from_u256) })
    }
}

impl Book {
    pub(crate) fn new(chain: ChainId) -> Self {
        Self {
            chain,
            watches: HashMap::new(),
            payers: Watching::default(),
            payees: Watching::default(),
            outputs: Outputs::default(),
            unopened: BTreeSet::new(),
        }
    }

    pub(crate) fn put(&mut self, watched: Watched) {
        let id = watched.terms().watch;
        self.remove(id);
        let followed: Vec<Address> = watched.followed().filter_map(Account::bytes).collect();
        let counted: Vec<Address> = watched.counted().filter_map(Account::bytes).collect();
        if watched.unopened().next().is_some() {
            self.unopened.insert(id);
        }
        self.outputs.enter(id, &watched);
        self.watches.insert(id, watched);
        for account in followed {
            self.payers.enter(account, id);
        }
        for account in counted {
            self.enter_payee(account, id);
        }
    }

    pub(crate) fn remove(&mut self, id: WatchId) {
        self.watches.remove(&id);
        self.unopened.remove(&id);
        self.payers.remove(id);
        self.payees.remove(id);
        self.outputs.remove(id);
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = WatchId> {
        self.watches.keys().copied()
    }

    pub(crate) fn get(&self, id: WatchId) -> Option<&Watched> {
        self.watches.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: WatchId) -> Option<&mut Watched> {
        self.watches.get_mut(&id)
    }

    /// What to look for in blocks, where nothing matters in them but payments of tokens by accounts under watch.
    pub(crate) fn payments(&self) -> Option<Payments> {
        let mut payments = Payments::default();
        for watched in self.watches.values() {
            let tokens = watched.terms().stolen.keys().map(Asset::contract);
            let tokens: Option<Vec<Address>> = tokens.collect();
            payments.of.extend(tokens.filter(|_| !watched.terms().needs_balances())?);
            payments.by.extend(watched.followed().filter_map(Account::bytes));
        }
        Some(payments)
    }

    /// What has to be asked about before these blocks can be taken in: accounts that money may come to and of which nothing
    /// is known yet, and what lies at them. Along a way within a block it names too many rather than too few.
    pub(crate) fn needs(&self, blocks: &[Block]) -> Needs {
        let mut needs = Needs::default();
        if let Some(first) = blocks.first() {
            let roots = self.unopened.iter().filter_map(|id| self.watches.get(id));
            let roots = roots.filter(|watched| has_begun(watched, first));
            needs.balances.extend(roots.flat_map(|watched| at_root(watched, first)).map(|(_, at)| at));
        }
        for block in blocks {
            let mut reached = HashSet::new();
            let mut counting = HashSet::new();
            for transfer in block.transfers().iter().filter(|transfer| !transfer.is_fee()) {
                let (facts, balance) = self.leads_on(transfer);
                if facts || reached.contains(&transfer.from) {
                    reached.insert(transfer.to);
                    needs.facts.insert(transfer.to);
                }
                if balance || counting.contains(&(transfer.from, transfer.token)) {
                    counting.insert((transfer.to, transfer.token));
                    let (account, token) = (transfer.to, transfer.token);
                    needs.balances.insert(BalanceAt { account, token, block: block.parent });
                }
            }
        }
        self.needs_outputs(blocks, &mut needs);
        needs
    }

    /// Whether a transfer brings money to an account whose facts, and whose balance, have to be known.
    fn leads_on(&self, transfer: &Transfer) -> (bool, bool) {
        let mut ids = self.payers.watches(&transfer.from).peekable();
        if ids.peek().is_none() {
            return (false, false);
        }
        let Some((from, to, asset)) = self.named(transfer) else { return (false, false) };
        let amount = Amount::from_u256(transfer.amount);
        let mut needed = (false, false);
        for watched in ids.filter_map(|id| self.watches.get(&id)) {
            if watched.may_carry(&from, &asset) && !watched.terms().is_dust(&asset, amount) {
                needed.0 |= watched.knowledge().get(&to).is_none();
                needed.1 |= watched.terms().needs_balances() && watched.knowledge().opening(&to, &asset).is_none();
            }
        }
        needed
    }

    /// Matches a block, in its order; each account that money comes to is under watch before the next transfer. Gives the
    /// watches that found something.
    ///
    /// # Errors
    /// When the chain has to be asked something. The book is then to be thrown away.
    pub(crate) fn take_in(
        &mut self,
        block: &Block,
        seen_at: Moment,
        asked: &Asked,
    ) -> Result<BTreeSet<WatchId>, Needed> {
        match &block.body {
            Body::Transfers(_) => self.take_in_transfers(block, seen_at, asked),
            Body::Transactions(_) => self.take_in_transactions(block, seen_at, asked),
        }
    }

    fn take_in_transfers(
        &mut self,
        block: &Block,
        seen_at: Moment,
        asked: &Asked,
    ) -> Result<BTreeSet<WatchId>, Needed> {
        let mut touched = self.open_roots(block, asked)?;
        for (transfer, position) in block.transfers().iter().zip(0u32..) {
            let payers = self.payers.watches(&transfer.from);
            let ids: BTreeSet<WatchId> = payers.chain(self.payees.watches(&transfer.to)).collect();
            if ids.is_empty() {
                continue;
            }
            let Some(sighting) = self.sighting(block, transfer, position, seen_at) else { continue };
            for id in ids {
                let Some(watched) = self.watches.get_mut(&id) else { continue };
                let look = Before { block, position, asked };
                if watched.see(sighting.clone(), &look).map_err(|missing| needed(&missing, block, transfer))? {
                    touched.insert(id);
                    let (follows, counts) =
                        (watched.follows(&sighting.to), watched.counts(&sighting.to, &sighting.asset));
                    if follows {
                        self.payers.enter(transfer.to, id);
                    }
                    if counts {
                        self.enter_payee(transfer.to, id);
                    }
                }
            }
        }
        Ok(touched)
    }

    /// Notes what lies at roots before a block, or where a watch begins within it, before that place. Gives the watches that
    /// had not known.
    fn open_roots(&mut self, block: &Block, asked: &Asked) -> Result<BTreeSet<WatchId>, Needed> {
        let due = |id: &WatchId| self.watches.get(id).is_none_or(|watched| has_begun(watched, block));
        let (due, later) = self.unopened.iter().copied().partition::<BTreeSet<_>, _>(due);
        self.unopened = later;
        for id in &due {
            let Some(watched) = self.watches.get_mut(id) else { continue };
            let before = Place { block: block.at.number.saturating_sub(1), position: u32::MAX };
            let begins = watched.terms().begins.filter(|begins| begins.block == block.at.number && begins.position > 0);
            let look = Before { block, position: begins.map_or(0, |begins| begins.position), asked };
            for (asset, at) in at_root(watched, block) {
                let opening = look.opening(&watched.terms().root.account, &asset).ok_or(Needed::Balance(at))?;
                watched.open_root(&asset, Opening { since: begins.unwrap_or(before), ..opening });
                self.payees.enter(at.account, *id);
            }
        }
        Ok(due)
    }

    /// Takes back the blocks after `fork`. Gives the watches that had found something in them.
    pub(crate) fn rewind(&mut self, fork: u64) -> BTreeSet<WatchId> {
        let touched: BTreeSet<WatchId> =
            self.watches.iter_mut().filter_map(|(id, watched)| watched.rewind(fork).then_some(*id)).collect();
        let unopened = |id: &&WatchId| self.watches.get(*id).is_some_and(|watched| watched.unopened().next().is_some());
        self.unopened.extend(touched.iter().filter(unopened));
        for (id, watched) in touched.iter().filter_map(|id| Some((*id, self.watches.get(id)?))) {
            // What was spent on the branch that is gone is not spent any more.
            self.outputs.enter_coins(id, watched);
        }
        touched
    }

    /// What a watch has to say, and under which terms; none where it is not here.
    pub(crate) fn found(&mut self, id: WatchId) -> Option<Found> {
        let news = self.settle(id);
        self.get(id).map(|watched| Found { terms: watched.terms().clone(), news })
    }

    /// What a watch has to say.
    pub(crate) fn settle(&mut self, id: WatchId) -> News {
        self.watches.get_mut(&id).map(Watched::settle).unwrap_or_default()
    }

    /// Of an account at which everything counts, payments matter both ways.
    fn enter_payee(&mut self, account: Address, id: WatchId) {
        self.payers.enter(account, id);
        self.payees.enter(account, id);
    }

    /// The payer, the payee and the asset of a transfer, as the chain spells them.
    fn named(&self, transfer: &Transfer) -> Option<(Account, Account, Asset)> {
        let account = |bytes| Account::of_bytes(self.chain.clone(), bytes);
        let asset = match transfer.token {
            None => Asset::coin(self.chain.clone()),
            Some(contract) => Asset::token(self.chain.clone(), contract),
        };
        Some((account(transfer.from)?, account(transfer.to)?, asset?))
    }

    /// The transfers of a block between accounts, in its order.
    pub(crate) fn sightings(&self, block: &Block, seen_at: Moment) -> Vec<Sighting> {
        let transfers = block.transfers().iter().zip(0u32..);
        transfers.filter_map(|(transfer, position)| self.sighting(block, transfer, position, seen_at)).collect()
    }

    fn sighting(&self, block: &Block, transfer: &Transfer, position: u32, seen_at: Moment) -> Option<Sighting> {
        let (from, to, asset) = self.named(transfer)?;
        Some(Sighting {
            transfer: TransferId {
                chain: self.chain.clone(),
                transaction: self.chain.hash(transfer.transaction),
                index: transfer.index.clone(),
            },
            from,
            to,
            asset,
            amount: Amount::from_u256(transfer.amount),
            place: Place { block: block.at.number, position },
            block_hash: self.chain.hash(block.at.hash),
            seen_at,
        })
    }
}

/// A watch begins in a block or before it.
fn has_begun(watched: &Watched, block: &Block) -> bool {
    watched.terms().begins.is_none_or(|begins| begins.block <= block.at.number)
}

/// Where it stands what lies at a watch's root before a block, as far as that has to be known.
fn at_root(watched: &Watched, block: &Block) -> Vec<(Asset, BalanceAt)> {
    let Some(account) = watched.terms().root.account.bytes() else { return Vec::new() };
    let at = |asset: &Asset| (asset.clone(), BalanceAt { account, token: asset.contract(), block: block.parent });
    watched.unopened().map(at).collect()
}

/// What is missing is always about the payee.
fn needed(missing: &Missing, block: &Block, transfer: &Transfer) -> Needed {
    match missing {
        Missing::Facts(_) => Needed::Facts(transfer.to),
        Missing::Balance(..) => {
            Needed::Balance(BalanceAt { account: transfer.to, token: transfer.token, block: block.parent })
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, U256};
    use haetae_core::TransferIndex;

    use super::*;
    use crate::scene;
    use crate::source::{BlockRef, Body};
    use crate::watched::Stored;

    fn address(n: u8) -> Address {
        scene::account(n).evm_address().unwrap()
    }

    fn block(number: u64, moves: &[(u8, u8, u64)]) -> Block {
        let transfers = moves.iter().zip(0u8..).map(|(&(from, to, amount), n)| Transfer {
            transaction: B256::with_last_byte(n + u8::try_from(number).unwrap() * 16),
            index: TransferIndex::Log(0),
            from: address(from),
            to: address(to),
            token: scene::token().contract(),
            amount: U256::from(amount),
        });
        Block {
            at: BlockRef { number, hash: B256::with_last_byte(number.try_into().unwrap()) },
            parent: B256::ZERO,
            time: Moment::UNIX_EPOCH,
            body: Body::Transfers(transfers.collect()),
        }
    }

    fn book() -> Book {
        let mut book = Book::new(scene::chain());
        book.put(Watched::restore(scene::terms(100), Stored::default()).unwrap());
        book
    }

    fn all_plain() -> Asked {
        let facts = (0..10).map(|n| (address(n), AccountFacts::default())).collect();
        Asked { facts, ..Asked::default() }
    }

    #[test]
    fn a_hop_is_under_watch_before_the_next_transfer_of_the_same_block() {
        let mut book = book();
        let id = scene::terms(100).watch;
        let block = block(1, &[(5, 6, 9), (0, 1, 100), (1, 2, 60), (2, 3, 50), (1, 4, 40)]);
        let touched = book.take_in(&block, Moment::UNIX_EPOCH, &all_plain()).unwrap();
        assert_eq!(touched, BTreeSet::from([id]));
        assert_eq!(book.settle(id).movements.len(), 4);
    }

    #[test]
    fn facts_are_wanted_along_the_whole_way_within_a_block_and_of_nobody_else() {
        let block = block(1, &[(5, 6, 9), (0, 1, 100), (1, 2, 60), (0, 7, 1)]);
        assert_eq!(book().needs(&[block]).facts, BTreeSet::from([address(1), address(2)]));
    }

    #[test]
    fn what_the_leads_name_is_enough_to_take_a_block_in() {
        let mut book = book();
        let block = block(1, &[(0, 1, 100), (1, 2, 60), (2, 1, 60), (1, 3, 90)]);
        let needs = book.needs(std::slice::from_ref(&block));
        assert!(needs.balances.is_empty(), "of a rule that needs none");
        let facts = needs.facts.into_iter().map(|account| (account, AccountFacts::default())).collect();
        let asked = Asked { facts, ..Asked::default() };
        assert!(book.take_in(&block, Moment::UNIX_EPOCH, &asked).is_ok());
        assert_eq!(book.needs(&[block]), Needs::default(), "they are known now");
    }

    #[test]
    fn a_watch_that_ended_finds_nothing() {
        let mut book = book();
        book.remove(scene::terms(100).watch);
        assert!(book.take_in(&block(1, &[(0, 1, 100)]), Moment::UNIX_EPOCH, &all_plain()).unwrap().is_empty());
        assert_eq!(book.payers.keys().count(), 0);
    }

    #[test]
    fn a_block_that_left_the_chain_leaves_nothing_under_watch() {
        let mut book = book();
        book.take_in(&block(1, &[(0, 1, 100)]), Moment::UNIX_EPOCH, &all_plain()).unwrap();
        assert_eq!(book.rewind(0).len(), 1);
        assert!(book.take_in(&block(1, &[(1, 2, 100)]), Moment::UNIX_EPOCH, &all_plain()).unwrap().is_empty());
    }
}
