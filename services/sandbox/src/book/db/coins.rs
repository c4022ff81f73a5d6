//! Outputs that are the exchange's, on chains that keep money in them.

use haetae_core::{Account, ChainId};
use sqlx::{FromRow, PgConnection};

use super::stored;

/// An output that can be spent.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub(in crate::book) struct Coin {
    pub(in crate::book) transaction: String,
    output: i64,
    amount: i64,
}

impl Coin {
    #[cfg(test)]
    pub(in crate::book) fn new(transaction: &str, output: u32, amount: u64) -> Self {
        Self { transaction: transaction.to_owned(), output: output.into(), amount: stored(amount) }
    }

    pub(in crate::book) fn output(&self) -> u32 {
        u32::try_from(self.output).unwrap_or(u32::MAX)
    }

    pub(in crate::book) fn amount(&self) -> u64 {
        self.amount.unsigned_abs()
    }
}

/// An output that a block has.
#[derive(Clone, Copy, Debug)]
pub(in crate::book) struct Output<'a> {
    pub(in crate::book) transaction: &'a str,
    pub(in crate::book) output: u32,
    pub(in crate::book) to: &'a str,
    pub(in crate::book) amount: u64,
}

/// Of a block's outputs, keeps those to the hot wallet and to deposit addresses. Known ones are mined from now on.
pub(in crate::book) async fn put_coins(
    tx: &mut PgConnection,
    hot: &Account,
    outputs: &[Output<'_>],
    block: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into book.coin (chain, transaction, output, address, amount, mined_in)
         select $1, o.transaction, o.output, o.address, o.amount, $3
         from unnest($4::text[], $5::bigint[], $6::text[], $7::bigint[]) o (transaction, output, address, amount)
         where o.address = $2
            or exists (select from book.deposit_address d where d.chain = $1 and d.address = o.address)
         on conflict (chain, transaction, output) do update set mined_in = excluded.mined_in",
    )
    .bind(hot.chain().as_str())
    .bind(hot.address())
    .bind(stored(block))
    .bind(outputs.iter().map(|output| output.transaction.to_owned()).collect::<Vec<_>>())
    .bind(outputs.iter().map(|output| i64::from(output.output)).collect::<Vec<_>>())
    .bind(outputs.iter().map(|output| output.to.to_owned()).collect::<Vec<_>>())
    .bind(outputs.iter().map(|output| stored(output.amount)).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// An output of what was just signed, back to the hot wallet: it can be spent before it is mined.
pub(in crate::book) async fn put_change(
    tx: &mut PgConnection,
    hot: &Account,
    transaction: &str,
    output: u32,
    amount: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query("insert into book.coin (chain, transaction, output, address, amount) values ($1, $2, $3, $4, $5)")
        .bind(hot.chain().as_str())
        .bind(transaction)
        .bind(i64::from(output))
        .bind(hot.address())
        .bind(stored(amount))
        .execute(tx)
        .await?;
    Ok(())
}

/// What the hot wallet can spend: what is mined, and what it signed itself.
pub(in crate::book) async fn hot_coins(tx: &mut PgConnection, hot: &Account) -> Result<Vec<Coin>, sqlx::Error> {
    sqlx::query_as(
        "select transaction, output, amount from book.coin c
         where chain = $1 and address = $2 and spent_by is null
           and (mined_in is not null
             or exists (select from book.outgoing o where o.chain = c.chain and o.transaction = c.transaction))
         order by amount desc, transaction, output limit 1000",
    )
    .bind(hot.chain().as_str())
    .bind(hot.address())
    .fetch_all(tx)
    .await
}

/// What has been credited at a deposit address and is not swept.
pub(in crate::book) async fn credited_coins(
    tx: &mut PgConnection,
    chain: &ChainId,
    address: &str,
) -> Result<Vec<Coin>, sqlx::Error> {
    sqlx::query_as(
        "select c.transaction, c.output, c.amount from book.coin c
         join book.deposit d on d.chain = c.chain and d.transaction = c.transaction and d.index = 'out/' || c.output
         where c.chain = $1 and c.address = $2 and c.spent_by is null and c.mined_in is not null
           and d.credited_at is not null
         order by c.transaction, c.output limit 100",
    )
    .bind(chain.as_str())
    .bind(address)
    .fetch_all(tx)
    .await
}

/// These are spent by what was signed.
pub(in crate::book) async fn spend(
    tx: &mut PgConnection,
    chain: &ChainId,
    coins: &[Coin],
    by: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update book.coin set spent_by = $2
         where chain = $1 and (transaction, output) in (select * from unnest($3::text[], $4::bigint[]))",
    )
    .bind(chain.as_str())
    .bind(by)
    .bind(coins.iter().map(|coin| coin.transaction.clone()).collect::<Vec<_>>())
    .bind(coins.iter().map(|coin| coin.output).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}
