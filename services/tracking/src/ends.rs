//! Where the money of a watch is now: every place where it lies or ended, and what led there. It is worked out from the
//! fold each time somebody asks, so that it cannot differ from what the totals say.

use std::collections::BTreeMap;

use haetae_core::{Account, Amount, Asset, ExchangeId};

use crate::said::TrailEnd;
use crate::trail::{EndReason, Outcome, Reached, Sighting};
use crate::watched::Watched;

/// Why money is where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It lies at an account under watch.
    Unspent,
    /// It is not followed on.
    Ended(TrailEnd),
}

/// Money at one place, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot<'a> {
    pub(crate) account: &'a Account,
    pub(crate) asset: &'a Asset,
    pub(crate) why: Why,
    pub(crate) traced: Amount,
    /// The exchange that holds the account.
    pub(crate) exchange: Option<ExchangeId>,
    /// The last transfer that led there; none where it was there from the beginning.
    pub(crate) last: Option<&'a Sighting>,
    pub(crate) transfers: u32,
    pub(crate) depth: u32,
    pub(crate) provisional: bool,
}

/// What led to a place.
#[derive(Clone, Copy, Default)]
struct Way<'a> {
    last: Option<&'a Sighting>,
    transfers: u32,
}

impl<'a> Way<'a> {
    fn note(&mut self, sighting: &'a Sighting) {
        self.transfers = self.transfers.saturating_add(1);
        if self.last.is_none_or(|last| last.place <= sighting.place) {
            self.last = Some(sighting);
        }
    }
}

/// Every place, in no particular order. Under every rule but poison they come to what was stolen.
pub(crate) fn spots(watched: &Watched) -> Vec<Spot<'_>> {
    let mut brought: BTreeMap<(&Account, &Asset), Way<'_>> = BTreeMap::new();
    let mut lost: BTreeMap<(&Account, &Asset, u8), Spot<'_>> = BTreeMap::new();
    for (sighting, outcome) in watched.outcomes() {
        let (account, end, traced) = match outcome {
            Outcome::Untraced => continue,
            Outcome::Hop(_) => {
                brought.entry((&sighting.to, &sighting.asset)).or_default().note(sighting);
                continue;
            }
            Outcome::Dust { traced } => (&sighting.to, TrailEnd::Dust, *traced),
            Outcome::Fee { traced } => (&sighting.from, TrailEnd::Fee, *traced),
            Outcome::NoAddress { traced } => (&sighting.from, TrailEnd::Other(EndReason::NoAddress), *traced),
            Outcome::ServiceLike { left } => (&sighting.from, TrailEnd::Other(EndReason::ServiceLike), *left),
        };
        let depth = watched.depth(&sighting.from).unwrap_or_default();
        let kind = match end {
            TrailEnd::Dust => 0,
            TrailEnd::Fee => 1,
            TrailEnd::Other(EndReason::NoAddress) => 2,
            _ => 3,
        };
        let spot = lost.entry((account, &sighting.asset, kind)).or_insert_with(|| Spot {
            account,
            asset: &sighting.asset,
            why: Why::Ended(end),
            traced: Amount::ZERO,
            exchange: None,
            last: None,
            transfers: 0,
            depth: if end == TrailEnd::Dust { depth + 1 } else { depth },
            provisional: false,
        });
        let mut way = Way { last: spot.last, transfers: spot.transfers };
        way.note(sighting);
        (spot.last, spot.transfers) = (way.last, way.transfers);
        spot.traced = spot.traced.saturating_add(traced);
    }
    let lying = watched.lying().into_iter().map(|lying| {
        let way = brought.get(&(lying.account, lying.asset)).copied().unwrap_or_default();
        let (why, exchange) = match lying.reached {
            Reached::Followed => (Why::Unspent, None),
            Reached::Held(holder) => (Why::Ended(TrailEnd::Held), Some(holder.exchange)),
            Reached::Ended(reason) => (Why::Ended(TrailEnd::Other(reason)), None),
        };
        Spot {
            account: lying.account,
            asset: lying.asset,
            why,
            traced: lying.traced,
            exchange,
            last: way.last,
            transfers: way.transfers,
            depth: lying.depth,
            provisional: lying.provisional,
        }
    });
    let left_before = watched.left_before().map(|(account, asset, traced)| Spot {
        account,
        asset,
        why: Why::Ended(TrailEnd::LeftBefore),
        traced,
        exchange: None,
        last: None,
        transfers: 0,
        depth: 0,
        provisional: false,
    });
    lying.chain(left_before).chain(lost.into_values()).collect()
}

#[cfg(test)]
mod tests;
