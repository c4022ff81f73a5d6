//! Sealing: committed entries get consecutive positions, leaves in the tree and a signed checkpoint.
//!
//! One transaction does all of it while holding the one head row, so at any time one sealing is under way, whichever
//! replica it is in. Positions follow the order of sealings, and of ids within a sealing. An entry whose transaction
//! commits late, after higher ids were sealed, is not lost: it is still unsealed, and gets a later position.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use haetae_seal::checkpoint::CheckpointError;
use haetae_seal::leaf::Leaf;
use haetae_seal::merkle::{Frontier, Hash, TreeError};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::log::{Log, sign};
use crate::metrics::METRICS;
use crate::sql::{BEGIN, int, uint};

/// The most entries of one sealing. Unfiltered streams hand out whole sealings, so this also bounds their batches; it
/// may grow, but not shrink below what was sealed already.
pub(crate) const SEALING_ENTRIES: usize = 100;

/// The most bytes of one sealing, unless its one entry is larger.
pub(crate) const SEALING_BYTES: usize = 1 << 20;

/// How often a sealer looks for entries, and for sealings, that nobody told it of. It looks for all of its process: streams
/// of followers only listen.
const POLL: Duration = Duration::from_millis(200);

/// How long one sealing may take, the wait for the head included.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why entries could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The stored tree is damaged.
    #[error("the stored tree is damaged: {0}")]
    Tree(#[from] TreeError),
    /// The checkpoint could not be signed.
    #[error(transparent)]
    Key(#[from] CheckpointError),
}

/// A sealing, once its transaction has committed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealing {
    size: u64,
    /// It was as large as one may be: more may be waiting.
    full: bool,
}

#[derive(sqlx::FromRow)]
struct Unsealed {
    id: i64,
    kind: String,
    version: i64,
    time: OffsetDateTime,
    commitment: Hash,
    bytes: i64,
}

impl Log {
    /// Seals what is committed and unsealed, up to the bound of one sealing, waiting for the head if it is taken.
    /// Returns the new size of the log, or nothing when there was nothing to seal.
    ///
    /// # Errors
    ///
    /// When the database fails or the stored tree is damaged; nothing is sealed then.
    pub async fn seal_once(&self) -> Result<Option<u64>, SealError> {
        Ok(self.seal_waiting().await?.map(|sealing| sealing.size))
    }

    async fn seal_waiting(&self) -> Result<Option<Sealing>, SealError> {
        let mut tx = self.0.pool.begin_with(BEGIN).await?;
        let head: Option<(i64, Vec<Hash>)> = sqlx::query_as(
            "select size, frontier from ledger.log_head
             where exists (select from ledger.entry where position is null)
             for update",
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some((size, frontier)) = head else {
            return Ok(None);
        };
        let sealing = self.seal_onto(&mut tx, uint(size), frontier).await?;
        tx.commit().await?;
        if let Some(sealing) = sealing {
            self.announce(sealing);
        }
        Ok(sealing)
    }

    /// Seals at the end of a caller's transaction, its own entries and others' committed ones, if the head is free.
    ///
    /// Not above READ COMMITTED, where a statement would not see what was sealed since the transaction began.
    pub(crate) async fn seal_if_free(&self, tx: &mut PgConnection) -> Result<Option<Sealing>, SealError> {
        let head: Option<(i64, Vec<Hash>)> = sqlx::query_as(
            "select size, frontier from ledger.log_head
             where exists (select from ledger.entry where position is null)
               and current_setting('transaction_isolation') = 'read committed'
             for update skip locked",
        )
        .fetch_optional(&mut *tx)
        .await?;
        match head {
            Some((size, frontier)) => self.seal_onto(tx, uint(size), frontier).await,
            None => Ok(None),
        }
    }

    /// Seals onto the head that the transaction holds. What is unsealed is read after the head was locked, in a
    /// statement of its own: a snapshot from before would show entries that another sealing has numbered since.
    async fn seal_onto(
        &self,
        tx: &mut PgConnection,
        size: u64,
        frontier: Vec<Hash>,
    ) -> Result<Option<Sealing>, SealError> {
        let begun = Instant::now();
        let entries: Vec<Unsealed> = sqlx::query_as(
            "select id, kind, version, time, commitment,
                    (octet_length(header) + octet_length(payload))::bigint as bytes
             from ledger.entry where position is null order by id limit $1",
        )
        .bind(int(SEALING_ENTRIES as u64))
        .fetch_all(&mut *tx)
        .await?;
        if entries.is_empty() {
            return Ok(None);
        }
        let mut grown = Grown::new(size, frontier)?;
        let mut bytes = 0;
        for entry in &entries {
            bytes += entry.bytes;
            if bytes > int(SEALING_BYTES as u64) && !grown.ids.is_empty() {
                break;
            }
            grown.push(entry);
        }
        let full = grown.ids.len() < entries.len() || entries.len() == SEALING_ENTRIES;
        let size = grown.frontier.size();
        self.write(tx, grown).await?;
        METRICS.sealing_took(&self.0.origin, begun.elapsed());
        Ok(Some(Sealing { size, full }))
    }

    async fn write(&self, tx: &mut PgConnection, grown: Grown) -> Result<(), SealError> {
        let (size, root) = (grown.frontier.size(), grown.frontier.root());
        let note = sign(&self.0.origin, size, root, &self.0.key)?;
        let numbered = int(grown.ids.len() as u64);
        let heads = sqlx::query(
            "with numbered as (
                update ledger.entry e set position = s.position
                from unnest($1::bigint[], $2::bigint[]) as s (id, position)
                where e.id = s.id and e.position is null
                returning 1
             ), nodes as (
                insert into ledger.node (level, index, hash)
                select * from unnest($3::smallint[], $4::bigint[], $5::bytea[])
             ), signed as (
                insert into ledger.checkpoint (size, note) values ($6, $7)
             )
             update ledger.log_head set size = $6, frontier = $8
             where (select count(*) from numbered) = $9",
        )
        .bind(grown.ids)
        .bind(grown.positions)
        .bind(grown.levels)
        .bind(grown.indexes)
        .bind(grown.hashes)
        .bind(int(size))
        .bind(note)
        .bind(grown.frontier.nodes())
        .bind(numbered)
        .execute(tx)
        .await?
        .rows_affected();
        if heads == 1 {
            Ok(())
        } else {
            // Only by meddling with the tables past the head's lock. The caller rolls back.
            Err(SealError::Database(sqlx::Error::RowNotFound))
        }
    }

