//! The rules by which stolen money is told from other money.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::chain::ChainKind;

/// How stolen money is told from the other money that lies with it. What a trace says, and what may be frozen on it,
/// depends on the rule: people choose it with the watch, and whatever a watch says names it.
///
/// Under every rule but poison, what is traced adds up to what was stolen. Haircut and FIFO have to know what else lay at
/// every account on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaintRule {
    /// Stolen money leaves an account before any other.
    #[default]
    TracedFirst,
    /// Whatever leaves an account after stolen money has come to it.
    Poison,
    /// Every payment carries stolen money in the proportion in which it lies at the account.
    Haircut,
    /// What came first leaves first (Clayton's case, 1816).
    Fifo,
}

/// A text that names no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be one of traced-first, poison, haircut, fifo")]
pub struct UnknownTaintRule;

impl TaintRule {
    /// Every rule.
    pub const ALL: [Self; 4] = [Self::TracedFirst, Self::Poison, Self::Haircut, Self::Fifo];

    /// The name in tables and in what people write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TracedFirst => "traced-first",
            Self::Poison => "poison",
            Self::Haircut => "haircut",
            Self::Fifo => "fifo",
        }
    }

    /// Whether it has to be known what else lies at an account, and comes to it and leaves it.
    pub const fn needs_balances(self) -> bool {
        matches!(self, Self::Haircut | Self::Fifo)
    }

    /// Whether money can be traced by it on a chain of this kind. Tron's nodes say what an account has now, and not what it
    /// had at a block.
    pub const fn works_on(self, kind: ChainKind) -> bool {
        !(self.needs_balances() && matches!(kind, ChainKind::Tron))
    }
}

impl fmt::Display for TaintRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TaintRule {
    type Err = UnknownTaintRule;

    fn from_str(text: &str) -> Result<Self, UnknownTaintRule> {
        Self::ALL.into_iter().find(|rule| rule.name() == text).ok_or(UnknownTaintRule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_back_from_its_name() {
        for rule in TaintRule::ALL {
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        assert_eq!("FIFO".parse::<TaintRule>(), Err(UnknownTaintRule));
    }
}
