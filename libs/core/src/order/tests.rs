//! Every lawful order passes, and each way out of its authorisation is called by its name and no other.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use proptest::{collection, prelude::*};
use uuid::Uuid;

use super::*;
use crate::{Account, Budgets, CaseRef, ChainId, Confidentiality, LegalGround, Officer, RequestId, TransferIndex};

const MICROSECOND: time::Duration = time::Duration::MICROSECOND;

type Lawful = (Order, Authorisation);
type Change = fn(&mut Order, &mut Authorisation);

fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn moment() -> impl Strategy<Value = Moment> {
    (0..4_000_000_000i64).prop_map(|seconds| Moment::from_unix_timestamp(seconds).unwrap())
}

fn target() -> impl Strategy<Value = Target> {
    (any::<[u8; 20]>(), proptest::option::of("[0-9]{1,9}"))
        .prop_map(|(address, memo)| Target { account: Account::evm(ChainId::evm(1), Address::from(address)), memo })
}

fn asset() -> impl Strategy<Value = Asset> {
    any::<[u8; 20]>().prop_map(|contract| Asset::erc20(ChainId::evm(1), Address::from(contract)))
}

fn transfer() -> impl Strategy<Value = TransferId> {
    ("0x[0-9a-f]{64}", any::<u32>()).prop_map(|(transaction, ordinal)| TransferId {
        chain: ChainId::evm(1),
        transaction,
        index: TransferIndex::Log(ordinal),
    })
}

/// An authorisation that allows nothing yet, and an order under it that asks about its target.
fn blank() -> impl Strategy<Value = Lawful> {
    let ids = (id(), id(), "[a-z]{3,9}", 1..u32::MAX);
    let times = (moment(), 0..1_000i64, 0..1_000i64, 1..1_000i64);
    (ids, target(), collection::btree_set(target(), 0..3), times).prop_map(
        |((line, request, exchange, revision), target, targets, (valid_from, waited, left, lasts))| {
            let exchange: ExchangeId = exchange.parse().unwrap();
            let line = AuthorisationId(line);
            let issued_at = valid_from + time::Duration::seconds(waited);
            let authorisation = Authorisation {
                id: line,
                act: Act::Grant,
                line,
                amendment: 1,
                exchange: exchange.clone(),
                request: RequestId(request),
                case: CaseRef { agency: "knp".parse().unwrap(), unit: "cyber".parse().unwrap(), number: "1".into() },
                ground: LegalGround {
                    basis: "warrant".into(),
                    citation: "Art. 1".into(),
                    document: None,
                    ratify_by: None,
                },
                permitted: BTreeSet::new(),
                subject: Subject::Targets(targets.into_iter().chain([target.clone()]).collect()),
                caps: [].into(),
                valid_from,
                valid_until: issued_at + time::Duration::seconds(left),
                freeze_until: None,
                confidentiality: Confidentiality::Open,
                officer: Officer {
                    name: String::new(),
                    title: String::new(),
                    address: String::new(),
                    email: String::new(),
                    phone: String::new(),
                },
                decisions: Vec::new(),
                issued_at: valid_from,
                budgets: Budgets::default(),
            };
            let order = Order {
                leg: LegId::of(line, &exchange, &target, None),
                recipient: exchange,
                revision: NonZeroU32::new(revision).unwrap(),
                target,
                asset: None,
                desired: Desired::ConfirmAddress,
                issued_at,
                expires_at: issued_at + time::Duration::seconds(lasts),
                arrivals: Vec::new(),
                hop: None,
            };
            (order, authorisation)
        },
    )
}

/// A question about one of the targets named.
fn question() -> impl Strategy<Value = Lawful> {
    blank().prop_map(|(order, mut authorisation)| {
        authorisation.permitted = [OrderKind::ConfirmAddress].into();
        (order, authorisation)
    })
}

/// A question about the root of a watch, or about where one of its transfers led.
fn question_of_a_watch() -> impl Strategy<Value = Lawful> {
    (question(), id(), target(), proptest::option::of(transfer())).prop_map(
        |((mut order, mut authorisation), watch, root, hop)| {
            let root = if hop.is_some() { root } else { order.target.clone() };
            authorisation.subject = Subject::Watch { watch: WatchId(watch), root };
            order.hop = hop;
            (order, authorisation)
        },
    )
}

