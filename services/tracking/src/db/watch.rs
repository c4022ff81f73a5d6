//! Watches: what was granted, and all that belongs to one when it is read into memory.

use std::collections::{BTreeMap, HashMap};

use haetae_core::{Account, Amount, Asset, AuthorisationId, ChainId, ExchangeId, Moment, Target, WatchId, WatchStart};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::code::{damaged, read, signed, unsigned};
use super::{knowledge, pool, trail};
use crate::grant::Start;
use crate::terms::{Limits, Terms};
use crate::trail::Place;
use crate::watched::{Stored, Watched};

/// A watch as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchRow {
    pub(crate) terms: Terms,
    pub(crate) active: bool,
    pub(crate) active_after: u64,
    pub(crate) until: Moment,
    /// Its way to the chain's head, where it began in the past and is not there yet.
    pub(crate) catching_up: Option<CatchingUp>,
}

/// How far a watch has come on its way to the chain's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CatchingUp {
    /// The last block that was read for it; none before the place to begin is found.
    pub(crate) read: Option<u64>,
    pub(crate) head: u64,
}

/// Whom a watch asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) exchange: ExchangeId,
    pub(crate) line: AuthorisationId,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    request_id: Uuid,
    root: String,
    memo: Option<String>,
    active: bool,
    active_after: i64,
    until: Moment,
    catching_up: bool,
    read_number: Option<i64>,
    head: i64,
    begins_block: Option<i64>,
    begins_position: Option<i64>,
    max_hops: i64,
    max_addresses: i64,
    max_questions: i64,
    max_degree: i64,
    taint_rule: String,
    exchanges: i64,
}

/// Stores a new watch, which is to begin in the past where it has a start. False where it is there already. The chain's head
/// is locked.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    watch: &WatchRow,
    start: Option<&Start>,
    lines: &[Line],
    version: i64,
) -> Result<bool, sqlx::Error> {
    let Terms { watch: id, request, root, stolen, limits, rule, .. } = &watch.terms;
    let inserted = sqlx::query(
        "insert into watch (id, request_id, chain, root, memo, active_after, until,
                            max_hops, max_addresses, max_questions, max_degree, taint_rule, version,
                            state, start_since, start_transaction, start_not_before)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) on conflict do nothing",
    )
    .bind(id.0)
    .bind(request.0)
    .bind(root.account.chain().as_str())
    .bind(root.account.to_string())
    .bind(&root.memo)
    .bind(signed(watch.active_after))
    .bind(watch.until)
    .bind(i64::from(limits.max_hops))
    .bind(i64::from(limits.max_addresses))
    .bind(i64::from(limits.max_questions))
    .bind(signed(limits.max_degree))
    .bind(rule.name())
    .bind(version)
    .bind(if start.is_some() { "catching-up" } else { "active" })
    .bind(start.and_then(|start| match start.at {
        WatchStart::Since(since) => Some(since),
        WatchStart::Transaction(_) => None,
    }))
    .bind(start.and_then(|start| match &start.at {
        WatchStart::Since(_) => None,
        WatchStart::Transaction(hash) => Some(hash.as_str()),
    }))
    .bind(start.and_then(|start| start.not_before))
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if inserted == 0 {
        return Ok(false);
    }
    let assets: Vec<String> = stolen.keys().map(ToString::to_string).collect();
    let amounts: Vec<String> = stolen.values().map(ToString::to_string).collect();
    let dust: Vec<Option<String>> =
        stolen.keys().map(|asset| limits.dust.get(asset).map(ToString::to_string)).collect();
    sqlx::query(
        "insert into watch_asset (watch_id, asset, stolen, dust)
         select $1, asset, stolen::numeric, dust::numeric
         from unnest($2::text[], $3::text[], $4::text[]) as a (asset, stolen, dust)",
    )
    .bind(id.0)
    .bind(assets)
    .bind(amounts)
    .bind(dust)
    .execute(&mut *conn)
    .await?;
    sqlx::query("insert into watch_line (watch_id, exchange, line) select $1, * from unnest($2::text[], $3::uuid[])")
        .bind(id.0)
        .bind(lines.iter().map(|line| line.exchange.as_str()).collect::<Vec<_>>())
        .bind(lines.iter().map(|line| line.line.0).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(true)
}

