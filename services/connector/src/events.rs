//! The exchange's own log, brought over verbatim.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use haetae_core::{Event, EventContent, ExchangeId, LegId, Moment, micros};
use haetae_ledger::Log;
use haetae_mesh::Peer;
use haetae_wire::{
    exchange::v1::{FollowRequest, exchange_service_client::ExchangeServiceClient},
    keys::Keyring,
    signed::{open_event, order_identity},
};
use rand::Rng;
use tokio_util::sync::CancellationToken;

use crate::{
    db::{self, ExchangeCursor},
    delivery::{Pace, wait},
    facts,
    metrics::METRICS,
};

/// How the exchange is asked for its log again, after a stream that ended and after one that could not be read on.
const PACE: Pace = Pace { first: Duration::from_millis(500), slowest: Duration::from_secs(10) };

/// Reads the exchange's log from where it was left.
pub(crate) struct Events {
    /// The exchange.
    pub(crate) exchange: ExchangeId,
    /// Pinned keys.
    pub(crate) keyring: Arc<Keyring>,
    /// The connector's log.
    pub(crate) log: Log,
    /// The line to the exchange.
    pub(crate) peer: Peer,
}

/// Where an event stands against what has been stored.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// The next one.
    Next,
    /// Stored already, by this or another replica.
    Known,
    /// The first of a log that the exchange began anew.
    NewLog,
    /// It does not continue what is stored: something before it is missing, or it is of an epoch that is over.
    Gap,
}

fn place(cursor: &ExchangeCursor, event: &Event) -> Place {
    let (epoch, stored) = (cursor.epoch.unsigned_abs(), cursor.sequence.unsigned_abs());
    let same_log = cursor.log_id == event.log_id;
    match event.sequence {
        sequence if same_log && event.epoch == epoch && sequence <= stored => Place::Known,
        sequence if same_log && event.epoch == epoch && sequence == stored + 1 => Place::Next,
        // Epochs rise: an earlier one of the same log has been read as far as it counts.
        1 if !same_log || event.epoch > epoch => Place::NewLog,
        _ => Place::Gap,
    }
}

fn leg(event: &Event) -> Option<LegId> {
    match &event.content {
        EventContent::Report(report) => Some(report.leg),
        EventContent::SuspiciousActivity(_) => None,
    }
}

impl Events {
    /// Reads on until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut failures = 0_u32;
        while !cancel.is_cancelled() {
            let mut progress = false;
            let Some(read) = cancel.run_until_cancelled(self.read(&mut progress)).await else { break };
            failures = match read {
                Err(_) if !progress => failures.saturating_add(1),
                _ => 1,
            };
            if let Err(error) = read {
                tracing::info!(error = format!("{error:#}"), "the exchange's log cannot be read on now");
            }
            let pause = wait(PACE, failures, rand::rng().random());
            cancel.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        Ok(())
    }

    /// Until the stream ends, or cannot be read on. `progress` is set by what is stored.
    async fn read(&self, progress: &mut bool) -> anyhow::Result<()> {
        let cursor = db::exchange_cursor(self.log.pool()).await?;
        let request = FollowRequest {
            log_id: cursor.log_id,
            epoch: cursor.epoch.unsigned_abs(),
            after_sequence: cursor.sequence.unsigned_abs(),
        };
        let mut client = ExchangeServiceClient::new(self.peer.clone());
        let mut events = client.follow(request).await?.into_inner();
        while let Some(message) = events.next().await {
            let envelope = message?.event.map(|event| event.envelope).unwrap_or_default();
            *progress |= self.store(envelope).await?;
        }
        Ok(())
    }

