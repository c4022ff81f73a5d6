use std::num::NonZeroU32;

use haetae_core::{
    Account, Arrival, ArrivalId, ChainId, ExchangeId, FreezeScope, LegId, TaintRule, TransferIndex, WalletRole, WatchId,
};
use proptest::prelude::*;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::super::withheld::withheld;
use super::*;

const NOW: Moment = OffsetDateTime::UNIX_EPOCH;

fn amount(value: u64) -> Amount {
    Amount::from(value)
}

fn target() -> Target {
    Target::account(Account::evm(ChainId::evm(1), alloy::primitives::Address::repeat_byte(1)))
}

fn asset() -> Asset {
    Asset::evm_native(ChainId::evm(1))
}

fn transfer(number: u32) -> TransferId {
    TransferId { chain: ChainId::evm(1), transaction: format!("0x{number:064x}"), index: TransferIndex::Native }
}

fn arrival(number: u32) -> Arrival {
    Arrival {
        id: ArrivalId(Uuid::from_u128(number.into())),
        watch: WatchId(Uuid::from_u128(1)),
        transfer: transfer(number),
        target: target(),
        exchange: exchange(),
        asset: asset(),
        amount: Amount::MAX,
        traced: Amount::MAX,
        rule: TaintRule::TracedFirst,
        block_number: 1,
        block_hash: String::new(),
        seen_at: NOW,
        wallet_role: Some(WalletRole::CustomerDeposit),
    }
}

fn exchange() -> ExchangeId {
    "upbit".parse().unwrap()
}

fn order(revision: u32, desired: Desired, grounds: &[u32]) -> Order {
    Order {
        recipient: exchange(),
        leg: LegId(Uuid::from_u128(7)),
        revision: NonZeroU32::new(revision).unwrap(),
        target: target(),
        asset: (desired != Desired::ConfirmAddress).then(asset),
        desired,
        issued_at: NOW,
        expires_at: NOW + Duration::MINUTE,
        arrivals: grounds.iter().copied().map(arrival).collect(),
        hop: None,
    }
}

fn on_credits(revision: u32, cap: u64, grounds: &[u32]) -> Order {
    let until = NOW + Duration::HOUR;
    let desired = Desired::Frozen { cap: amount(cap), until, scope: FreezeScope::CreditsOfTransactions };
    order(revision, desired, grounds)
}

fn on_balance(revision: u32, cap: u64) -> Order {
    let until = NOW + Duration::HOUR;
    let desired = Desired::Frozen { cap: amount(cap), until, scope: FreezeScope::BalanceAndLaterCredits };
    order(revision, desired, &[])
}

fn release(revision: u32) -> Order {
    order(revision, Desired::Released, &[])
}

fn customer() -> Holding {
    Holding::Customer { account: AccountKey("1".into()), holder: "holder".into() }
}

fn found(balance: u64, credits: &[(u32, u64)]) -> Found {
    let credits = credits.iter().map(|(number, value)| (transfer(*number), amount(*value))).collect();
    let searched = Searched::from([WalletRole::CustomerDeposit, WalletRole::ExchangeOwn]);
    Found { holding: customer(), searched, position: Some(Position { balance: amount(balance), credits }) }
}

fn nothing() -> Found {
    found(0, &[])
}

fn credit(number: u32, value: u64) -> Credit {
    let account = AccountKey("1".into());
    Credit { account, target: target(), asset: asset(), amount: amount(value), transfer: transfer(number) }
}

/// Orders are told apart by a digest; here it is their revision.
fn verified(order: &Order) -> Verified<'_> {
    Verified { order, sha256: [u8::try_from(order.revision.get()).unwrap(); 32] }
}

fn take(before: Option<&Leg>, order: &Order, found: &Found) -> Leg {
    match Leg::take(before, verified(order), found, NOW) {
        Taken::Highest(leg) => *leg,
        Taken::Aside(report) => panic!("set aside: {report:?}"),
    }
}

fn aside(before: &Leg, order: Verified<'_>) -> LegReport {
    match Leg::take(Some(before), order, &nothing(), NOW) {
        Taken::Aside(report) => report,
        Taken::Highest(leg) => panic!("taken: {leg:?}"),
    }
}

fn credited(leg: &Leg, number: u32, value: u64) -> Leg {
    leg.after(Happened::Credited(&credit(number, value)), NOW).unwrap_or_else(|| leg.clone())
}

fn stands(leg: &Leg) -> (LegState, u64) {
    let frozen = leg.report.frozen.unwrap().to_string().parse().unwrap();
    (leg.report.state, frozen)
}

#[test]
fn a_freeze_binds_before_anything_is_credited_and_fills_as_it_is() {
    let leg = take(None, &on_credits(1, 100, &[1, 2]), &nothing());
    assert_eq!(stands(&leg), (LegState::Binding, 0));
    let leg = credited(&leg, 1, 60);
    assert_eq!(stands(&leg), (LegState::FrozenPartial, 60));
    let leg = credited(&leg, 2, 60);
    assert_eq!(stands(&leg), (LegState::FrozenFull, 100));
    assert_eq!(leg.report.holder.as_deref(), Some("holder"));
}

