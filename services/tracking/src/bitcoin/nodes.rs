//! Nodes of one chain. One of them is followed, the others answer for it when it cannot, and one takes its place when it falls
//! silent or stays behind. What takes its place does not lead backwards: on another branch it counts when its chain is longer
//! than what was read, or when it has stayed there for long. None is believed before it has shown the first block of the chain.
//!
//! Bitcoin Core, and others that speak as it does, answer errors with a status of HTTP that says little, so that only the
//! body counts.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bitcoin::BlockHash;
use futures::future::join_all;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::blocks::shown_hash;
use crate::config::NodeConfig;
use crate::source::{BlockRef, Condition};

/// How long a node may take to answer; a whole block with what its inputs spend is some ten megabytes.
const ANSWER: Duration = Duration::from_secs(15);
/// How long a node may take to be reached.
const CONNECTING: Duration = Duration::from_secs(3);
/// How long it may take to say where its chain ends. A node that takes longer is of no use.
const TIP: Duration = Duration::from_secs(3);
/// How long the node that is followed may be behind another.
const BEHIND: Duration = Duration::from_secs(30);
/// How long a node that has taken another's place has to be on a branch that is not longer than what was read, until that
/// counts: three usual times between blocks.
const LASTS: Duration = Duration::from_mins(30);

#[derive(Debug)]
pub(crate) struct Nodes {
    client: Client,
    /// The first block of the chain that is meant.
    genesis: BlockHash,
    nodes: Vec<Node>,
    /// Which is followed.
    following: AtomicUsize,
    past: Mutex<Past>,
}

/// What has been so far.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    /// The last block that was read.
    read: Option<BlockRef>,
    /// Since when the node that is followed has been behind another.
    behind_since: Option<Instant>,
    /// Since when it has been in another's place without having been ahead of what was read.
    in_place_since: Option<Instant>,
}

struct Node {
    url: Url,
    /// Name and password, where they do not stand in the address.
    credentials: Option<(String, String)>,
    known: Mutex<Known>,
}

/// What is known of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    /// It is of the chain, and has answered ever since it said so.
    answers: bool,
    tip: Option<BlockRef>,
    /// It was of another chain when it was last asked.
    stranger: bool,
}

/// The address may hold a password.
impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Node(…)")
    }
}

/// A node answered with an error.
#[derive(Debug, thiserror::Error)]
#[error("{what}: the node refused with code {code}")]
struct Refused {
    what: &'static str,
    code: i64,
}

/// A node did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the node did not answer")]
struct Silent;

#[derive(Deserialize)]
struct Reply<T> {
    result: Option<T>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    code: i64,
}

/// Of `getblockchaininfo`.
#[derive(Debug, Deserialize)]
struct Info {
    blocks: u64,
    bestblockhash: BlockHash,
}

/// Whether a refusal is the answer, or another node may know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Answers,
    OthersMayKnow,
}

impl Nodes {
    pub(crate) fn new(nodes: &[NodeConfig], genesis: BlockHash) -> anyhow::Result<Self> {
        let nodes = nodes.iter().map(Node::read).collect::<anyhow::Result<Vec<_>>>()?;
        anyhow::ensure!(!nodes.is_empty(), "a chain needs a node");
        let client = Client::builder().timeout(ANSWER).connect_timeout(CONNECTING).no_proxy().build()?;
        Ok(Self { client, genesis, nodes, following: AtomicUsize::new(0), past: Mutex::default() })
    }

    /// One call.
    pub(super) async fn ask<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> anyhow::Result<T> {
        self.first(method, &params, Refusal::Answers).await
    }

    /// One call that another node may know where one refuses: not all keep every transaction.
    pub(super) async fn ask_any<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> anyhow::Result<T> {
        self.first(method, &params, Refusal::OthersMayKnow).await
    }

    /// One call to the node that is followed and no other: another may be on another branch.
    pub(super) async fn ask_followed<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> anyhow::Result<T> {
        let place = self.following.load(Ordering::Relaxed);
        self.meet(place).await?;
        let answer = self.call::<T>(&self.nodes[place], method, &params).await;
        let answer = answer.map_err(|_| anyhow::anyhow!("{method}: node {place} did not answer"))?;
        answer.map_err(|code| Refused { what: method, code }.into())
    }

