use std::collections::VecDeque;
use std::num::NonZeroU32;

use haetae_core::{
    Act, Arrival, Authorisation, Budgets, ChainId, Confidentiality, FreezeScope, LegState, LegalGround, Officer, Order,
    OrderKind, RefusalReason, Subject, TaintRule, TransferId, TransferIndex, WalletRole, WatchId, within,
};
use proptest::prelude::*;
use time::Duration;
use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::brake::{self, Scope};
use crate::standing::{Rest, Terms};

const NOON: Moment = datetime!(2026-03-01 12:00 UTC);
const PACE: Pace = Pace { first: Duration::seconds(30), most: Duration::HOUR };
const EXCHANGES: [&str; 2] = ["bithumb", "upbit"];

fn exchange(name: &str) -> ExchangeId {
    name.parse().unwrap()
}

fn asset(chain: u8) -> Asset {
    format!("eip155:{chain}/slip44:60").parse().unwrap()
}

fn case() -> CaseRef {
    CaseRef { agency: "knp".parse().unwrap(), unit: "cyber".parse().unwrap(), number: "1".into() }
}

fn armed() -> Authority {
    let line = |n: u128| Line {
        id: AuthorisationId(Uuid::from_u128(n)),
        valid_until: NOON + Duration::days(2),
        legs_per_hour: 5,
    };
    let lines: BTreeMap<_, _> = EXCHANGES.iter().zip(1..).map(|(name, n)| (exchange(name), line(n))).collect();
    let terms = Terms {
        watch: WatchId(Uuid::from_u128(1)),
        case: case(),
        caps: [(asset(1), 100_u64.into()), (asset(2), 50_u64.into())].into(),
        until: NOON + Duration::days(30),
        legs_per_hour: 6,
        holders: 4,
        lines: lines.clone(),
    };
    Authority {
        request: RequestId(Uuid::from_u128(9)),
        case: case(),
        lines,
        standing: Some(Standing::new(terms)),
        legs: BTreeMap::new(),
        over: false,
    }
}

/// Arrival `n`: several share an account, so that legs are raised.
fn arrival(n: u8) -> Arrival {
    let (chain, watch) = (ChainId::evm(u64::from(n % 2 + 1)), WatchId(Uuid::from_u128(1)));
    let transfer =
        TransferId { chain: chain.clone(), transaction: format!("0x{n:064x}"), index: TransferIndex::Native };
    let traced = 10 + u64::from(n) * 7 % 50;
    Arrival {
        id: transfer.arrival(watch),
        watch,
        transfer,
        target: Target::account(format!("{chain}:0x{:040x}", n % 6 + 1).parse().unwrap()),
        exchange: exchange(EXCHANGES[usize::from(n) / 2 % 2]),
        asset: asset(n % 2 + 1),
        amount: traced.into(),
        traced: traced.into(),
        rule: TaintRule::TracedFirst,
        block_number: 1,
        block_hash: format!("0x{n:064x}"),
        seen_at: NOON,
        wallet_role: Some(WalletRole::CustomerDeposit),
    }
}

fn found(arrival: &Arrival) -> Found {
    let Arrival { id, exchange, target, asset, traced, wallet_role, .. } = arrival.clone();
    Found { arrival: id, exchange, target, asset, traced, wallet_role }
}

/// What intake signed for an exchange, and, for a release, its end.
fn authorisation(of: &Authority, exchange: &ExchangeId, act: Act) -> Authorisation {
    let (line, terms) = (of.lines[exchange], &of.standing.as_ref().unwrap().terms);
    Authorisation {
        id: line.id,
        act,
        line: line.id,
        amendment: 1,
        exchange: exchange.clone(),
        request: of.request,
        case: case(),
        ground: LegalGround { basis: "warrant".into(), citation: "Art. 215".into(), document: None, ratify_by: None },
        permitted: [OrderKind::Freeze].into(),
        subject: Subject::Watch { watch: terms.watch, root: arrival(0).target },
        caps: terms.caps.clone(),
        valid_from: NOON,
        valid_until: line.valid_until,
        freeze_until: Some(terms.until),
        confidentiality: Confidentiality::Open,
        officer: Officer {
            name: String::new(),
            title: String::new(),
            address: String::new(),
            email: String::new(),
            phone: String::new(),
        },
        decisions: Vec::new(),
        issued_at: NOON,
        budgets: Budgets { max_questions: 0, max_legs_per_hour: line.legs_per_hour },
    }
}

