//! What an exchange did not sign, or not for this order, is not acted on.

use haetae_core::*;
use haetae_seal::dsse::{Algorithm, SignatureError, SigningKey};
use haetae_wire::{
    exchange::v1,
    keys::{AlreadyPinned, Keyring, Purpose},
    signed::{self, EnvelopeFault, OrderRef, StatementFault},
};
use uuid::Uuid;

use crate::party::{self, exchange, fields};

struct Exchanges {
    upbit: SigningKey,
    bithumb: SigningKey,
    keyring: Keyring,
}

fn exchanges() -> Exchanges {
    let key = || SigningKey::generate(Algorithm::EcdsaP256Sha256);
    let (upbit, bithumb, mut keyring) = (key(), key(), Keyring::new());
    keyring.pin(Purpose::Exchange(exchange("upbit")), upbit.public_key()).unwrap();
    keyring.pin(Purpose::Exchange(exchange("bithumb")), bithumb.public_key()).unwrap();
    Exchanges { upbit, bithumb, keyring }
}

fn ordered() -> OrderRef {
    OrderRef { leg: LegId(Uuid::from_u128(1)), revision: 2.try_into().unwrap(), order_sha256: [3; 32] }
}

fn receipt() -> Receipt {
    let OrderRef { leg, revision, order_sha256 } = ordered();
    let report = LegReport {
        leg,
        revision,
        order_sha256,
        state: LegState::Binding,
        frozen: None,
        refusal: None,
        confirmation: None,
        holder: None,
    };
    Receipt { exchange: exchange("upbit"), report, at: Moment::UNIX_EPOCH }
}

fn open(exchanges: &Exchanges, bytes: &[u8]) -> Result<Receipt, StatementFault> {
    signed::open_receipt(bytes, &exchanges.keyring, &exchange("upbit"), Some(&ordered()))
}

#[test]
fn the_receipt_of_the_order_opens() {
    let exchanges = exchanges();
    assert_eq!(open(&exchanges, &signed::sign_receipt(&receipt(), &exchanges.upbit)), Ok(receipt()));
}

#[test]
fn a_receipt_with_a_wrong_signature_is_refused() {
    let exchanges = exchanges();
    let genuine = signed::sign_receipt(&receipt(), &exchanges.upbit);
    let altered = party::with_payload(&genuine, |receipt: &mut v1::Receipt| {
        receipt.report.as_mut().unwrap().state = v1::LegState::FrozenFull.into();
    });
    let key_id = exchanges.upbit.public_key().key_id();
    let bad = EnvelopeFault::Signature(SignatureError::BadSignature { key_id });
    assert_eq!(open(&exchanges, &altered), Err(StatementFault::Signature(bad)));
    let none = EnvelopeFault::Signature(SignatureError::NoSignature);
    assert_eq!(open(&exchanges, &party::unsigned(&genuine)), Err(StatementFault::Signature(none)));
}

#[test]
fn a_receipt_that_another_exchange_signed_is_refused() {
    let exchanges = exchanges();
    let fault = open(&exchanges, &signed::sign_receipt(&receipt(), &exchanges.bithumb)).unwrap_err();
    let other = EnvelopeFault::OtherPurpose {
        key_id: exchanges.bithumb.public_key().key_id(),
        pinned: Purpose::Exchange(exchange("bithumb")),
        wanted: Purpose::Exchange(exchange("upbit")),
    };
    assert_eq!(fault, StatementFault::Signature(other));
    assert_eq!(fault.name(), "SIGNATURE_INVALID");
}

