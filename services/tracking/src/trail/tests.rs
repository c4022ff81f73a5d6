use haetae_core::{Account, Amount};

use super::{EndReason, Hop, Outcome, Reached, Sighting, Totals, Trail};
use crate::knowledge::{AccountFacts, Knowledge, Missing, Standing};
use crate::scene::{account, held, plain, terms, token, transfer};
use crate::terms::Terms;

/// Folds transfers; gives what each turned out to be, and the totals.
fn fold(terms: &Terms, knowledge: &mut Knowledge, transfers: &[Sighting]) -> (Vec<Outcome>, Totals) {
    fold_with(terms, knowledge, transfers, plain)
}

fn fold_with(
    terms: &Terms,
    knowledge: &mut Knowledge,
    transfers: &[Sighting],
    facts: impl Fn(&Account) -> Option<AccountFacts>,
) -> (Vec<Outcome>, Totals) {
    let mut trail = Trail::begin(terms, knowledge);
    let outcomes =
        transfers.iter().map(|t| trail.step(terms, knowledge, t, &facts).unwrap().outcome).collect::<Vec<_>>();
    (outcomes, trail.totals(terms, knowledge)[&token()])
}

fn traced(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Hop(hop) => u64::try_from(hop.traced.to_u256()).ok(),
        _ => None,
    }
}

fn totals(stolen: u64, arrived: u64, in_flight: u64, ended: u64) -> Totals {
    Totals { stolen: stolen.into(), arrived: arrived.into(), in_flight: in_flight.into(), ended: ended.into() }
}

#[test]
fn a_split_traces_the_stolen_money_first() {
    let (outcomes, sums) = fold(
        &terms(100),
        &mut Knowledge::default(),
        &[transfer(1, 1, 0, 1, 70), transfer(2, 1, 0, 2, 70), transfer(3, 2, 0, 3, 70)],
    );
    assert_eq!(outcomes.iter().map(traced).collect::<Vec<_>>(), [Some(70), Some(30), None]);
    assert_eq!(sums, totals(100, 0, 100, 0));
}

#[test]
fn what_was_split_can_merge_again() {
    let (outcomes, _) = fold(
        &terms(100),
        &mut Knowledge::default(),
        &[
            transfer(1, 1, 0, 1, 60),
            transfer(2, 1, 0, 2, 40),
            transfer(3, 2, 1, 3, 60),
            transfer(4, 2, 2, 3, 40),
            transfer(5, 3, 3, 4, 500),
        ],
    );
    assert_eq!(traced(&outcomes[4]), Some(100));
    assert!(matches!(&outcomes[4], Outcome::Hop(Hop { depth: 3, .. })));
}

#[test]
fn a_peel_chain_is_followed_along_the_large_side_and_the_small() {
    let (outcomes, sums) = fold(
        &terms(100),
        &mut Knowledge::default(),
        &[
            transfer(1, 1, 0, 1, 100),
            transfer(2, 2, 1, 2, 10),
            transfer(3, 2, 1, 3, 90),
            transfer(4, 3, 3, 4, 10),
            transfer(5, 3, 3, 5, 80),
        ],
    );
    assert_eq!(outcomes.iter().map(traced).collect::<Vec<_>>(), [Some(100), Some(10), Some(90), Some(10), Some(80)]);
    assert_eq!(sums, totals(100, 0, 100, 0));
}

#[test]
fn the_order_within_a_block_decides() {
    let there_and_on = [transfer(1, 1, 0, 1, 100), transfer(2, 1, 1, 2, 100)];
    let (outcomes, _) = fold(&terms(100), &mut Knowledge::default(), &there_and_on);
    assert_eq!(traced(&outcomes[1]), Some(100));

    let too_early = [transfer(1, 1, 1, 2, 100), transfer(2, 1, 0, 1, 100)];
    let (outcomes, _) = fold(&terms(100), &mut Knowledge::default(), &too_early);
    assert_eq!(outcomes[0], Outcome::Untraced);
}

#[test]
fn dust_leaves_its_payee_alone() {
    let mut knowledge = Knowledge::default();
    let (outcomes, sums) = fold(&terms(100), &mut knowledge, &[transfer(1, 1, 0, 1, 1), transfer(2, 1, 1, 2, 1)]);
    assert_eq!(outcomes, [Outcome::Dust { traced: Amount::from(1u64) }, Outcome::Untraced]);
    assert_eq!(knowledge.get(&account(1)), None);
    assert_eq!(sums, totals(100, 0, 99, 1));
}

