//! Everybody's wallets on the rehearsal's Bitcoin. Nobody mines but the story itself.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::{Context, Result};
use bitcoin::{Address, Transaction, address::NetworkUnchecked};
use haetae_testkit::bcoin::{Bcoin, BcoinOptions, Kind, REGTEST, Wallet};

use crate::house::{EXCHANGES, hot_wallet};

/// The rehearsal's Bitcoin (CAIP-2).
pub const BITCOIN: &str = REGTEST;

/// Its coin (CAIP-19), counted in satoshi.
pub const SATOSHI: &str = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1";

/// One bitcoin in satoshi.
pub const BTC: u64 = 100_000_000;

/// The chain.
pub struct Bitcoin {
    node: Bcoin,
    heard: Mutex<HashMap<String, SystemTime>>,
}

impl Bitcoin {
    /// Starts a node and gives each exchange's own wallet something to pay fees from.
    ///
    /// # Errors
    /// When the node does not do it.
    pub async fn begin() -> Result<Self> {
        let node = Bcoin::start(BcoinOptions::default()).await?;
        for (exchange, _) in EXCHANGES {
            node.fund(&hot_wallet(exchange).on_bitcoin()?, BTC).await?;
        }
        node.mine(1).await?;
        Ok(Self { node, heard: Mutex::default() })
    }

    /// The node itself.
    pub fn node(&self) -> &Bcoin {
        &self.node
    }

    /// The wallet of that name, as yet without coins.
    pub fn wallet(name: &str) -> Wallet {
        Wallet::new(Kind::P2wpkh, &format!("haetae rehearsal wallet: {name}"))
    }

    /// Mines a block with what waits.
    ///
    /// # Errors
    /// When the node does not do it.
    pub async fn mine(&self) -> Result<()> {
        // Nobody can hear of the block before the node is told to make it.
        let now = SystemTime::now();
        let blocks = self.node.mine(1).await?;
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.extend(blocks.into_iter().map(|block| (block.to_string(), now)));
        Ok(())
    }

    /// From when on a block could be heard of.
    pub fn first_heard(&self, block_hash: &str) -> Option<SystemTime> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(block_hash).copied()
    }

    /// Gives a wallet coins from nowhere.
    ///
    /// # Errors
    /// When the node does not do it.
    pub async fn give(&self, wallet: &mut Wallet, satoshi: u64) -> Result<()> {
        wallet.note(&self.node.fund(&wallet.address(), satoshi).await?);
        self.mine().await
    }

    /// A payment in a block of its own; what is left comes back to the payer.
    ///
    /// # Errors
    /// When the node does not take it.
    pub async fn pay(&self, from: &mut Wallet, to: &[(Address, u64)]) -> Result<Transaction> {
        let transaction = from.pay(to)?;
        self.node.send(&transaction).await?;
        self.mine().await?;
        Ok(transaction)
    }
}

/// The account (CAIP-10) of a wallet.
pub fn account(wallet: &Wallet) -> String {
    format!("{BITCOIN}:{}", wallet.address())
}

/// The address in a CAIP-10 account of the rehearsal's Bitcoin.
///
/// # Errors
/// When there is none.
pub fn address(account: &str) -> Result<Address> {
    let (_, address) = account.rsplit_once(':').context("not a CAIP-10 account")?;
    Ok(address.parse::<Address<NetworkUnchecked>>()?.assume_checked())
}
