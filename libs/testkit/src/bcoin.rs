//! A real Bitcoin node for development: bcoin, on a regtest chain of its own in memory.
//!
//! It answers Core's JSON-RPC (of about Core 0.16), over HTTP with an API key as the password of any user. What is
//! different from Core, or from what one expects:
//!
//! - **Addresses of regtest are spelt in its own way** (`rb1…`, other version bytes) wherever it reads or writes one. Its
//!   scripts, blocks, transactions and its genesis are everybody's. [`Bcoin::mine_to`] spells for it; whoever reads blocks
//!   decodes them raw and spells the addresses itself.
//! - **`sendrawtransaction` never says no**: it answers with the transaction's id before the mempool has looked at it.
//!   [`Bcoin::send`] looks whether it was taken.
//! - **The mempool never replaces**, and refuses what signals that it may be replaced. [`BcoinOptions::replace_by_fee`] teaches
//!   it to, by a plugin of ours (`tests/chains/bitcoin/replace-by-fee.js`) that keeps BIP 125's rules 1, 3 and 4. Without it, a
//!   conflict comes true in a block: [`Bcoin::mine_on`] mines what the mempool would not take, and what conflicts with it
//!   leaves the mempool.
//! - The mempool wants 1 satoshi per virtual byte, refuses 10 000 times that as a mistake, and refuses chains of more than
//!   25 unconfirmed transactions.
//! - **What was in blocks that left the chain goes back to the mempool only if something waits there already**; from an
//!   empty one it is lost. [`Bcoin::reorganise`] hands it in again. The blocks
//!   themselves are forgotten where they were invalidated.
//! - **Taproot is unknown**: its outputs can be paid to, anybody can spend them, and the mempool refuses to; a block with such a
//!   spend is valid.
//! - SegWit has to be voted for (BIP 9): a started node has mined 432 blocks, by which it is active.
//! - `getblock HASH 0|false` is raw hexadecimal, `getblock HASH true` JSON with ids, and a third `true` adds transactions; verbosity
//!   2 is not known. `getrawtransaction` takes no block hash, and finds mined transactions since this node keeps an index.
//!   An unknown block is error -1 "Block not found", not -5. There is no ZMQ, no `getblockstats`, `getindexinfo`,
//!   `testmempoolaccept`, `generateblock`, no wallet here, and unknown methods are HTTP 200 with error -32601.
//! - Coinbases mature after 100 blocks, and the subsidy halves every 150.

mod block;
mod wallet;

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bitcoin::address::AddressType;
use bitcoin::bech32::{Hrp, segwit};
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Address, Block, BlockHash, Transaction, Txid, WitnessVersion, base58, bech32};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

pub use wallet::{FEE, Kind, Wallet, sign};

use crate::json_rpc;
use crate::parts::{self, Install, Part, on_path};
use crate::process::{Owned, log_to};
use crate::until::until;
use crate::workspace;

/// CAIP-2 of every regtest chain: they share their genesis.
pub const REGTEST: &str = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328";

/// What the node is asked with. Private to the machine, as the node is.
const API_KEY: &str = "rehearsal";

/// By this height SegWit has been voted for and is active.
const SEGWIT: u32 = 432;

/// How many of the first blocks' coinbases, 50 bitcoins each, a node pays from.
const FUNDS: u32 = 60;

/// How the node behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct BcoinOptions {
    /// Takes transactions that signal that they may be replaced, and replaces them by one that pays more (BIP 125).
    pub replace_by_fee: bool,
    /// None: a free port.
    pub port: Option<u16>,
}

/// A running node, past the activation of SegWit, with some money of its own. Dropping it kills it; its chain is gone then.
#[derive(Debug)]
pub struct Bcoin {
    port: u16,
    authorization: String,
    /// Whom blocks are mined for, and who pays in [`fund`](Self::fund).
    miner: Mutex<Wallet>,
    node: Owned,
    folder: TempDir,
}

/// What is said of a block's place.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Header {
    height: u32,
    time: u32,
    mediantime: u32,
}

