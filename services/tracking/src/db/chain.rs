//! How far each chain is read, and its last blocks.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use haetae_core::{ChainId, Moment};
use sqlx::{PgConnection, PgExecutor};

use super::code::{damaged, read, signed, unsigned};
use crate::source::{BlockRef, Condition};

/// How far a chain is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) at: BlockRef,
    /// Rises with every change to a watch of the chain.
    pub(crate) watch_version: i64,
    /// Nothing is read: more blocks have left the chain than may be taken back.
    pub(crate) halted: bool,
}

/// How a chain stands, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) chain: ChainId,
    pub(crate) at: BlockRef,
    pub(crate) node_number: u64,
    pub(crate) handled_at: Moment,
    pub(crate) condition: Condition,
    pub(crate) halt: Option<Halt>,
}

/// Since when nothing is read, and the node's block that does not lead back to what was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halt {
    pub(crate) since: Moment,
    pub(crate) by: BlockRef,
}

/// Blocks that are kept at least, besides those that may be taken back: so that a larger bound reaches further back from
/// the moment on that it is set.
const KEPT: u64 = 4_096;

/// Begins reading a chain after the last of these blocks, unless it is being read already. Those before it are there to
/// find a fork by.
pub(crate) async fn begin(
    conn: &mut PgConnection,
    chain: &ChainId,
    before: &[BlockRef],
    at: BlockRef,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let begun = sqlx::query(
        "insert into chain_head (chain, number, hash, node_number, handled_at) values ($1, $2, $3, $2, $4)
         on conflict (chain) do nothing",
    )
    .bind(chain.as_str())
    .bind(signed(at.number))
    .bind(at.hash.as_slice())
    .bind(now)
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if begun == 1 {
        insert_blocks(conn, chain, before).await?;
        insert_blocks(conn, chain, &[at]).await?;
    }
    Ok(())
}

pub(crate) async fn head(db: impl PgExecutor<'_>, chain: &ChainId) -> Result<Option<Head>, sqlx::Error> {
    let row: Option<(i64, Vec<u8>, i64, bool)> =
        sqlx::query_as("select number, hash, watch_version, halted_at is not null from chain_head where chain = $1")
            .bind(chain.as_str())
            .fetch_optional(db)
            .await?;
    row.map(read_head).transpose()
}

/// The head, locked until the transaction ends: the fence for everything that changes a watch of the chain.
pub(crate) async fn lock_head(conn: &mut PgConnection, chain: &ChainId) -> Result<Option<Head>, sqlx::Error> {
    let row: Option<(i64, Vec<u8>, i64, bool)> = sqlx::query_as(
        "select number, hash, watch_version, halted_at is not null from chain_head where chain = $1 for update",
    )
    .bind(chain.as_str())
    .fetch_optional(conn)
    .await?;
    row.map(read_head).transpose()
}

/// Notes that watches of the chain changed; they remember the number that this gives. The head is locked.
pub(crate) async fn bump(conn: &mut PgConnection, chain: &ChainId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "update chain_head set watch_version = watch_version + 1 where chain = $1 returning watch_version",
    )
    .bind(chain.as_str())
    .fetch_one(conn)
    .await
}

/// Moves the head: the blocks after `fork` have left the chain, these have come, and only the last are kept, `depth` at
/// least. What halted the chain is over. The head is locked.
pub(crate) async fn advance(
    conn: &mut PgConnection,
    chain: &ChainId,
    fork: BlockRef,
    blocks: &[BlockRef],
    depth: u64,
    node_number: u64,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let head = blocks.last().copied().unwrap_or(fork);
    sqlx::query("delete from block where chain = $1 and (number > $2 or number < $3)")
        .bind(chain.as_str())
        .bind(signed(fork.number))
        .bind(signed(head.number.saturating_sub(depth.max(KEPT))))
        .execute(&mut *conn)
        .await?;
    insert_blocks(conn, chain, blocks).await?;
    sqlx::query(
        "update chain_head set number = $2, hash = $3, node_number = $4, handled_at = $5,
                halted_at = null, halted_by_number = null, halted_by_hash = null
         where chain = $1",
    )
    .bind(chain.as_str())
    .bind(signed(head.number))
    .bind(head.hash.as_slice())
    .bind(signed(node_number))
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that nothing is read any more: `by` does not lead back to what was read. False where the head has moved since,
/// or that was noted before.
pub(crate) async fn halt(
    db: impl PgExecutor<'_>,
    chain: &ChainId,
    head: BlockRef,
    by: BlockRef,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    let halted = sqlx::query(
        "update chain_head set halted_at = $2, halted_by_number = $3, halted_by_hash = $4
         where chain = $1 and hash = $5 and halted_at is null",
    )
    .bind(chain.as_str())
    .bind(now)
    .bind(signed(by.number))
    .bind(by.hash.as_slice())
    .bind(head.hash.as_slice())
    .execute(db)
    .await?;
    Ok(halted.rows_affected() == 1)
}

/// Notes that the node's chain leads back to what was read.
pub(crate) async fn go_on(db: impl PgExecutor<'_>, chain: &ChainId) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update chain_head set halted_at = null, halted_by_number = null, halted_by_hash = null
         where chain = $1 and halted_at is not null",
    )
    .bind(chain.as_str())
    .execute(db)
    .await?;
    Ok(())
}

/// The head and the `depth` blocks before it, by number.
pub(crate) async fn recent(
    db: impl PgExecutor<'_>,
    chain: &ChainId,
    depth: u64,
) -> Result<BTreeMap<u64, B256>, sqlx::Error> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "select b.number, b.hash from block b join chain_head h using (chain)
         where chain = $1 and b.number >= h.number - $2",
    )
    .bind(chain.as_str())
    .bind(signed(depth))
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|(number, hash)| Ok((unsigned("number", number)?, read_hash(&hash)?))).collect()
}

