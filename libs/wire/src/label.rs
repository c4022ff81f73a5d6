//! Labels and the packs they come in: what a label says together with its pack's head, and whether it can be taken.
//! The same rules hold where a file is read, where it is taken in, and where labels are kept.

use haetae_core::{Account, Crossing, MalformedAccount, Reason, Violations, confidence, labelled_account};
use thiserror::Error;

use crate::{
    read,
    tracking::v1::{Attribution, Label, LabelPack},
};

/// Labels in one message at most.
pub const MOST_LABELS: usize = 1_000;
/// Bytes of labels in one message at most: a message is one entry of the log.
pub const MOST_BYTES: usize = 512 * 1024;
/// Characters of a short text, such as a label or a concept.
const SHORT: usize = 500;
/// Characters of a long one: a source, a description.
const LONG: usize = 4_000;
/// Characters of a context, which packs use for whole documents.
const CONTEXT: usize = 16_000;
/// Concepts of one label.
const MOST_CONCEPTS: usize = 50;

/// Why a label cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LabelFault {
    /// It is about no address.
    #[error("has no address; tags of clusters and of transactions are not taken")]
    NoAddress,
    /// Neither it nor its pack's head says this.
    #[error("says no {0}, and neither does the head of its pack")]
    Missing(&'static str),
    /// A text that is longer than makes sense.
    #[error("has a {0} of more than {1} characters")]
    TooLong(&'static str, usize),
    /// More concepts than make sense.
    #[error("has more than {MOST_CONCEPTS} concepts")]
    TooManyConcepts,
    /// Characters that steer terminals and that no address has.
    #[error("has control characters in its address")]
    Control,
    /// Its address is none of its chain.
    #[error("its address {0}")]
    Address(#[from] MalformedAccount),
}

/// What a label says, its pack's head included.
pub fn whole(says: &Attribution, head: &Attribution) -> Attribution {
    let text = |own: &str, inherited: &str| if own.is_empty() { inherited.to_owned() } else { own.to_owned() };
    Attribution {
        label: text(&says.label, &head.label),
        source: text(&says.source, &head.source),
        currency: text(&says.currency, &head.currency),
        network: text(&says.network, &head.network),
        actor: text(&says.actor, &head.actor),
        category: text(&says.category, &head.category),
        concepts: if says.concepts.is_empty() { head.concepts.clone() } else { says.concepts.clone() },
        abuse: text(&says.abuse, &head.abuse),
        confidence: text(&says.confidence, &head.confidence),
        lastmod: text(&says.lastmod, &head.lastmod),
        context: text(&says.context, &head.context),
        is_cluster_definer: says.is_cluster_definer.or(head.is_cluster_definer),
        tag_type: text(&says.tag_type, &head.tag_type),
    }
}

/// The account that a label is about; none where its chain is not known here.
///
/// # Errors
/// When it cannot be taken.
pub fn account(label: &Label, head: &Attribution) -> Result<Option<Account>, LabelFault> {
    let empty = Attribution::default();
    let own = label.says.as_ref().unwrap_or(&empty);
    if label.address.trim().is_empty() {
        return Err(LabelFault::NoAddress);
    }
    let first = |text: fn(&Attribution) -> &String| if text(own).is_empty() { text(head) } else { text(own) };
    let (currency, network) = (first(|says| &says.currency), first(|says| &says.network));
    if currency.is_empty() && network.is_empty() {
        return Err(LabelFault::Missing("currency"));
    }
    for (name, text) in [("label", first(|says| &says.label)), ("source", first(|says| &says.source))] {
        if text.trim().is_empty() {
            return Err(LabelFault::Missing(name));
        }
    }
    lengths(own)?;
    if label.address.chars().count() > SHORT {
        return Err(LabelFault::TooLong("address", SHORT));
    }
    if label.address.chars().any(char::is_control) {
        return Err(LabelFault::Control);
    }
    Ok(labelled_account(&label.address, currency, network)?)
}

fn lengths(says: &Attribution) -> Result<(), LabelFault> {
    let texts = [
        ("label", &says.label, SHORT),
        ("source", &says.source, LONG),
        ("currency", &says.currency, SHORT),
        ("network", &says.network, SHORT),
        ("actor", &says.actor, SHORT),
        ("category", &says.category, SHORT),
        ("abuse", &says.abuse, SHORT),
        ("confidence", &says.confidence, SHORT),
        ("lastmod", &says.lastmod, SHORT),
        ("context", &says.context, CONTEXT),
        ("tag_type", &says.tag_type, SHORT),
    ];
    let concepts = says.concepts.iter().map(|concept| ("concept", concept, SHORT));
    for (name, text, most) in texts.into_iter().chain(concepts) {
        // Bytes are enough to tell that it is short.
        if text.len() > most && text.chars().count() > most {
            return Err(LabelFault::TooLong(name, most));
        }
    }
    if says.concepts.len() > MOST_CONCEPTS { Err(LabelFault::TooManyConcepts) } else { Ok(()) }
}

/// Reads a pack's head, noting its faults: whether a pack can be taken at all.
pub fn read_pack(v: &mut Violations, pack: &LabelPack) -> Option<[u8; 32]> {
    let id = read_pack_id(v, "pack_id", &pack.pack_id);
    for (part, text, chars) in [
        ("series", &pack.series, 1..=LONG),
        ("title", &pack.title, 1..=SHORT),
        ("creator", &pack.creator, 1..=SHORT),
        ("description", &pack.description, 0..=CONTEXT),
    ] {
        read::text(v, part, text, chars);
    }
    if pack.labels == 0 {
        v.add("labels", Reason::FieldMissing, "a pack has at least one label");
    }
    if let Err(fault) = pack.says.as_ref().map_or(Ok(()), lengths) {
        v.add("says", Reason::FieldMalformed, fault.to_string());
    }
    id
}

/// Reads the id of a pack: SHA-256 of its file.
pub fn read_pack_id(v: &mut Violations, field: &str, text: &str) -> Option<[u8; 32]> {
    let mut id = [0; 32];
    let digits = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !digits || hex::decode_to_slice(text, &mut id).is_err() {
        v.add(field, Reason::FieldMalformed, "must be 64 hexadecimal digits: SHA-256 of the pack's file");
        return None;
    }
    Some(id)
}

/// What kind of service a label says its address is, where money that goes in comes out elsewhere.
pub fn crossing(says: &Attribution) -> Option<Crossing> {
    Crossing::of(says.concepts.iter().chain([&says.category]).map(String::as_str))
}

/// How much what a label says is worth.
pub fn worth(says: &Attribution) -> u8 {
    confidence(&says.confidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Attribution {
        Attribution {
            label: "Lazarus group".into(),
            source: "https://treasury.test".into(),
            currency: "BTC".into(),
            category: "user".into(),
            confidence: "authority_data".into(),
            is_cluster_definer: Some(false),
            ..Attribution::default()
        }
    }

    fn label(address: &str, says: Attribution) -> Label {
        Label { address: address.into(), says: Some(says) }
    }

    #[test]
    fn a_label_inherits_what_it_does_not_say_itself() {
        let own = Attribution { currency: "ETH".into(), is_cluster_definer: Some(true), ..Attribution::default() };
        let said = whole(&own, &head());
        assert_eq!((said.label.as_str(), said.currency.as_str()), ("Lazarus group", "ETH"));
        assert_eq!((said.is_cluster_definer, worth(&said), crossing(&said)), (Some(true), 60, None));
    }

    #[test]
    fn the_chain_of_an_address_may_be_said_by_the_head_or_by_the_tag() {
        let ether = Attribution { currency: "ETH".into(), ..Attribution::default() };
        let on = |label: &Label| account(label, &head()).unwrap().unwrap().chain().to_string();
        assert!(on(&label("134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak", Attribution::default())).starts_with("bip122:"));
        assert_eq!(on(&label("0x098B716B8Aaf21512996dC57EB0615e2383E2f96", ether)), "eip155:1");
    }

    #[test]
    fn what_cannot_be_taken_says_why() {
        let fault = |label: &Label, head: &Attribution| account(label, head).unwrap_err().to_string();
        let bare = Attribution::default();
        let address = "134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak";
        assert!(fault(&label(" ", bare.clone()), &head()).contains("no address"));
        assert!(fault(&label(address, bare.clone()), &bare).contains("no currency"));
        let unsourced = Attribution { source: String::new(), ..head() };
        assert!(fault(&label(address, bare.clone()), &unsourced).contains("no source"));
        let shouted = Attribution { label: "x".repeat(501), ..bare.clone() };
        assert!(fault(&label(address, shouted), &head()).contains("more than 500 characters"));
        assert!(fault(&label("134r8iHv69xdT6p5qVKTsHrcUEuBVZAYaK", bare), &head()).contains("checksum"));
    }

    #[test]
    fn a_pack_without_a_name_or_without_labels_is_none() {
        let mut v = Violations::new();
        assert_eq!(read_pack(&mut v, &LabelPack { pack_id: "AB".into(), ..LabelPack::default() }), None);
        let faults = v.finish::<()>(None).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["pack_id", "series", "title", "creator", "labels"]);
    }
}
