//! A Redis Cluster: three nodes that each hold a third of the keys.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Place, Redis, ask};
use crate::until::until;

/// Which keys each node holds, by their slots.
const SLOTS: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];

/// Three nodes on free ports of loopback, without copies.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Redis>,
}

impl Cluster {
    /// Starts the nodes, deals the slots, and waits until each knows of all others.
    ///
    /// # Errors
    /// When Redis is missing or older than 7, or a node does not answer.
    pub async fn start() -> Result<Self> {
        let (mut nodes, mut meet): (Vec<Redis>, Option<String>) = (Vec::new(), None);
        for (first, last) in SLOTS {
            let bus = crate::ports::free_port()?;
            let node = Redis::placed(Place::Node(bus)).await?;
            let dealt = ask(node.port, &format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await?;
            ensure!(dealt.starts_with("+OK"), "a node takes no slots: {dealt}");
            match &meet {
                Some(meet) => {
                    let met = ask(node.port, meet).await?;
                    ensure!(met.starts_with("+OK"), "a node meets no other: {met}");
                }
                None => meet = Some(format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port)),
            }
            nodes.push(node);
        }
        until("the cluster is whole", Duration::from_secs(60), async || {
            for node in &nodes {
                let info = ask(node.port, "CLUSTER INFO").await.unwrap_or_default();
                let whole = ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3"];
                if !whole.iter().all(|line| info.contains(line)) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await?;
        Ok(Self { nodes })
    }

    /// The nodes', `redis://127.0.0.1:port`.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    /// A node is gone at once, and what it held; the others go on.
    pub fn lose(&mut self, node: usize) {
        self.nodes[node].stop();
    }

    /// A lost node is there again, empty.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn bring_back(&mut self, node: usize) -> Result<()> {
        self.nodes[node].start_again().await
    }
}
