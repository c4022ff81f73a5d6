use haetae_core::{TaintRule, TransferIndex};

use super::*;
use crate::scene::coins::{Ledger, account, coin, endowment, terms};
use crate::scene::{held, plain};
use crate::trail::Totals;

/// A watch of the root, under a rule, and who has what.
struct Scene {
    terms: Terms,
    knowledge: Knowledge,
    trail: Trail,
    ledger: Ledger,
}

impl Scene {
    fn new(rule: TaintRule, stolen: u64, endowed: &[(u8, u64)]) -> Self {
        Self::of(terms(rule, stolen), endowed)
    }

    fn of(terms: Terms, endowed: &[(u8, u64)]) -> Self {
        let knowledge = Knowledge::default();
        let trail = Trail::begin(&terms, &knowledge);
        Self { terms, knowledge, trail, ledger: endowment(endowed) }
    }

    /// What of a transaction is traced, in short.
    fn join(&mut self, n: u32, spends: &[(u32, u32)], makes: &[(Option<u8>, u64)]) -> Vec<(String, u64)> {
        short(&self.parts(n, spends, makes))
    }

    fn parts(&mut self, n: u32, spends: &[(u32, u32)], makes: &[(Option<u8>, u64)]) -> Vec<Part> {
        let pool = self.ledger.pool(n, u64::from(n), spends, makes);
        self.trail.join(&self.terms, &mut self.knowledge, &pool, &plain).unwrap()
    }

    fn totals(&self) -> Totals {
        self.trail.totals(&self.terms, &self.knowledge)[&coin()]
    }
}

fn traced(outcome: &Outcome) -> Amount {
    match outcome {
        Outcome::Hop(hop) => hop.traced,
        Outcome::Fee { traced } | Outcome::Dust { traced } | Outcome::NoAddress { traced } => *traced,
        Outcome::ServiceLike { left } => *left,
        Outcome::Untraced => Amount::ZERO,
    }
}

fn short(parts: &[Part]) -> Vec<(String, u64)> {
    let of = |part: &Part| {
        let what = match &part.outcome {
            Outcome::Hop(hop) => format!("{} at {}", part.sighting.transfer.index, hop.depth),
            Outcome::Fee { .. } => "fee".to_owned(),
            Outcome::Dust { .. } => format!("{} dust", part.sighting.transfer.index),
            Outcome::ServiceLike { .. } => format!("{} service", part.sighting.transfer.index),
            Outcome::NoAddress { .. } => format!("{} nowhere", part.sighting.transfer.index),
            Outcome::Untraced => "untraced".to_owned(),
        };
        (what, u64::try_from(traced(&part.outcome).to_u256()).unwrap())
    };
    parts.iter().map(of).collect()
}

fn said(parts: &[(&str, u64)]) -> Vec<(String, u64)> {
    parts.iter().map(|(what, traced)| ((*what).to_owned(), *traced)).collect()
}

#[test]
fn a_peel_chain_is_followed_and_its_change_stays_where_it_is() {
    let mut scene = Scene::new(TaintRule::TracedFirst, 100, &[(0, 100)]);
    assert_eq!(scene.join(1, &[(0, 0)], &[(Some(1), 30), (Some(0), 68)]), said(&[("out/0 at 1", 30), ("fee", 2)]));
    assert_eq!(scene.join(2, &[(1, 1)], &[(Some(0), 47), (Some(2), 20)]), said(&[("out/1 at 1", 20), ("fee", 1)]));
    assert_eq!(scene.join(3, &[(1, 0)], &[(Some(3), 10), (Some(1), 20)]), said(&[("out/0 at 2", 10)]));
    let totals = scene.totals();
    assert_eq!((totals.in_flight, totals.ended), (97u64.into(), 3u64.into()));
}

