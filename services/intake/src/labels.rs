//! Taking in labels: who may, and what becomes of the parts of a pack. A pack comes in pieces, each of them one fact;
//! a piece that comes again changes nothing, and the pack counts when all have come.

use haetae_core::{AgencyId, LegalRules, Moment, Reason, Violations};
use haetae_ledger::{Expected, NewEntry};
use haetae_wire::{
    intake::v1::{ImportLabelsResponse, LabelChunk, LabelPackBegun, LabelPackComplete, LabelsReceived},
    label,
    tracking::v1::{Attribution, LabelPack},
};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::{
    approval::Actor,
    commands::{By, Fault, Intake},
    db,
    operations::{OPERATOR, looks_after},
};

/// Who looks after labels, besides operators.
pub(crate) const CURATOR: &str = "label-curator";

/// SHA-256 of a pack's file.
pub(crate) type PackId = [u8; 32];

/// How far a pack has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) series: String,
    pub(crate) labels: u64,
    pub(crate) received: u64,
}

/// Whether a person may import labels. They are shared by all agencies.
///
/// # Errors
/// [`Reason::RoleMissing`].
pub(crate) fn may_curate(rules: &LegalRules, agency: &AgencyId, actor: Actor<'_>) -> Result<(), Reason> {
    let is = actor.is(CURATOR) || actor.is(OPERATOR);
    if is && looks_after(rules, agency) { Ok(()) } else { Err(Reason::RoleMissing) }
}

impl Import {
    /// How many of some labels have come before: those are passed over.
    ///
    /// # Errors
    /// What is wrong with the place of the labels.
    fn place(&self, after: u64, count: u64) -> Result<u64, &'static str> {
        if after > self.received {
            return Err("leaves labels out: go on after as many as the last answer says were received");
        }
        if after.saturating_add(count) > self.labels {
            return Err("goes beyond the number of labels that the head of the pack states");
        }
        Ok((self.received - after).min(count))
    }

    fn is_complete(&self) -> bool {
        self.received == self.labels
    }

    fn answer(&self, id: PackId) -> ImportLabelsResponse {
        ImportLabelsResponse {
            pack_id: hex(&id),
            received: self.received,
            complete: self.is_complete(),
            superseded_pack_id: String::new(),
        }
    }
}

impl Intake {
    /// Begins to take a pack in, or says how far that has come.
    pub(crate) async fn begin_pack(
        &self,
        pack: &LabelPack,
        by: &By,
        now: Moment,
    ) -> Result<(PackId, ImportLabelsResponse), Fault> {
        let mut v = Violations::new();
        let id = v.within("pack", |v| label::read_pack(v, pack));
        let id = v.finish(id).map_err(Fault::Invalid)?;
        let mut tx = self.log.begin().await?;
        let labels = i64::try_from(pack.labels).unwrap_or(i64::MAX);
        let begun = db::labels::begin(&mut tx, id, &pack.series, labels).await?;
        let import = db::labels::lock(&mut tx, id).await?.ok_or(Reason::Internal)?;
        if begun {
            let fact =
                LabelPackBegun { pack: Some(pack.clone()), person: by.person.clone(), system: by.system.clone() };
            self.log.append(&mut tx, entry(id, &import.series, "label-pack", fact.encode_to_vec(), by, now)).await?;
        } else if !import.is_complete() && import.labels != pack.labels {
            return Err(misplaced("pack.labels", "is another number than this pack was begun with"));
        }
        self.log.commit(tx).await?;
        Ok((id, import.answer(id)))
    }

