//! One leg: what is desired of an exchange, what it reports, and whether another order is owed to it. Pure.
//!
//! The sender sets only the desired side, the exchange only the reported one. Every order states the complete desired
//! state under the next revision; the highest revision wins. A release goes out whatever is halted or over, and is
//! ordered again until the exchange has acknowledged it.

mod hearing;

use std::{collections::BTreeSet, num::NonZeroU32};

use haetae_core::{
    Amount, ArrivalId, Asset, AuthorisationId, ExchangeId, LegId, LegState, Moment, RefusalReason, RequestId, Target,
    WatchId,
};
use thiserror::Error;
use time::Duration;

/// What the mesh desires and what the exchange reports, side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Derived from line, exchange, target and asset.
    pub id: LegId,
    /// The request whose authority it rests on.
    pub request: RequestId,
    /// With a standing freeze: the watch.
    pub watch: Option<WatchId>,
    /// The authorisation line.
    pub line: AuthorisationId,
    /// The exchange.
    pub exchange: ExchangeId,
    /// The account.
    pub target: Target,
    /// The asset.
    pub asset: Asset,
    /// When it was decided that there be such a leg.
    pub opened_at: Moment,
    /// What is desired now.
    pub desired: Desired,
    /// What was ordered, by revision from 1.
    pub orders: Vec<Ordered>,
    /// With a standing freeze: the arrivals that justify it, in the order they came to it.
    pub grounds: Vec<Ground>,
    /// The exchange's last word.
    pub reported: Option<Reported>,
    /// Pseudonym of the account holder, once the exchange has said it.
    pub holder: Option<String>,
    /// When the first order was signed.
    pub ordered_at: Option<Moment>,
    /// When the first statement of binding or later was stored.
    pub binding_at: Option<Moment>,
    /// An order that has yet to go out.
    pub owed: Option<Owed>,
    /// How often in a row the exchange has refused what must not be given up.
    pub refusals: u32,
    /// Grounds that were taken back.
    pub retracted: BTreeSet<ArrivalId>,
    /// More than one exchange says it holds the target.
    pub contested: bool,
}

/// What is desired of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    /// Withhold up to the cap.
    Frozen {
        /// The most to withhold.
        cap: Amount,
        /// When it ends by itself.
        until: Moment,
    },
    /// Withhold nothing.
    Released,
}

/// One order of the leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The cap ordered; none for a release.
    pub cap: Option<Amount>,
    /// Whether the exchange took it in: none while that is unknown, which counts as if it had.
    pub taken_in: Option<bool>,
}

/// An arrival that justifies the leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The arrival.
    pub arrival: ArrivalId,
    /// The first revision that names it.
    pub since: u32,
    /// The exchange refused the revision that brought it; later orders do not name it.
    pub refused: bool,
}

/// The exchange's word on the leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The revision it answers.
    pub revision: NonZeroU32,
    /// The state.
    pub state: LegState,
    /// When the exchange says that was.
    pub at: Moment,
    /// Running total withheld.
    pub frozen: Option<Amount>,
    /// With a refusal: why.
    pub refusal: Option<RefusalReason>,
}

/// An order that has yet to go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// When dispatch resumes.
    OnResume,
    /// At this time.
    At(Moment),
}

/// What a leg is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Withhold this much in all; `ground` is the arrival that calls for it.
    Freeze {
        /// The most to withhold.
        cap: Amount,
        /// When it ends by itself.
        until: Moment,
        /// With a standing freeze: the arrival.
        ground: Option<ArrivalId>,
    },
    /// Withhold nothing.
    Release,
    /// The exchange said something, verifiably.
    Report {
        /// What.
        reported: Reported,
        /// The account holder, where it says.
        holder: Option<String>,
        /// With a refusal: it is one for now.
        for_now: bool,
        /// When its statement was stored.
        stored_at: Moment,
    },
    /// The exchange has not seen the order of this revision, and never will.
    Undelivered {
        /// The revision.
        revision: u32,
    },
    /// The exchange answered, and nobody here could verify it: it is as good as no answer.
    Unheard,
    /// The exchange may have lost what it took in: it is ordered again.
    Restate {
        /// What the leg's grounds are worth, where it has some.
        worth: Option<Amount>,
    },
    /// Send what is owed, if it is time.
    Due {
        /// Dispatch has been resumed.
        resumed: bool,
    },
    /// The ground was taken back.
    Retract(ArrivalId),
    /// The ground holds again.
    Restore(ArrivalId),
    /// Whether more than one exchange says it holds the target.
    Contest(bool),
}

