//! The same where money is kept in outputs.

use std::collections::BTreeMap;

use haetae_core::{TaintRule, TransferId};
use proptest::prelude::*;
use proptest::sample::select;

use super::{Store, standing, told};
use crate::knowledge::Standing;
use crate::scene::coins::{account, endowment, terms};
use crate::scene::{held, plain};
use crate::terms::Terms;
use crate::trail::Pool;
use crate::trail::laws_of_pools::{Maker, Plan, plan};
use crate::watched::{News, Stored, Watched};

fn watch(terms: Terms) -> Watched {
    Watched::restore(terms, Stored::default()).unwrap()
}

fn see(watched: &mut Watched, pools: &[Pool]) -> News {
    pools.iter().for_each(|pool| {
        watched.see_pool(pool.clone(), &plain).unwrap();
    });
    watched.settle()
}

#[test]
fn an_output_that_leaves_the_chain_is_retracted_and_comes_back_as_the_same() {
    let mut ledger = endowment(&[(0, 100)]);
    let pool = ledger.pool(1, 5, &[(0, 0)], &[(Some(1), 100)]);
    let mut watched = watch(terms(TaintRule::TracedFirst, 100));
    assert_eq!(told(&see(&mut watched, std::slice::from_ref(&pool))), ["hop 1 of 100"]);
    watched.learn(&account(1), held());
    assert_eq!(told(&watched.settle()), ["arrival 1 of 100 Settled", "end 1 Held"]);
    assert!(watched.rewind(4));
    assert_eq!(told(&watched.settle()), ["1 Retracted", "arrival 1 of 100 Retracted", "no end 1 Held", "unreached"]);
    let mut again = pool;
    again.place.block = 7;
    again.block_hash = "another".to_owned();
    let news = see(&mut watched, &[again]);
    assert_eq!(told(&news), ["1 Seen", "arrival 1 of 100 Settled", "end 1 Held", "reached again"]);
    assert!(news.asks.is_empty());
}

#[test]
fn what_was_spent_on_a_branch_that_is_gone_is_unspent_again() {
    let mut ledger = endowment(&[(0, 100)]);
    let first = ledger.pool(1, 1, &[(0, 0)], &[(Some(1), 100)]);
    let second = ledger.clone().pool(2, 2, &[(1, 0)], &[(Some(2), 100)]);
    let other = ledger.pool(3, 2, &[(1, 0)], &[(Some(3), 100)]);
    let mut watched = watch(terms(TaintRule::Fifo, 100));
    see(&mut watched, &[first, second]);
    watched.rewind(1);
    assert_eq!(watched.coins().count(), 1);
    assert_eq!(told(&see(&mut watched, &[other])), ["2 Retracted", "unreached", "hop 3 of 100 provisional"]);
}

fn one_payee_at_most() -> Terms {
    let mut terms = terms(TaintRule::Poison, 100);
    terms.limits.max_degree = 1;
    terms
}

#[test]
fn who_was_paid_is_remembered_when_what_was_paid_turns_out_not_to_be_traced() {
    let mut ledger = endowment(&[(0, 80), (0, 20)]);
    let pools = [
        ledger.pool(1, 1, &[(0, 0)], &[(Some(1), 40), (Some(2), 40)]),
        ledger.pool(2, 2, &[(1, 0)], &[(Some(4), 40)]),
        ledger.pool(3, 3, &[(2, 0), (1, 1)], &[(Some(5), 80)]),
        ledger.pool(4, 4, &[(0, 1)], &[(Some(4), 20)]),
        ledger.pool(5, 5, &[(4, 0)], &[(Some(6), 20)]),
    ];
    let mut watched = watch(one_payee_at_most());
    let mut stored = Store::default();
    let news = see(&mut watched, &pools);
    assert_eq!(told(&news).last().unwrap(), "end 5 Other(ServiceLike)");
    stored.take(news);
    watched.learn(&account(1), held());
    stored.take(watched.settle());

    let mut restored = Watched::restore(one_payee_at_most(), stored.into()).unwrap();
    assert_eq!(restored.settle(), News::default(), "what account 4 pays with the coin that is left is not followed");
    assert_eq!(restored.totals(), watched.totals());
}

