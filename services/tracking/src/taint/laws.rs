//! Laws of the rules, over any money.

use haetae_core::{Amount, TaintRule};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Lot, Parcel, Purse, through};

/// What happens to a purse.
#[derive(Clone, Debug)]
enum Event {
    Receive(Parcel),
    Pay(Amount),
}

/// Small amounts meet often; some are as large as amounts get.
fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        8 => (0u64..200).prop_map(Amount::from),
        1 => any::<u128>().prop_map(Amount::from),
    ]
}

fn parcel() -> impl Strategy<Value = Parcel> {
    vec((amount(), any::<bool>()), 0..4).prop_map(|lots| {
        lots.into_iter().fold(Parcel::default(), |parcel, (amount, traced)| parcel.with(amount, traced))
    })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![parcel().prop_map(Event::Receive), amount().prop_map(Event::Pay)];
    vec(event, 0..20)
}

/// Gives what was paid.
fn replay(purse: &mut Purse, events: &[Event]) -> Vec<Parcel> {
    let mut paid = Vec::new();
    for event in events {
        match event {
            Event::Receive(parcel) => purse.receive(parcel.clone()),
            Event::Pay(amount) => paid.push(purse.pay(*amount)),
        }
    }
    paid
}

fn received(events: &[Event]) -> impl Iterator<Item = &Parcel> {
    events.iter().filter_map(|event| match event {
        Event::Receive(parcel) => Some(parcel),
        Event::Pay(_) => None,
    })
}

/// One parcel of many, in their order.
fn joined<'a>(parcels: impl IntoIterator<Item = &'a Parcel>) -> Parcel {
    let mut all = Parcel::default();
    parcels.into_iter().flat_map(|parcel| &parcel.0).for_each(|lot| all.push(*lot));
    all
}

/// No more is paid than is there.
fn within_means(events: Vec<Event>, before: Amount) -> Vec<Event> {
    let mut there = before;
    let afford = |event| match event {
        Event::Receive(parcel) => {
            there = there.saturating_add(parcel.amount());
            Event::Receive(parcel)
        }
        Event::Pay(amount) => {
            let amount = amount.min(there);
            there = there.saturating_sub(amount);
            Event::Pay(amount)
        }
    };
    events.into_iter().map(afford).collect()
}