/// Asks what an exchange will ask.
fn assert_within(
    of: &Authority,
    leg: &Leg,
    revision: NonZeroU32,
    at: Moment,
    desired: Desired,
    grounds: &[ArrivalId],
    mut arrivals: Vec<Arrival>,
) {
    let (desired, act) = match desired {
        Desired::Frozen { cap, until } => {
            let scope = FreezeScope::CreditsOfTransactions;
            (haetae_core::Desired::Frozen { cap, until, scope }, Act::Grant)
        }
        Desired::Released => (haetae_core::Desired::Released, Act::Cancel { legs: BTreeSet::new() }),
    };
    // A release needs no ground.
    arrivals.retain(|arrival| matches!(act, Act::Grant) && grounds.contains(&arrival.id));
    let order = Order {
        recipient: leg.exchange.clone(),
        leg: leg.id,
        revision,
        target: leg.target.clone(),
        asset: Some(leg.asset.clone()),
        desired,
        issued_at: at,
        expires_at: at + Duration::minutes(1),
        arrivals,
        hop: None,
    };
    assert_eq!(within(&order, &authorisation(of, &leg.exchange, act)), Ok(()), "an order outside its authorisation");
}

/// What may happen, in any order. Numbers choose among what there is at the time. What was retracted may return, worth
/// another amount; an exchange may forget everything, and say so.
#[derive(Clone, Debug)]
enum Step {
    Arrive(u8),
    Retract(u8),
    Return { n: u8, worth: u64 },
    Deliver { order: usize, answer: LegState },
    Progress { leg: usize, state: LegState },
    Hear { statement: usize, again: bool },
    Lose { order: usize },
    Forget(usize),
    Release(usize),
    End,
    Halt(Option<usize>),
    Resume,
    Wait { minutes: i64 },
}

fn any_step() -> impl Strategy<Value = Step> {
    use LegState::{Accepted, Binding, Expired, FrozenFull, FrozenPartial, Refused};
    let answer = prop::sample::select(vec![Accepted, Binding, FrozenPartial, Refused, Refused]);
    let later = prop::sample::select(vec![Binding, FrozenPartial, FrozenFull, Refused, Expired]);
    prop_oneof![
        8 => (0_u8..24).prop_map(Step::Arrive),
        1 => (0_u8..24).prop_map(Step::Retract),
        2 => (0_u8..24, 1_u64..60).prop_map(|(n, worth)| Step::Return { n, worth }),
        8 => (0_usize..8, answer).prop_map(|(order, answer)| Step::Deliver { order, answer }),
        3 => (0_usize..8, later).prop_map(|(leg, state)| Step::Progress { leg, state }),
        10 => (0_usize..8, any::<bool>()).prop_map(|(statement, again)| Step::Hear { statement, again }),
        1 => (0_usize..8).prop_map(|order| Step::Lose { order }),
        1 => (0_usize..2).prop_map(Step::Forget),
        1 => (0_usize..8).prop_map(Step::Release),
        1 => Just(Step::End),
        1 => prop::option::of(0_usize..2).prop_map(Step::Halt),
        2 => Just(Step::Resume),
        3 => (1_i64..40).prop_map(|minutes| Step::Wait { minutes }),
    ]
}

/// One leg as an exchange keeps it.
#[derive(Clone, Default)]
struct AtExchange {
    highest: u32,
    withholds_up_to: Amount,
    in_force: u32,
}

/// The authority and exchanges that answer late, twice, in any order, or never.
struct World {
    authority: Authority,
    brake: Brake,
    now: Moment,
    outbox: VecDeque<(LegId, u32, Desired)>,
    exchanges: BTreeMap<LegId, AtExchange>,
    statements: VecDeque<Command>,
    clock: i64,
    /// What arrivals are worth that came back.
    worth: BTreeMap<u8, u64>,
}

