//! `haetae labels`: what others say about addresses.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use haetae_wire::tracking::v1::{Attribution, KnownLabel, KnownPack};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Desk;
use crate::{
    args::LabelsCommand,
    client::{Labels, fitting},
    failure::{Failure, counted},
    json,
    out::Out,
    show::{Look, NOTHING, Tone, safe, time},
    table::{Rows, facts, plain},
    tagpack::{self, TagPack},
};

/// Bad tags that are named to people; programs are told of all.
const NAMED: usize = 50;
/// Digits of a pack's id that tell it from others.
const SHORT_ID: usize = 12;

pub(super) async fn run(desk: &Desk, command: LabelsCommand) -> Result<(), Failure> {
    match command {
        LabelsCommand::Import { files, series } => import(desk, &files, series.as_deref()).await,
        LabelsCommand::Check { files } => check(&desk.out, &files),
        LabelsCommand::Show { address } => show(desk, &address).await,
        LabelsCommand::List => list(desk).await,
        LabelsCommand::Export { packs, out } => export(desk, &packs, &out).await,
    }
}

/// Reads files and says what is wrong with them. Needs nobody.
pub(super) fn check(out: &Out, files: &[PathBuf]) -> Result<(), Failure> {
    let packs = files.iter().map(|file| Ok((file.as_path(), read(file)?))).collect::<Result<Vec<_>, Failure>>()?;
    let document = || Ok(json!({"packs": packs.iter().map(|(file, pack)| told(file, pack)).collect::<Vec<_>>()}));
    out.print(document, |look| {
        packs.iter().map(|(file, pack)| format!("{}: {}", file.display(), summary(pack, look))).collect()
    })?;
    whole(packs.iter().map(|(_, pack)| pack.refused.len()).sum())
}

async fn import(desk: &Desk, files: &[PathBuf], series: Option<&str>) -> Result<(), Failure> {
    if series.is_some() && files.len() > 1 {
        return Err(Failure::usage("--series is for one file: packs of one series take each other's place"));
    }
    // Nothing is sent before all files are known to be packs.
    let packs = files.iter().map(|file| Ok((file.as_path(), read(file)?))).collect::<Result<Vec<_>, Failure>>()?;
    let mut labels = desk.labels()?;
    let mut documents = Vec::new();
    let mut text = String::new();
    for (file, pack) in &packs {
        let (resumed, superseded) = send(desk, &mut labels, file, pack, series).await?;
        let mut document = told(file, pack);
        document["received_before"] = resumed.to_string().into();
        document["superseded_pack_id"] = superseded.clone().into();
        documents.push(document);
        let before = match resumed {
            0 => String::new(),
            all if all == pack.head.labels => "  It was here already: nothing changed.\n".to_owned(),
            some => format!("  {some} of them had come before.\n"),
        };
        let superseded = match superseded.as_str() {
            "" => String::new(),
            id => format!("  It takes the place of {}.\n", short(id)),
        };
        text += &format!("{}: {}{before}{superseded}", file.display(), summary(pack, &desk.out.look));
    }
    desk.out.print(|| Ok(json!({ "packs": documents })), |_| text)?;
    whole(packs.iter().map(|(_, pack)| pack.refused.len()).sum())
}

/// Sends a pack. Gives how many of its labels had come before, and the pack whose place it took.
async fn send(
    desk: &Desk,
    labels: &mut Labels,
    file: &Path,
    pack: &TagPack,
    series: Option<&str>,
) -> Result<(u64, String), Failure> {
    let mut head = pack.head.clone();
    if let Some(series) = series {
        series.clone_into(&mut head.series);
    }
    if pack.labels.is_empty() {
        return Err(Failure::failed(format!("{} has no tag that can be taken", file.display())));
    }
    let bar = desk.out.progress(file.display().to_string(), head.labels);
    let (mut import, begun) = labels.import(head).await?;
    let resumed = begun.received;
    let (mut received, mut superseded) = (resumed, begun.superseded_pack_id);
    while let Some(left) = pack.labels.get(usize::try_from(received).unwrap_or(usize::MAX)..) {
        bar.set_position(received);
        if left.is_empty() {
            break;
        }
        let answer = import.send(received, fitting(left).to_vec()).await?;
        if answer.received <= received {
            return Err(Failure::failed("intake does not go on with the pack: it breaks its contract"));
        }
        received = answer.received;
        superseded = answer.superseded_pack_id;
    }
    bar.finish_and_clear();
    Ok((resumed, superseded))
}