#[test]
fn only_the_transactions_named_are_withheld() {
    let leg = take(None, &on_credits(1, 100, &[1]), &found(500, &[]));
    assert_eq!(stands(&leg), (LegState::Binding, 0), "what the customer had before stays free");
    assert_eq!(leg.after(Happened::Credited(&credit(2, 60)), NOW), None);
    let elsewhere = Target::account(Account::evm(ChainId::evm(1), alloy::primitives::Address::ZERO));
    let foreign = Credit { target: elsewhere, ..credit(1, 60) };
    assert_eq!(leg.after(Happened::Credited(&foreign), NOW), None);
}

#[test]
fn a_credit_that_is_told_of_twice_counts_once() {
    let leg = credited(&take(None, &on_credits(1, 100, &[1]), &nothing()), 1, 60);
    assert_eq!(leg.after(Happened::Credited(&credit(1, 60)), NOW), None);
}

#[test]
fn of_an_earlier_credit_as_much_is_withheld_as_can_still_be_there() {
    for (cap, credit, balance, frozen) in [(100, 80, 300, 80), (50, 80, 300, 50), (100, 80, 30, 30)] {
        let leg = take(None, &on_credits(1, cap, &[1]), &found(balance, &[(1, credit)]));
        assert_eq!(stands(&leg).1, frozen, "min({cap}, {credit}, {balance})");
    }
}

#[test]
fn a_freeze_of_the_balance_takes_what_is_there_and_what_comes() {
    let leg = take(None, &on_balance(1, 100), &found(70, &[]));
    assert_eq!(stands(&leg), (LegState::FrozenPartial, 70));
    assert_eq!(stands(&credited(&leg, 1, 70)), (LegState::FrozenFull, 100));
}

#[test]
fn a_revision_raises_or_lowers_the_cap() {
    let leg = credited(&take(None, &on_credits(1, 50, &[1]), &nothing()), 1, 80);
    assert_eq!(stands(&leg), (LegState::FrozenFull, 50));
    let raised = take(Some(&leg), &on_credits(2, 90, &[1, 2]), &found(80, &[(1, 80)]));
    assert_eq!(stands(&raised), (LegState::FrozenPartial, 80));
    let lowered = take(Some(&raised), &on_credits(3, 20, &[1, 2]), &found(80, &[(1, 80)]));
    assert_eq!(stands(&lowered), (LegState::FrozenFull, 20));
}

#[test]
fn a_lower_revision_is_superseded_and_says_which_order_it_answers() {
    let leg = take(None, &on_credits(3, 50, &[1]), &nothing());
    let late = on_credits(2, 90, &[1]);
    let report = aside(&leg, verified(&late));
    assert_eq!((report.state, report.revision.get(), report.order_sha256), (LegState::Superseded, 2, [2; 32]));
}

#[test]
fn a_release_seen_first_is_a_tombstone() {
    let tombstone = take(None, &release(2), &nothing());
    assert_eq!(stands(&tombstone), (LegState::Released, 0));
    let freeze = on_credits(1, 50, &[1]);
    assert_eq!(aside(&tombstone, verified(&freeze)).state, LegState::Superseded);
    assert_eq!(tombstone.after(Happened::Credited(&credit(1, 50)), NOW), None);
}

#[test]
fn a_revision_used_twice_is_refused_and_changes_nothing() {
    let leg = take(None, &on_credits(1, 50, &[1]), &nothing());
    let other = on_credits(1, 60, &[1]);
    let report = aside(&leg, Verified { order: &other, sha256: [9; 32] });
    assert_eq!(report.refusal.unwrap().reason, RefusalReason::RevisionReused);
}

#[test]
fn the_same_order_again_is_answered_with_where_the_leg_stands() {
    let leg = take(None, &on_credits(1, 50, &[1]), &nothing());
    assert_eq!(aside(&leg, verified(&on_credits(1, 50, &[1]))), leg.report);
}

#[test]
fn what_is_not_held_cannot_be_frozen() {
    for holding in [Holding::Nobody, Holding::ExchangeOwn, customer()] {
        let found = Found { holding, position: None, ..nothing() };
        let leg = take(None, &on_balance(1, 50), &found);
        assert_eq!(leg.report.refusal.as_ref().unwrap().reason, RefusalReason::DataNotHeld);
        assert_eq!(leg.freeze, None);
    }
}