/// Those of these blocks that are not in the chain as it was read. One below all that are kept is: nothing leaves the chain
/// from there.
pub(crate) async fn gone(
    db: impl PgExecutor<'_>,
    chain: &ChainId,
    blocks: &[BlockRef],
) -> Result<Vec<BlockRef>, sqlx::Error> {
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("select number, hash from block where chain = $1 and number = any($2)")
            .bind(chain.as_str())
            .bind(blocks.iter().map(|block| signed(block.number)).collect::<Vec<_>>())
            .fetch_all(db)
            .await?;
    let kept = rows.into_iter().map(|(number, hash)| read_block(number, &hash)).collect::<Result<Vec<_>, _>>()?;
    let other = |block: &&BlockRef| kept.iter().any(|kept| kept.number == block.number && kept.hash != block.hash);
    Ok(blocks.iter().filter(other).copied().collect())
}

/// Whether a block is one of those that are kept of the chain as it was read.
pub(crate) async fn is_kept(db: impl PgExecutor<'_>, chain: &ChainId, block: BlockRef) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from block where chain = $1 and number = $2 and hash = $3)")
        .bind(chain.as_str())
        .bind(signed(block.number))
        .bind(block.hash.as_slice())
        .fetch_one(db)
        .await
}

/// A block before which no branch of a block of this number can have left the chain: the one that is `depth` below the head,
/// or where the block itself lies below that, the oldest that is kept.
pub(crate) async fn before(
    db: impl PgExecutor<'_>,
    chain: &ChainId,
    depth: u64,
    number: u64,
) -> Result<Option<BlockRef>, sqlx::Error> {
    let row: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "select b.number, b.hash from block b join chain_head h using (chain)
         where chain = $1 and (b.number >= h.number - $2 or $3 <= h.number - $2) order by b.number limit 1",
    )
    .bind(chain.as_str())
    .bind(signed(depth))
    .bind(signed(number))
    .fetch_optional(db)
    .await?;
    row.map(|(number, hash)| read_block(number, &hash)).transpose()
}

pub(crate) async fn list(db: impl PgExecutor<'_>) -> Result<Vec<Status>, sqlx::Error> {
    let rows: Vec<StatusRow> = sqlx::query_as(
        "select chain, number, hash, node_number, handled_at, nodes, nodes_answering, internal_transfers,
                halted_at, halted_by_number, halted_by_hash
         from chain_head order by chain",
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(StatusRow::read).collect()
}

#[derive(sqlx::FromRow)]
struct StatusRow {
    chain: String,
    number: i64,
    hash: Vec<u8>,
    node_number: i64,
    handled_at: Moment,
    nodes: i32,
    nodes_answering: i32,
    internal_transfers: bool,
    halted_at: Option<Moment>,
    halted_by_number: Option<i64>,
    halted_by_hash: Option<Vec<u8>>,
}

impl StatusRow {
    fn read(self) -> Result<Status, sqlx::Error> {
        let halt = match (self.halted_at, self.halted_by_number, self.halted_by_hash) {
            (Some(since), Some(number), Some(hash)) => Some(Halt { since, by: read_block(number, &hash)? }),
            _ => None,
        };
        Ok(Status {
            chain: read("chain", &self.chain)?,
            at: read_block(self.number, &self.hash)?,
            node_number: unsigned("node_number", self.node_number)?,
            handled_at: self.handled_at,
            condition: Condition {
                nodes: self.nodes.try_into().map_err(|_| damaged("nodes"))?,
                answering: self.nodes_answering.try_into().map_err(|_| damaged("nodes_answering"))?,
                internal_transfers: self.internal_transfers,
            },
            halt,
        })
    }
}

/// Notes how a chain's nodes are. For people: nothing is decided by it.
pub(crate) async fn note_condition(
    db: impl PgExecutor<'_>,
    chain: &ChainId,
    condition: Condition,
) -> Result<(), sqlx::Error> {
    let count = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    sqlx::query("update chain_head set nodes = $2, nodes_answering = $3, internal_transfers = $4 where chain = $1")
        .bind(chain.as_str())
        .bind(count(condition.nodes))
        .bind(count(condition.answering))
        .bind(condition.internal_transfers)
        .execute(db)
        .await?;
    Ok(())
}

async fn insert_blocks(conn: &mut PgConnection, chain: &ChainId, blocks: &[BlockRef]) -> Result<(), sqlx::Error> {
    let (numbers, hashes): (Vec<i64>, Vec<&[u8]>) =
        blocks.iter().map(|block| (signed(block.number), block.hash.as_slice())).unzip();
    sqlx::query("insert into block (chain, number, hash) select $1, * from unnest($2::bigint[], $3::bytea[])")
        .bind(chain.as_str())
        .bind(numbers)
        .bind(hashes)
        .execute(conn)
        .await?;
    Ok(())
}

fn read_head((number, hash, watch_version, halted): (i64, Vec<u8>, i64, bool)) -> Result<Head, sqlx::Error> {
    Ok(Head { at: read_block(number, &hash)?, watch_version, halted })
}

fn read_block(number: i64, hash: &[u8]) -> Result<BlockRef, sqlx::Error> {
    Ok(BlockRef { number: unsigned("number", number)?, hash: read_hash(hash)? })
}

fn read_hash(bytes: &[u8]) -> Result<B256, sqlx::Error> {
    B256::try_from(bytes).map_err(|_| damaged("hash"))
}

/// Takes the lease of that name for this session, if it is free.
pub(crate) async fn take_lease(session: &mut PgConnection, name: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("select pg_try_advisory_lock(hashtextextended($1, 0))").bind(name).fetch_one(session).await
}

#[cfg(test)]
mod tests;
