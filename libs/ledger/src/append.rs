//! Writing entries: in the caller's transaction, each on the stream version that the decision was made on.

use std::collections::{BTreeSet, HashMap};

use haetae_seal::leaf::commitment;
use haetae_wire::log::v1::Header;
use prost::Message;
use rand::RngCore;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::log::Log;
use crate::sql::{int, uint};
use crate::trace;

/// The most bytes of header and payload together. A batch of one entry must fit a gRPC message.
pub const MAX_ENTRY_BYTES: usize = 1 << 20;

/// The version a stream must have for a decision about it to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Exactly this one: the version that was read before deciding; 0 for a stream that does not exist yet.
    /// For several entries of a stream in one call, all of them name the version before the call.
    Version(u64),
    /// Any: the entry holds whatever came before it. Waits for others who append to the stream in this way.
    Any,
}

/// A fact to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The stream it belongs to, such as `request/6f0c…`.
    pub stream: String,
    /// The stream's version that the decision was made on.
    pub expected: Expected,
    /// What kind of fact; names the message in the payload.
    pub kind: &'static str,
    /// The case, watch or leg it concerns; entries of one subject are handled in order.
    pub subject: String,
    /// Who caused it: `person:<id>` or `service:<name>`.
    pub actor: String,
    /// The exchange it is addressed to, if any.
    pub audience: Option<String>,
    /// The exact bytes of the fact.
    pub payload: Vec<u8>,
    /// When it was decided; what is below a microsecond is cut off.
    pub time: OffsetDateTime,
}

impl std::fmt::Debug for NewEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewEntry")
            .field("stream", &self.stream)
            .field("expected", &self.expected)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// An entry that was written, if the transaction commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The entry's id. Not its position: that is given when it is sealed.
    pub id: i64,
    /// Version of the stream after this entry.
    pub version: u64,
}

/// Why an entry was not written. After [`Conflict`](Self::Conflict) some entries of the call may have been: the
/// transaction is to be rolled back.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The stream has another version than the decision was made on: decide again.
    #[error("the stream {stream} has moved on")]
    Conflict {
        /// The stream.
        stream: String,
    },
    /// A part that must be there is empty, or the kind is longer than a leaf can hold.
    #[error("an entry needs a proper {0}")]
    Malformed(&'static str),
    /// Header and payload are larger than [`MAX_ENTRY_BYTES`].
    #[error("an entry of {0} bytes is too large")]
    TooLarge(usize),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Log {
    /// Writes an entry in the caller's transaction, which ends with [`commit`](Self::commit). The current span's trace
    /// goes with it.
    ///
    /// # Errors
    ///
    /// [`AppendError::Conflict`] when the stream has moved on.
    pub async fn append(&self, tx: &mut PgConnection, entry: NewEntry) -> Result<Appended, AppendError> {
        let stream = entry.stream.clone();
        self.append_all(tx, vec![entry]).await?.pop().ok_or(AppendError::Conflict { stream })
    }

    /// Writes several entries, in order, in one round trip.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append), for the first that fails.
    pub async fn append_all(
        &self,
        tx: &mut PgConnection,
        entries: Vec<NewEntry>,
    ) -> Result<Vec<Appended>, AppendError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let traceparent = trace::current();
        let columns = Columns::of(&entries)?;
        lock_unversioned(tx, &entries).await?;
        // Two appends on the same version: the second waits for the first to commit, then inserts nothing.
        let mut written: Vec<(i64, String, i64)> = sqlx::query_as(
            "with wanted as (
                select w.*, coalesce((select max(e.version) from ledger.entry e where e.stream = w.stream), 0) as base,
                       row_number() over (partition by w.stream order by w.place) as step
                from unnest($1::text[], $2::bigint[], $3::text[], $4::timestamptz[], $5::text[],
                            $6::bytea[], $7::bytea[], $8::bytea[], $9::bytea[])
                     with ordinality as w (stream, expected, kind, time, audience,
                                           header, payload, salt, commitment, place)
             )
             insert into ledger.entry
                (stream, version, kind, time, audience, header, payload, salt, commitment, traceparent)
             select stream, base + step, kind, time, audience, header, payload, salt, commitment, $10
             from wanted where expected is null or expected = base
             order by place
             on conflict (stream, version) do nothing
             returning id, stream, version",
        )
        .bind(columns.streams)
        .bind(columns.expected)
        .bind(columns.kinds)
        .bind(columns.times)
        .bind(columns.audiences)
        .bind(columns.headers)
        .bind(columns.payloads)
        .bind(columns.salts)
        .bind(columns.commitments)
        .bind(traceparent)
        .fetch_all(tx)
        .await?;

        // Ids are drawn in the order of the entries; per stream, the first ends up last, to be popped first.
        written.sort_unstable();
        let mut by_stream: HashMap<String, Vec<Appended>> = HashMap::new();
        for (id, stream, version) in written.into_iter().rev() {
            let version = uint(version);
            by_stream.entry(stream).or_default().push(Appended { id, version });
        }
        entries
            .into_iter()
            .map(|entry| {
                by_stream
                    .get_mut(&entry.stream)
                    .and_then(Vec::pop)
                    .ok_or(AppendError::Conflict { stream: entry.stream })
            })
            .collect()
    }
}

