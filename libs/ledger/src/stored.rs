//! The cursor row: where a follower stands, moved in the same transaction as the effect.

use haetae_seal::merkle::{Frontier, Hash};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::cursor::{Followed, FollowerError, Standing, Tree};
use crate::serve::Audience;
use crate::sql::{int, uint};

/// The row, as its lock shows it.
pub(crate) struct StoredCursor {
    pub(crate) standing: Standing,
    pub(crate) parked_subjects: i32,
}

/// Why a follower does not go on: for good, or for now.
pub(crate) enum Trouble {
    Stop(FollowerError),
    Unavailable(anyhow::Error),
}

impl From<FollowerError> for Trouble {
    fn from(error: FollowerError) -> Self {
        Self::Stop(error)
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    log_id: Uuid,
    next_position: i64,
    verified_size: i64,
    verified_root: Hash,
    frontier: Option<Vec<Hash>>,
    parked_subjects: i32,
}

/// Reads the cursor; a follower that has none yet begins at the beginning.
pub(crate) async fn load(pool: &PgPool, follower: &str, log: &Followed) -> Result<Standing, Trouble> {
    let row: Option<Row> = sqlx::query_as(
        "select log_id, next_position, verified_size, verified_root, frontier, parked_subjects
         from ledger.cursor where follower = $1",
    )
    .bind(follower)
    .fetch_optional(pool)
    .await?;
    if let Some(row) = row {
        return Ok(read(row, log)?.standing);
    }
    let beginning = log.beginning();
    sqlx::query(
        "insert into ledger.cursor
            (follower, log_id, next_position, verified_size, verified_root, frontier)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (follower) do nothing",
    )
    .bind(follower)
    .bind(log.log_id)
    .bind(int(beginning.next_position))
    .bind(int(beginning.tree.size()))
    .bind(beginning.tree.root())
    .bind(frontier(&beginning))
    .execute(pool)
    .await?;
    // If another replica was first, taking the lock will show its cursor.
    Ok(beginning)
}

/// Locks the cursor, waiting for the replica that holds it, and reads what it is then.
pub(crate) async fn lock(tx: &mut PgConnection, follower: &str, log: &Followed) -> Result<StoredCursor, Trouble> {
    let row: Row = sqlx::query_as(
        "select log_id, next_position, verified_size, verified_root, frontier, parked_subjects
         from ledger.cursor where follower = $1 for update",
    )
    .bind(follower)
    .fetch_one(tx)
    .await?;
    Ok(read(row, log)?)
}

/// Moves the cursor.
pub(crate) async fn store(tx: &mut PgConnection, follower: &str, cursor: &StoredCursor) -> Result<(), sqlx::Error> {
    let standing = &cursor.standing;
    sqlx::query(
        "update ledger.cursor
         set next_position = $2, verified_size = $3, verified_root = $4, frontier = $5,
             parked_subjects = $6, moved_at = now()
         where follower = $1",
    )
    .bind(follower)
    .bind(int(standing.next_position))
    .bind(int(standing.tree.size()))
    .bind(standing.tree.root())
    .bind(frontier(standing))
    .bind(cursor.parked_subjects)
    .execute(tx)
    .await?;
    Ok(())
}

fn frontier(standing: &Standing) -> Option<&[Hash]> {
    match &standing.tree {
        Tree::Whole(frontier) => Some(frontier.nodes()),
        Tree::Head { .. } => None,
    }
}

fn read(row: Row, log: &Followed) -> Result<StoredCursor, FollowerError> {
    if row.log_id != log.log_id {
        return Err(FollowerError::AnotherLog { expected: log.log_id, found: row.log_id.to_string() });
    }
    let size = uint(row.verified_size);
    let tree = match (row.frontier, &log.audience) {
        (Some(nodes), Audience::Everything) => {
            let frontier = Frontier::from_nodes(size, nodes).map_err(|_| FollowerError::BadCursor)?;
            if frontier.root() != row.verified_root || size != uint(row.next_position) {
                return Err(FollowerError::BadCursor);
            }
            Tree::Whole(frontier)
        }
        (None, Audience::Exchange(_)) => Tree::Head { size, root: row.verified_root },
        _ => return Err(FollowerError::AnotherView),
    };
    Ok(StoredCursor {
        standing: Standing { next_position: uint(row.next_position), tree },
        parked_subjects: row.parked_subjects,
    })
}