    /// Stores one event, unless it is known. An error where what follows it cannot be stored either. What follows from
    /// it in the mesh is one trace.
    #[tracing::instrument(name = "exchange event", skip_all, fields(exchange = %self.exchange))]
    async fn store(&self, envelope: Vec<u8>) -> anyhow::Result<bool> {
        let now = micros(Moment::now_utc());
        let mut tx = self.log.begin().await?;
        let stored = db::lock_exchange_cursor(&mut tx).await?;
        let event = match open_event(&envelope, &self.keyring, &self.exchange) {
            Ok(event) => event,
            // Its sequence is as little to be believed as the rest; the cursor stays, so what follows is a gap until
            // the exchange mends it.
            Err(fault) => {
                let bytes = order_identity(&envelope);
                if db::refuse_event(&mut tx, &bytes).await? {
                    let fact = facts::invalid_statement(&self.exchange, None, fault.name(), bytes, now);
                    self.log.append(&mut tx, fact).await?;
                    self.log.commit(tx).await?;
                    METRICS.invalid(&self.exchange);
                }
                return Err(fault.into());
            }
        };
        match place(&stored, &event) {
            Place::Known => return Ok(false),
            Place::Gap => anyhow::bail!("it does not continue what is stored"),
            Place::NewLog if !stored.log_id.is_empty() => {
                tracing::warn!("the exchange began its log anew: it may have lost what it had taken in");
                METRICS.log_anew(&self.exchange);
                self.log.append(&mut tx, facts::log_anew(&self.exchange, &event.log_id, event.epoch, now)).await?;
            }
            Place::NewLog | Place::Next => {}
        }
        let leg = leg(&event);
        let to = ExchangeCursor {
            epoch: i64::try_from(event.epoch)?,
            sequence: i64::try_from(event.sequence)?,
            log_id: event.log_id,
        };
        db::move_exchange_cursor(&mut tx, &to).await?;
        self.log.append(&mut tx, facts::event(&self.exchange, leg, envelope, now)).await?;
        // Last, as everywhere: who holds this row waits for no other lock.
        db::answered_at(&mut tx, now).await?;
        self.log.commit(tx).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use haetae_core::{LegReport, LegState};
    use uuid::Uuid;

    use super::*;

    fn cursor(log_id: &str, epoch: i64, sequence: i64) -> ExchangeCursor {
        ExchangeCursor { log_id: log_id.into(), epoch, sequence }
    }

    fn found(stored: &ExchangeCursor, log_id: &str, epoch: u64, sequence: u64) -> Place {
        let report = LegReport {
            leg: LegId(Uuid::nil()),
            revision: std::num::NonZeroU32::MIN,
            order_sha256: [0; 32],
            state: LegState::Binding,
            frozen: None,
            refusal: None,
            confirmation: None,
            holder: None,
        };
        let event = Event {
            exchange: "upbit".parse().unwrap(),
            log_id: log_id.into(),
            epoch,
            sequence,
            at: Moment::UNIX_EPOCH,
            content: EventContent::Report(report),
        };
        place(stored, &event)
    }

    #[test]
    fn a_log_is_read_on_and_never_across_a_gap() {
        let stored = cursor("a", 1, 4);
        assert_eq!(found(&stored, "a", 1, 4), Place::Known);
        assert_eq!(found(&stored, "a", 1, 5), Place::Next);
        assert_eq!(found(&stored, "a", 1, 6), Place::Gap);
    }

    #[test]
    fn another_log_and_a_later_epoch_are_read_from_their_beginning() {
        let stored = cursor("a", 1, 4);
        assert_eq!(found(&cursor("", 0, 0), "a", 0, 1), Place::NewLog);
        for (log_id, epoch) in [("b", 0), ("b", 1), ("a", 2)] {
            assert_eq!(found(&stored, log_id, epoch, 1), Place::NewLog);
            assert_eq!(found(&stored, log_id, epoch, 5), Place::Gap);
        }
    }

    #[test]
    fn an_epoch_that_is_over_is_not_read_again() {
        assert_eq!(found(&cursor("a", 1, 4), "a", 0, 1), Place::Gap);
    }
}
