//! Strategies for everything that travels.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use alloy_primitives::{Address, U256};
use haetae_core::*;
use proptest::{collection, option, prelude::*, sample::select};
use uuid::Uuid;

pub(crate) fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

pub(crate) fn name<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>() -> impl Strategy<Value = T> {
    "[a-z0-9][a-z0-9-]{0,39}".prop_map(|name| name.parse().unwrap())
}

/// Whole microseconds in the years 1 to 9999.
pub(crate) fn moment() -> impl Strategy<Value = Moment> {
    (-62_135_596_800i64..=253_402_300_799, 0..1_000_000u32).prop_map(|(seconds, micros)| {
        Moment::from_unix_timestamp(seconds).unwrap().replace_microsecond(micros).unwrap()
    })
}

/// A moment of this century, so that others can be reckoned from it.
fn recent() -> impl Strategy<Value = Moment> {
    (1_700_000_000i64..1_900_000_000).prop_map(|seconds| Moment::from_unix_timestamp(seconds).unwrap())
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    "\\PC{1,30}"
}

pub(crate) fn amount() -> impl Strategy<Value = Amount> {
    any::<[u64; 4]>().prop_map(|limbs| Amount::from_u256(U256::from_limbs(limbs)))
}

fn positive() -> impl Strategy<Value = Amount> {
    amount().prop_filter("not nothing", |amount| !amount.is_zero())
}

fn chain() -> impl Strategy<Value = ChainId> {
    any::<u64>().prop_map(ChainId::evm)
}

pub(crate) fn target_on(chain: ChainId) -> impl Strategy<Value = Target> {
    (any::<[u8; 20]>(), option::of(text()))
        .prop_map(move |(address, memo)| Target { account: Account::evm(chain.clone(), Address::from(address)), memo })
}

pub(crate) fn target() -> impl Strategy<Value = Target> {
    chain().prop_flat_map(target_on)
}

fn asset_on(chain: ChainId) -> impl Strategy<Value = Asset> {
    option::of(any::<[u8; 20]>()).prop_map(move |contract| match contract {
        Some(contract) => Asset::erc20(chain.clone(), Address::from(contract)),
        None => Asset::evm_native(chain.clone()),
    })
}

fn caps() -> impl Strategy<Value = BTreeMap<Asset, Amount>> {
    collection::btree_map(chain().prop_flat_map(asset_on), positive(), 0..4)
}

fn hash() -> impl Strategy<Value = String> {
    "0x[0-9a-f]{64}"
}

fn transfer_on(chain: ChainId) -> impl Strategy<Value = TransferId> {
    let index = prop_oneof![
        Just(TransferIndex::Native),
        any::<u32>().prop_map(TransferIndex::Log),
        "(0|[1-9][0-9]{0,3})(/(0|[1-9][0-9]{0,3})){0,3}".prop_map(TransferIndex::Trace),
    ];
    (hash(), index).prop_map(move |(transaction, index)| TransferId { chain: chain.clone(), transaction, index })
}

pub(crate) fn transfer() -> impl Strategy<Value = TransferId> {
    chain().prop_flat_map(transfer_on)
}

pub(crate) fn wallet_role() -> impl Strategy<Value = WalletRole> {
    prop_oneof![Just(WalletRole::CustomerDeposit), Just(WalletRole::OmnibusWithMemo), Just(WalletRole::ExchangeOwn)]
}

pub(crate) fn arrival() -> impl Strategy<Value = Arrival> {
    chain().prop_flat_map(|chain| {
        let what = (asset_on(chain.clone()), amount(), amount(), select(&TaintRule::ALL));
        let wher = (target_on(chain.clone()), name(), option::of(wallet_role()));
        (id(), transfer_on(chain), what, wher, (any::<u64>(), hash(), moment())).prop_map(
            |(
                watch,
                transfer,
                (asset, amount, traced, rule),
                (target, exchange, wallet_role),
                (block, hash, seen_at),
            )| {
                Arrival {
                    id: transfer.arrival(WatchId(watch)),
                    watch: WatchId(watch),
                    transfer,
                    target,
                    exchange,
                    asset,
                    amount: amount.max(traced),
                    traced: amount.min(traced),
                    rule,
                    block_number: block,
                    block_hash: hash,
                    seen_at,
                    wallet_role,
                }
            },
        )
    })
}

fn document() -> impl Strategy<Value = Document> {
    (text(), text(), moment(), moment(), any::<[u8; 32]>()).prop_map(|(number, issuer, a, b, sha256)| Document {
        number,
        issuer,
        issued_at: a.min(b),
        valid_until: a.max(b),
        sha256,
    })
}

fn act() -> impl Strategy<Value = Act> {
    let legs = collection::btree_set(id().prop_map(LegId), 0..3);
    prop_oneof![Just(Act::Grant), Just(Act::Revise), legs.prop_map(|legs| Act::Cancel { legs })]
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        collection::btree_set(target(), 1..3).prop_map(Subject::Targets),
        (id(), target()).prop_map(|(watch, root)| Subject::Watch { watch: WatchId(watch), root }),
    ]
}

