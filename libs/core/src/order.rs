//! What an exchange is told to do, and whether the authorisation in it allows that.

use std::num::NonZeroU32;

use thiserror::Error;

use crate::{
    Act, Amount, ArrivalId, Asset, Authorisation, AuthorisationId, ExchangeId, LegId, Moment, OrderKind, Subject,
    TaintRule, Target, TransferId, WatchId, derived,
};

/// One leg's complete desired state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The exchange it is for.
    pub recipient: ExchangeId,
    /// The leg.
    pub leg: LegId,
    /// Rises with every order for the leg.
    pub revision: NonZeroU32,
    /// The account.
    pub target: Target,
    /// The asset; none when an address is to be confirmed.
    pub asset: Option<Asset>,
    /// What is wanted.
    pub desired: Desired,
    /// When it was signed.
    pub issued_at: Moment,
    /// Not to be accepted after.
    pub expires_at: Moment,
    /// With a watch, for a freeze: what arrived.
    pub arrivals: Vec<Arrival>,
    /// With a watch, for a confirmation: the transfer that led to the target; none for its root.
    pub hop: Option<TransferId>,
}

/// What is wanted of a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// Say whether you hold the target.
    ConfirmAddress,
    /// Keep this much from leaving.
    Frozen {
        /// The most to withhold under this leg.
        cap: Amount,
        /// When it ends by itself.
        until: Moment,
        /// What is withheld.
        scope: FreezeScope,
    },
    /// Keep nothing from leaving.
    Released,
}

/// What a freeze withholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezeScope {
    /// Only what the arrivals' transactions credit.
    CreditsOfTransactions,
    /// The balance and whatever is credited later.
    BalanceAndLaterCredits,
}

/// Stolen money reached an account that an exchange says it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Derived from watch and transfer.
    pub id: ArrivalId,
    /// The watch.
    pub watch: WatchId,
    /// The transfer.
    pub transfer: TransferId,
    /// Where it arrived.
    pub target: Target,
    /// Who holds the target.
    pub exchange: ExchangeId,
    /// What arrived.
    pub asset: Asset,
    /// How much the transfer moved.
    pub amount: Amount,
    /// The part of it that is traced to the theft.
    pub traced: Amount,
    /// By which rule.
    pub rule: TaintRule,
    /// Number of the block it was seen in.
    pub block_number: u64,
    /// Hash of that block as the chain prints it.
    pub block_hash: String,
    /// When it was seen.
    pub seen_at: Moment,
    /// What kind of wallet the exchange says the target is.
    pub wallet_role: Option<WalletRole>,
}

/// What a wallet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WalletRole {
    /// Deposit address of one customer.
    CustomerDeposit,
    /// Shared address where a memo tells customers apart.
    OmnibusWithMemo,
    /// The exchange's own wallet: hot, cold, treasury.
    ExchangeOwn,
}

impl LegId {
    /// The one leg of an authorisation line, exchange, target and asset; without an asset, the line's question about the target.
    pub fn of(line: AuthorisationId, exchange: &ExchangeId, target: &Target, asset: Option<&Asset>) -> Self {
        let asset = asset.map(ToString::to_string);
        Self(derived(
            "leg",
            &[
                &line.to_string(),
                exchange.as_str(),
                &target.account.to_string(),
                target.memo.as_deref().unwrap_or_default(),
                asset.as_deref().unwrap_or_default(),
            ],
        ))
    }
}

/// How an order goes beyond its authorisation, or contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Breach {
    /// Made out to another exchange than the authorisation.
    #[error("the authorisation is for another exchange")]
    Exchange,
    /// The leg's id is not that of its parts.
    #[error("the leg id does not follow from authorisation, exchange, target and asset")]
    Leg,
    /// Not among the kinds permitted.
    #[error("the authorisation does not permit this kind of order")]
    Kind,
    /// The line was ended.
    #[error("the authorisation was cancelled")]
    Cancelled,
    /// A release that no cancellation covers.
    #[error("a release needs a cancellation that covers the leg")]
    NotCancelled,
    /// Signed before or after the authorisation's time.
    #[error("signed outside the authorisation's validity")]
    Validity,
    /// Expires before it is issued.
    #[error("expires before it is issued")]
    Expiry,
    /// Not one of the targets, or not shown to be the watch's.
    #[error("the target is not one that the authorisation is about")]
    Target,
    /// No asset where one is needed, or one where none is.
    #[error("a freeze or release names an asset, a confirmation none")]
    Asset,
    /// The asset has no cap, or a smaller one.
    #[error("more than the cap for the asset")]
    Cap,
    /// Nothing to withhold.
    #[error("a cap of zero freezes nothing")]
    ZeroCap,
    /// Lasts longer than allowed.
    #[error("lasts longer than the authorisation allows")]
    Until,
    /// A freeze about a watch without arrivals, or by another scope than their credits.
    #[error("a freeze about a watch covers the credits of its arrivals and nothing else")]
    Scope,
    /// An arrival of another watch, exchange, target or asset, or the same one twice.
    #[error("an arrival is of another watch, exchange, target or asset, or named twice")]
    Arrival,
    /// More than what the arrivals trace to the theft.
    #[error("more than the arrivals trace to the theft")]
    Traced,
}

