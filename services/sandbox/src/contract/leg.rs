//! Where one leg stands here, and what an order, a credit or the passing of time makes of it.
//!
//! Pure: whoever wants to know *what happens when…* reads this file. The highest revision wins, a release seen first is
//! a tombstone, and a freeze binds from acceptance until its period ends.

use std::collections::BTreeMap;

use haetae_core::{
    Amount, Asset, Confirmation, ConfirmationAnswer, Desired, FreezeScope, LegReport, LegState, Moment, Order, Refusal,
    RefusalReason, Target, TransferId,
};

use super::book::{AccountKey, Credit, Holding, Position, Searched};

/// A leg as the exchange keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    /// What was last said of it.
    pub(crate) report: LegReport,
    /// The freeze in force; none for a question, a tombstone, and after the end.
    pub(crate) freeze: Option<Freeze>,
}

/// A freeze in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Freeze {
    /// Whose money it withholds.
    pub(crate) account: AccountKey,
    pub(crate) asset: Asset,
    pub(crate) target: Target,
    pub(crate) cap: Amount,
    pub(crate) until: Moment,
    pub(crate) claim: Claim,
}

/// What a freeze lays claim to, and how much of it is withheld so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The balance at acceptance and whatever is credited later.
    Balance {
        /// The part of it that is withheld.
        held: Amount,
    },
    /// What these transfers credit, its *grounds*, and nothing else. Zero until credited.
    Credits(BTreeMap<TransferId, Amount>),
}

/// An order that was verified: signed, proven, in time, and inside its authorisation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verified<'a> {
    pub(crate) order: &'a Order,
    /// SHA-256 over its envelope: which order it is.
    pub(crate) sha256: [u8; 32],
}

/// What the book says about the order's target.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) holding: Holding,
    /// Which wallets the book searched.
    pub(crate) searched: Searched,
    /// For an order about an asset of a customer's; none where there is no such account or asset here.
    pub(crate) position: Option<Position>,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is the highest so far: the leg stands like this now.
    Highest(Box<Leg>),
    /// It changes nothing; this is the answer to it.
    Aside(LegReport),
}

/// Something that bears on a leg besides orders.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happened<'a> {
    /// Money was credited to the freeze's account, in its asset.
    Credited(&'a Credit),
    /// Only the clock moved.
    TimePassed,
}

impl Leg {
    /// Takes an order in.
    pub(crate) fn take(before: Option<&Self>, verified: Verified<'_>, found: &Found, now: Moment) -> Taken {
        let order = verified.order;
        if let Some(before) = before {
            let highest = before.report.revision;
            if order.revision < highest {
                return Taken::Aside(answer(verified, LegState::Superseded));
            }
            if order.revision == highest {
                return Taken::Aside(if verified.sha256 == before.report.order_sha256 {
                    before.report.clone()
                } else {
                    refused(verified, RefusalReason::RevisionReused, "another order was received under this revision")
                });
            }
        }
        Taken::Highest(Box::new(match &order.desired {
            Desired::ConfirmAddress => Self::settled(answered(verified, found, now)),
            Desired::Released => Self::settled(LegReport {
                frozen: Some(Amount::ZERO),
                holder: found.holding.holder(),
                ..answer(verified, LegState::Released)
            }),
            Desired::Frozen { cap, until, scope } => match (&found.holding, &order.asset, &found.position) {
                (Holding::Customer { account, holder }, Some(asset), Some(position)) => {
                    let freeze = Freeze {
                        account: account.clone(),
                        asset: asset.clone(),
                        target: order.target.clone(),
                        cap: *cap,
                        until: *until,
                        claim: Claim::on(position, order, *cap, *scope),
                    };
                    let holder = Some(holder.clone());
                    Self::under(freeze, LegReport { holder, ..answer(verified, LegState::Binding) }, now)
                }
                (holding, ..) => Self::settled(not_held(verified, holding)),
            },
        }))
    }