fn about(order: &mut Order, authorisation: &Authorisation, asset: Option<Asset>) {
    order.leg = LegId::of(authorisation.line, &order.recipient, &order.target, asset.as_ref());
    order.asset = asset;
}

/// A freeze at a named account.
fn freeze_now() -> impl Strategy<Value = Lawful> {
    (blank(), asset(), 1..u64::MAX, 0..u64::MAX, 1..1_000_000i64, 0..1_000i64).prop_map(
        |((mut order, mut authorisation), asset, cap, spare, lasts, longer)| {
            let until = order.issued_at + time::Duration::seconds(lasts);
            authorisation.permitted = [OrderKind::Freeze].into();
            let limit = Amount::from(cap).saturating_add(Amount::from(spare));
            authorisation.caps = [(asset.clone(), limit)].into();
            authorisation.freeze_until = Some(until + time::Duration::seconds(longer));
            about(&mut order, &authorisation, Some(asset));
            order.desired =
                Desired::Frozen { cap: Amount::from(cap), until, scope: FreezeScope::BalanceAndLaterCredits };
            (order, authorisation)
        },
    )
}

/// A freeze of what a watch saw arriving.
fn standing_freeze() -> impl Strategy<Value = Lawful> {
    let transfers = collection::btree_map(transfer(), (1..u64::MAX, any::<u64>()), 1..4);
    (freeze_now(), id(), target(), transfers).prop_map(|((mut order, mut authorisation), watch, root, transfers)| {
        let watch = WatchId(watch);
        authorisation.subject = Subject::Watch { watch, root };
        let arrive = |(transfer, (traced, rest)): (TransferId, (u64, u64))| Arrival {
            id: transfer.arrival(watch),
            watch,
            transfer,
            target: order.target.clone(),
            exchange: order.recipient.clone(),
            asset: order.asset.clone().unwrap(),
            amount: Amount::from(traced).saturating_add(Amount::from(rest)),
            traced: Amount::from(traced),
            rule: TaintRule::TracedFirst,
            block_number: 1,
            block_hash: String::new(),
            seen_at: order.issued_at,
            wallet_role: None,
        };
        order.arrivals = transfers.into_iter().map(arrive).collect();
        let traced: Amount = order.arrivals.iter().map(|arrival| arrival.traced).sum();
        let Desired::Frozen { cap, until, .. } = order.desired else { unreachable!() };
        order.desired = Desired::Frozen { cap: cap.min(traced), until, scope: FreezeScope::CreditsOfTransactions };
        (order, authorisation)
    })
}

/// A release of one leg or of a whole line.
fn release() -> impl Strategy<Value = Lawful> {
    (freeze_now(), any::<bool>(), collection::btree_set(id().prop_map(LegId), 0..3)).prop_map(
        |((mut order, mut authorisation), whole_line, mut legs)| {
            legs.insert(order.leg);
            authorisation.act = Act::Cancel { legs: if whole_line { BTreeSet::new() } else { legs } };
            order.desired = Desired::Released;
            (order, authorisation)
        },
    )
}

fn any_order() -> impl Strategy<Value = Lawful> {
    prop_oneof![question(), question_of_a_watch(), freeze_now(), standing_freeze(), release()]
}

fn any_freeze() -> impl Strategy<Value = Lawful> {
    prop_oneof![freeze_now(), standing_freeze()]
}

fn cap(order: &mut Order) -> &mut Amount {
    match &mut order.desired {
        Desired::Frozen { cap, .. } => cap,
        _ => unreachable!("only freezes have a cap"),
    }
}

/// Each change by itself makes exactly this breach.
fn breaks(lawful: &Lawful, changes: &[(Change, Breach)]) -> Result<(), TestCaseError> {
    let (order, authorisation) = lawful;
    prop_assert_eq!(within(order, authorisation), Ok(()));
    for (i, (change, breach)) in changes.iter().enumerate() {
        let (mut order, mut authorisation) = lawful.clone();
        change(&mut order, &mut authorisation);
        prop_assert_eq!(within(&order, &authorisation), Err(vec![*breach]), "change {}", i);
    }
    Ok(())
}

