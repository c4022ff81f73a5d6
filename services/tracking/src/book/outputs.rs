//! Where money is kept in outputs: an output that carries traced money is found by its name when it is spent, so that no
//! index of all outputs is needed. What lay at a root before is found by what spends it shows, and that is checked against
//! the output itself; where it shows nothing (Taproot), every output that is spent so has to be known.

use std::collections::{BTreeSet, HashMap, HashSet};

use alloy_primitives::B256;
use bitcoin::{OutPoint, Script, ScriptBuf, TxIn, TxOut, Txid};
use haetae_core::{Account, Amount, Asset, Moment, WatchId};

use super::{Asked, Book, Needed, Needs, Watching};
use crate::bitcoin::{may_be_taproot, revealed};
use crate::knowledge::{AccountFacts, Look, Opening};
use crate::source::{Block, Spent, Transaction};
use crate::trail::{Input, Output, Place, Pool};
use crate::watched::Watched;

/// What is looked for among the inputs of transactions.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    /// Outputs that carry traced money. May name watches for which they do not any more: they are asked before it counts.
    coins: Watching<OutPoint>,
    /// Scripts of roots.
    roots: Watching<ScriptBuf>,
    /// Watches whose root's outputs are spent without showing it.
    taproot: HashSet<WatchId>,
}

impl Outputs {
    pub(super) fn enter(&mut self, id: WatchId, watched: &Watched) {
        if let Some(script) = watched.terms().root.account.script() {
            if script.is_p2tr() {
                self.taproot.insert(id);
            }
            self.roots.enter(script, id);
            self.enter_coins(id, watched);
        }
    }

    pub(super) fn enter_coins(&mut self, id: WatchId, watched: &Watched) {
        watched.coins().for_each(|coin| self.coins.enter(coin, id));
    }

    pub(super) fn remove(&mut self, id: WatchId) {
        self.coins.remove(id);
        self.roots.remove(id);
        self.taproot.remove(&id);
    }

    pub(super) fn any_taproot(&self) -> bool {
        !self.taproot.is_empty()
    }

    /// Whether an input may spend what a root has.
    fn may_be_root(&self, input: &TxIn) -> bool {
        revealed(input).iter().any(|script| self.roots.watches(script).next().is_some())
    }
}

impl Book {
    /// Outputs that have to be known before these blocks can be taken in. Along a way within them it names too many rather
    /// than too few.
    pub(super) fn needs_outputs(&self, blocks: &[Block], needs: &mut Needs) {
        if self.watches.is_empty() {
            return;
        }
        let taproot = self.outputs.any_taproot();
        let mut reached: BTreeSet<Txid> = BTreeSet::new();
        for block in blocks {
            for transaction in block.transactions() {
                self.needs_of(transaction, block.at.hash, taproot, &mut reached, needs);
            }
        }
    }

    /// The same of one transaction in a block. `reached` are those before it that may carry traced money.
    pub(super) fn needs_of(
        &self,
        Transaction { id, body }: &Transaction,
        block: B256,
        taproot: bool,
        reached: &mut BTreeSet<Txid>,
        needs: &mut Needs,
    ) {
        if body.is_coinbase() {
            return;
        }
        let spent = |input: &TxIn| Spent { output: input.previous_output, block };
        let concerned = body.input.iter().any(|input| {
            reached.contains(&input.previous_output.txid)
                || self.outputs.coins.watches(&input.previous_output).next().is_some()
                || self.outputs.may_be_root(input)
        });
        if concerned {
            reached.insert(*id);
            needs.outputs.extend(body.input.iter().map(spent));
            needs.payees.extend(self.paid_by(body));
        } else if taproot {
            needs.outputs.extend(body.input.iter().filter(|input| may_be_taproot(input)).map(spent));
        }
    }

    fn paid_by(&self, body: &bitcoin::Transaction) -> impl Iterator<Item = Account> {
        body.output.iter().filter_map(|output| Account::of_script(self.chain.clone(), &output.script_pubkey))
    }