impl World {
    fn new() -> Self {
        Self {
            authority: armed(),
            brake: Brake::default(),
            now: NOON,
            outbox: VecDeque::new(),
            exchanges: BTreeMap::new(),
            statements: VecDeque::new(),
            clock: 0,
            worth: BTreeMap::new(),
        }
    }

    fn tell(&mut self, command: Command) -> Vec<Event> {
        let contested = BTreeSet::from([arrival(3).target]);
        let now = Now { at: self.now, brake: &self.brake, contested: &contested, pace: PACE };
        let events = self.authority.decide(command, now);
        for event in &events {
            let before = self.authority.clone();
            self.authority.apply(event);
            if let Event::Leg(leg, leg::Event::Ordered { revision, at, desired, grounds }) = event {
                assert_eq!(revision.get(), before.legs[leg].revision() + 1, "revisions rise by one");
                if before.standing.is_some() {
                    let arrivals = (0..24).map(|n| self.arrival(n)).collect();
                    assert_within(&before, &before.legs[leg], *revision, *at, *desired, grounds, arrivals);
                }
                if let Desired::Frozen { .. } = desired {
                    assert!(!self.brake.stops(&before.legs[leg].exchange, &case()), "a freeze went out while halted");
                    assert!(!self.authority.over, "a freeze went out after the authority had ended");
                }
                self.outbox.push_back((*leg, revision.get(), *desired));
            }
            if let Event::Leg(leg, _) = event
                && let Some(then) = before.legs[leg].binding_at
            {
                assert_eq!(self.authority.legs[leg].binding_at, Some(then), "binding_at is set once");
            }
        }
        events
    }

    fn arrival(&self, n: u8) -> Arrival {
        let mut arrival = arrival(n);
        arrival.traced = self.worth.get(&n).map_or(arrival.traced, |worth| (*worth).into());
        arrival.amount = arrival.amount.max(arrival.traced);
        arrival
    }

    fn retract(&mut self, n: u8) {
        let Found { arrival, exchange, .. } = found(&self.arrival(n));
        self.tell(Command::Retracted { arrival, exchange });
    }