const OTHER: Uuid = Uuid::nil();

fn other_target() -> Target {
    Target::account(Account::evm(ChainId::evm(2), Address::ZERO))
}

proptest! {
    #[test]
    fn any_order_is_for_its_exchange_and_leg_and_expires_after_it_was_signed(lawful in any_order()) {
        breaks(&lawful, &[
            (|_, authorisation| authorisation.exchange = "0-other".parse().unwrap(), Breach::Exchange),
            (|_, authorisation| authorisation.line = AuthorisationId(OTHER), Breach::Leg),
            (|order, _| order.expires_at = order.issued_at, Breach::Expiry),
            (|_, authorisation| authorisation.permitted.clear(), Breach::Kind),
        ])?;
    }

    #[test]
    fn a_question_or_freeze_is_signed_in_time_and_under_a_line_that_is_not_over(
        lawful in prop_oneof![question(), question_of_a_watch(), any_freeze()],
    ) {
        breaks(&lawful, &[
            (|order, authorisation| authorisation.valid_from = order.issued_at + MICROSECOND, Breach::Validity),
            (|order, authorisation| authorisation.valid_until = order.issued_at - MICROSECOND, Breach::Validity),
            (|_, authorisation| authorisation.act = Act::Cancel { legs: BTreeSet::new() }, Breach::Cancelled),
            (|_, authorisation| authorisation.act = Act::Cancel { legs: [LegId(OTHER)].into() }, Breach::Cancelled),
        ])?;
    }

    #[test]
    fn a_question_about_targets_stays_with_them_and_names_no_asset(lawful in question()) {
        breaks(&lawful, &[
            (|_, authorisation| authorisation.subject = Subject::Targets([other_target()].into()), Breach::Target),
            (|order, authorisation| about(order, authorisation, Some(Asset::evm_native(ChainId::evm(1)))), Breach::Asset),
        ])?;
    }

    #[test]
    fn a_question_of_a_watch_is_about_its_root_or_where_a_transfer_led(lawful in question_of_a_watch()) {
        breaks(&lawful, &[(
            |order, authorisation| {
                order.hop = None;
                authorisation.subject = Subject::Watch { watch: WatchId(OTHER), root: other_target() };
            },
            Breach::Target,
        )])?;
    }

    #[test]
    fn a_question_has_no_arrivals(lawful in question(), arrivals in standing_freeze()) {
        let (mut order, authorisation) = lawful;
        order.arrivals = arrivals.0.arrivals;
        prop_assert_eq!(within(&order, &authorisation), Err(vec![Breach::Arrival]));
    }

    #[test]
    fn a_freeze_stays_below_its_cap_and_ends_in_time(lawful in any_freeze()) {
        breaks(&lawful, &[
            (|_, authorisation| authorisation.caps.clear(), Breach::Cap),
            (
                |order, authorisation| {
                    let less = cap(order).checked_sub(1u64.into()).unwrap();
                    authorisation.caps.values_mut().for_each(|limit| *limit = less);
                },
                Breach::Cap,
            ),
            (|order, _| *cap(order) = Amount::ZERO, Breach::ZeroCap),
            (|_, authorisation| authorisation.freeze_until = None, Breach::Until),
            (
                |order, _| {
                    let Desired::Frozen { until, .. } = &mut order.desired else { unreachable!() };
                    *until = order.issued_at;
                },
                Breach::Until,
            ),
            (
                |order, authorisation| {
                    let Desired::Frozen { until, .. } = &mut order.desired else { unreachable!() };
                    *until = authorisation.freeze_until.unwrap() + MICROSECOND;
                },
                Breach::Until,
            ),
            (
                |order, _| {
                    let Desired::Frozen { scope, .. } = &mut order.desired else { unreachable!() };
                    *scope = match scope {
                        FreezeScope::BalanceAndLaterCredits => FreezeScope::CreditsOfTransactions,
                        FreezeScope::CreditsOfTransactions => FreezeScope::BalanceAndLaterCredits,
                    };
                },
                Breach::Scope,
            ),
        ])?;
    }

    #[test]
    fn a_freeze_now_stays_with_the_targets_named(lawful in freeze_now()) {
        breaks(&lawful, &[
            (|_, authorisation| authorisation.subject = Subject::Targets([other_target()].into()), Breach::Target),
        ])?;
    }

    #[test]
    fn a_standing_freeze_rests_on_arrivals_of_its_watch_at_its_target(lawful in standing_freeze()) {
        breaks(&lawful, &[
            (
                |_, authorisation| {
                    authorisation.subject = Subject::Watch { watch: WatchId(OTHER), root: other_target() };
                },
                Breach::Arrival,
            ),
            (|order, _| order.arrivals[0].watch = WatchId(OTHER), Breach::Arrival),
            (|order, _| order.arrivals[0].id = ArrivalId(OTHER), Breach::Arrival),
            (|order, _| order.arrivals[0].exchange = "0-other".parse().unwrap(), Breach::Arrival),
            (|order, _| order.arrivals[0].target = other_target(), Breach::Arrival),
            (|order, _| order.arrivals[0].asset = Asset::evm_native(ChainId::evm(1)), Breach::Arrival),
            (
                |order, _| {
                    let traced = order.arrivals[0].traced;
                    order.arrivals[0].amount = traced.checked_sub(1u64.into()).unwrap();
                },
                Breach::Arrival,
            ),
            (|order, _| order.arrivals.push(order.arrivals[0].clone()), Breach::Arrival),
        ])?;
    }

    #[test]
    fn a_standing_freeze_withholds_no_more_than_is_traced(lawful in standing_freeze()) {
        breaks(&lawful, &[(
            |order, authorisation| {
                let traced: Amount = order.arrivals.iter().map(|arrival| arrival.traced).sum();
                *cap(order) = traced.saturating_add(1u64.into());
                authorisation.caps.values_mut().for_each(|limit| *limit = Amount::MAX);
            },
            Breach::Traced,
        )])?;
        let (mut order, authorisation) = lawful;
        order.arrivals.clear();
        prop_assert_eq!(within(&order, &authorisation), Err(vec![Breach::Scope, Breach::Traced]));
    }

    #[test]
    fn a_release_needs_a_cancellation_of_its_leg_and_is_never_too_late(lawful in release()) {
        breaks(&lawful, &[
            (|_, authorisation| authorisation.act = Act::Revise, Breach::NotCancelled),
            (|_, authorisation| authorisation.act = Act::Cancel { legs: [LegId(OTHER)].into() }, Breach::NotCancelled),
            (
                |order, authorisation| {
                    about(order, authorisation, None);
                    authorisation.act = Act::Cancel { legs: BTreeSet::new() };
                },
                Breach::Asset,
            ),
            (|_, authorisation| authorisation.subject = Subject::Targets([other_target()].into()), Breach::Target),
        ])?;
        let (order, mut authorisation) = lawful;
        authorisation.valid_until = order.issued_at - time::Duration::days(1_000);
        prop_assert_eq!(within(&order, &authorisation), Ok(()));
    }
}

#[test]
fn a_leg_is_one_line_exchange_target_and_asset() {
    let line = AuthorisationId(OTHER);
    let upbit: ExchangeId = "upbit".parse().unwrap();
    let (target, coin) = (other_target(), Asset::evm_native(ChainId::evm(2)));
    let leg = LegId::of(line, &upbit, &target, Some(&coin));
    let with_memo = Target { memo: Some("7".into()), ..target.clone() };
    for other in [
        LegId::of(AuthorisationId(Uuid::max()), &upbit, &target, Some(&coin)),
        LegId::of(line, &"bithumb".parse().unwrap(), &target, Some(&coin)),
        LegId::of(line, &upbit, &with_memo, Some(&coin)),
        LegId::of(line, &upbit, &target, None),
    ] {
        assert_ne!(leg, other);
    }
    assert_eq!(leg, LegId::of(line, &upbit, &target, Some(&coin)));
}
