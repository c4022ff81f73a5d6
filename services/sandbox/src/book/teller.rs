//! The one who sends: pays withdrawals from the hot wallet, sweeps deposit addresses into it, and sends what is signed
//! again and again until it is mined.
//!
//! Whoever holds the hot wallet's row in the database is the teller; other replicas pass. A transaction is signed and
//! stored before anybody sees it, so that a crash never sends twice.

use std::sync::Arc;
use std::time::Duration;

use alloy::consensus::{SignableTransaction, TxEnvelope, TxLegacy};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use anyhow::Context;
use haetae_core::{Amount, Asset};
use sqlx::PgConnection;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::books::Books;
use super::db::{self, Signed, ToSweep, Unpaid};
use super::node::{self, Node};
use super::sweep::{COIN_GAS, Seen, Step, TOKEN_GAS, next};

/// How often the teller looks, besides being asked.
const LOOK: Duration = Duration::from_millis(200);
/// A withdrawal of the chain's own coin may go to a contract, which takes more gas; what is left is not paid.
const PAYMENT_GAS: u64 = 60_000;

/// Where the teller is asked to look, and says that it has signed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Till {
    asked: Arc<Notify>,
    signed: watch::Sender<()>,
}

impl Till {
    /// Asks the teller to look.
    pub(super) fn ask(&self) -> watch::Receiver<()> {
        let signed = self.signed.subscribe();
        self.asked.notify_one();
        signed
    }
}

/// Sends for one exchange.
#[derive(Debug)]
pub(crate) struct Teller {
    books: Books,
    node: Node,
    chain_number: u64,
    till: Till,
}

/// A transaction to be signed.
struct Call {
    purpose: &'static str,
    to: Address,
    value: U256,
    data: Vec<u8>,
    gas: u64,
    gas_price: u128,
}

impl Teller {
    pub(crate) fn new(books: Books, node: Node, chain_number: u64, till: Till) -> Self {
        Self { books, node, chain_number, till }
    }

