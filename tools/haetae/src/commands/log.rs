//! `haetae log`: the services' logs, checked as an outside body checks them.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use haetae_mesh::Peer;
use haetae_seal::{
    checkpoint::{Checkpoint, CheckpointError},
    merkle::Hash,
};
use haetae_wire::audit::v1::{
    GetCheckpointRequest, GetConsistencyProofRequest, GetInclusionProofRequest, ListLeavesRequest,
    audit_service_client::AuditServiceClient,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Desk;
use crate::{
    args::LogCommand,
    failure::{Failure, counted},
    profile::AuditedLog,
    show::{Look, NOTHING, Tone, safe},
    table::{Rows, plain},
    verify::{Fault, Newest, Replay, continues},
};

/// What the audit service gives at most in one page.
const PAGE: u32 = 1_000;

/// Checkpoints as they were signed, by service: what an auditor keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    checkpoints: BTreeMap<String, String>,
}

/// What became of checking one log.
#[derive(Debug)]
struct Report {
    service: String,
    origin: String,
    /// The signed note as the log gave it; empty where it gave none.
    note: String,
    checkpoint: Option<Checkpoint>,
    earlier: Option<Checkpoint>,
    /// Leaves that were read.
    read: u64,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Verified,
    /// The newest checkpoint is not one of this log's key.
    NotSigned(CheckpointError),
    Faulty(Fault),
    /// It could not be read to its end.
    Unread(Failure),
}

pub(super) async fn run(desk: &Desk, command: LogCommand) -> Result<(), Failure> {
    let LogCommand::Verify { newest, services, from, save } = command;
    let logs = desk.profile.logs(&services)?;
    let mut saved = from.as_deref().map(Saved::read).transpose()?.unwrap_or_default();
    let mut reports = Vec::new();
    for log in &logs {
        let earlier = saved.opened(log)?;
        reports.push(audit(desk, log, earlier, newest).await);
    }
    desk.out.print(|| Ok(document(&reports)), |look| table(&reports, look))?;
    for report in reports.iter().filter(|report| matches!(report.outcome, Outcome::Verified)) {
        saved.checkpoints.insert(report.service.clone(), report.note.clone());
    }
    if let Some(path) = save {
        saved.write(&path)?;
    }
    verdict(reports)
}

async fn audit(desk: &Desk, log: &AuditedLog, earlier: Option<Checkpoint>, newest: Option<u32>) -> Report {
    let mut report = Report {
        service: log.service.clone(),
        origin: log.verifier.origin().to_owned(),
        note: String::new(),
        checkpoint: None,
        earlier,
        read: 0,
        outcome: Outcome::Verified,
    };
    if let Err(outcome) = read(desk, log, newest, &mut report).await {
        report.outcome = outcome;
    }
    report
}

async fn read(desk: &Desk, log: &AuditedLog, newest: Option<u32>, report: &mut Report) -> Result<(), Outcome> {
    let mut config = log.peer.clone();
    if let Some(timeout) = desk.common.timeout {
        config.deadline_ms = timeout_ms(timeout);
    }
    let peer = Peer::connect(&log.service, &config).map_err(|error| Outcome::Unread(error.into()))?;
    let mut client = AuditServiceClient::new(peer);
    report.note = client.get_checkpoint(GetCheckpointRequest {}).await.map_err(unread)?.into_inner().checkpoint;
    let signed = Checkpoint::open(&report.note, &log.verifier).map_err(Outcome::NotSigned)?;
    let signed = report.checkpoint.insert(signed);

    let bar = desk.out.progress(log.service.clone(), newest.map_or(signed.size, u64::from).min(signed.size));
    match newest {
        Some(newest) => prove(&mut client, signed, newest, |read| bar.set_position(read)).await?,
        None => {
            let mut replay = Replay::begin(signed, report.earlier.as_ref())?;
            while let Some(start_position) = replay.wants() {
                let page =
                    client.list_leaves(ListLeavesRequest { start_position, limit: PAGE }).await.map_err(unread)?;
                replay.read(&page.into_inner().leaves)?;
                bar.set_position(replay.wants().unwrap_or(signed.size));
            }
            replay.finish()?;
        }
    }
    report.read = newest.map_or(signed.size, u64::from).min(signed.size);
    bar.finish_and_clear();

    if let Some(earlier) = &report.earlier {
        if earlier.size > signed.size {
            return Err(Fault::RolledBack { earlier: earlier.size, now: signed.size }.into());
        }
        let asked = GetConsistencyProofRequest { old_size: earlier.size, new_size: signed.size };
        let proof = client.get_consistency_proof(asked).await.map_err(unread)?.into_inner().proof.unwrap_or_default();
        continues(earlier, signed, &hashes(&proof.hashes)?)?;
    }
    Ok(())
}