impl Bcoin {
    /// Starts a node and mines until SegWit is active.
    ///
    /// # Errors
    /// When bcoin is missing or does not answer.
    pub async fn start(options: BcoinOptions) -> Result<Self> {
        let found = parts::ensure_async(&[Part::Bcoin], Install::Allowed).await?;
        let port = match options.port {
            Some(port) => port,
            None => crate::ports::free_port()?,
        };
        let folder = tempfile::Builder::new().prefix("haetae-bcoin-").tempdir()?;
        let log = folder.path().join("bcoin.log");
        let mut command = Command::new(on_path("node").context("node is not on the path")?);
        command
            .arg(found.path(Part::Bcoin)?)
            .args(["--network=regtest", "--memory=true", "--index-tx=true", "--no-wallet=true"])
            .args(["--listen=false", "--no-dns=true", "--workers=false", "--log-level=info"])
            .args([format!("--api-key={API_KEY}"), "--http-host=127.0.0.1".into(), format!("--http-port={port}")])
            .arg(format!("--prefix={}", folder.path().join("data").display()))
            // Its parts in C are not built (see tests/chains/bitcoin): their own JavaScript takes their place.
            .env("NODE_BACKEND", "js")
            .current_dir(folder.path());
        if options.replace_by_fee {
            let plugin = workspace::root().join("tests/chains/bitcoin/replace-by-fee.js");
            command.args(["--replace-by-fee=true".to_owned(), format!("--plugins={}", plugin.display())]);
        }
        log_to(&mut command, &log)?;
        let bcoin = Owned::spawn("bcoin", command, Signal::KILL)?;
        let authorization = format!("Basic {}", BASE64_STANDARD.encode(format!("x:{API_KEY}")));
        let miner = Mutex::new(Wallet::new(Kind::P2wpkh, "miner"));
        let mut bcoin = Self { port, authorization, miner, node: bcoin, folder };
        until("bcoin answers", Duration::from_secs(60), async || {
            if let Some(status) = bcoin.node.exit_status() {
                bail!("bcoin ended ({status}): {}", std::fs::read_to_string(&log)?);
            }
            Ok(bcoin.height().await.is_ok())
        })
        .await?;
        bcoin.mine(SEGWIT).await?;
        for height in 1..=FUNDS {
            let hash = bcoin.hash_at(height).await?;
            let block = bcoin.block(hash).await?;
            bcoin.as_miner(|miner| block.txdata.iter().for_each(|transaction| miner.note(transaction)));
        }
        Ok(bcoin)
    }

    /// JSON-RPC over HTTP, without the key.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same with user and key in it.
    pub fn url_with_key(&self) -> String {
        format!("http://x:{API_KEY}@127.0.0.1:{}", self.port)
    }

