//! What follows from an exchange's word.

use haetae_core::{Amount, LegState, Moment};

use super::{Circumstances, Desired, Event, Leg, Refusal, Reported};

impl Leg {
    /// A verified statement of the exchange.
    pub(super) fn hear(
        &self,
        word: Reported,
        holder: Option<String>,
        for_now: bool,
        stored_at: Moment,
        at: &Circumstances,
    ) -> Result<Vec<Event>, Refusal> {
        let revision = word.revision.get();
        if revision > self.revision() {
            return Err(Refusal::NeverOrdered);
        }
        let Some(step) = step(word.state) else {
            return self.learn(revision, false);
        };
        if let Some(known) = &self.reported {
            if word.revision < known.revision {
                return self.learn(revision, taken_in(word.state));
            }
            if !follows(known, &word, step) {
                return Err(Refusal::Stale);
            }
        }
        let mut events = vec![Event::Reported(word)];
        events.extend(holder.filter(|holder| self.holder.as_ref() != Some(holder)).map(Event::Holder));
        if word.state.is_binding_or_later() && self.binding_at.is_none() {
            events.push(Event::Bound(stored_at));
        }
        if revision == self.revision() {
            events.extend(self.then(&events).conclude(&word, for_now, at));
        }
        Ok(events)
    }

    /// A late word on an order that is not the last one spoken of tells what may be withheld, and nothing else.
    pub(super) fn learn(&self, revision: u32, taken_in: bool) -> Result<Vec<Event>, Refusal> {
        let unknown = self.orders.get(revision as usize - 1).is_some_and(|order| order.taken_in.is_none());
        if !unknown || revision == self.revision() {
            return Err(Refusal::Stale);
        }
        let mut events = vec![Event::Answered { revision, taken_in }];
        let last = self.reported.map(|word| (word.revision.get(), word.state));
        let refused = last == Some((self.revision(), LegState::Refused)) && self.owed.is_none();
        if refused && self.desired != Desired::Released {
            events.push(Event::Settled { keep: self.then(&events).may_withhold() });
        }
        Ok(events)
    }

    /// This is what was ordered last, and nothing more waits to be ordered.
    fn is_all(&self, cap: Amount) -> bool {
        self.owed.is_none() && self.orders.last().and_then(|order| order.cap) == Some(cap)
    }

    /// What follows from the answer to the highest revision.
    fn conclude(&self, word: &Reported, for_now: bool, at: &Circumstances) -> Vec<Event> {
        match (self.desired, word.state) {
            (Desired::Frozen { .. }, LegState::Refused) if !for_now => {
                vec![Event::Settled { keep: self.may_withhold() }]
            }
            // A release is never given up, and a freeze not as long as nobody has refused what it asks for.
            (_, LegState::Refused) => self.again(at),
            (_, LegState::Released | LegState::Expired) => vec![Event::Settled { keep: Amount::ZERO }],
            (Desired::Frozen { cap, .. }, state) if taken_in(state) && self.is_all(cap) => {
                vec![Event::Lowered { keep: self.may_withhold() }]
            }
            _ => Vec::new(),
        }
    }
}

/// Whether a state says that the order is carried out, as far as it can be.
pub(super) fn taken_in(state: LegState) -> bool {
    state == LegState::Accepted || state.is_binding_or_later()
}

/// How far a state is on the way from taken in to done. None for what says nothing about a freeze.
fn step(state: LegState) -> Option<u8> {
    match state {
        LegState::Accepted => Some(1),
        LegState::Binding | LegState::FrozenPartial | LegState::FrozenFull => Some(2),
        LegState::Refused | LegState::Released | LegState::Expired => Some(3),
        LegState::Superseded | LegState::Answered => None,
    }
}

/// Whether a word is later than the known one. Receipts and events overtake each other, and a repeated receipt says
/// what was true when the order was taken in: within a revision a leg only goes forward, and within a step the
/// exchange's own clock decides, then the running total.
fn follows(known: &Reported, word: &Reported, word_step: u8) -> bool {
    let place = |word: &Reported, step: u8| match step {
        2 => (word.revision, step, Some((word.at, word.frozen))),
        _ => (word.revision, step, None),
    };
    place(word, word_step) > place(known, step(known.state).unwrap_or_default())
}