/// A watch, with all that it found and knows.
pub(crate) async fn load(conn: &mut PgConnection, id: WatchId) -> Result<Option<(WatchRow, Watched)>, sqlx::Error> {
    Ok(load_all(conn, &[id.0]).await?.pop())
}

/// Watches with all that they found and know.
pub(crate) async fn load_all(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<(WatchRow, Watched)>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, request_id, root, memo, state = 'active' as active, active_after, until,
                state = 'catching-up' as catching_up, read_number, begins_block, begins_position,
                (select number from chain_head where chain_head.chain = watch.chain) as head,
                max_hops, max_addresses, max_questions, max_degree, taint_rule,
                (select count(*) from watch_line where watch_id = id) as exchanges
         from watch where id = any($1)",
    )
    .bind(ids)
    .fetch_all(&mut *conn)
    .await?;
    let mut assets = assets(conn, ids).await?;
    let mut knowledge = knowledge::stored(conn, ids).await?;
    let mut movements = trail::movements(conn, ids).await?;
    let mut pools = pool::pools(conn, ids).await?;
    rows.into_iter()
        .map(|row| {
            let id = row.id;
            let row = row.read(assets.remove(&id).unwrap_or_default())?;
            let stored = Stored {
                knowledge: knowledge.remove(&id).unwrap_or_default(),
                movements: movements.remove(&id).unwrap_or_default(),
                pools: pools.remove(&id).unwrap_or_default(),
            };
            let watched = Watched::restore(row.terms.clone(), stored).map_err(|_| damaged("known_account"))?;
            Ok((row, watched))
        })
        .collect()
}

/// A watch that changed.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) id: WatchId,
    pub(crate) root: Account,
    pub(crate) active: bool,
    /// Nothing has happened: it knows of no account but its root, and need not know what lies there.
    pub(crate) quiet: bool,
    /// With its id, where the list goes on.
    pub(crate) version: i64,
}

/// The next watches of a chain that changed after `version`, ended ones too unless it is the first reading; `limit` at most,
/// in the order of their versions, and those of one version by their ids.
pub(crate) async fn changed_since(
    db: impl PgExecutor<'_>,
    chain: &ChainId,
    version: i64,
    after: Option<(i64, WatchId)>,
    limit: i64,
) -> Result<Vec<Changed>, sqlx::Error> {
    let (from, id) = after.map_or((version, Uuid::max()), |(version, id)| (version, id.0));
    let rows: Vec<(Uuid, String, bool, bool, i64)> = sqlx::query_as(
        "select id, root, state = 'active',
                taint_rule = 'traced-first' and not exists (select from known_account where watch_id = id)
                    and not exists (select from movement where watch_id = id),
                version
         from watch
         where chain = $1 and (version, id) > ($2, $3) and ($4 > 0 or state = 'active')
         order by version, id limit $5",
    )
    .bind(chain.as_str())
    .bind(from)
    .bind(id)
    .bind(version)
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|(id, root, active, quiet, version)| {
            Ok(Changed { id: WatchId(id), root: read("root", &root)?, active, quiet, version })
        })
        .collect()
}

