//! Watches that begin in the past and are on their way to the chain's head.

use std::collections::{BTreeMap, HashMap};

use alloy_primitives::B256;
use haetae_core::{Amount, Asset, ChainId, Moment, WatchId, WatchStart};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::code::{damaged, read, signed, unsigned};
use crate::source::BlockRef;
use crate::trail::Place;

/// A watch on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnTheWay {
    pub(crate) watch: WatchId,
    pub(crate) start: WatchStart,
    /// A transaction of an earlier block is too old.
    pub(crate) not_before: Option<Moment>,
    /// It has begun before: the place has left the chain.
    pub(crate) again: bool,
    /// The last block that was read for it; none before the place to begin is found.
    pub(crate) read: Option<BlockRef>,
    /// Rises with every change to it.
    pub(crate) version: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    start_since: Option<Moment>,
    start_transaction: Option<String>,
    start_not_before: Option<Moment>,
    again: bool,
    read_number: Option<i64>,
    read_hash: Option<Vec<u8>>,
    version: i64,
}

impl Row {
    fn read(self) -> Result<OnTheWay, sqlx::Error> {
        let start = start(self.start_since, self.start_transaction).ok_or_else(|| damaged("start_since"))?;
        Ok(OnTheWay {
            watch: WatchId(self.id),
            start,
            not_before: self.start_not_before,
            again: self.again,
            read: block(self.read_number, self.read_hash.as_deref())?,
            version: self.version,
        })
    }
}

/// Where people asked a watch to begin.
pub(super) fn start(since: Option<Moment>, transaction: Option<String>) -> Option<WatchStart> {
    since.map(WatchStart::Since).or(transaction.map(WatchStart::Transaction))
}

fn block(number: Option<i64>, hash: Option<&[u8]>) -> Result<Option<BlockRef>, sqlx::Error> {
    let (Some(number), Some(hash)) = (number, hash) else { return Ok(None) };
    let hash = B256::try_from(hash).map_err(|_| damaged("read_hash"))?;
    Ok(Some(BlockRef { number: unsigned("read_number", number)?, hash }))
}

/// The watches of a chain that are on their way, those granted first before others.
pub(crate) async fn on_the_way(db: impl PgExecutor<'_>, chain: &ChainId) -> Result<Vec<OnTheWay>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, start_since, start_transaction, start_not_before, begins_block is not null as again,
                read_number, read_hash, version
         from watch where chain = $1 and state = 'catching-up' order by version, id",
    )
    .bind(chain.as_str())
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Row::read).collect()
}

/// Those of these watches that are still on their way as they were read: the same version, the same block. The chain's head
/// is locked.
pub(crate) async fn unchanged(
    conn: &mut PgConnection,
    versions: &BTreeMap<WatchId, i64>,
    read: Option<BlockRef>,
) -> Result<bool, sqlx::Error> {
    let (ids, versions): (Vec<Uuid>, Vec<i64>) = versions.iter().map(|(id, version)| (id.0, *version)).unzip();
    let wanted = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let same: i64 = sqlx::query_scalar(
        "select count(*) from watch w join unnest($1::uuid[], $2::bigint[]) as was (id, version) using (id, version)
         where state = 'catching-up' and read_number is not distinct from $3 and read_hash is not distinct from $4",
    )
    .bind(ids)
    .bind(versions)
    .bind(read.map(|at| signed(at.number)))
    .bind(read.map(|at| at.hash.to_vec()))
    .fetch_one(conn)
    .await?;
    Ok(same == wanted)
}

