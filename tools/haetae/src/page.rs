//! A signed order as a page that a person hands over: in words, and as the exact bytes that the words follow from.

use base64::{Engine, engine::general_purpose::STANDARD};
use haetae_core::{Confidentiality, DecisionRole, Desired, FreezeScope, Moment, Order};
use haetae_wire::{
    convert::timestamp,
    exchange::v1::{self, Hotline, SignedOrder},
    intake::v1::GetSignedOrderResponse,
    keys::Keyring,
    signed::{OpenedOrder, OrderFault, open_order_envelope, open_signed_order},
};
use prost::Message;

use crate::{
    show::{safe, time},
    table::facts,
};

const BEGIN: &str = "-----BEGIN HAETAE SIGNED ORDER-----";
const END: &str = "-----END HAETAE SIGNED ORDER-----";
/// Characters on a line of bytes.
const LINE: usize = 64;

/// Why no order can be read from a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// The lines that hold it are not there.
    #[error("it has no lines between `{BEGIN}` and `{END}`")]
    NoOrder,
    /// What they hold is not base64.
    #[error("the lines with the signed bytes are damaged: they are not base64")]
    NotBase64,
    /// What they encode is something else.
    #[error("the signed bytes are not an order")]
    NotAnOrder,
}

/// What one check came to: what was found, or the fault.
pub(crate) type Outcome = Result<String, String>;

/// What is known of an order without any network, check by check. None of a check that could not be made any more.
#[derive(Debug)]
pub(crate) struct Checks {
    /// Order, authorisation and arrivals are signed with keys that are pinned for it.
    pub(crate) signatures: Outcome,
    /// The order lies within its authorisation.
    pub(crate) within: Option<Outcome>,
    /// The order stands in its signer's log.
    pub(crate) proof: Option<Outcome>,
    /// The order, where signatures and authorisation hold.
    pub(crate) opened: Option<OpenedOrder>,
    /// The time for taking it in is over.
    pub(crate) expired: bool,
}

impl Checks {
    /// Makes them.
    pub(crate) fn of(signed: &SignedOrder, keys: &Keyring, now: Moment) -> Self {
        let none = Self { signatures: Ok(signers(signed)), within: None, proof: None, opened: None, expired: false };
        let opened = match open_order_envelope(&signed.envelope, keys) {
            Ok(opened) => opened,
            Err(fault @ OrderFault::Outside(_)) => return Self { within: Some(Err(fault.to_string())), ..none },
            Err(fault) => return Self { signatures: Err(fault.to_string()), ..none },
        };
        let recipient = opened.order.recipient.clone();
        let taken = open_signed_order(signed, keys, &recipient, now, time::Duration::ZERO);
        let proof = match &taken {
            Ok(_) | Err(OrderFault::Expired | OrderFault::NotYet) => Ok(place(signed)),
            Err(fault) => Err(fault.to_string()),
        };
        Self {
            within: Some(Ok(format!("authorisation {}", opened.authorisation.id))),
            proof: Some(proof),
            expired: matches!(taken, Err(OrderFault::Expired)),
            opened: Some(opened),
            ..none
        }
    }

    /// The order, if nothing speaks against it.
    ///
    /// # Errors
    /// The first fault.
    pub(crate) fn believed(&self) -> Result<&OpenedOrder, &str> {
        for outcome in [Some(&self.signatures), self.within.as_ref(), self.proof.as_ref()].into_iter().flatten() {
            outcome.as_ref().map_err(String::as_str)?;
        }
        self.opened.as_ref().ok_or("the order cannot be opened")
    }
}

