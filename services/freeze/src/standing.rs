//! A standing freeze: what arrives at exchanges is frozen, within caps and limits that people approved. Pure.
//!
//! Issuing *reserves*: what a leg may withhold counts against its asset's cap until the exchange's answer *settles* it.
//! Unknown and binding keep the reserve; so the reserves of an asset are never more than its cap, however arrivals and
//! answers are interleaved. What cannot be served waits; a freed reserve reconsiders what waits for it, oldest first.

mod serving;

use std::collections::BTreeMap;

use haetae_core::{
    Amount, ArrivalId, Asset, AuthorisationId, CaseRef, ExchangeId, LegId, Moment, Target, WalletRole, WatchId,
};
use thiserror::Error;

use self::serving::Unfolding;
use crate::brake::Brake;

/// A standing freeze and what it has taken on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What people approved.
    pub terms: Terms,
    /// The authority was ended: nothing more is frozen.
    pub over: bool,
    /// What each leg takes from the caps.
    pub reserves: BTreeMap<LegId, Reserve>,
    /// The arrivals it has been asked to serve, oldest first.
    pub claims: Vec<Claim>,
}

/// What people approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The watch that it is armed on.
    pub watch: WatchId,
    /// The case.
    pub case: CaseRef,
    /// The most, per asset, over all exchanges together.
    pub caps: BTreeMap<Asset, Amount>,
    /// When freezes end.
    pub until: Moment,
    /// Legs opened within an hour at most.
    pub legs_per_hour: u32,
    /// Account holders at most.
    pub holders: u32,
    /// The exchanges it names.
    pub lines: BTreeMap<ExchangeId, Line>,
}

/// The authority towards one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The first authorisation of the line.
    pub id: AuthorisationId,
    /// Until when orders may be issued.
    pub valid_until: Moment,
    /// Legs opened within an hour at most, as the exchange was told.
    pub legs_per_hour: u32,
}

/// What a leg takes from a cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// Whose cap.
    pub asset: Asset,
    /// At which exchange.
    pub exchange: ExchangeId,
    /// How much.
    pub amount: Amount,
    /// When the leg was opened.
    pub opened_at: Moment,
    /// The account holder, once known.
    pub holder: Option<String>,
    /// A person released the leg: nothing more is reserved for it.
    pub closed: bool,
}

/// An arrival that calls for a freeze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The arrival.
    pub arrival: ArrivalId,
    /// The exchange.
    pub exchange: ExchangeId,
    /// The account.
    pub target: Target,
    /// The asset.
    pub asset: Asset,
    /// How much of it is traced to the theft.
    pub traced: Amount,
    /// What the exchange says the wallet is for.
    pub wallet_role: Option<WalletRole>,
}

/// An arrival and how far it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The arrival.
    pub found: Found,
    /// How much of it was taken into a leg.
    pub granted: Amount,
    /// Where the rest stands.
    pub rest: Rest,
}

/// Where that part of an arrival stands which is in no leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rest {
    /// There is none.
    None,
    /// It waits.
    Waits(Unserved),
    /// It is not served any more: the exchange has answered for good.
    Closed,
    /// It is not served as long as the arrival is taken back.
    Withdrawn,
}

/// Why an arrival is not frozen, or not in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unserved {
    /// The asset has no cap.
    NoCap,
    /// The cap is used up; a freed reserve serves it.
    CapExhausted,
    /// Dispatch is halted; a resume serves it.
    Halted,
    /// More legs within the hour than allowed. Another standing freeze, which two persons decide, serves it at once.
    LegsPerHour,
    /// More account holders than allowed. As above.
    Holders,
    /// The exchange is not one that the authority names.
    ExchangeNotAuthorised,
    /// The authority is over, or a person released the leg.
    AuthorityOver,
    /// Not a customer's deposit address: a freeze would harm bystanders.
    WalletRole,
}

/// What a standing freeze is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stolen money reached an exchange.
    Serve(Found),
    /// An arrival was taken back.
    Withdraw {
        /// The arrival.
        arrival: ArrivalId,
        /// Where it was said to be.
        exchange: ExchangeId,
    },
    /// At most this much can still be withheld under the leg.
    Settle {
        /// The leg.
        leg: LegId,
        /// How much.
        keep: Amount,
    },
    /// The exchange has taken in that the leg withholds at most this much, which is less than it was.
    Lower {
        /// The leg.
        leg: LegId,
        /// How much.
        keep: Amount,
    },
    /// The exchange says who holds the account.
    Holder {
        /// The leg.
        leg: LegId,
        /// The holder's pseudonym.
        holder: String,
    },
    /// A person released the leg.
    Close(LegId),
    /// The authority ends.
    End,
    /// Dispatch was resumed.
    Resume,
}

