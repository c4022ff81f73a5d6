//! Chains that speak Ethereum's JSON-RPC.

mod answers;
mod nodes;

use std::time::Duration;

use alloy::network::AnyNetwork;
use alloy::primitives::{Address, B256, Bytes, U64, U256, hex};
use alloy::providers::{Provider, RootProvider};
use alloy::rpc::client::ClientBuilder;
use alloy::transports::ws::WsConnect;
use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::answers::{FullBlock, Header, Receipt};
pub(crate) use self::nodes::Nodes;
use crate::knowledge::AccountFacts;
use crate::source::{BalanceAt, Block, BlockRef, ChainSource};

/// How long a node may take to accept a subscription.
const CONNECTING: Duration = Duration::from_secs(3);
/// Between attempts at a subscription, growing to the second.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// An unanswered ping after this long ends a subscription.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// `balanceOf(address)` (ERC-20).
const BALANCE_OF: [u8; 4] = hex!("70a08231");
/// Balances asked for at the same time.
const SIDE_BY_SIDE: usize = 8;
/// What an account's code begins with where it only names the contract it delegates to (EIP-7702): it is no contract.
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];

/// A chain and the nodes that are asked about it.
#[derive(Debug)]
pub(crate) struct Evm {
    nodes: Nodes,
}

impl Evm {
    pub(crate) fn new(nodes: Nodes) -> Self {
        Self { nodes }
    }

    async fn header(&self, tag: Value) -> anyhow::Result<Option<Header>> {
        self.nodes.ask("eth_getBlockByNumber", json!([tag, false])).await
    }

    /// All receipts of a block. Nodes that do not know the call for a whole block are asked for each.
    async fn receipts(&self, hash: B256) -> anyhow::Result<Receipts> {
        match self.nodes.ask::<Option<Vec<Receipt>>>("eth_getBlockReceipts", json!([hash])).await {
            Ok(receipts) => Ok(Receipts::Known(receipts)),
            Err(error) if nodes::unknown_method(&error) => Ok(Receipts::OneByOne),
            Err(error) => Err(error),
        }
    }

    async fn receipts_one_by_one(&self, block: &FullBlock) -> anyhow::Result<Option<Vec<Receipt>>> {
        let calls = block.transactions.iter().map(|tx| ("eth_getTransactionReceipt", json!([tx.hash]))).collect();
        let receipts: Vec<Option<Receipt>> = self.nodes.ask_all(calls).await?;
        Ok(receipts.into_iter().collect())
    }

    async fn balance(&self, of: BalanceAt) -> anyhow::Result<Option<U256>> {
        // By hash (EIP-1898): the number may mean another block by now.
        let at = json!({"blockHash": of.block});
        let answer = match of.token {
            None => self.nodes.ask_any("eth_getBalance", json!([of.account, at])).await.map(Some),
            Some(token) => {
                let data = hex::encode_prefixed([&BALANCE_OF[..], of.account.into_word().as_slice()].concat());
                let answer = self.nodes.ask_any::<Bytes>("eth_call", json!([{"to": token, "data": data}, at])).await;
                // A contract may answer with nothing, or with more.
                answer.map(|bytes| bytes.get(..32).map(U256::from_be_slice))
            }
        };
        match answer {
            Err(error) if nodes::is_refusal(&error) => {
                let block: Option<Header> = self.nodes.ask("eth_getBlockByHash", json!([of.block, false])).await?;
                block.context("the node does not have the block any more")?;
                Ok(None)
            }
            answer => answer,
        }
    }

    /// Passes on what a node says of new blocks, until the subscription ends.
    async fn subscribe(&self, url: &str, newest: &watch::Sender<Option<BlockRef>>) -> anyhow::Result<()> {
        let connect = WsConnect::new(url).with_max_retries(0).with_keepalive_interval(KEEP_ALIVE);
        let connecting = async {
            let client = ClientBuilder::default().ws(connect).await?;
            let provider = RootProvider::<AnyNetwork>::new(client);
            let heads = provider.subscribe::<_, Header>(("newHeads",)).await?;
            anyhow::Ok((provider, heads))
        };
        let (_connection, heads) = timeout(CONNECTING, connecting).await.context("no subscription in time")??;
        let mut heads = heads.into_stream();
        while let Some(head) = heads.next().await {
            newest.send_replace(Some(head.at()));
        }
        bail!("the subscription ended")
    }

