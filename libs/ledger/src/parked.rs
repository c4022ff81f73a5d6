//! Entries that a follower could not handle, and those of the same subject that wait behind them.

use haetae_wire::log::v1::Entry;
use prost::Message;
use sqlx::{PgConnection, PgPool};
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
    /// Why it failed, last time.
    pub error: String,
    /// When it was parked.
    pub since: OffsetDateTime,
    /// Entries that wait behind it.
    pub waiting: u64,
}

/// Everything that is parked in this database, longest first.
///
/// # Errors
///
/// When the database fails.
pub async fn list(pool: &PgPool) -> Result<Vec<Parked>, sqlx::Error> {
    let rows: Vec<(String, String, i64, String, OffsetDateTime, i64)> = sqlx::query_as(
        "select s.follower, s.subject, first.position, coalesce(first.error, ''), s.since,
                (select count(*) - 1 from ledger.parked p
                 where p.follower = s.follower and p.subject = s.subject)
         from ledger.parked_subject s
         join lateral (
             select position, error from ledger.parked p
             where p.follower = s.follower and p.subject = s.subject order by position limit 1
         ) first on true
         order by s.since",
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(follower, subject, position, error, since, waiting)| Parked {
            follower,
            subject,
            position: uint(position),
            error,
            since,
            waiting: uint(waiting),
        })
        .collect())
}

/// Has a follower try a parked subject again, entry by entry in order. False if nothing of it is parked.
///
/// # Errors
///
/// When the database fails.
pub async fn retry(pool: &PgPool, follower: &str, subject: &str) -> Result<bool, sqlx::Error> {
    let found = sqlx::query("update ledger.parked_subject set retry = true where follower = $1 and subject = $2")
        .bind(follower)
        .bind(subject)
        .execute(pool)
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
        "insert into ledger.parked (follower, position, subject, entry, checkpoint, error)
         values ($1, $2, $3, $4, $5, $6)",
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
    rows.into_iter()
        .map(|(entry, checkpoint)| {
            let entry = Entry::decode(entry.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))?;
            Ok((entry, checkpoint))
        })
        .collect()
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
    sqlx::query("update ledger.parked set error = $3 where follower = $1 and position = $2")
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