#[test]
fn a_payment_by_several_is_followed_as_long_as_one_of_them_pays_few() {
    let mut ledger = endowment(&[(0, 60)]);
    let pools = [
        ledger.pool(1, 1, &[(0, 0)], &[(Some(1), 15), (Some(1), 15), (Some(2), 30)]),
        ledger.pool(2, 2, &[(1, 0)], &[(Some(4), 15)]),
        ledger.pool(3, 3, &[(1, 1), (1, 2)], &[(Some(5), 45)]),
    ];
    let mut watched = watch(one_payee_at_most());
    assert_eq!(told(&see(&mut watched, &pools)).last().unwrap(), "hop 3 of 45 provisional");
    watched.learn(&account(2), held());
    assert_eq!(
        told(&watched.settle()),
        ["3 Retracted", "end 3 Other(ServiceLike)", "unreached", "arrival 1 of 30 Settled", "end 1 Held"]
    );
}

#[derive(Clone, Debug)]
enum Happens {
    Block(Vec<Plan>),
    /// The last blocks leave the chain.
    Reorg(u64),
    Answer(u8, bool),
}

fn anything() -> impl Strategy<Value = Vec<Happens>> {
    let block = prop::collection::vec(plan(), 0..4).prop_map(Happens::Block);
    let reorg = (1u64..4).prop_map(Happens::Reorg);
    let answer = (1u8..8, any::<bool>()).prop_map(|(account, held)| Happens::Answer(account, held));
    prop::collection::vec(prop_oneof![6 => block, 1 => reorg, 2 => answer], 0..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happened, in whatever order, under whatever rule: what stands is what a fresh fold over the chain says, and
    /// what is stored is enough to go on from.
    #[test]
    fn what_was_said_is_what_a_fresh_fold_over_the_chain_says(
        rule in select(&TaintRule::ALL[..]),
        story in anything(), questions in 2u32..20, addresses in 1u32..8, degree in 2u64..6,
    ) {
        let mut terms = terms(rule, 90);
        terms.limits.max_questions = questions;
        terms.limits.max_addresses = addresses;
        terms.limits.max_degree = degree;
        let mut watched = watch(terms.clone());
        let mut stored = Store::default();
        // The chain, and the unspent outputs before each of its blocks.
        let mut chain: Vec<Vec<Pool>> = Vec::new();
        let mut before = vec![Maker::default()];
        for event in story {
            match event {
                Happens::Block(plans) => {
                    let height = chain.len() as u64 + 1;
                    let mut maker = before[chain.len()].clone();
                    let block: Vec<Pool> = plans.iter().filter_map(|plan| maker.make(height, plan)).collect();
                    block.iter().for_each(|pool| { watched.see_pool(pool.clone(), &plain).unwrap(); });
                    chain.push(block);
                    before.push(maker);
                }
                Happens::Reorg(depth) => {
                    let kept = chain.len().saturating_sub(depth as usize);
                    let number = before.iter().map(Maker::number).max().unwrap_or_default();
                    chain.truncate(kept);
                    before.truncate(kept + 1);
                    // Another branch has other transactions.
                    before[kept].go_on_from(number);
                    watched.rewind(kept as u64);
                }
                Happens::Answer(n, yes) => {
                    watched.learn(&account(n), if yes { held() } else { Standing::NotHeld });
                }
            }
            stored.take(watched.settle());
        }

        let mut fresh = Watched::knowing(terms.clone(), watched.knowledge().clone());
        chain.iter().flatten().for_each(|pool| { fresh.see_pool(pool.clone(), &plain).unwrap(); });
        let afresh = fresh.settle();
        let totals = watched.totals();
        prop_assert_eq!(fresh.totals(), totals.clone());
        prop_assert_eq!(fresh.coins().collect::<Vec<_>>(), watched.coins().collect::<Vec<_>>());
        let stood: BTreeMap<TransferId, _> = standing(stored.movements.values().cloned());
        prop_assert_eq!(stood, standing(afresh.movements));

        let mut restored = Watched::restore(terms, stored.into()).unwrap();
        prop_assert_eq!(restored.totals(), totals);
        prop_assert_eq!(restored.settle(), News::default());
    }
}