#[test]
fn an_exchange_cannot_speak_for_another() {
    let exchanges = exchanges();
    let receipt = Receipt { exchange: exchange("bithumb"), ..receipt() };
    let fault = StatementFault::OtherExchange { stated: exchange("bithumb"), expected: exchange("upbit") };
    assert_eq!(open(&exchanges, &signed::sign_receipt(&receipt, &exchanges.upbit)), Err(fault));

    let event = Event {
        exchange: exchange("bithumb"),
        log_id: "log".into(),
        epoch: 1,
        sequence: 1,
        at: Moment::UNIX_EPOCH,
        content: EventContent::Report(receipt.report),
    };
    let bytes = signed::sign_event(&event, &exchanges.upbit);
    let fault = signed::open_event(&bytes, &exchanges.keyring, &exchange("upbit")).unwrap_err();
    assert_eq!(fault.name(), "OTHER_EXCHANGE");
}

#[test]
fn a_receipt_for_another_leg_or_order_is_refused() {
    let exchanges = exchanges();
    let open_report = |change: fn(&mut LegReport)| {
        let mut receipt = receipt();
        change(&mut receipt.report);
        open(&exchanges, &signed::sign_receipt(&receipt, &exchanges.upbit))
    };
    let other = LegId(Uuid::from_u128(9));
    let fault = StatementFault::OtherLeg { stated: other, expected: ordered().leg };
    assert_eq!(open_report(|report| report.leg = LegId(Uuid::from_u128(9))), Err(fault));
    assert_eq!(open_report(|report| report.revision = 1.try_into().unwrap()), Err(StatementFault::OtherOrder));
    assert_eq!(open_report(|report| report.order_sha256[31] ^= 1), Err(StatementFault::OtherOrder));
}

#[test]
fn an_event_does_not_pass_for_a_receipt() {
    let exchanges = exchanges();
    let bytes = signed::sign_receipt(&receipt(), &exchanges.upbit);
    let fault = signed::open_event(&bytes, &exchanges.keyring, &exchange("upbit")).unwrap_err();
    assert!(
        matches!(fault, StatementFault::Signature(EnvelopeFault::Signature(SignatureError::WrongPayloadType { .. }))),
        "{fault:?}"
    );
}

#[test]
fn a_report_that_contradicts_itself_is_refused_with_every_contradiction() {
    let exchanges = exchanges();
    let genuine = signed::sign_receipt(&receipt(), &exchanges.upbit);
    let open_report = |change: fn(&mut v1::LegReport)| {
        let bytes = party::resigned(&genuine, &exchanges.upbit, |receipt: &mut v1::Receipt| {
            change(receipt.report.as_mut().unwrap());
        });
        match open(&exchanges, &bytes) {
            Err(StatementFault::Content(EnvelopeFault::Content(faults))) => {
                fields(&faults).iter().map(ToString::to_string).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    let found = open_report(|report| report.state = v1::LegState::Refused.into());
    assert_eq!(found, ["report.refusal"]);
    let found = open_report(|report| report.state = v1::LegState::FrozenPartial.into());
    assert_eq!(found, ["report.frozen_amount"]);
    let found = open_report(|report| {
        report.refusal = Some(v1::Refusal::default());
        report.confirmation = Some(v1::Confirmation {
            answer: v1::ConfirmationAnswer::NotHeld.into(),
            as_of: Some(prost_types::Timestamp::default()),
            wallets_searched: vec![0, 9],
            wallet_role: v1::WalletRole::ExchangeOwn.into(),
        });
    });
    assert_eq!(
        found,
        [
            "report.refusal.reason",
            "report.confirmation.wallets_searched[0]",
            "report.confirmation.wallets_searched[1]",
            "report.confirmation.wallet_role",
            "report.refusal",
            "report.confirmation"
        ]
    );
}

#[test]
fn a_key_is_pinned_for_one_purpose_only() {
    let mut exchanges = exchanges();
    let again = exchanges.keyring.pin(Purpose::Freeze, exchanges.upbit.public_key());
    let key_id = exchanges.upbit.public_key().key_id();
    assert_eq!(again, Err(AlreadyPinned { key_id, purpose: Purpose::Exchange(exchange("upbit")) }));
}
