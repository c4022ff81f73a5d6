//! What watches found: movements, and the items that are shown.

use std::collections::HashMap;

use haetae_core::{ChainId, ExchangeId, Moment, TransferId, WalletRole, WatchId};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::code::{
    damaged, read, read_arrival, read_end, read_finality, read_payers, read_role, signed, unsigned, write_arrival,
    write_end, write_finality, write_payers, write_role,
};
use super::{knowledge, pool};
use crate::knowledge::Holder;
use crate::page::Order;
use crate::said::{Finality, Said, SaidArrival, SaidEnd, SaidHop};
use crate::trail::{Place, Sighting};
use crate::watched::{Movement, News};

/// Hops whose finality is brought forward at once; the rest follows with the next block.
const FINALITY_AT_ONCE: i64 = 500;

/// A movement as it is stored.
#[derive(sqlx::FromRow)]
pub(super) struct MovementRow {
    pub(super) watch_id: Uuid,
    chain: String,
    transaction: String,
    index: String,
    payer: String,
    payee: String,
    asset: String,
    amount: String,
    block_number: i64,
    block_hash: String,
    position: i64,
    seen_at: Moment,
    live: bool,
    hop_depth: Option<i64>,
    hop_traced: Option<String>,
    hop_provisional: Option<bool>,
    hop_finality: Option<String>,
    hop_block_hash: Option<String>,
    hop_payers: Option<serde_json::Value>,
    arrival_exchange: Option<String>,
    arrival_role: Option<String>,
    arrival_traced: Option<String>,
    arrival_state: Option<String>,
    end_reason: Option<String>,
    end_traced: Option<String>,
}

/// A query for whole movements, with what comes after `from movement`.
macro_rules! select_movements {
    ($rest:literal) => {
        concat!(
            "select watch_id, chain, transaction, index, payer, payee, asset, amount::text, block_number, block_hash, \
                    position, seen_at, live, hop_depth, hop_traced::text, hop_provisional, hop_finality, hop_block_hash, \
                    hop_payers, arrival_exchange, arrival_role, arrival_traced::text, arrival_state, end_reason, \
                    end_traced::text \
             from movement ",
            $rest
        )
    };
}
pub(super) use select_movements;

