//! What a rehearsal exchange is told at its start.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;

use haetae_core::{Asset, ChainId, ChainKind, ExchangeId};
use haetae_mesh::config::{Fault, IdPattern, Secret, Section, ServerConfig};
use serde::{Deserialize, Serialize};

/// `[service]`. `[server]` is where the public contract is served, with certificates of the exchange's own world.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The exchange's name in the mesh, such as `upbit`.
    pub exchange: ExchangeId,
    /// The registry, for the agency's pinned keys.
    pub registry: PathBuf,
    /// Who may call the public contract: the agency's connector.
    pub callers: Vec<IdPattern>,
    /// Rises when the exchange's log was restored from a backup.
    #[serde(default = "first")]
    pub log_epoch: NonZeroU32,
    /// How far clocks may differ, in milliseconds.
    #[serde(default = "clock_tolerance")]
    pub clock_tolerance_ms: u32,
    /// Within what time a confirmation is answered, in milliseconds.
    #[serde(default = "answer_within")]
    pub confirm_within_ms: u32,
    /// Within what time a freeze binds, in milliseconds.
    #[serde(default = "answer_within")]
    pub freeze_within_ms: u32,
    /// What the exchange signs with.
    pub keys: Keys,
    /// Whom to call when nothing else helps.
    pub hotline: Hotline,
    /// The chains its customers deposit on. Pseudonyms follow from the first one's seed.
    pub chains: Vec<Chain>,
    /// Where it is driven: customers, withdrawals, outages. A listener of its own.
    pub control: ServerConfig,
}

/// `[service.keys]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Receipts and events: Ed25519 or ECDSA P-256, PKCS #8 PEM.
    pub log: PathBuf,
}

/// `[service.hotline]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hotline {
    /// Name of the desk.
    pub name: String,
    /// Telephone.
    pub phone: String,
    /// E-mail.
    pub email: String,
}

/// `[[service.chains]]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// CAIP-2, such as `eip155:1`; EVM chains and Bitcoin.
    pub id: String,
    /// JSON-RPC of a node over HTTP; may hold a key, or user and password.
    pub http: Secret<String>,
    /// The same over WebSocket, for news of blocks, on EVM chains; without it the node is asked four times a second.
    pub ws: Option<Secret<String>>,
    /// After how many confirmations a deposit is credited, its own block included; at least 2.
    #[serde(default = "confirmations")]
    pub confirmations: u32,
    /// File with the hot wallet's key: 32 bytes in hexadecimal.
    pub hot_wallet_key_file: PathBuf,
    /// File with the seed of deposit wallets and pseudonyms: 32 bytes in hexadecimal.
    pub seed_file: PathBuf,
    /// What is credited, CAIP-19.
    pub assets: Vec<String>,
}

fn first() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn clock_tolerance() -> u32 {
    5_000
}

fn answer_within() -> u32 {
    2_000
}

fn confirmations() -> u32 {
    2
}

impl Chain {
    pub(crate) fn chain_id(&self) -> Option<ChainId> {
        let supported = |chain: &ChainId| matches!(chain.kind(), Some(ChainKind::Evm(_) | ChainKind::Bitcoin(_)));
        self.id.parse::<ChainId>().ok().filter(supported)
    }

    pub(crate) fn parsed_assets(&self) -> Option<Vec<Asset>> {
        self.assets.iter().map(|asset| asset.parse().ok()).collect()
    }

    fn faults(&self, at: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (key, file) in [("hot_wallet_key_file", &self.hot_wallet_key_file), ("seed_file", &self.seed_file)] {
            faults.extend(Fault::unreadable(format!("{at}.{key}"), file));
        }
        let chain = self.chain_id();
        if chain.is_none() {
            faults.push(Fault::new(format!("{at}.id"), "must be an EVM chain such as eip155:1, or Bitcoin (bip122:…)"));
        }
        let on_chain = |asset: &Asset| chain.as_ref().is_none_or(|chain| asset.chain() == chain);
        if !self.parsed_assets().is_some_and(|assets| !assets.is_empty() && assets.iter().all(on_chain)) {
            faults.push(Fault::new(format!("{at}.assets"), "must be assets of the chain (CAIP-19), at least one"));
        }
        if self.confirmations < 2 {
            faults.push(Fault::new(format!("{at}.confirmations"), "must be at least 2"));
        }
        faults
    }
}

impl Section for Config {
    fn faults(&self, at: &str) -> Vec<Fault> {
        let mut faults = self.control.faults(&format!("{at}.control"));
        for (key, file) in [("registry", &self.registry), ("keys.log", &self.keys.log)] {
            faults.extend(Fault::unreadable(format!("{at}.{key}"), file));
        }
        for (chain, place) in self.chains.iter().zip(0..) {
            faults.extend(chain.faults(&format!("{at}.chains.{place}")));
        }
        if self.chains.is_empty() {
            faults.push(Fault::new(format!("{at}.chains"), "must name a chain"));
        }
        let ids: BTreeSet<&str> = self.chains.iter().map(|chain| chain.id.as_str()).collect();
        if ids.len() < self.chains.len() {
            faults.push(Fault::new(format!("{at}.chains"), "must not name a chain twice"));
        }
        faults
    }
}