/// The page: whom to hand it to, what is ordered, and the signed bytes.
pub(crate) fn print(answer: &GetSignedOrderResponse, signed: &SignedOrder, opened: &OpenedOrder) -> String {
    let exchange = &opened.order.recipient;
    let hotline = answer.hotline.as_ref().map(called).unwrap_or_else(|| "the registry names none".to_owned());
    let name = match answer.display_name.as_str() {
        "" => exchange.to_string(),
        name => format!("{} ({exchange})", safe(name)),
    };
    let top = facts(&[
        ("hand to", name),
        ("hotline", hotline),
        ("check with", "haetae order verify FILE --registry exchanges.toml".to_owned()),
    ]);
    let bytes = STANDARD.encode(signed.encode_to_vec());
    let lines: String = bytes.as_bytes().chunks(LINE).map(|line| String::from_utf8_lossy(line) + "\n").collect();
    format!("SIGNED ORDER, handed over by a person\n\n{top}\n{}\n{BEGIN}\n{lines}{END}\n", words(signed, opened))
}

/// Reads the order from a page.
///
/// # Errors
/// [`Unreadable`].
pub(crate) fn read(page: &str) -> Result<SignedOrder, Unreadable> {
    let mut lines = page.lines().map(str::trim).skip_while(|line| *line != BEGIN).skip(1);
    let mut bytes = String::new();
    loop {
        match lines.next() {
            None => return Err(Unreadable::NoOrder),
            Some(END) => break,
            Some(line) => bytes.push_str(line),
        }
    }
    let bytes = STANDARD.decode(bytes).map_err(|_| Unreadable::NotBase64)?;
    let order = SignedOrder::decode(bytes.as_slice()).map_err(|_| Unreadable::NotAnOrder)?;
    if order.envelope.is_empty() { Err(Unreadable::NotAnOrder) } else { Ok(order) }
}

/// Whether the words on the page are those of the order on it. Whoever reads only the words must not be misled.
pub(crate) fn has_the_words(page: &str, signed: &SignedOrder, opened: &OpenedOrder) -> bool {
    let page: Vec<&str> = page.lines().map(str::trim_end).take_while(|line| *line != BEGIN).collect();
    let words = words(signed, opened);
    let words: Vec<&str> = words.lines().map(str::trim_end).collect();
    page.windows(words.len()).any(|part| part == words)
}

/// What is ordered, in words that follow from the signed bytes alone.
pub(crate) fn words(signed: &SignedOrder, opened: &OpenedOrder) -> String {
    let OpenedOrder { order, authorisation, identity } = opened;
    let at = |moment: Moment| time(Some(&timestamp(moment)));
    let (what, cap, until, scope) = match &order.desired {
        Desired::ConfirmAddress => ("CONFIRM: say whether you hold the account", None, None, None),
        Desired::Released => ("RELEASE: withhold nothing under this leg", None, None, None),
        Desired::Frozen { cap, until, scope } => {
            let scope = match scope {
                FreezeScope::CreditsOfTransactions => "only what the transfers below credit, now or later",
                FreezeScope::BalanceAndLaterCredits => "the balance, and what is credited later",
            };
            ("FREEZE: keep from leaving", Some(cap), Some(*until), Some(scope))
        }
    };
    let (case, ground, officer) = (&authorisation.case, &authorisation.ground, &authorisation.officer);
    let optional = |text: Option<String>| text.unwrap_or_default();
    let document = ground.document.as_ref();
    let mut lines = vec![
        ("order", hex::encode(identity)),
        ("what", what.to_owned()),
        ("exchange", order.recipient.to_string()),
        ("account", order.target.account.to_string()),
        ("memo", optional(order.target.memo.as_deref().map(safe))),
        ("asset", optional(order.asset.as_ref().map(ToString::to_string))),
        ("at most", optional(cap.map(|cap| format!("{cap} in the asset's smallest unit")))),
        ("scope", optional(scope.map(str::to_owned))),
        ("until", optional(until.map(at))),
    ];
    lines.extend(order.arrivals.iter().map(|arrival| {
        let transfer = &arrival.transfer;
        ("transfer", format!("{} {}, traced {}", safe(&transfer.transaction), transfer.index, arrival.traced))
    }));
    lines.extend([
        ("leg", order.leg.to_string()),
        ("revision", order.revision.to_string()),
        ("signed", at(order.issued_at)),
        ("to be taken in by", at(order.expires_at)),
        ("case", format!("{} of {}, {}", safe(&case.number), case.agency, case.unit)),
        ("legal basis", format!("{}: {}", safe(&ground.basis), safe(&ground.citation))),
        (
            "document",
            optional(document.map(|document| format!("{}, {}", safe(&document.number), safe(&document.issuer)))),
        ),
        ("document's SHA-256", optional(document.map(|document| hex::encode(document.sha256)))),
        ("authorisation", format!("{}, amendment {}", authorisation.id, authorisation.amendment)),
    ]);
    lines.extend(authorisation.decisions.iter().map(|decision| {
        let role = match decision.role {
            DecisionRole::Requested => "asked for by",
            DecisionRole::Approved => "approved by",
        };
        (role, format!("{} at {}", safe(decision.person.as_str()), at(decision.at)))
    }));
    lines.extend([
        (
            "officer",
            format!(
                "{}, {}, {}, {}",
                safe(&officer.title),
                safe(&officer.name),
                safe(&officer.phone),
                safe(&officer.email)
            ),
        ),
        (
            "customer",
            match &authorisation.confidentiality {
                Confidentiality::Open => "may be told".to_owned(),
                Confidentiality::Deferred { notice_due, .. } => format!("must not be told before {}", at(*notice_due)),
            },
        ),
        ("signed with", signers(signed)),
        ("log", place(signed)),
    ]);
    facts(&lines)
}

