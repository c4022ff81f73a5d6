//! News of blocks: by subscription to the node that is followed, and by asking it besides. A subscription that has died
//! without a word costs time and nothing else; what it left out is found on the way back from the next block.

use std::time::Duration;

use alloy::network::AnyNetwork;
use alloy::primitives::U64;
use alloy::providers::{Provider, RootProvider};
use alloy::rpc::client::ClientBuilder;
use alloy::transports::ws::WsConnect;
use anyhow::{Context, bail};
use futures::StreamExt;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::answers::Header;
use super::node::Node;
use super::nodes::Nodes;
use crate::source::BlockRef;

/// How long a node may take to accept a subscription.
const CONNECTING: Duration = Duration::from_secs(3);
/// Between attempts at a subscription, growing to the second.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// An unanswered ping after this long ends a subscription.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How often the nodes are asked that are not followed.
const LOOK_AROUND: Duration = Duration::from_secs(2);

/// Tells of new blocks for as long as it is polled.
pub(super) async fn tell(nodes: &Nodes, newest: &watch::Sender<Option<BlockRef>>, poll: Duration) {
    tokio::join!(keep_subscribed(nodes, newest), keep_polling(nodes, newest, poll), keep_looking_around(nodes));
}

async fn keep_subscribed(nodes: &Nodes, newest: &watch::Sender<Option<BlockRef>>) {
    let mut following = nodes.following();
    let mut wait = RECONNECT.0;
    loop {
        following.mark_unchanged();
        let node = nodes.followed();
        let Some(url) = node.config.ws.as_deref() else {
            // Nobody ends it while the nodes are there.
            let _ = following.changed().await;
            continue;
        };
        let since = Instant::now();
        tokio::select! {
            ended = subscribe(nodes, node, url, newest) => {
                if let Err(error) = ended {
                    tracing::warn!(error = format!("{error:#}"), "no new heads by subscription");
                }
                wait = if since.elapsed() > RECONNECT.1 { RECONNECT.0 } else { (wait * 2).min(RECONNECT.1) };
                sleep(wait.mul_f64(rand::random_range(0.5..1.0))).await;
            }
            _ = following.changed() => wait = RECONNECT.0,
        }
    }
}

/// Passes on what a node says of new blocks, until the subscription ends.
async fn subscribe(
    nodes: &Nodes,
    node: &Node,
    url: &str,
    newest: &watch::Sender<Option<BlockRef>>,
) -> anyhow::Result<()> {
    let connect = WsConnect::new(url).with_max_retries(0).with_keepalive_interval(KEEP_ALIVE);
    let connecting = async {
        let client = ClientBuilder::default().ws(connect).await?;
        // The address need not lead to the node that the other leads to.
        let chain: U64 = client.request("eth_chainId", json!([])).await?;
        node.check_chain(chain.to())?;
        let provider = RootProvider::<AnyNetwork>::new(client);
        let heads = provider.subscribe::<_, Header>(("newHeads",)).await?;
        anyhow::Ok((provider, heads))
    };
    let (_connection, heads) = timeout(CONNECTING, connecting).await.context("no subscription in time")??;
    let mut heads = heads.into_stream();
    while let Some(head) = heads.next().await {
        node.told(head.at());
        if nodes.counts(head.at()) {
            newest.send_replace(Some(head.at()));
        }
    }
    bail!("the subscription ended")
}

async fn keep_polling(nodes: &Nodes, newest: &watch::Sender<Option<BlockRef>>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        ticks.tick().await;
        match nodes.newest().await {
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
            Err(error) => tracing::debug!(%error, "no newest block"),
        }
    }
}

async fn keep_looking_around(nodes: &Nodes) {
    let mut ticks = interval(LOOK_AROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        nodes.look_around().await;
    }
}