proptest! {
    /// Under every rule but poison: what came in traced went out traced, or is still there.
    #[test]
    fn no_traced_money_is_made_or_lost(
        rule in select(&[TaintRule::TracedFirst, TaintRule::Haircut, TaintRule::Fifo][..]),
        before in amount(), events in events(),
    ) {
        let mut purse = Purse::open(rule, before);
        let paid = replay(&mut purse, &events);
        let came: Amount = received(&events).map(Parcel::traced).sum();
        let went: Amount = paid.iter().map(Parcel::traced).sum();
        prop_assert_eq!(came, went.saturating_add(purse.traced()));
    }

    #[test]
    fn a_payment_is_what_was_paid_and_traced_for_no_more(
        rule in select(&TaintRule::ALL[..]), before in amount(), events in events(), last in amount(),
    ) {
        let mut purse = Purse::open(rule, before);
        replay(&mut purse, &events);
        let paid = purse.pay(last);
        prop_assert_eq!(paid.amount(), last);
        prop_assert!(paid.traced() <= last);
    }

    #[test]
    fn what_is_emptied_holds_nothing_traced(
        rule in select(&[TaintRule::TracedFirst, TaintRule::Haircut, TaintRule::Fifo][..]),
        before in amount(), events in events(),
    ) {
        let mut purse = Purse::open(rule, before);
        replay(&mut purse, &events);
        purse.pay(Amount::MAX);
        prop_assert_eq!(purse.traced(), Amount::ZERO);
    }

    #[test]
    fn a_haircut_does_not_depend_on_the_order_in_which_money_came(
        before in amount(), first in parcel(), second in parcel(),
    ) {
        let mut one = Purse::open(TaintRule::Haircut, before);
        let mut other = one.clone();
        one.receive(first.clone());
        one.receive(second.clone());
        other.receive(second);
        other.receive(first);
        prop_assert_eq!(one, other);
    }

    /// Two payments carry what one of their sum would, or one unit less.
    #[test]
    fn a_haircut_is_fair_to_within_a_unit(
        clean in 0u64..1_000, traced in 1u64..1_000, first in 0u64..500, second in 0u64..500,
    ) {
        let mut purse = Purse::open(TaintRule::Haircut, clean.into());
        purse.receive(Parcel::traced_only(traced.into()));
        let mut whole = purse.clone();
        let parts = purse.pay(first.into()).traced().saturating_add(purse.pay(second.into()).traced());
        let at_once = whole.pay((first + second).into()).traced();
        prop_assert!(parts <= at_once && at_once <= parts.saturating_add(1u64.into()));
    }

    /// Nobody who pays or receives more makes less of it poisoned: whatever was traced before stays traced.
    #[test]
    fn poison_only_spreads(before in amount(), events in events(), more in parcel(), last in amount()) {
        let mut without = Purse::open(TaintRule::Poison, before);
        replay(&mut without, &events);
        let mut with = without.clone();
        with.receive(more);
        prop_assert!(with.is_touched() >= without.is_touched());
        prop_assert!(with.pay(last).traced() >= without.pay(last).traced());
    }

    /// Poison traces whatever any other rule traces.
    #[test]
    fn poison_reaches_as_far_as_any_rule(
        rule in select(&TaintRule::ALL[..]), before in amount(), events in events(),
    ) {
        let paid = replay(&mut Purse::open(rule, before), &events);
        let poisoned = replay(&mut Purse::open(TaintRule::Poison, before), &events);
        for (paid, poisoned) in paid.iter().zip(&poisoned) {
            prop_assert!(paid.traced() <= poisoned.traced());
        }
    }

    /// The units that left, and then those that are there, are the units that came, in their order. So every lot that
    /// was paid leads back to the parcel that brought it, by counting.
    #[test]
    fn fifo_loses_nothing_of_the_order_in_which_money_came(before in amount(), events in events()) {
        let events = within_means(events, before);
        let mut purse = Purse::open(TaintRule::Fifo, before);
        let paid = replay(&mut purse, &events);
        let Purse::Fifo(left) = purse else { unreachable!() };
        let opening = Parcel::clean(before);
        prop_assert_eq!(
            joined(paid.iter().chain([&left])),
            joined([&opening].into_iter().chain(received(&events)))
        );
    }

    #[test]
    fn a_fifo_payment_taken_back_restores_what_lay_there(before in amount(), events in events(), last in amount()) {
        let mut purse = Purse::open(TaintRule::Fifo, before);
        replay(&mut purse, &events);
        let Purse::Fifo(lay) = purse.clone() else { unreachable!() };
        let paid = purse.pay(last.min(lay.amount()));
        let Purse::Fifo(left) = purse else { unreachable!() };
        prop_assert_eq!(joined([&paid, &left]), lay);
    }

    #[test]
    fn lots_are_never_empty_and_neighbours_never_alike(before in amount(), events in events()) {
        let mut purse = Purse::open(TaintRule::Fifo, before);
        let paid = replay(&mut purse, &events);
        let Purse::Fifo(left) = purse else { unreachable!() };
        for parcel in paid.iter().chain([&left]) {
            let lots: Vec<&Lot> = parcel.0.iter().collect();
            prop_assert!(lots.iter().all(|lot| !lot.amount.is_zero()));
            prop_assert!(lots.windows(2).all(|pair| pair[0].traced != pair[1].traced));
        }
    }
}

/// Inputs, and outputs of no more than they bring.
fn transaction() -> impl Strategy<Value = (Vec<Parcel>, Vec<Amount>)> {
    (vec(parcel(), 0..5), vec(amount(), 0..5)).prop_map(|(inputs, outputs)| {
        let mut left: Amount = inputs.iter().map(Parcel::amount).sum();
        let afford = |output: Amount| {
            let output = output.min(left);
            left = left.saturating_sub(output);
            output
        };
        (inputs, outputs.into_iter().map(afford).collect())
    })
}

