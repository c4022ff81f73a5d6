//! How a service's own log and its followers stand, for operators.

use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::log::Log;
use crate::sql::uint;

/// How a log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStanding {
    /// Sealed entries.
    pub size: u64,
    /// Of these, those up to the newest that is old enough: a follower that goes on has passed them.
    pub aged_size: u64,
    /// When the newest of them was decided.
    pub newest_at: Option<OffsetDateTime>,
    /// When the oldest entry was decided that is not sealed yet.
    pub oldest_unsealed_at: Option<OffsetDateTime>,
}

/// How a follower stands, whichever replica moved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerStanding {
    /// Its name.
    pub name: String,
    /// The log it follows.
    pub log_id: Uuid,
    /// The first position that it has not handled.
    pub next_position: u64,
    /// When it last moved.
    pub moved_at: OffsetDateTime,
    /// Entries that are parked, and those that wait behind them.
    pub parked: u64,
}

#[derive(FromRow)]
struct Row {
    follower: String,
    log_id: Uuid,
    next_position: i64,
    moved_at: OffsetDateTime,
    parked: i64,
}

impl Log {
    /// How the log stands. Entries are old enough that were decided at `aged` or before.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn standing(&self, aged: OffsetDateTime) -> Result<LogStanding, sqlx::Error> {
        let (size, aged_size, newest_at, oldest_unsealed_at): (i64, Option<i64>, _, _) = sqlx::query_as(
            "select size,
                    (select position + 1 from ledger.entry
                     where position < size and time <= $1 order by position desc limit 1),
                    (select time from ledger.entry where position = size - 1),
                    (select time from ledger.entry where position is null order by id limit 1)
             from ledger.log_head",
        )
        .bind(aged)
        .fetch_one(self.pool())
        .await?;
        Ok(LogStanding { size: uint(size), aged_size: uint(aged_size.unwrap_or(0)), newest_at, oldest_unsealed_at })
    }
}

/// How the followers of a database stand, in order of name.
///
/// # Errors
///
/// When the database fails.
pub async fn followers(pool: &PgPool) -> Result<Vec<FollowerStanding>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select follower, log_id, next_position, moved_at,
                (select count(*) from ledger.parked p where p.follower = c.follower) as parked
         from ledger.cursor c order by follower",
    )
    .fetch_all(pool)
    .await?;
    let read = |row: Row| FollowerStanding {
        name: row.follower,
        log_id: row.log_id,
        next_position: uint(row.next_position),
        moved_at: row.moved_at,
        parked: uint(row.parked),
    };
    Ok(rows.into_iter().map(read).collect())
}
