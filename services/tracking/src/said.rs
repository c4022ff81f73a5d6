//! What was said about a transfer, and what has to be said when it turns out otherwise. A fact is never taken back by
//! deleting it: that it does not hold any more is said as another.

use haetae_core::{Account, Amount, Asset};

use crate::knowledge::Holder;
use crate::trail::{EndReason, Hop, Outcome, Payer, Reached, Sighting};

/// What was said so far about one transfer; nothing at first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) hop: Option<SaidHop>,
    pub(crate) arrival: Option<SaidArrival>,
    pub(crate) end: Option<SaidEnd>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SaidHop {
    pub(crate) depth: u32,
    pub(crate) traced: Amount,
    pub(crate) provisional: bool,
    pub(crate) finality: Finality,
    /// The block it was last said to be in.
    pub(crate) block_hash: String,
    /// All that brought traced money, where it was more than one account.
    pub(crate) payers: Vec<Payer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SaidArrival {
    pub(crate) holder: Holder,
    pub(crate) traced: Amount,
    pub(crate) state: ArrivalState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SaidEnd {
    pub(crate) reason: TrailEnd,
    pub(crate) traced: Amount,
}

/// How final a hop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finality {
    /// In a block.
    Seen,
    /// Under as many blocks as the chain's configuration asks.
    Confirmed,
    /// The chain's own finality.
    Final,
    /// No longer in the chain, or no longer traced.
    Retracted,
}

/// Where an arrival stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArrivalState {
    /// No open question lies before it.
    Settled,
    /// It waits: an open question lies before it.
    HeldBack,
    /// It is none any more.
    Retracted,
}

/// Why a trail ends, of all the reasons there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrailEnd {
    Held,
    Dust,
    /// Spent on a transaction.
    Fee,
    /// It was not at the root any more when the watch began.
    LeftBefore,
    Other(EndReason),
}

/// Something to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Traced money moved; or it did so otherwise than was said.
    Hop { sighting: Sighting, hop: SaidHop },
    /// How final a hop is changed.
    Finality { sighting: Sighting, finality: Finality },
    /// It arrived at an exchange, or the arrival stands otherwise than was said.
    Arrival { sighting: Sighting, arrival: SaidArrival },
    /// A trail ends at this account.
    Ended { sighting: Sighting, account: Account, end: SaidEnd },
    /// A trail does not end at this account after all.
    NotEnded { sighting: Sighting, account: Account, end: SaidEnd },
    /// No hop leads to an account on the way any more; or one does again.
    Reached { account: Account, reached: bool },
    /// What was stolen ends at the root itself, before any transfer.
    EndedAtRoot { account: Account, asset: Asset, end: SaidEnd },
}

impl Change {
    pub(crate) fn is_retraction(&self) -> bool {
        match self {
            Self::Finality { finality, .. } => *finality == Finality::Retracted,
            Self::Arrival { arrival, .. } => arrival.state == ArrivalState::Retracted,
            Self::NotEnded { .. } => true,
            Self::Hop { .. } | Self::Ended { .. } | Self::EndedAtRoot { .. } | Self::Reached { .. } => false,
        }
    }
}

impl Said {
    /// A hop was said that was not taken back.
    pub(crate) fn hop_stands(&self) -> bool {
        self.hop.as_ref().is_some_and(|hop| hop.finality != Finality::Retracted)
    }

    /// Something was said that was not taken back.
    #[cfg(test)]
    pub(crate) fn stands(&self) -> bool {
        self.end.is_some()
            || self.hop_stands()
            || self.arrival.as_ref().is_some_and(|arrival| arrival.state != ArrivalState::Retracted)
    }
}

/// What has to be said so that what was said about a transfer is what it turned out to be.
pub(crate) fn settle(said: &Said, sighting: &Sighting, outcome: &Outcome) -> (Said, Vec<Change>) {
    let mut changes = Vec::new();
    let hop = match outcome {
        Outcome::Hop(hop) => Some(hop),
        _ => None,
    };
    let said = Said {
        hop: settle_hop(said.hop.as_ref(), sighting, hop, &mut changes),
        arrival: settle_arrival(said.arrival.as_ref(), sighting, hop, &mut changes),
        end: settle_end(said, sighting, outcome, &mut changes),
    };
    (said, changes)
}