/// Has the newest leaves proven, each by itself, against the signed root.
async fn prove(
    client: &mut AuditServiceClient<Peer>,
    signed: &Checkpoint,
    newest: u32,
    read: impl Fn(u64),
) -> Result<(), Outcome> {
    let newest = Newest::of(signed, u64::from(newest));
    let Some(start_position) = newest.start() else { return Ok(()) };
    let limit = u32::try_from(signed.size - start_position).unwrap_or(PAGE);
    let page = client.list_leaves(ListLeavesRequest { start_position, limit }).await.map_err(unread)?.into_inner();
    for (number, leaf) in (1..).zip(newest.complete(&page.leaves)?) {
        let asked = GetInclusionProofRequest { leaf_index: leaf.position, tree_size: signed.size };
        let proof = client.get_inclusion_proof(asked).await.map_err(unread)?.into_inner().proof.unwrap_or_default();
        newest.proven(leaf, &hashes(&proof.hashes)?)?;
        read(number);
    }
    Ok(())
}

fn unread(status: tonic::Status) -> Outcome {
    Outcome::Unread(status.into())
}

fn hashes(proof: &[Vec<u8>]) -> Result<Vec<Hash>, Fault> {
    let whole = proof.iter().map(|hash| Hash::try_from(hash.as_slice())).collect::<Result<_, _>>();
    whole.map_err(|_| Fault::MalformedProof)
}

fn timeout_ms(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        Self::Faulty(fault)
    }
}

impl Saved {
    fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read the saved checkpoints {shown}: {error}")))?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::usage(format!("{shown} holds no saved checkpoints: {error}")))
    }

    /// The checkpoint kept of this log, which must have been signed by it.
    fn opened(&self, log: &AuditedLog) -> Result<Option<Checkpoint>, Failure> {
        let note = self.checkpoints.get(&log.service);
        let opened = note.map(|note| Checkpoint::open(note, &log.verifier)).transpose();
        opened.map_err(|error| {
            let service = &log.service;
            Failure::usage(format!(
                "the saved checkpoint of {service} is not one of the log that the profile pins: {error}"
            ))
        })
    }

    /// Replaces the file in one step, so that no half of it can take the place of what was kept.
    fn write(&self, path: &Path) -> Result<(), Failure> {
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::failed(format!("cannot save the checkpoints to {}: {error}", path.display()))
        };
        let text = serde_json::to_string_pretty(self).map_err(|error| cannot(&error))?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        fs::write(&beside, text + "\n").and_then(|()| fs::rename(&beside, path)).map_err(|error| cannot(&error))
    }
}

impl Outcome {
    const fn name(&self) -> &'static str {
        match self {
            Self::Verified => "ok",
            Self::NotSigned(_) => "NOT SIGNED",
            Self::Faulty(fault) => fault.name(),
            Self::Unread(_) => "not read",
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Verified => None,
            Self::NotSigned(error) => Some(error.to_string()),
            Self::Faulty(fault) => Some(fault.to_string()),
            Self::Unread(failure) => Some(failure.summary()),
        }
    }
}

fn document(reports: &[Report]) -> Value {
    let log = |report: &Report| {
        json!({
            "service": report.service,
            "origin": report.origin,
            "size": report.checkpoint.as_ref().map(|checkpoint| checkpoint.size.to_string()),
            "root": report.checkpoint.as_ref().map(|checkpoint| hex::encode(checkpoint.root)),
            "leaves_read": report.read.to_string(),
            "earlier_size": report.earlier.as_ref().map(|checkpoint| checkpoint.size.to_string()),
            "verified": matches!(report.outcome, Outcome::Verified),
            "result": report.outcome.name(),
            "fault": report.outcome.detail(),
            "checkpoint": report.note,
        })
    };
    json!({"logs": reports.iter().map(log).collect::<Vec<_>>()})
}