    fn say(&mut self, leg: LegId, revision: u32, state: LegState) {
        self.clock += 1;
        let reported = Reported {
            revision: NonZeroU32::new(revision).unwrap(),
            state,
            at: NOON + Duration::seconds(self.clock),
            frozen: None,
            refusal: (state == LegState::Refused).then_some(RefusalReason::DeFactoImpossible),
        };
        let holder = Some(format!("holder-{}", leg.0.as_u128() % 5));
        let for_now = state == LegState::Refused && self.clock % 3 == 0;
        self.statements.push_back(Command::Reported { leg, reported, holder, for_now, stored_at: self.now });
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Arrive(n) => drop(self.tell(Command::Arrived(found(&self.arrival(n))))),
            Step::Retract(n) => self.retract(n),
            Step::Return { n, worth } => {
                self.retract(n);
                self.worth.insert(n, worth);
                self.tell(Command::Arrived(found(&self.arrival(n))));
            }
            Step::Deliver { order, answer } => {
                let Some((leg, revision, desired)) = self.outbox.remove(order % self.outbox.len().max(1)) else {
                    return;
                };
                let known = self.exchanges.entry(leg).or_default();
                let state = if revision < known.highest {
                    LegState::Superseded
                } else {
                    known.highest = revision;
                    match desired {
                        Desired::Released if answer == LegState::Refused => answer,
                        Desired::Released => {
                            *known = AtExchange { highest: revision, ..AtExchange::default() };
                            LegState::Released
                        }
                        Desired::Frozen { cap, .. } => {
                            if answer != LegState::Refused {
                                (known.withholds_up_to, known.in_force) = (cap, revision);
                            }
                            answer
                        }
                    }
                };
                self.say(leg, revision, state);
            }
            Step::Progress { leg, state } => {
                let active: Vec<_> =
                    self.exchanges.iter().filter(|(_, at)| at.in_force != 0 && at.in_force == at.highest).collect();
                let Some((id, at)) = active.get(leg % active.len().max(1)) else { return };
                let (id, revision) = (**id, at.in_force);
                if matches!(state, LegState::Refused | LegState::Expired) {
                    self.exchanges.insert(id, AtExchange { highest: revision, ..AtExchange::default() });
                }
                self.say(id, revision, state);
            }
            Step::Hear { statement, again } => {
                let place = statement % self.statements.len().max(1);
                let Some(command) = self.statements.get(place).cloned() else { return };
                if !again {
                    self.statements.remove(place);
                }
                self.tell(command);
            }
            Step::Lose { order } => {
                if let Some((leg, revision, _)) = self.outbox.remove(order % self.outbox.len().max(1)) {
                    self.tell(Command::Undelivered { leg, revision });
                }
            }
            Step::Forget(n) => {
                let there = exchange(EXCHANGES[n]);
                let legs = &self.authority.legs;
                self.exchanges.retain(|leg, _| legs[leg].exchange != there);
                // A connector sends what is overtaken no more.
                self.outbox.retain(|(leg, revision, _)| *revision == legs[leg].revision());
                self.tell(Command::Restate(there));
            }
            Step::Release(n) => {
                let legs: Vec<LegId> = self.authority.legs.keys().copied().collect();
                let Some(leg) = legs.get(n % legs.len().max(1)).copied() else { return };
                let frozen = self.authority.legs[&leg].desired != Desired::Released;
                let ordered = self.authority.legs[&leg].revision() > 0;
                let events = self.tell(Command::Release([leg].into()));
                assert_eq!(releases(&events), usize::from(frozen && ordered), "a release goes out, halted or not");
            }
            Step::End => {
                let frozen = |leg: &&Leg| leg.desired != Desired::Released && leg.revision() > 0;
                let due = self.authority.legs.values().filter(frozen).count();
                let due = if self.authority.over { 0 } else { due };
                let events = self.tell(Command::End);
                assert_eq!(releases(&events), due, "every leg is released at the end of the authority");
            }
            Step::Halt(which) => {
                let scope = which.map_or(Scope::Everything, |n| Scope::Exchange(exchange(EXCHANGES[n])));
                let request = RequestId(Uuid::from_u128(500 + self.brake.halts().len() as u128));
                self.move_brake(brake::Command::Halt { request, scope, case: case() });
            }
            Step::Resume => {
                if let Some(scope) = self.brake.halts().first().map(|halt| halt.scope.clone()) {
                    self.move_brake(brake::Command::Resume { scope });
                }
                self.tell(Command::Resume);
            }
            Step::Wait { minutes } => {
                self.now += Duration::minutes(minutes);
                self.tell(Command::Due);
            }
        }
    }

    fn move_brake(&mut self, command: brake::Command) {
        for event in self.brake.decide(command, self.now).unwrap_or_default() {
            self.brake.apply(&event);
        }
    }

    fn check(&self) {
        let standing = self.authority.standing.as_ref().unwrap();
        for (asset, cap) in &standing.terms.caps {
            assert!(standing.reserved(asset) <= *cap, "the reserves of an asset are never more than its cap");
        }
        for (leg, at) in &self.exchanges {
            let reserve = standing.reserves.get(leg).map_or(Amount::ZERO, |reserve| reserve.amount);
            assert!(at.withholds_up_to <= reserve, "an exchange may withhold more than is reserved for it");
        }
        for leg in self.authority.legs.values() {
            if let Some(word) = leg.reported {
                assert!(word.revision.get() <= leg.revision());
            }
        }
    }

    /// Everything is delivered, answered and heard, as long as it takes.
    fn settle(&mut self, rounds: u32) {
        while !self.brake.halts().is_empty() {
            self.step(Step::Resume);
        }
        for _ in 0..rounds {
            self.step(Step::Wait { minutes: 61 });
            while !self.outbox.is_empty() {
                self.step(Step::Deliver { order: 0, answer: LegState::Binding });
            }
            while !self.statements.is_empty() {
                self.step(Step::Hear { statement: 0, again: false });
            }
            self.check();
        }
    }
}

