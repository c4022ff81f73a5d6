//! What is to be paid, what is to be swept, and what was signed.

use haetae_core::{Account, Amount, Asset, ChainId, Moment};
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};

use super::super::withdrawal::Outcome;
use super::{amount, stored};

/// A withdrawal that was asked for.
#[derive(Clone, Debug)]
pub(in crate::book) struct Asked<'a> {
    pub(in crate::book) customer: i64,
    pub(in crate::book) asset: &'a Asset,
    pub(in crate::book) amount: Amount,
    pub(in crate::book) to: &'a Account,
}

pub(in crate::book) async fn put_withdrawal(
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
    .bind(asked.to.address())
    .bind(outcome.name())
    .bind(now)
    .fetch_one(tx)
    .await
}

/// The transaction that pays a withdrawal, once it was signed.
pub(in crate::book) async fn transaction_of(pool: &PgPool, withdrawal: i64) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("select transaction from book.withdrawal where withdrawal_id = $1")
        .bind(withdrawal)
        .fetch_one(pool)
        .await
}

/// A withdrawal to be paid.
#[derive(Clone, Debug, FromRow)]
pub(in crate::book) struct Unpaid {
    pub(in crate::book) withdrawal_id: i64,
    pub(in crate::book) asset: String,
    amount: String,
    pub(in crate::book) destination: String,
}

impl Unpaid {
    pub(in crate::book) fn amount(&self) -> Result<Amount, sqlx::Error> {
        amount(&self.amount)
    }
}

/// Withdrawals to be paid on a chain, oldest first.
pub(in crate::book) async fn unpaid(conn: impl PgExecutor<'_>, chain: &ChainId) -> Result<Vec<Unpaid>, sqlx::Error> {
    sqlx::query_as(
        "select withdrawal_id, asset, amount::text, destination from book.withdrawal
         where outcome = 'paid' and transaction is null and starts_with(asset, $1 || '/')
         order by withdrawal_id limit 20",
    )
    .bind(chain.as_str())
    .fetch_all(conn)
    .await
}

pub(in crate::book) async fn paid(
    tx: &mut PgConnection,
    withdrawal: i64,
    transaction: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("update book.withdrawal set transaction = $2 where withdrawal_id = $1")
        .bind(withdrawal)
        .bind(transaction)
        .execute(tx)
        .await?;
    Ok(())
}

/// A deposit address to be swept.
#[derive(Clone, Debug, FromRow)]
pub(in crate::book) struct ToSweep {
    pub(in crate::book) address: String,
    pub(in crate::book) customer_id: i64,
    pub(in crate::book) wanted: i64,
}

/// Addresses to be swept, with nothing under way from or to them.
pub(in crate::book) async fn to_sweep(conn: impl PgExecutor<'_>, chain: &ChainId) -> Result<Vec<ToSweep>, sqlx::Error> {
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
pub(in crate::book) async fn swept(tx: &mut PgConnection, chain: &ChainId, sweep: &ToSweep) -> Result<(), sqlx::Error> {
    sqlx::query("delete from book.sweep where chain = $1 and address = $2 and wanted = $3")
        .bind(chain.as_str())
        .bind(&sweep.address)
        .bind(sweep.wanted)
        .execute(tx)
        .await?;
    Ok(())
}

pub(in crate::book) async fn has_wallet(conn: impl PgExecutor<'_>, wallet: &Account) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from book.wallet where chain = $1 and address = $2)")
        .bind(wallet.chain().as_str())
        .bind(wallet.address())
        .fetch_one(conn)
        .await
}

pub(in crate::book) async fn put_wallet(
    conn: impl PgExecutor<'_>,
    wallet: &Account,
    nonce: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query("insert into book.wallet (chain, address, next_nonce) values ($1, $2, $3) on conflict do nothing")
        .bind(wallet.chain().as_str())
        .bind(wallet.address())
        .bind(stored(nonce))
        .execute(conn)
        .await?;
    Ok(())
}

/// Holds a wallet until the transaction ends; false where another replica does.
pub(in crate::book) async fn hold_wallet(tx: &mut PgConnection, wallet: &Account) -> Result<bool, sqlx::Error> {
    let held = sqlx::query("select from book.wallet where chain = $1 and address = $2 for update skip locked")
        .bind(wallet.chain().as_str())
        .bind(wallet.address())
        .execute(tx)
        .await?;
    Ok(held.rows_affected() == 1)
}

/// Draws a wallet's next nonce.
pub(in crate::book) async fn next_nonce(tx: &mut PgConnection, wallet: &Account) -> Result<u64, sqlx::Error> {
    let nonce: i64 = sqlx::query_scalar(
        "update book.wallet set next_nonce = next_nonce + 1 where chain = $1 and address = $2 returning next_nonce - 1",
    )
    .bind(wallet.chain().as_str())
    .bind(wallet.address())
    .fetch_one(tx)
    .await?;
    Ok(nonce.unsigned_abs())
}

/// A signed transaction.
#[derive(Clone, Debug)]
pub(in crate::book) struct Signed {
    pub(in crate::book) transaction: String,
    pub(in crate::book) sender: Account,
    pub(in crate::book) nonce: u64,
    pub(in crate::book) recipient: String,
    pub(in crate::book) purpose: &'static str,
    pub(in crate::book) raw: Vec<u8>,
}

pub(in crate::book) async fn put_outgoing(tx: &mut PgConnection, signed: &Signed) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into book.outgoing (chain, transaction, sender, nonce, recipient, purpose, raw)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(signed.sender.chain().as_str())
    .bind(&signed.transaction)
    .bind(signed.sender.address())
    .bind(stored(signed.nonce))
    .bind(&signed.recipient)
    .bind(signed.purpose)
    .bind(&signed.raw)
    .execute(tx)
    .await?;
    Ok(())
}

/// Signed transactions that are not known to be mined, in the order in which each sender's must be sent.
pub(in crate::book) async fn unmined(pool: &PgPool, chain: &ChainId) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar(
        "select raw from book.outgoing where chain = $1 and mined_in is null
         order by sender, nonce limit 100",
    )
    .bind(chain.as_str())
    .fetch_all(pool)
    .await
}

/// Of the transactions in a block, those of ours are mined.
pub(in crate::book) async fn mined(
    tx: &mut PgConnection,
    chain: &ChainId,
    transactions: &[String],
    block: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query("update book.outgoing set mined_in = $3 where chain = $1 and transaction = any($2)")
        .bind(chain.as_str())
        .bind(transactions)
        .bind(stored(block))
        .execute(tx)
        .await?;
    Ok(())
}
