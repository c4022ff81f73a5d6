//! `haetae request follow`: a stream that goes on over restarts and lost connections.

use std::time::Duration;

use haetae_wire::{
    connector::v1::OrderOverdue,
    freeze::v1::{Unserved, UnservedReason},
    intake::v1::{FollowUpdatesResponse, follow_updates_response::Update},
};
use tokio::{
    signal::ctrl_c,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{Desk, confirm, freeze, request, watch};
use crate::{
    client::Intake,
    failure::Failure,
    json,
    show::{Look, Tone, or_nothing, safe, time, words},
    trail,
};

/// How long to wait before connecting again, failure by failure; after the last one the command fails.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

pub(super) async fn follow(
    desk: &Desk,
    request_id: Option<Uuid>,
    after: String,
    period: Option<Duration>,
) -> Result<(), Failure> {
    let mut intake = desk.intake()?;
    intake.purpose()?;
    let request_id = request_id.map(|id| id.to_string()).unwrap_or_default();
    let mut cursor = after;
    let following = read(desk, &mut intake, &request_id, &mut cursor);
    let ended = match period {
        Some(period) => timeout(period, interruptible(following)).await.unwrap_or(Ok(())),
        None => interruptible(following).await,
    };
    match ended {
        Ok(()) if cursor.is_empty() => Ok(()),
        Ok(()) => {
            desk.out.note(&go_on(&cursor));
            Ok(())
        }
        Err(failure) if cursor.is_empty() => Err(failure),
        Err(failure) => Err(failure.hint(go_on(&cursor))),
    }
}

/// To be interrupted is how following ends.
async fn interruptible(following: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::select! {
        ended = following => ended,
        _ = ctrl_c() => Ok(()),
    }
}

fn go_on(cursor: &str) -> String {
    format!("Go on with: haetae request follow --after {cursor}")
}

/// Reads until something fails that waiting does not mend. The cursor is that of the last update printed.
async fn read(desk: &Desk, intake: &mut Intake, request_id: &str, cursor: &mut String) -> Result<(), Failure> {
    let mut failed = 0;
    loop {
        let failure = match intake.follow(cursor.clone(), request_id.to_owned()).await {
            Err(failure) => failure,
            Ok(mut updates) => loop {
                match updates.message().await {
                    Ok(Some(update)) => {
                        failed = 0;
                        desk.out.print_line(|| json::of(&update), |look| line(&update, look))?;
                        *cursor = update.cursor;
                    }
                    // Servers end streams when they are replaced; another replica goes on.
                    Ok(None) => break Failure::out_of_time("intake keeps ending the stream"),
                    Err(status) => break status.into(),
                }
            },
        };
        match PAUSES.get(failed) {
            Some(pause) if failure.is_unavailable() => sleep(*pause).await,
            _ => return Err(failure),
        }
        failed += 1;
    }
}

fn line(update: &FollowUpdatesResponse, look: &Look) -> String {
    let what = match &update.update {
        Some(Update::Request(request)) => request::line(request, look),
        Some(Update::Watch(watch)) => watch::line(watch, look),
        Some(Update::Trail(item)) => trail::line(item, look),
        Some(Update::Confirmation(line)) => confirm::line(line, look),
        Some(Update::Leg(leg)) => freeze::line(leg, look),
        Some(Update::Unserved(unserved)) => not_frozen(unserved, look),
        Some(Update::Overdue(overdue)) => not_answered(overdue, look),
        None => "(newer than this program)".to_owned(),
    };
    format!("{}  {}  {what}", time(update.time.as_ref()), or_nothing(&update.request_id))
}

fn not_frozen(unserved: &Unserved, look: &Look) -> String {
    let reason = words(unserved.reason, UnservedReason::as_str_name, "UNSERVED_REASON_");
    let what = look.toned(Tone::Bad, &format!("NOT FROZEN: {reason}"));
    format!("arrival {} at {}: {what}", safe(&unserved.arrival_id), safe(&unserved.exchange))
}

fn not_answered(overdue: &OrderOverdue, look: &Look) -> String {
    let leg = safe(&overdue.leg_id);
    let what = look.toned(Tone::Bad, "NO ANSWER in the time that the exchange declares");
    let again = match overdue.reminders {
        0 => String::new(),
        reminders => format!(", reminder {reminders}"),
    };
    format!(
        "leg {leg} at {}, revision {}: {what}{again}, since {}; call it and hand over `haetae freeze order {leg}`",
        safe(&overdue.exchange),
        overdue.revision,
        time(overdue.since.as_ref())
    )
}

#[cfg(test)]
mod tests {
    use haetae_wire::tracking::v1::{Answer, ConfirmationLine};
    use prost_types::Timestamp;

    use super::*;

    fn shown(update: Update) -> String {
        let time = Some(Timestamp { seconds: 1_790_000_000, nanos: 0 });
        let update =
            FollowUpdatesResponse { cursor: "c".into(), time, request_id: "0d1c".into(), update: Some(update) };
        line(&update, &Look::default())
    }

    #[test]
    fn an_update_is_one_line_with_its_time_and_request() {
        let answer =
            ConfirmationLine { exchange: "upbit".into(), answer: Answer::NotHeld.into(), ..Default::default() };
        assert_eq!(shown(Update::Confirmation(answer)), "2026-09-21 14:13:20Z  0d1c  upbit about : NOT_HELD");
    }

    #[test]
    fn an_arrival_that_is_not_frozen_cannot_be_overlooked() {
        let unserved = Unserved {
            arrival_id: "a1".into(),
            exchange: "upbit".into(),
            reason: UnservedReason::CapExhausted.into(),
            ..Default::default()
        };
        assert!(shown(Update::Unserved(unserved)).ends_with("arrival a1 at upbit: NOT FROZEN: cap exhausted"));
    }

    #[test]
    fn an_order_without_an_answer_says_what_a_person_has_to_do() {
        let overdue = OrderOverdue {
            exchange: "upbit".into(),
            leg_id: "1b2e".into(),
            revision: 2,
            since: Some(Timestamp { seconds: 1_790_000_000, nanos: 0 }),
            reminders: 3,
            ..Default::default()
        };
        assert!(shown(Update::Overdue(overdue)).ends_with(
            "leg 1b2e at upbit, revision 2: NO ANSWER in the time that the exchange declares, reminder 3, \
                 since 2026-09-21 14:13:20Z; call it and hand over `haetae freeze order 1b2e`"
        ));
    }
}