    /// The password of any user.
    pub fn api_key(&self) -> &'static str {
        API_KEY
    }

    /// Where it is served on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// One JSON-RPC call.
    ///
    /// # Errors
    /// When the node answers with an error, or not within half a minute.
    pub async fn rpc(&self, method: &str, params: Value) -> Result<Value> {
        json_rpc::call(self.port, Some(&self.authorization), method, params).await
    }

    async fn ask<T: for<'de> Deserialize<'de>>(&self, method: &str, params: Value) -> Result<T> {
        Ok(serde_json::from_value(self.rpc(method, params).await?)?)
    }

    /// The height of the newest block.
    ///
    /// # Errors
    /// As [`rpc`](Self::rpc); so for all that follow.
    pub async fn height(&self) -> Result<u32> {
        self.ask("getblockcount", json!([])).await
    }

    /// The newest block's hash.
    ///
    /// # Errors
    /// As [`rpc`](Self::rpc).
    pub async fn tip(&self) -> Result<BlockHash> {
        Ok(self.ask::<String>("getbestblockhash", json!([])).await?.parse()?)
    }

    /// The hash of the block at a height of the winning chain.
    ///
    /// # Errors
    /// When there is none.
    pub async fn hash_at(&self, height: u32) -> Result<BlockHash> {
        Ok(self.ask::<String>("getblockhash", json!([height])).await?.parse()?)
    }

    /// A block of any branch.
    ///
    /// # Errors
    /// When the node does not know it.
    pub async fn block(&self, hash: BlockHash) -> Result<Block> {
        Ok(deserialize_hex(&self.ask::<String>("getblock", json!([hash.to_string(), false])).await?)?)
    }

    /// The ids of transactions that wait for a block.
    ///
    /// # Errors
    /// As [`rpc`](Self::rpc).
    pub async fn waiting(&self) -> Result<Vec<Txid>> {
        let ids: Vec<String> = self.ask("getrawmempool", json!([])).await?;
        ids.iter().map(|id| Ok(id.parse()?)).collect()
    }

    /// Mines blocks with what waits, for the node's own miner.
    ///
    /// # Errors
    /// As [`rpc`](Self::rpc).
    pub async fn mine(&self, blocks: u32) -> Result<Vec<BlockHash>> {
        let address = self.as_miner(|miner| miner.address());
        self.mine_to(blocks, &address).await
    }

    /// Mines blocks with what waits, paying their coinbases to an address.
    ///
    /// # Errors
    /// For an address that the node cannot be told, such as Taproot's.
    pub async fn mine_to(&self, blocks: u32, address: &Address) -> Result<Vec<BlockHash>> {
        let hashes: Vec<String> = self.ask("generatetoaddress", json!([blocks, spelt_for_it(address)?])).await?;
        hashes.iter().map(|hash| Ok(hash.parse()?)).collect()
    }

    /// Mines one block on any known block, with exactly these transactions, and hands it in. The node changes to that
    /// branch when it is the longer one. Fees are forgone.
    ///
    /// # Errors
    /// When the node refuses the block.
    pub async fn mine_on(&self, parent: BlockHash, transactions: &[Transaction]) -> Result<BlockHash> {
        let header: Header = self.ask("getblockheader", json!([parent.to_string(), true])).await?;
        let time = header.time.max(header.mediantime) + 1;
        let to = self.as_miner(|miner| miner.address()).script_pubkey();
        let block = block::mined(parent, header.height + 1, time, to, transactions)?;
        match self.rpc("submitblock", json!([serialize_hex(&block)])).await? {
            Value::Null => Ok(block.block_hash()),
            refused => bail!("the block was refused: {refused}"),
        }
    }

    /// Takes a block and all after it out of the winning chain, for good.
    ///
    /// # Errors
    /// When the node does not know it.
    pub async fn invalidate(&self, block: BlockHash) -> Result<()> {
        self.rpc("invalidateblock", json!([block.to_string()])).await.map(drop)
    }

    /// Replaces the newest `depth` blocks by `blocks` others, in which what was in those that went is mined again.
    ///
    /// # Errors
    /// When there are not so many, or one of their transactions depends on a coinbase among them.
    pub async fn reorganise(&self, depth: u32, blocks: u32) -> Result<Vec<BlockHash>> {
        let first = self.height().await?.checked_sub(depth).context("not that many blocks")? + 1;
        let mut gone = Vec::new();
        for height in first..first + depth {
            gone.extend(self.block(self.hash_at(height).await?).await?.txdata.into_iter().skip(1));
        }
        self.invalidate(self.hash_at(first).await?).await?;
        for transaction in &gone {
            self.send(transaction).await?;
        }
        // Where the coinbases went to the same address at the same time, the blocks would be the same again.
        self.mine_to(blocks, &Wallet::new(Kind::P2wpkh, &format!("another miner, {depth} {blocks}")).address()).await
    }

    /// Hands a transaction in and sees it wait for a block.
    ///
    /// # Errors
    /// When the mempool does not take it.
    pub async fn send(&self, transaction: &Transaction) -> Result<Txid> {
        let id = transaction.compute_txid();
        self.rpc("sendrawtransaction", json!([serialize_hex(transaction)])).await?;
        let taken = until("it waits", Duration::from_secs(3), async || {
            Ok(self.rpc("getmempoolentry", json!([id.to_string()])).await.is_ok())
        });
        if taken.await.is_err() {
            let log = std::fs::read_to_string(self.folder.path().join("bcoin.log"))?;
            bail!("the mempool did not take {id}; the node's log ends: {}", log.lines().last().unwrap_or_default());
        }
        Ok(id)
    }

    /// Pays from the node's own money; the payment waits for a block.
    ///
    /// # Errors
    /// When the money is used up.
    pub async fn fund(&self, to: &Address, satoshi: u64) -> Result<Transaction> {
        let transaction = self.as_miner(|miner| miner.pay(&[(to.clone(), satoshi)]))?;
        self.send(&transaction).await?;
        Ok(transaction)
    }

    /// The miner's address, in the node's own spelling.
    ///
    /// # Errors
    /// Never: it is of a kind that the node can be told.
    pub fn miner(&self) -> Result<String> {
        spelt_for_it(&self.as_miner(|miner| miner.address()))
    }

    fn as_miner<T>(&self, act: impl FnOnce(&mut Wallet) -> T) -> T {
        act(&mut self.miner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// SIGSTOP: the node hangs with its connections open.
    ///
    /// # Errors
    /// When it no longer runs.
    pub fn pause(&self) -> Result<()> {
        self.node.signal(Signal::STOP)
    }

    /// Ends a [`pause`](Self::pause).
    ///
    /// # Errors
    /// When it no longer runs.
    pub fn resume(&self) -> Result<()> {
        self.node.signal(Signal::CONT)
    }
}

/// An address in the spelling that bcoin has for regtest.
fn spelt_for_it(address: &Address) -> Result<String> {
    let base58 = |version: u8, hash: &[u8]| base58::encode_check(&[&[version], hash].concat());
    match (address.address_type(), address.pubkey_hash(), address.script_hash(), address.witness_program()) {
        (Some(AddressType::P2pkh), Some(hash), _, _) => Ok(base58(0x3c, hash.as_ref())),
        (Some(AddressType::P2sh), _, Some(hash), _) => Ok(base58(0x26, hash.as_ref())),
        (_, _, _, Some(program)) if program.version() == WitnessVersion::V0 => {
            Ok(segwit::encode(Hrp::parse("rb")?, bech32::Fe32::Q, program.program().as_bytes())?)
        }
        _ => Err(anyhow!("bcoin cannot be told {address}")),
    }
}