fn settle_hop(
    said: Option<&SaidHop>,
    sighting: &Sighting,
    hop: Option<&Hop>,
    out: &mut Vec<Change>,
) -> Option<SaidHop> {
    let mut finality = |finality| out.push(Change::Finality { sighting: sighting.clone(), finality });
    let Some(hop) = hop else {
        return said.map(|said| {
            if said.finality != Finality::Retracted {
                finality(Finality::Retracted);
            }
            SaidHop { finality: Finality::Retracted, ..said.clone() }
        });
    };
    let moved = said.is_some_and(|said| said.finality == Finality::Retracted || said.block_hash != sighting.block_hash);
    let now = SaidHop {
        depth: hop.depth,
        traced: hop.traced,
        provisional: hop.provisional,
        finality: said.filter(|_| !moved).map_or(Finality::Seen, |said| said.finality),
        block_hash: sighting.block_hash.clone(),
        payers: hop.payers.clone(),
    };
    if moved {
        finality(Finality::Seen);
    }
    let what = |s: &SaidHop| (s.depth, s.traced, s.provisional, s.payers.clone());
    let same = said.is_some_and(|said| what(said) == what(&now));
    if !same {
        out.push(Change::Hop { sighting: sighting.clone(), hop: now.clone() });
    }
    Some(now)
}

fn settle_arrival(
    said: Option<&SaidArrival>,
    sighting: &Sighting,
    hop: Option<&Hop>,
    out: &mut Vec<Change>,
) -> Option<SaidArrival> {
    let now = hop.and_then(|hop| match &hop.reached {
        Reached::Held(holder) => Some(SaidArrival {
            holder: holder.clone(),
            traced: hop.traced,
            state: if hop.provisional { ArrivalState::HeldBack } else { ArrivalState::Settled },
        }),
        _ => None,
    });
    let mut say = |arrival: &SaidArrival| {
        out.push(Change::Arrival { sighting: sighting.clone(), arrival: arrival.clone() });
    };
    let retracted = |said: &SaidArrival| SaidArrival { state: ArrivalState::Retracted, ..said.clone() };
    match (said, now) {
        (said, Some(now)) if said == Some(&now) => Some(now),
        (said, Some(now)) => {
            // Who acts on settled arrivals must hear that it is not the one that was said, before hearing what it is instead.
            if let Some(said) = said.filter(|said| said.state == ArrivalState::Settled) {
                say(&retracted(said));
            }
            say(&now);
            Some(now)
        }
        (Some(said), None) => {
            if said.state != ArrivalState::Retracted {
                say(&retracted(said));
            }
            Some(retracted(said))
        }
        (None, None) => None,
    }
}

fn settle_end(said: &Said, sighting: &Sighting, outcome: &Outcome, out: &mut Vec<Change>) -> Option<SaidEnd> {
    let ended = |account: &Account, reason, traced| Some((account.clone(), SaidEnd { reason, traced }));
    let now = match outcome {
        Outcome::Untraced => None,
        Outcome::Fee { traced } => ended(&sighting.from, TrailEnd::Fee, *traced),
        Outcome::NoAddress { traced } => ended(&sighting.from, TrailEnd::Other(EndReason::NoAddress), *traced),
        Outcome::Dust { traced } => ended(&sighting.to, TrailEnd::Dust, *traced),
        Outcome::ServiceLike { left } => ended(&sighting.from, TrailEnd::Other(EndReason::ServiceLike), *left),
        Outcome::Hop(hop) => match &hop.reached {
            Reached::Followed => None,
            Reached::Held(_) => ended(&sighting.to, TrailEnd::Held, hop.traced),
            Reached::Ended(reason) => ended(&sighting.to, TrailEnd::Other(*reason), hop.traced),
        },
    };
    match (&said.end, now) {
        (Some(said), Some((_, now))) if *said == now => Some(now),
        (_, Some((account, end))) => {
            out.push(Change::Ended { sighting: sighting.clone(), account, end: end.clone() });
            Some(end)
        }
        (Some(end), None) => {
            // Without a hop it was the payer at whom the trail ended, unless the payment was dust.
            let at_payee = said.hop_stands() || end.reason == TrailEnd::Dust;
            let account = if at_payee { sighting.to.clone() } else { sighting.from.clone() };
            out.push(Change::NotEnded { sighting: sighting.clone(), account, end: end.clone() });
            None
        }
        (None, None) => None,
    }
}