proptest! {
    /// Under every rule but poison; and the amounts under every rule.
    #[test]
    fn a_transaction_passes_on_what_it_joins(rule in select(&TaintRule::ALL[..]), (inputs, outputs) in transaction()) {
        let (parcels, fee) = through(rule, inputs.clone(), &outputs);
        prop_assert_eq!(parcels.iter().map(Parcel::amount).collect::<Vec<_>>(), outputs);
        let sum = |part: fn(&Parcel) -> Amount, parcels: &[Parcel]| parcels.iter().map(part).sum::<Amount>();
        prop_assert_eq!(
            sum(Parcel::amount, &inputs),
            sum(Parcel::amount, &parcels).saturating_add(fee.amount())
        );
        let (came, went) = (sum(Parcel::traced, &inputs), sum(Parcel::traced, &parcels).saturating_add(fee.traced()));
        match rule {
            TaintRule::Poison => prop_assert!(went >= came),
            _ => prop_assert_eq!(went, came),
        }
    }

    #[test]
    fn a_haircut_favours_no_input_and_no_output_by_more_than_a_unit(
        (inputs, outputs) in transaction(), turn in any::<prop::sample::Index>(),
    ) {
        let (parcels, fee) = through(TaintRule::Haircut, inputs.clone(), &outputs);
        let mut turned = inputs;
        if !turned.is_empty() {
            let by = turn.index(turned.len());
            turned.rotate_left(by);
        }
        prop_assert_eq!(through(TaintRule::Haircut, turned, &outputs), (parcels.clone(), fee.clone()));
        for one in parcels.iter().chain([&fee]) {
            for other in parcels.iter().chain([&fee]).filter(|other| other.amount() == one.amount()) {
                prop_assert!(one.traced() <= other.traced().saturating_add(1u64.into()));
            }
        }
    }

    /// What is learnt late makes inputs clean, never dirty; no output may become dirty by it.
    #[test]
    fn where_less_comes_in_traced_no_output_gets_more_of_it(
        rule in select(&TaintRule::ALL[..]), (inputs, outputs) in transaction(), cleaned in any::<prop::sample::Index>(),
    ) {
        let mut less = inputs.clone();
        if !less.is_empty() {
            let place = cleaned.index(less.len());
            less[place] = Parcel::clean(less[place].amount());
        }
        let (before, fee_before) = through(rule, inputs, &outputs);
        let (after, fee_after) = through(rule, less, &outputs);
        for (after, before) in after.iter().chain([&fee_after]).zip(before.iter().chain([&fee_before])) {
            prop_assert!(after.traced() <= before.traced());
        }
    }

    #[test]
    fn fifo_keeps_the_order_of_inputs_through_a_transaction((inputs, outputs) in transaction()) {
        let (parcels, fee) = through(TaintRule::Fifo, inputs.clone(), &outputs);
        prop_assert_eq!(joined(parcels.iter().chain([&fee])), joined(&inputs));
    }

    #[test]
    fn poison_takes_all_of_a_transaction_or_nothing((inputs, outputs) in transaction()) {
        let touched = inputs.iter().any(|input| !input.traced().is_zero());
        let (parcels, fee) = through(TaintRule::Poison, inputs, &outputs);
        for parcel in parcels.iter().chain([&fee]) {
            prop_assert_eq!(parcel.traced(), if touched { parcel.amount() } else { Amount::ZERO });
        }
    }
}

/// Traced parts of two outputs and the fee, where 60 honest coins and then 40 stolen ones are joined.
fn joined_and_parted(rule: TaintRule) -> [u64; 3] {
    let inputs = vec![Parcel::clean(60u64.into()), Parcel::traced_only(40u64.into())];
    let (parcels, fee) = through(rule, inputs, &[33u64.into(), 64u64.into()]);
    [&parcels[0], &parcels[1], &fee].map(|parcel| u64::try_from(parcel.traced().to_u256()).unwrap())
}

#[test]
fn the_same_transaction_under_each_rule() {
    assert_eq!(joined_and_parted(TaintRule::TracedFirst), [33, 7, 0]);
    assert_eq!(joined_and_parted(TaintRule::Poison), [33, 64, 3]);
    // 13.2, 25.6 and 1.2.
    assert_eq!(joined_and_parted(TaintRule::Haircut), [13, 26, 1]);
    assert_eq!(joined_and_parted(TaintRule::Fifo), [0, 37, 3]);
}

#[test]
fn newly_made_coins_are_clean() {
    let (parcels, fee) = through(TaintRule::Haircut, Vec::new(), &[50u64.into()]);
    assert_eq!((parcels, fee), (vec![Parcel::clean(50u64.into())], Parcel::default()));
}

/// 100 stolen comes to 300 that lay there; 200 leaves, then 150, then the rest.
fn mixed(rule: TaintRule) -> [u64; 3] {
    let mut purse = Purse::open(rule, 300u64.into());
    purse.receive(Parcel::traced_only(100u64.into()));
    [200u64, 150, 50].map(|amount| u64::try_from(purse.pay(amount.into()).traced().to_u256()).unwrap())
}

#[test]
fn the_same_wallet_under_each_rule() {
    assert_eq!(mixed(TaintRule::TracedFirst), [100, 0, 0]);
    assert_eq!(mixed(TaintRule::Poison), [200, 150, 50]);
    assert_eq!(mixed(TaintRule::Haircut), [50, 37, 13]);
    assert_eq!(mixed(TaintRule::Fifo), [0, 50, 50]);
}

#[test]
fn the_largest_amounts_are_shared_exactly() {
    let mut purse = Purse::open(TaintRule::Haircut, Amount::ZERO);
    purse.receive(Parcel::traced_only(Amount::MAX));
    let half = Amount::from_u256(Amount::MAX.to_u256() >> 1);
    assert_eq!(purse.pay(half).traced(), half);
    assert_eq!(purse.pay(Amount::MAX).traced(), Amount::MAX.saturating_sub(half));
}

#[test]
fn what_came_unseen_leaves_untraced() {
    for rule in [TaintRule::Haircut, TaintRule::Fifo] {
        let mut purse = Purse::open(rule, 10u64.into());
        purse.receive(Parcel::traced_only(5u64.into()));
        let paid = purse.pay(40u64.into());
        assert_eq!((paid.amount(), paid.traced()), (40u64.into(), 5u64.into()), "{rule}");
    }
}
