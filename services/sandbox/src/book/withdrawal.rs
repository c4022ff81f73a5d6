//! Whether a customer's withdrawal is paid.

use haetae_core::Amount;

/// What becomes of a withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Paid,
    /// The customer owns it, but it must not leave.
    Frozen,
    /// The customer does not own that much.
    Insufficient,
}

impl Outcome {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Frozen => "frozen",
            Self::Insufficient => "insufficient",
        }
    }
}

/// Pays out of what is free and of nothing else.
pub(super) fn decide(balance: Amount, withheld: Amount, wanted: Amount) -> Outcome {
    if wanted > balance {
        Outcome::Insufficient
    } else if wanted > balance.saturating_sub(withheld) {
        Outcome::Frozen
    } else {
        Outcome::Paid
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_free_is_paid_and_what_is_frozen_is_not() {
        let decided = |wanted: u64| decide(Amount::from(100u64), Amount::from(60u64), Amount::from(wanted));
        assert_eq!((decided(40), decided(41)), (Outcome::Paid, Outcome::Frozen));
        assert_eq!((decided(100), decided(101)), (Outcome::Frozen, Outcome::Insufficient));
    }

    proptest! {
        #[test]
        fn whatever_is_paid_what_is_withheld_stays(balance: u64, withheld: u64, wanted: u64) {
            let (balance, wanted) = (Amount::from(balance), Amount::from(wanted));
            let withheld = Amount::from(withheld).min(balance);
            if decide(balance, withheld, wanted) == Outcome::Paid {
                prop_assert!(balance.checked_sub(wanted).unwrap() >= withheld);
            }
        }
    }
}
