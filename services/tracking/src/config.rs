//! What tracking is told at its start.

use std::{path::PathBuf, time::Duration};

use haetae_core::{ChainId, ChainKind};
use haetae_mesh::config::{Fault, Section};
use serde::{Deserialize, Serialize};

use crate::question::Pace;

/// Six confirmations, the block itself being the first.
const BITCOIN_FINAL_AFTER: u64 = 5;

/// `[service]` of tracking.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The registry of exchanges and keys.
    pub registry: PathBuf,
    /// The keys it signs with.
    pub keys: KeysConfig,
    /// The chains it reads.
    pub chains: Vec<ChainConfig>,
    /// How questions to exchanges are paced.
    #[serde(default)]
    pub questions: QuestionsConfig,
    /// What labels are worth.
    #[serde(default)]
    pub labels: LabelsConfig,
}

/// `[service.keys]`: private keys, PKCS #8 PEM, one for each purpose.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// Signs that money arrived.
    pub arrive: PathBuf,
    /// Signs questions to exchanges.
    pub confirm: PathBuf,
}

/// `[[service.chains]]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// CAIP-2, such as `eip155:1`, `tron:728126428` or `bip122:000000000019d6689c085ae165831e93`.
    pub id: String,
    /// The nodes that are asked, in order of preference.
    pub nodes: Vec<NodeConfig>,
    /// Blocks on top of a transfer after which it counts as confirmed.
    #[serde(default = "confirmations")]
    pub confirmations: u64,
    /// Blocks on top of a transfer after which it counts as final, where the chain itself has no word for it: on Bitcoin 5
    /// unless it is said otherwise, which wallets call six confirmations. Not looked at where the chain says what is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_after: Option<u64>,
    /// Blocks that may leave the chain; more stop the reading until a person has looked.
    #[serde(default = "max_reorg_depth")]
    pub max_reorg_depth: u64,
    /// Usual time between blocks, in milliseconds: what the silence of a chain is measured by.
    #[serde(default = "block_time_ms")]
    pub block_time_ms: u64,
    /// How often nodes are asked besides the subscription, in milliseconds.
    #[serde(default = "poll_ms")]
    pub poll_ms: u64,
    /// Whether it is looked once a second at what waits to be included. Nodes may count that dearly: it is a whole block's worth
    /// each time.
    #[serde(default = "yes")]
    pub look_at_waiting: bool,
}

/// One node of a chain. Its addresses may hold access keys: they are not shown.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// JSON-RPC over HTTP; it may hold a name and a password. One of a Bitcoin chain's nodes has to keep an index of
    /// transactions (Bitcoin Core: `txindex=1`; bcoin: `index-tx`) or be Bitcoin Core 23 or newer: what is spent is asked for.
    #[serde(serialize_with = "hidden")]
    pub http: String,
    /// JSON-RPC over WebSocket, for new heads; without it they are polled for.
    #[serde(default, serialize_with = "hidden_option", skip_serializing_if = "Option::is_none")]
    pub ws: Option<String>,
    /// Tron only: its own HTTP API, as far as `/wallet`; without it, where `http` is without its last part, `/jsonrpc`.
    #[serde(default, serialize_with = "hidden_option", skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Tron only: the same for solid blocks, as far as `/walletsolidity`, where that is another port; without it, `api`.
    #[serde(default, serialize_with = "hidden_option", skip_serializing_if = "Option::is_none")]
    pub solidity: Option<String>,
    /// Whom the node knows the caller as, where it asks for a name and a password; they may stand in the address as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A file that holds the password and nothing else, such as a node's cookie without its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// `[service.questions]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuestionsConfig {
    /// How long a question may be delivered, in milliseconds.
    pub valid_for_ms: u64,
    /// The wait before a question that stayed open is asked again, in milliseconds; it doubles from there.
    pub ask_again_after_ms: u64,
    /// The longest such wait, in milliseconds.
    pub slowest_ms: u64,
}