/// 60 honest coins of one, and then 40 stolen of another, to two and a fee.
#[test]
fn the_same_transaction_under_each_rule() {
    for (rule, expected) in [
        (TaintRule::TracedFirst, vec![("out/0 at 1", 33), ("out/1 at 1", 7)]),
        (TaintRule::Poison, vec![("out/0 at 1", 33), ("out/1 at 1", 64), ("fee", 3)]),
        (TaintRule::Haircut, vec![("out/0 at 1", 13), ("out/1 at 1", 26), ("fee", 1)]),
        (TaintRule::Fifo, vec![("out/1 at 1", 37), ("fee", 3)]),
    ] {
        let mut scene = Scene::new(rule, 40, &[(9, 60), (0, 40)]);
        assert_eq!(scene.join(1, &[(0, 0), (0, 1)], &[(Some(1), 33), (Some(2), 64)]), said(&expected), "{rule}");
    }
}

#[test]
fn whatever_the_root_spends_carries_the_stolen_money_first_whatever_the_rule() {
    for rule in [TaintRule::TracedFirst, TaintRule::Haircut, TaintRule::Fifo] {
        let mut scene = Scene::new(rule, 50, &[(0, 40), (0, 40)]);
        assert_eq!(scene.join(1, &[(0, 0)], &[(Some(1), 40)]), said(&[("out/0 at 1", 40)]), "{rule}");
        let second = scene.join(2, &[(0, 1)], &[(Some(2), 40)]);
        assert_eq!(second, said(&[("out/0 at 1", 10)]), "{rule}");
        assert_eq!(scene.totals().in_flight, 50u64.into());
    }
}

#[test]
fn what_is_paid_to_an_address_on_the_way_without_traced_money_stays_clean() {
    let mut scene = Scene::new(TaintRule::TracedFirst, 50, &[(0, 50), (7, 500)]);
    scene.join(1, &[(0, 0)], &[(Some(1), 50)]);
    assert!(scene.join(2, &[(0, 1)], &[(Some(1), 500)]).is_empty());
    assert!(scene.join(3, &[(2, 0)], &[(Some(4), 500)]).is_empty(), "it is another coin at the same address");
    assert_eq!(scene.join(4, &[(1, 0)], &[(Some(5), 50)]), said(&[("out/0 at 2", 50)]));
}

#[test]
fn several_that_bring_traced_money_are_all_named() {
    let mut scene = Scene::new(TaintRule::TracedFirst, 100, &[(0, 100), (9, 5)]);
    scene.join(1, &[(0, 0)], &[(Some(1), 60), (Some(2), 40)]);
    let parts = scene.parts(2, &[(1, 1), (0, 1), (1, 0)], &[(Some(3), 105)]);
    let [part] = parts.as_slice() else { panic!("{parts:?}") };
    let Outcome::Hop(hop) = &part.outcome else { panic!("{part:?}") };
    assert_eq!((hop.depth, hop.traced, &part.sighting.from), (2, 100u64.into(), &account(2)));
    let payers: Vec<_> = hop.payers.iter().map(|payer| (payer.account.clone(), payer.traced)).collect();
    assert_eq!(payers, [(account(2), 40u64.into()), (account(1), 60u64.into())]);
}

#[test]
fn a_question_that_is_open_before_any_of_the_payers_makes_the_hop_provisional() {
    let mut scene = Scene::new(TaintRule::TracedFirst, 100, &[(0, 100)]);
    let parts = scene.parts(1, &[(0, 0)], &[(Some(1), 60), (Some(2), 40)]);
    assert!(parts.iter().all(|part| part.ask));
    scene.knowledge.learn(&account(1), crate::knowledge::Standing::NotHeld);
    let parts = scene.parts(2, &[(1, 0), (1, 1)], &[(Some(3), 100)]);
    assert!(matches!(&parts[0].outcome, Outcome::Hop(Hop { provisional: true, .. })));
}

#[test]
fn money_that_an_exchange_holds_is_not_followed_into_its_hot_wallet() {
    let mut scene = Scene::new(TaintRule::TracedFirst, 100, &[(0, 100)]);
    scene.join(1, &[(0, 0)], &[(Some(1), 100)]);
    scene.knowledge.learn(&account(1), held());
    // As `Watched` does when something is learnt.
    scene.trail = Trail::begin(&scene.terms, &scene.knowledge);
    let pool = endowment(&[(0, 100)]).pool(1, 1, &[(0, 0)], &[(Some(1), 100)]);
    let parts = scene.trail.join(&scene.terms, &mut scene.knowledge, &pool, &plain).unwrap();
    assert!(matches!(&parts[0].outcome, Outcome::Hop(Hop { reached: Reached::Held(_), .. })));
    assert!(scene.join(2, &[(1, 0)], &[(Some(5), 100)]).is_empty());
    assert_eq!(scene.totals().arrived, 100u64.into());
}

