//! Transactions that moved traced money, where money is kept in outputs.

use std::collections::{BTreeMap, HashMap};

use bitcoin::{OutPoint, Txid};
use haetae_core::{Amount, Moment, WatchId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::code::{read, signed, unsigned};
use crate::trail::{Input, Output, Place, Pool};
use crate::watched::Pooled;

#[derive(sqlx::FromRow)]
struct PoolRow {
    watch_id: Uuid,
    transaction: String,
    asset: String,
    block_number: i64,
    block_hash: String,
    position: i64,
    seen_at: Moment,
    live: bool,
}

#[derive(sqlx::FromRow)]
struct InputRow {
    watch_id: Uuid,
    transaction: String,
    spent_transaction: String,
    spent_output: i64,
    account: Option<String>,
    amount: String,
}

#[derive(sqlx::FromRow)]
struct OutputRow {
    watch_id: Uuid,
    transaction: String,
    account: Option<String>,
    amount: String,
}

/// The transactions of these watches.
pub(super) async fn pools(conn: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<Pooled>>, sqlx::Error> {
    let rows: Vec<PoolRow> = sqlx::query_as(
        "select watch_id, transaction, asset, block_number, block_hash, position, seen_at, live
         from pool where watch_id = any($1)",
    )
    .bind(ids)
    .fetch_all(&mut *conn)
    .await?;
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let mut inputs: BTreeMap<(Uuid, String), Vec<Input>> = BTreeMap::new();
    for (key, input) in self::inputs(conn, ids).await? {
        inputs.entry(key).or_default().push(input);
    }
    let mut outputs: BTreeMap<(Uuid, String), Vec<Output>> = BTreeMap::new();
    for (key, output) in self::outputs(conn, ids).await? {
        outputs.entry(key).or_default().push(output);
    }
    let mut pools: HashMap<Uuid, Vec<Pooled>> = HashMap::new();
    for row in rows {
        let key = (row.watch_id, row.transaction.clone());
        let (inputs, outputs) = (inputs.remove(&key).unwrap_or_default(), outputs.remove(&key).unwrap_or_default());
        pools.entry(row.watch_id).or_default().push(row.read(inputs, outputs)?);
    }
    Ok(pools)
}

async fn inputs(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<((Uuid, String), Input)>, sqlx::Error> {
    let rows: Vec<InputRow> = sqlx::query_as(
        "select watch_id, transaction, spent_transaction, spent_output, account, amount::text
         from pool_input where watch_id = any($1) order by watch_id, transaction, place",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    let read = |row: InputRow| {
        let vout = unsigned("spent_output", row.spent_output)?;
        let input = Input {
            spends: OutPoint { txid: read::<Txid>("spent_transaction", &row.spent_transaction)?, vout },
            account: row.account.map(|account| read("account", &account)).transpose()?,
            amount: read("amount", &row.amount)?,
        };
        Ok(((row.watch_id, row.transaction), input))
    };
    rows.into_iter().map(read).collect()
}

async fn outputs(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<((Uuid, String), Output)>, sqlx::Error> {
    let rows: Vec<OutputRow> = sqlx::query_as(
        "select watch_id, transaction, account, amount::text
         from pool_output where watch_id = any($1) order by watch_id, transaction, place",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    let read = |row: OutputRow| {
        let output = Output {
            account: row.account.map(|account| read("account", &account)).transpose()?,
            amount: read::<Amount>("amount", &row.amount)?,
        };
        Ok(((row.watch_id, row.transaction), output))
    };
    rows.into_iter().map(read).collect()
}

impl PoolRow {
    fn read(self, inputs: Vec<Input>, outputs: Vec<Output>) -> Result<Pooled, sqlx::Error> {
        Ok(Pooled {
            pool: Pool {
                asset: read("asset", &self.asset)?,
                id: read("transaction", &self.transaction)?,
                inputs,
                outputs,
                place: Place {
                    block: unsigned("block_number", self.block_number)?,
                    position: unsigned("position", self.position)?,
                },
                block_hash: self.block_hash,
                seen_at: self.seen_at,
            },
            live: self.live,
        })
    }
}

/// Stores transactions as they stand. What one spends and makes never changes: its name is a hash of it.
pub(super) async fn save(conn: &mut PgConnection, id: WatchId, pools: &[Pooled]) -> Result<(), sqlx::Error> {
    if pools.is_empty() {
        return Ok(());
    }
    let of = |part: fn(&Pool) -> String| pools.iter().map(|pooled| part(&pooled.pool)).collect::<Vec<_>>();
    let number = |part: fn(&Pool) -> i64| pools.iter().map(|pooled| part(&pooled.pool)).collect::<Vec<_>>();
    sqlx::query(
        "insert into pool (watch_id, transaction, asset, block_number, block_hash, position, seen_at, live)
         select $1, * from unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::timestamptz[],
                                  $8::boolean[])
         on conflict (watch_id, transaction) do update
         set block_number = excluded.block_number, block_hash = excluded.block_hash, position = excluded.position,
             seen_at = excluded.seen_at, live = excluded.live",
    )
    .bind(id.0)
    .bind(of(|pool| pool.id.to_string()))
    .bind(of(|pool| pool.asset.to_string()))
    .bind(number(|pool| signed(pool.place.block)))
    .bind(of(|pool| pool.block_hash.clone()))
    .bind(number(|pool| i64::from(pool.place.position)))
    .bind(pools.iter().map(|pooled| pooled.pool.seen_at).collect::<Vec<_>>())
    .bind(pools.iter().map(|pooled| pooled.live).collect::<Vec<_>>())
    .execute(&mut *conn)
    .await?;
    save_inputs(conn, id, pools).await?;
    save_outputs(conn, id, pools).await
}

async fn save_inputs(conn: &mut PgConnection, id: WatchId, pools: &[Pooled]) -> Result<(), sqlx::Error> {
    let inputs: Vec<(String, i64, &Input)> = pools
        .iter()
        .flat_map(|Pooled { pool, .. }| {
            (0i64..).zip(&pool.inputs).map(|(place, input)| (pool.id.to_string(), place, input))
        })
        .collect();
    sqlx::query(
        "insert into pool_input (watch_id, transaction, place, spent_transaction, spent_output, account, amount)
         select $1, transaction, place, spent_transaction, spent_output, account, amount::numeric
         from unnest($2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[])
              as i (transaction, place, spent_transaction, spent_output, account, amount)
         on conflict do nothing",
    )
    .bind(id.0)
    .bind(inputs.iter().map(|(transaction, ..)| transaction.as_str()).collect::<Vec<_>>())
    .bind(inputs.iter().map(|(_, place, _)| *place).collect::<Vec<_>>())
    .bind(inputs.iter().map(|(.., input)| input.spends.txid.to_string()).collect::<Vec<_>>())
    .bind(inputs.iter().map(|(.., input)| i64::from(input.spends.vout)).collect::<Vec<_>>())
    .bind(inputs.iter().map(|(.., input)| input.account.as_ref().map(ToString::to_string)).collect::<Vec<_>>())
    .bind(inputs.iter().map(|(.., input)| input.amount.to_string()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_outputs(conn: &mut PgConnection, id: WatchId, pools: &[Pooled]) -> Result<(), sqlx::Error> {
    let outputs: Vec<(String, i64, &Output)> = pools
        .iter()
        .flat_map(|Pooled { pool, .. }| {
            (0i64..).zip(&pool.outputs).map(|(place, output)| (pool.id.to_string(), place, output))
        })
        .collect();
    sqlx::query(
        "insert into pool_output (watch_id, transaction, place, account, amount)
         select $1, transaction, place, account, amount::numeric
         from unnest($2::text[], $3::bigint[], $4::text[], $5::text[]) as o (transaction, place, account, amount)
         on conflict do nothing",
    )
    .bind(id.0)
    .bind(outputs.iter().map(|(transaction, ..)| transaction.as_str()).collect::<Vec<_>>())
    .bind(outputs.iter().map(|(_, place, _)| *place).collect::<Vec<_>>())
    .bind(outputs.iter().map(|(.., output)| output.account.as_ref().map(ToString::to_string)).collect::<Vec<_>>())
    .bind(outputs.iter().map(|(.., output)| output.amount.to_string()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}
