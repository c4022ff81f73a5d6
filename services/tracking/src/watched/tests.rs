use std::collections::BTreeMap;

use haetae_core::{Amount, TaintRule, TransferId};
use proptest::prelude::*;
use proptest::sample::select;

use super::{Movement, News, Pooled, Stored, Watched};
use crate::knowledge::{Holder, Opening, Standing, StoredKnowledge};
use crate::said::{ArrivalState, Change, Finality, Said};
use crate::scene::{World, account, held, plain, terms, token, transfer};
use crate::terms::Terms;
use crate::trail::{Place, Sighting};

fn watch(terms: Terms) -> Watched {
    Watched::restore(terms, Stored::default()).unwrap()
}

fn see(watched: &mut Watched, transfers: &[Sighting]) -> News {
    for transfer in transfers {
        watched.see(transfer.clone(), &plain).unwrap();
    }
    watched.settle()
}

/// What was said, in short: what kind, of which transfer, and how it stands.
fn told(news: &News) -> Vec<String> {
    let number = |s: &Sighting| s.place.position;
    news.changes
        .iter()
        .map(|change| match change {
            Change::Hop { sighting, hop } => {
                let traced = hop.traced;
                let open = if hop.provisional { " provisional" } else { "" };
                format!("hop {} of {traced}{open}", number(sighting))
            }
            Change::Finality { sighting, finality } => format!("{} {finality:?}", number(sighting)),
            Change::Arrival { sighting, arrival } => {
                format!("arrival {} of {} {:?}", number(sighting), arrival.traced, arrival.state)
            }
            Change::Ended { sighting, end, .. } => format!("end {} {:?}", number(sighting), end.reason),
            Change::NotEnded { sighting, end, .. } => format!("no end {} {:?}", number(sighting), end.reason),
            Change::Reached { reached: false, .. } => "unreached".to_owned(),
            Change::Reached { reached: true, .. } => "reached again".to_owned(),
            Change::EndedAtRoot { end, .. } => format!("end at the root {:?} of {}", end.reason, end.traced),
        })
        .collect()
}

#[test]
fn a_hop_is_said_once_and_its_payee_asked_about_once() {
    let mut watched = watch(terms(100));
    let news = see(&mut watched, &[transfer(1, 1, 0, 1, 60), transfer(2, 1, 0, 1, 40)]);
    assert_eq!(told(&news), ["hop 1 of 60", "hop 2 of 40"]);
    assert_eq!(news.asks.len(), 1);
    assert_eq!(news.movements.len(), 2);
    assert_eq!(news.known.len(), 1);
    assert_eq!(watched.settle(), News::default());
}

#[test]
fn held_by_one_exchange_is_an_arrival_at_once() {
    let mut watched = watch(terms(100));
    see(&mut watched, &[transfer(1, 1, 0, 1, 60)]);
    assert!(watched.learn(&account(1), held()));
    assert_eq!(told(&watched.settle()), ["arrival 1 of 60 Settled", "end 1 Held"]);
    let more = see(&mut watched, &[transfer(2, 2, 0, 1, 60)]);
    assert_eq!(told(&more), ["hop 2 of 40", "arrival 2 of 40 Settled", "end 2 Held"]);
}

/// 0 → 1 (asked about, no answer) → 2 (held).
fn beyond_an_open_question() -> Watched {
    let mut watched = watch(terms(100));
    let news = see(&mut watched, &[transfer(1, 1, 0, 1, 100), transfer(2, 2, 1, 2, 80)]);
    assert_eq!(told(&news), ["hop 1 of 100", "hop 2 of 80 provisional"]);
    watched.learn(&account(2), held());
    assert_eq!(told(&watched.settle()), ["arrival 2 of 80 HeldBack", "end 2 Held"]);
    watched
}

#[test]
fn an_arrival_that_was_held_back_is_issued_when_the_open_question_is_answered_with_no() {
    let mut watched = beyond_an_open_question();
    watched.learn(&account(1), Standing::NotHeld);
    assert_eq!(told(&watched.settle()), ["hop 2 of 80", "arrival 2 of 80 Settled"]);
}

#[test]
fn an_arrival_that_was_held_back_is_none_when_the_open_question_is_answered_with_yes() {
    let mut watched = beyond_an_open_question();
    watched.learn(&account(1), held());
    assert_eq!(
        told(&watched.settle()),
        [
            "2 Retracted",
            "arrival 2 of 80 Retracted",
            "no end 2 Held",
            "unreached",
            "arrival 1 of 100 Settled",
            "end 1 Held"
        ]
    );
    assert_eq!(watched.totals()[&token()].arrived, Amount::from(100u64));
}

