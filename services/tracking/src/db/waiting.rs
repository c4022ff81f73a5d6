//! Transactions that wait to be included.

use alloy_primitives::B256;
use haetae_core::{ChainId, WatchId};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::code::{damaged, read};
use crate::waiting::{Fate, Waits};

/// Those that wait.
pub(crate) async fn all(db: impl PgExecutor<'_>, chain: &ChainId) -> Result<Vec<Waits>, sqlx::Error> {
    let rows: Vec<(Uuid, Vec<u8>, Vec<String>)> = sqlx::query_as(
        "select watch_id, transaction, claims from waiting where chain = $1 and state = 'seen'
         order by watch_id, transaction",
    )
    .bind(chain.as_str())
    .fetch_all(db)
    .await?;
    let read = |(watch, transaction, claims): (Uuid, Vec<u8>, Vec<String>)| {
        Ok(Waits {
            watch: WatchId(watch),
            transaction: B256::try_from(transaction.as_slice()).map_err(|_| damaged("transaction"))?,
            claims: claims.iter().map(|claim| read("claims", claim)).collect::<Result<_, _>>()?,
        })
    };
    rows.into_iter().map(read).collect()
}

/// Notes what became of one. False where that is nothing new. The chain's head is locked.
pub(crate) async fn note(
    conn: &mut PgConnection,
    chain: &ChainId,
    waits: &Waits,
    fate: Fate,
) -> Result<bool, sqlx::Error> {
    let state = match fate {
        Fate::Seen => "seen",
        Fate::Replaced { .. } => "replaced",
        Fate::Dropped => "dropped",
        Fate::Included { .. } => "included",
    };
    let noted = sqlx::query(
        "insert into waiting as w (watch_id, chain, transaction, claims, state) values ($1, $2, $3, $4, $5)
         on conflict (watch_id, transaction) do update set state = excluded.state where w.state <> excluded.state",
    )
    .bind(waits.watch.0)
    .bind(chain.as_str())
    .bind(waits.transaction.as_slice())
    .bind(waits.claims.iter().map(ToString::to_string).collect::<Vec<_>>())
    .bind(state)
    .execute(conn)
    .await?;
    Ok(noted.rows_affected() == 1)
}
