//! A real Ethereum node for development: Foundry's anvil.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::json_rpc::call;
use crate::parts::{self, Install, Part};
use crate::process::{Owned, log_to};
use crate::until::until;

/// How the node makes its chain.
#[derive(Clone, Debug)]
pub struct AnvilOptions {
    /// Seconds between blocks. None: a block per transaction, and on `anvil_mine`.
    pub block_time: Option<u64>,
    /// Blocks per epoch; the finalised block lies two epochs behind the newest. One keeps finality near.
    pub slots_in_an_epoch: u64,
    /// As in `eip155:<id>`.
    pub chain_id: u64,
    /// How many accounts are funded (10 000 ether each) and unlocked for `eth_sendTransaction`.
    pub accounts: u16,
    /// None: a free port.
    pub port: Option<u16>,
    /// The node whose chain this one's branches off, after its newest block. None: a chain of its own.
    pub fork_of: Option<String>,
}

impl Default for AnvilOptions {
    fn default() -> Self {
        Self { block_time: None, slots_in_an_epoch: 1, chain_id: 31_337, accounts: 10, port: None, fork_of: None }
    }
}

/// A running node. Dropping it kills it; its chain is gone then.
#[derive(Debug)]
pub struct Anvil {
    port: u16,
    node: Owned,
    _folder: TempDir,
}

impl Anvil {
    /// Starts a node.
    ///
    /// # Errors
    /// When anvil is missing or does not answer.
    pub async fn start(options: AnvilOptions) -> Result<Self> {
        let found = parts::ensure_async(&[Part::Anvil], Install::Allowed).await?;
        let port = match options.port {
            Some(port) => port,
            None => crate::ports::free_port()?,
        };
        let folder = tempfile::Builder::new().prefix("haetae-anvil-").tempdir()?;
        let log = folder.path().join("anvil.log");
        let mut command = Command::new(found.path(Part::Anvil)?);
        command
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--chain-id", &options.chain_id.to_string()])
            .args(["--accounts", &options.accounts.to_string()])
            .args(["--slots-in-an-epoch", &options.slots_in_an_epoch.to_string()])
            .current_dir(folder.path());
        if let Some(seconds) = options.block_time {
            command.args(["--block-time", &seconds.to_string()]);
        }
        if let Some(url) = &options.fork_of {
            command.args(["--fork-url", url, "--no-rate-limit"]);
        }
        log_to(&mut command, &log)?;
        let mut anvil = Self { port, node: Owned::spawn("anvil", command, Signal::KILL)?, _folder: folder };
        until("anvil answers", Duration::from_secs(30), async || {
            if let Some(status) = anvil.node.exit_status() {
                bail!("anvil ended ({status}): {}", std::fs::read_to_string(&log)?);
            }
            let answer = call(port, None, "eth_chainId", json!([])).await;
            Ok(answer.is_ok_and(|id| id == format!("{:#x}", options.chain_id)))
        })
        .await?;
        Ok(anvil)
    }

    /// JSON-RPC over HTTP.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// JSON-RPC over WebSocket, with subscriptions.
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Both are served on this port of 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// One JSON-RPC call: `anvil_mine`, `anvil_reorg`, `anvil_impersonateAccount`, `eth_sendTransaction`, …
    ///
    /// # Errors
    /// When the node answers with an error, or not within half a minute.
    pub async fn rpc(&self, method: &str, params: Value) -> Result<Value> {
        call(self.port, None, method, params).await
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
