//! Customers: their accounts, and what they own.

use haetae_core::{Account, Amount, Asset, Moment, TransferId};
use sqlx::{PgConnection, PgExecutor};

use super::{amount, damaged};

/// The account of a customer, opened where there is none.
pub(in crate::book) async fn open_account(tx: &mut PgConnection, name: &str, now: Moment) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "insert into book.customer (name, opened_at) values ($1, $2)
         on conflict (name) do update set name = excluded.name returning customer_id",
    )
    .bind(name)
    .bind(now)
    .fetch_one(tx)
    .await
}

pub(in crate::book) async fn put_deposit_address(
    tx: &mut PgConnection,
    address: &Account,
    customer: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into book.deposit_address (chain, address, customer_id) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(address.chain().as_str())
    .bind(address.address())
    .bind(customer)
    .execute(tx)
    .await?;
    Ok(())
}

pub(in crate::book) async fn customer(conn: impl PgExecutor<'_>, name: &str) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("select customer_id from book.customer where name = $1").bind(name).fetch_optional(conn).await
}

/// The customer whose deposit address it is: id and name.
pub(in crate::book) async fn owner(
    tx: &mut PgConnection,
    address: &Account,
) -> Result<Option<(i64, String)>, sqlx::Error> {
    sqlx::query_as(
        "select customer_id, name from book.deposit_address join book.customer using (customer_id)
         where chain = $1 and address = $2",
    )
    .bind(address.chain().as_str())
    .bind(address.address())
    .fetch_optional(tx)
    .await
}

/// From here to the end of the transaction, nobody else changes what the customer owns or what of it is withheld.
pub(in crate::book) async fn lock_customer(tx: &mut PgConnection, customer: i64) -> Result<(), sqlx::Error> {
    sqlx::query("select from book.customer where customer_id = $1 for no key update")
        .bind(customer)
        .execute(tx)
        .await?;
    Ok(())
}

pub(in crate::book) async fn balance(
    tx: &mut PgConnection,
    customer: i64,
    asset: &Asset,
) -> Result<Amount, sqlx::Error> {
    let total: Option<String> =
        sqlx::query_scalar("select total::text from book.balance where customer_id = $1 and asset = $2")
            .bind(customer)
            .bind(asset.to_string())
            .fetch_optional(tx)
            .await?;
    total.as_deref().map_or(Ok(Amount::ZERO), amount)
}

pub(in crate::book) async fn set_balance(
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
pub(in crate::book) async fn pending(
    tx: &mut PgConnection,
    customer: i64,
    asset: &Asset,
) -> Result<Amount, sqlx::Error> {
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
pub(in crate::book) async fn credits(
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