#[test]
fn an_arrival_that_leaves_the_chain_is_retracted_and_comes_back_as_the_same() {
    let mut watched = watch(terms(100));
    see(&mut watched, &[transfer(1, 5, 0, 1, 60)]);
    watched.learn(&account(1), held());
    watched.settle();

    assert!(watched.rewind(4));
    let news = watched.settle();
    assert_eq!(told(&news), ["1 Retracted", "arrival 1 of 60 Retracted", "no end 1 Held", "unreached"]);
    assert!(news.movements.iter().all(|movement| !movement.live));

    let again = see(&mut watched, &[transfer(1, 7, 0, 1, 60)]);
    assert_eq!(told(&again), ["1 Seen", "arrival 1 of 60 Settled", "end 1 Held", "reached again"]);
    assert!(again.asks.is_empty(), "it was asked about before");
}

#[test]
fn an_arrival_of_which_another_part_is_traced_is_taken_back_before_it_is_said_anew() {
    let mut watched = watch(terms(100));
    see(&mut watched, &[transfer(1, 1, 0, 1, 60), transfer(2, 2, 0, 2, 60)]);
    watched.learn(&account(2), held());
    assert_eq!(told(&watched.settle()), ["arrival 2 of 40 Settled", "end 2 Held"]);
    // The same two in another order, and nothing said in between.
    assert!(watched.rewind(0));
    let news = see(&mut watched, &[transfer(2, 1, 0, 2, 60), transfer(1, 2, 0, 1, 60)]);
    let of_two: Vec<_> = told(&news).into_iter().filter(|told| told.starts_with("arrival")).collect();
    assert_eq!(of_two, ["arrival 2 of 40 Retracted", "arrival 2 of 60 Settled"]);
}

#[test]
fn a_transfer_that_only_changes_its_block_is_not_retracted() {
    let mut watched = watch(terms(100));
    see(&mut watched, &[transfer(1, 5, 0, 1, 60)]);
    watched.learn(&account(1), held());
    watched.settle();
    watched.rewind(4);
    assert_eq!(told(&see(&mut watched, &[transfer(1, 6, 0, 1, 60)])), ["1 Seen"]);
}

#[test]
fn an_account_is_reached_as_long_as_one_of_the_hops_that_lead_there_stands() {
    let mut watched = watch(terms(100));
    see(&mut watched, &[transfer(1, 5, 0, 1, 60), transfer(2, 6, 0, 1, 40)]);
    watched.rewind(5);
    assert_eq!(told(&watched.settle()), ["2 Retracted"]);
    watched.rewind(4);
    assert_eq!(told(&watched.settle()), ["1 Retracted", "unreached"]);
    // By another way, in the same breath as it is said.
    assert_eq!(told(&see(&mut watched, &[transfer(3, 5, 0, 1, 10)])), ["hop 3 of 10", "reached again"]);
}

#[test]
fn dust_that_leaves_the_chain_is_no_end() {
    let mut watched = watch(terms(100));
    see(&mut watched, &[transfer(1, 5, 0, 1, 1)]);
    watched.rewind(4);
    assert_eq!(told(&watched.settle()), ["no end 1 Dust"]);
}

#[test]
fn how_final_a_hop_is_survives_that_it_is_said_again() {
    let mut watched = watch(terms(100));
    see(&mut watched, &[transfer(1, 1, 0, 1, 100), transfer(2, 2, 1, 2, 80)]);
    watched.mark(&transfer(2, 2, 1, 2, 80).transfer, Finality::Final);
    watched.learn(&account(1), Standing::NotHeld);
    let news = watched.settle();
    let [Change::Hop { hop, .. }] = news.changes.as_slice() else { panic!("{news:?}") };
    assert_eq!(hop.finality, Finality::Final);
}

#[test]
fn a_second_holder_does_not_replace_the_first() {
    let mut watched = watch(terms(100));
    see(&mut watched, &[transfer(1, 1, 0, 1, 60)]);
    watched.learn(&account(1), held());
    watched.settle();
    let other = Holder { exchange: "bithumb".parse().unwrap(), role: None };
    assert!(!watched.learn(&account(1), Standing::Held(other)));
    assert_eq!(watched.settle(), News::default());
}

/// What is stored of a watch.
#[derive(Default)]
struct Store {
    knowledge: StoredKnowledge,
    movements: BTreeMap<TransferId, Movement>,
    pools: BTreeMap<bitcoin::Txid, Pooled>,
}

impl Store {
    fn take(&mut self, news: News) {
        self.knowledge.known.extend(news.known);
        self.knowledge.payments.extend(news.payments);
        for (account, asset, opening) in news.openings {
            let of_account = self.knowledge.openings.entry(account).or_default();
            match opening {
                Some(opening) => of_account.insert(asset, opening),
                None => of_account.remove(&asset),
            };
        }
        self.pools.extend(news.pools.into_iter().map(|pooled| (pooled.pool.id, pooled)));
        self.movements.extend(news.movements.into_iter().map(|m| (m.sighting.transfer.clone(), m)));
    }
}

impl From<Store> for Stored {
    fn from(Store { knowledge, movements, pools }: Store) -> Self {
        Self { knowledge, movements: movements.into_values().collect(), pools: pools.into_values().collect() }
    }
}

#[derive(Clone, Debug)]
enum Happens {
    Block(Vec<(u8, u8, u64)>),
    /// The last blocks leave the chain; so many of their transfers come again in the next, in their old order or not.
    Reorg {
        depth: usize,
        again: usize,
        turned: bool,
    },
    Answer(u8, bool),
}