fn kinds() -> impl Strategy<Value = BTreeSet<OrderKind>> {
    collection::btree_set(prop_oneof![Just(OrderKind::ConfirmAddress), Just(OrderKind::Freeze)], 1..3)
}

fn decisions() -> impl Strategy<Value = Vec<Decision>> {
    let role = prop_oneof![Just(DecisionRole::Requested), Just(DecisionRole::Approved)];
    collection::vec((role, moment()), 0..4).prop_map(|decisions| {
        let person = |i| format!("person-{i}").parse().unwrap();
        let decide = |(i, (role, at))| Decision { role, person: person(i), at };
        decisions.into_iter().enumerate().map(decide).collect()
    })
}

fn confidentiality() -> impl Strategy<Value = Confidentiality> {
    let deferred = (text(), moment()).prop_map(|(ground, notice_due)| Confidentiality::Deferred { ground, notice_due });
    prop_oneof![Just(Confidentiality::Open), deferred]
}

pub(crate) fn authorisation() -> impl Strategy<Value = Authorisation> {
    let who = (id(), id(), 2..u32::MAX, name(), id(), (name(), name(), text()));
    let law = (text(), text(), option::of(document()), option::of(moment()));
    let what = (act(), subject(), kinds(), caps(), any::<[u32; 2]>());
    let when = (recent(), 0..100_000i64, option::of(moment()), moment());
    let people = (confidentiality(), (text(), text(), text(), text(), text()), decisions());
    (who, law, what, when, people).prop_map(
        |(
            (id, line, amendment, exchange, request, (agency, unit, number)),
            (basis, citation, document, ratify_by),
            (act, subject, permitted, caps, budgets),
            (valid_from, period, freeze_until, issued_at),
            (confidentiality, (name, title, address, email, phone), decisions),
        )| {
            let (line, amendment) = if act == Act::Grant { (id, 1) } else { (line, amendment) };
            Authorisation {
                id: AuthorisationId(id),
                act,
                line: AuthorisationId(line),
                amendment,
                exchange,
                request: RequestId(request),
                case: CaseRef { agency, unit, number },
                ground: LegalGround { basis, citation, document, ratify_by },
                permitted,
                subject,
                caps,
                valid_from,
                valid_until: valid_from + time::Duration::seconds(period),
                freeze_until,
                confidentiality,
                officer: Officer { name, title, address, email, phone },
                decisions,
                issued_at,
                budgets: Budgets { max_questions: budgets[0], max_legs_per_hour: budgets[1] },
            }
        },
    )
}

/// What is desired, before the order around it is made.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Confirm,
    Freeze,
    Release,
}

/// An order that lies inside its authorisation.
pub(crate) fn lawful_order() -> impl Strategy<Value = (Authorisation, Order)> {
    let wish = prop_oneof![Just(Wish::Confirm), Just(Wish::Freeze), Just(Wish::Release)];
    let arrivals = collection::vec((arrival(), any::<[u64; 2]>()), 1..4);
    let place = chain().prop_flat_map(|chain| (target_on(chain.clone()), asset_on(chain)));
    (authorisation(), wish, place, arrivals, 1..u32::MAX, option::of(transfer()), 1..1_000i64).prop_map(
        |(mut authorisation, wish, (target, asset), arrivals, revision, hop, lasts)| {
            authorisation.permitted = [OrderKind::ConfirmAddress, OrderKind::Freeze].into();
            authorisation.act =
                if matches!(wish, Wish::Release) { Act::Cancel { legs: BTreeSet::new() } } else { Act::Revise };
            authorisation.amendment = authorisation.amendment.max(2);
            if authorisation.line == authorisation.id {
                authorisation.line = AuthorisationId(Uuid::nil());
            }
            let issued_at = authorisation.valid_from;
            let until = authorisation.valid_until + time::Duration::days(30);
            authorisation.freeze_until = Some(until);
            let watch = match &mut authorisation.subject {
                Subject::Targets(targets) => {
                    targets.insert(target.clone());
                    None
                }
                Subject::Watch { watch, root } => {
                    *root = target.clone();
                    Some(*watch)
                }
            };
            let (mut asset, mut arrivals) = (Some(asset), arrivals);
            if watch.is_none() || !matches!(wish, Wish::Freeze) {
                arrivals.clear();
            }
            let arrivals: Vec<Arrival> = arrivals
                .into_iter()
                .map(|(arrival, parts)| {
                    let watch = watch.unwrap();
                    Arrival {
                        id: TransferId { chain: target.account.chain().clone(), ..arrival.transfer.clone() }
                            .arrival(watch),
                        watch,
                        transfer: TransferId { chain: target.account.chain().clone(), ..arrival.transfer },
                        target: target.clone(),
                        exchange: authorisation.exchange.clone(),
                        asset: asset.clone().unwrap(),
                        amount: parts[0].max(parts[1]).max(1).into(),
                        traced: parts[0].min(parts[1]).max(1).into(),
                        ..arrival
                    }
                })
                .collect();
            let desired = match wish {
                Wish::Confirm => {
                    asset = None;
                    Desired::ConfirmAddress
                }
                Wish::Release => Desired::Released,
                Wish::Freeze => {
                    let (cap, scope) = if watch.is_some() {
                        (arrivals.iter().map(|arrival| arrival.traced).sum(), FreezeScope::CreditsOfTransactions)
                    } else {
                        (Amount::from(7u64), FreezeScope::BalanceAndLaterCredits)
                    };
                    authorisation.caps.insert(asset.clone().unwrap(), cap);
                    Desired::Frozen { cap, until, scope }
                }
            };
            let order = Order {
                recipient: authorisation.exchange.clone(),
                leg: LegId::of(authorisation.line, &authorisation.exchange, &target, asset.as_ref()),
                revision: NonZeroU32::new(revision).unwrap(),
                target,
                asset,
                desired,
                issued_at,
                expires_at: issued_at + time::Duration::seconds(lasts),
                arrivals,
                hop: hop.filter(|_| matches!(wish, Wish::Confirm)),
            };
            (authorisation, order)
        },
    )
}