fn releases(events: &[Event]) -> usize {
    let release =
        |event: &&Event| matches!(event, Event::Leg(_, leg::Event::Ordered { desired: Desired::Released, .. }));
    events.iter().filter(release).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn caps_hold_and_brakes_stop_and_releases_go_however_things_interleave(
        steps in prop::collection::vec(any_step(), 1..80)
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check();
        }
    }

    #[test]
    fn in_the_end_every_release_is_acknowledged(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.step(Step::End);
        world.settle(40);
        for (leg, at) in &world.exchanges {
            prop_assert_eq!(at.withholds_up_to, Amount::ZERO, "{} is still withheld", leg);
        }
    }

    #[test]
    fn an_exchange_that_lost_everything_is_told_again_what_is_to_be_frozen(
        steps in prop::collection::vec(any_step(), 1..60),
        lost in 0_usize..2,
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.settle(3);
        world.step(Step::Forget(lost));
        world.settle(3);
        let standing = world.authority.standing.as_ref().unwrap();
        for leg in world.authority.legs.values().filter(|leg| leg.exchange == exchange(EXCHANGES[lost])) {
            let at = world.exchanges.get(&leg.id).map_or(Amount::ZERO, |at| at.withholds_up_to);
            let reserve = standing.reserves.get(&leg.id).map_or(Amount::ZERO, |reserve| reserve.amount);
            if let Desired::Frozen { cap, .. } = leg.desired {
                prop_assert!(at >= cap.min(reserve), "{} of {cap} is withheld, {reserve} reserved: {leg:?}", at);
            }
        }
    }

    #[test]
    fn the_same_facts_read_again_change_nothing(steps in prop::collection::vec(any_step(), 1..40), n in 0_u8..24) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.step(Step::Arrive(n));
        let before = world.authority.clone();
        let again = Command::Arrived(found(&world.arrival(n)));
        prop_assert_eq!(world.tell(again), vec![]);
        prop_assert_eq!(world.authority, before);
    }
}

#[test]
fn a_refused_leg_frees_the_cap_and_the_waiting_arrival_is_frozen() {
    let mut world = World::new();
    let second = found(&arrival(1));
    world.step(Step::Arrive(7));
    world.step(Step::Arrive(1));
    assert_eq!(world.outbox.len(), 1);
    world.step(Step::Deliver { order: 0, answer: LegState::Refused });
    world.step(Step::Hear { statement: 0, again: false });
    let standing = world.authority.standing.as_ref().unwrap();
    assert_eq!(standing.claims[1].granted, second.traced);
    assert_eq!(standing.claims[1].rest, Rest::None);
    assert_eq!(world.outbox[0].0, standing.leg_of(&second).unwrap());
}

#[test]
fn named_accounts_are_frozen_once_and_held_back_while_halted() {
    let mut world = World::new();
    world.authority.standing = None;
    world.move_brake(brake::Command::Halt {
        request: RequestId(Uuid::from_u128(1)),
        scope: Scope::Case { agency: "knp".parse().unwrap(), number: "1".into() },
        case: case(),
    });
    let named = |n: u8| Named {
        exchange: exchange("upbit"),
        line: AuthorisationId(Uuid::from_u128(2)),
        target: found(&arrival(n)).target,
        asset: found(&arrival(n)).asset,
        cap: 10_u64.into(),
        until: NOON + Duration::days(1),
    };
    world.tell(Command::Freeze(vec![named(1), named(2)]));
    assert_eq!((world.outbox.len(), world.authority.legs.len()), (0, 2));
    world.step(Step::Resume);
    assert_eq!(world.outbox.len(), 2);
    assert_eq!(world.tell(Command::Freeze(vec![named(1), named(2)])), []);
}