fn anything() -> impl Strategy<Value = Vec<Happens>> {
    let block = prop::collection::vec((0u8..6, 0u8..6, 0u64..60), 0..5).prop_map(Happens::Block);
    let depth = prop_oneof![3 => 1usize..4, 1 => 4usize..25];
    let reorg = (depth, 0usize..6, any::<bool>());
    let reorg = reorg.prop_map(|(depth, again, turned)| Happens::Reorg { depth, again, turned });
    let answer = (1u8..6, any::<bool>()).prop_map(|(account, held)| Happens::Answer(account, held));
    prop::collection::vec(prop_oneof![6 => block, 1 => reorg, 2 => answer], 0..25)
}

fn tight(questions: u32, addresses: u32, degree: u64) -> Terms {
    let mut terms = terms(100);
    terms.limits.max_questions = questions;
    terms.limits.max_addresses = addresses;
    terms.limits.max_degree = degree;
    terms
}

/// Sees a block.
fn see_block(watched: &mut Watched, world: &mut World, block: &[Sighting]) {
    for transfer in block {
        watched.see(transfer.clone(), &world.before(transfer)).unwrap();
        world.move_on(transfer);
    }
}

fn open_root(watched: &mut Watched, world: &World, height: u64) {
    for asset in watched.unopened().cloned().collect::<Vec<_>>() {
        let since = Place { block: height - 1, position: u32::MAX };
        watched.open_root(&asset, Opening { since, balance: Some(world.of(&account(0))) });
    }
}

fn standing(movements: impl IntoIterator<Item = Movement>) -> BTreeMap<TransferId, Said> {
    let standing = movements.into_iter().filter(|movement| movement.said.stands());
    standing
        .map(|movement| {
            let hop = movement.said.hop.filter(|hop| hop.finality != Finality::Retracted);
            let arrival = movement.said.arrival.filter(|arrival| arrival.state != ArrivalState::Retracted);
            (movement.sighting.transfer, Said { hop, arrival, end: movement.said.end })
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happened, in whatever order, under whatever rule: what stands is what a fresh fold over the chain says,
    /// asking anew what lay at each account, and what was said is what stands. And what is stored is enough to go on from.
    #[test]
    fn what_was_said_is_what_a_fresh_fold_over_the_chain_says(
        rule in select(&TaintRule::ALL[..]),
        story in anything(), questions in 2u32..20, addresses in 1u32..8, degree in 2u64..6,
    ) {
        let terms = Terms { rule, ..tight(questions, addresses, degree) };
        let mut watched = watch(terms.clone());
        open_root(&mut watched, &World::default(), 1);
        let mut stored = Store::default();
        let mut chain: Vec<Vec<Sighting>> = Vec::new();
        let mut number = 0;
        let mut waiting: Vec<Sighting> = Vec::new();
        for event in story {
            match event {
                Happens::Block(moves) => {
                    let height = chain.len() as u64 + 1;
                    let mut world = World::default();
                    chain.iter().flatten().for_each(|transfer| world.move_on(transfer));
                    open_root(&mut watched, &world, height);
                    let mut planned = world.clone();
                    let mut block = Vec::new();
                    for again in std::mem::take(&mut waiting) {
                        number += 1;
                        let there = transfer(number, height, 0, 0, 0);
                        let again = Sighting { place: there.place, block_hash: there.block_hash, ..again };
                        if planned.of(&again.from) >= again.amount {
                            planned.move_on(&again);
                            block.push(again);
                        }
                    }
                    for (from, to, amount) in moves {
                        number += 1;
                        let transfer = planned.affordable(transfer(number, height, from, to, amount));
                        planned.move_on(&transfer);
                        block.push(transfer);
                    }
                    see_block(&mut watched, &mut world, &block);
                    chain.push(block);
                }
                Happens::Reorg { depth, again, turned } => {
                    let kept = chain.len().saturating_sub(depth);
                    waiting = chain.split_off(kept).into_iter().flatten().take(again).collect();
                    if turned {
                        waiting.reverse();
                    }
                    watched.rewind(kept as u64);
                }
                Happens::Answer(n, yes) => {
                    watched.learn(&account(n), if yes { held() } else { Standing::NotHeld });
                }
            }
            stored.take(watched.settle());
        }

        let mut fresh = Watched::knowing(terms.clone(), watched.knowledge().clone().without_openings());
        let mut world = World::default();
        open_root(&mut fresh, &world, 1);
        for block in &chain {
            see_block(&mut fresh, &mut world, block);
        }
        let afresh = fresh.settle();
        let totals = watched.totals();
        prop_assert_eq!(fresh.totals(), totals.clone());
        prop_assert_eq!(standing(stored.movements.values().cloned()), standing(afresh.movements));

        let mut restored = Watched::restore(terms, stored.into()).unwrap();
        prop_assert_eq!(restored.totals(), totals);
        prop_assert_eq!(restored.settle(), News::default());
    }
}

mod outputs;