/// What happened to a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What is desired changed.
    Desired(Desired),
    /// An arrival justifies the leg from the next revision on.
    Grounded(ArrivalId),
    /// An order goes out.
    Ordered {
        /// Its revision.
        revision: NonZeroU32,
        /// When.
        at: Moment,
        /// The complete desired state.
        desired: Desired,
        /// The arrivals it names.
        grounds: Vec<ArrivalId>,
    },
    /// An order has to go out later.
    Owed(Owed),
    /// The exchange's word changed.
    Reported(Reported),
    /// It is known whether the exchange took an order in that is not the last it spoke of.
    Answered {
        /// Its revision.
        revision: u32,
        /// Whether it did.
        taken_in: bool,
    },
    /// Once more there is no answer that counts to what must not be given up.
    RefusedAgain,
    /// The exchange says who holds the account.
    Holder(String),
    /// The first statement of binding or later was stored.
    Bound(Moment),
    /// The exchange has answered for good, or cannot be asked any more: at most this much can be withheld there.
    Settled {
        /// The most that can still be withheld.
        keep: Amount,
    },
    /// The exchange has taken in all that was ordered: at most this much can be withheld there.
    Lowered {
        /// The most that can be withheld.
        keep: Amount,
    },
    /// A ground was taken back.
    Retracted(ArrivalId),
    /// A ground holds again.
    Restored(ArrivalId),
    /// Whether more than one exchange says it holds the target.
    Contested(bool),
}

/// Why nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It was released; what was released by a person is not frozen again under the same authority.
    #[error("the leg was released")]
    Released,
    /// Nothing would change.
    #[error("nothing changes")]
    Unchanged,
    /// A revision that was never ordered.
    #[error("the revision was never ordered")]
    NeverOrdered,
    /// A later word is known.
    #[error("a later statement is known")]
    Stale,
    /// Nothing is owed, or not yet.
    #[error("nothing is due")]
    NotDue,
}

/// What holds at the moment of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Now.
    pub now: Moment,
    /// Freezes at this exchange, for this case, may not go out.
    pub halted: bool,
    /// Until when freezes may be ordered under the line.
    pub orders_until: Moment,
    /// How a refusal is answered that must not stand.
    pub pace: Pace,
}

/// Back-off of what is never given up: twice as long each time, up to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// After the first refusal.
    pub first: Duration,
    /// At most.
    pub most: Duration,
}

impl Pace {
    fn after(self, refusals: u32) -> Duration {
        let factor = 2_i32.saturating_pow(refusals.min(30));
        self.first.checked_mul(factor).map_or(self.most, |wait| wait.min(self.most))
    }
}

impl Leg {
    /// The highest revision ordered; 0 before the first order.
    pub fn revision(&self) -> u32 {
        u32::try_from(self.orders.len()).unwrap_or(u32::MAX)
    }

    /// A person must look: a ground was taken back, or two exchanges claim the target.
    pub fn under_review(&self) -> bool {
        self.contested || !self.retracted.is_empty()
    }

    /// The most that the exchange may be withholding: the last order that it took in, and what it may have taken in
    /// after that.
    fn may_withhold(&self) -> Amount {
        let mut most = Amount::ZERO;
        for order in self.orders.iter().rev() {
            let cap = order.cap.unwrap_or(Amount::ZERO);
            match order.taken_in {
                Some(true) => return most.max(cap),
                None => most = most.max(cap),
                Some(false) => {}
            }
        }
        most
    }

