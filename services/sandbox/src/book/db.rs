//! All SQL of the books.

use alloy::primitives::{Address, B256};
use haetae_core::{Amount, Asset, ChainId, Moment, TransferId};
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};

use super::block::Transfer;
use super::withdrawal::Outcome;

/// A stored value that cannot be read: only by meddling with the tables.
pub(super) fn damaged<E>(what: &'static str) -> impl Fn(E) -> sqlx::Error {
    move |_| sqlx::Error::Decode(format!("a stored {what} cannot be read").into())
}

fn amount(text: &str) -> Result<Amount, sqlx::Error> {
    text.parse().map_err(damaged("amount"))
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The account of a customer, opened where there is none.
pub(super) async fn open_account(tx: &mut PgConnection, name: &str, now: Moment) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "insert into book.customer (name, opened_at) values ($1, $2)
         on conflict (name) do update set name = excluded.name returning customer_id",
    )
    .bind(name)
    .bind(now)
    .fetch_one(tx)
    .await
}

pub(super) async fn put_deposit_address(
    tx: &mut PgConnection,
    chain: &ChainId,
    address: Address,
    customer: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into book.deposit_address (chain, address, customer_id) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(chain.as_str())
    .bind(address.to_checksum(None))
    .bind(customer)
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn customer(conn: impl PgExecutor<'_>, name: &str) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("select customer_id from book.customer where name = $1").bind(name).fetch_optional(conn).await
}

/// The customer whose deposit address it is: id and name.
pub(super) async fn owner(
    tx: &mut PgConnection,
    chain: &ChainId,
    address: &str,
) -> Result<Option<(i64, String)>, sqlx::Error> {
    sqlx::query_as(
        "select customer_id, name from book.deposit_address join book.customer using (customer_id)
         where chain = $1 and address = $2",
    )
    .bind(chain.as_str())
    .bind(address)
    .fetch_optional(tx)
    .await
}

/// From here to the end of the transaction, nobody else changes what the customer owns or what of it is withheld.
pub(super) async fn lock_customer(tx: &mut PgConnection, customer: i64) -> Result<(), sqlx::Error> {
    sqlx::query("select from book.customer where customer_id = $1 for no key update")
        .bind(customer)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn balance(tx: &mut PgConnection, customer: i64, asset: &Asset) -> Result<Amount, sqlx::Error> {
    let total: Option<String> =
        sqlx::query_scalar("select total::text from book.balance where customer_id = $1 and asset = $2")
            .bind(customer)
            .bind(asset.to_string())
            .fetch_optional(tx)
            .await?;
    total.as_deref().map_or(Ok(Amount::ZERO), amount)
}

pub(super) async fn set_balance(
    tx: &mut PgConnection,
    customer: i64,
    asset: &Asset,
    total: Amount,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into book.balance (customer_id, asset, total) values ($1, $2, $3::numeric)
         on conflict (customer_id, asset) do update set total = excluded.total",
    )
    .bind(customer)
    .bind(asset.to_string())
    .bind(total.to_string())
    .execute(tx)
    .await?;
    Ok(())
}

/// What has been seen on the chain for a customer and is not credited yet.
pub(super) async fn pending(tx: &mut PgConnection, customer: i64, asset: &Asset) -> Result<Amount, sqlx::Error> {
    let sum: String = sqlx::query_scalar(
        "select coalesce(sum(amount), 0)::text from book.deposit
         where customer_id = $1 and asset = $2 and credited_at is null",
    )
    .bind(customer)
    .bind(asset.to_string())
    .fetch_one(tx)
    .await?;
    amount(&sum)
}

/// Which of these transfers have been credited to a customer, in order of credit.
pub(super) async fn credits(
    tx: &mut PgConnection,
    customer: i64,
    asset: &Asset,
    transfers: &[TransferId],
) -> Result<Vec<(TransferId, Amount)>, sqlx::Error> {
    let column = |read: fn(&TransferId) -> String| transfers.iter().map(read).collect::<Vec<_>>();
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "select chain, transaction, index, amount::text from book.deposit
         where customer_id = $1 and asset = $2 and credited_at is not null
           and (chain, transaction, index) in (select * from unnest($3::text[], $4::text[], $5::text[]))
         order by credited_at, deposit_id",
    )
    .bind(customer)
    .bind(asset.to_string())
    .bind(column(|transfer| transfer.chain.to_string()))
    .bind(column(|transfer| transfer.transaction.clone()))
    .bind(column(|transfer| transfer.index.to_string()))
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|(chain, transaction, index, credited)| {
            let chain = chain.parse().map_err(damaged("chain"))?;
            let index = index.parse().map_err(damaged("index"))?;
            Ok((TransferId { chain, transaction, index }, amount(&credited)?))
        })
        .collect()
}

