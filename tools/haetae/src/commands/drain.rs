//! `haetae drain`.

use std::time::Duration;

use haetae_wire::operations::v1::Replica;
use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Desk;
use crate::{args::Drain, client::Operations, failure::Failure, json};

/// How often it is looked whether it is gone; every look is recorded.
const LOOK: Duration = Duration::from_secs(2);

pub(super) async fn run(desk: &Desk, args: Drain) -> Result<(), Failure> {
    let mut operations = desk.operations()?;
    let id = args.request_id.unwrap_or_else(Uuid::new_v4);
    let Drain { service, replica, wait, .. } = &args;
    let asked = operations.drain(id.to_string(), service, replica).await.map_err(|failure| {
        let failure = failure.repeat_with(id);
        if failure.is_not_found() { failure.hint("`haetae status` names the replicas.") } else { failure }
    })?;
    let gone = is_gone(&mut operations, service, &asked, *wait).await?;
    if !gone && !wait.is_zero() {
        return Err(Failure::out_of_time(format!("{service} {replica} was told to go down, and is still there"))
            .hint("It finishes the work in hand first. Look again with: haetae status"));
    }
    let text = if gone { "It finished its work and is gone." } else { "Asked for and recorded." };
    desk.out.print(|| Ok(json!({ "gone": gone, "replica": json::of(&asked)? })), |_| format!("{text}\n"))
}

/// Whether it is gone, or another of its name has come. Intake itself may be away for a moment.
async fn is_gone(
    operations: &mut Operations,
    service: &str,
    replica: &Replica,
    wait: Duration,
) -> Result<bool, Failure> {
    let deadline = Instant::now() + wait;
    while Instant::now() < deadline {
        sleep(LOOK.min(wait)).await;
        let status = match operations.status().await {
            Ok(status) => status,
            Err(failure) if failure.is_unavailable() => continue,
            Err(failure) => return Err(failure),
        };
        let report = status.services.into_iter().find(|report| report.service == service);
        let Some(status) = report.and_then(|report| report.status) else { continue };
        let same = |other: &Replica| other.name == replica.name && other.started_at == replica.started_at;
        if !status.replicas.iter().any(same) {
            return Ok(true);
        }
    }
    Ok(false)
}