    /// Tells of a sealing that has committed.
    pub(crate) fn announce(&self, sealing: Sealing) {
        METRICS.sealed(&self.0.origin, sealing.size);
        self.0.told.fetch_max(sealing.size, Ordering::Relaxed);
        self.0.doorbell.ring();
        if sealing.full {
            self.0.unsealed.notify_one();
        }
    }

    /// Looks once, for everyone in this process who follows the log: wakes them where another replica has sealed without
    /// their having heard of it, and tells whether anything waits to be sealed.
    async fn look(&self) -> Result<bool, sqlx::Error> {
        let (oldest, size): (Option<OffsetDateTime>, i64) = sqlx::query_as(
            "select (select time from ledger.entry where position is null order by id limit 1), size
             from ledger.log_head",
        )
        .fetch_one(&self.0.pool)
        .await?;
        let age = oldest.and_then(|time| Duration::try_from(OffsetDateTime::now_utc() - time).ok());
        METRICS.unsealed(&self.0.origin, age.unwrap_or_default());
        if self.0.told.fetch_max(uint(size), Ordering::Relaxed) < uint(size) {
            self.0.doorbell.wake();
        }
        Ok(oldest.is_some())
    }
}

/// A tree with leaves added, as columns of what is to be written.
struct Grown {
    frontier: Frontier,
    ids: Vec<i64>,
    positions: Vec<i64>,
    levels: Vec<i16>,
    indexes: Vec<i64>,
    hashes: Vec<Hash>,
}

impl Grown {
    fn new(size: u64, frontier: Vec<Hash>) -> Result<Self, TreeError> {
        Ok(Self {
            frontier: Frontier::from_nodes(size, frontier)?,
            ids: Vec::new(),
            positions: Vec::new(),
            levels: Vec::new(),
            indexes: Vec::new(),
            hashes: Vec::new(),
        })
    }

    fn push(&mut self, entry: &Unsealed) {
        let leaf = Leaf {
            kind: entry.kind.clone(),
            version: uint(entry.version),
            time_us: microseconds(entry.time),
            commitment: entry.commitment,
        };
        self.ids.push(entry.id);
        self.positions.push(int(self.frontier.size()));
        let mut nodes = Vec::new();
        self.frontier.push(leaf.hash(), &mut nodes);
        for (node, hash) in nodes {
            self.levels.push(i16::from(node.level));
            self.indexes.push(int(node.index));
            self.hashes.push(hash);
        }
    }
}

/// A time as a leaf holds it: microseconds since the Unix epoch.
pub(crate) fn microseconds(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1_000_000 + i64::from(time.microsecond())
}

/// Seals what appends could not seal in their own commit, and wakes this process's streams when the log has grown. Every
/// replica runs one; the head row keeps them apart.
#[derive(Debug)]
pub struct Sealer {
    log: Log,
}

impl Sealer {
    /// A sealer for this log.
    #[must_use]
    pub fn new(log: Log) -> Self {
        Self { log }
    }

    /// Seals until cancelled: when an append says so, and every 200 ms. A failure is logged and tried again.
    pub async fn run(self, cancel: CancellationToken) {
        let mut backoff = Backoff::new();
        while !cancel.is_cancelled() {
            match timeout(DEADLINE, self.seal_all()).await {
                Ok(Ok(())) => {
                    backoff.reset();
                    let woken = async {
                        // Polling is the other way to be woken.
                        let _ = timeout(POLL, self.log.0.unsealed.notified()).await;
                    };
                    cancel.run_until_cancelled(woken).await;
                }
                Ok(Err(error)) => {
                    tracing::error!(log = self.log.origin(), %error, "entries could not be sealed");
                    backoff.wait(&cancel).await;
                }
                Err(_) => {
                    tracing::error!(log = self.log.origin(), "sealing took too long");
                    backoff.wait(&cancel).await;
                }
            }
        }
    }

    async fn seal_all(&self) -> Result<(), SealError> {
        while self.log.look().await? {
            match self.log.seal_waiting().await? {
                Some(sealing) if sealing.full => {}
                _ => break,
            }
        }
        Ok(())
    }
}
