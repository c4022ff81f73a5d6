//! What a Tron node's own HTTP API answers, as far as it is needed. Hashes are printed without `0x`, accounts as `41` and
//! the 20 bytes; what is zero or false is left out.

use std::time::Duration;

use alloy::primitives::{Address, B256, U256, hex};
use alloy::transports::http::reqwest::Client;
use anyhow::{Context, anyhow, bail, ensure};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::config::NodeConfig;
use crate::evm::answers::{Became, Log};
use crate::source::BlockRef;

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// What comes before the 20 bytes of an account.
const PREFIX: u8 = 0x41;
/// How a call is noted that moves what it names: `call`, `create` and `suicide`, in hexadecimal. Others lend resources or
/// cast votes.
const MOVING: [&str; 3] = ["63616c6c", "637265617465", "73756963696465"];

#[derive(Debug)]
pub(super) struct Api {
    client: Client,
}

/// A transaction as it was sent.
#[derive(Debug, Deserialize)]
pub(super) struct Sent {
    #[serde(rename = "txID")]
    id: Hash,
    raw_data: Raw,
}

#[derive(Debug, Deserialize)]
struct Raw {
    /// One, by Tron's rules.
    contract: Vec<Contract>,
}

#[derive(Debug, Deserialize)]
struct Contract {
    #[serde(rename = "type")]
    kind: String,
    parameter: Parameter,
}

#[derive(Debug, Deserialize)]
struct Parameter {
    value: Fields,
}

/// What is needed of the kinds of transactions that move Tron's own coin.
#[derive(Debug, Deserialize)]
struct Fields {
    owner_address: Option<Tagged>,
    to_address: Option<Tagged>,
    contract_address: Option<Tagged>,
    /// Of another asset, unless it is a plain transfer.
    #[serde(default)]
    amount: Value,
    #[serde(default)]
    call_value: u64,
    new_contract: Option<NewContract>,
}

#[derive(Debug, Deserialize)]
struct NewContract {
    #[serde(default)]
    call_value: u64,
}

/// What became of a transaction.
#[derive(Debug, Deserialize)]
pub(super) struct Info {
    id: Hash,
    /// In the smallest unit, for energy and bandwidth and all else.
    #[serde(default)]
    pub(super) fee: u64,
    #[serde(default)]
    pub(super) internal_transactions: Vec<Internal>,
    /// `FAILED`, or left out.
    result: Option<String>,
    /// Of the contract that was made or called.
    contract_address: Option<Tagged>,
    #[serde(default)]
    log: Vec<Logged>,
}

/// What a contract wrote down. Its own account stands there without what is before others.
#[derive(Debug, Deserialize)]
struct Logged {
    address: Bare,
    #[serde(default)]
    topics: Vec<Hash>,
    #[serde(default)]
    data: String,
}

/// A call inside a transaction.
#[derive(Debug, Deserialize)]
pub(super) struct Internal {
    caller_address: Option<Tagged>,
    #[serde(rename = "transferTo_address")]
    transfer_to_address: Option<Tagged>,
    #[serde(rename = "callValueInfo", default)]
    values: Vec<CallValue>,
    #[serde(default)]
    note: String,
    #[serde(default)]
    rejected: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallValue {
    #[serde(default)]
    call_value: u64,
    /// Of another asset (TRC-10); none for Tron's own coin.
    #[serde(default)]
    token_id: Option<String>,
}

/// An account's bytes behind their prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tagged(Address);

/// An account's bytes without their prefix.
#[derive(Clone, Copy, Debug)]
struct Bare(Address);

#[derive(Clone, Copy, Debug)]
struct Hash(B256);

#[derive(Debug, Deserialize)]
struct BlockAnswer {
    /// Left out with everything else where the node does not have the block.
    #[serde(rename = "blockID")]
    id: Option<Hash>,
    #[serde(default)]
    transactions: Vec<Sent>,
    block_header: Option<BlockHeader>,
}

#[derive(Debug, Deserialize)]
struct BlockHeader {
    raw_data: HeaderData,
}

#[derive(Debug, Deserialize)]
struct HeaderData {
    #[serde(default)]
    number: u64,
}

impl Sent {
    pub(super) fn id(&self) -> B256 {
        self.id.0
    }

    /// Who pays whom how many of Tron's own coin; nobody where a contract is created, since the receipt names it.
    pub(super) fn value(&self) -> (Address, Option<Address>, U256) {
        let Some(contract) = self.raw_data.contract.first() else { return (Address::ZERO, None, U256::ZERO) };
        let fields = &contract.parameter.value;
        let owner = fields.owner_address;
        let (to, value) = match contract.kind.as_str() {
            "TransferContract" => (fields.to_address, fields.amount.as_u64().unwrap_or_default()),
            "TriggerSmartContract" => (fields.contract_address, fields.call_value),
            "CreateSmartContract" => (None, fields.new_contract.as_ref().map_or(0, |new| new.call_value)),
            _ => (owner, 0),
        };
        (owner.map_or(Address::ZERO, |owner| owner.0), to.map(|to| to.0), U256::from(value))
    }
}

impl Info {
    pub(super) fn id(&self) -> B256 {
        self.id.0
    }

