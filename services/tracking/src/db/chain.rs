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
}

/// How a chain stands, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) chain: ChainId,
    pub(crate) at: BlockRef,
    pub(crate) node_number: u64,
    pub(crate) handled_at: Moment,
    pub(crate) condition: Condition,
}

/// Begins reading a chain after this block, unless it is being read already.
pub(crate) async fn begin(
    conn: &mut PgConnection,
    chain: &ChainId,
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
        insert_blocks(conn, chain, &[at]).await?;
    }
    Ok(())
}

pub(crate) async fn head(db: impl PgExecutor<'_>, chain: &ChainId) -> Result<Option<Head>, sqlx::Error> {
    let row: Option<(i64, Vec<u8>, i64)> =
        sqlx::query_as("select number, hash, watch_version from chain_head where chain = $1")
            .bind(chain.as_str())
            .fetch_optional(db)
            .await?;
    row.map(read_head).transpose()
}

/// The head, locked until the transaction ends: the fence for everything that changes a watch of the chain.
pub(crate) async fn lock_head(conn: &mut PgConnection, chain: &ChainId) -> Result<Option<Head>, sqlx::Error> {
    let row: Option<(i64, Vec<u8>, i64)> =
        sqlx::query_as("select number, hash, watch_version from chain_head where chain = $1 for update")
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

/// Moves the head: the blocks after `fork` have left the chain, these have come, and only the last `keep` are kept. The
/// head is locked.
pub(crate) async fn advance(
    conn: &mut PgConnection,
    chain: &ChainId,
    fork: BlockRef,
    blocks: &[BlockRef],
    keep: u64,
    node_number: u64,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let head = blocks.last().copied().unwrap_or(fork);
    sqlx::query("delete from block where chain = $1 and (number > $2 or number < $3)")
        .bind(chain.as_str())
        .bind(signed(fork.number))
        .bind(signed(head.number.saturating_sub(keep)))
        .execute(&mut *conn)
        .await?;
    insert_blocks(conn, chain, blocks).await?;
    sqlx::query("update chain_head set number = $2, hash = $3, node_number = $4, handled_at = $5 where chain = $1")
        .bind(chain.as_str())
        .bind(signed(head.number))
        .bind(head.hash.as_slice())
        .bind(signed(node_number))
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// The last blocks, by number.
pub(crate) async fn recent(db: impl PgExecutor<'_>, chain: &ChainId) -> Result<BTreeMap<u64, B256>, sqlx::Error> {
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("select number, hash from block where chain = $1").bind(chain.as_str()).fetch_all(db).await?;
    rows.into_iter().map(|(number, hash)| Ok((unsigned("number", number)?, read_hash(&hash)?))).collect()
}

pub(crate) async fn list(db: impl PgExecutor<'_>) -> Result<Vec<Status>, sqlx::Error> {
    #[derive(sqlx::FromRow)]
    struct Row {
        chain: String,
        number: i64,
        hash: Vec<u8>,
        node_number: i64,
        handled_at: Moment,
        nodes: i32,
        nodes_answering: i32,
        internal_transfers: bool,
    }

    let rows: Vec<Row> = sqlx::query_as(
        "select chain, number, hash, node_number, handled_at, nodes, nodes_answering, internal_transfers
         from chain_head order by chain",
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Status {
                chain: read("chain", &row.chain)?,
                at: BlockRef { number: unsigned("number", row.number)?, hash: read_hash(&row.hash)? },
                node_number: unsigned("node_number", row.node_number)?,
                handled_at: row.handled_at,
                condition: Condition {
                    nodes: row.nodes.try_into().map_err(|_| damaged("nodes"))?,
                    answering: row.nodes_answering.try_into().map_err(|_| damaged("nodes_answering"))?,
                    internal_transfers: row.internal_transfers,
                },
            })
        })
        .collect()
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

fn read_head((number, hash, watch_version): (i64, Vec<u8>, i64)) -> Result<Head, sqlx::Error> {
    let at = BlockRef { number: unsigned("number", number)?, hash: read_hash(&hash)? };
    Ok(Head { at, watch_version })
}

fn read_hash(bytes: &[u8]) -> Result<B256, sqlx::Error> {
    B256::try_from(bytes).map_err(|_| damaged("hash"))
}

/// Takes the lease of that name for this session, if it is free.
pub(crate) async fn take_lease(session: &mut PgConnection, name: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("select pg_try_advisory_lock(hashtextextended($1, 0))").bind(name).fetch_one(session).await
}