    async fn keep_subscribed(&self, newest: &watch::Sender<Option<BlockRef>>) {
        let urls: Vec<&str> = self.nodes.subscriptions().collect();
        let mut wait = RECONNECT.0;
        for url in urls.iter().cycle() {
            let since = tokio::time::Instant::now();
            if let Err(error) = self.subscribe(url, newest).await {
                tracing::warn!(error = format!("{error:#}"), "no new heads by subscription");
            }
            wait = if since.elapsed() > RECONNECT.1 { RECONNECT.0 } else { (wait * 2).min(RECONNECT.1) };
            sleep(wait.mul_f64(rand::random_range(0.5..1.0))).await;
        }
        std::future::pending().await
    }

    async fn keep_polling(&self, newest: &watch::Sender<Option<BlockRef>>, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            ticks.tick().await;
            match self.newest().await {
                Ok(at) => {
                    newest.send_if_modified(|known| {
                        // An answer may have been overtaken by the subscription on its way; a chain that really became
                        // shorter is so the next time as well.
                        let overtaken = known.is_some_and(|known| at.number < known.number) && before != Some(at);
                        let news = *known != Some(at) && !overtaken;
                        if news {
                            *known = Some(at);
                        }
                        news
                    });
                    before = Some(at);
                }
                Err(error) => tracing::debug!(error = format!("{error:#}"), "no newest block"),
            }
        }
    }
}

enum Receipts {
    Known(Option<Vec<Receipt>>),
    OneByOne,
}

#[async_trait]
impl ChainSource for Evm {
    async fn newest(&self) -> anyhow::Result<BlockRef> {
        Ok(self.header(json!("latest")).await?.context("the node has no block")?.at())
    }

    async fn finalized(&self) -> anyhow::Result<Option<BlockRef>> {
        Ok(self.header(json!("finalized")).await?.map(|header| header.at()))
    }

    async fn at(&self, number: u64) -> anyhow::Result<Option<BlockRef>> {
        Ok(self.header(json!(U64::from(number))).await?.map(|header| header.at()))
    }

    async fn block(&self, hash: B256) -> anyhow::Result<Option<Block>> {
        let full = self.nodes.ask::<Option<FullBlock>>("eth_getBlockByHash", json!([hash, true]));
        let (block, receipts) = tokio::try_join!(full, self.receipts(hash))?;
        let Some(block) = block else { return Ok(None) };
        ensure!(block.header.hash == hash, "the node answered with another block");
        let receipts = match receipts {
            Receipts::Known(receipts) => receipts,
            Receipts::OneByOne => self.receipts_one_by_one(&block).await?,
        };
        // A block that is leaving the chain: the node does not have all of it any more.
        let Some(receipts) = receipts else { return Ok(None) };
        Ok(Some(block.with(&receipts)?))
    }

    async fn facts(&self, accounts: &[Address], at: u64) -> anyhow::Result<Vec<AccountFacts>> {
        let at = U64::from(at);
        let about = |method: &'static str| accounts.iter().map(|a| (method, json!([a, at]))).collect();
        let codes = self.nodes.ask_all::<Bytes>(about("eth_getCode"));
        let nonces = self.nodes.ask_all::<U64>(about("eth_getTransactionCount"));
        let (codes, nonces) = tokio::try_join!(codes, nonces)?;
        let known = codes.iter().zip(nonces).map(|(code, nonce)| AccountFacts {
            contract: !code.is_empty() && !code.starts_with(&DELEGATION),
            degree: nonce.to(),
        });
        Ok(known.collect())
    }

    async fn balances(&self, of: &[BalanceAt]) -> anyhow::Result<Vec<Option<U256>>> {
        stream::iter(of.to_vec()).map(|of| self.balance(of)).buffered(SIDE_BY_SIDE).try_collect().await
    }

    async fn tell_newest(&self, newest: watch::Sender<Option<BlockRef>>, poll: Duration, cancel: CancellationToken) {
        let telling = async { tokio::join!(self.keep_subscribed(&newest), self.keep_polling(&newest, poll)) };
        cancel.run_until_cancelled(telling).await;
    }
}
