//! Whether an exchange really said what a line of a confirmation says it did.

use haetae_core::{Confirmation, ConfirmationAnswer, EventContent, ExchangeId, LegReport};
use haetae_wire::{
    exchange::v1::WalletRole,
    keys::Keyring,
    signed::{StatementFault, open_event, open_receipt},
    tracking::v1::{Answer, ConfirmationLine},
};

/// What became of checking a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// The exchange's own signature says so.
    Verified,
    /// The line carries no statement, and claims none.
    NoStatement,
    /// The profile names no registry, so no key is pinned here.
    NoKeys,
    /// It is not to be believed.
    Refuted(String),
}

impl Checked {
    /// A word for programs.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Verified => "VERIFIED",
            Self::NoStatement => "NO_STATEMENT",
            Self::NoKeys => "NO_KEYS",
            Self::Refuted(_) => "REFUTED",
        }
    }
}

/// Checks a line against the exchange's pinned keys.
///
/// A statement binds exchange, leg and order, not the address itself: that the order asked about this address is what
/// the mesh's log proves.
pub(crate) fn check(line: &ConfirmationLine, keys: Option<&Keyring>) -> Checked {
    let claims_one = matches!(line.answer(), Answer::Held | Answer::NotHeld | Answer::Unknown | Answer::Refused);
    if line.statement.is_empty() {
        return match claims_one {
            true => Checked::Refuted("no signed statement came with the answer".into()),
            false => Checked::NoStatement,
        };
    }
    let Some(keys) = keys else { return Checked::NoKeys };
    let Ok(exchange) = line.exchange.parse::<ExchangeId>() else {
        return Checked::Refuted("its exchange has no valid name".into());
    };
    match report(&line.statement, keys, &exchange) {
        Err(fault) => Checked::Refuted(fault.to_string()),
        Ok(None) => Checked::Refuted("the statement is not about an order".into()),
        Ok(Some(report)) => match contradiction(line, &report) {
            None => Checked::Verified,
            Some(what) => Checked::Refuted(what.to_owned()),
        },
    }
}

/// An answer is in the receipt where the exchange had it at once, else in an event of its log.
fn report(statement: &[u8], keys: &Keyring, exchange: &ExchangeId) -> Result<Option<LegReport>, StatementFault> {
    match open_receipt(statement, keys, exchange, None) {
        Ok(receipt) => Ok(Some(receipt.report)),
        Err(as_receipt) => match open_event(statement, keys, exchange) {
            Ok(event) => Ok(match event.content {
                EventContent::Report(report) => Some(report),
                EventContent::SuspiciousActivity(_) => None,
            }),
            Err(StatementFault::Content(_)) => Err(as_receipt),
            Err(as_event) => Err(as_event),
        },
    }
}