/// The movements of these watches.
pub(super) async fn movements(
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Movement>>, sqlx::Error> {
    let rows: Vec<MovementRow> =
        sqlx::query_as(select_movements!("where watch_id = any($1)")).bind(ids).fetch_all(conn).await?;
    let mut movements: HashMap<Uuid, Vec<Movement>> = HashMap::new();
    for row in rows {
        let id = row.watch_id;
        movements.entry(id).or_default().push(row.read()?);
    }
    Ok(movements)
}

impl MovementRow {
    pub(super) fn read(self) -> Result<Movement, sqlx::Error> {
        Ok(Movement {
            said: Said { hop: self.hop()?, arrival: self.arrival()?, end: self.end()? },
            live: self.live,
            sighting: Sighting {
                transfer: TransferId {
                    chain: read("chain", &self.chain)?,
                    transaction: self.transaction,
                    index: read("index", &self.index)?,
                },
                from: read("payer", &self.payer)?,
                to: read("payee", &self.payee)?,
                asset: read("asset", &self.asset)?,
                amount: read("amount", &self.amount)?,
                place: Place {
                    block: unsigned("block_number", self.block_number)?,
                    position: unsigned("position", self.position)?,
                },
                block_hash: self.block_hash,
                seen_at: self.seen_at,
            },
        })
    }

    fn hop(&self) -> Result<Option<SaidHop>, sqlx::Error> {
        let Some(finality) = &self.hop_finality else { return Ok(None) };
        let traced = self.hop_traced.as_deref().ok_or_else(|| damaged("hop_traced"))?;
        Ok(Some(SaidHop {
            depth: unsigned("hop_depth", self.hop_depth.unwrap_or_default())?,
            traced: read("hop_traced", traced)?,
            provisional: self.hop_provisional.unwrap_or_default(),
            finality: read_finality(finality)?,
            block_hash: self.hop_block_hash.clone().unwrap_or_default(),
            payers: read_payers(self.hop_payers.as_ref())?,
        }))
    }

    fn arrival(&self) -> Result<Option<SaidArrival>, sqlx::Error> {
        let (Some(state), Some(exchange)) = (&self.arrival_state, &self.arrival_exchange) else { return Ok(None) };
        let traced = self.arrival_traced.as_deref().ok_or_else(|| damaged("arrival_traced"))?;
        let exchange: ExchangeId = read("arrival_exchange", exchange)?;
        let role = self.arrival_role.as_deref().map(read_role).transpose()?;
        let holder = Holder { exchange, role };
        Ok(Some(SaidArrival { holder, traced: read("arrival_traced", traced)?, state: read_arrival(state)? }))
    }

    fn end(&self) -> Result<Option<SaidEnd>, sqlx::Error> {
        let Some(reason) = &self.end_reason else { return Ok(None) };
        let traced = self.end_traced.as_deref().ok_or_else(|| damaged("end_traced"))?;
        Ok(Some(SaidEnd { reason: read_end(reason)?, traced: read("end_traced", traced)? }))
    }
}

/// Stores what a watch has come to.
pub(crate) async fn save(conn: &mut PgConnection, id: WatchId, news: &News) -> Result<(), sqlx::Error> {
    knowledge::save(conn, id, news).await?;
    pool::save(conn, id, &news.pools).await?;
    save_movements(conn, id, &news.movements).await
}

async fn save_movements(conn: &mut PgConnection, id: WatchId, movements: &[Movement]) -> Result<(), sqlx::Error> {
    if movements.is_empty() {
        return Ok(());
    }
    let of = |part: fn(&Sighting) -> String| movements.iter().map(|m| part(&m.sighting)).collect::<Vec<String>>();
    let hop = |part: fn(&SaidHop) -> String| column(movements, |said| said.hop.as_ref().map(part));
    let arrival = |part: fn(&SaidArrival) -> String| column(movements, |said| said.arrival.as_ref().map(part));
    let end = |part: fn(&SaidEnd) -> String| column(movements, |said| said.end.as_ref().map(part));
    let role = |role: WalletRole| write_role(role).to_owned();
    sqlx::query(
        "insert into movement
            (watch_id, chain, transaction, index, payer, payee, asset, amount, block_number, block_hash, position,
             seen_at, live, hop_depth, hop_traced, hop_provisional, hop_finality, hop_block_hash,
             arrival_exchange, arrival_role, arrival_traced, arrival_state, end_reason, end_traced, hop_payers)
         select $1, chain, transaction, index, payer, payee, asset, amount::numeric, block_number, block_hash, position,
                seen_at, live, hop_depth::bigint, hop_traced::numeric, hop_provisional::boolean, hop_finality,
                hop_block_hash, arrival_exchange, arrival_role, arrival_traced::numeric, arrival_state, end_reason,
                end_traced::numeric, hop_payers
         from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[],
                     $10::text[], $11::bigint[], $12::timestamptz[], $13::boolean[], $14::text[], $15::text[],
                     $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[],
                     $23::text[], $24::text[], $25::jsonb[])
              as m (chain, transaction, index, payer, payee, asset, amount, block_number, block_hash, position,
                    seen_at, live, hop_depth, hop_traced, hop_provisional, hop_finality, hop_block_hash,
                    arrival_exchange, arrival_role, arrival_traced, arrival_state, end_reason, end_traced, hop_payers)
         on conflict (watch_id, transaction, index) do update
         set payer = excluded.payer, payee = excluded.payee, asset = excluded.asset, amount = excluded.amount,
             block_number = excluded.block_number, block_hash = excluded.block_hash, position = excluded.position,
             seen_at = excluded.seen_at, live = excluded.live, hop_depth = excluded.hop_depth,
             hop_traced = excluded.hop_traced, hop_provisional = excluded.hop_provisional,
             hop_finality = excluded.hop_finality, hop_block_hash = excluded.hop_block_hash,
             arrival_exchange = excluded.arrival_exchange, arrival_role = excluded.arrival_role,
             arrival_traced = excluded.arrival_traced, arrival_state = excluded.arrival_state,
             end_reason = excluded.end_reason, end_traced = excluded.end_traced, hop_payers = excluded.hop_payers",
    )
    .bind(id.0)
    .bind(of(|s| s.transfer.chain.to_string()))
    .bind(of(|s| s.transfer.transaction.clone()))
    .bind(of(|s| s.transfer.index.to_string()))
    .bind(of(|s| s.from.to_string()))
    .bind(of(|s| s.to.to_string()))
    .bind(of(|s| s.asset.to_string()))
    .bind(of(|s| s.amount.to_string()))
    .bind(movements.iter().map(|m| signed(m.sighting.place.block)).collect::<Vec<_>>())
    .bind(of(|s| s.block_hash.clone()))
    .bind(movements.iter().map(|m| i64::from(m.sighting.place.position)).collect::<Vec<_>>())
    .bind(movements.iter().map(|m| m.sighting.seen_at).collect::<Vec<_>>())
    .bind(movements.iter().map(|m| m.live).collect::<Vec<_>>())
    .bind(hop(|hop| hop.depth.to_string()))
    .bind(hop(|hop| hop.traced.to_string()))
    .bind(hop(|hop| hop.provisional.to_string()))
    .bind(hop(|hop| write_finality(hop.finality).to_owned()))
    .bind(hop(|hop| hop.block_hash.clone()))
    .bind(arrival(|arrival| arrival.holder.exchange.to_string()))
    .bind(column(movements, |said| said.arrival.as_ref()?.holder.role.map(role)))
    .bind(arrival(|arrival| arrival.traced.to_string()))
    .bind(arrival(|arrival| write_arrival(arrival.state).to_owned()))
    .bind(end(|end| write_end(end.reason).to_owned()))
    .bind(end(|end| end.traced.to_string()))
    .bind(movements.iter().map(|m| m.said.hop.as_ref().and_then(write_payers)).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

fn column(movements: &[Movement], part: impl Fn(&Said) -> Option<String>) -> Vec<Option<String>> {
    movements.iter().map(|movement| part(&movement.said)).collect()
}

/// A hop that has become more final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finalised {
    pub(crate) watch: WatchId,
    pub(crate) transfer: TransferId,
    pub(crate) finality: Finality,
    pub(crate) block_number: u64,
    pub(crate) block_hash: String,
}

/// Brings hops forward that lie under enough blocks: those up to `confirmed` and those up to `finalized`, oldest first
/// and no more than some at once.
pub(crate) async fn finalise(
    conn: &mut PgConnection,
    chain: &ChainId,
    confirmed: Option<u64>,
    finalized: Option<u64>,
) -> Result<Vec<Finalised>, sqlx::Error> {
    let rows: Vec<(Uuid, String, String, String, i64, String)> = sqlx::query_as(
        "with due as (
            select watch_id, transaction, index,
                   case when block_number <= $3 then 'final' else 'confirmed' end as finality
            from movement
            where chain = $1 and hop_finality in ('seen', 'confirmed')
              and ((block_number <= $2 and hop_finality = 'seen') or block_number <= $3)
            order by block_number, position limit $4
         )
         update movement m set hop_finality = due.finality from due
         where (m.watch_id, m.transaction, m.index) = (due.watch_id, due.transaction, due.index)
         returning m.watch_id, m.transaction, m.index, due.finality, m.block_number, m.block_hash",
    )
    .bind(chain.as_str())
    .bind(confirmed.map_or(-1, signed))
    .bind(finalized.map_or(-1, signed))
    .bind(FINALITY_AT_ONCE)
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(watch, transaction, index, finality, number, block_hash)| {
            Ok(Finalised {
                watch: WatchId(watch),
                transfer: TransferId { chain: chain.clone(), transaction, index: read("index", &index)? },
                finality: read_finality(&finality)?,
                block_number: unsigned("block_number", number)?,
                block_hash,
            })
        })
        .collect()
}