impl Default for QuestionsConfig {
    fn default() -> Self {
        Self { valid_for_ms: 60_000, ask_again_after_ms: 5_000, slowest_ms: 60_000 }
    }
}

/// `[service.labels]`
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LabelsConfig {
    /// How much the source of a label must be worth for it to end a trail at a mixer, a bridge or a privacy pool: from 0 to
    /// 100, as TagPacks rank their names of confidence (`forensic` is 50, `web_crawl` 20). More than 100: no label does.
    pub min_confidence: u8,
}

impl Default for LabelsConfig {
    fn default() -> Self {
        Self { min_confidence: 50 }
    }
}

fn confirmations() -> u64 {
    2
}

fn max_reorg_depth() -> u64 {
    64
}

fn yes() -> bool {
    true
}

fn block_time_ms() -> u64 {
    12_000
}

fn poll_ms() -> u64 {
    250
}

fn hidden<S: serde::Serializer>(_: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("…")
}

fn hidden_option<S: serde::Serializer>(_: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("…")
}

impl std::fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeConfig(…)")
    }
}

impl ChainConfig {
    /// See `final_after`.
    pub(crate) fn final_after(&self, kind: Option<ChainKind>) -> Option<u64> {
        let usual = matches!(kind, Some(ChainKind::Bitcoin(_))).then_some(BITCOIN_FINAL_AFTER);
        self.final_after.or(usual)
    }
}

impl QuestionsConfig {
    pub(crate) fn pace(&self) -> Pace {
        Pace {
            valid_for: Duration::from_millis(self.valid_for_ms),
            first: Duration::from_millis(self.ask_again_after_ms),
            slowest: Duration::from_millis(self.slowest_ms),
        }
    }
}

impl Section for Config {
    fn faults(&self, at: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (key, file) in
            [("registry", &self.registry), ("keys.arrive", &self.keys.arrive), ("keys.confirm", &self.keys.confirm)]
        {
            faults.extend(Fault::unreadable(format!("{at}.{key}"), file));
        }
        if self.chains.is_empty() {
            faults.push(Fault::new(format!("{at}.chains"), "needs at least one chain"));
        }
        for (place, chain) in self.chains.iter().enumerate() {
            let at = format!("{at}.chains[{place}]");
            if chain.id.parse::<ChainId>().ok().and_then(|id| id.kind()).is_none() {
                faults.push(Fault::new(format!("{at}.id"), "must be a chain of eip155, tron or bip122 in CAIP-2 form"));
            }
            if self.chains[..place].iter().any(|other| other.id == chain.id) {
                faults.push(Fault::new(format!("{at}.id"), "is named twice"));
            }
            if chain.nodes.is_empty() {
                faults.push(Fault::new(format!("{at}.nodes"), "needs at least one node"));
            }
            for (place, node) in chain.nodes.iter().enumerate() {
                let at = format!("{at}.nodes[{place}]");
                faults.extend(
                    node.password_file.as_ref().and_then(|file| Fault::unreadable(format!("{at}.password_file"), file)),
                );
                let own = node.api.is_some() || node.solidity.is_some();
                if own && !chain.id.starts_with("tron:") {
                    faults.push(Fault::new(&at, "has no API of its own: only Tron's nodes have"));
                }
                if node.user.is_some() != node.password_file.is_some() {
                    faults.push(Fault::new(at, "needs both user and password_file, or neither"));
                }
            }
            for (key, zero) in [("max_reorg_depth", chain.max_reorg_depth == 0), ("poll_ms", chain.poll_ms == 0)] {
                if zero {
                    faults.push(Fault::new(format!("{at}.{key}"), "must be at least 1"));
                }
            }
        }
        let questions = &self.questions;
        if questions.valid_for_ms == 0 || questions.ask_again_after_ms == 0 {
            faults.push(Fault::new(format!("{at}.questions"), "needs times of at least 1 ms"));
        }
        faults
    }
}