    /// Takes in labels of a pack that was begun. `head` is what the pack's head says.
    pub(crate) async fn take_labels(
        &self,
        id: PackId,
        head: &Attribution,
        chunk: &LabelChunk,
        by: &By,
        now: Moment,
    ) -> Result<ImportLabelsResponse, Fault> {
        check(chunk, head).map_err(Fault::Invalid)?;
        let mut tx = self.log.begin().await?;
        let mut import = db::labels::lock(&mut tx, id).await?.ok_or(Reason::NotFound)?;
        let count = chunk.labels.len() as u64;
        let had = import.place(chunk.after, count).map_err(|fault| misplaced("chunk.after", fault))?;
        if had == count {
            return Ok(import.answer(id));
        }
        let fresh = chunk.labels.iter().skip(usize::try_from(had).unwrap_or(usize::MAX)).cloned().collect();
        let fact = LabelsReceived { pack_id: hex(&id), after: import.received, labels: fresh };
        let mut entries = vec![entry(id, &import.series, "labels", fact.encode_to_vec(), by, now)];
        import.received = chunk.after + count;
        let mut answer = import.answer(id);
        let complete_at = import.is_complete().then_some(now);
        if complete_at.is_some() {
            let before = db::labels::supersede(&mut tx, id, &import.series).await?;
            answer.superseded_pack_id = before.map(|before| hex(&before)).unwrap_or_default();
            let superseded_pack_id = answer.superseded_pack_id.clone();
            let fact = LabelPackComplete { pack_id: answer.pack_id.clone(), superseded_pack_id };
            entries.push(entry(id, &import.series, "label-pack-complete", fact.encode_to_vec(), by, now));
        }
        let received = i64::try_from(import.received).unwrap_or(i64::MAX);
        db::labels::advance(&mut tx, id, received, complete_at).await?;
        self.log.append_all(&mut tx, entries).await?;
        self.log.commit(tx).await?;
        Ok(answer)
    }
}

/// Whether labels have the form that they must have. Whoever sends them has read them by the same rules.
fn check(chunk: &LabelChunk, head: &Attribution) -> Result<(), Vec<haetae_core::Violation>> {
    let mut v = Violations::new();
    v.within("chunk", |v| {
        if chunk.labels.is_empty() {
            v.add("labels", Reason::FieldMissing, "is required");
        }
        if chunk.labels.len() > label::MOST_LABELS || chunk.encoded_len() > label::MOST_BYTES {
            v.add("labels", Reason::MessageTooLarge, "is more than 1,000 labels or 512 KiB");
        }
        for (place, one) in chunk.labels.iter().enumerate() {
            if let Err(fault) = label::account(one, head) {
                v.add(&format!("labels[{place}]"), Reason::FieldMalformed, fault.to_string());
            }
        }
    });
    v.finish(Some(()))
}

fn misplaced(field: &str, fault: &str) -> Fault {
    let mut v = Violations::new();
    v.add(field, Reason::FieldMalformed, fault);
    Fault::Invalid(v.finish::<()>(None).err().unwrap_or_default())
}

/// Versions of a pack are one subject: a newer one is not handled before an older one.
fn entry(id: PackId, series: &str, kind: &'static str, payload: Vec<u8>, by: &By, now: Moment) -> NewEntry {
    let series = Sha256::digest(series);
    NewEntry {
        stream: format!("label-pack/{}", hex(&id)),
        expected: Expected::Any,
        kind,
        subject: format!("labels/{}", hex(&series[..8])),
        actor: by.actor.clone(),
        audience: None,
        payload,
        time: now,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(received: u64) -> Import {
        Import { series: "s".to_owned(), labels: 10, received }
    }

    #[test]
    fn labels_that_came_before_are_passed_over() {
        assert_eq!(import(4).place(4, 3), Ok(0), "the next ones");
        assert_eq!(import(4).place(0, 4), Ok(4), "the same again");
        assert_eq!(import(4).place(2, 5), Ok(2), "some again, some new");
        assert_eq!(import(10).place(0, 10), Ok(10), "a whole pack again");
    }

    #[test]
    fn no_label_is_left_out_and_none_is_more_than_the_pack_has() {
        assert!(import(4).place(5, 1).is_err());
        assert!(import(4).place(4, 7).is_err());
        assert!(import(4).place(u64::MAX, 2).is_err());
    }

    #[test]
    fn whoever_looks_after_the_mesh_and_curators_of_the_same_agencies_import_labels() {
        let rules = LegalRules::parse(include_str!("../legal-basis.toml")).unwrap();
        let person = "p".parse().unwrap();
        let may = |agency: &str, role: &str| {
            let roles = [role.to_owned()];
            may_curate(&rules, &agency.parse().unwrap(), Actor { person: &person, roles: &roles }).is_ok()
        };
        assert!(may("knp", CURATOR) && may("knp", OPERATOR));
        assert!(!may("knp", "approver") && !may("fss", CURATOR));
    }
}
