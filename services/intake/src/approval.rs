//! Who may have a request done: the life of a request from submission to its end. Pure.
//!
//! One rule stands above all configuration: whoever asks never approves, and whoever has approved does not count twice.

use haetae_core::{Decision, DecisionRole, Moment, PersonId, Reason, RequestKind};

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum State {
    AwaitingApproval,
    Approved,
    InEffect,
    Closed,
    Rejected,
    Cancelled,
    Lapsed,
}

impl State {
    pub(crate) const ALL: [Self; 7] = [
        Self::AwaitingApproval,
        Self::Approved,
        Self::InEffect,
        Self::Closed,
        Self::Rejected,
        Self::Cancelled,
        Self::Lapsed,
    ];

    /// The name in tables and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting-approval",
            Self::Approved => "approved",
            Self::InEffect => "in-effect",
            Self::Closed => "closed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Lapsed => "lapsed",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What a person may do at the agency.
pub(crate) const INVESTIGATOR: &str = "investigator";
pub(crate) const APPROVER: &str = "approver";

/// A request, as far as its life goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) state: State,
    /// Who decided what, in order of time; the first asked.
    pub(crate) decisions: Vec<Decision>,
    /// Approvals needed besides the person who asks.
    pub(crate) needed: u32,
    pub(crate) lapses_at: Moment,
}

/// A person with the roles of the token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor<'a> {
    pub(crate) person: &'a PersonId,
    pub(crate) roles: &'a [String],
}

