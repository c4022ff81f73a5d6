//! What others say about addresses. Labels come by intake's log and are kept with their packs; where money comes to an
//! account that a label calls a mixer, a bridge or a privacy pool, the trail ends there. What was said when the account
//! was reached is kept with the account, so that labels which come later rewrite no trail: they hold for accounts that
//! are reached after them.

use std::cmp::Reverse;

use anyhow::anyhow;
use haetae_core::{Account, Crossing, Moment};
use haetae_ledger::{FollowedEntry, HandleError};
use haetae_wire::{
    convert::timestamp,
    intake::v1::{LabelPackBegun, LabelPackComplete, LabelsReceived},
    label,
    tracking::v1::{Attribution, KnownLabel, KnownPack, Label, LabelPack},
};
use prost::Message;
use sqlx::PgConnection;

use crate::db;

/// SHA-256 of a pack's file.
pub(crate) type PackId = [u8; 32];

/// A label that says that money which goes into an account comes out elsewhere, and which label that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Labelled {
    pub(crate) crossing: Crossing,
    pub(crate) pack: PackId,
    /// Place in the pack, from 1.
    pub(crate) number: u64,
}

/// A label as it is stored.
#[derive(Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) chain: Option<String>,
    pub(crate) address: String,
    pub(crate) body: Vec<u8>,
}

/// A label with its pack.
#[derive(Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) pack: PackId,
    pub(crate) number: u64,
    pub(crate) chain: Option<String>,
    pub(crate) address: String,
    pub(crate) label: Label,
    pub(crate) head: LabelPack,
    pub(crate) since: Option<Moment>,
    pub(crate) person: String,
    pub(crate) superseded_by: Option<PackId>,
}

/// A pack.
#[derive(Clone, PartialEq)]
pub(crate) struct Pack {
    pub(crate) head: LabelPack,
    pub(crate) received: u64,
    pub(crate) begun_at: Moment,
    pub(crate) complete_at: Option<Moment>,
    pub(crate) superseded_by: Option<PackId>,
    pub(crate) person: String,
    pub(crate) system: String,
}

impl Found {
    /// What it says, its pack's head included.
    pub(crate) fn says(&self) -> Attribution {
        let empty = Attribution::default();
        label::whole(self.label.says.as_ref().unwrap_or(&empty), self.head.says.as_ref().unwrap_or(&empty))
    }

    /// For those who ask.
    pub(crate) fn shown(&self) -> KnownLabel {
        let says = self.says();
        KnownLabel {
            address: self.label.address.clone(),
            account: self.chain.as_ref().map(|chain| format!("{chain}:{}", self.address)).unwrap_or_default(),
            confidence: label::worth(&says).into(),
            says: Some(says),
            pack_id: hex(&self.pack),
            title: self.head.title.clone(),
            creator: self.head.creator.clone(),
            number: self.number,
            since: self.since.map(timestamp),
            person: self.person.clone(),
            superseded_by: self.superseded_by.map(|pack| hex(&pack)).unwrap_or_default(),
        }
    }
}

impl Pack {
    /// For those who ask.
    pub(crate) fn shown(&self) -> KnownPack {
        KnownPack {
            pack: Some(self.head.clone()),
            received: self.received,
            begun_at: Some(timestamp(self.begun_at)),
            complete_at: self.complete_at.map(timestamp),
            superseded_by: self.superseded_by.map(|pack| hex(&pack)).unwrap_or_default(),
            person: self.person.clone(),
            system: self.system.clone(),
        }
    }
}

/// The label that ends a trail at an account, of all that count: the one whose source is worth most, if it is worth
/// enough; of several the newest. The choice depends on nothing but the labels.
pub(crate) fn verdict(labels: &[Found], min_confidence: u8) -> Option<Labelled> {
    let crossings = labels.iter().filter_map(|found| {
        let says = found.says();
        let worth = label::worth(&says);
        let crossing = label::crossing(&says).filter(|_| worth >= min_confidence)?;
        Some(((worth, found.since, found.pack, Reverse(found.number)), found, crossing))
    });
    let (_, found, crossing) = crossings.max_by_key(|(rank, ..)| *rank)?;
    Some(Labelled { crossing, pack: found.pack, number: found.number })
}

/// Handles a fact about labels.
pub(crate) async fn handle(tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
    let payload = entry.payload.as_slice();
    match entry.kind.as_str() {
        "label-pack" => {
            let fact = LabelPackBegun::decode(payload)?;
            let head = fact.pack.ok_or_else(|| HandleError::poison(anyhow!("a pack without a head")))?;
            let id = pack_id(&head.pack_id)?;
            Ok(db::label::begin(tx, id, &head, &fact.person, &fact.system, entry.time).await?)
        }
        "labels" => {
            let fact = LabelsReceived::decode(payload)?;
            let id = pack_id(&fact.pack_id)?;
            let head = db::label::head(tx, id).await?.ok_or_else(|| HandleError::poison(anyhow!("no such pack")))?;
            let head = head.says.unwrap_or_default();
            let rows: Vec<Row> = fact.labels.iter().map(|one| row(one, &head)).collect();
            Ok(db::label::insert(tx, id, fact.after, &rows).await?)
        }
        "label-pack-complete" => {
            let fact = LabelPackComplete::decode(payload)?;
            let id = pack_id(&fact.pack_id)?;
            let before = match fact.superseded_pack_id.as_str() {
                "" => None,
                before => Some(pack_id(before)?),
            };
            match db::label::complete(tx, id, before, entry.time).await? {
                true => Ok(()),
                false => Err(HandleError::poison(anyhow!("no such pack"))),
            }
        }
        _ => Ok(()),
    }
}

