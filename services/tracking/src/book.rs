//! All watches of one chain in memory, and which of them a transfer concerns: one look by a keyed hash, whatever the
//! number of watches.

use std::collections::{BTreeSet, HashMap, HashSet};

use alloy_primitives::Address;
use haetae_core::{Account, Amount, Asset, ChainId, Moment, TransferId, WatchId};

use crate::knowledge::{AccountFacts, FactsMissing};
use crate::source::{Block, Transfer};
use crate::trail::{Place, Sighting};
use crate::watched::{News, Watched};

#[derive(Debug)]
pub(crate) struct Book {
    chain: ChainId,
    watches: HashMap<WatchId, Watched>,
    /// Accounts under watch. May name watches that do not follow the account any more: they are asked before it counts.
    index: HashMap<Address, HashSet<WatchId>>,
    indexed: HashMap<WatchId, HashSet<Address>>,
}

impl Book {
    pub(crate) fn new(chain: ChainId) -> Self {
        Self { chain, watches: HashMap::new(), index: HashMap::new(), indexed: HashMap::new() }
    }

    pub(crate) fn put(&mut self, watched: Watched) {
        let id = watched.terms().watch;
        self.remove(id);
        let followed: Vec<Address> = watched.followed().filter_map(Account::evm_address).collect();
        self.watches.insert(id, watched);
        for account in followed {
            self.enter(account, id);
        }
    }

    pub(crate) fn remove(&mut self, id: WatchId) {
        self.watches.remove(&id);
        for account in self.indexed.remove(&id).unwrap_or_default() {
            if let Some(watches) = self.index.get_mut(&account) {
                watches.remove(&id);
                if watches.is_empty() {
                    self.index.remove(&account);
                }
            }
        }
    }

    pub(crate) fn get(&self, id: WatchId) -> Option<&Watched> {
        self.watches.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: WatchId) -> Option<&mut Watched> {
        self.watches.get_mut(&id)
    }

    /// Accounts that money may come to in this block and of which nothing is known yet: their facts will be needed. Along
    /// a way within the block it names too many rather than too few.
    pub(crate) fn leads(&self, block: &Block) -> BTreeSet<Address> {
        let mut leads = BTreeSet::new();
        for transfer in &block.transfers {
            let further = leads.contains(&transfer.from);
            if further || self.index.contains_key(&transfer.from) && self.leads_on(transfer) {
                leads.insert(transfer.to);
            }
        }
        leads
    }

    fn leads_on(&self, transfer: &Transfer) -> bool {
        let Some(ids) = self.index.get(&transfer.from) else { return false };
        let (from, to) = (self.account(transfer.from), self.account(transfer.to));
        let (asset, amount) = (self.asset(transfer), Amount::from_u256(transfer.amount));
        ids.iter().filter_map(|id| self.watches.get(id)).any(|watched| {
            watched.concerns(&from, &asset)
                && !watched.terms().is_dust(&asset, amount)
                && watched.knowledge().get(&to).is_none()
        })
    }

    /// Matches a block, in its order; each account that money comes to is under watch before the next transfer. Gives the
    /// watches that found something.
    ///
    /// # Errors
    /// When the facts of an account are needed. The book is then to be thrown away.
    pub(crate) fn take_in(
        &mut self,
        block: &Block,
        now: Moment,
        facts: &HashMap<Address, AccountFacts>,
    ) -> Result<BTreeSet<WatchId>, FactsMissing> {
        let mut touched = BTreeSet::new();
        for (transfer, position) in block.transfers.iter().zip(0u32..) {
            let Some(ids) = self.index.get(&transfer.from) else { continue };
            let ids: Vec<WatchId> = ids.iter().copied().collect();
            let sighting = self.sighting(block, transfer, position, now);
            for id in ids {
                let Some(watched) = self.watches.get_mut(&id) else { continue };
                let look = |_: &Account| facts.get(&transfer.to).copied();
                if watched.see(sighting.clone(), look)? {
                    touched.insert(id);
                    if watched.follows(&sighting.to) {
                        self.enter(transfer.to, id);
                    }
                }
            }
        }
        Ok(touched)
    }

    /// Takes back the blocks after `fork`. Gives the watches that had found something in them.
    pub(crate) fn rewind(&mut self, fork: u64) -> BTreeSet<WatchId> {
        self.watches.iter_mut().filter_map(|(id, watched)| watched.rewind(fork).then_some(*id)).collect()
    }

    /// What a watch has to say.
    pub(crate) fn settle(&mut self, id: WatchId) -> News {
        self.watches.get_mut(&id).map(Watched::settle).unwrap_or_default()
    }

    fn enter(&mut self, account: Address, id: WatchId) {
        self.index.entry(account).or_default().insert(id);
        self.indexed.entry(id).or_default().insert(account);
    }

    fn account(&self, address: Address) -> Account {
        Account::evm(self.chain.clone(), address)
    }

    fn asset(&self, transfer: &Transfer) -> Asset {
        match transfer.token {
            None => Asset::evm_native(self.chain.clone()),
            Some(contract) => Asset::erc20(self.chain.clone(), contract),
        }
    }

    fn sighting(&self, block: &Block, transfer: &Transfer, position: u32, now: Moment) -> Sighting {
        Sighting {
            transfer: TransferId {
                chain: self.chain.clone(),
                transaction: transfer.transaction.to_string(),
                index: transfer.index.clone(),
            },
            from: self.account(transfer.from),
            to: self.account(transfer.to),
            asset: self.asset(transfer),
            amount: Amount::from_u256(transfer.amount),
            place: Place { block: block.at.number, position },
            block_hash: block.at.hash.to_string(),
            seen_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use alloy_primitives::{B256, U256};
    use haetae_core::TransferIndex;

    use super::*;
    use crate::scene;
    use crate::source::BlockRef;

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
            transfers: transfers.collect(),
        }
    }

    fn book() -> Book {
        let mut book = Book::new(scene::chain());
        book.put(Watched::restore(scene::terms(100), BTreeMap::new(), Vec::new()).unwrap());
        book
    }

    fn all_plain() -> HashMap<Address, AccountFacts> {
        (0..10).map(|n| (address(n), AccountFacts::default())).collect()
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
        assert_eq!(book().leads(&block), BTreeSet::from([address(1), address(2)]));
    }

    #[test]
    fn what_the_leads_name_is_enough_to_take_a_block_in() {
        let mut book = book();
        let block = block(1, &[(0, 1, 100), (1, 2, 60), (2, 1, 60), (1, 3, 90)]);
        let facts = book.leads(&block).into_iter().map(|a| (a, AccountFacts::default())).collect();
        assert!(book.take_in(&block, Moment::UNIX_EPOCH, &facts).is_ok());
        assert!(book.leads(&block).is_empty(), "they are known now");
    }

    #[test]
    fn a_watch_that_ended_finds_nothing() {
        let mut book = book();
        book.remove(scene::terms(100).watch);
        assert!(book.take_in(&block(1, &[(0, 1, 100)]), Moment::UNIX_EPOCH, &all_plain()).unwrap().is_empty());
        assert!(book.index.is_empty());
    }

    #[test]
    fn a_block_that_left_the_chain_leaves_nothing_under_watch() {
        let mut book = book();
        book.take_in(&block(1, &[(0, 1, 100)]), Moment::UNIX_EPOCH, &all_plain()).unwrap();
        assert_eq!(book.rewind(0).len(), 1);
        assert!(book.take_in(&block(1, &[(1, 2, 100)]), Moment::UNIX_EPOCH, &all_plain()).unwrap().is_empty());
    }
}