/// What happened to a standing freeze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An arrival is to be served; or it is back, and may be worth more or less than it was.
    Came(Found),
    /// Part of a cap was reserved for an arrival.
    Reserved {
        /// For which arrival.
        found: Found,
        /// In which leg.
        leg: LegId,
        /// How much.
        grant: Amount,
        /// What the leg has reserved in all: the cap to be ordered.
        total: Amount,
        /// When.
        at: Moment,
    },
    /// An arrival is not served, or not in full.
    Waits {
        /// Which.
        found: Found,
        /// Why.
        why: Unserved,
    },
    /// An arrival was taken back.
    Withdrawn {
        /// Which.
        arrival: ArrivalId,
        /// Where it was said to be.
        exchange: ExchangeId,
    },
    /// A leg's reserve is now this, and what it was for is answered.
    Settled {
        /// The leg.
        leg: LegId,
        /// The reserve.
        keep: Amount,
    },
    /// A leg's reserve is now this.
    Lowered {
        /// The leg.
        leg: LegId,
        /// The reserve.
        keep: Amount,
    },
    /// The account holder of a leg is known.
    Holder {
        /// The leg.
        leg: LegId,
        /// The holder's pseudonym.
        holder: String,
    },
    /// Nothing more is reserved for a leg.
    Closed(LegId),
    /// Nothing more is reserved at all.
    Ended,
}

/// Why nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The arrival has been considered before.
    #[error("the arrival is known")]
    KnownArrival,
    /// It is not one that was to be served.
    #[error("the arrival is not known")]
    UnknownArrival,
    /// Not a leg of this standing freeze.
    #[error("the leg is not known")]
    UnknownLeg,
    /// Nothing would change.
    #[error("nothing changes")]
    Unchanged,
}

impl Standing {
    /// Armed, and nothing has arrived.
    pub fn new(terms: Terms) -> Self {
        Self { terms, over: false, reserves: BTreeMap::new(), claims: Vec::new() }
    }

    /// What all legs together take from an asset's cap.
    pub fn reserved(&self, asset: &Asset) -> Amount {
        self.reserves.values().filter(|reserve| reserve.asset == *asset).map(|reserve| reserve.amount).sum()
    }

    /// # Errors
    /// See [`Refusal`].
    pub fn decide(&self, command: Command, brake: &Brake, now: Moment) -> Result<Vec<Event>, Refusal> {
        let mut then = Unfolding::of(self);
        match command {
            Command::Serve(found) => {
                let news = |claim: &Claim| match claim.rest {
                    Rest::Withdrawn => true,
                    Rest::Closed => claim.found != found,
                    Rest::None | Rest::Waits(_) => false,
                };
                if self.claim(found.arrival, &found.exchange).is_some_and(|claim| !news(claim)) {
                    return Err(Refusal::KnownArrival);
                }
                let (arrival, exchange) = (found.arrival, found.exchange.clone());
                then.push(Event::Came(found));
                then.consider(arrival, &exchange, brake, now);
            }
            Command::Withdraw { arrival, exchange } => {
                let claim = self.claim(arrival, &exchange).ok_or(Refusal::UnknownArrival)?;
                if matches!(claim.rest, Rest::Closed | Rest::Withdrawn) {
                    return Err(Refusal::Unchanged);
                }
                then.push(Event::Withdrawn { arrival, exchange });
            }
            Command::Settle { leg, keep } | Command::Lower { leg, keep } => {
                let reserve = self.reserves.get(&leg).ok_or(Refusal::UnknownLeg)?;
                // An answer never takes more from the cap than was reserved for it.
                if keep >= reserve.amount {
                    return Err(Refusal::Unchanged);
                }
                let asset = reserve.asset.clone();
                let for_good = matches!(command, Command::Settle { .. });
                then.push(if for_good { Event::Settled { leg, keep } } else { Event::Lowered { leg, keep } });
                then.reconsider(brake, now, |claim| {
                    claim.found.asset == asset && claim.rest == Rest::Waits(Unserved::CapExhausted)
                });
            }
            Command::Holder { leg, holder } => {
                let reserve = self.reserves.get(&leg).ok_or(Refusal::UnknownLeg)?;
                if reserve.holder.as_ref() == Some(&holder) {
                    return Err(Refusal::Unchanged);
                }
                then.push(Event::Holder { leg, holder });
            }
            Command::Close(leg) => {
                if self.reserves.get(&leg).ok_or(Refusal::UnknownLeg)?.closed {
                    return Err(Refusal::Unchanged);
                }
                then.push(Event::Closed(leg));
                then.reconsider(brake, now, |claim| {
                    matches!(claim.rest, Rest::Waits(_)) && self.leg_of(&claim.found) == Some(leg)
                });
            }
            Command::End => {
                if self.over {
                    return Err(Refusal::Unchanged);
                }
                then.push(Event::Ended);
                then.reconsider(brake, now, |claim| matches!(claim.rest, Rest::Waits(_)));
            }
            Command::Resume => then.reconsider(brake, now, |claim| {
                use Unserved::{Halted, Holders, LegsPerHour};
                matches!(claim.rest, Rest::Waits(Halted | LegsPerHour | Holders))
            }),
        }
        Ok(then.into_events())
    }

