//! What a trace needs of what watches recorded, and no more.

use std::collections::BTreeMap;

use haetae_core::{Account, Amount, Asset, ChainId, ExchangeId, TaintRule, WalletRole, WatchId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::code::{read, read_end, read_role, signed, unsigned};
use super::trail::{MovementRow, select_movements};
use crate::said::TrailEnd;
use crate::trace::{Edge, Look, Way};

/// A watch, as far as a trace shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Traced {
    pub(crate) id: WatchId,
    pub(crate) root: Account,
    pub(crate) rule: TaintRule,
    pub(crate) stolen: BTreeMap<Asset, Amount>,
    /// What lay at the root when the watch began, where the rule needs it; none where no node could say.
    pub(crate) found: BTreeMap<Asset, Option<Amount>>,
}

/// What watches recorded of an account, in one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) account: Account,
    pub(crate) asset: Asset,
    /// Traced money that came, that moved on, and that transactions cost.
    pub(crate) came: Amount,
    pub(crate) went: Amount,
    pub(crate) fees: Amount,
}

/// What ended at an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) account: Account,
    pub(crate) asset: Asset,
    pub(crate) reason: TrailEnd,
    pub(crate) traced: Amount,
}

/// What a watch knows of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Knows {
    pub(crate) account: Account,
    pub(crate) contract: bool,
    pub(crate) open: bool,
    pub(crate) held: Option<(ExchangeId, Option<WalletRole>)>,
}

/// The watches of these ids that were taken up, in the order of their ids.
pub(crate) async fn watches(conn: &mut PgConnection, ids: &[WatchId]) -> Result<Vec<Traced>, sqlx::Error> {
    let ids = uuids(ids);
    let rows: Vec<(Uuid, String, String)> =
        sqlx::query_as("select id, root, taint_rule from watch where id = any($1) order by id")
            .bind(&ids)
            .fetch_all(&mut *conn)
            .await?;
    let assets: Vec<(Uuid, String, String, bool, Option<String>)> = sqlx::query_as(
        "select a.watch_id, a.asset, a.stolen::text, o.account is not null, o.balance::text
         from watch_asset a join watch w on w.id = a.watch_id
         left join opening o on o.watch_id = w.id and o.account = w.root and o.asset = a.asset
         where a.watch_id = any($1)",
    )
    .bind(&ids)
    .fetch_all(conn)
    .await?;
    let mut watches = BTreeMap::new();
    for (id, root, rule) in rows {
        let (root, rule) = (read("root", &root)?, read("taint_rule", &rule)?);
        let (stolen, found) = (BTreeMap::new(), BTreeMap::new());
        watches.insert(id, Traced { id: WatchId(id), root, rule, stolen, found });
    }
    for (id, asset, stolen, opened, balance) in assets {
        let Some(watch) = watches.get_mut(&id) else { continue };
        let asset: Asset = read("asset", &asset)?;
        if opened {
            let balance = balance.map(|balance| read("balance", &balance)).transpose()?;
            watch.found.insert(asset.clone(), balance);
        }
        watch.stolen.insert(asset, read("stolen", &stolen)?);
    }
    Ok(watches.into_values().collect())
}

/// How far the chains of these watches are read, in order of name.
pub(crate) async fn heads(conn: &mut PgConnection, ids: &[WatchId]) -> Result<Vec<(ChainId, u64)>, sqlx::Error> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select chain, number from chain_head
         where chain in (select chain from watch where id = any($1)) order by chain",
    )
    .bind(uuids(ids))
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|(chain, number)| Ok((read("chain", &chain)?, unsigned("number", number)?))).collect()
}

/// Movements that were recorded of a transaction, or of one transfer in it.
pub(crate) async fn transfers(
    conn: &mut PgConnection,
    ids: &[WatchId],
    chain: &ChainId,
    transaction: &str,
    index: Option<&str>,
) -> Result<Vec<Edge>, sqlx::Error> {
    let rows: Vec<MovementRow> = sqlx::query_as(select_movements!(
        "where watch_id = any($1) and chain = $2 and transaction = $3 and ($4::text is null or index = $4)"
    ))
    .bind(uuids(ids))
    .bind(chain.as_str())
    .bind(transaction)
    .bind(index)
    .fetch_all(conn)
    .await?;
    edges(rows)
}

/// Whether anything was recorded of an account.
pub(crate) async fn is_recorded(
    conn: &mut PgConnection,
    ids: &[WatchId],
    account: &Account,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (select from watch where id = any($1) and root = $2)
             or exists (select from movement where watch_id = any($1) and payer = $2)
             or exists (select from movement where watch_id = any($1) and payee = $2)",
    )
    .bind(uuids(ids))
    .bind(account.to_string())
    .fetch_one(conn)
    .await
}

