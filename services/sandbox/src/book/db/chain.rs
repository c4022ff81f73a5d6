//! The chain as far as it was read, and what came from it.

use haetae_core::{Amount, ChainId, Moment};
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};

use super::super::network::{Header, Transfer};
use super::{amount, stored};

/// How far the chain was read.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub(in crate::book) struct Head {
    number: i64,
    hash: String,
}

impl Head {
    pub(in crate::book) fn number(&self) -> u64 {
        self.number.unsigned_abs()
    }

    /// Whether a block of this hash is the one.
    pub(in crate::book) fn is(&self, hash: &str) -> bool {
        self.hash == hash
    }
}

pub(in crate::book) async fn head(conn: impl PgExecutor<'_>, chain: &ChainId) -> Result<Option<Head>, sqlx::Error> {
    sqlx::query_as("select number, hash from book.head where chain = $1")
        .bind(chain.as_str())
        .fetch_optional(conn)
        .await
}

/// Moves the head from where it was seen, or begins it; false where another replica was faster.
pub(in crate::book) async fn move_head(
    tx: &mut PgConnection,
    chain: &ChainId,
    from: Option<&Head>,
    number: u64,
    hash: &str,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query(
        "with moved as (
            update book.head set number = $2, hash = $3 where chain = $1 and number = $4 and hash = $5 returning 1
         ), begun as (
            insert into book.head (chain, number, hash) select $1, $2, $3 where $4 is null
            on conflict do nothing returning 1
         )
         select from moved union all select from begun",
    )
    .bind(chain.as_str())
    .bind(stored(number))
    .bind(hash)
    .bind(from.map(|head| head.number))
    .bind(from.map(|head| &head.hash))
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Remembers a block by its hash, and forgets those too old to be reorganised.
pub(in crate::book) async fn put_block(
    tx: &mut PgConnection,
    chain: &ChainId,
    number: u64,
    hash: &str,
    keep: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("delete from book.block where chain = $1 and (number >= $2 or number < $2 - $3)")
        .bind(chain.as_str())
        .bind(stored(number))
        .bind(keep)
        .execute(&mut *tx)
        .await?;
    sqlx::query("insert into book.block (chain, number, hash) values ($1, $2, $3)")
        .bind(chain.as_str())
        .bind(stored(number))
        .bind(hash)
        .execute(tx)
        .await?;
    Ok(())
}

/// The hash under which a block was read.
pub(in crate::book) async fn block_hash(
    pool: &PgPool,
    chain: &ChainId,
    number: u64,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("select hash from book.block where chain = $1 and number = $2")
        .bind(chain.as_str())
        .bind(stored(number))
        .fetch_optional(pool)
        .await
}

/// Takes back what was read from a block on: deposits that were not credited are gone, what was mined is to be sent
/// again. Answers how many deposits had been credited, which stay.
pub(in crate::book) async fn take_back(tx: &mut PgConnection, chain: &ChainId, from: u64) -> Result<i64, sqlx::Error> {
    sqlx::query("update book.outgoing set mined_in = null where chain = $1 and mined_in >= $2")
        .bind(chain.as_str())
        .bind(stored(from))
        .execute(&mut *tx)
        .await?;
    sqlx::query("update book.coin set mined_in = null where chain = $1 and mined_in >= $2")
        .bind(chain.as_str())
        .bind(stored(from))
        .execute(&mut *tx)
        .await?;
    sqlx::query("delete from book.deposit where chain = $1 and block_number >= $2 and credited_at is null")
        .bind(chain.as_str())
        .bind(stored(from))
        .execute(&mut *tx)
        .await?;
    sqlx::query("delete from book.block where chain = $1 and number >= $2")
        .bind(chain.as_str())
        .bind(stored(from))
        .execute(&mut *tx)
        .await?;
    sqlx::query_scalar("select count(*) from book.deposit where chain = $1 and block_number >= $2")
        .bind(chain.as_str())
        .bind(stored(from))
        .fetch_one(tx)
        .await
}