    /// The end of the chain: of the node that is followed, or of the one that is from now on.
    pub(super) async fn newest(&self) -> anyhow::Result<BlockRef> {
        let followed = self.following.load(Ordering::Relaxed);
        let silent = self.look(followed).await.is_err();
        if silent {
            self.look_around().await;
        }
        let known: Vec<Known> = self.nodes.iter().map(Node::known).collect();
        let best = best(&known, followed);
        let now = if silent || self.is_behind_for_long(best != followed) { best } else { followed };
        if now != followed {
            tracing::warn!(from = followed, to = now, "another node is followed");
            self.following.store(now, Ordering::Relaxed);
            let mut past = self.past();
            (past.behind_since, past.in_place_since) = (None, Some(Instant::now()));
        }
        let tip = known.get(now).and_then(|known| known.tip.filter(|_| known.answers));
        let tip = tip.context("no node answers that is of the chain")?;
        anyhow::ensure!(self.counts(tip), "node {now} is on another branch and not ahead of what was read");
        Ok(tip)
    }

    /// Whether any node keeps an index of all transactions, as far as that is known: who does not know the question is not
    /// Bitcoin Core, and is taken at its word about transactions.
    pub(super) async fn any_index(&self) -> bool {
        for (place, node) in self.nodes.iter().enumerate() {
            if self.meet(place).await.is_err() {
                continue;
            }
            match self.call::<HashMap<String, IgnoredAny>>(node, "getindexinfo", &json!([])).await {
                Ok(Ok(indexes)) if !indexes.contains_key("txindex") => {}
                Ok(Ok(_) | Err(_)) => return true,
                Err(_) => {}
            }
        }
        false
    }

    /// Remembers a block that was read.
    pub(super) fn note_read(&self, at: BlockRef) {
        let read = &mut self.past().read;
        if read.is_none_or(|read| read.number <= at.number) {
            *read = Some(at);
        }
    }

    /// Notes whether the node that is followed is behind another, and says whether it has been for long.
    fn is_behind_for_long(&self, behind: bool) -> bool {
        let mut past = self.past();
        past.behind_since = if behind { past.behind_since.or_else(|| Some(Instant::now())) } else { None };
        past.behind_since.is_some_and(|since| since.elapsed() >= BEHIND)
    }

