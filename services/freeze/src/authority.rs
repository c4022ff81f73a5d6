//! One request's authority to freeze, and every leg under it: how a standing freeze, its legs and the brakes play
//! together. Pure. Every decision of this service is about exactly one authority, which is loaded and stored whole.

use std::collections::{BTreeMap, BTreeSet};

use haetae_core::{Amount, ArrivalId, Asset, AuthorisationId, CaseRef, ExchangeId, LegId, Moment, RequestId, Target};

use crate::brake::Brake;
use crate::leg::{self, Circumstances, Desired, Leg, Pace, Reported};
use crate::standing::{self, Found, Line, Standing};

/// A request that was granted the freezing of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The request.
    pub request: RequestId,
    /// The case.
    pub case: CaseRef,
    /// The exchanges it names.
    pub lines: BTreeMap<ExchangeId, Line>,
    /// Its caps and queue, where it freezes what a watch finds; none where it names accounts.
    pub standing: Option<Standing>,
    /// Its legs.
    pub legs: BTreeMap<LegId, Leg>,
    /// It was ended.
    pub over: bool,
}

/// An account to be frozen now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The exchange.
    pub exchange: ExchangeId,
    /// The authorisation line.
    pub line: AuthorisationId,
    /// The account.
    pub target: Target,
    /// The asset.
    pub asset: Asset,
    /// The most.
    pub cap: Amount,
    /// When it ends.
    pub until: Moment,
}

/// What an authority is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Freeze these accounts.
    Freeze(Vec<Named>),
    /// Stolen money arrived.
    Arrived(Found),
    /// An arrival was taken back.
    Retracted {
        /// The arrival.
        arrival: ArrivalId,
        /// Where it was said to be.
        exchange: ExchangeId,
    },
    /// Whether several exchanges say they hold an account.
    Contested {
        /// The account.
        target: Target,
        /// Whether they do.
        contested: bool,
    },
    /// An exchange said something about a leg, verifiably.
    Reported {
        /// The leg.
        leg: LegId,
        /// What.
        reported: Reported,
        /// The account holder, where it says.
        holder: Option<String>,
        /// With a refusal: it is one for now.
        for_now: bool,
        /// When its statement was stored.
        stored_at: Moment,
    },
    /// The exchange has not seen an order, and never will.
    Undelivered {
        /// The leg.
        leg: LegId,
        /// The revision.
        revision: u32,
    },
    /// An exchange's answer about a leg could not be verified.
    Unheard(LegId),
    /// An exchange may have lost what it took in.
    Restate(ExchangeId),
    /// Release these legs.
    Release(BTreeSet<LegId>),
    /// Release every leg and freeze nothing more.
    End,
    /// The watch that it is armed on has ended: nothing more is frozen, and what is stays.
    WatchEnded,
    /// Dispatch was resumed.
    Resume,
    /// Send what is owed and due.
    Due,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// To the standing freeze.
    Standing(standing::Event),
    /// There is a new leg.
    Opened(Box<Leg>),
    /// To a leg.
    Leg(LegId, leg::Event),
    /// Nothing more is frozen under it.
    Ended,
}

/// What holds at the moment of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// The time.
    pub at: Moment,
    /// The halts in force.
    pub brake: &'a Brake,
    /// Accounts that more than one exchange says it holds.
    pub contested: &'a BTreeSet<Target>,
    /// Back-off of what is refused and not given up.
    pub pace: Pace,
}