/// Notes that these watches changed. The chain's head is locked, and `version` is its newest.
pub(crate) async fn touch(conn: &mut PgConnection, ids: &[WatchId], version: i64) -> Result<(), sqlx::Error> {
    sqlx::query("update watch set version = $2 where id = any($1)")
        .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
        .bind(version)
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes that watches which began on a branch that is gone begin where it left the chain. The chain's head is locked.
pub(crate) async fn begin_earlier(conn: &mut PgConnection, chain: &ChainId, fork: u64) -> Result<(), sqlx::Error> {
    sqlx::query("update watch set active_after = $2 where chain = $1 and state = 'active' and active_after > $2")
        .bind(chain.as_str())
        .bind(signed(fork))
        .execute(conn)
        .await?;
    Ok(())
}

/// The chain that a watch is on.
pub(crate) async fn chain_of(db: impl PgExecutor<'_>, id: WatchId) -> Result<Option<ChainId>, sqlx::Error> {
    let chain: Option<String> =
        sqlx::query_scalar("select chain from watch where id = $1").bind(id.0).fetch_optional(db).await?;
    chain.map(|chain| read("chain", &chain)).transpose()
}

/// Whom each of these watches asks.
pub(crate) async fn lines(
    conn: &mut PgConnection,
    ids: &[WatchId],
) -> Result<HashMap<WatchId, Vec<Line>>, sqlx::Error> {
    let rows: Vec<(Uuid, String, Uuid)> =
        sqlx::query_as("select watch_id, exchange, line from watch_line where watch_id = any($1) order by exchange")
            .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
            .fetch_all(conn)
            .await?;
    let mut lines: HashMap<WatchId, Vec<Line>> = HashMap::new();
    for (id, exchange, line) in rows {
        let line = Line { exchange: read("exchange", &exchange)?, line: AuthorisationId(line) };
        lines.entry(WatchId(id)).or_default().push(line);
    }
    Ok(lines)
}

/// Watches of a chain whose period is over.
pub(crate) async fn over(db: impl PgExecutor<'_>, now: Moment) -> Result<Vec<WatchId>, sqlx::Error> {
    let ids: Vec<Uuid> =
        sqlx::query_scalar("select id from watch where state <> 'ended' and until <= $1 order by until limit 100")
            .bind(now)
            .fetch_all(db)
            .await?;
    Ok(ids.into_iter().map(WatchId).collect())
}

/// Ends a watch. False where it has ended. The chain's head is locked.
pub(crate) async fn end(conn: &mut PgConnection, id: WatchId, version: i64) -> Result<bool, sqlx::Error> {
    let ended = sqlx::query("update watch set state = 'ended', version = $2 where id = $1 and state <> 'ended'")
        .bind(id.0)
        .bind(version)
        .execute(conn)
        .await?;
    Ok(ended.rows_affected() == 1)
}

async fn assets(
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<(Asset, Amount, Option<Amount>)>>, sqlx::Error> {
    let rows: Vec<(Uuid, String, String, Option<String>)> =
        sqlx::query_as("select watch_id, asset, stolen::text, dust::text from watch_asset where watch_id = any($1)")
            .bind(ids)
            .fetch_all(conn)
            .await?;
    let mut assets: HashMap<Uuid, Vec<_>> = HashMap::new();
    for (id, asset, stolen, dust) in rows {
        let dust = dust.map(|dust| read("dust", &dust)).transpose()?;
        assets.entry(id).or_default().push((read("asset", &asset)?, read("stolen", &stolen)?, dust));
    }
    Ok(assets)
}

impl Row {
    fn read(self, assets: Vec<(Asset, Amount, Option<Amount>)>) -> Result<WatchRow, sqlx::Error> {
        let stolen: BTreeMap<Asset, Amount> =
            assets.iter().map(|(asset, stolen, _)| (asset.clone(), *stolen)).collect();
        let dust = assets.into_iter().filter_map(|(asset, _, dust)| Some((asset, dust?))).collect();
        let account: Account = read("root", &self.root)?;
        let begins = match (self.begins_block, self.begins_position) {
            (Some(block), Some(position)) => Some(Place {
                block: unsigned("begins_block", block)?,
                position: unsigned("begins_position", position)?,
            }),
            _ => None,
        };
        let read_number = self.read_number.map(|number| unsigned("read_number", number)).transpose()?;
        let head = unsigned("head", self.head)?;
        Ok(WatchRow {
            terms: Terms {
                watch: WatchId(self.id),
                request: haetae_core::RequestId(self.request_id),
                root: Target { account, memo: self.memo },
                stolen,
                limits: Limits {
                    max_hops: unsigned("max_hops", self.max_hops)?,
                    dust,
                    max_addresses: unsigned("max_addresses", self.max_addresses)?,
                    max_questions: unsigned("max_questions", self.max_questions)?,
                    max_degree: unsigned("max_degree", self.max_degree)?,
                },
                rule: read("taint_rule", &self.taint_rule)?,
                begins,
                exchanges: unsigned("exchanges", self.exchanges)?,
            },
            active: self.active,
            active_after: unsigned("active_after", self.active_after)?,
            until: self.until,
            catching_up: self.catching_up.then_some(CatchingUp { read: read_number, head }),
        })
    }
}

#[cfg(test)]
mod tests;
