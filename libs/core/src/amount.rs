//! Money: integers in an asset's smallest unit.

use std::{fmt, str::FromStr};

use alloy_primitives::U256;
use thiserror::Error;

/// An amount in an asset's smallest unit, 0 to 2^256−1. Never a float, never negative, never overflowing silently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(U256);

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MalformedAmount {
    /// Something else than the digits 0–9: a sign, a fraction, a separator, a space, or nothing at all.
    #[error("must be a base-10 integer in the asset's smallest unit: digits only, no sign, no fraction, no separators")]
    NotAnInteger,
    /// `007` for `7`.
    #[error("must not have leading zeros")]
    LeadingZero,
    /// More than 2^256−1.
    #[error("must be at most 2^256−1")]
    TooLarge,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(U256::ZERO);
    /// 2^256−1.
    pub const MAX: Self = Self(U256::MAX);

    /// From the integer type that chains use.
    pub const fn from_u256(value: U256) -> Self {
        Self(value)
    }

    /// The integer type that chains use.
    pub const fn to_u256(self) -> U256 {
        self.0
    }

    /// True for nothing.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// The sum, or none past 2^256−1.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The sum, or the largest amount past it. Right where more than everything is as good as everything.
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or none below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The difference, or nothing where `other` is more.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl From<u64> for Amount {
    fn from(value: u64) -> Self {
        Self(U256::from(value))
    }
}

impl From<u128> for Amount {
    fn from(value: u128) -> Self {
        Self(U256::from(value))
    }
}

impl std::iter::Sum for Amount {
    /// Saturating: see [`Amount::saturating_add`].
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Amount {
    type Err = MalformedAmount;

    fn from_str(text: &str) -> Result<Self, MalformedAmount> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(MalformedAmount::NotAnInteger);
        }
        if text.len() > 1 && text.starts_with('0') {
            return Err(MalformedAmount::LeadingZero);
        }
        U256::from_str_radix(text, 10).map(Self).map_err(|_| MalformedAmount::TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn signs_fractions_separators_and_overflow_are_refused() {
        for bad in ["", "-1", "+1", "1.5", "1,000", "1_000", " 1", "1e3", "0x10", "１"] {
            assert_eq!(bad.parse::<Amount>(), Err(MalformedAmount::NotAnInteger), "{bad}");
        }
        assert_eq!("007".parse::<Amount>(), Err(MalformedAmount::LeadingZero));
        let max = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        let over = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        assert_eq!(max.parse::<Amount>(), Ok(Amount::MAX));
        assert_eq!(over.parse::<Amount>(), Err(MalformedAmount::TooLarge));
        assert_eq!("9".repeat(500).parse::<Amount>(), Err(MalformedAmount::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(limbs: [u64; 4]) {
            let amount = Amount(U256::from_limbs(limbs));
            prop_assert_eq!(amount.to_string().parse::<Amount>(), Ok(amount));
        }
    }
}