    /// The standing freeze after an event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Came(found) => match self.claim_mut(found.arrival, &found.exchange) {
                Some(claim) => {
                    claim.granted = claim.granted.min(found.traced);
                    claim.found = found.clone();
                    if claim.rest == Rest::Withdrawn {
                        claim.rest = Rest::None;
                    }
                }
                None => self.claims.push(Claim { found: found.clone(), granted: Amount::ZERO, rest: Rest::None }),
            },
            Event::Reserved { found, leg, grant, total, at } => {
                if let Some(claim) = self.claim_mut(found.arrival, &found.exchange) {
                    claim.granted = claim.granted.saturating_add(*grant);
                    claim.rest = Rest::None;
                }
                let reserve = self.reserves.entry(*leg).or_insert_with(|| Reserve {
                    asset: found.asset.clone(),
                    exchange: found.exchange.clone(),
                    amount: Amount::ZERO,
                    opened_at: *at,
                    holder: None,
                    closed: false,
                });
                reserve.amount = *total;
            }
            Event::Waits { found, why } => {
                if let Some(claim) = self.claim_mut(found.arrival, &found.exchange) {
                    claim.rest = Rest::Waits(*why);
                }
            }
            Event::Withdrawn { arrival, exchange } => {
                if let Some(claim) = self.claim_mut(*arrival, exchange) {
                    claim.rest = Rest::Withdrawn;
                }
            }
            Event::Lowered { leg, keep } => {
                if let Some(reserve) = self.reserves.get_mut(leg) {
                    reserve.amount = *keep;
                }
            }
            Event::Settled { leg, keep } => {
                if let Some(reserve) = self.reserves.get_mut(leg) {
                    reserve.amount = *keep;
                }
                // What the exchange has answered for is not asked of it again.
                let answered: Vec<_> =
                    self.claims.iter().map(|c| !c.granted.is_zero() && self.leg_of(&c.found) == Some(*leg)).collect();
                for (claim, answered) in self.claims.iter_mut().zip(answered) {
                    if answered {
                        claim.rest = Rest::Closed;
                    }
                }
            }
            Event::Holder { leg, holder } => {
                if let Some(reserve) = self.reserves.get_mut(leg) {
                    reserve.holder = Some(holder.clone());
                }
            }
            Event::Closed(leg) => {
                if let Some(reserve) = self.reserves.get_mut(leg) {
                    reserve.closed = true;
                }
            }
            Event::Ended => self.over = true,
        }
    }

    /// The leg that an arrival belongs to; none where the exchange is not authorised.
    pub fn leg_of(&self, found: &Found) -> Option<LegId> {
        let line = self.terms.lines.get(&found.exchange)?;
        Some(LegId::of(line.id, &found.exchange, &found.target, Some(&found.asset)))
    }

    fn claim(&self, arrival: ArrivalId, exchange: &ExchangeId) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.found.arrival == arrival && claim.found.exchange == *exchange)
    }

    fn claim_mut(&mut self, arrival: ArrivalId, exchange: &ExchangeId) -> Option<&mut Claim> {
        self.claims.iter_mut().find(|claim| claim.found.arrival == arrival && claim.found.exchange == *exchange)
    }
}

#[cfg(test)]
mod tests;