/// Adds items to what watches show, numbered in this order. The chain's head is locked.
pub(crate) async fn add_items(conn: &mut PgConnection, items: &[(WatchId, Vec<u8>)]) -> Result<(), sqlx::Error> {
    if items.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "with added as (
            select watch_id, item, row_number() over (partition by watch_id order by place) as step
            from unnest($1::uuid[], $2::bytea[]) with ordinality as a (watch_id, item, place)
         ), counted as (
            update watch w set items = items + (select count(*) from added where watch_id = w.id)
            where w.id in (select watch_id from added)
            returning w.id, w.items - (select count(*) from added where watch_id = w.id) as before
         )
         insert into trail_item (watch_id, number, item)
         select watch_id, before + step, item from added join counted on id = watch_id",
    )
    .bind(items.iter().map(|(id, _)| id.0).collect::<Vec<_>>())
    .bind(items.iter().map(|(_, item)| item.as_slice()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Items of a watch's trail in an order, those after the one that was seen last, at most `limit`.
pub(crate) async fn items(
    db: impl PgExecutor<'_>,
    id: WatchId,
    order: Order,
    seen: u64,
    limit: u32,
) -> Result<Vec<(u64, Vec<u8>)>, sqlx::Error> {
    let question = match order {
        Order::AsFound => {
            "select number, item from trail_item where watch_id = $1 and number > $2 order by number limit $3"
        }
        Order::NewestFirst => {
            "select number, item from trail_item where watch_id = $1 and number < $2 order by number desc limit $3"
        }
    };
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as(question).bind(id.0).bind(signed(seen)).bind(i64::from(limit)).fetch_all(db).await?;
    rows.into_iter().map(|(number, item)| Ok((unsigned("number", number)?, item))).collect()
}
