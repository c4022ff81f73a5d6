//! Whose wallets they are and what customers own: what the contract asks.

use std::sync::Arc;

use haetae_core::{Account, Asset, Moment, Target, TransferId, WalletRole};
use sqlx::{PgConnection, PgPool};

use super::db;
use super::network::Network;
use super::vault::Vault;
use crate::contract::{AccountKey, Book, Holding, Position, Searched};

/// The books of one exchange on all its chains. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Books(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    networks: Vec<Arc<dyn Network>>,
    assets: Vec<Asset>,
    vault: Vault,
}

impl Books {
    /// `vault` makes the pseudonyms; each network has its own for its keys.
    pub(crate) fn new(pool: PgPool, networks: Vec<Arc<dyn Network>>, assets: Vec<Asset>, vault: Vault) -> Self {
        Self(Arc::new(Inner { pool, networks, assets, vault }))
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// What is credited and paid; everything else that comes is ignored.
    pub(super) fn assets(&self) -> &[Asset] {
        &self.0.assets
    }

    /// Opens a customer's account with a deposit address on each chain, or finds the ones that are there.
    pub(crate) async fn open_account(&self, name: &str, now: Moment) -> Result<Vec<Account>, sqlx::Error> {
        let mut tx = self.pool().begin().await?;
        let customer = db::open_account(&mut tx, name, now).await?;
        let mut accounts = Vec::new();
        for network in &self.0.networks {
            let account = network.deposit(customer);
            db::put_deposit_address(&mut tx, &account, customer).await?;
            accounts.push(account);
        }
        tx.commit().await?;
        Ok(accounts)
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
        if self.0.networks.iter().any(|network| network.hot() == target.account) {
            return Ok(Holding::ExchangeOwn);
        }
        let owner = db::owner(tx, &target.account).await?;
        Ok(owner.map_or(Holding::Nobody, |(customer, name)| Holding::Customer {
            account: key(customer),
            holder: self.0.vault.pseudonym(&name),
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
