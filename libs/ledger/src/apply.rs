//! One transaction of a follower: lock the cursor, write the effects, move the cursor.

use std::collections::HashSet;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use futures::FutureExt;
use sqlx::postgres::PgTransaction;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::timeout;
use tracing::Instrument;

use crate::cursor::{Accepted, Followed, FollowedEntry, Standing};
use crate::handle::{HandleError, Handler};
use crate::log::Log;
use crate::metrics::METRICS;
use crate::parked;
use crate::sql::BEGIN;
use crate::stored::{self, StoredCursor, Trouble};
use crate::trace;

/// How long handling one entry may take.
const HANDLING: Duration = Duration::from_secs(30);

/// How many parked entries are tried again in one transaction.
const PARKED_AT_ONCE: u32 = 100;

/// Whether one entry's failure takes the others of the transaction with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// It does: the fast way, as long as nothing fails.
    Together,
    /// Each entry has a savepoint and a second attempt, and is parked if that fails as well.
    OneByOne,
}

/// What became of some entries of a batch.
pub(crate) enum Outcome {
    /// Their effects and the cursor are committed.
    Done,
    /// Another replica moved the cursor to here; nothing was done.
    Moved(Standing),
    /// Handling one of them failed; nothing was done.
    Failed { index: usize, error: HandleError },
}

/// What a follower needs to write effects.
pub(crate) struct Effects {
    pub(crate) follower: String,
    pub(crate) pool: PgPool,
    pub(crate) followed: Followed,
    pub(crate) handler: Arc<dyn Handler>,
    /// The service's own log, if the handler appends to it.
    pub(crate) log: Option<Log>,
}

impl Effects {
    /// Handles some entries of a batch, if the cursor still is where `stored` says.
    pub(crate) async fn apply(
        &self,
        stored: &Standing,
        batch: &Accepted,
        range: Range<usize>,
        care: Care,
    ) -> Result<Outcome, Trouble> {
        let mut tx = self.pool.begin_with(BEGIN).await?;
        let mut cursor = stored::lock(&mut tx, &self.follower, &self.followed).await?;
        if cursor.standing != *stored {
            return Ok(Outcome::Moved(cursor.standing));
        }
        let (mut parked, mut done): (HashSet<String>, u64) = (HashSet::new(), 0);
        if cursor.parked_subjects > 0 {
            parked.extend(parked::subjects(&mut tx, &self.follower).await?);
        }
        for (index, entry) in batch.entries.iter().enumerate().take(range.end) {
            if index < range.start || entry.is_erased() {
                continue;
            }
            if parked.contains(&entry.header.subject) {
                parked::park(&mut tx, &self.follower, entry, None).await?;
                continue;
            }
            let handled = match care {
                Care::Together => self.handle(&mut tx, entry).await,
                Care::OneByOne => self.handle_apart(&mut tx, entry).await,
            };
            match handled {
                Ok(()) => done += 1,
                Err(HandleError::Poison(error)) if care == Care::OneByOne => {
                    self.park(&mut tx, &mut cursor, entry, &error).await?;
                    parked.insert(entry.header.subject.clone());
                }
                Err(error) => return Ok(Outcome::Failed { index, error }),
            }
        }
        cursor.standing = batch.after_entries(range.end);
        if let Err(error) = stored::store(&mut tx, &self.follower, &cursor).await {
            return match HandleError::from(error) {
                // A handler went on after a failed statement, so its transaction cannot. One by one it shows which.
                error @ HandleError::Poison(_) if care == Care::Together => {
                    let index = range.start;
                    Ok(Outcome::Failed { index, error })
                }
                HandleError::Poison(error) | HandleError::Retry(error) => Err(Trouble::Unavailable(error)),
            };
        }
        self.commit(tx).await?;
        METRICS.handled(&self.follower, done);
        Ok(Outcome::Done)
    }

    /// Stores positions that were passed without an effect, if the cursor still is where `stored` says.
    pub(crate) async fn store_passed(&self, stored: &Standing, passed: &Standing) -> Result<Outcome, Trouble> {
        let mut tx = self.pool.begin_with(BEGIN).await?;
        let mut cursor = stored::lock(&mut tx, &self.follower, &self.followed).await?;
        if cursor.standing != *stored {
            return Ok(Outcome::Moved(cursor.standing));
        }
        cursor.standing = passed.clone();
        stored::store(&mut tx, &self.follower, &cursor).await?;
        tx.commit().await?;
        Ok(Outcome::Done)
    }