/// Makes appends that take any version wait for each other, stream by stream, until their transactions end. Sorted,
/// so that two transactions lock in the same order. A statement of its own, since the insert must see what was
/// committed while it waited.
async fn lock_unversioned(tx: &mut PgConnection, entries: &[NewEntry]) -> Result<(), sqlx::Error> {
    let streams: BTreeSet<&str> =
        entries.iter().filter(|entry| entry.expected == Expected::Any).map(|entry| entry.stream.as_str()).collect();
    if streams.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "select pg_advisory_xact_lock(hashtextextended('ledger.stream/' || stream, 0))
         from unnest($1::text[]) as stream",
    )
    .bind(streams.into_iter().collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// Entries as columns of one insert.
#[derive(Default)]
struct Columns<'a> {
    streams: Vec<&'a str>,
    expected: Vec<Option<i64>>,
    kinds: Vec<&'a str>,
    times: Vec<OffsetDateTime>,
    audiences: Vec<Option<&'a str>>,
    headers: Vec<Vec<u8>>,
    payloads: Vec<&'a [u8]>,
    salts: Vec<[u8; 32]>,
    commitments: Vec<[u8; 32]>,
}

impl<'a> Columns<'a> {
    fn of(entries: &'a [NewEntry]) -> Result<Self, AppendError> {
        let mut columns = Self::default();
        for entry in entries {
            columns.push(entry)?;
        }
        Ok(columns)
    }

    fn push(&mut self, entry: &'a NewEntry) -> Result<(), AppendError> {
        let empty = [
            (entry.stream.as_str(), "stream"),
            (entry.kind, "kind"),
            (&entry.subject, "subject"),
            (&entry.actor, "actor"),
            (entry.audience.as_deref().unwrap_or("none"), "audience"),
        ]
        .into_iter()
        .find(|(part, _)| part.is_empty());
        if let Some((_, part)) = empty {
            return Err(AppendError::Malformed(part));
        }
        if entry.kind.len() > usize::from(u16::MAX) {
            return Err(AppendError::Malformed("kind"));
        }
        let header = Header {
            stream: entry.stream.clone(),
            subject: entry.subject.clone(),
            actor: entry.actor.clone(),
            audience: entry.audience.clone().unwrap_or_default(),
        }
        .encode_to_vec();
        let size = header.len() + entry.payload.len();
        if size > MAX_ENTRY_BYTES {
            return Err(AppendError::TooLarge(size));
        }
        let mut salt = [0; 32];
        rand::rng().fill_bytes(&mut salt);
        self.streams.push(&entry.stream);
        self.expected.push(match entry.expected {
            Expected::Version(version) => Some(int(version)),
            Expected::Any => None,
        });
        self.kinds.push(entry.kind);
        self.times.push(whole_microseconds(entry.time));
        self.audiences.push(entry.audience.as_deref());
        self.commitments.push(commitment(&salt, &header, &entry.payload));
        self.headers.push(header);
        self.payloads.push(&entry.payload);
        self.salts.push(salt);
        Ok(())
    }
}

/// The time as a leaf and a column hold it.
fn whole_microseconds(time: OffsetDateTime) -> OffsetDateTime {
    let below = time.nanosecond() % 1_000;
    time - time::Duration::nanoseconds(i64::from(below))
}