    /// Works until cancelled. A failure is logged and tried again.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            if let Err(error) = self.work().await {
                tracing::warn!(error = format!("{error:#}"), "payments wait");
            }
            let asked = async {
                let _ = timeout(LOOK, self.till.asked.notified()).await;
            };
            cancel.run_until_cancelled(asked).await;
        }
    }

    async fn work(&self) -> anyhow::Result<()> {
        if self.sign_all().await? {
            self.till.signed.send_replace(());
        }
        self.send_all().await
    }

    async fn sign_all(&self) -> anyhow::Result<bool> {
        let (chain, pool) = (self.books.chain(), self.books.pool());
        if db::unpaid(pool).await?.is_empty() && db::to_sweep(pool, chain).await?.is_empty() {
            return Ok(false);
        }
        let hot = self.books.vault().hot_address();
        self.know_wallet(hot).await?;
        let gas_price = self.node.gas_price().await?;
        let mut tx = pool.begin().await?;
        if !db::hold_wallet(&mut tx, chain, hot).await? {
            return Ok(false);
        }
        let mut signed = false;
        let mut coin = self.node.balance(hot, None).await?;
        for unpaid in db::unpaid(&mut *tx).await? {
            signed |= self.pay(&mut tx, &unpaid, &mut coin, gas_price).await?;
        }
        for sweep in db::to_sweep(&mut *tx, chain).await? {
            signed |= self.sweep(&mut tx, &sweep, gas_price).await?;
        }
        tx.commit().await?;
        Ok(signed)
    }

    /// A wallet that was not used since the database was begun may have been used before.
    async fn know_wallet(&self, address: Address) -> anyhow::Result<()> {
        let (chain, pool) = (self.books.chain(), self.books.pool());
        if !db::has_wallet(pool, chain, address).await? {
            db::put_wallet(pool, chain, address, self.node.nonce(address).await?).await?;
        }
        Ok(())
    }

    /// Signs what pays a withdrawal, if the hot wallet has it; else it waits for sweeps.
    async fn pay(
        &self,
        tx: &mut PgConnection,
        unpaid: &Unpaid,
        coin: &mut U256,
        gas_price: u128,
    ) -> anyhow::Result<bool> {
        let hot = self.books.vault().hot();
        let asset: Asset = unpaid.asset.parse().context("a stored asset")?;
        let (to, amount): (Address, Amount) = (unpaid.destination.parse()?, unpaid.amount()?);
        let amount = amount.to_u256();
        let call = match asset.contract() {
            None => Call { purpose: "withdrawal", to, value: amount, data: Vec::new(), gas: PAYMENT_GAS, gas_price },
            Some(contract) => {
                if self.node.balance(hot.address(), Some(contract)).await? < amount {
                    return Ok(false);
                }
                let data = node::transfer(to, amount);
                Call { purpose: "withdrawal", to: contract, value: U256::ZERO, data, gas: TOKEN_GAS, gas_price }
            }
        };
        let Some(left) = coin.checked_sub(call.value.saturating_add(call.cost())) else { return Ok(false) };
        *coin = left;
        let transaction = self.sign(tx, hot, call).await?;
        db::paid(tx, unpaid.withdrawal_id, transaction).await?;
        Ok(true)
    }

    async fn sweep(&self, tx: &mut PgConnection, sweep: &ToSweep, gas_price: u128) -> anyhow::Result<bool> {
        let hot = self.books.vault().hot();
        let wallet = self.books.vault().deposit(sweep.customer_id);
        self.know_wallet(wallet.address()).await?;
        let mut tokens = Vec::new();
        for contract in self.books.assets().iter().filter_map(Asset::contract) {
            tokens.push((contract, self.node.balance(wallet.address(), Some(contract)).await?));
        }
        let coin = self.node.balance(wallet.address(), None).await?;
        let call = |purpose, to, value, data, gas| Call { purpose, to, value, data, gas, gas_price };
        match next(&Seen { coin, tokens, gas_price }) {
            Step::Done => {
                db::swept(tx, self.books.chain(), sweep).await?;
                return Ok(false);
            }
            Step::TopUp { value } => {
                self.sign(tx, hot, call("top_up", wallet.address(), value, Vec::new(), COIN_GAS)).await?
            }
            Step::Token { contract, amount } => {
                let data = node::transfer(hot.address(), amount);
                self.sign(tx, &wallet, call("sweep", contract, U256::ZERO, data, TOKEN_GAS)).await?
            }
            Step::Coin { value } => {
                self.sign(tx, &wallet, call("sweep", hot.address(), value, Vec::new(), COIN_GAS)).await?
            }
        };
        Ok(true)
    }

    /// Signs a wallet's next transaction and stores it to be sent.
    async fn sign(&self, tx: &mut PgConnection, wallet: &PrivateKeySigner, call: Call) -> anyhow::Result<B256> {
        let chain = self.books.chain();
        let nonce = db::next_nonce(tx, chain, wallet.address()).await?;
        // The oldest kind of transaction: every chain takes it, and what it costs is known to the last unit.
        let legacy = TxLegacy {
            chain_id: Some(self.chain_number),
            nonce,
            gas_price: call.gas_price,
            gas_limit: call.gas,
            to: TxKind::Call(call.to),
            value: call.value,
            input: Bytes::from(call.data),
        };
        let signature = wallet.sign_hash_sync(&legacy.signature_hash())?;
        let signed = TxEnvelope::Legacy(legacy.into_signed(signature));
        let signed = Signed {
            transaction: *signed.tx_hash(),
            sender: wallet.address(),
            nonce,
            recipient: call.to,
            purpose: call.purpose,
            raw: signed.encoded_2718(),
        };
        db::put_outgoing(tx, chain, &signed).await?;
        Ok(signed.transaction)
    }

    async fn send_all(&self) -> anyhow::Result<()> {
        let (chain, pool) = (self.books.chain(), self.books.pool());
        for (transaction, raw) in db::unmined(pool, chain).await? {
            match self.node.mined_in(transaction.parse()?).await? {
                Some(block) => db::mined(pool, chain, &transaction, block).await?,
                None => {
                    if let Err(error) = self.node.send(&raw).await {
                        tracing::debug!(
                            error = format!("{error:#}"),
                            "a transaction was not taken, or is known already"
                        );
                    }
                }
            }
        }
        Ok(())
    }
}

impl Call {
    fn cost(&self) -> U256 {
        U256::from(self.gas).saturating_mul(U256::from(self.gas_price))
    }
}
