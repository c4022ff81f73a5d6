//! Laws of the fold, over any transfers and under every rule.

use haetae_core::{Account, Amount, Asset, TaintRule};
use proptest::prelude::*;
use proptest::sample::select;

use super::{Outcome, Place, Sighting, Trail};
use crate::knowledge::{AccountFacts, Knowledge, Look, Opening};
use crate::scene::{Balances, World, account, terms, token, transfer};
use crate::terms::Terms;

fn any_terms() -> impl Strategy<Value = Terms> {
    let limits = (1u32..6, 1u32..8, 0u32..8, 1u64..5);
    (select(&TaintRule::ALL[..]), 1u64..200, limits).prop_map(|(rule, stolen, (hops, addresses, questions, degree))| {
        let mut terms = terms(stolen);
        terms.rule = rule;
        terms.limits.max_hops = hops;
        terms.limits.max_addresses = addresses;
        terms.limits.max_questions = questions;
        terms.limits.max_degree = degree;
        terms
    })
}

fn any_transfers() -> impl Strategy<Value = Vec<Sighting>> {
    prop::collection::vec((0u8..8, 0u8..8, 0u64..120), 0..60).prop_map(|moves| {
        let numbered = (1u32..).zip(moves);
        numbered.map(|(n, (from, to, amount))| transfer(n, 1 + u64::from(n) / 3, from, to, amount)).collect()
    })
}

/// One of the accounts is a contract.
struct WithContract<'a>(Balances<'a>);

impl Look for WithContract<'_> {
    fn facts(&self, account: &Account) -> Option<AccountFacts> {
        let contract = *account == self::account(7);
        self.0.facts(account).map(|facts| AccountFacts { contract, ..facts })
    }

    fn opening(&self, account: &Account, asset: &Asset) -> Option<Opening> {
        self.0.opening(account, asset)
    }
}

/// Folds transfers in a world where everybody begins with something; gives to `each` what was at the payer before, and
/// what came of it.
fn fold(
    terms: &Terms,
    transfers: &[Sighting],
    mut each: impl FnMut(&Trail, &Knowledge, Amount, &Sighting, &Outcome) -> Result<(), TestCaseError>,
) -> Result<(Trail, Knowledge), TestCaseError> {
    let mut world = World::default();
    let mut knowledge = Knowledge::default();
    if terms.rule.needs_balances() {
        let since = Place { block: 0, position: u32::MAX };
        knowledge.open(&account(0), &token(), Opening { since, balance: Some(world.of(&account(0))) });
    }
    let mut trail = Trail::begin(terms, &knowledge);
    for transfer in transfers {
        let transfer = world.affordable(transfer.clone());
        let before = trail.left(&transfer.from, &token());
        let look = WithContract(world.before(&transfer));
        let step = trail.step(terms, &mut knowledge, &transfer, &look).unwrap();
        world.move_on(&transfer);
        each(&trail, &knowledge, before, &transfer, &step.outcome)?;
    }
    Ok((trail, knowledge))
}

proptest! {
    #[test]
    fn no_traced_money_is_made_or_lost(terms in any_terms(), transfers in any_transfers()) {
        let poison = terms.rule == TaintRule::Poison;
        fold(&terms, &transfers, |trail, knowledge, before, _, outcome| {
            let traced = match outcome {
                Outcome::Untraced => Amount::ZERO,
                Outcome::Hop(hop) => hop.traced,
                Outcome::Dust { traced } | Outcome::Fee { traced } | Outcome::NoAddress { traced } => *traced,
                Outcome::ServiceLike { left } => *left,
            };
            prop_assert!(poison || traced <= before, "no more leaves than is there");
            let sums = trail.totals(&terms, knowledge)[&token()];
            let parts: Amount = [sums.arrived, sums.in_flight, sums.ended].into_iter().sum();
            match poison {
                true => prop_assert!(parts >= sums.stolen),
                false => prop_assert_eq!(parts, sums.stolen),
            }
            Ok(())
        })?;
    }

    #[test]
    fn the_limits_hold(terms in any_terms(), transfers in any_transfers()) {
        let (trail, knowledge) = fold(&terms, &transfers, |_, _, _, transfer, outcome| {
            if let Outcome::Hop(hop) = outcome {
                prop_assert!(hop.depth <= terms.limits.max_hops);
                prop_assert!(hop.traced <= transfer.amount);
            }
            Ok(())
        })?;
        prop_assert!(knowledge.questions() <= terms.limits.max_questions);
        prop_assert!(knowledge.admitted() <= terms.limits.max_addresses);
        prop_assert!(trail.followed().count() as u64 <= u64::from(terms.limits.max_addresses) + 1);
    }
}
