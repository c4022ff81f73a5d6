//! Laws of the fold, over any transfers.

use haetae_core::Amount;
use proptest::prelude::*;

use super::{Outcome, Sighting, Trail};
use crate::knowledge::{AccountFacts, Knowledge};
use crate::scene::{account, terms, token, transfer};
use crate::terms::Terms;

fn any_terms() -> impl Strategy<Value = Terms> {
    (1u64..200, 1u32..6, 1u32..8, 0u32..8, 1u64..5).prop_map(|(stolen, hops, addresses, questions, degree)| {
        let mut terms = terms(stolen);
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
        numbered.map(|(n, (from, to, amount))| transfer(n, u64::from(n) / 3, from, to, amount)).collect()
    })
}

proptest! {
    #[test]
    fn no_traced_money_is_made_or_lost(terms in any_terms(), transfers in any_transfers()) {
        let (mut trail, mut knowledge) = (Trail::begin(&terms), Knowledge::default());
        for transfer in &transfers {
            let before = trail.left(&transfer.from, &token());
            let contract = |a: &_| Some(AccountFacts { contract: *a == account(7), degree: 0 });
            let step = trail.step(&terms, &mut knowledge, transfer, contract).unwrap();
            let traced = match step.outcome {
                Outcome::Untraced => Amount::ZERO,
                Outcome::Hop(hop) => hop.traced,
                Outcome::Dust { traced } => traced,
                Outcome::ServiceLike { left } => left,
            };
            prop_assert!(traced <= before, "no more leaves than is there");
            let sums = trail.totals(&terms)[&token()];
            let parts: Amount = [sums.arrived, sums.in_flight, sums.ended].into_iter().sum();
            prop_assert_eq!(parts, sums.stolen);
        }
    }

    #[test]
    fn the_limits_hold(terms in any_terms(), transfers in any_transfers()) {
        let (mut trail, mut knowledge) = (Trail::begin(&terms), Knowledge::default());
        for transfer in &transfers {
            let step = trail.step(&terms, &mut knowledge, transfer, |_| Some(AccountFacts::default())).unwrap();
            if let Outcome::Hop(hop) = step.outcome {
                prop_assert!(hop.depth <= terms.limits.max_hops);
                prop_assert!(hop.traced <= transfer.amount);
            }
        }
        prop_assert!(knowledge.questions() <= terms.limits.max_questions);
        prop_assert!(knowledge.admitted() <= terms.limits.max_addresses);
        prop_assert!(trail.followed().count() as u64 <= u64::from(terms.limits.max_addresses) + 1);
    }
}
