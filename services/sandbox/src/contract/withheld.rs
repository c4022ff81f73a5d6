//! How much of a balance several freezes withhold together.

use std::collections::BTreeMap;

use haetae_core::{Amount, TransferId};

use super::leg::{Claim, Freeze};

/// What must stay of a balance under the freezes in force on it.
///
/// Freezes that share a ground want the same money: of each ground, the larger claim is withheld. Others add up. Each
/// freeze stands by itself: when one ends, the others withhold what they withheld.
pub(crate) fn withheld<'a>(freezes: impl IntoIterator<Item = &'a Freeze>, balance: Amount) -> Amount {
    let mut grounds: BTreeMap<&TransferId, Amount> = BTreeMap::new();
    let mut apart = Amount::ZERO;
    for freeze in freezes {
        match &freeze.claim {
            Claim::Balance { held } => apart = apart.saturating_add(*held),
            Claim::Credits(claims) => {
                for (ground, held) in claims {
                    let largest = grounds.entry(ground).or_default();
                    *largest = (*largest).max(*held);
                }
            }
        }
    }
    grounds.into_values().sum::<Amount>().saturating_add(apart).min(balance)
}

#[cfg(test)]
mod tests {
    use haetae_core::{Account, Asset, ChainId, Target, TransferIndex};
    use proptest::prelude::*;
    use time::OffsetDateTime;

    use super::super::book::AccountKey;
    use super::*;

    fn transfer(number: u32) -> TransferId {
        TransferId { chain: ChainId::evm(1), transaction: format!("0x{number:064x}"), index: TransferIndex::Native }
    }

    fn freeze(claim: Claim) -> Freeze {
        let account = Account::evm(ChainId::evm(1), alloy::primitives::Address::ZERO);
        let until = OffsetDateTime::UNIX_EPOCH;
        Freeze {
            account: AccountKey("1".into()),
            asset: Asset::evm_native(ChainId::evm(1)),
            target: Target::account(account),
            cap: claim.held(),
            until,
            claim,
        }
    }

    fn on_credits(grounds: &[(u32, u64)]) -> Freeze {
        freeze(Claim::Credits(grounds.iter().map(|(number, held)| (transfer(*number), Amount::from(*held))).collect()))
    }

    fn on_balance(held: u64) -> Freeze {
        freeze(Claim::Balance { held: Amount::from(held) })
    }

    fn amount(value: u64) -> Amount {
        Amount::from(value)
    }

    #[test]
    fn freezes_that_share_a_ground_withhold_the_larger_claim() {
        let freezes = [on_credits(&[(1, 60)]), on_credits(&[(1, 80)])];
        assert_eq!(withheld(&freezes, amount(1_000)), amount(80));
        assert_eq!(withheld(&freezes[..1], amount(1_000)), amount(60), "the other still stands when one is released");
    }

    #[test]
    fn freezes_with_different_grounds_add_up() {
        let freezes = [on_credits(&[(1, 60)]), on_credits(&[(2, 80)]), on_balance(5)];
        assert_eq!(withheld(&freezes, amount(1_000)), amount(145));
    }

    #[test]
    fn grounds_are_compared_one_by_one() {
        let freezes = [on_credits(&[(1, 100), (2, 50)]), on_credits(&[(2, 50), (3, 50)])];
        assert_eq!(withheld(&freezes, amount(1_000)), amount(200));
    }

    #[test]
    fn never_more_is_withheld_than_is_there() {
        assert_eq!(withheld(&[on_balance(100), on_balance(100)], amount(150)), amount(150));
    }

    fn any_freeze() -> impl Strategy<Value = Freeze> {
        prop_oneof![
            any::<u64>().prop_map(on_balance),
            prop::collection::btree_map(0u32..4, any::<u64>(), 1..4)
                .prop_map(|grounds| on_credits(&grounds.into_iter().collect::<Vec<_>>())),
        ]
    }

    proptest! {
        #[test]
        fn one_more_freeze_never_frees_anything_and_never_takes_more_than_its_claim(
            freezes in prop::collection::vec(any_freeze(), 1..6), balance: u64,
        ) {
            let balance = amount(balance);
            let (last, others) = freezes.split_last().unwrap();
            let (with, without) = (withheld(&freezes, balance), withheld(others, balance));
            prop_assert!(with >= without);
            prop_assert!(with <= without.saturating_add(last.claim.held()));
        }

        #[test]
        fn every_freeze_finds_its_own_claim_withheld(
            freezes in prop::collection::vec(any_freeze(), 0..6), balance: u64,
        ) {
            let balance = amount(balance);
            for freeze in &freezes {
                prop_assert!(withheld(&freezes, balance) >= freeze.claim.held().min(balance));
            }
        }

        #[test]
        fn never_more_than_the_balance_and_nothing_without_freezes(
            freezes in prop::collection::vec(any_freeze(), 0..6), balance: u64,
        ) {
            prop_assert!(withheld(&freezes, amount(balance)) <= amount(balance));
            prop_assert_eq!(withheld(&[], amount(balance)), Amount::ZERO);
        }
    }
}