    /// Whether the chain ends at this block of the node that is followed.
    fn counts(&self, tip: BlockRef) -> bool {
        let mut past = self.past();
        let Some(since) = past.in_place_since else { return true };
        let ahead = past.read.is_none_or(|read| tip.number > read.number || tip == read);
        if ahead || since.elapsed() >= LASTS {
            past.in_place_since = None;
            return true;
        }
        false
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks all of them where their chains end.
    pub(super) async fn look_around(&self) {
        join_all((0..self.nodes.len()).map(|place| self.look(place))).await;
    }

    pub(super) fn condition(&self) -> Condition {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let answering = self.nodes.iter().filter(|node| node.known().answers).count();
        Condition { nodes: count(self.nodes.len()), answering: count(answering), internal_transfers: false }
    }

    async fn look(&self, place: usize) -> anyhow::Result<()> {
        let node = &self.nodes[place];
        let looking = async {
            self.meet(place).await?;
            self.call::<Info>(node, "getblockchaininfo", &json!([]))
                .await?
                .map_err(|code| anyhow::anyhow!("code {code}"))
        };
        match timeout(TIP, looking).await.map_err(anyhow::Error::from).flatten() {
            Ok(info) => {
                node.learn(|known| {
                    known.tip = Some(BlockRef { number: info.blocks, hash: shown_hash(info.bestblockhash) })
                });
                Ok(())
            }
            Err(error) => {
                self.note_silence(place);
                Err(error)
            }
        }
    }

    fn note_silence(&self, place: usize) {
        let node = &self.nodes[place];
        if node.known().answers {
            tracing::warn!(node = place, "a node has fallen silent");
        }
        node.learn(|known| known.answers = false);
    }

    /// A node of another chain is asked nothing else.
    async fn meet(&self, place: usize) -> anyhow::Result<()> {
        let node = &self.nodes[place];
        if node.known().answers {
            return Ok(());
        }
        let first = self.call::<BlockHash>(node, "getblockhash", &json!([0])).await?;
        let stranger = first.is_ok_and(|first| first != self.genesis);
        if stranger && !node.known().stranger {
            tracing::error!(node = place, "a node is of another chain: not used");
        }
        node.learn(|known| known.stranger = stranger);
        anyhow::ensure!(!stranger, "node {place} is of another chain");
        anyhow::ensure!(first.is_ok(), "node {place} does not say which chain it is of");
        tracing::info!(node = place, "a node answers");
        node.learn(|known| known.answers = true);
        Ok(())
    }

    /// Asks the node that is followed, then the others that answer, then the rest.
    async fn first<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Value,
        refusal: Refusal,
    ) -> anyhow::Result<T> {
        let following = self.following.load(Ordering::Relaxed);
        let mut places: Vec<usize> = (0..self.nodes.len()).collect();
        places.sort_by_key(|place| (!self.nodes[*place].known().answers, *place != following, *place));
        let mut failed = None;
        let mut refused = None;
        for place in places {
            let node = &self.nodes[place];
            let answer = match self.meet(place).await {
                Ok(()) => self.call::<T>(node, method, params).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(code)) => {
                    let error = Refused { what: method, code };
                    if refusal == Refusal::Answers {
                        return Err(error.into());
                    }
                    refused = Some(error);
                }
                Err(error) => {
                    if error.is::<Silent>() {
                        self.note_silence(place);
                    }
                    failed = Some(place);
                }
            }
        }
        let node = failed.unwrap_or_default();
        Err(refused.map_or_else(
            || anyhow::anyhow!("{method}: no node answered, the last asked was number {node}"),
            anyhow::Error::from,
        ))
    }

    /// The answer, or the code of the node's refusal.
    async fn call<T: DeserializeOwned>(
        &self,
        node: &Node,
        method: &str,
        params: &Value,
    ) -> anyhow::Result<Result<T, i64>> {
        let body = json!({"jsonrpc": "1.0", "id": 0, "method": method, "params": params}).to_string();
        let mut request = self.client.post(node.url.clone()).header("content-type", "application/json").body(body);
        if let Some((user, password)) = &node.credentials {
            request = request.basic_auth(user, Some(password));
        }
        let answer = async { request.send().await?.bytes().await };
        // The address may hold a password: what went wrong is not for logs.
        let bytes = answer.await.map_err(|_| Silent)?;
        let reply: Reply<T> = serde_json::from_slice(&bytes)?;
        match reply {
            Reply { error: Some(fault), .. } => Ok(Err(fault.code)),
            Reply { result: Some(answer), .. } => Ok(Ok(answer)),
            Reply { .. } => anyhow::bail!("neither an answer nor an error"),
        }
    }
}

impl Node {
    fn read(config: &NodeConfig) -> anyhow::Result<Self> {
        let url: Url = config.http.parse().context("a node's address")?;
        let password = |file| fs::read_to_string(file).context("a node's password");
        let credentials = match (&config.user, &config.password_file) {
            (Some(user), Some(file)) => Some((user.clone(), password(file)?.trim_end().to_owned())),
            _ => None,
        };
        Ok(Self { url, credentials, known: Mutex::default() })
    }

    fn known(&self) -> Known {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The node whose chain is the longest of those that answer; between equals the one that is followed already, then the first.
fn best(nodes: &[Known], following: usize) -> usize {
    let tip = |place: usize| nodes.get(place).and_then(|known| known.tip.filter(|_| known.answers));
    let height = |place: &usize| (tip(*place).map(|tip| tip.number), *place == following, Reverse(*place));
    (0..nodes.len()).filter(|place| tip(*place).is_some()).max_by_key(height).unwrap_or(following)
}

/// A node answered, with an error.
pub(super) fn is_refusal(error: &anyhow::Error) -> bool {
    error.is::<Refused>()
}

#[cfg(test)]
mod tests;
