//! The brakes: which orders may not go out. One authorised person stops, two let go again; a release is never stopped.
//! Pure.

use std::collections::BTreeSet;

use haetae_core::{AgencyId, CaseRef, ExchangeId, Moment, RequestId};
use thiserror::Error;

/// What a halt stops.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Every freeze at every exchange.
    Everything,
    /// Every freeze at one exchange.
    Exchange(ExchangeId),
    /// Every freeze of one case.
    Case {
        /// The agency.
        agency: AgencyId,
        /// Its case number.
        number: String,
    },
}

/// A halt in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The request that halted.
    pub request: RequestId,
    /// What it stops.
    pub scope: Scope,
    /// The case that the request was made in.
    pub case: CaseRef,
    /// Since when.
    pub since: Moment,
}

/// The halts in force, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brake {
    halts: Vec<Halt>,
}

/// What persons decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop.
    Halt {
        /// The request.
        request: RequestId,
        /// What to stop.
        scope: Scope,
        /// The case that the request was made in.
        case: CaseRef,
    },
    /// Let go again: every halt of exactly this scope.
    Resume {
        /// What to let go.
        scope: Scope,
    },
}

/// What happened to the brakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A halt is in force.
    Halted(Halt),
    /// Every halt of the scope is lifted.
    Resumed(Scope),
}

/// Why nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The request has halted before.
    #[error("the request's halt is in force already")]
    AlreadyHalted,
    /// No halt of exactly this scope is in force.
    #[error("no halt of this scope is in force")]
    NotHalted,
}

impl Brake {
    /// The brakes with these halts in force.
    pub fn new(halts: impl IntoIterator<Item = Halt>) -> Self {
        Self { halts: halts.into_iter().collect() }
    }

    /// Oldest first.
    pub fn halts(&self) -> &[Halt] {
        &self.halts
    }

    /// Whether a freeze at the exchange, for the case, must not go out.
    pub fn stops(&self, exchange: &ExchangeId, case: &CaseRef) -> bool {
        self.stops_exchange(exchange) || self.stops_case(&case.agency, &case.number)
    }

    fn stops_exchange(&self, exchange: &ExchangeId) -> bool {
        self.halts.iter().any(|halt| match &halt.scope {
            Scope::Everything => true,
            Scope::Exchange(stopped) => stopped == exchange,
            Scope::Case { .. } => false,
        })
    }

    fn stops_case(&self, agency: &AgencyId, number: &str) -> bool {
        self.halts.iter().any(|halt| match &halt.scope {
            Scope::Case { agency: a, number: n } => a == agency && n == number,
            Scope::Everything | Scope::Exchange(_) => false,
        })
    }

    /// Of the exchanges that a scope reaches, those that must be told, since for them something has changed between
    /// `self` and `after`. A connector knows a halt by exchange and case, not by who called it: while one halt of the
    /// same reach is left, it must not hear that all is well.
    pub fn told(&self, after: &Self, scope: &Scope, reached: &BTreeSet<ExchangeId>) -> BTreeSet<ExchangeId> {
        let changed = |exchange: &&ExchangeId| match scope {
            Scope::Everything => self.stops_exchange(exchange) != after.stops_exchange(exchange),
            Scope::Exchange(one) => one == *exchange && self.stops_exchange(exchange) != after.stops_exchange(exchange),
            Scope::Case { agency, number } => self.stops_case(agency, number) != after.stops_case(agency, number),
        };
        reached.iter().filter(changed).cloned().collect()
    }