fn row(one: &Label, head: &Attribution) -> Row {
    // Intake has read it by the same rules. What it reads by newer ones is kept as a text.
    let account = label::account(one, head).ok().flatten();
    let (chain, address) = match &account {
        Some(account) => (Some(account.chain().to_string()), account.address().to_owned()),
        None => (None, one.address.trim().to_owned()),
    };
    Row { chain, address, body: one.encode_to_vec() }
}

fn pack_id(text: &str) -> Result<PackId, HandleError> {
    let mut v = haetae_core::Violations::new();
    label::read_pack_id(&mut v, "pack_id", text).ok_or_else(|| HandleError::poison(anyhow!("a pack without an id")))
}

/// What an address is stored as, and the chain that it names: CAIP-10 names one, an address alone none.
pub(crate) fn asked_about(text: &str) -> (String, Option<haetae_core::ChainId>) {
    let text = text.trim();
    if let Ok(account) = text.parse::<Account>() {
        return (account.address().to_owned(), Some(account.chain().clone()));
    }
    // Twenty bytes are spelled alike on all chains that have them.
    let alike = haetae_core::labelled_account(text, "ETH", "").ok().flatten();
    (alike.map_or_else(|| text.to_owned(), |account| account.address().to_owned()), None)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pack: u8, number: u64, concept: &str, confidence: &str) -> Found {
        let says =
            Attribution { concepts: vec![concept.into()], confidence: confidence.into(), ..Attribution::default() };
        Found {
            pack: [pack; 32],
            number,
            chain: Some("eip155:1".into()),
            address: "0x52908400098527886E0F7030069857D2E4169EE7".into(),
            label: Label { address: "0x52908400098527886e0f7030069857d2e4169ee7".into(), says: Some(says) },
            head: LabelPack::default(),
            since: None,
            person: "somebody".into(),
            superseded_by: None,
        }
    }

    #[test]
    fn the_label_whose_source_is_worth_most_ends_a_trail_whatever_their_order() {
        let labels = [
            found(1, 1, "exchange", "ownership"),
            found(2, 7, "mixing_service", "web_crawl"),
            found(3, 2, "defi_bridge", "authority_data"),
        ];
        let expected = Labelled { crossing: Crossing::Bridge, pack: [3; 32], number: 2 };
        assert_eq!(verdict(&labels, 50), Some(expected));
        let turned: Vec<_> = labels.iter().rev().cloned().collect();
        assert_eq!(verdict(&turned, 0), Some(expected));
    }

    #[test]
    fn a_label_that_is_worth_too_little_ends_nothing() {
        let labels = [found(2, 7, "mixing_service", "web_crawl"), found(2, 8, "exchange", "ownership")];
        assert_eq!(verdict(&labels, 21), None);
        assert_eq!(verdict(&labels, 20).map(|label| label.number), Some(7));
    }

    #[test]
    fn what_is_shown_names_the_account_and_all_of_where_it_is_from() {
        let mut label = found(2, 7, "mixing_service", "");
        label.head = LabelPack {
            title: "t".into(),
            creator: "c".into(),
            says: Some(Attribution { confidence: "forensic".into(), ..Attribution::default() }),
            ..LabelPack::default()
        };
        let shown = label.shown();
        assert_eq!(shown.account, "eip155:1:0x52908400098527886E0F7030069857D2E4169EE7");
        assert_eq!((shown.confidence, shown.title.as_str(), shown.number), (50, "t", 7));
        assert_eq!(shown.pack_id, "02".repeat(32));
    }

    #[test]
    fn an_address_is_asked_about_in_any_spelling() {
        let spelled = "0x52908400098527886E0F7030069857D2E4169EE7";
        assert_eq!(asked_about(&spelled.to_lowercase()), (spelled.to_owned(), None));
        let (address, chain) = asked_about(&format!("eip155:10:{}", spelled.to_lowercase()));
        assert_eq!((address.as_str(), chain.unwrap().as_str()), (spelled, "eip155:10"));
        assert_eq!(
            asked_about(" 4AdUndXHHZ6cfufTMvppY6JwXNouMBzSkbLYfpAV5Usx "),
            ("4AdUndXHHZ6cfufTMvppY6JwXNouMBzSkbLYfpAV5Usx".to_owned(), None)
        );
    }
}