/// How far the chain was read.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub(super) struct Head {
    pub(super) number: i64,
    pub(super) hash: String,
}

pub(super) async fn head(conn: impl PgExecutor<'_>, chain: &ChainId) -> Result<Option<Head>, sqlx::Error> {
    sqlx::query_as("select number, hash from book.head where chain = $1")
        .bind(chain.as_str())
        .fetch_optional(conn)
        .await
}

/// Moves the head from where it was seen, or begins it; false where another replica was faster.
pub(super) async fn move_head(
    tx: &mut PgConnection,
    chain: &ChainId,
    from: Option<&Head>,
    number: u64,
    hash: B256,
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
    .bind(hash.to_string())
    .bind(from.map(|head| head.number))
    .bind(from.map(|head| &head.hash))
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Remembers a block by its hash, and forgets those too old to be reorganised.
pub(super) async fn put_block(
    tx: &mut PgConnection,
    chain: &ChainId,
    number: u64,
    hash: B256,
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
        .bind(hash.to_string())
        .execute(tx)
        .await?;
    Ok(())
}

/// The hash under which a block was read.
pub(super) async fn block_hash(pool: &PgPool, chain: &ChainId, number: i64) -> Result<Option<B256>, sqlx::Error> {
    let hash: Option<String> = sqlx::query_scalar("select hash from book.block where chain = $1 and number = $2")
        .bind(chain.as_str())
        .bind(number)
        .fetch_optional(pool)
        .await?;
    hash.map(|hash| hash.parse().map_err(damaged("hash"))).transpose()
}

/// Takes back what was read from a block on: deposits that were not credited are gone, what was mined is to be sent
/// again. Answers how many deposits had been credited, which stay.
pub(super) async fn take_back(tx: &mut PgConnection, chain: &ChainId, from: i64) -> Result<i64, sqlx::Error> {
    sqlx::query("update book.outgoing set mined_in = null where chain = $1 and mined_in >= $2")
        .bind(chain.as_str())
        .bind(from)
        .execute(&mut *tx)
        .await?;
    sqlx::query("delete from book.deposit where chain = $1 and block_number >= $2 and credited_at is null")
        .bind(chain.as_str())
        .bind(from)
        .execute(&mut *tx)
        .await?;
    sqlx::query("delete from book.block where chain = $1 and number >= $2")
        .bind(chain.as_str())
        .bind(from)
        .execute(&mut *tx)
        .await?;
    sqlx::query_scalar("select count(*) from book.deposit where chain = $1 and block_number >= $2")
        .bind(chain.as_str())
        .bind(from)
        .fetch_one(tx)
        .await
}

/// Which of these are customers' deposit addresses, with their customers.
pub(super) async fn depositors(
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
pub(super) async fn put_deposit(
    tx: &mut PgConnection,
    chain: &ChainId,
    transfer: &Transfer,
    asset: &Asset,
    customer: i64,
    block: (u64, B256),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into book.deposit
            (chain, transaction, index, customer_id, address, asset, amount, block_number, block_hash)
         select $1, $2, $3, $4, $5, $6, $7::numeric, $8, $9
         where not exists (select from book.outgoing where chain = $1 and transaction = $2 and purpose = 'top_up')
         on conflict (chain, transaction, index) do update
            set block_number = excluded.block_number, block_hash = excluded.block_hash",
    )
    .bind(chain.as_str())
    .bind(transfer.transaction.to_string())
    .bind(transfer.index.to_string())
    .bind(customer)
    .bind(transfer.to.to_checksum(None))
    .bind(asset.to_string())
    .bind(transfer.amount.to_string())
    .bind(stored(block.0))
    .bind(block.1.to_string())
    .execute(tx)
    .await?;
    Ok(())
}

/// A deposit.
#[derive(Clone, Debug, FromRow)]
pub(super) struct Deposit {
    pub(super) deposit_id: i64,
    pub(super) transaction: String,
    pub(super) index: String,
    pub(super) customer_id: i64,
    pub(super) address: String,
    pub(super) asset: String,
    amount: String,
}

impl Deposit {
    pub(super) fn amount(&self) -> Result<Amount, sqlx::Error> {
        amount(&self.amount)
    }
}

/// Deposits with enough confirmations, oldest first.
pub(super) async fn due(pool: &PgPool, chain: &ChainId, confirmations: u32) -> Result<Vec<i64>, sqlx::Error> {
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
pub(super) async fn lock_due(
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
pub(super) async fn credited(
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

/// A withdrawal that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked<'a> {
    pub(super) customer: i64,
    pub(super) asset: &'a Asset,
    pub(super) amount: Amount,
    pub(super) to: Address,
}

pub(super) async fn put_withdrawal(
    tx: &mut PgConnection,
    asked: &Asked<'_>,
    outcome: Outcome,
    now: Moment,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "insert into book.withdrawal (customer_id, asset, amount, destination, outcome, decided_at)
         values ($1, $2, $3::numeric, $4, $5, $6) returning withdrawal_id",
    )
    .bind(asked.customer)
    .bind(asked.asset.to_string())
    .bind(asked.amount.to_string())
    .bind(asked.to.to_checksum(None))
    .bind(outcome.name())
    .bind(now)
    .fetch_one(tx)
    .await
}

/// The transaction that pays a withdrawal, once it was signed.
pub(super) async fn transaction_of(pool: &PgPool, withdrawal: i64) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("select transaction from book.withdrawal where withdrawal_id = $1")
        .bind(withdrawal)
        .fetch_one(pool)
        .await
}

/// A withdrawal to be paid.
#[derive(Clone, Debug, FromRow)]
pub(super) struct Unpaid {
    pub(super) withdrawal_id: i64,
    pub(super) asset: String,
    amount: String,
    pub(super) destination: String,
}

impl Unpaid {
    pub(super) fn amount(&self) -> Result<Amount, sqlx::Error> {
        amount(&self.amount)
    }
}

/// Withdrawals to be paid, oldest first.
pub(super) async fn unpaid(conn: impl PgExecutor<'_>) -> Result<Vec<Unpaid>, sqlx::Error> {
    sqlx::query_as(
        "select withdrawal_id, asset, amount::text, destination from book.withdrawal
         where outcome = 'paid' and transaction is null order by withdrawal_id limit 20",
    )
    .fetch_all(conn)
    .await
}

pub(super) async fn paid(tx: &mut PgConnection, withdrawal: i64, transaction: B256) -> Result<(), sqlx::Error> {
    sqlx::query("update book.withdrawal set transaction = $2 where withdrawal_id = $1")
        .bind(withdrawal)
        .bind(transaction.to_string())
        .execute(tx)
        .await?;
    Ok(())
}

/// A deposit address to be swept.
#[derive(Clone, Debug, FromRow)]
pub(super) struct ToSweep {
    pub(super) address: String,
    pub(super) customer_id: i64,
    pub(super) wanted: i64,
}

/// Addresses to be swept, with nothing under way from or to them.
pub(super) async fn to_sweep(conn: impl PgExecutor<'_>, chain: &ChainId) -> Result<Vec<ToSweep>, sqlx::Error> {
    sqlx::query_as(
        "select address, customer_id, wanted from book.sweep s
         where chain = $1 and not exists (
            select from book.outgoing o
            where o.chain = s.chain and o.mined_in is null and (o.sender = s.address or o.recipient = s.address))
         order by address limit 20",
    )
    .bind(chain.as_str())
    .fetch_all(conn)
    .await
}

/// A sweep is done, unless more was credited since it was looked at.
pub(super) async fn swept(tx: &mut PgConnection, chain: &ChainId, sweep: &ToSweep) -> Result<(), sqlx::Error> {
    sqlx::query("delete from book.sweep where chain = $1 and address = $2 and wanted = $3")
        .bind(chain.as_str())
        .bind(&sweep.address)
        .bind(sweep.wanted)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn has_wallet(
    conn: impl PgExecutor<'_>,
    chain: &ChainId,
    address: Address,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from book.wallet where chain = $1 and address = $2)")
        .bind(chain.as_str())
        .bind(address.to_checksum(None))
        .fetch_one(conn)
        .await
}

pub(super) async fn put_wallet(
    conn: impl PgExecutor<'_>,
    chain: &ChainId,
    address: Address,
    nonce: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query("insert into book.wallet (chain, address, next_nonce) values ($1, $2, $3) on conflict do nothing")
        .bind(chain.as_str())
        .bind(address.to_checksum(None))
        .bind(stored(nonce))
        .execute(conn)
        .await?;
    Ok(())
}

/// Holds a wallet until the transaction ends; false where another replica does.
pub(super) async fn hold_wallet(tx: &mut PgConnection, chain: &ChainId, address: Address) -> Result<bool, sqlx::Error> {
    let held = sqlx::query("select from book.wallet where chain = $1 and address = $2 for update skip locked")
        .bind(chain.as_str())
        .bind(address.to_checksum(None))
        .execute(tx)
        .await?;
    Ok(held.rows_affected() == 1)
}

/// Draws a wallet's next nonce.
pub(super) async fn next_nonce(tx: &mut PgConnection, chain: &ChainId, address: Address) -> Result<u64, sqlx::Error> {
    let nonce: i64 = sqlx::query_scalar(
        "update book.wallet set next_nonce = next_nonce + 1 where chain = $1 and address = $2 returning next_nonce - 1",
    )
    .bind(chain.as_str())
    .bind(address.to_checksum(None))
    .fetch_one(tx)
    .await?;
    Ok(nonce.unsigned_abs())
}

/// A signed transaction.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) transaction: B256,
    pub(super) sender: Address,
    pub(super) nonce: u64,
    pub(super) recipient: Address,
    pub(super) purpose: &'static str,
    pub(super) raw: Vec<u8>,
}