/// Whether an order lies inside the authorisation it carries.
///
/// This is what freeze and tracking ask before they sign, and what an exchange asks before it obeys: one function, so
/// that they cannot differ. Signatures, proofs and clocks are checked elsewhere.
///
/// # Errors
/// Every breach found.
pub fn within(order: &Order, authorisation: &Authorisation) -> Result<(), Vec<Breach>> {
    let mut breaches = Vec::new();
    let mut require = |holds: bool, breach: Breach| {
        if !holds {
            breaches.push(breach);
        }
    };

    require(order.recipient == authorisation.exchange, Breach::Exchange);
    let leg = LegId::of(authorisation.line, &order.recipient, &order.target, order.asset.as_ref());
    require(order.leg == leg, Breach::Leg);
    require(order.issued_at < order.expires_at, Breach::Expiry);
    require(order.asset.is_some() != (order.desired == Desired::ConfirmAddress), Breach::Asset);

    let cancelled = matches!(&authorisation.act, Act::Cancel { legs } if legs.is_empty() || legs.contains(&order.leg));
    let in_time = order.issued_at >= authorisation.valid_from && order.issued_at <= authorisation.valid_until;
    let named = |target: &Target| match &authorisation.subject {
        Subject::Targets(targets) => targets.contains(target),
        Subject::Watch { .. } => true,
    };
    require(named(&order.target), Breach::Target);

    match &order.desired {
        Desired::ConfirmAddress => {
            require(authorisation.permitted.contains(&OrderKind::ConfirmAddress), Breach::Kind);
            require(!matches!(authorisation.act, Act::Cancel { .. }), Breach::Cancelled);
            require(in_time, Breach::Validity);
            require(order.arrivals.is_empty(), Breach::Arrival);
            if let Subject::Watch { root, .. } = &authorisation.subject {
                require(order.hop.is_some() || *root == order.target, Breach::Target);
            }
        }
        Desired::Frozen { cap, until, scope } => {
            require(authorisation.permitted.contains(&OrderKind::Freeze), Breach::Kind);
            require(!matches!(authorisation.act, Act::Cancel { .. }), Breach::Cancelled);
            require(in_time, Breach::Validity);
            require(!cap.is_zero(), Breach::ZeroCap);
            let limit = order.asset.as_ref().and_then(|asset| authorisation.caps.get(asset));
            require(limit.is_some_and(|limit| cap <= limit), Breach::Cap);
            let in_period = *until > order.issued_at && authorisation.freeze_until.is_some_and(|last| *until <= last);
            require(in_period, Breach::Until);
            if let Subject::Watch { watch, .. } = authorisation.subject {
                require(!order.arrivals.is_empty() && *scope == FreezeScope::CreditsOfTransactions, Breach::Scope);
                require(arrivals_match(order, watch), Breach::Arrival);
                let traced: Amount = order.arrivals.iter().map(|arrival| arrival.traced).sum();
                require(*cap <= traced, Breach::Traced);
            } else {
                require(*scope == FreezeScope::BalanceAndLaterCredits, Breach::Scope);
                require(order.arrivals.is_empty(), Breach::Arrival);
            }
        }
        // A release only ever gives back: it is in time whenever it comes.
        Desired::Released => {
            require(authorisation.permitted.contains(&OrderKind::Freeze), Breach::Kind);
            require(cancelled, Breach::NotCancelled);
            require(order.arrivals.is_empty(), Breach::Arrival);
        }
    }
    if breaches.is_empty() { Ok(()) } else { Err(breaches) }
}

fn arrivals_match(order: &Order, watch: WatchId) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    order.arrivals.iter().all(|arrival| {
        arrival.watch == watch
            && arrival.id == arrival.transfer.arrival(watch)
            && arrival.exchange == order.recipient
            && arrival.target == order.target
            && Some(&arrival.asset) == order.asset.as_ref()
            && arrival.traced <= arrival.amount
            && seen.insert(arrival.id)
    })
}

#[cfg(test)]
mod tests;
