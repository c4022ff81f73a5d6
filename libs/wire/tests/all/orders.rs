//! An order that was tampered with, or that nobody may give, is refused; each for its own reason.

use haetae_core::*;
use haetae_seal::{
    checkpoint::CheckpointError,
    dsse::{SignatureError, SigningKey},
    merkle::ProofError,
};
use haetae_wire::{
    exchange::v1,
    keys::{Keyring, Purpose},
    signed::{self, EnvelopeFault, OpenedOrder, OrderFault, ProofFault},
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::party::{self, Mesh, exchange, fields};

const TOLERANCE: time::Duration = time::Duration::seconds(5);

fn at(seconds: i64) -> Moment {
    Moment::from_unix_timestamp(1_800_000_000 + seconds).unwrap()
}

fn target() -> Target {
    Target::account("eip155:31337:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse().unwrap())
}

fn asset() -> Asset {
    "eip155:31337/slip44:60".parse().unwrap()
}

fn authorisation() -> Authorisation {
    let id = AuthorisationId(Uuid::from_u128(1));
    let text = |text: &str| text.to_owned();
    Authorisation {
        id,
        act: Act::Grant,
        line: id,
        amendment: 1,
        exchange: exchange("upbit"),
        request: RequestId(Uuid::from_u128(2)),
        case: CaseRef { agency: "knp".parse().unwrap(), unit: "cyber".parse().unwrap(), number: text("2026-412") },
        ground: LegalGround { basis: text("warrant"), citation: text("Art. 1"), document: None, ratify_by: None },
        permitted: [OrderKind::ConfirmAddress, OrderKind::Freeze].into(),
        subject: Subject::Watch { watch: WatchId(Uuid::from_u128(3)), root: target() },
        caps: [(asset(), Amount::from(100u64))].into(),
        valid_from: at(-1_000),
        valid_until: at(1_000),
        freeze_until: Some(at(10_000)),
        confidentiality: Confidentiality::Open,
        officer: Officer {
            name: text("Kim"),
            title: text("Inspector"),
            address: text("Seoul"),
            email: text("k@police.example"),
            phone: text("112"),
        },
        decisions: Vec::new(),
        issued_at: at(-1_000),
        budgets: Budgets::default(),
    }
}

fn arrival() -> Arrival {
    let watch = WatchId(Uuid::from_u128(3));
    let hash = format!("0x{}", "ab".repeat(32));
    let transfer = TransferId { chain: ChainId::evm(31337), transaction: hash.clone(), index: TransferIndex::Native };
    Arrival {
        id: transfer.arrival(watch),
        watch,
        transfer,
        target: target(),
        exchange: exchange("upbit"),
        asset: asset(),
        amount: Amount::from(80u64),
        traced: Amount::from(60u64),
        rule: TaintRule::TracedFirst,
        block_number: 7,
        block_hash: hash,
        seen_at: at(-1),
        wallet_role: Some(WalletRole::CustomerDeposit),
    }
}

fn freeze() -> Order {
    order(
        Some(asset()),
        Desired::Frozen { cap: Amount::from(60u64), until: at(10_000), scope: FreezeScope::CreditsOfTransactions },
        vec![arrival()],
    )
}

fn question() -> Order {
    order(None, Desired::ConfirmAddress, Vec::new())
}

fn order(asset: Option<Asset>, desired: Desired, arrivals: Vec<Arrival>) -> Order {
    Order {
        recipient: exchange("upbit"),
        leg: LegId::of(authorisation().line, &exchange("upbit"), &target(), asset.as_ref()),
        revision: std::num::NonZeroU32::MIN,
        target: target(),
        asset,
        desired,
        issued_at: at(0),
        expires_at: at(60),
        arrivals,
        hop: None,
    }
}

fn open_at(mesh: &Mesh, signed: &v1::SignedOrder, now: Moment) -> Result<OpenedOrder, OrderFault> {
    signed::open_signed_order(signed, &mesh.keyring, &exchange("upbit"), now, TOLERANCE)
}

fn open(mesh: &Mesh, signed: &v1::SignedOrder) -> Result<OpenedOrder, OrderFault> {
    open_at(mesh, signed, at(1))
}

/// The fault of a freeze order with this envelope, correctly proven.
fn fault_of(mesh: &Mesh, envelope: Vec<u8>) -> OrderFault {
    open(mesh, &mesh.in_freeze_log(envelope)).unwrap_err()
}

/// A freeze order around other envelopes than the right ones.
fn freeze_around(mesh: &Mesh, authorisation: &[u8], arrivals: &[Vec<u8>]) -> Vec<u8> {
    signed::sign_order(&freeze(), authorisation, arrivals, &mesh.freeze)
}

fn other_purpose(key: &SigningKey, pinned: Purpose, wanted: Purpose) -> EnvelopeFault {
    EnvelopeFault::OtherPurpose { key_id: key.public_key().key_id(), pinned, wanted }
}

fn bad_signature(key: &SigningKey) -> EnvelopeFault {
    EnvelopeFault::Signature(SignatureError::BadSignature { key_id: key.public_key().key_id() })
}

#[test]
fn a_freeze_that_three_keys_made_opens() {
    let mesh = Mesh::new();
    let signed = mesh.in_freeze_log(mesh.sign(&freeze(), &authorisation()));
    let opened = open(&mesh, &signed).unwrap();
    assert_eq!(opened.order, freeze());
    assert_eq!(opened.authorisation, authorisation());
    assert_eq!(opened.identity, signed::order_identity(&signed.envelope));
}

#[test]
fn a_question_opens_from_trackings_log() {
    let mesh = Mesh::new();
    let signed = mesh.in_tracking_log(mesh.sign(&question(), &authorisation()));
    assert_eq!(open(&mesh, &signed).unwrap().order, question());
}

#[test]
fn an_altered_order_is_refused() {
    let mesh = Mesh::new();
    let envelope = mesh.sign(&freeze(), &authorisation());
    let raised = party::with_payload(&envelope, |order: &mut v1::Order| order.revision = 9);
    let fault = fault_of(&mesh, raised);
    assert_eq!(fault, OrderFault::Order(bad_signature(&mesh.freeze)));
    assert_eq!(fault.refusal(), RefusalReason::SignatureInvalid);
}

#[test]
fn an_order_for_another_exchange_is_refused() {
    let mesh = Mesh::new();
    let signed = mesh.in_freeze_log(mesh.sign(&freeze(), &authorisation()));
    let fault = signed::open_signed_order(&signed, &mesh.keyring, &exchange("bithumb"), at(1), TOLERANCE).unwrap_err();
    assert_eq!(fault, OrderFault::OtherExchange { recipient: exchange("upbit"), here: exchange("bithumb") });
    assert_eq!(fault.refusal(), RefusalReason::NotForThisExchange);
}

#[test]
fn an_order_outside_its_authorisation_is_refused_with_every_breach() {
    let mesh = Mesh::new();
    let desired =
        Desired::Frozen { cap: Amount::from(101u64), until: at(10_001), scope: FreezeScope::CreditsOfTransactions };
    let fault = fault_of(&mesh, mesh.sign(&Order { desired, ..freeze() }, &authorisation()));
    assert_eq!(fault, OrderFault::Outside(vec![Breach::Cap, Breach::Until, Breach::Traced]));
    assert_eq!(fault.refusal(), RefusalReason::OutsideAuthorisation);
}

#[test]
fn an_order_needs_the_signature_for_what_it_desires() {
    let mesh = Mesh::new();
    let inner = signed::sign_authorisation(&authorisation(), &mesh.authorise);
    let arrivals = mesh.arrivals(&[arrival()]);
    let unsigned = party::unsigned(&mesh.sign(&freeze(), &authorisation()));
    assert_eq!(fault_of(&mesh, unsigned), OrderFault::Order(SignatureError::NoSignature.into()));

    for (key, purpose) in
        [(&mesh.confirm, Purpose::Confirm), (&mesh.authorise, Purpose::Authorise), (&mesh.arrive, Purpose::Arrive)]
    {
        let fault = fault_of(&mesh, signed::sign_order(&freeze(), &inner, &arrivals, key));
        assert_eq!(fault, OrderFault::Order(other_purpose(key, purpose, Purpose::Freeze)));
        assert_eq!(fault.refusal(), RefusalReason::SignatureInvalid);
    }
    let question = mesh.in_tracking_log(signed::sign_order(&question(), &inner, &[], &mesh.freeze));
    let expected = other_purpose(&mesh.freeze, Purpose::Freeze, Purpose::Confirm);
    assert_eq!(open(&mesh, &question), Err(OrderFault::Order(expected)));

    let fault = fault_of(&mesh, signed::sign_order(&freeze(), &inner, &arrivals, &mesh.stranger));
    let key_id = mesh.stranger.public_key().key_id();
    assert_eq!(fault, OrderFault::Order(SignatureError::UnknownKey { key_id }.into()));
}

#[test]
fn the_authorisation_must_be_signed_by_the_key_that_authorises() {
    let mesh = Mesh::new();
    let arrivals = mesh.arrivals(&[arrival()]);
    let genuine = signed::sign_authorisation(&authorisation(), &mesh.authorise);
    let by_freeze = signed::sign_authorisation(&authorisation(), &mesh.freeze);
    let altered = party::with_payload(&genuine, |authorisation: &mut v1::Authorisation| {
        authorisation.caps[0].amount = "1000000".into();
    });
    for (inner, fault) in [
        (party::unsigned(&genuine), SignatureError::NoSignature.into()),
        (by_freeze, other_purpose(&mesh.freeze, Purpose::Freeze, Purpose::Authorise)),
        (altered, bad_signature(&mesh.authorise)),
    ] {
        let found = fault_of(&mesh, freeze_around(&mesh, &inner, &arrivals));
        assert_eq!(found, OrderFault::Authorisation(fault));
        assert_eq!(found.refusal(), RefusalReason::SignatureInvalid);
    }
}

#[test]
fn every_arrival_must_be_signed_by_the_key_that_says_what_arrived() {
    let mesh = Mesh::new();
    let inner = signed::sign_authorisation(&authorisation(), &mesh.authorise);
    let genuine = signed::sign_arrival(&arrival(), &mesh.arrive);
    let by_freeze = signed::sign_arrival(&arrival(), &mesh.freeze);
    let altered = party::with_payload(&genuine, |arrival: &mut v1::Arrival| arrival.traced_amount = "80".into());
    for (second, fault) in [
        (party::unsigned(&genuine), SignatureError::NoSignature.into()),
        (by_freeze, other_purpose(&mesh.freeze, Purpose::Freeze, Purpose::Arrive)),
        (altered, bad_signature(&mesh.arrive)),
    ] {
        let found = fault_of(&mesh, freeze_around(&mesh, &inner, &[genuine.clone(), second]));
        assert_eq!(found, OrderFault::Arrival { index: 1, fault });
        assert_eq!(found.refusal(), RefusalReason::SignatureInvalid);
    }
    let none = fault_of(&mesh, freeze_around(&mesh, &inner, &[]));
    assert_eq!(none, OrderFault::Outside(vec![Breach::Scope, Breach::Traced]));
}

#[test]
fn one_kind_of_message_does_not_pass_for_another() {
    let mesh = Mesh::new();
    let inner = signed::sign_authorisation(&authorisation(), &mesh.authorise);
    let arrival = signed::sign_arrival(&arrival(), &mesh.arrive);
    let fault = signed::open_arrival(&inner, &mesh.keyring).unwrap_err();
    assert!(matches!(fault, EnvelopeFault::Signature(SignatureError::WrongPayloadType { .. })), "{fault:?}");
    let fault = signed::open_authorisation(&arrival, &mesh.keyring).unwrap_err();
    assert!(matches!(fault, EnvelopeFault::Signature(SignatureError::WrongPayloadType { .. })), "{fault:?}");
}

#[test]
fn an_order_without_a_proof_is_refused() {
    let mesh = Mesh::new();
    let proven = mesh.in_freeze_log(mesh.sign(&freeze(), &authorisation()));
    for (signed, missing) in [
        (v1::SignedOrder { opening: None, ..proven.clone() }, "the opening"),
        (v1::SignedOrder { inclusion: None, ..proven.clone() }, "the inclusion proof"),
    ] {
        let fault = open(&mesh, &signed).unwrap_err();
        assert_eq!(fault, OrderFault::Proof(ProofFault::Malformed(missing)));
        assert_eq!(fault.refusal(), RefusalReason::ProofInvalid);
    }
    let unsigned = v1::SignedOrder { checkpoint: String::new(), ..proven };
    let fault = open(&mesh, &unsigned).unwrap_err();
    assert!(matches!(fault, OrderFault::Proof(ProofFault::Checkpoint { service: "freeze", .. })), "{fault:?}");
}

#[test]
fn an_order_in_another_log_than_its_signers_is_refused() {
    let mesh = Mesh::new();
    let signed = mesh.in_tracking_log(mesh.sign(&freeze(), &authorisation()));
    let error = CheckpointError::NotSigned;
    assert_eq!(open(&mesh, &signed), Err(OrderFault::Proof(ProofFault::Checkpoint { service: "freeze", error })));
    let signed = mesh.in_freeze_log(mesh.sign(&question(), &authorisation()));
    assert_eq!(open(&mesh, &signed), Err(OrderFault::Proof(ProofFault::Checkpoint { service: "tracking", error })));
}

#[test]
fn an_order_is_refused_where_its_signers_log_is_not_known() {
    let mesh = Mesh::new();
    let signed = mesh.in_freeze_log(mesh.sign(&freeze(), &authorisation()));
    let mut keyring = Keyring::new();
    keyring.pin(Purpose::Authorise, mesh.authorise.public_key()).unwrap();
    keyring.pin(Purpose::Arrive, mesh.arrive.public_key()).unwrap();
    keyring.pin(Purpose::Freeze, mesh.freeze.public_key()).unwrap();
    let fault = signed::open_signed_order(&signed, &keyring, &exchange("upbit"), at(1), TOLERANCE).unwrap_err();
    assert_eq!(fault, OrderFault::Proof(ProofFault::NoLogKey("freeze")));
}

#[test]
fn a_proof_of_something_else_is_refused() {
    let mesh = Mesh::new();
    let proven = mesh.in_freeze_log(mesh.sign(&freeze(), &authorisation()));
    let mismatch = OrderFault::Proof(ProofError::RootMismatch.into());

    let later = Order { revision: 2.try_into().unwrap(), ..freeze() };
    let other = v1::SignedOrder { envelope: mesh.sign(&later, &authorisation()), ..proven.clone() };
    assert_eq!(open(&mesh, &other), Err(mismatch.clone()));

    let change: [fn(&mut v1::SignedOrder); 5] = [
        |signed| signed.opening.as_mut().unwrap().salt[0] ^= 1,
        |signed| signed.opening.as_mut().unwrap().header.push(0),
        |signed| signed.opening.as_mut().unwrap().version += 1,
        |signed| signed.opening.as_mut().unwrap().kind.push('s'),
        |signed| signed.opening.as_mut().unwrap().time.as_mut().unwrap().nanos += 1_000,
    ];
    for change in change {
        let mut signed = proven.clone();
        change(&mut signed);
        assert_eq!(open(&mesh, &signed), Err(mismatch.clone()));
    }

    let mut signed = proven.clone();
    signed.opening.as_mut().unwrap().time.as_mut().unwrap().nanos += 1;
    assert_eq!(open(&mesh, &signed), Err(OrderFault::Proof(ProofFault::Malformed("the leaf's time"))));
    let mut signed = proven;
    signed.inclusion.as_mut().unwrap().tree_size = 4;
    assert_eq!(open(&mesh, &signed), Err(OrderFault::Proof(ProofFault::OtherTree { proven: 4, signed: 3 })));
}

#[test]
fn an_order_is_taken_until_it_expires_by_more_than_clocks_may_differ() {
    let mesh = Mesh::new();
    let signed = mesh.in_freeze_log(mesh.sign(&freeze(), &authorisation()));
    let expiry = freeze().expires_at;
    assert!(open_at(&mesh, &signed, expiry + TOLERANCE).is_ok());
    let late = open_at(&mesh, &signed, expiry + TOLERANCE + time::Duration::MICROSECOND).unwrap_err();
    assert_eq!((late.clone(), late.refusal()), (OrderFault::Expired, RefusalReason::OrderExpired));

    let issue = freeze().issued_at;
    assert!(open_at(&mesh, &signed, issue - TOLERANCE).is_ok());
    let early = open_at(&mesh, &signed, issue - TOLERANCE - time::Duration::MICROSECOND).unwrap_err();
    assert_eq!(early, OrderFault::NotYet);
    assert!(Refusal::from(&early).retry && !Refusal::from(&late).retry);
}

#[test]
fn faults_of_a_correctly_signed_order_are_all_named() {
    let mesh = Mesh::new();
    let envelope = party::resigned(&mesh.sign(&freeze(), &authorisation()), &mesh.freeze, |order: &mut v1::Order| {
        order.leg_id = "leg".into();
        order.target = None;
        let Some(v1::order::Desired::Frozen(frozen)) = &mut order.desired else { unreachable!() };
        frozen.cap = "-1".into();
        frozen.scope = 77;
    });
    let fault = fault_of(&mesh, envelope);
    assert_eq!(fault.refusal(), RefusalReason::Incomplete);
    let OrderFault::Order(EnvelopeFault::Content(faults)) = fault else { panic!("{fault:?}") };
    assert_eq!(fields(&faults), ["leg_id", "target", "frozen.cap", "frozen.scope"]);
}

#[test]
fn a_refusal_does_not_repeat_the_address() {
    let mesh = Mesh::new();
    let account = "eip155:31337:0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    let envelope = party::resigned(&mesh.sign(&freeze(), &authorisation()), &mesh.freeze, |order: &mut v1::Order| {
        order.target.as_mut().unwrap().account = account.into();
    });
    let refusal = Refusal::from(&fault_of(&mesh, envelope));
    assert_eq!(refusal.reason, RefusalReason::ManifestErrors);
    assert!(refusal.message.contains("target.account") && !refusal.message.contains("5AAeb"), "{}", refusal.message);
}

#[test]
fn debug_shows_no_person_address_or_signed_byte() {
    let mesh = Mesh::new();
    let signed = mesh.in_freeze_log(mesh.sign(&freeze(), &authorisation()));
    assert_eq!(format!("{signed:?}"), "SignedOrder(…)");
    let mut authorisation = authorisation();
    authorisation.decisions =
        vec![Decision { role: DecisionRole::Requested, person: "p-4711".parse().unwrap(), at: at(0) }];
    let shown = [
        format!("{:?}", v1::Authorisation::from(&authorisation)),
        format!("{:?}", v1::Arrival::from(&arrival())),
        format!("{authorisation:?}"),
        format!("{:?}", freeze()),
    ];
    for shown in shown {
        for secret in ["5aAeb", "Kim", "k@police", "p-4711"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_byte_of_an_envelope_can_be_altered(at_byte: prop::sample::Index, bit in 0..8u32) {
        let mesh = Mesh::new();
        let mut signed = mesh.in_freeze_log(mesh.sign(&freeze(), &authorisation()));
        let at_byte = at_byte.index(signed.envelope.len());
        signed.envelope[at_byte] ^= 1 << bit;
        prop_assert!(open(&mesh, &signed).is_err());
    }
}