fn contradiction(line: &ConfirmationLine, report: &LegReport) -> Option<&'static str> {
    let stated = match (&report.confirmation, &report.refusal) {
        (Some(Confirmation { answer, .. }), _) => match answer {
            ConfirmationAnswer::Held => Answer::Held,
            ConfirmationAnswer::NotHeld => Answer::NotHeld,
            ConfirmationAnswer::Unknown => Answer::Unknown,
        },
        (None, Some(_)) => Answer::Refused,
        (None, None) => return Some("the exchange signed no answer"),
    };
    // What is asked again after UNKNOWN may be pending or overdue, with the last statement beside it.
    let asked_again = stated == Answer::Unknown && matches!(line.answer(), Answer::Pending | Answer::Unavailable);
    if stated != line.answer() && !asked_again {
        return Some("the exchange signed another answer");
    }
    let signed_role = report
        .confirmation
        .as_ref()
        .and_then(|confirmation| confirmation.wallet_role)
        .map_or(WalletRole::Unspecified, Into::into);
    (stated == Answer::Held && signed_role != line.wallet_role()).then_some("the exchange signed another wallet role")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, num::NonZeroU32};

    use haetae_core::{LegId, LegState, Moment, Receipt, Refusal, RefusalReason, WalletRole as Role};
    use haetae_seal::dsse::{Algorithm, SigningKey};
    use haetae_wire::{keys::Purpose, signed::sign_receipt};

    use super::*;

    fn exchange() -> ExchangeId {
        "upbit".parse().unwrap()
    }

    fn pinned(key: &SigningKey) -> Keyring {
        let mut keys = Keyring::new();
        keys.pin(Purpose::Exchange(exchange()), key.public_key()).unwrap();
        keys
    }

    fn receipt(confirmation: Option<Confirmation>) -> Receipt {
        let refusal = Refusal { reason: RefusalReason::DataNotHeld, message: "no".into(), retry: false };
        Receipt {
            exchange: exchange(),
            report: LegReport {
                leg: LegId(uuid::Uuid::from_u128(1)),
                revision: NonZeroU32::MIN,
                order_sha256: [0; 32],
                state: if confirmation.is_some() { LegState::Answered } else { LegState::Refused },
                frozen: None,
                refusal: confirmation.is_none().then_some(refusal),
                confirmation,
                holder: None,
            },
            at: Moment::UNIX_EPOCH,
        }
    }

    fn held() -> Receipt {
        receipt(Some(Confirmation {
            answer: ConfirmationAnswer::Held,
            as_of: Moment::UNIX_EPOCH,
            wallets_searched: BTreeSet::from([Role::CustomerDeposit]),
            wallet_role: Some(Role::CustomerDeposit),
        }))
    }

    fn line(answer: Answer, receipt: &Receipt, key: &SigningKey) -> ConfirmationLine {
        ConfirmationLine {
            exchange: "upbit".into(),
            answer: answer.into(),
            wallet_role: WalletRole::CustomerDeposit.into(),
            statement: sign_receipt(receipt, key),
            ..Default::default()
        }
    }

    fn refuted(checked: Checked) -> String {
        match checked {
            Checked::Refuted(why) => why,
            other => panic!("{other:?} is believed"),
        }
    }

    #[test]
    fn what_the_exchange_signed_is_verified() {
        let key = SigningKey::generate(Algorithm::Ed25519);
        assert_eq!(check(&line(Answer::Held, &held(), &key), Some(&pinned(&key))), Checked::Verified);
        assert_eq!(check(&line(Answer::Refused, &receipt(None), &key), Some(&pinned(&key))), Checked::Verified);
    }

    #[test]
    fn a_strangers_signature_refutes_the_line() {
        let [key, stranger] = [(); 2].map(|()| SigningKey::generate(Algorithm::Ed25519));
        let why = refuted(check(&line(Answer::Held, &held(), &stranger), Some(&pinned(&key))));
        assert!(why.contains("not signed by the exchange"), "{why}");
    }

    #[test]
    fn a_line_cannot_say_more_than_was_signed() {
        let key = SigningKey::generate(Algorithm::Ed25519);
        let turned = line(Answer::NotHeld, &held(), &key);
        assert_eq!(refuted(check(&turned, Some(&pinned(&key)))), "the exchange signed another answer");
        let role =
            ConfirmationLine { wallet_role: WalletRole::OmnibusWithMemo.into(), ..line(Answer::Held, &held(), &key) };
        assert_eq!(refuted(check(&role, Some(&pinned(&key)))), "the exchange signed another wallet role");
        let bare = ConfirmationLine { statement: Vec::new(), ..line(Answer::Held, &held(), &key) };
        assert_eq!(refuted(check(&bare, Some(&pinned(&key)))), "no signed statement came with the answer");
    }

    #[test]
    fn silence_needs_no_statement_and_without_keys_nothing_is_claimed() {
        let silent = ConfirmationLine { answer: Answer::Unavailable.into(), ..Default::default() };
        assert_eq!(check(&silent, None), Checked::NoStatement);
        let key = SigningKey::generate(Algorithm::Ed25519);
        assert_eq!(check(&line(Answer::Held, &held(), &key), None), Checked::NoKeys);
    }
}