fn called(Hotline { name, phone, email }: &Hotline) -> String {
    [name, phone, email]
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(|part| safe(part))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whose keys signed, by their ids: of the order and of what it carries.
fn signers(signed: &SignedOrder) -> String {
    let envelope = v1::Envelope::decode(signed.envelope.as_slice()).unwrap_or_default();
    let order = v1::Order::decode(envelope.payload.as_slice()).unwrap_or_default();
    let keys = |bytes: &[u8]| -> String {
        let envelope = v1::Envelope::decode(bytes).unwrap_or_default();
        envelope.signatures.iter().map(|signature| safe(&signature.key_id)).collect::<Vec<_>>().join(" ")
    };
    let mut all =
        vec![format!("order {}", keys(&signed.envelope)), format!("authorisation {}", keys(&order.authorisation))];
    all.extend(order.arrivals.iter().map(|arrival| format!("arrival {}", keys(arrival))));
    all.dedup();
    all.join(", ")
}

/// Where it stands in its signer's log.
fn place(signed: &SignedOrder) -> String {
    let origin = signed.checkpoint.lines().next().unwrap_or_default();
    match &signed.inclusion {
        Some(proof) => format!("leaf {} of {} in {}", proof.leaf_index, proof.tree_size, safe(origin)),
        None => String::new(),
    }
}

/// What an order wants, in a word.
pub(crate) fn wanted(order: &Order) -> &'static str {
    match order.desired {
        Desired::ConfirmAddress => "question",
        Desired::Frozen { .. } => "freeze",
        Desired::Released => "release",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_an_order_is_told_from_a_damaged_one() {
        let page = |bytes: &str| format!("words\n{BEGIN}\n{bytes}\n{END}\n");
        assert_eq!(read("words"), Err(Unreadable::NoOrder));
        assert_eq!(read(&page("AAAA").replace(END, "")), Err(Unreadable::NoOrder));
        assert_eq!(read(&page("%%%")), Err(Unreadable::NotBase64));
        assert_eq!(read(&page("/////w==")), Err(Unreadable::NotAnOrder));
        assert_eq!(read(&page("")), Err(Unreadable::NotAnOrder));
    }

    #[test]
    fn bytes_are_read_whatever_the_page_went_through() {
        let order = SignedOrder { envelope: vec![7; 100], ..SignedOrder::default() };
        let bytes = STANDARD.encode(order.encode_to_vec());
        let (first, second) = bytes.split_at(50);
        let page = format!("mail header\r\n\r\n  {BEGIN}  \r\n {first}\r\n\r\n{second} \r\n{END}\r\nsincerely");
        assert_eq!(read(&page), Ok(order));
    }
}