/// The movements that a search looks for, in the order of their chains, and whether these are all.
pub(crate) async fn look(
    conn: &mut PgConnection,
    ids: &[WatchId],
    look: &Look,
) -> Result<(Vec<Edge>, bool), sqlx::Error> {
    let query = match look.way {
        Way::Forward => sqlx::query_as(select_movements!(
            "where watch_id = any($1) and index <> 'fee' and (payer = any($2) or hop_payers is not null
                   and exists (select from jsonb_array_elements(hop_payers) paid where paid ->> 0 = any($2)))
             order by chain, block_number, position, transaction, index, watch_id limit $3"
        )),
        Way::Backward => sqlx::query_as(select_movements!(
            "where watch_id = any($1) and payee = any($2) and index <> 'fee'
             order by chain, block_number, position, transaction, index, watch_id limit $3"
        )),
    };
    let at_most = u64::try_from(look.at_most).unwrap_or(u64::MAX);
    // One more than wanted tells whether there are more.
    let mut rows: Vec<MovementRow> = query
        .bind(uuids(ids))
        .bind(texts(&look.accounts))
        .bind(signed(at_most.saturating_add(1)))
        .fetch_all(conn)
        .await?;
    let all = rows.len() <= look.at_most;
    rows.truncate(look.at_most);
    Ok((edges(rows)?, all))
}

/// Where traced money of these accounts went, over everything that is recorded.
pub(crate) async fn sums(
    conn: &mut PgConnection,
    ids: &[WatchId],
    accounts: &[Account],
) -> Result<Vec<Sums>, sqlx::Error> {
    let rows: Vec<(String, String, String, String, String)> = sqlx::query_as(
        "with most as (select power(2::numeric, 256) - 1 as amount),
         moved as (
            select payee as account, asset, hop_traced as came, 0 as went, 0 as fees from movement
            where watch_id = any($1) and payee = any($2) and hop_finality <> 'retracted'
            union all
            select payer, asset, 0, hop_traced, 0 from movement
            where watch_id = any($1) and payer = any($2) and hop_finality <> 'retracted'
            union all
            select payer, asset, 0,
                   case when end_reason <> 'fee' then end_traced else 0 end,
                   case when end_reason = 'fee' then end_traced else 0 end
            from movement
            where watch_id = any($1) and payer = any($2) and end_reason in ('dust', 'fee', 'no-address')
              and (hop_finality is null or hop_finality = 'retracted')
         )
         select account, asset, trunc(least(sum(came), max(most.amount)))::text,
                trunc(least(sum(went), max(most.amount)))::text, trunc(least(sum(fees), max(most.amount)))::text
         from moved, most group by account, asset",
    )
    .bind(uuids(ids))
    .bind(texts(accounts))
    .fetch_all(conn)
    .await?;
    let sums = rows.into_iter().map(|(account, asset, came, went, fees)| {
        Ok(Sums {
            account: read("account", &account)?,
            asset: read("asset", &asset)?,
            came: read("hop_traced", &came)?,
            went: read("hop_traced", &went)?,
            fees: read("end_traced", &fees)?,
        })
    });
    sums.collect()
}

/// What ended at these accounts, fees apart.
pub(crate) async fn ends(
    conn: &mut PgConnection,
    ids: &[WatchId],
    accounts: &[Account],
) -> Result<Vec<Ended>, sqlx::Error> {
    // Where a payer shows to be a service, or pays what has no address, the end is the payer's. Every other is the payee's.
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "with ended as (
            select case when end_reason in ('service-like', 'no-address') and (hop_finality is null or hop_finality = 'retracted')
                        then payer else payee end as account,
                   asset, end_reason, end_traced
            from movement
            where watch_id = any($1) and (payer = any($2) or payee = any($2)) and end_reason <> 'fee'
         )
         select account, asset, end_reason, trunc(least(sum(end_traced), power(2::numeric, 256) - 1))::text from ended
         where account = any($2) group by account, asset, end_reason order by account, asset, end_reason",
    )
    .bind(uuids(ids))
    .bind(texts(accounts))
    .fetch_all(conn)
    .await?;
    let ends = rows.into_iter().map(|(account, asset, reason, traced)| {
        Ok(Ended {
            account: read("account", &account)?,
            asset: read("asset", &asset)?,
            reason: read_end(&reason)?,
            traced: read("end_traced", &traced)?,
        })
    });
    ends.collect()
}

/// What the watches know of these accounts.
pub(crate) async fn known(
    conn: &mut PgConnection,
    ids: &[WatchId],
    accounts: &[Account],
) -> Result<Vec<Knows>, sqlx::Error> {
    #[derive(sqlx::FromRow)]
    struct Row {
        account: String,
        contract: bool,
        standing: String,
        held_by: Option<String>,
        wallet_role: Option<String>,
    }

    let rows: Vec<Row> = sqlx::query_as(
        "select account, contract, standing, held_by, wallet_role from known_account
         where watch_id = any($1) and account = any($2) order by account, watch_id",
    )
    .bind(uuids(ids))
    .bind(texts(accounts))
    .fetch_all(conn)
    .await?;
    let known = rows.into_iter().map(|Row { account, contract, standing, held_by, wallet_role }| {
        let role = wallet_role.as_deref().map(read_role).transpose()?;
        let held = held_by.map(|exchange| Ok::<_, sqlx::Error>((read("held_by", &exchange)?, role))).transpose()?;
        Ok(Knows { account: read("account", &account)?, contract, open: standing == "open", held })
    });
    known.collect()
}

fn edges(rows: Vec<MovementRow>) -> Result<Vec<Edge>, sqlx::Error> {
    let mut edges = Vec::with_capacity(rows.len());
    for row in rows {
        let watch = WatchId(row.watch_id);
        edges.extend(Edge::all_of(watch, row.read()?));
    }
    Ok(edges)
}

fn uuids(ids: &[WatchId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.0).collect()
}

fn texts(accounts: &[Account]) -> Vec<String> {
    accounts.iter().map(ToString::to_string).collect()
}