fn table(reports: &[Report], look: &Look) -> String {
    let mut rows = Rows::new(look, &["log", "leaves", "root", "continues", "result"]);
    for report in reports {
        let checkpoint = report.checkpoint.as_ref();
        let tone = match report.outcome {
            Outcome::Verified => Tone::Good,
            Outcome::Unread(_) => Tone::Wait,
            Outcome::NotSigned(_) | Outcome::Faulty(_) => Tone::Bad,
        };
        let detail = report.outcome.detail().map(|detail| format!("\n{}", safe(&detail))).unwrap_or_default();
        rows.row([
            plain(format!("{}\n{}", report.service, report.origin)),
            plain(checkpoint.map_or(NOTHING.to_owned(), |checkpoint| leaves(report.read, checkpoint.size))),
            plain(checkpoint.map_or(NOTHING.to_owned(), |checkpoint| hex::encode(checkpoint.root))),
            plain(report.earlier.as_ref().map_or(NOTHING.to_owned(), |earlier| counted_leaves(earlier.size))),
            (tone, format!("{}{detail}", report.outcome.name())),
        ]);
    }
    rows.print()
}

/// How many there are, and how many were read where that is not all.
fn leaves(read: u64, size: u64) -> String {
    if read == 0 || read == size { size.to_string() } else { format!("{size}\nnewest {read} read") }
}

fn counted_leaves(size: u64) -> String {
    if size == 1 { "1 leaf".to_owned() } else { format!("{size} leaves") }
}

/// What does not verify weighs more than what could not be read.
fn verdict(reports: Vec<Report>) -> Result<(), Failure> {
    let all = reports.len();
    let faulty =
        reports.iter().filter(|report| matches!(report.outcome, Outcome::NotSigned(_) | Outcome::Faulty(_))).count();
    if faulty > 0 {
        let what = format!("{faulty} of {} did not verify", counted(all, "log"));
        return Err(Failure::failed(what).hint(
            "Keep both checkpoints (--json prints what the log signed now): together they show it to a court. \
             Do not follow the log until its operator has explained.",
        ));
    }
    match reports.into_iter().find_map(|report| match report.outcome {
        Outcome::Unread(failure) => Some((report.service, failure)),
        _ => None,
    }) {
        Some((service, failure)) => Err(failure.hint(format!("The log of {service} was not checked."))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use haetae_seal::merkle::empty_root;

    use super::*;

    fn report(outcome: Outcome) -> Report {
        Report {
            service: "intake".into(),
            origin: "police.example/intake".into(),
            note: "note".into(),
            checkpoint: Some(Checkpoint { origin: "police.example/intake".into(), size: 9, root: empty_root() }),
            earlier: None,
            read: 9,
            outcome,
        }
    }

    fn unread() -> Outcome {
        Outcome::Unread(tonic::Status::unavailable("gone").into())
    }

    #[test]
    fn a_fork_stands_out_with_its_reason() {
        let text =
            table(&[report(Outcome::Verified), report(Outcome::Faulty(Fault::Forked { size: 4 }))], &Look::default());
        assert!(text.contains(&hex::encode(empty_root())), "{text}");
        let results: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert!(results.contains(&"ok") && results.contains(&"FORKED"), "{text}");
        assert!(text.contains("the log was forked: its first 4 leaves"), "{text}");
    }

    #[test]
    fn what_does_not_verify_weighs_more_than_what_could_not_be_read() {
        assert!(verdict(vec![report(Outcome::Verified)]).is_ok());
        let exit = |reports| verdict(reports).unwrap_err().exit_code();
        assert_eq!(exit(vec![report(Outcome::Verified), report(unread())]), 4);
        assert_eq!(exit(vec![report(unread()), report(Outcome::NotSigned(CheckpointError::NotSigned))]), 1);
    }

    #[test]
    fn saved_checkpoints_are_read_back_as_they_were_signed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen.json");
        let mut saved = Saved::default();
        saved.checkpoints.insert("intake".into(), "line\n\n— sig\n".into());
        saved.write(&path).unwrap();
        assert_eq!(Saved::read(&path).unwrap().checkpoints, saved.checkpoints);
        fs::write(&path, "{}").unwrap();
        assert_eq!(Saved::read(&path).unwrap_err().exit_code(), 2);
    }
}
