use time::macros::datetime;
use uuid::Uuid;

use super::*;

const NOON: Moment = datetime!(2026-03-01 12:00 UTC);
const PACE: Pace = Pace { first: Duration::seconds(30), most: Duration::HOUR };

fn at(minutes: i64) -> Circumstances {
    let orders_until = NOON + Duration::hours(2);
    Circumstances { now: NOON + Duration::minutes(minutes), halted: false, orders_until, pace: PACE }
}

fn halted() -> Circumstances {
    Circumstances { halted: true, ..at(0) }
}

fn new_leg() -> Leg {
    let target = Target::account("eip155:1:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse().unwrap());
    let asset: Asset = "eip155:1/slip44:60".parse().unwrap();
    let (line, exchange) = (AuthorisationId(Uuid::from_u128(1)), "upbit".parse().unwrap());
    Leg {
        id: LegId::of(line, &exchange, &target, Some(&asset)),
        request: RequestId(Uuid::from_u128(2)),
        watch: None,
        line,
        exchange,
        target,
        asset,
        opened_at: NOON,
        desired: frozen(100),
        orders: Vec::new(),
        grounds: Vec::new(),
        reported: None,
        holder: None,
        ordered_at: None,
        binding_at: None,
        owed: None,
        refusals: 0,
        retracted: BTreeSet::new(),
        contested: false,
    }
}

fn frozen(cap: u64) -> Desired {
    Desired::Frozen { cap: cap.into(), until: NOON + Duration::days(30) }
}

fn freeze(cap: u64) -> Command {
    Command::Freeze { cap: cap.into(), until: NOON + Duration::days(30), ground: None }
}

fn says(revision: u32, state: LegState, minute: i64) -> Command {
    let refusal = (state == LegState::Refused).then_some(RefusalReason::ConflictOfLaw);
    refuses(revision, state, minute, refusal)
}

fn refuses(revision: u32, state: LegState, minute: i64, refusal: Option<RefusalReason>) -> Command {
    let at = NOON + Duration::minutes(minute);
    let reported = Reported { revision: NonZeroU32::new(revision).unwrap(), state, at, frozen: None, refusal };
    Command::Report { reported, holder: None, for_now: false, stored_at: at }
}

/// Tells a leg something and answers with what happened.
fn tell(leg: &mut Leg, command: Command, at: &Circumstances) -> Vec<Event> {
    let events = leg.decide(command, at).unwrap();
    events.iter().for_each(|event| leg.apply(event));
    events
}

fn ordered(events: &[Event]) -> Vec<(u32, Desired)> {
    let order = |event: &Event| match event {
        Event::Ordered { revision, desired, .. } => Some((revision.get(), *desired)),
        _ => None,
    };
    events.iter().filter_map(order).collect()
}

#[test]
fn each_order_is_the_complete_state_under_the_next_revision() {
    let mut leg = new_leg();
    assert_eq!(ordered(&tell(&mut leg, freeze(100), &at(0))), [(1, frozen(100))]);
    assert_eq!(ordered(&tell(&mut leg, freeze(150), &at(1))), [(2, frozen(150))]);
    assert_eq!(ordered(&tell(&mut leg, Command::Release, &at(2))), [(3, Desired::Released)]);
    assert_eq!(leg.ordered_at, Some(NOON));
    assert_eq!(leg.decide(freeze(200), &at(3)), Err(Refusal::Released));
}

#[test]
fn a_halt_holds_a_freeze_back_and_never_a_release() {
    let mut leg = new_leg();
    assert_eq!(ordered(&tell(&mut leg, freeze(100), &halted())), []);
    assert_eq!(leg.decide(Command::Due { resumed: true }, &halted()), Err(Refusal::NotDue));
    assert_eq!(ordered(&tell(&mut leg, Command::Due { resumed: true }, &at(1))), [(1, frozen(100))]);
    assert_eq!(ordered(&tell(&mut leg, Command::Release, &halted())), [(2, Desired::Released)]);
}

#[test]
fn a_leg_that_was_never_ordered_is_released_without_an_order() {
    let mut leg = new_leg();
    tell(&mut leg, freeze(100), &halted());
    assert_eq!(
        tell(&mut leg, Command::Release, &halted()),
        [Event::Desired(Desired::Released), Event::Settled { keep: Amount::ZERO }]
    );
    assert_eq!(leg.owed, None);
}

#[test]
fn binding_is_the_first_statement_of_binding_or_later_and_is_set_once() {
    let mut leg = new_leg();
    tell(&mut leg, freeze(100), &at(0));
    tell(&mut leg, says(1, LegState::Accepted, 1), &at(1));
    assert_eq!(leg.binding_at, None);
    tell(&mut leg, says(1, LegState::FrozenPartial, 2), &at(2));
    tell(&mut leg, freeze(200), &at(3));
    tell(&mut leg, says(2, LegState::FrozenFull, 4), &at(4));
    assert_eq!(leg.binding_at, Some(NOON + Duration::minutes(2)));
}

#[test]
fn a_repeated_receipt_does_not_take_a_leg_back() {
    let mut leg = new_leg();
    tell(&mut leg, freeze(100), &at(0));
    tell(&mut leg, says(1, LegState::Binding, 5), &at(5));
    assert_eq!(leg.decide(says(1, LegState::Accepted, 6), &at(6)), Err(Refusal::Stale));
    assert_eq!(leg.decide(says(1, LegState::FrozenPartial, 4), &at(6)), Err(Refusal::Stale));
    tell(&mut leg, says(1, LegState::FrozenPartial, 6), &at(6));
    tell(&mut leg, says(1, LegState::Binding, 7), &at(7));
    assert_eq!(leg.reported.unwrap().state, LegState::Binding);
}

#[test]
fn a_statement_on_a_revision_that_was_never_ordered_changes_nothing() {
    let mut leg = new_leg();
    tell(&mut leg, freeze(100), &at(0));
    assert_eq!(leg.decide(says(2, LegState::FrozenFull, 1), &at(1)), Err(Refusal::NeverOrdered));
}

#[test]
fn a_refusal_leaves_what_was_taken_in_before() {
    let mut leg = new_leg();
    tell(&mut leg, freeze(60), &at(0));
    tell(&mut leg, says(1, LegState::Binding, 1), &at(1));
    tell(&mut leg, freeze(100), &at(2));
    let events = tell(&mut leg, says(2, LegState::Refused, 3), &at(3));
    assert_eq!(events.last(), Some(&Event::Settled { keep: 60_u64.into() }));
}

#[test]
fn a_refusal_after_an_unanswered_order_keeps_what_may_have_been_taken_in_until_it_is_known() {
    let mut leg = new_leg();
    tell(&mut leg, freeze(60), &at(0));
    tell(&mut leg, freeze(100), &at(1));
    let events = tell(&mut leg, says(2, LegState::Refused, 2), &at(2));
    assert_eq!(events.last(), Some(&Event::Settled { keep: 60_u64.into() }));
    let events = tell(&mut leg, says(1, LegState::Superseded, 3), &at(3));
    assert_eq!(events.last(), Some(&Event::Settled { keep: Amount::ZERO }));
    assert_eq!(leg.reported.unwrap().revision.get(), 2);
}

#[test]
fn an_order_the_exchange_never_saw_goes_out_again_with_the_same_state() {
    let mut leg = new_leg();
    tell(&mut leg, freeze(100), &at(0));
    assert_eq!(ordered(&tell(&mut leg, Command::Undelivered { revision: 1 }, &at(11))), [(2, frozen(100))]);
    assert_eq!(leg.decide(Command::Undelivered { revision: 1 }, &at(12)), Err(Refusal::Stale));
    tell(&mut leg, says(2, LegState::Binding, 12), &at(12));
    assert_eq!(leg.decide(Command::Undelivered { revision: 2 }, &at(13)), Err(Refusal::Stale));
}

#[test]
fn when_the_authority_has_run_out_an_undelivered_freeze_gives_its_reserve_back() {
    let mut leg = new_leg();
    tell(&mut leg, freeze(100), &at(0));
    let events = tell(&mut leg, Command::Undelivered { revision: 1 }, &at(180));
    assert_eq!(events.last(), Some(&Event::Settled { keep: Amount::ZERO }));
}

#[test]
fn a_refused_release_is_ordered_again_and_again_each_time_later() {
    let mut leg = new_leg();
    tell(&mut leg, freeze(100), &at(0));
    tell(&mut leg, Command::Release, &at(1));
    let mut waits = Vec::new();
    for revision in 2..12 {
        let now = at(10);
        tell(&mut leg, says(revision, LegState::Refused, 10), &now);
        let Some(Owed::At(due)) = leg.owed else { panic!("a release is never given up") };
        waits.push(due - now.now);
        assert_eq!(leg.decide(Command::Due { resumed: true }, &now), Err(Refusal::NotDue));
        let later = Circumstances { now: due, halted: true, ..now };
        assert_eq!(
            ordered(&tell(&mut leg, Command::Due { resumed: false }, &later)),
            [(revision + 1, Desired::Released)]
        );
    }
    assert_eq!(waits[..3], [30, 60, 120].map(Duration::seconds));
    assert_eq!(waits.last(), Some(&Duration::HOUR));
    let events = tell(&mut leg, says(12, LegState::Released, 11), &at(11));
    assert_eq!(events.last(), Some(&Event::Settled { keep: Amount::ZERO }));
}

#[test]
fn a_freeze_that_is_refused_for_now_is_ordered_again_each_time_later_as_long_as_its_authority_lasts() {
    let mut leg = new_leg();
    tell(&mut leg, freeze(100), &at(0));
    let refused = |revision| match says(revision, LegState::Refused, 1) {
        Command::Report { reported, holder, stored_at, .. } => {
            Command::Report { reported, holder, for_now: true, stored_at }
        }
        other => other,
    };
    tell(&mut leg, refused(1), &at(1));
    assert_eq!(leg.owed, Some(Owed::At(NOON + Duration::seconds(90))));
    assert_eq!(ordered(&tell(&mut leg, Command::Due { resumed: false }, &at(2))), [(2, frozen(100))]);
    tell(&mut leg, refused(2), &at(3));
    assert_eq!(leg.owed, Some(Owed::At(NOON + Duration::minutes(4))));
    let events = tell(&mut leg, Command::Due { resumed: false }, &at(180));
    assert_eq!(events, [Event::Settled { keep: Amount::ZERO }], "nothing may be ordered any more");
}

#[test]
fn a_freeze_whose_period_is_over_is_ordered_no_more_whatever_its_authority_allows() {
    let mut leg = new_leg();
    let until = NOON + Duration::minutes(5);
    tell(&mut leg, Command::Freeze { cap: 100_u64.into(), until, ground: None }, &at(0));
    let events = tell(&mut leg, Command::Undelivered { revision: 1 }, &at(6));
    assert_eq!(events.last(), Some(&Event::Settled { keep: Amount::ZERO }));
}

#[test]
fn an_answer_that_nobody_could_verify_is_none_and_the_order_goes_out_again() {
    let mut leg = new_leg();
    tell(&mut leg, freeze(100), &at(0));
    tell(&mut leg, Command::Unheard, &at(1));
    assert_eq!(leg.owed, Some(Owed::At(NOON + Duration::seconds(90))));
    assert_eq!(leg.decide(Command::Unheard, &at(1)), Err(Refusal::Unchanged), "said once");
    assert_eq!(ordered(&tell(&mut leg, Command::Due { resumed: false }, &at(2))), [(2, frozen(100))]);
    tell(&mut leg, says(2, LegState::Binding, 3), &at(3));
    assert_eq!(leg.decide(Command::Unheard, &at(4)), Err(Refusal::Unchanged), "it has answered");
}

#[test]
fn an_order_that_was_overtaken_before_it_was_sent_withholds_nothing() {
    let mut leg = new_leg();
    tell(&mut leg, freeze(60), &at(0));
    tell(&mut leg, freeze(100), &at(1));
    tell(&mut leg, Command::Undelivered { revision: 1 }, &at(1));
    let events = tell(&mut leg, says(2, LegState::Refused, 2), &at(2));
    assert_eq!(events.last(), Some(&Event::Settled { keep: Amount::ZERO }));
}

#[test]
fn a_lower_cap_counts_once_the_exchange_has_taken_it_in() {
    let mut leg = new_leg();
    tell(&mut leg, freeze(100), &at(0));
    tell(&mut leg, says(1, LegState::Binding, 1), &at(1));
    let events = tell(&mut leg, freeze(60), &at(2));
    assert_eq!(ordered(&events), [(2, frozen(60))]);
    assert!(!events.iter().any(|event| matches!(event, Event::Lowered { .. })), "it may still withhold a hundred");
    let events = tell(&mut leg, says(2, LegState::Binding, 3), &at(3));
    assert_eq!(events.last(), Some(&Event::Lowered { keep: 60_u64.into() }));
}

#[test]
fn a_ground_that_was_refused_is_not_put_to_the_exchange_again() {
    let (first, second) = (ArrivalId(Uuid::from_u128(11)), ArrivalId(Uuid::from_u128(12)));
    let until = NOON + Duration::days(30);
    let mut leg = new_leg();
    tell(&mut leg, Command::Freeze { cap: 60_u64.into(), until, ground: Some(first) }, &at(0));
    tell(&mut leg, says(1, LegState::Refused, 1), &at(1));
    let events = tell(&mut leg, Command::Freeze { cap: 40_u64.into(), until, ground: Some(second) }, &at(2));
    let Some(Event::Ordered { grounds, .. }) = events.last() else { panic!("an order goes out") };
    assert_eq!(*grounds, [second]);
}

#[test]
fn a_retracted_ground_calls_for_a_person_until_it_holds_again() {
    let ground = ArrivalId(Uuid::from_u128(11));
    let mut leg = new_leg();
    let until = NOON + Duration::days(30);
    tell(&mut leg, Command::Freeze { cap: 60_u64.into(), until, ground: Some(ground) }, &at(0));
    assert_eq!(ordered(&tell(&mut leg, Command::Retract(ground), &at(1))), []);
    assert!(leg.under_review());
    assert_eq!(leg.decide(Command::Retract(ArrivalId(Uuid::from_u128(12))), &at(1)), Err(Refusal::Unchanged));
    tell(&mut leg, Command::Restore(ground), &at(2));
    assert!(!leg.under_review());
}
