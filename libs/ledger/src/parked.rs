//! Entries that a follower could not handle, and those of the same subject that wait behind them.

use haetae_wire::log::v1::{Entry, Header};
use prost::Message;
use sqlx::{FromRow, PgConnection, PgPool};
use time::OffsetDateTime;

use crate::cursor::FollowedEntry;
use crate::sql::{int, uint};

/// The first entry of a parked subject: the one that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The follower that could not handle it.
    pub follower: String,
    /// What it concerns.
    pub subject: String,
    /// Its position in the log.
    pub position: u64,
    /// What kind of fact it is.
    pub kind: String,
    /// The stream it belongs to.
    pub stream: String,
    /// Why it failed, last time.
    pub error: String,
    /// When it was parked.
    pub since: OffsetDateTime,
    /// How often it was tried.
    pub tries: u32,
    /// Entries that wait behind it.
    pub waiting: u64,
    /// It is to be tried again.
    pub retrying: bool,
}

#[derive(FromRow)]
struct Row {
    follower: String,
    subject: String,
    position: i64,
    entry: Vec<u8>,
    error: String,
    since: OffsetDateTime,
    tries: i32,
    waiting: i64,
    retry: bool,
}

/// What is parked in this database, longest first; at most this many subjects.
///
/// # Errors
///
/// When the database fails.
pub async fn list(pool: &PgPool, limit: u32) -> Result<Vec<Parked>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select s.follower, s.subject, first.position, first.entry, coalesce(first.error, '') as error, s.since,
                first.tries, s.retry,
                (select count(*) - 1 from ledger.parked p
                 where p.follower = s.follower and p.subject = s.subject) as waiting
         from ledger.parked_subject s
         join lateral (
             select position, entry, error, tries from ledger.parked p
             where p.follower = s.follower and p.subject = s.subject order by position limit 1
         ) first on true
         order by s.since, s.follower, first.position limit $1",
    )
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Row::read).collect()
}

impl Row {
    fn read(self) -> Result<Parked, sqlx::Error> {
        let entry = decode(&self.entry)?;
        let header = Header::decode(entry.header.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Parked {
            follower: self.follower,
            subject: self.subject,
            position: uint(self.position),
            kind: entry.kind,
            stream: header.stream,
            error: self.error,
            since: self.since,
            tries: u32::try_from(self.tries).unwrap_or_default(),
            waiting: uint(self.waiting),
            retrying: self.retry,
        })
    }
}

/// Has a follower try the entry at this position again, and its subject's others after it, in order. False if it is not
/// what holds its subject back, or not any more: what is asked for twice is done once.
///
/// # Errors
///
/// When the database fails.
pub async fn retry(tx: &mut PgConnection, follower: &str, position: u64) -> Result<bool, sqlx::Error> {
    let found = sqlx::query(
        "update ledger.parked_subject s set retry = true
         where follower = $1
           and (select min(position) from ledger.parked p where p.follower = s.follower and p.subject = s.subject) = $2",
    )
    .bind(follower)
    .bind(int(position))
    .execute(tx)
    .await?;
    Ok(found.rows_affected() == 1)
}

/// Parks an entry: with the error it failed with, or with none behind another of its subject.
/// True if the subject was not parked before.
pub(crate) async fn park(
    tx: &mut PgConnection,
    follower: &str,
    entry: &FollowedEntry,
    error: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let new = sqlx::query(
        "insert into ledger.parked_subject (follower, subject) values ($1, $2)
         on conflict (follower, subject) do nothing",
    )
    .bind(follower)
    .bind(&entry.header.subject)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    sqlx::query(
        "insert into ledger.parked (follower, position, subject, entry, checkpoint, error, tries)
         values ($1, $2, $3, $4, $5, $6, case when $6::text is null then 0 else 1 end)",
    )
    .bind(follower)
    .bind(int(entry.position))
    .bind(&entry.header.subject)
    .bind(entry.wire.encode_to_vec())
    .bind(&*entry.checkpoint)
    .bind(error)
    .execute(tx)
    .await?;
    Ok(new == 1)
}

/// The parked subjects of a follower.
pub(crate) async fn subjects(tx: &mut PgConnection, follower: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("select subject from ledger.parked_subject where follower = $1")
        .bind(follower)
        .fetch_all(tx)
        .await
}

/// How many entries of a follower are parked or wait, and whether an operator wants some tried again.
pub(crate) async fn state(pool: &PgPool, follower: &str) -> Result<(u64, bool), sqlx::Error> {
    let (entries, retry): (i64, bool) = sqlx::query_as(
        "select (select count(*) from ledger.parked where follower = $1),
                exists (select from ledger.parked_subject where follower = $1 and retry)",
    )
    .bind(follower)
    .fetch_one(pool)
    .await?;
    Ok((uint(entries), retry))
}

/// A parked subject that is to be tried again.
pub(crate) async fn wanted_again(tx: &mut PgConnection, follower: &str) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select subject from ledger.parked_subject where follower = $1 and retry
         order by since limit 1",
    )
    .bind(follower)
    .fetch_optional(tx)
    .await
}

/// The first entries of a parked subject, as received, with their checkpoints.
pub(crate) async fn entries(
    tx: &mut PgConnection,
    follower: &str,
    subject: &str,
    limit: u32,
) -> Result<Vec<(Entry, String)>, sqlx::Error> {
    let rows: Vec<(Vec<u8>, String)> = sqlx::query_as(
        "select entry, checkpoint from ledger.parked
         where follower = $1 and subject = $2 order by position limit $3",
    )
    .bind(follower)
    .bind(subject)
    .bind(i64::from(limit))
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(|(entry, checkpoint)| Ok((decode(&entry)?, checkpoint))).collect()
}

fn decode(entry: &[u8]) -> Result<Entry, sqlx::Error> {
    Entry::decode(entry).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Takes an entry that was handled now out of the parked ones.
pub(crate) async fn handled(tx: &mut PgConnection, follower: &str, position: u64) -> Result<(), sqlx::Error> {
    sqlx::query("delete from ledger.parked where follower = $1 and position = $2")
        .bind(follower)
        .bind(int(position))
        .execute(tx)
        .await?;
    Ok(())
}

/// Notes that an entry failed again; its subject stays parked until an operator asks once more.
pub(crate) async fn failed_again(
    tx: &mut PgConnection,
    follower: &str,
    subject: &str,
    position: u64,
    error: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("update ledger.parked set error = $3, tries = tries + 1 where follower = $1 and position = $2")
        .bind(follower)
        .bind(int(position))
        .bind(error)
        .execute(&mut *tx)
        .await?;
    sqlx::query("update ledger.parked_subject set retry = false where follower = $1 and subject = $2")
        .bind(follower)
        .bind(subject)
        .execute(tx)
        .await?;
    Ok(())
}

/// Lets a subject go of which nothing is parked any more. The cursor counts it no longer.
pub(crate) async fn release(tx: &mut PgConnection, follower: &str, subject: &str) -> Result<(), sqlx::Error> {
    sqlx::query("delete from ledger.parked_subject where follower = $1 and subject = $2")
        .bind(follower)
        .bind(subject)
        .execute(&mut *tx)
        .await?;
    sqlx::query("update ledger.cursor set parked_subjects = parked_subjects - 1 where follower = $1")
        .bind(follower)
        .execute(tx)
        .await?;
    Ok(())
}