pub(super) async fn put_outgoing(tx: &mut PgConnection, chain: &ChainId, signed: &Signed) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into book.outgoing (chain, transaction, sender, nonce, recipient, purpose, raw)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(chain.as_str())
    .bind(signed.transaction.to_string())
    .bind(signed.sender.to_checksum(None))
    .bind(stored(signed.nonce))
    .bind(signed.recipient.to_checksum(None))
    .bind(signed.purpose)
    .bind(&signed.raw)
    .execute(tx)
    .await?;
    Ok(())
}

/// Signed transactions that are not known to be mined, in the order in which each sender's must be sent.
pub(super) async fn unmined(pool: &PgPool, chain: &ChainId) -> Result<Vec<(String, Vec<u8>)>, sqlx::Error> {
    sqlx::query_as(
        "select transaction, raw from book.outgoing where chain = $1 and mined_in is null
         order by sender, nonce limit 100",
    )
    .bind(chain.as_str())
    .fetch_all(pool)
    .await
}

pub(super) async fn mined(pool: &PgPool, chain: &ChainId, transaction: &str, block: u64) -> Result<(), sqlx::Error> {
    sqlx::query("update book.outgoing set mined_in = $3 where chain = $1 and transaction = $2")
        .bind(chain.as_str())
        .bind(transaction)
        .bind(stored(block))
        .execute(pool)
        .await?;
    Ok(())
}