#[test]
fn what_has_no_address_ends_there_and_says_so() {
    let mut scene = Scene::new(TaintRule::TracedFirst, 100, &[(0, 100)]);
    let parts = scene.parts(1, &[(0, 0)], &[(None, 60), (Some(1), 40)]);
    assert_eq!(short(&parts), said(&[("out/0 nowhere", 60), ("out/1 at 1", 40)]));
    assert_eq!(parts[0].sighting.to, account(0));
    assert_eq!(scene.totals().ended, 60u64.into());
}

#[test]
fn without_what_is_known_of_a_payee_nothing_moves() {
    let mut scene = Scene::new(TaintRule::TracedFirst, 100, &[(0, 100)]);
    let before = scene.trail.clone();
    let pool = scene.ledger.pool(1, 1, &[(0, 0)], &[(Some(1), 100)]);
    let joined = scene.trail.join(&scene.terms, &mut scene.knowledge, &pool, &|_: &Account| None);
    assert_eq!(joined, Err(Missing::Facts(account(1))));
    assert_eq!(scene.trail, before);
}

#[test]
fn dust_ends_but_change_of_any_size_stays() {
    let mut scene = Scene::new(TaintRule::TracedFirst, 100, &[(0, 100)]);
    scene.join(1, &[(0, 0)], &[(Some(1), 100)]);
    assert_eq!(
        scene.join(2, &[(1, 0)], &[(Some(2), 1), (Some(1), 1), (Some(3), 98)]),
        said(&[("out/0 dust", 1), ("out/2 at 2", 98)])
    );
    assert_eq!(scene.join(3, &[(2, 1)], &[(Some(4), 1)]), said(&[("out/0 dust", 1)]));
}

#[test]
fn who_pays_too_many_is_taken_for_a_service_but_never_the_root() {
    let mut terms = terms(TaintRule::TracedFirst, 100);
    terms.limits.max_degree = 2;
    let mut scene = Scene::of(terms, &[(0, 100)]);
    let many = [(Some(1), 10), (Some(2), 10), (Some(3), 10), (Some(4), 70)];
    assert_eq!(scene.join(1, &[(0, 0)], &many).len(), 4);
    let many = [(Some(5), 10), (Some(6), 20), (Some(7), 40)];
    let second = scene.join(2, &[(1, 3)], &many);
    assert_eq!(second, said(&[("out/0 at 2", 10), ("out/1 at 2", 20), ("out/2 service", 40)]));
}

#[test]
fn money_that_comes_back_to_the_root_is_with_the_rest_of_the_stolen_there() {
    let mut scene = Scene::new(TaintRule::Fifo, 100, &[(0, 70), (0, 30)]);
    scene.join(1, &[(0, 0)], &[(Some(1), 70)]);
    let parts = scene.parts(2, &[(1, 0)], &[(Some(0), 70)]);
    assert_eq!(short(&parts), said(&[("out/0 at 2", 70)]));
    assert!(!parts[0].ask, "nobody is asked about the root");
    assert_eq!(scene.join(3, &[(2, 0), (0, 1)], &[(Some(2), 100)]), said(&[("out/0 at 1", 100)]));
    assert_eq!(parts[0].sighting.transfer.index, TransferIndex::Output(0));
}

#[test]
fn beyond_the_hop_limit_a_coin_is_not_followed() {
    let mut terms = terms(TaintRule::TracedFirst, 100);
    terms.limits.max_hops = 1;
    let mut scene = Scene::of(terms, &[(0, 100)]);
    scene.join(1, &[(0, 0)], &[(Some(1), 100)]);
    assert!(scene.join(2, &[(1, 0)], &[(Some(2), 100)]).is_empty());
    assert_eq!(scene.totals().ended, 100u64.into());
}