fn read(file: &Path) -> Result<TagPack, Failure> {
    let shown = file.display();
    let bytes = fs::read(file).map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    let text = str::from_utf8(&bytes).map_err(|_| Failure::usage(format!("{shown} is no text in UTF-8")))?;
    let mut pack = tagpack::read(text)
        .map_err(|error| Failure::usage(format!("{shown} is refused whole: {error}")).hint("Nothing was sent."))?;
    pack.head.pack_id = hex::encode(Sha256::digest(&bytes));
    Ok(pack)
}

/// Bad tags are a fault of the file that programs must hear of.
fn whole(refused: usize) -> Result<(), Failure> {
    if refused == 0 {
        return Ok(());
    }
    Err(Failure::failed(format!("{} could not be taken; the others were", counted(refused, "tag"))))
}

fn told(file: &Path, pack: &TagPack) -> Value {
    let refused = |refused: &tagpack::Refused| json!({"line": refused.line, "why": refused.why});
    json!({
        "file": file.display().to_string(),
        "pack_id": pack.head.pack_id,
        "series": pack.head.series,
        "title": pack.head.title,
        "labels": pack.head.labels.to_string(),
        "refused": pack.refused.iter().map(refused).collect::<Vec<_>>(),
        "passed_over": pack.passed_over,
    })
}

fn summary(pack: &TagPack, look: &Look) -> String {
    let mut text = format!("“{}”, {}\n", safe(&pack.head.title), counted_labels(pack.head.labels));
    for refused in pack.refused.iter().take(NAMED) {
        text += &format!("  {} line {}: {}\n", look.toned(Tone::Bad, "not taken:"), refused.line, safe(&refused.why));
    }
    if pack.refused.len() > NAMED {
        text += &format!("  and {} more; --json names all\n", pack.refused.len() - NAMED);
    }
    if !pack.passed_over.is_empty() {
        let fields = pack.passed_over.iter().map(|(field, count)| format!("{} ({count})", safe(field)));
        text += &format!("  fields passed over: {}\n", fields.collect::<Vec<_>>().join(", "));
    }
    text
}

async fn show(desk: &Desk, address: &str) -> Result<(), Failure> {
    let said = desk.labels()?.of(address).await?;
    desk.out.print(|| json::of(&said), |look| shown(&said.labels, look))
}

