//! The processes that share a service's database: which are there, what keeps their followers, which are to go.

use sqlx::{FromRow, PgConnection, PgPool};
use time::OffsetDateTime;

use crate::sql::BEGIN;

/// One that has not been seen for this long is taken out of the list, in minutes.
const FORGOTTEN: i32 = 10;

/// A process of the service.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Replica {
    /// Its name, unique in the service.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// When it started.
    pub started_at: OffsetDateTime,
    /// When it last told that it is there.
    pub seen_at: OffsetDateTime,
    /// When it began to go down, or was asked to.
    pub draining_since: Option<OffsetDateTime>,
}

/// What keeps a follower from going on.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Obstacle {
    /// The follower.
    pub follower: String,
    /// For good: the log is not what it was, and a person has to look.
    pub stopped: bool,
    /// Since when.
    pub since: OffsetDateTime,
    /// What it is.
    pub what: String,
}

/// What a replica finds when it tells that it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// All is as it was.
    Stay,
    /// An operator wants it to go down.
    Drain,
    /// It was taken for gone: it has to [`arrive`] again.
    Forgotten,
}

/// Puts this process into the list. One of the same name that was there before is over, and so is what was asked of it.
///
/// # Errors
///
/// When the database fails.
pub async fn arrive(pool: &PgPool, name: &str, version: &str) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    sqlx::query("delete from ledger.replica where name = $1").bind(name).execute(&mut *tx).await?;
    sqlx::query("insert into ledger.replica (name, version) values ($1, $2) on conflict (name) do nothing")
        .bind(name)
        .bind(version)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Tells that this process is there, and what keeps its followers where that has changed; those that are not named then
/// go on.
///
/// # Errors
///
/// When the database fails.
pub async fn tell(pool: &PgPool, name: &str, changed: Option<&[Obstacle]>) -> Result<Told, sqlx::Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let drain: Option<bool> = sqlx::query_scalar(
        "with forgotten as (
             delete from ledger.replica where name <> $1 and seen_at < now() - make_interval(mins => $2))
         update ledger.replica set seen_at = now() where name = $1 returning draining_since is not null",
    )
    .bind(name)
    .bind(FORGOTTEN)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(drain) = drain else { return Ok(Told::Forgotten) };
    if let Some(obstacles) = changed {
        put_obstacles(&mut tx, name, obstacles).await?;
    }
    tx.commit().await?;
    Ok(if drain { Told::Drain } else { Told::Stay })
}

async fn put_obstacles(tx: &mut PgConnection, name: &str, obstacles: &[Obstacle]) -> Result<(), sqlx::Error> {
    let (followers, stopped): (Vec<&str>, Vec<bool>) =
        obstacles.iter().map(|obstacle| (obstacle.follower.as_str(), obstacle.stopped)).unzip();
    let (since, what): (Vec<OffsetDateTime>, Vec<&str>) =
        obstacles.iter().map(|obstacle| (obstacle.since, obstacle.what.as_str())).unzip();
    sqlx::query("delete from ledger.obstacle where replica = $1").bind(name).execute(&mut *tx).await?;
    sqlx::query(
        "insert into ledger.obstacle (replica, follower, stopped, since, what)
         select $1, * from unnest($2::text[], $3::boolean[], $4::timestamptz[], $5::text[])",
    )
    .bind(name)
    .bind(followers)
    .bind(stopped)
    .bind(since)
    .bind(what)
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that this process goes down.
///
/// # Errors
///
/// When the database fails.
pub async fn going(pool: &PgPool, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query("update ledger.replica set draining_since = coalesce(draining_since, now()) where name = $1")
        .bind(name)
        .execute(pool)
        .await?;
    Ok(())
}

/// Takes this process out of the list.
///
/// # Errors
///
/// When the database fails.
pub async fn leave(pool: &PgPool, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query("delete from ledger.replica where name = $1").bind(name).execute(pool).await?;
    Ok(())
}

/// Has a process go down. False where none of that name is there.
///
/// # Errors
///
/// When the database fails.
pub async fn ask_to_drain(tx: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    let asked =
        sqlx::query("update ledger.replica set draining_since = coalesce(draining_since, now()) where name = $1")
            .bind(name)
            .execute(tx)
            .await?;
    Ok(asked.rows_affected() == 1)
}

/// The processes, in order of name.
///
/// # Errors
///
/// When the database fails.
pub async fn list(pool: &PgPool) -> Result<Vec<Replica>, sqlx::Error> {
    sqlx::query_as("select name, version, started_at, seen_at, draining_since from ledger.replica order by name")
        .fetch_all(pool)
        .await
}

/// What keeps followers from going on, with the replica in which it does.
///
/// # Errors
///
/// When the database fails.
pub async fn obstacles(pool: &PgPool) -> Result<Vec<(String, Obstacle)>, sqlx::Error> {
    type Row = (String, String, bool, OffsetDateTime, String);
    let rows: Vec<Row> = sqlx::query_as(
        "select replica, follower, stopped, since, what from ledger.obstacle order by follower, replica",
    )
    .fetch_all(pool)
    .await?;
    let read = |(replica, follower, stopped, since, what)| (replica, Obstacle { follower, stopped, since, what });
    Ok(rows.into_iter().map(read).collect())
}
