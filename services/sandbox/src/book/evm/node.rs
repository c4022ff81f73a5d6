//! The node that is asked about the chain and sends to it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use alloy::network::AnyNetwork;
use alloy::primitives::{Address, B256, Bytes, U64, U256};
use alloy::providers::{Provider as _, RootProvider};
use alloy::rpc::client::{ClientBuilder, RpcClient};
use alloy::transports::ws::WsConnect;
use anyhow::{Context, ensure};
use futures::StreamExt as _;
use haetae_core::ChainId;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::block::{FullBlock, Header, Receipt};
use crate::book::network::Block;

/// How long the node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// What is paid above the base fee, per unit of gas.
const TIP: u128 = 1_000_000_000;
/// Between attempts at a subscription.
const RECONNECT: Duration = Duration::from_secs(1);
/// An unanswered ping after this long ends a subscription.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// A node, asked over HTTP. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Node(RpcClient);

impl Node {
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        // The address may hold a key: it is not repeated.
        Ok(Self(RpcClient::new_http(url.parse().map_err(|_| anyhow::anyhow!("the node's address is not a URL"))?)))
    }

    async fn ask<T>(&self, method: &'static str, params: Value) -> anyhow::Result<T>
    where
        T: DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static,
    {
        let answer = self.0.request(Cow::Borrowed(method), params);
        let answer = timeout(ANSWER, answer).await.with_context(|| format!("{method}: no answer in time"))?;
        answer.map_err(|error| match error.as_error_resp() {
            Some(refused) => anyhow::anyhow!("{method}: the node refused with code {}", refused.code),
            None => anyhow::anyhow!("{method}: the node cannot be reached"),
        })
    }

    /// The number of the chain (EIP-155).
    pub(super) async fn chain_id(&self) -> anyhow::Result<u64> {
        Ok(self.ask::<U64>("eth_chainId", json!([])).await?.to())
    }

    /// The newest block.
    pub(super) async fn newest(&self) -> anyhow::Result<Header> {
        self.ask::<Option<Header>>("eth_getBlockByNumber", json!(["latest", false])).await?.context("no newest block")
    }

    /// The block of this number; none beyond the newest.
    pub(super) async fn at(&self, number: u64) -> anyhow::Result<Option<Header>> {
        self.ask("eth_getBlockByNumber", json!([U64::from(number), false])).await
    }

    /// The block of this number with what it moved; none beyond the newest, or where it is being replaced just now.
    pub(super) async fn block(&self, chain: &ChainId, number: u64) -> anyhow::Result<Option<Block>> {
        let full: Option<FullBlock> = self.ask("eth_getBlockByNumber", json!([U64::from(number), true])).await?;
        let Some(full) = full else { return Ok(None) };
        let receipts: Option<Vec<Receipt>> = self.ask("eth_getBlockReceipts", json!([full.header.hash])).await?;
        receipts.map(|receipts| full.with(chain, &receipts)).transpose()
    }

    /// A price that is still enough some blocks later. Taken from the base fee (EIP-1559) where there is one: what a node
    /// suggests follows what was paid last, and where the exchange is the only one who pays, that is its own price.
    pub(super) async fn gas_price(&self) -> anyhow::Result<u128> {
        match self.newest().await?.base_fee() {
            Some(base_fee) => Ok(base_fee.saturating_mul(2).saturating_add(TIP)),
            None => Ok(self.ask::<U256>("eth_gasPrice", json!([])).await?.saturating_to()),
        }
    }

    /// How many transactions an account has sent.
    pub(super) async fn nonce(&self, account: Address) -> anyhow::Result<u64> {
        Ok(self.ask::<U64>("eth_getTransactionCount", json!([account, "latest"])).await?.to())
    }

    /// What an account has of a token, or of the chain's own coin, with what is on its way.
    pub(super) async fn balance(&self, account: Address, token: Option<Address>) -> anyhow::Result<U256> {
        let Some(token) = token else { return self.ask("eth_getBalance", json!([account, "pending"])).await };
        let call = json!({"to": token, "data": Bytes::from(balance_of(account))});
        let answer: Bytes = self.ask("eth_call", json!([call, "pending"])).await?;
        ensure!(answer.len() == 32, "the token's contract does not say how much");
        Ok(U256::from_be_slice(&answer))
    }

    /// Hands a signed transaction in. That it is known or mined already is no failure.
    pub(super) async fn send(&self, raw: &[u8]) -> anyhow::Result<()> {
        self.ask::<B256>("eth_sendRawTransaction", json!([Bytes::copy_from_slice(raw)])).await.map(drop)
    }
}

/// `balanceOf(address)` (ERC-20).
fn balance_of(account: Address) -> Vec<u8> {
    [&[0x70, 0xa0, 0x82, 0x31], account.into_word().as_slice()].concat()
}

/// `transfer(address,uint256)` (ERC-20).
pub(super) fn transfer(to: Address, amount: U256) -> Vec<u8> {
    [&[0xa9, 0x05, 0x9c, 0xbb], to.into_word().as_slice(), &amount.to_be_bytes::<32>()].concat()
}

/// Tells of new blocks as a node announces them, for as long as it is polled. A hint: whoever waits polls besides.
pub(crate) async fn keep_subscribed(url: &str, grown: Arc<Notify>) {
    loop {
        if let Err(error) = subscribe(url, &grown).await {
            tracing::debug!(%error, "no new blocks by subscription");
        }
        sleep(RECONNECT).await;
    }
}

async fn subscribe(url: &str, grown: &Notify) -> anyhow::Result<()> {
    let connect = WsConnect::new(url).with_max_retries(0).with_keepalive_interval(KEEP_ALIVE);
    let connecting = async {
        let client = ClientBuilder::default().ws(connect).await.map_err(|_| anyhow::anyhow!("cannot connect"))?;
        let provider = RootProvider::<AnyNetwork>::new(client);
        let heads = provider.subscribe::<_, Value>(("newHeads",)).await.map_err(|_| anyhow::anyhow!("refused"))?;
        anyhow::Ok((provider, heads))
    };
    let (_connection, heads) = timeout(ANSWER, connecting).await.context("not in time")??;
    let mut heads = heads.into_stream();
    while heads.next().await.is_some() {
        grown.notify_one();
    }
    Ok(())
}
