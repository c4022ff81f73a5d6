//! How a deposit wallet is emptied into the hot wallet, one transaction at a time.

use alloy::primitives::{Address, U256};

/// What moving the chain's own coin between wallets takes, exactly.
pub(super) const COIN_GAS: u64 = 21_000;
/// What moving a token takes at most; what is left of it is not paid.
pub(super) const TOKEN_GAS: u64 = 100_000;

/// A deposit wallet as the chain shows it, with nothing under way.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) coin: U256,
    /// By contract.
    pub(super) tokens: Vec<(Address, U256)>,
    pub(super) gas_price: u128,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The hot wallet pays for the gas that a token's move takes, and as much again, since the price may rise meanwhile;
    /// what is left is swept with the rest.
    TopUp { value: U256 },
    /// A token moves.
    Token { contract: Address, amount: U256 },
    /// The coin moves, all but the gas.
    Coin { value: U256 },
    /// What is left is not worth its gas.
    Done,
}

/// Tokens first, since they need the coin.
pub(super) fn next(seen: &Seen) -> Step {
    let cost = |gas: u64| U256::from(gas) * U256::from(seen.gas_price);
    if let Some((contract, amount)) = seen.tokens.iter().find(|(_, amount)| !amount.is_zero()) {
        let cost = cost(TOKEN_GAS);
        return if seen.coin < cost {
            Step::TopUp { value: cost * U256::from(2) - seen.coin }
        } else {
            Step::Token { contract: *contract, amount: *amount }
        };
    }
    let cost = cost(COIN_GAS);
    match seen.coin.checked_sub(cost) {
        Some(value) if value > cost => Step::Coin { value },
        _ => Step::Done,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(coin: u64, token: u64) -> Seen {
        Seen { coin: U256::from(coin), tokens: vec![(Address::ZERO, U256::from(token))], gas_price: 10 }
    }

    #[test]
    fn a_token_waits_for_gas_and_then_moves() {
        assert_eq!(next(&seen(400_000, 5)), Step::TopUp { value: U256::from(1_600_000) });
        assert_eq!(next(&seen(1_000_000, 5)), Step::Token { contract: Address::ZERO, amount: U256::from(5) });
    }

    #[test]
    fn the_coin_moves_all_but_the_gas() {
        assert_eq!(next(&seen(1_000_000, 0)), Step::Coin { value: U256::from(790_000) });
    }

    #[test]
    fn dust_stays() {
        assert_eq!(next(&seen(400_000, 0)), Step::Done);
        assert_eq!(next(&seen(0, 0)), Step::Done);
    }

    proptest! {
        #[test]
        fn every_wallet_is_emptied_in_at_most_three_steps_also_when_the_price_doubles_once(
            coin: u64,
            token: u64,
            price in 1u128..1_000_000_000,
            rise in 0usize..4,
        ) {
            let mut wallet = Seen { gas_price: price, ..seen(coin, token) };
            let mut price = price;
            for step in 0..3 {
                if step == rise {
                    price *= 2;
                    wallet.gas_price = price;
                }
                match next(&wallet) {
                    Step::TopUp { value } => wallet.coin += value,
                    Step::Token { amount, .. } => {
                        prop_assert_eq!(amount, wallet.tokens[0].1);
                        wallet.tokens[0].1 = U256::ZERO;
                        wallet.coin -= U256::from(TOKEN_GAS) * U256::from(price);
                    }
                    Step::Coin { value } => {
                        wallet.coin = wallet.coin.checked_sub(value + U256::from(COIN_GAS) * U256::from(price)).unwrap();
                    }
                    Step::Done => break,
                }
            }
            prop_assert_eq!(next(&wallet), Step::Done);
        }
    }
}
