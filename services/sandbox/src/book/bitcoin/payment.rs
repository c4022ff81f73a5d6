//! Which coins pay, and what comes back.

use crate::book::db::Coin;

/// Satoshi for each virtual byte.
const RATE: u64 = 5;
/// What nodes do not pass on, since spending it would cost more than it is worth.
const DUST: u64 = 546;

/// Virtual bytes of a transaction without inputs and outputs, of an input by a key's hash (SegWit), and of the largest
/// kind of output that has an address.
const FRAME: u64 = 11;
const INPUT: u64 = 69;
const OUTPUT: u64 = 43;

/// Coins to be spent together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payment {
    pub(super) coins: Vec<Coin>,
    /// What comes back to the hot wallet; none where it would be dust.
    pub(super) back: Option<u64>,
}

fn fee(inputs: usize, outputs: u64) -> u64 {
    RATE * (FRAME + INPUT * u64::try_from(inputs).unwrap_or(u64::MAX / RATE / INPUT / 2) + OUTPUT * outputs)
}

/// Pays an amount, largest coins first (as they are given); none where there is not enough.
pub(super) fn pay(coins: &[Coin], amount: u64) -> Option<Payment> {
    let mut sum = 0u64;
    for (coin, count) in coins.iter().zip(1..) {
        sum = sum.saturating_add(coin.amount());
        let wanted = amount.saturating_add(fee(count, 2));
        if sum >= wanted {
            let back = sum - wanted;
            return Some(Payment { coins: coins[..count].to_vec(), back: (back >= DUST).then_some(back) });
        }
    }
    None
}

/// Moves all of it into the hot wallet; none where it is not worth its fee.
pub(super) fn gather(coins: &[Coin]) -> Option<Payment> {
    let sum = coins.iter().fold(0u64, |sum, coin| sum.saturating_add(coin.amount()));
    let back = sum.checked_sub(fee(coins.len(), 1)).filter(|back| *back >= DUST)?;
    Some(Payment { coins: coins.to_vec(), back: Some(back) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn coins(amounts: &[u32]) -> Vec<Coin> {
        amounts.iter().zip(0..).map(|(amount, output)| Coin::new("ab", output, u64::from(*amount) + 1)).collect()
    }

    fn sum(coins: &[Coin]) -> u64 {
        coins.iter().map(Coin::amount).sum()
    }

    #[test]
    fn what_is_left_comes_back_and_dust_is_left_to_the_miner() {
        let all = coins(&[99_999, 49_999]);
        let paid = pay(&all, 50_000).unwrap();
        assert_eq!((paid.coins.len(), paid.back), (1, Some(50_000 - fee(1, 2))));
        assert_eq!(pay(&all, 100_000 - fee(1, 2) - 545).unwrap().back, None);
        assert_eq!(pay(&all, 150_000), None, "the fee is wanting");
        assert_eq!(gather(&coins(&[800])), None);
        assert_eq!(gather(&[]), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_but_a_fee_that_nodes_take(amounts in prop::collection::vec(any::<u32>(), 0..40), amount: u32) {
            let all = coins(&amounts);
            let amount = u64::from(amount) + 1;
            match pay(&all, amount) {
                Some(paid) => {
                    let fee_paid = sum(&paid.coins) - amount - paid.back.unwrap_or_default();
                    prop_assert!(fee_paid >= fee(paid.coins.len(), 2) && fee_paid < fee(paid.coins.len(), 2) + DUST);
                    prop_assert!(paid.back.is_none_or(|back| back >= DUST));
                }
                None => prop_assert!(sum(&all) < amount + fee(all.len(), 2) || all.is_empty()),
            }
        }
    }
}
