//! `haetae parked`: entries that a service could not handle, and trying them again.

use std::time::Duration;

use haetae_wire::operations::v1::{ListParkedResponse, ParkedEntry};
use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Desk;
use crate::{
    args::{ParkedCommand, Retry},
    client::Operations,
    failure::Failure,
    json,
    show::{Look, Tone, safe, time},
    table::{Rows, plain},
};

/// How often it is looked what became of it; every look is recorded.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn run(desk: &Desk, command: ParkedCommand) -> Result<(), Failure> {
    match command {
        ParkedCommand::List { service } => list(desk, service).await,
        ParkedCommand::Retry(args) => retry(desk, args).await,
    }
}

async fn list(desk: &Desk, service: Option<String>) -> Result<(), Failure> {
    let parked = desk.operations()?.parked(service.as_deref().unwrap_or_default()).await?;
    desk.out.print(|| json::of(&parked), |look| text(&parked, look))?;
    if parked.unreachable.is_empty() {
        return Ok(());
    }
    let silent = parked.unreachable.iter().map(|service| safe(service)).collect::<Vec<_>>().join(", ");
    Err(Failure::out_of_time(format!("not everything is listed: no answer from {silent}")))
}

fn text(list: &ListParkedResponse, look: &Look) -> String {
    if list.parked.is_empty() {
        return format!("{}\n", look.toned(Tone::Good, "Nothing is parked."));
    }
    let mut rows = Rows::new(look, &["service", "id", "fact", "concerns", "parked", "tries", "waiting"]);
    for entry in &list.parked {
        let again = if entry.retrying { " (again)" } else { "" };
        rows.row([
            plain(safe(&entry.service)),
            (Tone::Bad, safe(&entry.parked_id)),
            plain(safe(&entry.kind)),
            plain(format!("{}\n{}", safe(&entry.subject), safe(&entry.stream))),
            plain(time(entry.since.as_ref())),
            plain(format!("{}{again}", entry.tries)),
            plain(entry.waiting.to_string()),
        ]);
    }
    let mut text = rows.print();
    for entry in &list.parked {
        text.push_str(&format!("{} {}: {}\n", safe(&entry.service), safe(&entry.parked_id), safe(&entry.error)));
    }
    text.push_str("Mend the cause, then: haetae parked retry SERVICE ID\n");
    text
}

/// What became of a retry.
enum Outcome {
    /// It is not parked any more.
    Handled,
    /// It could not be handled again.
    FailedAgain(Box<ParkedEntry>),
    /// It was asked for; more is not known yet.
    Asked,
}

async fn retry(desk: &Desk, args: Retry) -> Result<(), Failure> {
    let mut operations = desk.operations()?;
    let id = args.request_id.unwrap_or_else(Uuid::new_v4);
    let (service, parked_id) = (&args.service, &args.id);
    let asked = operations.retry(id.to_string(), service, parked_id).await.map_err(|failure| {
        let failure = failure.repeat_with(id);
        if failure.is_not_found() { failure.hint("`haetae parked list` names what is parked.") } else { failure }
    })?;
    let outcome = outcome(&mut operations, &asked, args.wait).await?;
    let (word, now) = match &outcome {
        Outcome::Handled => ("handled", None),
        Outcome::FailedAgain(now) => ("failed-again", Some(now.as_ref())),
        Outcome::Asked => ("asked", None),
    };
    let parked = now.unwrap_or(&asked);
    let document = || Ok(json!({ "outcome": word, "parked": json::of(parked)? }));
    let waited = match asked.waiting {
        0 => String::new(),
        waiting => format!(", and {} that waited behind it", waiting),
    };
    match &outcome {
        Outcome::Handled => desk.out.print(document, |_| format!("Handled: {service} {parked_id}{waited}.\n")),
        Outcome::Asked if args.wait.is_zero() => desk.out.print(document, |_| "Asked for and recorded.\n".to_owned()),
        Outcome::Asked => Err(Failure::out_of_time("it was asked for and recorded, and has not been tried yet")
            .hint(format!("Look again with: haetae parked list --service {service}"))),
        Outcome::FailedAgain(now) => {
            Err(Failure::failed(format!("it failed again, for the {}. time: {}", now.tries, safe(&now.error)))
                .hint("It stays parked, and what waits behind it waits on. Mend the cause first."))
        }
    }
}

async fn outcome(operations: &mut Operations, asked: &ParkedEntry, wait: Duration) -> Result<Outcome, Failure> {
    let deadline = Instant::now() + wait;
    loop {
        if Instant::now() >= deadline {
            return Ok(Outcome::Asked);
        }
        sleep(LOOK.min(wait)).await;
        let list = match operations.parked(&asked.service).await {
            Ok(list) if list.unreachable.is_empty() => list,
            Ok(_) => continue,
            Err(failure) if failure.is_unavailable() => continue,
            Err(failure) => return Err(failure),
        };
        match list.parked.into_iter().find(|entry| entry.parked_id == asked.parked_id) {
            None => return Ok(Outcome::Handled),
            Some(now) if now.tries > asked.tries && !now.retrying => return Ok(Outcome::FailedAgain(Box::new(now))),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_entry_is_shown_with_what_a_retry_needs_and_why_it_failed() {
        let entry = ParkedEntry {
            service: "freeze".into(),
            parked_id: "tracking@57".into(),
            kind: "arrival".into(),
            subject: "case/knp/#a1b2c3d4".into(),
            error: "not signed by a pinned key".into(),
            tries: 2,
            waiting: 4,
            ..ParkedEntry::default()
        };
        let text = text(&ListParkedResponse { parked: vec![entry], unreachable: Vec::new() }, &Look::default());
        for part in ["tracking@57", "case/knp/#a1b2c3d4", "freeze tracking@57: not signed by a pinned key"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
