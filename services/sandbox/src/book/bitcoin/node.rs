//! The node that is asked about the chain and sends to it: Bitcoin Core's JSON-RPC.

use std::str::FromStr;
use std::time::Duration;

use alloy::transports::http::reqwest;
use anyhow::Context;
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Block, BlockHash, Transaction};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

/// How long the node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// There is no such height, block or transaction.
const NOT_THERE: [i64; 2] = [-5, -8];

/// A node, asked over HTTP. User and password may be in its address. Cheap to clone.
#[derive(Clone)]
pub(super) struct Node {
    client: reqwest::Client,
    url: reqwest::Url,
}

/// Why a node did not answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("the node refused with code {0}")]
    Refused(i64),
    #[error("no answer in time")]
    Late,
    /// What is wrong may hold the node's address, and with it a password: it is not repeated.
    #[error("the node cannot be reached, or does not speak as Bitcoin Core does")]
    Unreachable,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Value,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
}

/// A hash as nodes print it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Hash(pub(super) BlockHash);

impl TryFrom<String> for Hash {
    type Error = <BlockHash as FromStr>::Err;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// A block's place and predecessor; the first block has none.
#[derive(Debug, Deserialize)]
pub(super) struct Place {
    pub(super) height: u64,
    pub(super) hash: Hash,
    pub(super) previousblockhash: Option<Hash>,
}

impl Node {
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let url = url.parse().map_err(|_| anyhow::anyhow!("the node's address is not a URL"))?;
        Ok(Self { client: reqwest::Client::new(), url })
    }

    async fn ask<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> Result<T, Unanswered> {
        let asking = async {
            // Refusals come with various HTTP statuses; what counts is the body.
            let question = json!({ "jsonrpc": "1.0", "id": "sandbox", "method": method, "params": params });
            let request = self.client.post(self.url.clone()).header("content-type", "application/json");
            let answer = request.body(question.to_string()).send().await.map_err(|_| Unanswered::Unreachable)?;
            let body = answer.bytes().await.map_err(|_| Unanswered::Unreachable)?;
            let answer: Answer = serde_json::from_slice(&body).map_err(|_| Unanswered::Unreachable)?;
            match answer.error {
                Some(refusal) => Err(Unanswered::Refused(refusal.code)),
                None => serde_json::from_value(answer.result).map_err(|_| Unanswered::Unreachable),
            }
        };
        timeout(ANSWER, asking).await.unwrap_or(Err(Unanswered::Late))
    }

    /// The hash of the block at a height; none beyond the newest.
    pub(super) async fn hash_at(&self, height: u64) -> anyhow::Result<Option<BlockHash>> {
        match self.ask("getblockhash", json!([height])).await {
            Ok(Hash(hash)) => Ok(Some(hash)),
            Err(Unanswered::Refused(code)) if NOT_THERE.contains(&code) => Ok(None),
            Err(error) => Err(error).context("getblockhash"),
        }
    }

    pub(super) async fn newest(&self) -> anyhow::Result<BlockHash> {
        let Hash(hash) = self.ask("getbestblockhash", json!([])).await.context("getbestblockhash")?;
        Ok(hash)
    }

    pub(super) async fn place(&self, hash: BlockHash) -> anyhow::Result<Place> {
        self.ask("getblockheader", json!([hash.to_string(), true])).await.context("getblockheader")
    }

    /// A block, raw: what the node says of it in words is its own business.
    pub(super) async fn block(&self, hash: BlockHash) -> anyhow::Result<Block> {
        let raw: String = self.ask("getblock", json!([hash.to_string(), false])).await.context("getblock")?;
        Ok(deserialize_hex(&raw)?)
    }

    pub(super) async fn send(&self, transaction: &Transaction) -> anyhow::Result<()> {
        let sent = self.ask::<Value>("sendrawtransaction", json!([serialize_hex(transaction)])).await;
        sent.map(drop).context("sendrawtransaction")
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Node(hidden)")
    }
}
