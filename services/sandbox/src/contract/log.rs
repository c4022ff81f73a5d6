//! The exchange's own log: signed events, numbered without gaps.

use std::sync::Arc;
use std::time::Duration;

use haetae_core::{Event, EventContent, LegReport, Moment};
use sqlx::{PgConnection, PgPool, PgTransaction};
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::db;
use super::signer::Signer;

/// How often a stream looks for events that another replica has written.
const POLL: Duration = Duration::from_millis(200);

/// How many events are read at once.
const BATCH: i64 = 100;

/// The log, opened at one epoch. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct EventLog {
    pool: PgPool,
    signer: Arc<Signer>,
    id: Uuid,
    epoch: i64,
    grown: watch::Sender<()>,
}

/// Why the log is not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// An earlier epoch cannot come back: its sequences have been given to other events.
    #[error("the log is in epoch {stored} already, configured is {configured}")]
    EarlierEpoch { stored: i64, configured: i64 },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl EventLog {
    /// Opens the log of this database, beginning it, or a new epoch of it, where there is none.
    pub(crate) async fn open(pool: PgPool, signer: Arc<Signer>, epoch: u32) -> Result<Self, OpenError> {
        let configured = i64::from(epoch);
        let head = db::open_log(&pool, configured).await?;
        if head.epoch != configured {
            return Err(OpenError::EarlierEpoch { stored: head.epoch, configured });
        }
        Ok(Self { pool, signer, id: head.log_id, epoch: configured, grown: watch::Sender::new(()) })
    }

    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.unsigned_abs()
    }

    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The sequence of the newest event; 0 for none.
    pub(super) async fn last_sequence(&self) -> Result<u64, sqlx::Error> {
        Ok(db::log_head(&self.pool).await?.last_sequence.unsigned_abs())
    }

    /// Writes an event about a leg. From here to the end of the transaction nobody else writes one, so it comes last.
    pub(super) async fn append(&self, tx: &mut PgConnection, report: LegReport, at: Moment) -> Result<(), sqlx::Error> {
        let head = db::next_sequence(tx).await?;
        let event = Event {
            exchange: self.signer.exchange().clone(),
            log_id: head.log_id.to_string(),
            epoch: head.epoch.unsigned_abs(),
            sequence: head.last_sequence.unsigned_abs(),
            at,
            content: EventContent::Report(report),
        };
        db::insert_event(tx, head.epoch, head.last_sequence, &self.signer.event(&event)).await
    }

    /// Commits a transaction that may have appended, and wakes those who follow.
    pub(super) async fn commit(&self, tx: PgTransaction<'_>) -> Result<(), sqlx::Error> {
        tx.commit().await?;
        self.grown.send_replace(());
        Ok(())
    }

    /// A reader of what comes after a sequence.
    pub(super) fn reader(&self, after: u64) -> Reader {
        Reader { log: self.clone(), grown: self.grown.subscribe(), after: i64::try_from(after).unwrap_or(i64::MAX) }
    }
}

/// Reads the log on and on.
pub(super) struct Reader {
    log: EventLog,
    grown: watch::Receiver<()>,
    after: i64,
}

impl Reader {
    /// The next events' envelopes: at least one, waiting for it as long as it takes.
    pub(super) async fn next(&mut self) -> Result<Vec<Vec<u8>>, sqlx::Error> {
        loop {
            // Marked as seen before reading: what grows meanwhile wakes the wait below.
            self.grown.mark_unchanged();
            let events = db::events_after(&self.log.pool, self.log.epoch, self.after, BATCH).await?;
            if let Some((last, _)) = events.last() {
                self.after = *last;
                return Ok(events.into_iter().map(|(_, envelope)| envelope).collect());
            }
            // The sender lives in the log that this reader holds; polling is the other way to be woken.
            let _ = timeout(POLL, self.grown.changed()).await;
        }
    }
}
