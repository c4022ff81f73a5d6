//! Laws of the fold over transactions, under every rule.

use haetae_core::{Amount, TaintRule};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::scene::coins::{Ledger, coin, endowment, terms};
use crate::scene::plain;

/// A transaction to be made of what lies unspent: which outputs it spends, to whom it pays which share, and what is left
/// for the fee.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    spends: Vec<Index>,
    pays: Vec<(Option<u8>, u64)>,
    fee: u64,
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let to = prop_oneof![8 => (0u8..8).prop_map(Some), 1 => Just(None)];
    let pays = prop::collection::vec((to, 0u64..10), 1..5);
    (prop::collection::vec(any::<Index>(), 1..4), pays, 0u64..3).prop_map(|(spends, pays, fee)| Plan {
        spends,
        pays,
        fee,
    })
}

/// Makes transactions of plans, on an unspent set that everybody begins with something in.
#[derive(Clone, Debug)]
pub(crate) struct Maker {
    ledger: Ledger,
    unspent: Vec<(u32, u32)>,
    number: u32,
}

impl Default for Maker {
    fn default() -> Self {
        let endowed: Vec<(u8, u64)> = (0..8).flat_map(|n| [(n, 60 + u64::from(n)), (n, 35)]).collect();
        let unspent = (0..16).map(|place| (0, place)).collect();
        Self { ledger: endowment(&endowed), unspent, number: 0 }
    }
}

impl Maker {
    pub(crate) fn make(&mut self, block: u64, plan: &Plan) -> Option<Pool> {
        let mut spends = Vec::new();
        for index in &plan.spends {
            if !self.unspent.is_empty() {
                spends.push(self.unspent.swap_remove(index.index(self.unspent.len())));
            }
        }
        if spends.is_empty() {
            return None;
        }
        self.number += 1;
        let brought: u64 = spends.iter().map(|&(of, vout)| self.amount(of, vout)).sum();
        let left = brought.saturating_sub(plan.fee);
        let parts: u64 = plan.pays.iter().map(|(_, weight)| weight).sum::<u64>().max(1);
        let makes: Vec<_> = plan.pays.iter().map(|&(to, weight)| (to, left * weight / parts)).collect();
        let pool = self.ledger.pool(self.number, block, &spends, &makes);
        self.unspent.extend(makes.iter().zip(0u32..).map(|(_, place)| (self.number, place)));
        Some(pool)
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn go_on_from(&mut self, number: u32) {
        self.number = number;
    }

    fn amount(&self, of: u32, vout: u32) -> u64 {
        self.ledger.0[&OutPoint { txid: crate::scene::coins::txid(of), vout }].1
    }
}

fn any_terms() -> impl Strategy<Value = Terms> {
    let limits = (1u32..6, 1u32..8, 0u32..8, 1u64..5);
    (select(&TaintRule::ALL[..]), 1u64..200, limits).prop_map(|(rule, stolen, (hops, addresses, questions, degree))| {
        let mut terms = terms(rule, stolen);
        terms.limits.max_hops = hops;
        terms.limits.max_addresses = addresses;
        terms.limits.max_questions = questions;
        terms.limits.max_degree = degree;
        terms
    })
}

proptest! {
    /// To the last unit, under every rule but poison.
    #[test]
    fn no_traced_money_is_made_or_lost(terms in any_terms(), plans in prop::collection::vec(plan(), 0..40)) {
        let mut maker = Maker::default();
        let mut knowledge = Knowledge::default();
        let mut trail = Trail::begin(&terms, &knowledge);
        for (block, plan) in (1u64..).zip(&plans) {
            let Some(pool) = maker.make(block, plan) else { continue };
            let parts = trail.join(&terms, &mut knowledge, &pool, &plain).unwrap();
            for part in &parts {
                if let Outcome::Hop(hop) = &part.outcome {
                    prop_assert!(hop.depth <= terms.limits.max_hops);
                    prop_assert!(hop.traced <= part.sighting.amount);
                }
            }
            let sums = trail.totals(&terms, &knowledge)[&coin()];
            let all: Amount = [sums.arrived, sums.in_flight, sums.ended].into_iter().sum();
            match terms.rule {
                TaintRule::Poison => prop_assert!(all >= sums.stolen),
                _ => prop_assert_eq!(all, sums.stolen),
            }
        }
        prop_assert!(knowledge.questions() <= terms.limits.max_questions);
        prop_assert!(knowledge.admitted() <= terms.limits.max_addresses);
    }
}
