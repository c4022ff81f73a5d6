//! A Bitcoin node on a chain of its own, and tracking that reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use haetae_core::{Account, Amount, Asset, ChainId, TaintRule, WatchId};
use haetae_testkit::bcoin::{Bcoin, BcoinOptions, REGTEST, Wallet};
use haetae_tracking::{ChainConfig, NodeConfig, QuestionsConfig};
use haetae_wire::convert::asset_amounts;
use haetae_wire::intake::v1 as intake;
use haetae_wire::tracking::v1 as wire;

use crate::mesh::{Mesh, WatchOf, eventually};

pub(crate) type Coins = Mesh<Bcoin>;

pub(crate) fn chain() -> ChainId {
    REGTEST.parse().unwrap()
}

pub(crate) fn account(address: &bitcoin::Address) -> Account {
    format!("{REGTEST}:{address}").parse().unwrap()
}

pub(crate) fn of(wallet: &Wallet) -> Account {
    account(&wallet.address())
}

fn coin() -> Asset {
    Asset::coin(chain()).unwrap()
}

pub(crate) fn watch_of(rule: TaintRule, stolen: u64) -> WatchOf {
    let stolen = BTreeMap::from([(coin(), Amount::from(stolen))]);
    let dust = asset_amounts(&BTreeMap::from([(coin(), Amount::from(1_000u64))]));
    let limits = intake::WatchLimits { max_hops: 10, dust, max_addresses: 50, max_questions: 100, max_degree: 1_000 };
    WatchOf { root: 0, stolen, limits, period: Duration::from_secs(3_600), rule, start: None, not_before: None }
}

impl Coins {
    pub(crate) async fn started() -> Self {
        Self::started_with(BcoinOptions::default()).await
    }

    pub(crate) async fn started_with(options: BcoinOptions) -> Self {
        let node = Bcoin::start(options).await.unwrap();
        let http = node.url_with_key();
        Self::reading(node, http).await
    }

    /// Tracking that reads a node's chain at this address.
    pub(crate) async fn reading(node: Bcoin, http: String) -> Self {
        let config = ChainConfig {
            id: REGTEST.to_owned(),
            nodes: vec![NodeConfig { http, ..NodeConfig::default() }],
            confirmations: 2,
            final_after: Some(5),
            max_reorg_depth: 64,
            block_time_ms: 1_000,
            poll_ms: 100,
            look_at_waiting: true,
        };
        Self::of(node, config, QuestionsConfig::default()).await
    }

    /// A wallet with coins, which a block holds.
    pub(crate) async fn endow(&self, wallet: &mut Wallet, satoshi: &[u64]) {
        for satoshi in satoshi {
            wallet.note(&self.chain.fund(&wallet.address(), *satoshi).await.unwrap());
        }
        self.chain.mine(1).await.unwrap();
    }

    pub(crate) async fn read_all(&self) {
        let height = u64::from(self.chain.height().await.unwrap());
        eventually("the chain was read", async || self.head().await.is_some_and(|head| head >= height)).await;
    }

    pub(crate) async fn hops(&self, watch: WatchId, count: usize) -> Vec<wire::Hop> {
        let mut hops = Vec::new();
        eventually(&format!("{count} hops"), async || {
            hops = self.of_kind::<wire::Hop>(watch, "hop").await;
            hops.len() >= count
        })
        .await;
        assert_eq!(hops.len(), count);
        hops
    }
}

/// Hops in short: to whom, which output, what of it is traced, how far from the root.
pub(crate) fn short(hops: &[wire::Hop]) -> Vec<(String, String, u64, u32)> {
    let of = |hop: &wire::Hop| {
        let index = hop.transfer.as_ref().unwrap().index.clone();
        (hop.to.clone(), index, hop.traced_amount.parse().unwrap(), hop.depth)
    };
    hops.iter().map(of).collect()
}
