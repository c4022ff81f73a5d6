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
use tokio_util::sync::CancellationToken;

use crate::{
    db::{self, ExchangeCursor},
    facts,
};

/// How long to wait before the exchange is asked for its log again.
const AGAIN: Duration = Duration::from_millis(500);

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
    /// Something before it is missing.
    Gap,
}

fn place(cursor: &ExchangeCursor, event: &Event) -> Place {
    let same_log = cursor.log_id == event.log_id && cursor.epoch.unsigned_abs() == event.epoch;
    let sequence = event.sequence;
    match cursor.sequence.unsigned_abs() {
        stored if same_log && sequence <= stored => Place::Known,
        stored if same_log && sequence == stored + 1 => Place::Next,
        _ if !same_log && sequence == 1 => Place::NewLog,
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
        while !cancel.is_cancelled() {
            if let Some(Err(error)) = cancel.run_until_cancelled(self.read()).await {
                tracing::debug!(error = format!("{error:#}"), "the exchange's log cannot be read now");
            }
            cancel.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
        }
        Ok(())
    }

    /// Until the stream ends, or it is better to begin from the cursor again.
    async fn read(&self) -> anyhow::Result<()> {
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
            if !self.store(envelope).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Stores one event. False where the stream is to be asked for anew.
    async fn store(&self, envelope: Vec<u8>) -> anyhow::Result<bool> {
        let now = micros(Moment::now_utc());
        let mut tx = self.log.begin().await?;
        let stored = db::lock_exchange_cursor(&mut tx).await?;
        let goes_on = match open_event(&envelope, &self.keyring, &self.exchange) {
            Ok(event) => match place(&stored, &event) {
                Place::Known => return Ok(true),
                Place::Gap => {
                    tracing::warn!("the exchange's log has a gap");
                    return Ok(false);
                }
                found @ (Place::Next | Place::NewLog) => {
                    if found == Place::NewLog && !stored.log_id.is_empty() {
                        tracing::warn!("the exchange began its log anew");
                    }
                    let to = ExchangeCursor {
                        log_id: event.log_id.clone(),
                        epoch: i64::try_from(event.epoch)?,
                        sequence: i64::try_from(event.sequence)?,
                    };
                    db::move_exchange_cursor(&mut tx, &to).await?;
                    db::answered_at(&mut tx, now).await?;
                    let leg = leg(&event);
                    self.log.append(&mut tx, facts::event(&self.exchange, leg, envelope, now)).await?;
                    true
                }
            },
            // Its sequence is as little to be believed as the rest; the cursor stays, so what follows is a gap until
            // the exchange mends it.
            Err(fault) => {
                let bytes = order_identity(&envelope);
                let fact = facts::invalid_statement(&self.exchange, None, fault.name(), bytes, now);
                self.log.append(&mut tx, fact).await?;
                false
            }
        };
        self.log.commit(tx).await?;
        Ok(goes_on)
    }
}