    /// Tries the entries of one parked subject again, in order, if an operator asked for it. The cursor's lock keeps
    /// newer entries of the subject out meanwhile.
    pub(crate) async fn retry_parked(&self) -> Result<(), Trouble> {
        let mut tx = self.pool.begin_with(BEGIN).await?;
        stored::lock(&mut tx, &self.follower, &self.followed).await?;
        let Some(subject) = parked::wanted_again(&mut tx, &self.follower).await? else {
            return Ok(());
        };
        let entries = parked::entries(&mut tx, &self.follower, &subject, PARKED_AT_ONCE + 1).await?;
        let complete = entries.len() <= PARKED_AT_ONCE as usize;
        for (wire, checkpoint) in entries.into_iter().take(PARKED_AT_ONCE as usize) {
            let (entry, _) = FollowedEntry::read(self.followed.log_id, wire, checkpoint.into())?;
            match self.handle_apart(&mut tx, &entry).await {
                Ok(()) => parked::handled(&mut tx, &self.follower, entry.position).await?,
                Err(HandleError::Poison(error)) => {
                    let error = format!("{error:#}");
                    parked::failed_again(&mut tx, &self.follower, &subject, entry.position, &error).await?;
                    return Ok(self.commit(tx).await?);
                }
                Err(HandleError::Retry(error)) => return Err(Trouble::Unavailable(error)),
            }
        }
        if complete {
            parked::release(&mut tx, &self.follower, &subject).await?;
        }
        Ok(self.commit(tx).await?)
    }

    async fn park(
        &self,
        tx: &mut PgConnection,
        cursor: &mut StoredCursor,
        entry: &FollowedEntry,
        error: &anyhow::Error,
    ) -> Result<(), sqlx::Error> {
        METRICS.poisoned(&self.follower);
        // What went wrong is stored beside the entry; it may hold what must not be logged.
        tracing::error!(
            follower = self.follower,
            position = entry.position,
            kind = entry.kind,
            "an entry cannot be handled; it is parked with its subject"
        );
        if parked::park(tx, &self.follower, entry, Some(&format!("{error:#}"))).await? {
            cursor.parked_subjects += 1;
        }
        Ok(())
    }

    /// Handles an entry under a savepoint, twice if need be: what a race with another transaction made fail, such as
    /// a unique constraint, does not fail again.
    async fn handle_apart(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        match self.handle_in_savepoint(tx, entry).await {
            Err(HandleError::Poison(_)) => self.handle_in_savepoint(tx, entry).await,
            other => other,
        }
    }

    async fn handle_in_savepoint(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        let mut savepoint = tx.begin().await?;
        match self.handle(&mut savepoint, entry).await {
            Ok(()) => Ok(savepoint.commit().await?),
            Err(error) => {
                savepoint.rollback().await?;
                Err(error)
            }
        }
    }

    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        let span = tracing::info_span!(
            "handle",
            otel.name = format!("handle {}", entry.kind),
            otel.kind = "consumer",
            messaging.system = "haetae.log",
            messaging.operation.name = "handle",
            messaging.operation.type = "process",
            messaging.consumer.group.name = self.follower,
            kind = entry.kind,
            position = entry.position,
        );
        trace::continue_from(&span, entry.traceparent());
        let work = AssertUnwindSafe(self.handler.handle(tx, entry)).catch_unwind();
        match timeout(HANDLING, work.instrument(span)).await {
            Ok(Ok(handled)) => handled,
            Ok(Err(_panic)) => Err(HandleError::Poison(anyhow!("the handler panicked"))),
            Err(_) => Err(HandleError::Retry(anyhow!("handling took longer than {} s", HANDLING.as_secs()))),
        }
    }

    async fn commit(&self, tx: PgTransaction<'_>) -> Result<(), sqlx::Error> {
        match &self.log {
            Some(log) => log.commit(tx).await,
            None => tx.commit().await,
        }
    }
}