    fn then(&self, events: &[Event]) -> Self {
        let mut leg = self.clone();
        events.iter().for_each(|event| leg.apply(event));
        leg
    }

    /// The arrivals that its next order names.
    pub fn live_grounds(&self) -> Vec<ArrivalId> {
        self.grounds.iter().filter(|ground| !ground.refused).map(|ground| ground.arrival).collect()
    }

    /// # Errors
    /// See [`Refusal`].
    pub fn decide(&self, command: Command, at: &Circumstances) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Freeze { cap, until, ground } => self.freeze(cap, until, ground, at),
            Command::Release if self.desired == Desired::Released => Err(Refusal::Unchanged),
            Command::Release => {
                let mut events = vec![Event::Desired(Desired::Released)];
                // What was never ordered needs no release: nothing can be withheld.
                events.extend(if self.orders.is_empty() {
                    vec![Event::Settled { keep: Amount::ZERO }]
                } else {
                    self.then(&events).order(at)
                });
                Ok(events)
            }
            Command::Report { reported, holder, for_now, stored_at } => {
                self.hear(reported, holder, for_now, stored_at, at)
            }
            Command::Undelivered { revision } => {
                let answered = self.reported.is_some_and(|word| word.revision.get() == revision);
                if revision == 0 || revision > self.revision() {
                    Err(Refusal::NeverOrdered)
                } else if revision < self.revision() {
                    self.learn(revision, false)
                } else if answered || self.owed.is_some() {
                    Err(Refusal::Stale)
                } else {
                    let mut events = vec![Event::Answered { revision, taken_in: false }];
                    events.extend(self.then(&events).order(at));
                    Ok(events)
                }
            }
            Command::Unheard => {
                let answered = self.reported.is_some_and(|word| word.revision.get() == self.revision());
                if answered || self.owed.is_some() || self.orders.is_empty() {
                    return Err(Refusal::Unchanged);
                }
                Ok(self.again(at))
            }
            Command::Restate { worth } => {
                // What was refused is not asked for again by the way: only what the exchange may be withholding.
                let (over, desired) = match self.desired {
                    Desired::Frozen { cap, until } => {
                        let cap = cap.min(self.may_withhold()).min(worth.unwrap_or(cap));
                        (until <= at.now || cap.is_zero(), Desired::Frozen { cap, until })
                    }
                    Desired::Released => (self.orders.is_empty(), Desired::Released),
                };
                // What is owed goes out anyway.
                if over || self.owed.is_some() {
                    return Err(Refusal::Unchanged);
                }
                let less = (desired != self.desired).then_some(Event::Desired(desired));
                Ok(less.into_iter().chain([Event::Owed(Owed::At(at.now))]).collect())
            }
            Command::Due { resumed } => {
                let due = match self.owed {
                    Some(Owed::OnResume) => resumed && !at.halted,
                    Some(Owed::At(time)) => time <= at.now,
                    None => false,
                };
                if due { Ok(self.order(at)) } else { Err(Refusal::NotDue) }
            }
            Command::Retract(arrival) => {
                let news = self.grounds.iter().any(|g| g.arrival == arrival) && !self.retracted.contains(&arrival);
                if news { Ok(vec![Event::Retracted(arrival)]) } else { Err(Refusal::Unchanged) }
            }
            Command::Restore(arrival) => {
                let news = self.retracted.contains(&arrival);
                if news { Ok(vec![Event::Restored(arrival)]) } else { Err(Refusal::Unchanged) }
            }
            Command::Contest(contested) => {
                let news = contested != self.contested;
                if news { Ok(vec![Event::Contested(contested)]) } else { Err(Refusal::Unchanged) }
            }
        }
    }

    fn freeze(
        &self,
        cap: Amount,
        until: Moment,
        ground: Option<ArrivalId>,
        at: &Circumstances,
    ) -> Result<Vec<Event>, Refusal> {
        if self.desired == Desired::Released {
            return Err(Refusal::Released);
        }
        let known = |arrival: &ArrivalId| self.live_grounds().contains(arrival);
        let mut events = vec![Event::Desired(Desired::Frozen { cap, until })];
        events.extend(ground.filter(|arrival| !known(arrival)).map(Event::Grounded));
        events.extend(self.then(&events).order(at));
        Ok(events)
    }

    /// It is ordered again, each time later.
    fn again(&self, at: &Circumstances) -> Vec<Event> {
        vec![Event::RefusedAgain, Event::Owed(Owed::At(at.now + at.pace.after(self.refusals)))]
    }

    /// The desired state as the next revision, now or later.
    fn order(&self, at: &Circumstances) -> Vec<Event> {
        if let Desired::Frozen { until, .. } = self.desired {
            if at.now >= at.orders_until || at.now >= until {
                return vec![Event::Settled { keep: self.may_withhold() }];
            }
            if at.halted {
                return vec![Event::Owed(Owed::OnResume)];
            }
        }
        vec![Event::Ordered {
            revision: NonZeroU32::MIN.saturating_add(self.revision()),
            at: at.now,
            desired: self.desired,
            grounds: self.live_grounds(),
        }]
    }

    /// The leg after an event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Desired(desired) => {
                self.desired = *desired;
                self.owed = None;
                self.refusals = 0;
            }
            Event::Grounded(arrival) => {
                self.grounds.retain(|ground| ground.arrival != *arrival);
                self.grounds.push(Ground { arrival: *arrival, since: self.revision() + 1, refused: false });
            }
            Event::Ordered { at, desired, .. } => {
                let cap = match desired {
                    Desired::Frozen { cap, .. } => Some(*cap),
                    Desired::Released => None,
                };
                self.orders.push(Ordered { cap, taken_in: None });
                self.ordered_at.get_or_insert(*at);
                self.owed = None;
            }
            Event::Owed(owed) => self.owed = Some(*owed),
            Event::Reported(word) => {
                self.reported = Some(*word);
                self.mark(word.revision.get(), hearing::taken_in(word.state));
                if word.state != LegState::Refused {
                    self.refusals = 0;
                }
            }
            Event::Answered { revision, taken_in } => self.mark(*revision, *taken_in),
            Event::Lowered { .. } => {}
            Event::RefusedAgain => self.refusals = self.refusals.saturating_add(1),
            Event::Holder(holder) => self.holder = Some(holder.clone()),
            Event::Bound(at) => self.binding_at = Some(*at),
            Event::Settled { keep } => {
                self.owed = None;
                if keep.is_zero() {
                    self.orders.iter_mut().for_each(|order| order.taken_in = Some(false));
                }
                if self.reported.is_some_and(|word| word.state == LegState::Refused) {
                    self.drop_refused_grounds();
                }
            }
            Event::Retracted(arrival) => {
                self.retracted.insert(*arrival);
            }
            Event::Restored(arrival) => {
                self.retracted.remove(arrival);
            }
            Event::Contested(contested) => self.contested = *contested,
        }
    }

    fn mark(&mut self, revision: u32, taken_in: bool) {
        if let Some(order) = self.orders.get_mut(revision as usize - 1) {
            order.taken_in = Some(taken_in);
        }
    }

    /// What came with a revision that was refused is not put to the exchange again.
    fn drop_refused_grounds(&mut self) {
        let kept = self.orders.iter().rposition(|order| order.taken_in != Some(false)).map_or(0, |index| index + 1);
        for ground in self.grounds.iter_mut().filter(|ground| ground.since as usize > kept) {
            ground.refused = true;
        }
    }
}

#[cfg(test)]
mod tests;
