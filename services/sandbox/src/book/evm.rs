//! Chains that speak Ethereum's JSON-RPC: accounts with balances, nonces and gas.

mod block;
mod node;
mod sweep;

use alloy::consensus::{SignableTransaction, TxEnvelope, TxLegacy};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, Bytes, TxKind, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use anyhow::Context;
use haetae_core::{Account, Amount, Asset, ChainId};
use sqlx::PgConnection;

use super::db::{self, Signed, ToSweep, Unpaid};
use super::network::{Block, Header, Network, Work, know_wallet};
use super::vault::Vault;
use node::Node;
use sweep::{COIN_GAS, Seen, Step, TOKEN_GAS, next};

pub(crate) use node::keep_subscribed;

/// A withdrawal of the chain's own coin may go to a contract, which takes more gas; what is left is not paid.
const PAYMENT_GAS: u64 = 60_000;

/// One such chain.
#[derive(Debug)]
pub(crate) struct Evm {
    chain: ChainId,
    number: u64,
    node: Node,
    vault: Vault,
    hot: PrivateKeySigner,
    /// What is swept besides the coin.
    tokens: Vec<Address>,
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

impl Evm {
    /// Reads and signs on chain number `number`; `url` is a node's JSON-RPC over HTTP.
    pub(crate) fn new(number: u64, url: &str, vault: Vault, assets: &[Asset]) -> anyhow::Result<Self> {
        let hot =
            PrivateKeySigner::from_bytes(&vault.hot()).context("the hot wallet's key is not a key of the curve")?;
        let tokens = assets.iter().filter_map(Asset::contract).collect();
        Ok(Self { chain: ChainId::evm(number), number, node: Node::new(url)?, vault, hot, tokens })
    }

    fn deposit_key(&self, customer: i64) -> PrivateKeySigner {
        self.vault.deposit(b"deposit", customer, |key| PrivateKeySigner::from_bytes(key).ok())
    }

    fn account(&self, address: Address) -> Account {
        Account::evm(self.chain.clone(), address)
    }

    /// Signs what pays a withdrawal, if the hot wallet has it; else it waits for sweeps.
    async fn pay(
        &self,
        tx: &mut PgConnection,
        unpaid: &Unpaid,
        coin: &mut U256,
        gas_price: u128,
    ) -> anyhow::Result<bool> {
        let asset: Asset = unpaid.asset.parse().context("a stored asset")?;
        let (to, amount): (Address, Amount) = (unpaid.destination.parse()?, unpaid.amount()?);
        let amount = amount.to_u256();
        let call = match asset.contract() {
            None => Call { purpose: "withdrawal", to, value: amount, data: Vec::new(), gas: PAYMENT_GAS, gas_price },
            Some(contract) => {
                if self.node.balance(self.hot.address(), Some(contract)).await? < amount {
                    return Ok(false);
                }
                let data = node::transfer(to, amount);
                Call { purpose: "withdrawal", to: contract, value: U256::ZERO, data, gas: TOKEN_GAS, gas_price }
            }
        };
        let Some(left) = coin.checked_sub(call.value.saturating_add(call.cost())) else { return Ok(false) };
        *coin = left;
        let transaction = self.sign_call(tx, &self.hot, call).await?;
        db::paid(tx, unpaid.withdrawal_id, &transaction).await?;
        Ok(true)
    }

    async fn sweep(&self, tx: &mut PgConnection, sweep: &ToSweep, gas_price: u128) -> anyhow::Result<bool> {
        let wallet = self.deposit_key(sweep.customer_id);
        know_wallet(self, tx, &self.account(wallet.address())).await?;
        let mut tokens = Vec::new();
        for &contract in &self.tokens {
            tokens.push((contract, self.node.balance(wallet.address(), Some(contract)).await?));
        }
        let coin = self.node.balance(wallet.address(), None).await?;
        let call = |purpose, to, value, data, gas| Call { purpose, to, value, data, gas, gas_price };
        match next(&Seen { coin, tokens, gas_price }) {
            Step::Done => {
                db::swept(tx, &self.chain, sweep).await?;
                return Ok(false);
            }
            Step::TopUp { value } => {
                let call = call("top_up", wallet.address(), value, Vec::new(), COIN_GAS);
                self.sign_call(tx, &self.hot, call).await?
            }
            Step::Token { contract, amount } => {
                let data = node::transfer(self.hot.address(), amount);
                self.sign_call(tx, &wallet, call("sweep", contract, U256::ZERO, data, TOKEN_GAS)).await?
            }
            Step::Coin { value } => {
                let call = call("sweep", self.hot.address(), value, Vec::new(), COIN_GAS);
                self.sign_call(tx, &wallet, call).await?
            }
        };
        Ok(true)
    }

    /// Signs a wallet's next transaction and stores it to be sent.
    async fn sign_call(&self, tx: &mut PgConnection, wallet: &PrivateKeySigner, call: Call) -> anyhow::Result<String> {
        let sender = self.account(wallet.address());
        let nonce = db::next_nonce(tx, &sender).await?;
        // The oldest kind of transaction: every chain takes it, and what it costs is known to the last unit.
        let legacy = TxLegacy {
            chain_id: Some(self.number),
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
            transaction: signed.tx_hash().to_string(),
            sender,
            nonce,
            recipient: call.to.to_checksum(None),
            purpose: call.purpose,
            raw: signed.encoded_2718(),
        };
        db::put_outgoing(tx, &signed).await?;
        Ok(signed.transaction)
    }
}

#[tonic::async_trait]
impl Network for Evm {
    fn chain(&self) -> &ChainId {
        &self.chain
    }

    async fn found(&self) -> anyhow::Result<String> {
        Ok(ChainId::evm(self.node.chain_id().await?).to_string())
    }

    fn hot(&self) -> Account {
        self.account(self.hot.address())
    }

    fn deposit(&self, customer: i64) -> Account {
        self.account(self.deposit_key(customer).address())
    }

    async fn newest(&self) -> anyhow::Result<Header> {
        Ok(self.node.newest().await?.named())
    }

    async fn at(&self, number: u64) -> anyhow::Result<Option<Header>> {
        Ok(self.node.at(number).await?.map(|header| header.named()))
    }

    async fn block(&self, number: u64) -> anyhow::Result<Option<Block>> {
        self.node.block(&self.chain, number).await
    }

    async fn sent_by(&self, wallet: &Account) -> anyhow::Result<u64> {
        self.node.nonce(wallet.evm_address().context("a wallet of another chain")?).await
    }

    async fn sign(&self, tx: &mut PgConnection, work: &Work) -> anyhow::Result<bool> {
        let gas_price = self.node.gas_price().await?;
        let mut coin = self.node.balance(self.hot.address(), None).await?;
        let mut signed = false;
        for unpaid in &work.unpaid {
            signed |= self.pay(tx, unpaid, &mut coin, gas_price).await?;
        }
        for sweep in &work.sweeps {
            signed |= self.sweep(tx, sweep, gas_price).await?;
        }
        Ok(signed)
    }

    async fn send(&self, raw: &[u8]) -> anyhow::Result<()> {
        self.node.send(raw).await
    }
}

impl Call {
    fn cost(&self) -> U256 {
        U256::from(self.gas).saturating_mul(U256::from(self.gas_price))
    }
}