const REASONS: [RefusalReason; 16] = [
    RefusalReason::Incomplete,
    RefusalReason::ManifestErrors,
    RefusalReason::InsufficientInformation,
    RefusalReason::DataNotHeld,
    RefusalReason::DeFactoImpossible,
    RefusalReason::InvalidIssuingAuthority,
    RefusalReason::OffenceNotCovered,
    RefusalReason::ServiceNotCovered,
    RefusalReason::ImmunitiesOrPrivileges,
    RefusalReason::ConflictOfLaw,
    RefusalReason::SignatureInvalid,
    RefusalReason::ProofInvalid,
    RefusalReason::NotForThisExchange,
    RefusalReason::OutsideAuthorisation,
    RefusalReason::OrderExpired,
    RefusalReason::RevisionReused,
];

const STATES: [LegState; 9] = [
    LegState::Accepted,
    LegState::Binding,
    LegState::FrozenPartial,
    LegState::FrozenFull,
    LegState::Refused,
    LegState::Superseded,
    LegState::Released,
    LegState::Expired,
    LegState::Answered,
];

fn confirmation() -> impl Strategy<Value = Confirmation> {
    let answer = prop_oneof![
        Just(ConfirmationAnswer::Held),
        Just(ConfirmationAnswer::NotHeld),
        Just(ConfirmationAnswer::Unknown)
    ];
    (answer, moment(), collection::btree_set(wallet_role(), 0..3), option::of(wallet_role())).prop_map(
        |(answer, as_of, wallets_searched, role)| Confirmation {
            answer,
            as_of,
            wallets_searched,
            wallet_role: role.filter(|_| answer == ConfirmationAnswer::Held),
        },
    )
}

fn refusal() -> impl Strategy<Value = Refusal> {
    (prop::sample::select(&REASONS[..]), "\\PC{0,30}", any::<bool>()).prop_map(|(reason, message, retry)| Refusal {
        reason,
        message,
        retry,
    })
}

pub(crate) fn report() -> impl Strategy<Value = LegReport> {
    let parts = (option::of(amount()), positive(), refusal(), confirmation(), option::of(text()));
    (id(), 1..=u32::MAX, any::<[u8; 32]>(), prop::sample::select(&STATES[..]), parts).prop_map(
        |(leg, revision, order_sha256, state, (frozen, positive, refusal, confirmation, holder))| LegReport {
            leg: LegId(leg),
            revision: NonZeroU32::new(revision).unwrap(),
            order_sha256,
            state,
            frozen: match state {
                LegState::FrozenPartial | LegState::FrozenFull => Some(positive),
                _ => frozen,
            },
            refusal: (state == LegState::Refused).then_some(refusal),
            confirmation: (state == LegState::Answered).then_some(confirmation),
            holder,
        },
    )
}

pub(crate) fn receipt() -> impl Strategy<Value = Receipt> {
    (name(), report(), moment()).prop_map(|(exchange, report, at)| Receipt { exchange, report, at })
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    let activity = (target(), collection::vec(transfer(), 0..3), text()).prop_map(|(account, transfers, summary)| {
        EventContent::SuspiciousActivity(SuspiciousActivity { account, transfers, summary })
    });
    let content = prop_oneof![report().prop_map(EventContent::Report), activity];
    (name(), text(), any::<u64>(), 1..=u64::MAX, moment(), content).prop_map(
        |(exchange, log_id, epoch, sequence, at, content)| Event { exchange, log_id, epoch, sequence, at, content },
    )
}
