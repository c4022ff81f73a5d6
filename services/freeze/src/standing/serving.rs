//! How much of an arrival can be served now, and in which leg.

use std::collections::BTreeSet;

use haetae_core::{Amount, ArrivalId, ExchangeId, LegId, Moment, WalletRole};
use time::Duration;

use super::{Claim, Event, Found, Line, Rest, Standing, Unserved};
use crate::brake::Brake;

impl Standing {
    /// What can be reserved for the rest of a claim, and in which leg.
    fn judge(&self, claim: &Claim, brake: &Brake, now: Moment) -> Result<(LegId, Amount), Unserved> {
        let (found, terms) = (&claim.found, &self.terms);
        let line = terms.lines.get(&found.exchange).ok_or(Unserved::ExchangeNotAuthorised)?;
        if self.over || now >= terms.until || now >= line.valid_until {
            return Err(Unserved::AuthorityOver);
        }
        if found.wallet_role != Some(WalletRole::CustomerDeposit) {
            return Err(Unserved::WalletRole);
        }
        let cap = terms.caps.get(&found.asset).filter(|cap| !cap.is_zero()).ok_or(Unserved::NoCap)?;
        let leg = LegId::of(line.id, &found.exchange, &found.target, Some(&found.asset));
        let open = self.reserves.get(&leg);
        if open.is_some_and(|reserve| reserve.closed) {
            return Err(Unserved::AuthorityOver);
        }
        if brake.stops(&found.exchange, &terms.case) {
            return Err(Unserved::Halted);
        }
        if open.is_none() {
            self.may_open(found, line, now)?;
        }
        let left = cap.saturating_sub(self.reserved(&found.asset)).saturating_add(self.room(leg));
        let grant = left.min(found.traced.saturating_sub(claim.granted));
        if grant.is_zero() { Err(Unserved::CapExhausted) } else { Ok((leg, grant)) }
    }

    /// What is reserved for a leg and granted to none of its arrivals, as when one is back and worth less.
    fn room(&self, leg: LegId) -> Amount {
        let held = self.reserves.get(&leg).map_or(Amount::ZERO, |reserve| reserve.amount);
        let here = self.claims.iter().filter(|claim| self.leg_of(&claim.found) == Some(leg));
        held.saturating_sub(here.map(|claim| claim.granted).sum())
    }

    /// The limits beyond which a person must decide. Holders count once an exchange has named them; until then the
    /// limit on legs is what holds a burst back.
    fn may_open(&self, found: &Found, line: &Line, now: Moment) -> Result<(), Unserved> {
        let recent = self.reserves.values().filter(|reserve| reserve.opened_at > now - Duration::HOUR);
        let here = recent.clone().filter(|reserve| reserve.exchange == found.exchange);
        if recent.count() >= self.terms.legs_per_hour as usize || here.count() >= line.legs_per_hour as usize {
            return Err(Unserved::LegsPerHour);
        }
        // A pseudonym is an exchange's own: the same person at two exchanges counts twice.
        let holders: BTreeSet<_> =
            self.reserves.values().filter_map(|r| r.holder.as_ref().map(|holder| (&r.exchange, holder))).collect();
        if holders.len() >= self.terms.holders as usize { Err(Unserved::Holders) } else { Ok(()) }
    }
}

/// A decision in the making: each event is seen by what follows.
pub(super) struct Unfolding {
    state: Standing,
    events: Vec<Event>,
}

impl Unfolding {
    pub(super) fn of(state: &Standing) -> Self {
        Self { state: state.clone(), events: Vec::new() }
    }

    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }

    pub(super) fn push(&mut self, event: Event) {
        self.state.apply(&event);
        self.events.push(event);
    }

    /// Serves what can be served of one claim and says why the rest waits.
    pub(super) fn consider(&mut self, arrival: ArrivalId, exchange: &ExchangeId, brake: &Brake, now: Moment) {
        let Some(before) = self.state.claim(arrival, exchange).cloned() else { return };
        if before.rest == Rest::Closed || before.granted >= before.found.traced {
            return;
        }
        let found = before.found.clone();
        let mut claim = before.clone();
        let why = match self.state.judge(&claim, brake, now) {
            Ok((leg, grant)) => {
                let held = self.state.reserves.get(&leg).map_or(Amount::ZERO, |reserve| reserve.amount);
                let total = held.saturating_add(grant.saturating_sub(self.state.room(leg)));
                self.push(Event::Reserved { found: found.clone(), leg, grant, total, at: now });
                claim.granted = claim.granted.saturating_add(grant);
                (claim.granted < found.traced).then_some(Unserved::CapExhausted)
            }
            Err(why) => Some(why),
        };
        // Said once, and again only when the reason changes or part of it was served.
        let said = before.rest == why.map_or(Rest::None, Rest::Waits) && claim.granted == before.granted;
        if let Some(why) = why.filter(|_| !said) {
            self.push(Event::Waits { found, why });
        }
    }

    /// Considers again what waits and is concerned, oldest first.
    pub(super) fn reconsider(&mut self, brake: &Brake, now: Moment, concerned: impl Fn(&Claim) -> bool) {
        let waiting: Vec<_> = self.state.claims.iter().filter(|claim| concerned(claim)).cloned().collect();
        for claim in waiting {
            self.consider(claim.found.arrival, &claim.found.exchange, brake, now);
        }
    }
}
