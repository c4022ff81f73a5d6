//! Reading one's own log: a stream to decide on, an entry with its proof.

use haetae_seal::merkle::{Hash, TreeError};
use haetae_wire::log::v1::{Entry, InclusionProof, Leaf, LeafOpening};
use prost_types::Timestamp;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::log::Log;
use crate::sql::{int, uint};

/// Why something could not be read from the log.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A position or size that the log has not reached, or sizes in the wrong order.
    #[error("beyond the log: {0}")]
    Beyond(&'static str),
    /// The stored tree is damaged.
    #[error("the stored tree is damaged: {0}")]
    Tree(#[from] TreeError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Which entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one with this id, as [`Log::append`] returned it.
    Id(i64),
    /// The one at this position of the sealed log.
    Position(u64),
}

/// A sealed entry and what proves it offline.
#[derive(Clone, PartialEq)]
pub struct Sealed {
    /// Position in the log.
    pub position: u64,
    /// The leaf, which stays when the rest is erased.
    pub leaf: Leaf,
    /// What opens the leaf's commitment to the payload; none once erased.
    pub opening: Option<LeafOpening>,
    /// The exact bytes of the fact; none once erased.
    pub payload: Option<Vec<u8>>,
    /// That the leaf is in the checkpoint's tree.
    pub inclusion: InclusionProof,
    /// Signed checkpoint (C2SP tlog-checkpoint).
    pub checkpoint: String,
}

/// An entry of one's own log, sealed or not, as decisions read it.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamEntry {
    /// The entry's id.
    pub id: i64,
    /// Version of the stream after it.
    pub version: u64,
    /// Its kind.
    pub kind: String,
    /// When it was decided.
    pub time: OffsetDateTime,
    /// The exact bytes of the fact; none once erased.
    pub payload: Option<Vec<u8>>,
    /// Its position, if it is sealed.
    pub position: Option<u64>,
}

impl Log {
    /// All entries of a stream, oldest first, as the caller's transaction sees them.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn entries_of_stream(
        &self,
        tx: &mut PgConnection,
        stream: &str,
    ) -> Result<Vec<StreamEntry>, sqlx::Error> {
        let rows: Vec<StreamRow> = sqlx::query_as(
            "select id, version, kind, time, payload, position
             from ledger.entry where stream = $1 order by version",
        )
        .bind(stream)
        .fetch_all(tx)
        .await?;
        Ok(rows.into_iter().map(StreamEntry::from).collect())
    }

    /// A sealed entry with its proof under the newest checkpoint; none while it is not sealed.
    ///
    /// # Errors
    ///
    /// When the database fails or the stored tree is damaged.
    pub async fn proof_of(&self, entry: Which) -> Result<Option<Sealed>, ReadError> {
        let query = match entry {
            Which::Id(id) => sqlx::query_as(
                "select position, kind, version, time, header, payload, salt, commitment, traceparent
                 from ledger.entry where id = $1 and position is not null",
            )
            .bind(id),
            Which::Position(position) => sqlx::query_as(
                "select position, kind, version, time, header, payload, salt, commitment, traceparent
                 from ledger.entry where position = $1",
            )
            .bind(int(position)),
        };
        let Some(row) = query.fetch_optional(&self.0.pool).await? else {
            return Ok(None);
        };
        let row: SealedRow = row;
        // Read after the entry was seen sealed, so it covers it.
        let head = self.head().await?;
        let inclusion = self.inclusion(uint(row.position), head.size).await?;
        Ok(Some(Sealed {
            position: uint(row.position),
            leaf: row.leaf(),
            opening: row.opening(),
            payload: row.payload,
            inclusion,
            checkpoint: head.checkpoint,
        }))
    }

    /// Erases header, payload and salt of a stream's sealed entries at the end of their retention. Their leaves stay,
    /// so the tree and every proof in it hold; followers that come to them later pass over them. Returns how many.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn erase_stream(&self, tx: &mut PgConnection, stream: &str) -> Result<u64, sqlx::Error> {
        let erased = sqlx::query(
            "update ledger.entry set header = null, payload = null, salt = null
             where stream = $1 and position is not null and payload is not null",
        )
        .bind(stream)
        .execute(tx)
        .await?;
        Ok(erased.rows_affected())
    }
}

#[derive(sqlx::FromRow)]
struct StreamRow {
    id: i64,
    version: i64,
    kind: String,
    time: OffsetDateTime,
    payload: Option<Vec<u8>>,
    position: Option<i64>,
}

impl From<StreamRow> for StreamEntry {
    fn from(row: StreamRow) -> Self {
        Self {
            id: row.id,
            version: uint(row.version),
            kind: row.kind,
            time: row.time,
            payload: row.payload,
            position: row.position.map(uint),
        }
    }
}

/// A sealed entry as it is stored.
#[derive(sqlx::FromRow)]
pub(crate) struct SealedRow {
    pub(crate) position: i64,
    kind: String,
    version: i64,
    time: OffsetDateTime,
    header: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    salt: Option<Vec<u8>>,
    commitment: Hash,
    traceparent: String,
}

impl SealedRow {
    /// Bytes that count towards the size of a batch.
    pub(crate) fn bytes(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        length(&self.header) + length(&self.payload)
    }

    pub(crate) fn into_entry(self, inclusion: Option<InclusionProof>) -> Entry {
        let commitment = match self.payload {
            Some(_) => Vec::new(),
            None => self.commitment.to_vec(),
        };
        Entry {
            position: uint(self.position),
            version: uint(self.version),
            time: Some(timestamp(self.time)),
            kind: self.kind,
            header: self.header.unwrap_or_default(),
            payload: self.payload.unwrap_or_default(),
            salt: self.salt.unwrap_or_default(),
            traceparent: self.traceparent,
            inclusion,
            commitment,
        }
    }

    pub(crate) fn leaf(&self) -> Leaf {
        Leaf {
            position: uint(self.position),
            kind: self.kind.clone(),
            version: uint(self.version),
            time: Some(timestamp(self.time)),
            commitment: self.commitment.to_vec(),
        }
    }

    fn opening(&self) -> Option<LeafOpening> {
        Some(LeafOpening {
            kind: self.kind.clone(),
            version: uint(self.version),
            time: Some(timestamp(self.time)),
            header: self.header.clone()?,
            salt: self.salt.clone()?,
        })
    }
}

pub(crate) fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: time.unix_timestamp(),
        // Below a second, so it fits.
        nanos: time.nanosecond().cast_signed(),
    }
}
