//! Handing out the log: sealed entries only, in batches that can be verified by themselves.
//!
//! An unfiltered batch is one or more whole sealings with the checkpoint of the last, so its receiver can recompute the
//! root before it acts. A filtered batch carries proofs under the newest checkpoint instead.

use std::collections::HashSet;
use std::time::Duration;

use async_stream::try_stream;
use futures::Stream;
use haetae_seal::merkle::{ConsistencyPlan, InclusionPlan};
use haetae_wire::log::v1::{Batch, Cursor};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::log::{Head, Log};
use crate::read::{ReadError, SealedRow};
use crate::seal::{SEALING_BYTES, SEALING_ENTRIES};
use crate::sql::{int, uint};

/// How often a stream looks without being woken. The process's sealer looks much more often, once for all of its streams;
/// this is for a process whose sealer is in trouble.
const POLL: Duration = Duration::from_secs(2);

/// How often a filtered stream tells that the log has grown by entries for others.
const SKIP_NOTICE: Duration = Duration::from_secs(1);

/// Whose entries a stream shows. Derived from the caller's identity, never from its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every entry, for services.
    Everything,
    /// Only entries addressed to this exchange, for its connector.
    Exchange(String),
}

/// Why a stream ended or was refused.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The cursor is of another log.
    #[error("the cursor is of another log")]
    AnotherLog,
    /// The cursor is ahead of the log: seen from the follower, the log was rolled back.
    #[error("the cursor is ahead of the log, which has {size} entries")]
    Ahead {
        /// Entries in the log.
        size: u64,
    },
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<sqlx::Error> for FollowError {
    fn from(error: sqlx::Error) -> Self {
        Self::Read(error.into())
    }
}

/// Domain of the reasons in `ErrorInfo`.
pub(crate) const DOMAIN: &str = "haetae";
/// Reason for [`FollowError::AnotherLog`].
pub(crate) const LOG_MISMATCH: &str = "LOG_MISMATCH";
/// Reason for [`FollowError::Ahead`].
pub(crate) const CURSOR_AHEAD: &str = "CURSOR_AHEAD";

impl From<FollowError> for Status {
    fn from(error: FollowError) -> Self {
        let refused = |reason: &str| {
            let details = ErrorDetails::with_error_info(reason, DOMAIN, []);
            Status::with_error_details(Code::FailedPrecondition, error.to_string(), details)
        };
        match error {
            FollowError::AnotherLog => refused(LOG_MISMATCH),
            FollowError::Ahead { .. } => refused(CURSOR_AHEAD),
            FollowError::Read(error) => error.into(),
        }
    }
}

impl From<ReadError> for Status {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Beyond(what) => Status::out_of_range(what),
            ReadError::Tree(_) => Status::data_loss("the log's stored tree is damaged"),
            // What the database says may hold more than a caller should see.
            ReadError::Database(_) => Status::unavailable("the log cannot be read now"),
        }
    }
}

/// Where a stream stands.
#[derive(Clone, Copy)]
struct Place {
    next_position: u64,
    verified_size: u64,
}

impl Log {
    /// Sealed entries from a cursor on, and on and on: the stream ends when it fails or the log drains, and can then be
    /// resumed. Whoever may see what is decided by the caller, and said in `audience`.
    ///
    /// # Errors
    ///
    /// The stream ends with [`FollowError`] if the cursor is not of this log or ahead of it, now or later.
    pub fn follow(
        &self,
        audience: Audience,
        cursor: Cursor,
    ) -> impl Stream<Item = Result<Batch, FollowError>> + Send + use<> {
        let log = self.clone();
        try_stream! {
            if !cursor.log_id.is_empty() && cursor.log_id != log.id().to_string() {
                Err(FollowError::AnotherLog)?;
            }
            let mut place = Place {
                next_position: cursor.next_position,
                verified_size: cursor.verified_size,
            };
            let mut grown = log.0.doorbell.listen();
            let mut skip_notice = Instant::now();
            while !log.0.drain.is_cancelled() {
                // Before reading: what grows from here on wakes.
                grown.mark_unchanged();
                let head = log.head().await?;
                let behind = place.next_position < head.size;
                if place.next_position > head.size || place.verified_size > head.size {
                    Err(FollowError::Ahead { size: head.size })?;
                }
                let batch = match &audience {
                    _ if head.size == place.next_position && head.size == place.verified_size => None,
                    Audience::Everything => log.whole_sealings(place).await?,
                    Audience::Exchange(exchange) => {
                        let tell_skipped = skip_notice <= Instant::now();
                        log.addressed(exchange, place, head, tell_skipped).await?
                    }
                };
                match batch {
                    Some(batch) => {
                        skip_notice = Instant::now() + SKIP_NOTICE;
                        place.next_position = batch.next_position;
                        place.verified_size = batch
                            .consistency
                            .as_ref()
                            .map_or(batch.next_position, |proof| proof.new_size);
                        yield batch;
                    }
                    None => {
                        // What is for others only is told in its time, unless something wakes before.
                        let woken = timeout(if behind { SKIP_NOTICE } else { POLL }, grown.changed());
                        let _ = log.0.drain.run_until_cancelled(woken).await;
                    }
                }
            }
        }
    }