#[test]
fn an_arrival_that_is_back_and_worth_less_is_frozen_for_less_and_frees_the_rest_when_that_is_taken_in() {
    let mut world = World::new();
    // Both of one asset, whose cap is 50, at different accounts.
    world.worth = [(1, 50), (7, 30)].into();
    world.step(Step::Arrive(1));
    world.step(Step::Deliver { order: 0, answer: LegState::Binding });
    world.step(Step::Hear { statement: 0, again: false });
    world.step(Step::Arrive(7));
    assert!(world.outbox.is_empty(), "the cap is used up");

    world.step(Step::Return { n: 1, worth: 20 });
    let (leg, revision, desired) = world.outbox[0];
    assert!(matches!(desired, Desired::Frozen { cap, .. } if cap == 20_u64.into()), "{desired:?}");
    assert_eq!((revision, world.outbox.len()), (2, 1), "the exchange may still withhold what it took in");
    assert!(!world.authority.legs[&leg].under_review());
    world.step(Step::Deliver { order: 0, answer: LegState::Binding });
    world.step(Step::Hear { statement: 0, again: false });
    assert!(matches!(world.outbox[0].2, Desired::Frozen { cap, .. } if cap == 30_u64.into()), "{:?}", world.outbox);
    world.check();

    // And more than it was: what is left of the cap is nothing.
    world.step(Step::Return { n: 1, worth: 40 });
    let claims = &world.authority.standing.as_ref().unwrap().claims;
    let rest =
        claims.iter().find(|claim| claim.found.arrival == arrival(1).id).map(|claim| (claim.granted, claim.rest));
    assert_eq!(rest, Some((20_u64.into(), Rest::Waits(standing::Unserved::CapExhausted))));
}

#[test]
fn what_a_leg_has_reserved_and_no_arrival_is_granted_serves_its_next_arrival_at_once() {
    let mut world = World::new();
    // Both at one account of one asset, whose cap is 50: what one loses the other gains.
    world.worth = [(1, 30), (13, 20)].into();
    world.step(Step::Arrive(1));
    world.step(Step::Arrive(13));
    world.retract(1);
    world.worth.insert(1, 20);
    world.step(Step::Arrive(1));
    world.retract(13);
    world.worth.insert(13, 30);
    world.step(Step::Arrive(13));
    let caps: Vec<_> = world.outbox.iter().map(|(_, _, desired)| *desired).collect();
    let frozen = |cap: u64| Desired::Frozen { cap: cap.into(), until: NOON + Duration::days(30) };
    assert_eq!(caps, [frozen(30), frozen(50), frozen(40), frozen(50)]);
    let standing = world.authority.standing.as_ref().unwrap();
    assert_eq!(standing.reserved(&asset(2)), 50_u64.into());
    assert!(standing.claims.iter().all(|claim| claim.rest == Rest::None && claim.granted == claim.found.traced));
}

#[test]
fn an_arrival_that_is_back_and_worth_more_is_frozen_for_more() {
    let mut world = World::new();
    world.worth = [(1, 20)].into();
    world.step(Step::Arrive(1));
    world.step(Step::Return { n: 1, worth: 45 });
    let caps: Vec<_> = world.outbox.iter().map(|(_, revision, desired)| (*revision, *desired)).collect();
    let until = NOON + Duration::days(30);
    let frozen = |cap: u64| Desired::Frozen { cap: cap.into(), until };
    assert_eq!(caps, [(1, frozen(20)), (2, frozen(45))]);
}

#[test]
fn a_leg_at_an_account_that_two_exchanges_claim_is_under_review_from_its_beginning() {
    let mut world = World::new();
    world.step(Step::Arrive(3));
    assert!(world.authority.legs.values().all(Leg::under_review));
    world.step(Step::Arrive(1));
    assert_eq!(world.authority.legs.values().filter(|leg| leg.under_review()).count(), 1);
}

#[test]
fn two_exchanges_that_claim_an_account_put_its_legs_under_review() {
    let mut world = World::new();
    world.step(Step::Arrive(1));
    world.tell(Command::Contested { target: found(&arrival(1)).target, contested: true });
    assert!(world.authority.legs.values().all(Leg::under_review));
}

#[test]
fn when_the_watch_ends_nothing_more_is_frozen_and_what_is_stays() {
    let mut world = World::new();
    world.step(Step::Arrive(1));
    let ordered = world.outbox.len();
    assert_eq!(ordered, 1);
    world.tell(Command::WatchEnded);
    world.step(Step::Arrive(3));
    assert_eq!(world.outbox.len(), ordered, "neither a freeze nor a release");
    let unserved = |claim: &standing::Claim| claim.rest == standing::Rest::Waits(standing::Unserved::AuthorityOver);
    assert!(world.authority.standing.as_ref().unwrap().claims.iter().any(unserved));
    assert_eq!(world.tell(Command::WatchEnded), [], "the same fact, read again");
}