fn shown(labels: &[KnownLabel], look: &Look) -> String {
    if labels.is_empty() {
        return "No label is known of this address. That says nothing about it.\n".to_owned();
    }
    let one = |label: &KnownLabel| {
        let says = label.says.clone().unwrap_or_default();
        let stands = match label.superseded_by.as_str() {
            "" => String::new(),
            by => format!("; does not count any more: {} took its pack's place", short(by)),
        };
        let named = look.toned(if stands.is_empty() { Tone::Good } else { Tone::Quiet }, &safe(&says.label));
        let account = if label.account.is_empty() { &label.address } else { &label.account };
        let pack = format!("{} “{}” by {}", short(&label.pack_id), safe(&label.title), safe(&label.creator));
        let rest = facts(&[
            ("  of", safe(account)),
            ("  kind", kind(&says)),
            ("  actor", safe(&says.actor)),
            ("  abuse", safe(&says.abuse)),
            ("  worth", format!("{} of 100 ({})", label.confidence, named_or_nothing(&says.confidence))),
            ("  source", safe(&says.source)),
            ("  last looked at", safe(&says.lastmod)),
            ("  context", safe(&says.context)),
            ("  pack", format!("{pack}, tag {}", label.number)),
            ("  imported", format!("{} by {}{stands}", time(label.since.as_ref()), safe(&label.person))),
        ]);
        format!("{named}\n{rest}")
    };
    labels.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn kind(says: &Attribution) -> String {
    let concepts = says.concepts.iter().filter(|concept| **concept != says.category);
    let all = std::iter::once(&says.category).chain(concepts).filter(|concept| !concept.is_empty());
    all.map(|concept| safe(concept)).collect::<Vec<_>>().join(", ")
}

fn named_or_nothing(name: &str) -> String {
    if name.is_empty() { NOTHING.to_owned() } else { safe(name) }
}

async fn list(desk: &Desk) -> Result<(), Failure> {
    let packs = desk.labels()?.packs().await?;
    desk.out.print(|| json::of(&packs), |look| listed(&packs.packs, look))
}

fn listed(packs: &[KnownPack], look: &Look) -> String {
    if packs.is_empty() {
        return "No pack of labels has been imported.\n".to_owned();
    }
    let mut rows = Rows::new(look, &["pack", "title", "labels", "imported", "stands"]);
    for known in packs {
        let pack = known.pack.clone().unwrap_or_default();
        let stands = match (&known.complete_at, known.superseded_by.as_str()) {
            (None, _) => (Tone::Wait, format!("{} of {} have come", known.received, pack.labels)),
            (Some(_), "") => (Tone::Good, "counts".to_owned()),
            (Some(_), by) => (Tone::Quiet, format!("replaced by {}", short(by))),
        };
        rows.row([
            plain(short(&pack.pack_id)),
            plain(format!("{}\n{}", safe(&pack.title), safe(&pack.creator))),
            plain(match pack.refused {
                0 => pack.labels.to_string(),
                refused => format!("{}\n{refused} not taken", pack.labels),
            }),
            plain(format!("{}\nby {}", time(known.begun_at.as_ref()), safe(&known.person))),
            stands,
        ]);
    }
    rows.print()
}

async fn export(desk: &Desk, wanted: &[String], out: &Path) -> Result<(), Failure> {
    let mut labels = desk.labels()?;
    let known = labels.packs().await?.packs;
    let chosen = chosen(&known, wanted)?;
    let one = wanted.len() == 1;
    let mut written = Vec::new();
    for pack in &chosen {
        let path = if one { out.to_owned() } else { out.join(format!("{}.yaml", short(&pack.pack_id))) };
        let cannot = |error: std::io::Error| Failure::failed(format!("cannot write {}: {error}", path.display()));
        let mut file = BufWriter::new(File::create(&path).map_err(cannot)?);
        tagpack::write::head(&mut file, pack).map_err(cannot)?;
        let bar = desk.out.progress(path.display().to_string(), pack.labels);
        let mut after = 0;
        while after < pack.labels {
            let page = labels.page(&pack.pack_id, after).await?;
            if page.labels.is_empty() {
                break;
            }
            for label in &page.labels {
                tagpack::write::label(&mut file, label).map_err(cannot)?;
            }
            after += page.labels.len() as u64;
            bar.set_position(after);
        }
        file.flush().map_err(cannot)?;
        bar.finish_and_clear();
        written.push((path.display().to_string(), pack.pack_id.clone(), after));
    }
    let document = || {
        let files = written
            .iter()
            .map(|(file, pack_id, labels)| json!({"file": file, "pack_id": pack_id, "labels": labels.to_string()}));
        Ok(json!({"files": files.collect::<Vec<_>>()}))
    };
    desk.out.print(document, |_| {
        written
            .iter()
            .map(|(file, pack, labels)| format!("{file}: {}, {}\n", short(pack), counted_labels(*labels)))
            .collect()
    })
}

/// The packs that are named, by their ids or as many digits as tell them apart; all that count where none is.
fn chosen(known: &[KnownPack], wanted: &[String]) -> Result<Vec<haetae_wire::tracking::v1::LabelPack>, Failure> {
    let heads = || known.iter().filter_map(|known| Some((known, known.pack.as_ref()?)));
    if wanted.is_empty() {
        let counting = heads().filter(|(known, _)| known.complete_at.is_some() && known.superseded_by.is_empty());
        return Ok(counting.map(|(_, pack)| pack.clone()).collect());
    }
    let one = |id: &String| {
        let mut found = heads().filter(|(_, pack)| pack.pack_id.starts_with(id.as_str()));
        match (found.next(), found.next()) {
            (Some((known, _)), None) if known.complete_at.is_none() => {
                Err(Failure::usage(format!("pack {id} has not come in whole")))
            }
            (Some((_, pack)), None) => Ok(pack.clone()),
            (Some(_), Some(_)) => Err(Failure::usage(format!("several packs begin with {id}"))),
            (None, _) => Err(Failure::usage(format!("there is no pack {id}")).hint("`haetae labels list` names them.")),
        }
    };
    wanted.iter().map(one).collect()
}

fn short(id: &str) -> String {
    safe(id).chars().take(SHORT_ID).collect()
}

fn counted_labels(labels: u64) -> String {
    if labels == 1 { "1 label".to_owned() } else { format!("{labels} labels") }
}

#[cfg(test)]
mod tests {
    use haetae_wire::tracking::v1::LabelPack;
    use prost_types::Timestamp;

    use super::*;

    fn pack(id: &str, complete: bool, superseded_by: &str) -> KnownPack {
        let pack = LabelPack { pack_id: id.into(), title: "t".into(), labels: 9, ..LabelPack::default() };
        KnownPack {
            pack: Some(pack),
            received: 4,
            complete_at: complete.then(Timestamp::default),
            superseded_by: superseded_by.into(),
            ..KnownPack::default()
        }
    }

    #[test]
    fn a_label_is_shown_with_all_of_where_it_is_from() {
        let says = Attribution {
            label: "Tornado Cash".into(),
            source: "https://treasury.test".into(),
            category: "mixing_service".into(),
            concepts: vec!["mixing_service".into(), "privacy_pool".into()],
            confidence: "authority_data".into(),
            ..Attribution::default()
        };
        let label = KnownLabel {
            account: "eip155:1:0xab".into(),
            says: Some(says),
            confidence: 60,
            pack_id: "ab".repeat(32),
            title: "Sanctions".into(),
            creator: "us".into(),
            number: 3,
            person: "knp-su-bin".into(),
            ..KnownLabel::default()
        };
        let text = shown(&[label], &Look::default());
        for part in [
            "Tornado Cash\n",
            "mixing_service, privacy_pool",
            "60 of 100 (authority_data)",
            "https://treasury.test",
            "abababababab “Sanctions” by us, tag 3",
            "by knp-su-bin",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn packs_are_listed_with_where_they_stand() {
        let text =
            listed(&[pack("aa11", true, ""), pack("bb22", false, ""), pack("cc33", true, "aa11")], &Look::default());
        for part in ["counts", "4 of 9 have come", "replaced by aa11"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn packs_are_chosen_by_as_many_digits_as_tell_them_apart() {
        let known = [pack("aa11", true, ""), pack("aa22", true, "aa11"), pack("bb33", false, "")];
        let ids = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|id| (*id).to_owned()).collect();
            chosen(&known, &wanted).map(|packs| packs.into_iter().map(|pack| pack.pack_id).collect::<Vec<_>>())
        };
        assert_eq!(ids(&[]).unwrap(), ["aa11"]);
        assert_eq!(ids(&["aa2"]).unwrap(), ["aa22"]);
        for bad in ["aa", "bb", "cc"] {
            assert!(ids(&[bad]).is_err(), "{bad}");
        }
    }
}