    /// The leg after something happened; none where that changes nothing.
    pub(crate) fn after(&self, happened: Happened<'_>, now: Moment) -> Option<Self> {
        let mut freeze = self.freeze.clone()?;
        if let Happened::Credited(credit) = happened
            && now < freeze.until
        {
            freeze.credited(credit);
        }
        let after = Self::under(freeze, self.report.clone(), now);
        (after != *self).then_some(after)
    }

    fn under(freeze: Freeze, report: LegReport, now: Moment) -> Self {
        if freeze.until <= now {
            return Self::settled(LegReport { state: LegState::Expired, frozen: Some(Amount::ZERO), ..report });
        }
        let frozen = freeze.claim.held();
        let state = if frozen.is_zero() {
            LegState::Binding
        } else if frozen < freeze.cap {
            LegState::FrozenPartial
        } else {
            LegState::FrozenFull
        };
        Self { report: LegReport { state, frozen: Some(frozen), ..report }, freeze: Some(freeze) }
    }

    fn settled(report: LegReport) -> Self {
        Self { report, freeze: None }
    }
}

impl Freeze {
    fn credited(&mut self, credit: &Credit) {
        let left = self.cap.saturating_sub(self.claim.held());
        match &mut self.claim {
            Claim::Balance { held } => *held = held.saturating_add(credit.amount.min(left)),
            Claim::Credits(grounds) => {
                if credit.target.account == self.target.account
                    && let Some(held) = grounds.get_mut(&credit.transfer)
                    && held.is_zero()
                {
                    *held = credit.amount.min(left);
                }
            }
        }
    }
}

impl Claim {
    /// What an accepted order lays hands on at once. Of a credit that came before the order, as much as can still be
    /// there: other money counts as spent first.
    fn on(position: &Position, order: &Order, cap: Amount, scope: FreezeScope) -> Self {
        let mut left = cap.min(position.balance);
        match scope {
            FreezeScope::BalanceAndLaterCredits => Self::Balance { held: left },
            FreezeScope::CreditsOfTransactions => {
                let mut grounds: BTreeMap<TransferId, Amount> =
                    order.arrivals.iter().map(|arrival| (arrival.transfer.clone(), Amount::ZERO)).collect();
                for (transfer, credited) in &position.credits {
                    if let Some(held) = grounds.get_mut(transfer) {
                        *held = left.min(*credited);
                        left = left.saturating_sub(*held);
                    }
                }
                Self::Credits(grounds)
            }
        }
    }

    /// The running total.
    pub(crate) fn held(&self) -> Amount {
        match self {
            Self::Balance { held } => *held,
            Self::Credits(grounds) => grounds.values().copied().sum(),
        }
    }
}

fn answer(Verified { order, sha256 }: Verified<'_>, state: LegState) -> LegReport {
    LegReport {
        leg: order.leg,
        revision: order.revision,
        order_sha256: sha256,
        state,
        frozen: None,
        refusal: None,
        confirmation: None,
        holder: None,
    }
}

/// The answer to a verified order that is not carried out.
pub(super) fn refused(verified: Verified<'_>, reason: RefusalReason, message: &str) -> LegReport {
    let refusal = Refusal { reason, message: message.to_owned(), retry: false };
    LegReport { refusal: Some(refusal), ..answer(verified, LegState::Refused) }
}

fn not_held(verified: Verified<'_>, holding: &Holding) -> LegReport {
    let message = match holding {
        Holding::Customer { .. } => "the asset is not credited here",
        Holding::ExchangeOwn => "a wallet of the exchange's own is not a customer's deposit address",
        Holding::Nobody => "not a deposit address of this exchange",
    };
    refused(verified, RefusalReason::DataNotHeld, message)
}

fn answered(verified: Verified<'_>, found: &Found, now: Moment) -> LegReport {
    let wallet_role = found.holding.wallet_role();
    let confirmation = Confirmation {
        answer: if wallet_role.is_some() { ConfirmationAnswer::Held } else { ConfirmationAnswer::NotHeld },
        as_of: now,
        wallets_searched: found.searched.clone(),
        wallet_role,
    };
    LegReport {
        confirmation: Some(confirmation),
        holder: found.holding.holder(),
        ..answer(verified, LegState::Answered)
    }
}

#[cfg(test)]
mod tests;