    /// Matches a block, in its order; each output that traced money comes to is under watch before the next transaction.
    pub(super) fn take_in_transactions(
        &mut self,
        block: &Block,
        now: Moment,
        asked: &Asked,
    ) -> Result<BTreeSet<WatchId>, Needed> {
        let mut touched = BTreeSet::new();
        let Some(asset) = Asset::coin(self.chain.clone()).filter(|_| !self.watches.is_empty()) else {
            return Ok(touched);
        };
        let taproot = self.outputs.any_taproot();
        for (transaction, position) in block.transactions().iter().zip(0u32..) {
            if transaction.body.is_coinbase() {
                continue;
            }
            let spends = Spends { spent_in: block.at.hash, transaction, asked };
            let ids = self.concerned(&spends, taproot)?;
            if ids.is_empty() {
                continue;
            }
            let pool = Pool {
                asset: asset.clone(),
                id: transaction.id,
                inputs: spends.inputs(&asset)?,
                outputs: transaction.body.output.iter().map(|output| read(&asset, output)).collect(),
                place: Place { block: block.at.number, position },
                block_hash: self.chain.hash(block.at.hash),
                seen_at: now,
            };
            for id in ids {
                let Some(watched) = self.watches.get_mut(&id) else { continue };
                let seen = watched.see_pool(pool.clone(), &Payees(asked));
                if seen.map_err(|_| Needed::Payees(payees(&pool)))? {
                    touched.insert(id);
                    let made = watched.coins().filter(|coin| coin.txid == transaction.id);
                    made.for_each(|coin| self.outputs.coins.enter(coin, id));
                }
            }
        }
        Ok(touched)
    }

    /// Watches that a transaction may concern: it spends a coin of theirs, or what it shows is their root's.
    pub(super) fn concerned(&self, spends: &Spends<'_>, taproot: bool) -> Result<BTreeSet<WatchId>, Needed> {
        let mut ids = BTreeSet::new();
        for input in &spends.transaction.body.input {
            ids.extend(self.outputs.coins.watches(&input.previous_output));
            for script in revealed(input) {
                ids.extend(self.outputs.roots.watches(&script));
            }
            if taproot && may_be_taproot(input) {
                ids.extend(self.outputs.roots.watches(&spends.output(input)?.script_pubkey));
            }
        }
        Ok(ids)
    }
}

/// What is known of those who are paid.
struct Payees<'a>(&'a Asked);

impl Look for Payees<'_> {
    fn facts(&self, account: &Account) -> Option<AccountFacts> {
        self.0.payees.get(account).copied()
    }

    fn opening(&self, _: &Account, _: &Asset) -> Option<Opening> {
        None
    }
}

fn payees(pool: &Pool) -> BTreeSet<Account> {
    pool.outputs.iter().filter_map(|output| output.account.clone()).collect()
}

/// A transaction, and what is known of what it spends.
pub(super) struct Spends<'a> {
    pub(super) spent_in: B256,
    pub(super) transaction: &'a Transaction,
    pub(super) asked: &'a Asked,
}

impl Spends<'_> {
    fn output(&self, input: &TxIn) -> Result<&TxOut, Needed> {
        self.asked.outputs.get(&input.previous_output).ok_or_else(|| {
            let spent = |input: &TxIn| Spent { output: input.previous_output, block: self.spent_in };
            Needed::Outputs(self.transaction.body.input.iter().map(spent).collect())
        })
    }

    pub(super) fn inputs(&self, asset: &Asset) -> Result<Vec<Input>, Needed> {
        let input = |input: &TxIn| {
            let Output { account, amount } = read(asset, self.output(input)?);
            Ok(Input { spends: input.previous_output, account, amount })
        };
        self.transaction.body.input.iter().map(input).collect()
    }
}

pub(super) fn read(asset: &Asset, output: &TxOut) -> Output {
    let script: &Script = &output.script_pubkey;
    let account = Account::of_script(asset.chain().clone(), script);
    Output { account, amount: Amount::from(output.value.to_sat()) }
}

/// Outputs that blocks themselves make, among those that are wanted: no node need be asked about these.
pub(crate) fn made_in(blocks: &[Block], wanted: &BTreeSet<Spent>) -> HashMap<OutPoint, TxOut> {
    let names: BTreeSet<Txid> = wanted.iter().map(|spent| spent.output.txid).collect();
    let transactions =
        blocks.iter().flat_map(Block::transactions).filter(|transaction| names.contains(&transaction.id));
    let outputs = transactions.flat_map(|Transaction { id, body }| {
        let place = |place| OutPoint { txid: *id, vout: place };
        body.output.iter().zip(0u32..).map(move |(output, at)| (place(at), output.clone()))
    });
    outputs.collect()
}

#[cfg(test)]
mod tests;