    /// The next whole sealings, as many as fit a batch and at least one.
    async fn whole_sealings(&self, place: Place) -> Result<Option<Batch>, FollowError> {
        let rows: Vec<WholeRow> = sqlx::query_as(
            "select position, kind, version, time, header, payload, salt, commitment, traceparent, note
             from ledger.entry left join ledger.checkpoint on size = position + 1
             where position >= $1 order by position limit $2",
        )
        .bind(int(place.next_position))
        .bind(int(SEALING_ENTRIES as u64))
        .fetch_all(&self.0.pool)
        .await?;

        let mut bytes = 0;
        let mut last = None;
        for (index, row) in rows.iter().enumerate() {
            bytes += row.entry.bytes();
            if bytes > SEALING_BYTES && last.is_some() {
                break;
            }
            if let Some(checkpoint) = &row.note {
                last = Some((index + 1, checkpoint.clone()));
            }
        }
        Ok(last.map(|(count, checkpoint)| Batch {
            log_id: self.id().to_string(),
            entries: rows.into_iter().take(count).map(|row| row.entry.into_entry(None)).collect(),
            next_position: place.next_position + count as u64,
            checkpoint,
            consistency: None,
            unfiltered: true,
        }))
    }

    /// The next entries for one exchange, proven under `head`, and the position up to which there are no others. None
    /// when there are no entries at all, unless that is to be told.
    async fn addressed(
        &self,
        exchange: &str,
        place: Place,
        head: Head,
        tell_skipped: bool,
    ) -> Result<Option<Batch>, FollowError> {
        let mut rows: Vec<SealedRow> = sqlx::query_as(
            "select position, kind, version, time, header, payload, salt, commitment, traceparent
             from ledger.entry
             where audience = $1 and position >= $2 and position < $3
             order by position limit $4",
        )
        .bind(exchange)
        .bind(int(place.next_position))
        .bind(int(head.size))
        .bind(int(SEALING_ENTRIES as u64))
        .fetch_all(&self.0.pool)
        .await?;
        if rows.is_empty() && !tell_skipped {
            return Ok(None);
        }
        let mut bytes = 0;
        let fitting = rows
            .iter()
            .take_while(|row| {
                let first = bytes == 0;
                bytes += row.bytes();
                first || bytes <= SEALING_BYTES
            })
            .count();
        let complete = fitting == rows.len() && rows.len() < SEALING_ENTRIES;
        rows.truncate(fitting);
        let next_position = match rows.last() {
            Some(last) if !complete => uint(last.position) + 1,
            _ => head.size,
        };

        let continues = ConsistencyPlan::new(place.verified_size, head.size).map_err(ReadError::from)?;
        let plans = rows
            .iter()
            .map(|row| InclusionPlan::new(uint(row.position), head.size))
            .collect::<Result<Vec<_>, _>>()
            .map_err(ReadError::from)?;
        let wanted = plans.iter().flat_map(InclusionPlan::nodes).chain(continues.nodes());
        let nodes = self.nodes(wanted.copied().collect::<HashSet<_>>()).await?;
        let mut entries = Vec::with_capacity(rows.len());
        for (row, plan) in rows.into_iter().zip(&plans) {
            let proof = nodes.inclusion(plan, uint(row.position), head.size)?;
            entries.push(row.into_entry(Some(proof)));
        }
        Ok(Some(Batch {
            log_id: self.id().to_string(),
            entries,
            next_position,
            consistency: Some(nodes.consistency(&continues, place.verified_size, head.size)?),
            checkpoint: head.checkpoint,
            unfiltered: false,
        }))
    }
}

/// An entry, with the checkpoint if it ends a sealing.
#[derive(sqlx::FromRow)]
struct WholeRow {
    #[sqlx(flatten)]
    entry: SealedRow,
    note: Option<String>,
}
