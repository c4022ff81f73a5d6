//! Which part of the money at one place is the stolen money, once it lies there with other money.
//!
//! A [`Purse`] is what lies at one place under a rule; a [`Parcel`] is money that moves together. A place that keeps
//! accounts is one purse for its life; a transaction that joins inputs and parts them again is one for a moment
//! ([`through`]). Nothing here is rounded away: under every rule but poison the traced money that comes in is the traced
//! money that goes out and what is left of it, to the last unit.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use alloy_primitives::U512;
use haetae_core::{Amount, TaintRule};

/// Money of one kind that lies together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lot {
    pub(crate) amount: Amount,
    pub(crate) traced: bool,
}

/// Money that moves together, in the order in which it lay. No lot is empty, and none is of its neighbour's kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parcel(VecDeque<Lot>);

/// What lies at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purse {
    /// Of other money nothing has to be known.
    TracedFirst { traced: Amount },
    /// `traced` is what came and has not left: at least so much of what lies there was touched.
    Poison { touched: bool, traced: Amount },
    /// Never more traced than there is.
    Haircut { traced: Amount, total: Amount },
    /// The oldest first.
    Fifo(Parcel),
}

impl Parcel {
    pub(crate) fn clean(amount: Amount) -> Self {
        Self::default().with(amount, false)
    }

    pub(crate) fn traced_only(amount: Amount) -> Self {
        Self::default().with(amount, true)
    }

    /// Its traced part.
    pub(crate) fn traced(&self) -> Amount {
        self.0.iter().filter(|lot| lot.traced).map(|lot| lot.amount).sum()
    }

    pub(crate) fn amount(&self) -> Amount {
        self.0.iter().map(|lot| lot.amount).sum()
    }

    fn with(mut self, amount: Amount, traced: bool) -> Self {
        self.push(Lot { amount, traced });
        self
    }

    fn push(&mut self, lot: Lot) {
        if lot.amount.is_zero() {
            return;
        }
        match self.0.back_mut() {
            // A sum past the largest amount stays two lots: nothing is lost.
            Some(last) if last.traced == lot.traced && last.amount.checked_add(lot.amount).is_some() => {
                last.amount = last.amount.saturating_add(lot.amount);
            }
            _ => self.0.push_back(lot),
        }
    }

    /// Takes this much from the front; less where there is no more.
    fn take(&mut self, amount: Amount) -> Self {
        let (mut taken, mut wanted) = (Self::default(), amount);
        while let Some(first) = self.0.front_mut().filter(|_| !wanted.is_zero()) {
            let part = first.amount.min(wanted);
            taken.push(Lot { amount: part, traced: first.traced });
            wanted = wanted.saturating_sub(part);
            first.amount = first.amount.saturating_sub(part);
            if first.amount.is_zero() {
                self.0.pop_front();
            }
        }
        taken
    }
}

impl Purse {
    /// A place at which so much other money lies. Rules that need not know it make nothing of it.
    pub(crate) fn open(rule: TaintRule, before: Amount) -> Self {
        match rule {
            TaintRule::TracedFirst => Self::TracedFirst { traced: Amount::ZERO },
            TaintRule::Poison => Self::Poison { touched: false, traced: Amount::ZERO },
            TaintRule::Haircut => Self::Haircut { traced: Amount::ZERO, total: before },
            TaintRule::Fifo => Self::Fifo(Parcel::clean(before)),
        }
    }

    /// Money comes.
    pub(crate) fn receive(&mut self, parcel: Parcel) {
        let more = parcel.traced();
        match self {
            Self::TracedFirst { traced } => *traced = traced.saturating_add(more),
            Self::Poison { touched, traced } => {
                *touched |= !more.is_zero();
                *traced = traced.saturating_add(more);
            }
            Self::Haircut { traced, total } => {
                *traced = traced.saturating_add(more);
                *total = total.saturating_add(parcel.amount());
            }
            Self::Fifo(queue) => parcel.0.into_iter().for_each(|lot| queue.push(lot)),
        }
    }

    /// Money leaves. What leaves beyond what is known to be there is not traced: it came unseen, such as a payment within
    /// a contract or a reward for a block.
    pub(crate) fn pay(&mut self, amount: Amount) -> Parcel {
        match self {
            Self::TracedFirst { traced } => {
                let part = amount.min(*traced);
                *traced = traced.saturating_sub(part);
                Parcel::traced_only(part).with(amount.saturating_sub(part), false)
            }
            Self::Poison { touched: false, .. } => Parcel::clean(amount),
            Self::Poison { touched: true, traced } => {
                *traced = traced.saturating_sub(amount);
                Parcel::traced_only(amount)
            }
            Self::Haircut { traced, total } => {
                let part = share(*traced, amount.min(*total), *total);
                *traced = traced.saturating_sub(part);
                *total = total.saturating_sub(amount);
                Parcel::traced_only(part).with(amount.saturating_sub(part), false)
            }
            Self::Fifo(queue) => {
                let taken = queue.take(amount);
                let unseen = amount.saturating_sub(taken.amount());
                taken.with(unseen, false)
            }
        }
    }