#[test]
fn transfers_to_oneself_and_of_nothing_are_no_hops() {
    let transfers = [transfer(1, 1, 0, 0, 50), transfer(2, 1, 0, 1, 0)];
    let (outcomes, _) = fold(&terms(100), &mut Knowledge::default(), &transfers);
    assert_eq!(outcomes, [Outcome::Untraced, Outcome::Untraced]);
}

#[test]
fn assets_that_were_not_stolen_are_not_followed() {
    let mut coins = transfer(1, 1, 0, 1, 50);
    coins.asset = haetae_core::Asset::evm_native(crate::scene::chain());
    let (outcomes, _) = fold(&terms(100), &mut Knowledge::default(), &[coins]);
    assert_eq!(outcomes, [Outcome::Untraced]);
}

#[test]
fn contracts_and_busy_accounts_are_asked_about_but_not_followed() {
    let mut knowledge = Knowledge::default();
    let facts = |a: &Account| {
        let degree = if *a == account(2) { 51 } else { 0 };
        Some(AccountFacts { contract: *a == account(1), degree, label: None })
    };
    let transfers =
        [transfer(1, 1, 0, 1, 50), transfer(2, 1, 0, 2, 50), transfer(3, 2, 1, 3, 50), transfer(4, 2, 2, 3, 50)];
    let (outcomes, sums) = fold_with(&terms(100), &mut knowledge, &transfers, facts);
    let reached = |outcome: &Outcome| match outcome {
        Outcome::Hop(hop) => Some(hop.reached.clone()),
        _ => None,
    };
    assert_eq!(reached(&outcomes[0]), Some(Reached::Ended(EndReason::Contract)));
    assert_eq!(reached(&outcomes[1]), Some(Reached::Ended(EndReason::ServiceLike)));
    assert_eq!(outcomes[2..], [Outcome::Untraced, Outcome::Untraced]);
    assert_eq!(sums, totals(100, 0, 0, 100));
    assert!(knowledge.is_open(&account(1)) && knowledge.is_open(&account(2)));
    assert_eq!(knowledge.admitted(), 0);
}

#[test]
fn an_account_that_pays_too_many_shows_to_be_a_service() {
    let mut terms = terms(100);
    terms.limits.max_degree = 2;
    let (outcomes, sums) = fold(
        &terms,
        &mut Knowledge::default(),
        &[
            transfer(1, 1, 0, 1, 100),
            transfer(2, 2, 1, 2, 10),
            transfer(3, 2, 1, 3, 10),
            transfer(4, 2, 1, 2, 10),
            transfer(5, 2, 1, 4, 10),
        ],
    );
    assert_eq!(traced(&outcomes[3]), Some(10));
    assert_eq!(outcomes[4], Outcome::ServiceLike { left: Amount::from(70u64) });
    assert_eq!(sums, totals(100, 0, 30, 70));
}

#[test]
fn the_last_hop_is_asked_about_and_not_followed_on() {
    let mut terms = terms(100);
    terms.limits.max_hops = 2;
    let mut knowledge = Knowledge::default();
    let transfers = [transfer(1, 1, 0, 1, 100), transfer(2, 2, 1, 2, 100), transfer(3, 3, 2, 3, 100)];
    let (outcomes, _) = fold(&terms, &mut knowledge, &transfers);
    assert!(matches!(&outcomes[1], Outcome::Hop(Hop { depth: 2, reached: Reached::Ended(EndReason::HopLimit), .. })));
    assert!(knowledge.is_open(&account(2)));
    assert_eq!(outcomes[2], Outcome::Untraced);
}

#[test]
fn a_shorter_way_to_an_account_beyond_the_hop_limit_brings_it_under_watch() {
    let mut terms = terms(100);
    terms.limits.max_hops = 2;
    let transfers =
        [transfer(1, 1, 0, 1, 50), transfer(2, 2, 1, 2, 50), transfer(3, 3, 0, 2, 50), transfer(4, 4, 2, 3, 100)];
    let (outcomes, _) = fold(&terms, &mut Knowledge::default(), &transfers);
    assert_eq!(traced(&outcomes[3]), Some(100));
}

