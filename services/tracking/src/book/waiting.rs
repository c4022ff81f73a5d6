//! Which of the transactions that wait would move traced money, as far as what is in the chain tells.

use std::collections::HashSet;

use haetae_core::{Amount, Asset, Moment, WatchId};

use super::outputs::{Spends, read};
use super::{Asked, Book, Needs};
use crate::source::{Body, Pending, Transaction};
use crate::trail::{Place, Pool};
use crate::waiting::{Payment, Waits};

/// A transaction that would move traced money of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foreseen {
    pub(crate) waits: Waits,
    pub(crate) payments: Vec<Payment>,
}

impl Book {
    pub(crate) fn len(&self) -> usize {
        self.watches.len()
    }

    /// What has to be known to look at a transaction that waits.
    pub(crate) fn needs_to_foresee(&self, pending: &Pending) -> Needs {
        let mut needs = Needs::default();
        if let Body::Transactions(transactions) = &pending.body {
            let (mut reached, taproot) = (Default::default(), self.outputs.any_taproot());
            for transaction in transactions {
                self.needs_of(transaction, NOWHERE, taproot, &mut reached, &mut needs);
            }
        }
        needs
    }

    /// Whose traced money a transaction would move, and to whom. It is not in the chain: no part of it is traced yet.
    pub(crate) fn foresee(&self, pending: &Pending, asked: &Asked) -> Vec<Foreseen> {
        let payments: Vec<(WatchId, Payment)> = match &pending.body {
            Body::Transfers(transfers) => {
                let paid = transfers.iter().filter(|transfer| !transfer.is_fee());
                paid.flat_map(|transfer| self.foreseen_transfer(transfer)).collect()
            }
            Body::Transactions(transactions) => {
                transactions.iter().flat_map(|transaction| self.foreseen_outputs(transaction, asked)).collect()
            }
        };
        let mut watches: Vec<WatchId> = Vec::new();
        let mut seen = HashSet::new();
        watches.extend(payments.iter().map(|(watch, _)| *watch).filter(|watch| seen.insert(*watch)));
        let of = |watch: WatchId| Foreseen {
            waits: Waits { watch, transaction: pending.id, claims: pending.claims.clone() },
            payments: payments.iter().filter(|(id, _)| *id == watch).map(|(_, payment)| payment.clone()).collect(),
        };
        watches.into_iter().map(of).collect()
    }

    fn foreseen_transfer(&self, transfer: &crate::source::Transfer) -> Vec<(WatchId, Payment)> {
        let Some((from, to, asset)) = self.named(transfer) else { return Vec::new() };
        let payment = Payment { from, to, asset, amount: Amount::from_u256(transfer.amount) };
        let concerned = |id: &WatchId| {
            self.watches.get(id).is_some_and(|watched| {
                watched.may_carry(&payment.from, &payment.asset)
                    && !watched.terms().is_dust(&payment.asset, payment.amount)
            })
        };
        self.payers.watches(&transfer.from).filter(concerned).map(|id| (id, payment.clone())).collect()
    }

    /// Change is left out, and what has no address.
    fn foreseen_outputs(&self, transaction: &Transaction, asked: &Asked) -> Vec<(WatchId, Payment)> {
        let spends = Spends { spent_in: NOWHERE, transaction, asked };
        let Some(asset) = Asset::coin(self.chain.clone()) else { return Vec::new() };
        let Ok(ids) = self.concerned(&spends, self.outputs.any_taproot()) else { return Vec::new() };
        let Ok(inputs) = spends.inputs(&asset) else { return Vec::new() };
        let outputs = transaction.body.output.iter().map(|output| read(&asset, output)).collect();
        let place = Place { block: u64::MAX, position: 0 };
        let (id, seen_at) = (transaction.id, Moment::UNIX_EPOCH);
        let pool = Pool { asset, id, inputs, outputs, place, block_hash: String::new(), seen_at };
        let mut payments = Vec::new();
        for id in ids {
            let Some(watched) = self.watches.get(&id) else { continue };
            let Some(from) = watched.first_mover(&pool) else { continue };
            for output in &pool.outputs {
                let Some(to) = output.account.clone() else { continue };
                let change = pool.inputs.iter().any(|input| input.account.as_ref() == Some(&to));
                if !change && !watched.terms().is_dust(&pool.asset, output.amount) {
                    let (asset, amount) = (pool.asset.clone(), output.amount);
                    payments.push((id, Payment { from: from.clone(), to, asset, amount }));
                }
            }
        }
        payments
    }
}

/// The block of what is in none.
const NOWHERE: alloy_primitives::B256 = alloy_primitives::B256::ZERO;
