//! What customers do: look at what they own, and take it out.

use std::time::Duration;

use haetae_core::{Account, Amount, Asset, Moment};
use tokio::time::{Instant, timeout_at};

use super::books::{Books, key};
use super::db::{self, Asked};
use super::teller::Till;
use super::withdrawal::{Outcome, decide};
use crate::contract::Legs;

/// How long a withdrawal waits for its transaction to be signed.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it looks, besides being told.
const LOOK: Duration = Duration::from_millis(100);

/// The counter at which customers stand. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Customers {
    books: Books,
    legs: Legs,
    till: Till,
}

/// What a customer owns of an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) asset: Asset,
    pub(crate) total: Amount,
    /// The part of it that must not leave.
    pub(crate) withheld: Amount,
    /// Seen on the chain and not credited yet.
    pub(crate) pending: Amount,
}

/// A withdrawal that was decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Withdrawal {
    pub(crate) outcome: Outcome,
    /// What pays it; none where it is not paid, or waits for the hot wallet to be filled.
    pub(crate) transaction: Option<String>,
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotWithdrawn {
    #[error("no such customer")]
    UnknownCustomer,
    #[error("the asset is not held here")]
    UnknownAsset,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Customers {
    pub(crate) fn new(books: Books, legs: Legs, till: Till) -> Self {
        Self { books, legs, till }
    }

    pub(crate) fn books(&self) -> &Books {
        &self.books
    }

    /// What a customer owns, for each asset that the exchange takes; none for a stranger.
    pub(crate) async fn balances(&self, name: &str, now: Moment) -> Result<Option<Vec<Balance>>, sqlx::Error> {
        let Some(customer) = db::customer(self.books.pool(), name).await? else { return Ok(None) };
        let mut balances = Vec::new();
        for asset in self.books.assets() {
            let mut tx = self.legs.begin().await?;
            db::lock_customer(&mut tx, customer).await?;
            let total = db::balance(&mut tx, customer, asset).await?;
            let pending = db::pending(&mut tx, customer, asset).await?;
            let withheld = self.legs.withheld(&mut tx, &key(customer), asset, total, now).await?;
            self.legs.commit(tx).await?;
            balances.push(Balance { asset: asset.clone(), total, withheld, pending });
        }
        Ok(Some(balances))
    }

    /// Decides on a withdrawal and debits it, in one transaction that holds the account: no freeze comes between.
    pub(crate) async fn withdraw(
        &self,
        name: &str,
        asset: &Asset,
        amount: Amount,
        to: &Account,
        now: Moment,
    ) -> Result<Withdrawal, NotWithdrawn> {
        if !self.books.assets().contains(asset) {
            return Err(NotWithdrawn::UnknownAsset);
        }
        let mut tx = self.legs.begin().await?;
        let customer = db::customer(&mut *tx, name).await?.ok_or(NotWithdrawn::UnknownCustomer)?;
        db::lock_customer(&mut tx, customer).await?;
        let balance = db::balance(&mut tx, customer, asset).await?;
        let withheld = self.legs.withheld(&mut tx, &key(customer), asset, balance, now).await?;
        let outcome = decide(balance, withheld, amount);
        let withdrawal = db::put_withdrawal(&mut tx, &Asked { customer, asset, amount, to }, outcome, now).await?;
        if outcome == Outcome::Paid {
            db::set_balance(&mut tx, customer, asset, balance.saturating_sub(amount)).await?;
        }
        self.legs.commit(tx).await?;
        let transaction = if outcome == Outcome::Paid { self.signed(withdrawal).await? } else { None };
        Ok(Withdrawal { outcome, transaction })
    }

    async fn signed(&self, withdrawal: i64) -> Result<Option<String>, sqlx::Error> {
        let deadline = Instant::now() + PATIENCE;
        let mut signed = self.till.ask();
        loop {
            signed.mark_unchanged();
            let transaction = db::transaction_of(self.books.pool(), withdrawal).await?;
            if transaction.is_some() || Instant::now() >= deadline {
                return Ok(transaction);
            }
            let _ = timeout_at(deadline.min(Instant::now() + LOOK), signed.changed()).await;
        }
    }
}