impl Authority {
    /// What follows from a command; nothing where it changes nothing, as when the same fact is read again.
    pub fn decide(&self, command: Command, now: Now<'_>) -> Vec<Event> {
        let mut then = Unfolding { state: self.clone(), events: Vec::new(), now };
        match command {
            Command::Freeze(accounts) => accounts.into_iter().for_each(|named| then.name(named)),
            Command::Arrived(found) => {
                let (arrival, exchange) = (found.arrival, found.exchange.clone());
                then.standing(standing::Command::Serve(found));
                then.each_leg(|leg| leg.exchange == exchange, &leg::Command::Restore(arrival));
                then.lower(arrival, &exchange);
            }
            Command::Retracted { arrival, exchange } => {
                then.standing(standing::Command::Withdraw { arrival, exchange: exchange.clone() });
                then.each_leg(|leg| leg.exchange == exchange, &leg::Command::Retract(arrival));
            }
            Command::Contested { target, contested } => {
                then.each_leg(|leg| leg.target == target, &leg::Command::Contest(contested));
            }
            Command::Reported { leg, reported, holder, for_now, stored_at } => {
                then.leg(leg, leg::Command::Report { reported, holder, for_now, stored_at });
            }
            Command::Undelivered { leg, revision } => then.leg(leg, leg::Command::Undelivered { revision }),
            Command::Unheard(leg) => then.leg(leg, leg::Command::Unheard),
            Command::Restate(exchange) => {
                for leg in self.legs.values().filter(|leg| leg.exchange == exchange) {
                    let worth = self.standing.as_ref().map(|_| then.worth(leg));
                    then.leg(leg.id, leg::Command::Restate { worth });
                }
            }
            Command::Release(legs) => legs.into_iter().for_each(|leg| then.release(leg)),
            Command::End if self.over => {}
            Command::End => {
                then.push(Event::Ended);
                then.standing(standing::Command::End);
                self.legs.keys().for_each(|leg| then.release(*leg));
            }
            Command::WatchEnded => then.standing(standing::Command::End),
            Command::Resume => {
                then.each_leg(|leg| leg.owed.is_some(), &leg::Command::Due { resumed: true });
                then.standing(standing::Command::Resume);
            }
            Command::Due => then.each_leg(|leg| leg.owed.is_some(), &leg::Command::Due { resumed: false }),
        }
        then.events
    }

    /// The authority after an event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Standing(event) => {
                if let Some(standing) = &mut self.standing {
                    standing.apply(event);
                }
            }
            Event::Opened(leg) => {
                self.legs.insert(leg.id, Leg::clone(leg));
            }
            Event::Leg(id, event) => {
                if let Some(leg) = self.legs.get_mut(id) {
                    leg.apply(event);
                }
            }
            Event::Ended => self.over = true,
        }
    }
}

/// A decision in the making: each event is seen by what follows, and what one part decides is passed on to the other.
struct Unfolding<'a> {
    state: Authority,
    events: Vec<Event>,
    now: Now<'a>,
}

