//! Nodes of one chain: the first that answers is asked. Bitcoin Core, and others that speak as it does, answer errors with
//! a status of HTTP that says little, so that only the body counts.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::config::NodeConfig;

/// How long a node may take to answer; a whole block with what its inputs spend is some ten megabytes.
const ANSWER: Duration = Duration::from_secs(15);
/// How long a node may take to be reached.
const CONNECTING: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct Nodes {
    client: Client,
    nodes: Vec<Node>,
    /// Which answered last.
    preferred: AtomicUsize,
}

struct Node {
    url: Url,
    /// Name and password, where they do not stand in the address.
    credentials: Option<(String, String)>,
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

#[derive(Deserialize)]
struct Reply<T> {
    result: Option<T>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    code: i64,
}

/// Whether a refusal is the answer, or another node may know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Answers,
    OthersMayKnow,
}

impl Nodes {
    pub(crate) fn new(nodes: &[NodeConfig]) -> anyhow::Result<Self> {
        let nodes = nodes.iter().map(Node::read).collect::<anyhow::Result<Vec<_>>>()?;
        anyhow::ensure!(!nodes.is_empty(), "a chain needs a node");
        let client = Client::builder().timeout(ANSWER).connect_timeout(CONNECTING).no_proxy().build()?;
        Ok(Self { client, nodes, preferred: AtomicUsize::new(0) })
    }

    /// One call.
    pub(super) async fn ask<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> anyhow::Result<T> {
        self.first(method, &params, Refusal::Answers).await
    }

    /// One call that another node may know where one refuses: not all keep every transaction.
    pub(super) async fn ask_any<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> anyhow::Result<T> {
        self.first(method, &params, Refusal::OthersMayKnow).await
    }

    /// Asks the node that answered last, then the others.
    async fn first<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Value,
        refusal: Refusal,
    ) -> anyhow::Result<T> {
        let start = self.preferred.load(Ordering::Relaxed);
        let mut failed = None;
        let mut refused = None;
        for place in (0..self.nodes.len()).map(|offset| (start + offset) % self.nodes.len()) {
            match self.call::<T>(&self.nodes[place], method, params).await {
                Ok(Ok(answer)) => {
                    self.preferred.store(place, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(Err(code)) => {
                    let error = Refused { what: method, code };
                    if refusal == Refusal::Answers {
                        return Err(error.into());
                    }
                    refused = Some(error);
                }
                // The address may hold a password: it is not for logs.
                Err(_) => failed = Some(place),
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
        let bytes = request.send().await?.bytes().await?;
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
        Ok(Self { url, credentials })
    }
}

/// A node answered, with an error.
pub(super) fn is_refusal(error: &anyhow::Error) -> bool {
    error.is::<Refused>()
}
