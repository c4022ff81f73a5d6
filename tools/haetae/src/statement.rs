//! Whether an exchange really said what a line of a confirmation says it did.

use haetae_core::{Confirmation, ConfirmationAnswer, EventContent, ExchangeId, LegReport};
use haetae_wire::{
    exchange::v1::{Envelope, Order, Target, WalletRole, order::Desired},
    keys::Keyring,
    signed::{StatementFault, open_event, open_receipt, order_identity},
    tracking::v1::{Answer, ConfirmationLine},
};
use prost::Message;

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

/// Checks a line against the exchange's pinned keys: that it says what the exchange signed, about the address in
/// question. A statement names the order that it answers by SHA-256; the order comes with the line and names the address.
pub(crate) fn check(line: &ConfirmationLine, about: Option<&Target>, keys: Option<&Keyring>) -> Checked {
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
        Ok(Some(report)) => match contradiction(line, &report).or_else(|| other_question(line, about, &report)) {
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

/// How the statement answers something else than whether this exchange holds this address.
fn other_question(line: &ConfirmationLine, about: Option<&Target>, report: &LegReport) -> Option<&'static str> {
    if line.order.is_empty() {
        return Some("the question that it answers did not come with it");
    }
    if order_identity(&line.order) != report.order_sha256 {
        return Some("the exchange signed an answer to another question");
    }
    // The exchange has signed which bytes it answers, so they need no other signature here.
    let order = Envelope::decode(line.order.as_slice()).and_then(|envelope| Order::decode(envelope.payload.as_slice()));
    let Ok(order) = order else { return Some("the question that it answers cannot be read") };
    let asks = matches!(order.desired, Some(Desired::ConfirmAddress(_)));
    if !asks || order.leg_id != report.leg.to_string() || order.recipient != line.exchange {
        return Some("the exchange did not answer whether it holds an address");
    }
    let same = about.is_some() && order.target.as_ref() == about && line.target.as_ref() == about;
    (!same).then_some("the exchange answered about another address")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, num::NonZeroU32};

    use haetae_core::{LegId, LegState, Moment, Receipt, Refusal, RefusalReason, WalletRole as Role};
    use haetae_seal::dsse::{Algorithm, SigningKey};
    use haetae_wire::{exchange::v1::ConfirmAddress, keys::Purpose, signed::sign_receipt};

    use super::*;

    fn exchange() -> ExchangeId {
        "upbit".parse().unwrap()
    }

    fn pinned(key: &SigningKey) -> Keyring {
        let mut keys = Keyring::new();
        keys.pin(Purpose::Exchange(exchange()), key.public_key()).unwrap();
        keys
    }

    fn about() -> Target {
        Target { account: "eip155:1:0xA".into(), memo: String::new() }
    }

    /// The question as it was asked: who signed it does not matter here.
    fn question() -> Vec<u8> {
        let order = Order {
            recipient: "upbit".into(),
            leg_id: LegId(uuid::Uuid::from_u128(1)).to_string(),
            revision: 1,
            target: Some(about()),
            desired: Some(Desired::ConfirmAddress(ConfirmAddress {})),
            ..Order::default()
        };
        Envelope { payload: order.encode_to_vec(), ..Envelope::default() }.encode_to_vec()
    }

    fn receipt(confirmation: Option<Confirmation>) -> Receipt {
        let refusal = Refusal { reason: RefusalReason::DataNotHeld, message: "no".into(), retry: false };
        Receipt {
            exchange: exchange(),
            report: LegReport {
                leg: LegId(uuid::Uuid::from_u128(1)),
                revision: NonZeroU32::MIN,
                order_sha256: order_identity(&question()),
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
            target: Some(about()),
            order: question(),
            ..Default::default()
        }
    }

    fn check(line: &ConfirmationLine, keys: Option<&Keyring>) -> Checked {
        super::check(line, Some(&about()), keys)
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
    fn an_answer_about_another_address_is_no_answer_about_this_one() {
        let key = SigningKey::generate(Algorithm::Ed25519);
        let (good, keys) = (line(Answer::Held, &held(), &key), pinned(&key));
        let why = |line: &ConfirmationLine| refuted(check(line, Some(&keys)));
        let other = Target { account: "eip155:1:0xB".into(), memo: String::new() };
        assert_eq!(
            refuted(super::check(&good, Some(&other), Some(&keys))),
            "the exchange answered about another address"
        );
        let said_so = ConfirmationLine { target: Some(other), ..good.clone() };
        assert_eq!(why(&said_so), "the exchange answered about another address");
        let mut order = good.order.clone();
        *order.last_mut().unwrap() ^= 1;
        assert_eq!(
            why(&ConfirmationLine { order, ..good.clone() }),
            "the exchange signed an answer to another question"
        );
        let bare = ConfirmationLine { order: Vec::new(), ..good };
        assert_eq!(why(&bare), "the question that it answers did not come with it");
    }

    #[test]
    fn silence_needs_no_statement_and_without_keys_nothing_is_claimed() {
        let silent = ConfirmationLine { answer: Answer::Unavailable.into(), ..Default::default() };
        assert_eq!(check(&silent, None), Checked::NoStatement);
        let key = SigningKey::generate(Algorithm::Ed25519);
        assert_eq!(check(&line(Answer::Held, &held(), &key), None), Checked::NoKeys);
    }
}