/// Which of these are customers' deposit addresses, with their customers.
pub(in crate::book) async fn depositors(
    tx: &mut PgConnection,
    chain: &ChainId,
    addresses: Vec<String>,
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as("select address, customer_id from book.deposit_address where chain = $1 and address = any($2)")
        .bind(chain.as_str())
        .bind(addresses)
        .fetch_all(tx)
        .await
}

/// Records a deposit as pending, unless it is the exchange's own gas. One that is known was included again.
pub(in crate::book) async fn put_deposit(
    tx: &mut PgConnection,
    transfer: &Transfer,
    customer: i64,
    block: &Header,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into book.deposit
            (chain, transaction, index, customer_id, address, asset, amount, block_number, block_hash)
         select $1, $2, $3, $4, $5, $6, $7::numeric, $8, $9
         where not exists (select from book.outgoing where chain = $1 and transaction = $2 and purpose = 'top_up')
         on conflict (chain, transaction, index) do update
            set block_number = excluded.block_number, block_hash = excluded.block_hash",
    )
    .bind(transfer.to.chain().as_str())
    .bind(&transfer.transaction)
    .bind(transfer.index.to_string())
    .bind(customer)
    .bind(transfer.to.address())
    .bind(transfer.asset.to_string())
    .bind(transfer.amount.to_string())
    .bind(stored(block.number))
    .bind(&block.hash)
    .execute(tx)
    .await?;
    Ok(())
}

/// A deposit.
#[derive(Clone, Debug, FromRow)]
pub(in crate::book) struct Deposit {
    pub(in crate::book) deposit_id: i64,
    pub(in crate::book) transaction: String,
    pub(in crate::book) index: String,
    pub(in crate::book) customer_id: i64,
    pub(in crate::book) address: String,
    pub(in crate::book) asset: String,
    amount: String,
}

impl Deposit {
    pub(in crate::book) fn amount(&self) -> Result<Amount, sqlx::Error> {
        amount(&self.amount)
    }
}

/// Deposits with enough confirmations, oldest first.
pub(in crate::book) async fn due(pool: &PgPool, chain: &ChainId, confirmations: u32) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "select deposit_id from book.deposit d join book.head h using (chain)
         where chain = $1 and credited_at is null and d.block_number + $2 - 1 <= h.number
         order by d.block_number, deposit_id limit 1000",
    )
    .bind(chain.as_str())
    .bind(i64::from(confirmations))
    .fetch_all(pool)
    .await
}

/// A deposit that is still due, locked, with the head kept where it is: its block is looked for once more among those of
/// the chain. None where it is gone or another replica was faster.
pub(in crate::book) async fn lock_due(
    tx: &mut PgConnection,
    chain: &ChainId,
    confirmations: u32,
    deposit: i64,
) -> Result<Option<Deposit>, sqlx::Error> {
    sqlx::query("select from book.head where chain = $1 for share").bind(chain.as_str()).execute(&mut *tx).await?;
    sqlx::query_as(
        "select deposit_id, transaction, index, customer_id, address, asset, amount::text
         from book.deposit d
         where deposit_id = $3 and credited_at is null
           and exists (select from book.head h where h.chain = $1 and d.block_number + $2 - 1 <= h.number)
           and exists (select from book.block b
                       where b.chain = $1 and b.number = d.block_number and b.hash = d.block_hash)
         for update of d skip locked",
    )
    .bind(chain.as_str())
    .bind(i64::from(confirmations))
    .bind(deposit)
    .fetch_optional(tx)
    .await
}

/// Marks a deposit as credited and its address as to be swept.
pub(in crate::book) async fn credited(
    tx: &mut PgConnection,
    chain: &ChainId,
    deposit: &Deposit,
    now: Moment,
) -> Result<(), sqlx::Error> {
    sqlx::query("update book.deposit set credited_at = $2 where deposit_id = $1")
        .bind(deposit.deposit_id)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "insert into book.sweep (chain, address, customer_id) values ($1, $2, $3)
         on conflict (chain, address) do update set wanted = book.sweep.wanted + 1",
    )
    .bind(chain.as_str())
    .bind(&deposit.address)
    .bind(deposit.customer_id)
    .execute(tx)
    .await?;
    Ok(())
}
