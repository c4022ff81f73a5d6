//! Transactions that wait to be included, and what becomes of each. What is said of one is a warning and nothing more: it
//! may never come to be, so nobody is asked and nothing is frozen because of it, and no trail is folded from it.
//!
//! Two transactions exclude each other where they claim the same thing: an output to spend, or a turn of their sender's.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use alloy_primitives::{Address, B256};
use bitcoin::OutPoint;
use haetae_core::{Account, Amount, Asset, WatchId};

/// What only one transaction can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Claim {
    /// To spend an output.
    Output(OutPoint),
    /// A place in the order of its sender's transactions (a nonce).
    Turn(Address, u64),
}

/// A payment that a transaction would make out of traced money, and in what whole amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) from: Account,
    pub(crate) to: Account,
    pub(crate) asset: Asset,
    pub(crate) amount: Amount,
}

/// A transaction that waits, and would move traced money of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) watch: WatchId,
    pub(crate) transaction: B256,
    pub(crate) claims: Vec<Claim>,
}

/// What became of a transaction that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It waits.
    Seen,
    /// Another has what it claims: that waits in its place, or is in the chain.
    Replaced { by: B256 },
    /// It waits no more, and is not in the chain.
    Dropped,
    /// It is in this block.
    Included { block: u64 },
}

/// Where a transaction is that a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    Waits,
    /// In the block of this number.
    InBlock(u64),
}

/// What becomes of those that waited because another transaction waits now.
pub(crate) fn seen<'a>(waiting: &'a [Waits], new: B256, claims: &[Claim]) -> Vec<(&'a Waits, Fate)> {
    let excluded = |waits: &&Waits| waits.transaction != new && waits.claims.iter().any(|claim| claims.contains(claim));
    waiting.iter().filter(excluded).map(|waits| (waits, Fate::Replaced { by: new })).collect()
}

/// What becomes of those that waited because a block holds these transactions, each with what it claims as far as the block
/// shows it.
pub(crate) fn included(waiting: &[Waits], block: u64, holds: impl Fn(&Waits) -> Option<B256>) -> Vec<(&Waits, Fate)> {
    let fate = |waits: &Waits| match holds(waits)? {
        same if same == waits.transaction => Some(Fate::Included { block }),
        by => Some(Fate::Replaced { by }),
    };
    waiting.iter().filter_map(|waits| Some((waits, fate(waits)?))).collect()
}

/// What becomes of those that waited where these are all that are shown, and every block up to `head` was read. Of the others
/// is known where they are; those of which it is not are gone.
pub(crate) fn left<'a>(
    waiting: &'a [Waits],
    shown: &HashSet<B256>,
    others: &HashMap<B256, Whereabouts>,
    head: u64,
) -> Vec<(&'a Waits, Fate)> {
    let fate = |waits: &Waits| match others.get(&waits.transaction) {
        _ if shown.contains(&waits.transaction) => None,
        Some(Whereabouts::InBlock(block)) if *block <= head => Some(Fate::Included { block: *block }),
        Some(Whereabouts::Waits | Whereabouts::InBlock(_)) => None,
        None => Some(Fate::Dropped),
    };
    waiting.iter().filter_map(|waits| Some((waits, fate(waits)?))).collect()
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(output) => write!(f, "output/{output}"),
            Self::Turn(sender, turn) => write!(f, "turn/{sender}/{turn}"),
        }
    }
}

/// A text that names no claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `output/<transaction>:<place>` or `turn/<sender>/<number>`")]
pub(crate) struct MalformedClaim;

impl FromStr for Claim {
    type Err = MalformedClaim;

    fn from_str(text: &str) -> Result<Self, MalformedClaim> {
        let claim = match text.split_once('/').ok_or(MalformedClaim)? {
            ("output", output) => Self::Output(output.parse().map_err(|_| MalformedClaim)?),
            ("turn", turn) => {
                let (sender, turn) = turn.split_once('/').ok_or(MalformedClaim)?;
                let sender = sender.parse().map_err(|_| MalformedClaim)?;
                Self::Turn(sender, turn.parse().map_err(|_| MalformedClaim)?)
            }
            _ => return Err(MalformedClaim),
        };
        Ok(claim)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::scene::coins::txid;

    fn output(n: u32) -> Claim {
        Claim::Output(OutPoint { txid: txid(n), vout: n })
    }

    fn name(n: u8) -> B256 {
        B256::repeat_byte(n)
    }

    /// Two that wait: one claims two outputs, the other a turn.
    fn waiting() -> Vec<Waits> {
        let watch = WatchId(Uuid::from_u128(7));
        let turn = Claim::Turn(Address::repeat_byte(1), 5);
        vec![
            Waits { watch, transaction: name(1), claims: vec![output(1), output(2)] },
            Waits { watch, transaction: name(2), claims: vec![turn] },
        ]
    }

    fn short(fates: Vec<(&Waits, Fate)>) -> Vec<(B256, Fate)> {
        fates.into_iter().map(|(waits, fate)| (waits.transaction, fate)).collect()
    }

    #[test]
    fn another_for_one_of_the_same_outputs_or_the_same_turn_takes_its_place() {
        let waiting = waiting();
        let replaced = |n| vec![(name(n), Fate::Replaced { by: name(9) })];
        assert_eq!(short(seen(&waiting, name(9), &[output(2), output(3)])), replaced(1));
        assert_eq!(short(seen(&waiting, name(9), &[Claim::Turn(Address::repeat_byte(1), 5)])), replaced(2));
        assert_eq!(short(seen(&waiting, name(9), &[Claim::Turn(Address::repeat_byte(1), 6), output(3)])), []);
        assert_eq!(short(seen(&waiting, name(1), &[output(1)])), [], "it is the same");
    }

    #[test]
    fn in_a_block_is_either_itself_or_what_excludes_it() {
        let waiting = waiting();
        let holds = |waits: &Waits| (waits.transaction == name(1)).then_some(name(1));
        assert_eq!(short(included(&waiting, 8, holds)), [(name(1), Fate::Included { block: 8 })]);
        let holds = |waits: &Waits| waits.claims.contains(&output(2)).then_some(name(9));
        assert_eq!(short(included(&waiting, 8, holds)), [(name(1), Fate::Replaced { by: name(9) })]);
    }

    #[test]
    fn what_waits_no_more_and_is_in_no_block_was_dropped() {
        let left = |shown: &[u8], others: &[(u8, Whereabouts)]| {
            let others = others.iter().map(|(n, at)| (name(*n), *at)).collect();
            short(left(&waiting(), &shown.iter().copied().map(name).collect(), &others, 8))
        };
        assert_eq!(left(&[1, 5], &[]), [(name(2), Fate::Dropped)]);
        assert_eq!(left(&[1], &[(2, Whereabouts::Waits)]), [], "there was no room in the next block");
        assert_eq!(left(&[1], &[(2, Whereabouts::InBlock(9))]), [], "that block is still to be read");
        assert_eq!(left(&[1], &[(2, Whereabouts::InBlock(8))]), [(name(2), Fate::Included { block: 8 })]);
    }

    #[test]
    fn a_claim_is_read_back_as_printed() {
        for claim in waiting().into_iter().flat_map(|waits| waits.claims) {
            assert_eq!(claim.to_string().parse(), Ok(claim));
        }
        for text in ["", "output/", "turn/0x01", "turn/0x0101010101010101010101010101010101010101/", "other/1"] {
            assert_eq!(text.parse::<Claim>(), Err(MalformedClaim), "{text}");
        }
    }
}