impl Unfolding<'_> {
    fn push(&mut self, event: Event) {
        self.state.apply(&event);
        self.events.push(event);
    }

    fn standing(&mut self, command: standing::Command) {
        let Some(standing) = &self.state.standing else { return };
        // A refusal means that there is nothing to do: the fact was read before, or is about something else.
        let events = standing.decide(command, self.now.brake, self.now.at).unwrap_or_default();
        for event in events {
            self.push(Event::Standing(event.clone()));
            if let standing::Event::Reserved { found, leg, total, .. } = event {
                self.freeze(leg, &found, total);
            }
        }
    }

    fn leg(&mut self, id: LegId, command: leg::Command) {
        let Some(leg) = self.state.legs.get(&id) else { return };
        let events = leg.decide(command, &self.circumstances(&leg.exchange)).unwrap_or_default();
        for event in events {
            self.push(Event::Leg(id, event.clone()));
            match event {
                leg::Event::Settled { keep } => self.standing(standing::Command::Settle { leg: id, keep }),
                leg::Event::Lowered { keep } => self.standing(standing::Command::Lower { leg: id, keep }),
                leg::Event::Holder(holder) => self.standing(standing::Command::Holder { leg: id, holder }),
                _ => {}
            }
        }
    }

    fn each_leg(&mut self, concerned: impl Fn(&Leg) -> bool, command: &leg::Command) {
        let mut legs: Vec<_> = self.state.legs.values().filter(|leg| concerned(leg)).collect();
        legs.sort_by_key(|leg| leg.opened_at);
        let ids: Vec<LegId> = legs.into_iter().map(|leg| leg.id).collect();
        for id in ids {
            self.leg(id, command.clone());
        }
    }

    fn release(&mut self, id: LegId) {
        // First the queue, so that what the release frees is not reserved for the same leg again.
        self.standing(standing::Command::Close(id));
        self.leg(id, leg::Command::Release);
    }

    fn name(&mut self, named: Named) {
        let id = LegId::of(named.line, &named.exchange, &named.target, Some(&named.asset));
        if self.state.over || self.state.legs.contains_key(&id) {
            return;
        }
        let desired = Desired::Frozen { cap: named.cap, until: named.until };
        self.open(id, named.line, &named.exchange, &named.target, &named.asset, desired);
        self.leg(id, leg::Command::Freeze { cap: named.cap, until: named.until, ground: None });
    }

    fn freeze(&mut self, id: LegId, found: &Found, cap: Amount) {
        let Some(standing) = &self.state.standing else { return };
        let Some(line) = self.state.lines.get(&found.exchange).copied() else { return };
        let until = standing.terms.until;
        if !self.state.legs.contains_key(&id) {
            let desired = Desired::Frozen { cap, until };
            self.open(id, line.id, &found.exchange, &found.target, &found.asset, desired);
        }
        let Some(leg) = self.state.legs.get(&id) else { return };
        let mut grounds: BTreeSet<ArrivalId> = leg.live_grounds().into_iter().collect();
        grounds.insert(found.arrival);
        let cap = cap.min(self.traced(&found.exchange, &grounds));
        self.leg(id, leg::Command::Freeze { cap, until, ground: Some(found.arrival) });
    }

    /// No leg asks for more than what its grounds are worth now that this arrival is back. What it had reserved stays
    /// reserved until the exchange has taken that in.
    fn lower(&mut self, arrival: ArrivalId, exchange: &ExchangeId) {
        let grounded = |leg: &&Leg| leg.exchange == *exchange && leg.live_grounds().contains(&arrival);
        let legs: Vec<Leg> = self.state.legs.values().filter(grounded).cloned().collect();
        for leg in legs {
            let worth = self.worth(&leg);
            let reserved = self.state.standing.as_ref().and_then(|standing| standing.reserves.get(&leg.id));
            // What its exchange has answered for may be less already, or nothing.
            let more = reserved.is_some_and(|reserve| reserve.amount > worth);
            if let Desired::Frozen { cap, until } = leg.desired
                && more
                && worth < cap
                && !worth.is_zero()
            {
                self.leg(leg.id, leg::Command::Freeze { cap: worth, until, ground: None });
            }
        }
    }

    /// What a leg's grounds are worth.
    fn worth(&self, leg: &Leg) -> Amount {
        self.traced(&leg.exchange, &leg.live_grounds().into_iter().collect())
    }

    /// How much of some arrivals at an exchange is traced, all together.
    fn traced(&self, exchange: &ExchangeId, arrivals: &BTreeSet<ArrivalId>) -> Amount {
        let claims = self.state.standing.iter().flat_map(|standing| &standing.claims);
        let these = claims.filter(|claim| claim.found.exchange == *exchange && arrivals.contains(&claim.found.arrival));
        these.map(|claim| claim.found.traced).sum()
    }

    fn open(
        &mut self,
        id: LegId,
        line: AuthorisationId,
        exchange: &ExchangeId,
        target: &Target,
        asset: &Asset,
        desired: Desired,
    ) {
        let leg = Leg {
            id,
            request: self.state.request,
            watch: self.state.standing.as_ref().map(|standing| standing.terms.watch),
            line,
            exchange: exchange.clone(),
            target: target.clone(),
            asset: asset.clone(),
            opened_at: self.now.at,
            desired,
            orders: Vec::new(),
            grounds: Vec::new(),
            reported: None,
            holder: None,
            ordered_at: None,
            binding_at: None,
            owed: None,
            refusals: 0,
            retracted: BTreeSet::new(),
            contested: self.now.contested.contains(target),
        };
        self.push(Event::Opened(Box::new(leg)));
    }

    fn circumstances(&self, exchange: &ExchangeId) -> Circumstances {
        Circumstances {
            now: self.now.at,
            halted: self.now.brake.stops(exchange, &self.state.case),
            // A line that is not there has no authority left.
            orders_until: self.state.lines.get(exchange).map_or(self.now.at, |line| line.valid_until),
            pace: self.now.pace,
        }
    }
}

#[cfg(test)]
mod tests;