/// Notes where a watch begins: after this block, at this place. `with` is the block of the transaction that it begins with.
/// The chain's head is locked.
pub(crate) async fn begin(
    conn: &mut PgConnection,
    id: WatchId,
    read: BlockRef,
    place: Place,
    with: Option<B256>,
    version: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update watch set read_number = $2, read_hash = $3, active_after = $2, begins_block = $4, begins_position = $5,
                          begins_hash = $6, version = $7
         where id = $1",
    )
    .bind(id.0)
    .bind(signed(read.number))
    .bind(read.hash.as_slice())
    .bind(signed(place.block))
    .bind(i64::from(place.position))
    .bind(with.map(|hash| hash.to_vec()))
    .bind(version)
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that no more was stolen than this.
pub(crate) async fn limit_stolen(
    conn: &mut PgConnection,
    id: WatchId,
    stolen: &BTreeMap<Asset, Amount>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update watch_asset w set stolen = least(w.stolen, m.stolen::numeric)
         from unnest($2::text[], $3::text[]) as m (asset, stolen) where w.watch_id = $1 and w.asset = m.asset",
    )
    .bind(id.0)
    .bind(stolen.keys().map(ToString::to_string).collect::<Vec<_>>())
    .bind(stolen.values().map(ToString::to_string).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that these watches were read for up to a block. The chain's head is locked.
pub(crate) async fn advance(conn: &mut PgConnection, ids: &[WatchId], read: BlockRef) -> Result<(), sqlx::Error> {
    sqlx::query("update watch set read_number = $2, read_hash = $3 where id = any($1)")
        .bind(uuids(ids))
        .bind(signed(read.number))
        .bind(read.hash.as_slice())
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes these watches active: from here on whoever moves the chain's head matches every block against them. The head is
/// locked.
pub(crate) async fn join(conn: &mut PgConnection, ids: &[WatchId], version: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update watch set state = 'active', read_number = null, read_hash = null, version = $2
         where id = any($1) and state = 'catching-up'",
    )
    .bind(uuids(ids))
    .bind(version)
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets these watches back: the transaction that they begin with has to be found anew. The chain's head is locked.
pub(crate) async fn begin_again(conn: &mut PgConnection, ids: &[WatchId], version: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update watch set state = 'catching-up', read_number = null, read_hash = null, version = $2
         where id = any($1) and state <> 'ended'",
    )
    .bind(uuids(ids))
    .bind(version)
    .execute(conn)
    .await?;
    Ok(())
}

/// Active watches of a chain that begin with a transaction in a block after this one.
pub(crate) async fn begun_after(
    db: impl PgExecutor<'_>,
    chain: &ChainId,
    fork: u64,
) -> Result<Vec<WatchId>, sqlx::Error> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select id from watch
         where chain = $1 and state = 'active' and start_transaction is not null and begins_block > $2",
    )
    .bind(chain.as_str())
    .bind(signed(fork))
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(WatchId).collect())
}

/// The blocks of the transactions that these watches begin with.
pub(crate) async fn begun_in(
    conn: &mut PgConnection,
    ids: &[WatchId],
) -> Result<HashMap<WatchId, BlockRef>, sqlx::Error> {
    let rows: Vec<(Uuid, i64, Vec<u8>)> = sqlx::query_as(
        "select id, begins_block, begins_hash from watch
         where id = any($1) and begins_block is not null and begins_hash is not null",
    )
    .bind(uuids(ids))
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(id, number, hash)| {
            let hash = B256::try_from(hash.as_slice()).map_err(|_| damaged("begins_hash"))?;
            Ok((WatchId(id), BlockRef { number: unsigned("begins_block", number)?, hash }))
        })
        .collect()
}

/// How many watches of each chain are on their way, and how many blocks the last of them has to go, as far as that is known.
pub(crate) async fn standing(db: impl PgExecutor<'_>) -> Result<HashMap<ChainId, (u64, u64)>, sqlx::Error> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select chain, count(*), greatest(coalesce(max(number - read_number), 0), 0)
         from watch join chain_head using (chain) where state = 'catching-up' group by chain",
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|(chain, count, blocks)| {
            Ok((read("chain", &chain)?, (unsigned("count", count)?, unsigned("blocks", blocks)?)))
        })
        .collect()
}

fn uuids(ids: &[WatchId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.0).collect()
}