    /// What is traced there. Under poison, at least.
    pub(crate) fn traced(&self) -> Amount {
        match self {
            Self::TracedFirst { traced } | Self::Poison { traced, .. } | Self::Haircut { traced, .. } => *traced,
            Self::Fifo(queue) => queue.traced(),
        }
    }

    /// A payment may carry traced money.
    pub(crate) fn is_touched(&self) -> bool {
        match self {
            Self::Poison { touched, .. } => *touched,
            _ => !self.traced().is_zero(),
        }
    }

    /// What was traced there is traced no further. Gives how much it was.
    pub(crate) fn forget(&mut self) -> Amount {
        let was = self.traced();
        match self {
            Self::TracedFirst { traced } | Self::Haircut { traced, .. } => *traced = Amount::ZERO,
            Self::Poison { touched, traced } => (*touched, *traced) = (false, Amount::ZERO),
            Self::Fifo(queue) => {
                let lots = std::mem::take(&mut queue.0);
                lots.into_iter().for_each(|lot| queue.push(Lot { traced: false, ..lot }));
            }
        }
        was
    }
}

/// A transaction that joins money and parts it again, where money is kept in outputs: it pays its outputs in their order
/// out of what its inputs bring in theirs. Gives what each output gets, and what is left as the fee.
///
/// A haircut deals the units that rounding down leaves one by one, each to the part that would have the most for every
/// unit of its share (D'Hondt's method), the earlier part first among equals. So where less comes in traced, no part gets
/// more of it: what was learnt late about one input never taints an output that was clean. What outputs hold beyond the
/// inputs is newly made, and clean.
pub(crate) fn through(rule: TaintRule, inputs: Vec<Parcel>, outputs: &[Amount]) -> (Vec<Parcel>, Parcel) {
    let brought: Amount = inputs.iter().map(Parcel::amount).sum();
    let fee = brought.saturating_sub(outputs.iter().copied().sum());
    let mut parts = outputs.to_vec();
    parts.push(fee);
    let mut parcels = match rule {
        TaintRule::Haircut => {
            let shares = shares(inputs.iter().map(Parcel::traced).sum(), &parts);
            let parcel =
                |(part, share): (&Amount, Amount)| Parcel::traced_only(share).with(part.saturating_sub(share), false);
            parts.iter().zip(shares).map(parcel).collect()
        }
        TaintRule::TracedFirst | TaintRule::Poison | TaintRule::Fifo => {
            let mut pool = Purse::open(rule, Amount::ZERO);
            inputs.into_iter().for_each(|parcel| pool.receive(parcel));
            parts.iter().map(|part| pool.pay(*part)).collect::<Vec<_>>()
        }
    };
    let fee = parcels.pop().unwrap_or_default();
    (parcels, fee)
}

/// Parts what is traced in proportion, to the last unit.
fn shares(traced: Amount, parts: &[Amount]) -> Vec<Amount> {
    let total: Amount = parts.iter().copied().sum();
    if total.is_zero() {
        return vec![Amount::ZERO; parts.len()];
    }
    let mut shares: Vec<Amount> = parts.iter().map(|part| divided(traced, *part, total)).collect();
    let dealt: Amount = shares.iter().copied().sum();
    // Fewer units are left than there are parts with a remainder.
    let left = usize::try_from(traced.saturating_sub(dealt).to_u256()).unwrap_or_default();
    let claim = |(place, (part, share)): (usize, (&Amount, &Amount))| Claim { part: *part, share: *share, place };
    let mut claims: BinaryHeap<Claim> = parts.iter().zip(&shares).enumerate().map(claim).collect();
    for _ in 0..left {
        let Some(mut claim) = claims.pop() else { break };
        claim.share = claim.share.saturating_add(Amount::from(1u64));
        shares[claim.place] = claim.share;
        claims.push(claim);
    }
    shares
}

/// A part's claim to the next unit: the larger, the more it is for every unit that its share would then be.
#[derive(PartialEq, Eq)]
struct Claim {
    part: Amount,
    share: Amount,
    place: usize,
}

impl Ord for Claim {
    fn cmp(&self, other: &Self) -> Ordering {
        let crossed = |one: &Self, other: &Self| -> U512 {
            let next = U512::from(other.share.to_u256()) + U512::from(1u64);
            // No more than a part of its own size times a share no larger than everything: it fits.
            U512::from(one.part.to_u256()).saturating_mul(next)
        };
        crossed(self, other).cmp(&crossed(other, self)).then(other.place.cmp(&self.place))
    }
}

impl PartialOrd for Claim {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `traced × part ÷ total`, rounded down; `part` is no more than `total`.
fn share(traced: Amount, part: Amount, total: Amount) -> Amount {
    if part == total { traced } else { divided(traced, part, total) }
}

/// `traced × part ÷ total`, rounded down, for a `part` of no more than `total`, which is not nothing.
fn divided(traced: Amount, part: Amount, total: Amount) -> Amount {
    let product: U512 = traced.to_u256().widening_mul(part.to_u256());
    // No more than `traced`: it fits.
    Amount::from_u256((product / U512::from(total.to_u256())).wrapping_to())
}

#[cfg(test)]
mod laws;