    /// What became of the transaction of this sender, in this block.
    ///
    /// # Errors
    /// When what a contract wrote down cannot be read.
    pub(super) fn became(&self, from: Address, block: B256) -> anyhow::Result<Became> {
        let log = |log: &Logged| {
            let data = hex::decode(&log.data).context("what a contract wrote down is not hexadecimal")?;
            let topics = log.topics.iter().map(|topic| topic.0).collect();
            anyhow::Ok(Log { address: log.address.0, topics, data: data.into() })
        };
        Ok(Became {
            transaction: self.id.0,
            block,
            from,
            failed: self.result.as_deref().is_some_and(|result| result == "FAILED"),
            contract: self.contract_address.map(|contract| contract.0),
            logs: self.log.iter().map(log).collect::<anyhow::Result<_>>()?,
        })
    }
}

impl Internal {
    /// What the call moved of Tron's own coin, and from whom to whom.
    pub(super) fn moved(&self) -> Option<(Address, Address, U256)> {
        if self.rejected || !MOVING.contains(&self.note.as_str()) {
            return None;
        }
        let coins = self.values.iter().filter(|value| value.token_id.as_deref().is_none_or(str::is_empty));
        let amount = coins.map(|value| U256::from(value.call_value)).fold(U256::ZERO, U256::saturating_add);
        let moved = (self.caller_address?.0, self.transfer_to_address?.0, amount);
        (!amount.is_zero()).then_some(moved)
    }
}

impl Api {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { client: Client::builder().timeout(ANSWER).build()? })
    }

    /// The transactions of a block; none where the node does not have it.
    pub(super) async fn block(&self, node: &NodeConfig, hash: B256) -> anyhow::Result<Option<Vec<Sent>>> {
        let asked = json!({"value": hex::encode(hash)});
        let block: BlockAnswer = self.ask(&base(node), "wallet/getblockbyid", asked).await?;
        let Some(id) = block.id else { return Ok(None) };
        ensure!(id.0 == hash, "the node answered with another block");
        Ok(Some(block.transactions))
    }

    /// What became of the transactions of the block that has this number now.
    pub(super) async fn infos(&self, node: &NodeConfig, number: u64) -> anyhow::Result<Vec<Info>> {
        self.ask(&base(node), "wallet/gettransactioninfobyblocknum", json!({"num": number})).await
    }

    /// The newest solid block.
    pub(super) async fn solid(&self, node: &NodeConfig) -> anyhow::Result<BlockRef> {
        let base = node.solidity.clone().unwrap_or_else(|| base(node));
        let block: BlockAnswer = self.ask(&base, "walletsolidity/getnowblock", json!({})).await?;
        let (Some(id), Some(header)) = (block.id, block.block_header) else { bail!("the node has no solid block") };
        Ok(BlockRef { number: header.raw_data.number, hash: id.0 })
    }

    async fn ask<T: DeserializeOwned>(&self, base: &str, path: &'static str, body: Value) -> anyhow::Result<T> {
        let url = format!("{}/{path}", base.trim_end_matches('/'));
        let asked = self.client.post(url).header("content-type", "application/json").body(body.to_string());
        // The address may hold a key: it is not for logs.
        let silent = |_| anyhow!("{path}: the node did not answer");
        let answer = asked.send().await.map_err(silent)?.error_for_status().map_err(silent)?;
        let answer = answer.bytes().await.map_err(silent)?;
        serde_json::from_slice(&answer).with_context(|| format!("{path}: the node answered with something else"))
    }
}

/// Where a node's HTTP API is: as configured, or beside its JSON-RPC, as public nodes have it.
fn base(node: &NodeConfig) -> String {
    let beside = || node.http.trim_end_matches('/').trim_end_matches("/jsonrpc").to_owned();
    node.api.clone().unwrap_or_else(beside)
}

impl<'de> Deserialize<'de> for Tagged {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = hex::decode(text).map_err(D::Error::custom)?;
        match bytes.split_first() {
            Some((&PREFIX, address)) if address.len() == 20 => Ok(Self(Address::from_slice(address))),
            _ => Err(D::Error::custom("an account that is not 41 and 20 bytes")),
        }
    }
}

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = hex::decode(String::deserialize(from)?).map_err(D::Error::custom)?;
        match bytes.as_slice() {
            [PREFIX, address @ ..] if address.len() == 20 => Ok(Self(Address::from_slice(address))),
            address if address.len() == 20 => Ok(Self(Address::from_slice(address))),
            _ => Err(D::Error::custom("an account that is not 20 bytes")),
        }
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Written without `0x`, read with or without it.
        String::deserialize(from)?.parse().map(Self).map_err(D::Error::custom)
    }
}
