//! Nodes of one chain: the first that answers is asked.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alloy::rpc::client::RpcClient;
use alloy::transports::{RpcError, TransportError, TransportErrorKind};
use anyhow::Context;
use futures::future::try_join_all;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use crate::config::NodeConfig;

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Calls in one request at most.
const BATCH: usize = 100;
/// JSON-RPC 2.0: the method does not exist.
const METHOD_NOT_FOUND: i64 = -32601;

/// What can be received.
pub(crate) trait Answer: DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static {}

impl<T: DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static> Answer for T {}

#[derive(Debug)]
pub(crate) struct Nodes {
    nodes: Vec<(RpcClient, NodeConfig)>,
    /// Which answered last.
    preferred: AtomicUsize,
}

impl Nodes {
    pub(crate) fn new(nodes: &[NodeConfig]) -> anyhow::Result<Self> {
        let nodes = nodes
            .iter()
            .map(|node| Ok((RpcClient::new_http(node.http.parse().context("a node's address")?), node.clone())))
            .collect::<anyhow::Result<Vec<_>>>()?;
        anyhow::ensure!(!nodes.is_empty(), "a chain needs a node");
        Ok(Self { nodes, preferred: AtomicUsize::new(0) })
    }

    /// Where new heads can be subscribed to.
    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|(_, node)| node.ws.as_deref())
    }

    /// One call.
    pub(crate) async fn ask<T: Answer>(&self, method: &'static str, params: Value) -> anyhow::Result<T> {
        let ask = |client: RpcClient| {
            let params = params.clone();
            async move { client.request(method, params).await }
        };
        self.first(method, ask, true).await
    }

    /// One call that another node may know where one refuses: not all keep what is old.
    pub(crate) async fn ask_any<T: Answer>(&self, method: &'static str, params: Value) -> anyhow::Result<T> {
        let ask = |client: RpcClient| {
            let params = params.clone();
            async move { client.request(method, params).await }
        };
        self.first(method, ask, false).await
    }

    /// Calls that are answered in their order.
    pub(crate) async fn ask_all<T: Answer>(&self, calls: Vec<(&'static str, Value)>) -> anyhow::Result<Vec<T>> {
        let mut answers = Vec::with_capacity(calls.len());
        for calls in calls.chunks(BATCH) {
            let ask = |client: RpcClient| {
                let calls = calls.to_vec();
                async move {
                    let mut batch = client.new_batch();
                    let waiting = calls
                        .iter()
                        .map(|(method, params)| batch.add_call::<_, T>(*method, params))
                        .collect::<Result<Vec<_>, _>>()?;
                    batch.send().await?;
                    try_join_all(waiting).await
                }
            };
            answers.extend(self.first("batch", ask, true).await?);
        }
        Ok(answers)
    }

    /// Asks the node that answered last, then the others. A node that answers with an error has answered, and that
    /// `ends` the asking; or the others are asked as well.
    async fn first<T, F>(&self, what: &'static str, ask: impl Fn(RpcClient) -> F, ends: bool) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, TransportError>>,
    {
        let start = self.preferred.load(Ordering::Relaxed);
        let mut failed = None;
        let mut refused = None;
        for place in (0..self.nodes.len()).map(|offset| (start + offset) % self.nodes.len()) {
            let answer = timeout(ANSWER, ask(self.nodes[place].0.clone())).await;
            match answer.unwrap_or_else(|_| Err(TransportErrorKind::custom_str("no answer in time"))) {
                Ok(answer) => {
                    self.preferred.store(place, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error @ RpcError::ErrorResp(_)) => {
                    let error = Refused::of(&error, what);
                    if ends {
                        return Err(error);
                    }
                    refused = Some(error);
                }
                // The address may hold a key: it is not for logs.
                Err(_) => failed = Some(place),
            }
        }
        let node = failed.unwrap_or_default();
        Err(refused.unwrap_or_else(|| anyhow::anyhow!("{what}: no node answered, the last asked was number {node}")))
    }
}

/// A node answered with an error.
#[derive(Debug, thiserror::Error)]
#[error("{what}: the node refused with code {code}")]
struct Refused {
    what: &'static str,
    code: i64,
}

impl Refused {
    fn of(error: &TransportError, what: &'static str) -> anyhow::Error {
        let code = error.as_error_resp().map_or(0, |payload| payload.code);
        Self { what, code }.into()
    }
}

/// A node answered, with an error.
pub(crate) fn is_refusal(error: &anyhow::Error) -> bool {
    error.is::<Refused>()
}

/// The node does not know the method.
pub(crate) fn unknown_method(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.code == METHOD_NOT_FOUND)
}
