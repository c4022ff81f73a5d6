//! Whose wallets they are and what customers own: what the contract asks.

use std::sync::Arc;

use haetae_core::{Account, Asset, ChainId, Moment, Target, TransferId, WalletRole};
use sqlx::{PgConnection, PgPool};

use super::db;
use super::vault::Vault;
use crate::contract::{AccountKey, Book, Holding, Position, Searched};

/// The books of one exchange on one chain. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Books(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    chain: ChainId,
    assets: Vec<Asset>,
    vault: Vault,
}

impl Books {
    pub(crate) fn new(pool: PgPool, chain: ChainId, assets: Vec<Asset>, vault: Vault) -> Self {
        Self(Arc::new(Inner { pool, chain, assets, vault }))
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    pub(super) fn chain(&self) -> &ChainId {
        &self.0.chain
    }

    /// What is credited and paid; everything else that comes is ignored.
    pub(super) fn assets(&self) -> &[Asset] {
        &self.0.assets
    }

    pub(super) fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// Opens a customer's account with a deposit address, or finds the one that is there.
    pub(crate) async fn open_account(&self, name: &str, now: Moment) -> Result<Account, sqlx::Error> {
        let mut tx = self.pool().begin().await?;
        let customer = db::open_account(&mut tx, name, now).await?;
        let address = self.vault().deposit(customer).address();
        db::put_deposit_address(&mut tx, self.chain(), address, customer).await?;
        tx.commit().await?;
        Ok(Account::evm(self.chain().clone(), address))
    }
}

pub(super) fn key(customer: i64) -> AccountKey {
    AccountKey(customer.to_string())
}

impl Book for Books {
    fn searched(&self) -> Searched {
        Searched::from([WalletRole::CustomerDeposit, WalletRole::ExchangeOwn])
    }

    /// A memo means nothing here: a deposit address is one customer's.
    async fn holding(&self, tx: &mut PgConnection, target: &Target) -> Result<Holding, sqlx::Error> {
        if target.account.chain() != self.chain() {
            return Ok(Holding::Nobody);
        }
        if target.account.evm_address() == Some(self.vault().hot_address()) {
            return Ok(Holding::ExchangeOwn);
        }
        let owner = db::owner(tx, self.chain(), target.account.address()).await?;
        Ok(owner.map_or(Holding::Nobody, |(customer, name)| Holding::Customer {
            account: key(customer),
            holder: self.vault().pseudonym(&name),
        }))
    }

    async fn position(
        &self,
        tx: &mut PgConnection,
        account: &AccountKey,
        asset: &Asset,
        transfers: &[TransferId],
    ) -> Result<Option<Position>, sqlx::Error> {
        if !self.assets().contains(asset) {
            return Ok(None);
        }
        let customer: i64 = account.0.parse().map_err(db::damaged("account"))?;
        db::lock_customer(tx, customer).await?;
        let balance = db::balance(tx, customer, asset).await?;
        let credits =
            if transfers.is_empty() { Vec::new() } else { db::credits(tx, customer, asset, transfers).await? };
        Ok(Some(Position { balance, credits }))
    }
}