    /// # Errors
    /// See [`Refusal`].
    pub fn decide(&self, command: Command, now: Moment) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Halt { request, scope, case } => {
                if self.halts.iter().any(|halt| halt.request == request) {
                    return Err(Refusal::AlreadyHalted);
                }
                Ok(vec![Event::Halted(Halt { request, scope, case, since: now })])
            }
            Command::Resume { scope } => {
                if !self.halts.iter().any(|halt| halt.scope == scope) {
                    return Err(Refusal::NotHalted);
                }
                Ok(vec![Event::Resumed(scope)])
            }
        }
    }

    /// The brakes after an event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Halted(halt) => self.halts.push(halt.clone()),
            Event::Resumed(scope) => self.halts.retain(|halt| halt.scope != *scope),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;

    const NOW: Moment = datetime!(2026-03-01 12:00 UTC);

    fn exchange(name: &str) -> ExchangeId {
        name.parse().unwrap()
    }

    fn case(number: &str) -> CaseRef {
        CaseRef { agency: "knp".parse().unwrap(), unit: "cyber".parse().unwrap(), number: number.to_owned() }
    }

    fn of_case(number: &str) -> Scope {
        Scope::Case { agency: "knp".parse().unwrap(), number: number.to_owned() }
    }

    fn after(commands: &[(u128, bool, Scope)]) -> Brake {
        let mut brake = Brake::default();
        for (request, halts, scope) in commands {
            let request = RequestId(Uuid::from_u128(*request));
            let command = if *halts {
                Command::Halt { request, scope: scope.clone(), case: case("1") }
            } else {
                Command::Resume { scope: scope.clone() }
            };
            for event in brake.decide(command, NOW).unwrap_or_default() {
                brake.apply(&event);
            }
        }
        brake
    }

    #[test]
    fn a_halt_stops_what_it_names_and_nothing_else() {
        let one = after(&[(1, true, Scope::Exchange(exchange("upbit")))]);
        assert!(one.stops(&exchange("upbit"), &case("1")));
        assert!(!one.stops(&exchange("bithumb"), &case("1")));
        let other = after(&[(1, true, of_case("1"))]);
        assert!(other.stops(&exchange("bithumb"), &case("1")));
        assert!(!other.stops(&exchange("bithumb"), &case("2")));
    }

    #[test]
    fn a_resume_names_a_halt_in_force() {
        let brake = after(&[(1, true, Scope::Everything)]);
        let resume = Command::Resume { scope: Scope::Exchange(exchange("upbit")) };
        assert_eq!(brake.decide(resume, NOW), Err(Refusal::NotHalted));
    }

    #[test]
    fn an_exchange_that_is_halted_twice_hears_of_the_first_halt_and_of_the_last_resume() {
        let all: BTreeSet<_> = ["bithumb", "upbit"].map(exchange).into();
        let everything = (1, true, Scope::Everything);
        let upbit = (2, true, Scope::Exchange(exchange("upbit")));
        let (none, both) = (Brake::default(), after(&[everything.clone(), upbit.clone()]));
        assert_eq!(none.told(&after(std::slice::from_ref(&everything)), &Scope::Everything, &all), all);
        assert!(after(&[everything]).told(&both, &upbit.2, &all).is_empty());
        let left = after(std::slice::from_ref(&upbit));
        assert_eq!(both.told(&left, &Scope::Everything, &all), [exchange("bithumb")].into());
        assert_eq!(left.told(&none, &upbit.2, &all), [exchange("upbit")].into());
    }

    fn any_scope() -> impl Strategy<Value = Scope> {
        prop_oneof![
            Just(Scope::Everything),
            prop::sample::select(vec!["upbit", "bithumb"]).prop_map(|name| Scope::Exchange(exchange(name))),
            prop::sample::select(vec!["1", "2"]).prop_map(of_case),
        ]
    }

    proptest! {
        #[test]
        fn when_everything_that_was_halted_is_resumed_nothing_is_stopped(
            scopes in prop::collection::vec(any_scope(), 0..6)
        ) {
            let mut commands: Vec<_> =
                scopes.iter().enumerate().map(|(i, scope)| (i as u128, true, scope.clone())).collect();
            let halted = after(&commands);
            prop_assert_eq!(halted.halts().len(), scopes.len());
            commands.extend(scopes.iter().map(|scope| (0, false, scope.clone())));
            prop_assert_eq!(after(&commands), Brake::default());
        }
    }
}