impl Actor<'_> {
    pub(crate) fn is(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command<'a> {
    Approve(Actor<'a>),
    Reject(Actor<'a>),
    Cancel(Actor<'a>),
    /// Its time for approval is over.
    Lapse,
    /// The acting service carries it out.
    TakeEffect,
    /// It is done, or its period is over.
    Close,
}

/// What has happened to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Approved(Decision),
    /// Enough persons have approved: others act on it.
    Granted,
    Rejected,
    Cancelled,
    Lapsed,
    TookEffect,
    Closed,
}

/// Whether a person may submit this kind of request.
///
/// # Errors
/// [`Reason::RoleMissing`].
pub(crate) fn may_submit(actor: Actor<'_>, kind: RequestKind) -> Result<(), Reason> {
    let may = match kind {
        // A brake is pulled by those who would otherwise answer for the orders.
        RequestKind::Halt => actor.is(APPROVER),
        RequestKind::Resume | RequestKind::EndWatch => actor.is(APPROVER) || actor.is(INVESTIGATOR),
        _ => actor.is(INVESTIGATOR),
    };
    if may { Ok(()) } else { Err(Reason::RoleMissing) }
}

/// A request that was just submitted: granted at once where nobody else need approve.
pub(crate) fn submit(person: &PersonId, needed: u32, lapses_at: Moment, now: Moment) -> (Life, Vec<Event>) {
    let asked = Decision { role: DecisionRole::Requested, person: person.clone(), at: now };
    let life = Life { state: State::AwaitingApproval, decisions: vec![asked], needed, lapses_at };
    let events = if needed == 0 { vec![Event::Granted] } else { Vec::new() };
    (events.iter().fold(life, apply), events)
}

/// What a command makes of a request.
///
/// # Errors
/// [`Reason::RoleMissing`], [`Reason::SelfApproval`], [`Reason::AlreadyDecided`] or [`Reason::WrongState`].
pub(crate) fn decide(life: &Life, command: Command<'_>, now: Moment) -> Result<Vec<Event>, Reason> {
    match command {
        Command::Approve(actor) => {
            approver(life, actor)?;
            awaiting(life, now)?;
            if life.decisions.iter().any(|decision| decision.person == *actor.person) {
                return Err(Reason::AlreadyDecided);
            }
            let decision = Decision { role: DecisionRole::Approved, person: actor.person.clone(), at: now };
            let mut events = vec![Event::Approved(decision)];
            if approvals(life) + 1 >= life.needed {
                events.push(Event::Granted);
            }
            Ok(events)
        }
        Command::Reject(actor) => {
            approver(life, actor)?;
            awaiting(life, now)?;
            Ok(vec![Event::Rejected])
        }
        Command::Cancel(actor) => {
            if requester(life) != Some(actor.person) {
                return Err(Reason::RoleMissing);
            }
            awaiting(life, now)?;
            Ok(vec![Event::Cancelled])
        }
        Command::Lapse => match life.state {
            State::AwaitingApproval if now >= life.lapses_at => Ok(vec![Event::Lapsed]),
            _ => Err(Reason::WrongState),
        },
        Command::TakeEffect => match life.state {
            State::Approved => Ok(vec![Event::TookEffect]),
            _ => Err(Reason::WrongState),
        },
        Command::Close => match life.state {
            State::Approved | State::InEffect => Ok(vec![Event::Closed]),
            _ => Err(Reason::WrongState),
        },
    }
}

/// The request after an event.
pub(crate) fn apply(mut life: Life, event: &Event) -> Life {
    match event {
        Event::Approved(decision) => life.decisions.push(decision.clone()),
        Event::Granted => life.state = State::Approved,
        Event::Rejected => life.state = State::Rejected,
        Event::Cancelled => life.state = State::Cancelled,
        Event::Lapsed => life.state = State::Lapsed,
        Event::TookEffect => life.state = State::InEffect,
        Event::Closed => life.state = State::Closed,
    }
    life
}

/// Both approving and rejecting are for another person, with the role.
fn approver(life: &Life, actor: Actor<'_>) -> Result<(), Reason> {
    if requester(life) == Some(actor.person) {
        return Err(Reason::SelfApproval);
    }
    if actor.is(APPROVER) { Ok(()) } else { Err(Reason::RoleMissing) }
}

/// The clock decides, not the timer that notes the lapse.
fn awaiting(life: &Life, now: Moment) -> Result<(), Reason> {
    if life.state == State::AwaitingApproval && now < life.lapses_at { Ok(()) } else { Err(Reason::WrongState) }
}

fn requester(life: &Life) -> Option<&PersonId> {
    life.decisions.first().map(|decision| &decision.person)
}

fn approvals(life: &Life) -> u32 {
    let approved = life.decisions.iter().filter(|decision| decision.role == DecisionRole::Approved).count();
    u32::try_from(approved).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use time::{Duration, macros::datetime};

    use super::*;

    const NOW: Moment = datetime!(2026-03-02 09:00 UTC);

    fn person(number: u8) -> PersonId {
        format!("p-{number}").parse().unwrap()
    }

    fn roles(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn awaiting_two() -> Life {
        submit(&person(0), 2, NOW + Duration::HOUR, NOW).0
    }

    #[test]
    fn whoever_asked_may_not_approve_or_reject_even_as_an_approver() {
        let (asker, both) = (person(0), roles(&[INVESTIGATOR, APPROVER]));
        let actor = Actor { person: &asker, roles: &both };
        assert_eq!(decide(&awaiting_two(), Command::Approve(actor), NOW), Err(Reason::SelfApproval));
        assert_eq!(decide(&awaiting_two(), Command::Reject(actor), NOW), Err(Reason::SelfApproval));
    }

    #[test]
    fn one_person_does_not_approve_twice() {
        let (other, role) = (person(1), roles(&[APPROVER]));
        let actor = Actor { person: &other, roles: &role };
        let events = decide(&awaiting_two(), Command::Approve(actor), NOW).unwrap();
        assert_eq!(events.len(), 1, "one of two approvals grants nothing");
        let life = events.iter().fold(awaiting_two(), apply);
        assert_eq!(decide(&life, Command::Approve(actor), NOW), Err(Reason::AlreadyDecided));
    }

    #[test]
    fn an_investigator_does_not_approve_and_an_approver_alone_halts() {
        let (other, investigator, approver) = (person(1), roles(&[INVESTIGATOR]), roles(&[APPROVER]));
        let actor = Actor { person: &other, roles: &investigator };
        assert_eq!(decide(&awaiting_two(), Command::Approve(actor), NOW), Err(Reason::RoleMissing));
        assert_eq!(may_submit(actor, RequestKind::Halt), Err(Reason::RoleMissing));
        assert_eq!(may_submit(Actor { person: &other, roles: &approver }, RequestKind::Halt), Ok(()));
        assert_eq!(
            may_submit(Actor { person: &other, roles: &approver }, RequestKind::Freeze),
            Err(Reason::RoleMissing)
        );
    }

    #[test]
    fn approval_after_the_time_is_refused_before_the_timer_has_noticed() {
        let (other, role) = (person(1), roles(&[APPROVER]));
        let late = NOW + Duration::HOUR;
        let approve = Command::Approve(Actor { person: &other, roles: &role });
        assert_eq!(decide(&awaiting_two(), approve, late), Err(Reason::WrongState));
        assert_eq!(decide(&awaiting_two(), Command::Lapse, late), Ok(vec![Event::Lapsed]));
        assert_eq!(decide(&awaiting_two(), Command::Lapse, NOW), Err(Reason::WrongState));
    }

    #[test]
    fn only_whoever_asked_withdraws() {
        let (other, role) = (person(1), roles(&[INVESTIGATOR, APPROVER]));
        let cancel = Command::Cancel(Actor { person: &other, roles: &role });
        assert_eq!(decide(&awaiting_two(), cancel, NOW), Err(Reason::RoleMissing));
    }

    #[test]
    fn what_needs_no_approval_is_granted_as_it_is_submitted() {
        let (life, events) = submit(&person(0), 0, NOW + Duration::HOUR, NOW);
        assert_eq!((life.state, events), (State::Approved, vec![Event::Granted]));
    }

    #[test]
    fn state_names_are_read_back() {
        for state in State::ALL {
            assert_eq!(State::named(state.name()), Some(state));
        }
        assert_eq!(State::named("done"), None);
    }

    #[derive(Clone, Debug)]
    struct Step {
        what: u8,
        who: u8,
        role: u8,
        after: i64,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (0u8..6, 0u8..5, 0u8..4, 0i64..20);
        let step = step.prop_map(|(what, who, role, after)| Step { what, who, role, after });
        prop::collection::vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn nothing_is_granted_without_enough_other_approvers(needed in 0u32..4, steps in steps()) {
            let (mut life, events) = submit(&person(0), needed, NOW + Duration::HOUR, NOW);
            let mut granted = events.contains(&Event::Granted);
            let mut allowed = BTreeSet::new();
            let mut now = NOW;
            for step in steps {
                now += Duration::minutes(step.after);
                let who = person(step.who);
                let roles: Vec<String> = [INVESTIGATOR, APPROVER]
                    .iter().enumerate().filter(|(bit, _)| step.role & (1 << bit) != 0)
                    .map(|(_, role)| (*role).to_owned()).collect();
                let actor = Actor { person: &who, roles: &roles };
                let command = match step.what {
                    0 | 1 => Command::Approve(actor),
                    2 => Command::Reject(actor),
                    3 => Command::Cancel(actor),
                    4 => Command::Lapse,
                    _ => Command::TakeEffect,
                };
                let before = life.state;
                if let Ok(events) = decide(&life, command, now) {
                    if step.what < 2 && step.who != 0 && roles.iter().any(|role| role == APPROVER) {
                        allowed.insert(step.who);
                    }
                    granted |= events.contains(&Event::Granted);
                    life = events.iter().fold(life, apply);
                    let ended = [State::Closed, State::Rejected, State::Cancelled, State::Lapsed];
                    prop_assert!(!ended.contains(&before), "{before:?} is an end");
                }
                let carried_out = matches!(life.state, State::Approved | State::InEffect | State::Closed);
                prop_assert_eq!(carried_out, granted);
                prop_assert!(!granted || allowed.len() >= needed as usize);
                prop_assert!(life.decisions.iter().skip(1).all(|decision| decision.person != person(0)));
            }
        }
    }
}