#[test]
fn a_question_is_answered_with_what_was_searched_and_found() {
    let question = order(1, Desired::ConfirmAddress, &[]);
    for (holding, answer, role) in [
        (customer(), ConfirmationAnswer::Held, Some(WalletRole::CustomerDeposit)),
        (Holding::ExchangeOwn, ConfirmationAnswer::Held, Some(WalletRole::ExchangeOwn)),
        (Holding::Nobody, ConfirmationAnswer::NotHeld, None),
    ] {
        let leg = take(None, &question, &Found { holding, position: None, ..nothing() });
        let confirmation = leg.report.confirmation.unwrap();
        assert_eq!((confirmation.answer, confirmation.wallet_role), (answer, role));
        assert_eq!((confirmation.as_of, confirmation.wallets_searched), (NOW, nothing().searched));
    }
}

#[test]
fn a_freeze_ends_by_itself_at_its_until() {
    let leg = credited(&take(None, &on_credits(1, 50, &[1]), &nothing()), 1, 50);
    let until = NOW + Duration::HOUR;
    assert_eq!(leg.after(Happened::TimePassed, until - Duration::MICROSECOND), None);
    let ended = leg.after(Happened::TimePassed, until).unwrap();
    assert_eq!((stands(&ended), ended.freeze.clone()), ((LegState::Expired, 0), None));
    assert_eq!(ended.after(Happened::TimePassed, until), None);
}

#[test]
fn what_is_credited_after_the_end_is_free() {
    let leg = take(None, &on_balance(1, 50), &nothing());
    let ended = leg.after(Happened::Credited(&credit(1, 50)), NOW + Duration::HOUR).unwrap();
    assert_eq!(stands(&ended), (LegState::Expired, 0));
}

fn any_order(revision: u32) -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(release(revision)),
        (1u64..200).prop_map(move |cap| on_balance(revision, cap)),
        (1u64..200, prop::collection::btree_set(0u32..4, 1..4)).prop_map(move |(cap, grounds)| on_credits(
            revision,
            cap,
            &grounds.into_iter().collect::<Vec<_>>()
        )),
    ]
}

fn orders() -> impl Strategy<Value = Vec<Order>> {
    let count = 6u32;
    (1..=count).map(any_order).collect::<Vec<_>>().prop_shuffle()
}

proptest! {
    #[test]
    fn whatever_the_order_of_arrival_the_highest_revision_is_in_force(orders in orders()) {
        let mut leg: Option<Leg> = None;
        for order in &orders {
            if let Taken::Highest(taken) = Leg::take(leg.as_ref(), verified(order), &nothing(), NOW) {
                leg = Some(*taken);
            }
        }
        let highest = orders.iter().max_by_key(|order| order.revision).unwrap();
        prop_assert_eq!(leg.unwrap(), take(None, highest, &nothing()));
    }

    #[test]
    fn a_leg_never_holds_more_than_its_cap_or_than_was_credited(
        cap in 1u64..300,
        by_balance: bool,
        credits in prop::collection::vec((0u32..6, 1u64..200), 0..8),
    ) {
        let order = if by_balance { on_balance(1, cap) } else { on_credits(1, cap, &[0, 1, 2]) };
        let mut leg = take(None, &order, &nothing());
        let mut balance = 0;
        for (number, value) in credits {
            let before = stands(&leg).1;
            leg = credited(&leg, number, value);
            balance += value;
            let (state, frozen) = stands(&leg);
            prop_assert!(frozen >= before && frozen <= cap && frozen <= balance);
            let expected = match frozen {
                0 => LegState::Binding,
                total if total < cap => LegState::FrozenPartial,
                _ => LegState::FrozenFull,
            };
            prop_assert_eq!(state, expected);
            prop_assert_eq!(withheld(&leg.freeze, amount(balance)), amount(frozen));
        }
    }

    #[test]
    fn a_release_frees_everything(order in any_order(1), credits in prop::collection::vec((0u32..4, 1u64..200), 0..8)) {
        let mut leg = take(None, &order, &nothing());
        for (number, value) in credits {
            leg = credited(&leg, number, value);
        }
        let released = take(Some(&leg), &release(2), &nothing());
        prop_assert_eq!(stands(&released), (LegState::Released, 0));
        prop_assert_eq!(withheld(&released.freeze, Amount::MAX), Amount::ZERO);
    }

    /// Money leaves only as far as it is free, so a leg's total stays covered.
    #[test]
    fn what_a_leg_reports_as_frozen_is_there_until_it_ends(
        order in any_order(1),
        before in 0u64..300,
        moves in prop::collection::vec((0u32..6, 1u64..200, any::<bool>()), 0..12),
    ) {
        let mut leg = take(None, &order, &found(before, &[]));
        let mut balance = amount(before);
        for (number, value, withdraws) in moves {
            let value = amount(value);
            if !withdraws {
                balance = balance.saturating_add(value);
                leg = credited(&leg, number, value.to_string().parse().unwrap());
            } else if value <= balance.saturating_sub(withheld(&leg.freeze, balance)) {
                balance = balance.saturating_sub(value);
            }
            prop_assert!(leg.report.frozen.unwrap() <= balance);
        }
    }
}