#[test]
fn beyond_the_address_limit_nobody_comes_under_watch() {
    let mut terms = terms(100);
    terms.limits.max_addresses = 1;
    let transfers = [transfer(1, 1, 0, 1, 50), transfer(2, 1, 0, 2, 50), transfer(3, 2, 2, 1, 50)];
    let (outcomes, sums) = fold(&terms, &mut Knowledge::default(), &transfers);
    assert!(matches!(&outcomes[1], Outcome::Hop(Hop { reached: Reached::Ended(EndReason::AddressLimit), .. })));
    assert_eq!(outcomes[2], Outcome::Untraced);
    assert_eq!(sums, totals(100, 0, 50, 50));
}

#[test]
fn without_questions_left_a_trail_ends_rather_than_run_through_an_exchange() {
    let mut terms = terms(100);
    terms.exchanges = 3;
    terms.limits.max_questions = 5;
    let mut knowledge = Knowledge::default();
    let transfers = [transfer(1, 1, 0, 1, 50), transfer(2, 1, 0, 2, 50)];
    let (outcomes, _) = fold(&terms, &mut knowledge, &transfers);
    assert!(matches!(&outcomes[0], Outcome::Hop(Hop { reached: Reached::Followed, .. })));
    assert!(matches!(&outcomes[1], Outcome::Hop(Hop { reached: Reached::Ended(EndReason::QuestionLimit), .. })));
    assert_eq!(knowledge.questions(), 3);
}

#[test]
fn a_trail_ends_where_an_exchange_holds_the_account() {
    let terms = terms(100);
    let mut knowledge = Knowledge::default();
    let in_and_swept = [transfer(1, 1, 0, 1, 100), transfer(2, 2, 1, 2, 100)];
    fold(&terms, &mut knowledge, &in_and_swept[..1]);
    knowledge.learn(&account(1), held());
    let (outcomes, sums) = fold(&terms, &mut knowledge, &in_and_swept);
    assert!(matches!(&outcomes[0], Outcome::Hop(Hop { reached: Reached::Held(_), provisional: false, .. })));
    assert_eq!(outcomes[1], Outcome::Untraced);
    assert_eq!(sums, totals(100, 100, 0, 0));
}

#[test]
fn beyond_an_open_question_everything_is_provisional_until_it_is_settled() {
    let terms = terms(100);
    let mut knowledge = Knowledge::default();
    let transfers = [transfer(1, 1, 0, 1, 100), transfer(2, 2, 1, 2, 100), transfer(3, 3, 2, 3, 100)];
    let provisional = |knowledge: &mut Knowledge| {
        let (outcomes, _) = fold(&terms, knowledge, &transfers);
        outcomes.iter().map(|o| matches!(o, Outcome::Hop(hop) if hop.provisional)).collect::<Vec<_>>()
    };
    assert_eq!(provisional(&mut knowledge), [false, true, true]);
    knowledge.learn(&account(2), Standing::NotHeld);
    assert_eq!(provisional(&mut knowledge), [false, true, true], "the question about account 1 is still open");
    knowledge.learn(&account(1), Standing::NotHeld);
    assert_eq!(provisional(&mut knowledge), [false, false, false]);
}

#[test]
fn money_that_comes_back_to_the_root_is_followed_from_there_again() {
    let transfers = [transfer(1, 1, 0, 1, 100), transfer(2, 2, 1, 0, 100), transfer(3, 3, 0, 2, 40)];
    let mut knowledge = Knowledge::default();
    let (outcomes, sums) = fold(&terms(100), &mut knowledge, &transfers);
    assert_eq!(traced(&outcomes[2]), Some(40));
    assert_eq!(knowledge.get(&account(0)), None, "nobody is asked about the root");
    assert_eq!(sums, totals(100, 0, 100, 0));
}

#[test]
fn without_the_payees_facts_nothing_moves() {
    let terms = terms(100);
    let mut trail = Trail::begin(&terms, &Knowledge::default());
    let before = trail.clone();
    let mut knowledge = Knowledge::default();
    let missing = trail.step(&terms, &mut knowledge, &transfer(1, 1, 0, 1, 100), &|_: &Account| None);
    assert_eq!(missing, Err(Missing::Facts(account(1))));
    assert_eq!((trail, knowledge), (before, Knowledge::default()));
}
