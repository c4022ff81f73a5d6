//! One service's log.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use haetae_seal::checkpoint::{Checkpoint, CheckpointError, LogKey, LogVerifier, log_id};
use haetae_seal::merkle::{Hash, empty_root};
use sqlx::postgres::PgTransaction;
use sqlx::{PgConnection, PgPool};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::doorbell::Doorbell;
use crate::read::ReadError;
use crate::seal::SealError;
use crate::sql::{BEGIN, uint};

/// What a log is made from.
#[derive(Debug)]
pub struct LogConfig {
    /// The log's name, such as `police.example/freeze`: checkpoint origin, and through its UUIDv5 the log's id.
    pub origin: String,
    /// The key that signs its checkpoints.
    pub key: LogKey,
    /// When cancelled, streams of followers end; they can be resumed elsewhere.
    pub drain: CancellationToken,
}

/// A service's log in its own database. Cheap to clone.
#[derive(Clone)]
pub struct Log(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) pool: PgPool,
    pub(crate) origin: String,
    pub(crate) log_id: Uuid,
    pub(crate) key: LogKey,
    pub(crate) verifier: LogVerifier,
    pub(crate) doorbell: Doorbell,
    pub(crate) drain: CancellationToken,
    /// Wakes this process's sealer when an append could not seal by itself.
    pub(crate) unsealed: Notify,
    /// The largest size of which this process's streams have heard.
    pub(crate) told: AtomicU64,
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database holds the log of another origin.
    #[error("this database holds the log {found}, not {expected}")]
    AnotherLog {
        /// The log of the configured origin.
        expected: Uuid,
        /// The log in the database.
        found: Uuid,
    },
    /// The newest checkpoint was not signed by the configured key, or not for this tree.
    #[error("the newest checkpoint of the log does not hold: {0}")]
    Checkpoint(&'static str),
    /// The origin cannot name a log, or the newest checkpoint is not signed by the configured key.
    #[error(transparent)]
    Key(#[from] CheckpointError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The stored tree is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Log {
    /// Opens the log in this database, beginning it when there is none.
    ///
    /// # Errors
    ///
    /// When the database holds another log, or one whose newest checkpoint is not by this key: sealing on under another
    /// key would look like a fork to everyone who follows.
    pub async fn open(pool: PgPool, config: LogConfig, doorbell: Doorbell) -> Result<Self, OpenError> {
        let LogConfig { origin, key, drain } = config;
        let verifier = key.verifier(&origin)?;
        let expected = log_id(&origin);
        begin(&pool, &origin, expected, &key).await?;

        let found: Uuid = sqlx::query_scalar("select log_id from ledger.log_head").fetch_one(&pool).await?;
        if found != expected {
            return Err(OpenError::AnotherLog { expected, found });
        }
        let log = Self(Arc::new(Inner {
            pool,
            origin,
            log_id: expected,
            key,
            verifier,
            doorbell,
            drain,
            unsealed: Notify::new(),
            told: AtomicU64::new(0),
        }));
        let head = log.head().await?;
        let signed = Checkpoint::open(&head.checkpoint, &log.0.verifier)?;
        let frontier = log.frontier(head.size).await?;
        if signed.size != head.size || signed.root != frontier.root() {
            return Err(OpenError::Checkpoint("it is of another tree"));
        }
        Ok(log)
    }

    /// The log's id: the UUIDv5 of its origin.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.0.log_id
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// What others need to check this log's checkpoints.
    #[must_use]
    pub fn verifier(&self) -> &LogVerifier {
        &self.0.verifier
    }

    /// The database that holds the log.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// Whether the log can be written and read now: its database answers and has the head.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn ready(&self) -> Result<(), sqlx::Error> {
        self.head().await.map(drop)
    }

    /// Begins a transaction for a command. Each of its statements sees what was committed before it, whatever the
    /// database's default, so that [`commit`](Self::commit) can seal.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn begin(&self) -> Result<PgTransaction<'static>, sqlx::Error> {
        self.0.pool.begin_with(BEGIN).await
    }

    /// Commits a transaction that may have appended: seals its entries with it when the head is free, and wakes those
    /// who wait. When the head is taken, the sealer follows at once.
    ///
    /// # Errors
    ///
    /// When the database fails; as with every commit, it may have taken effect nevertheless. Also when the database
    /// refuses the sealing because its tables were meddled with: nothing more is decided on such a log.
    pub async fn commit(&self, mut tx: PgTransaction<'_>) -> Result<(), sqlx::Error> {
        let sealed = match self.seal_if_free(&mut tx).await {
            Ok(sealed) => sealed,
            Err(SealError::Database(error)) => return Err(error),
            // The decision stands even if the tree is damaged; the sealer says so until someone looks.
            Err(SealError::Tree(_) | SealError::Key(_)) => None,
        };
        tx.commit().await?;
        match sealed {
            Some(sealed) => self.announce(sealed),
            None => self.0.unsealed.notify_one(),
        }
        Ok(())
    }

    /// The newest head, as committed.
    pub(crate) async fn head(&self) -> Result<Head, sqlx::Error> {
        let (size, checkpoint): (i64, String) =
            sqlx::query_as("select size, note from ledger.log_head join ledger.checkpoint using (size)")
                .fetch_one(&self.0.pool)
                .await?;
        Ok(Head { size: uint(size), checkpoint })
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(&self.0.origin).finish()
    }
}

/// How far the log is sealed.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) checkpoint: String,
}

/// Writes the head of the empty log unless there is one. Replicas that start at once wait for each other on the row.
async fn begin(pool: &PgPool, origin: &str, id: Uuid, key: &LogKey) -> Result<(), OpenError> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let begun = sqlx::query(
        "insert into ledger.log_head (log_id, size, frontier) values ($1, 0, '{}')
         on conflict (single) do nothing",
    )
    .bind(id)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if begun == 1 {
        let note = sign(origin, 0, empty_root(), key)?;
        insert_checkpoint(&mut tx, &note).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn insert_checkpoint(conn: &mut PgConnection, note: &str) -> Result<(), sqlx::Error> {
    sqlx::query("insert into ledger.checkpoint (size, note) values (0, $1)").bind(note).execute(conn).await?;
    Ok(())
}

pub(crate) fn sign(origin: &str, size: u64, root: Hash, key: &LogKey) -> Result<String, CheckpointError> {
    Checkpoint { origin: origin.to_owned(), size, root }.sign(key)
}
