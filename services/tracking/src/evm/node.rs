//! One node of a chain: it is asked nothing before it has said that it is of that chain, and so again after every time
//! that it did not answer.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use alloy::primitives::U64;
use alloy::rpc::client::RpcClient;
use alloy::transports::{RpcError, TransportError, TransportErrorKind};
use anyhow::Context;
use futures::future::try_join_all;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::answers::Header;
use super::traces::Tracer;
use crate::config::NodeConfig;
use crate::source::BlockRef;

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long it may take to say where its chain ends. A node that takes longer is of no use.
const TIP: Duration = Duration::from_secs(3);
/// How long it may take to execute a whole block again.
const TRACE: Duration = Duration::from_secs(10);
/// How long a call may take that others can do without.
const ASIDE: Duration = Duration::from_secs(3);
/// Calls in one request at most.
const BATCH: usize = 100;
/// JSON-RPC 2.0: the method does not exist.
const METHOD_NOT_FOUND: i64 = -32601;

/// What can be received.
pub(super) trait Answer: DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static {}

impl<T: DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static> Answer for T {}

#[derive(Debug)]
pub(super) struct Node {
    /// Its place in the configuration. Its address may hold a key: it is not for logs.
    place: usize,
    pub(super) config: NodeConfig,
    client: RpcClient,
    /// What it has to call its chain.
    chain: u64,
    known: Mutex<Known>,
    meeting: tokio::sync::Mutex<()>,
}

/// What is known of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// It is of the chain, and has answered ever since it said so.
    pub(super) answers: bool,
    pub(super) tracer: Option<Tracer>,
    pub(super) tip: Option<BlockRef>,
    /// It was of another chain when it was last asked.
    pub(super) stranger: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("{what}: the node refused with code {code}")]
    Refused { what: &'static str, code: i64 },
    #[error("{what}: node {place} did not answer")]
    Silent { what: &'static str, place: usize },
    #[error("{what}: node {place} answered with something else")]
    Senseless { what: &'static str, place: usize },
    #[error("node {place} is of another chain")]
    OtherChain { place: usize },
    #[error("node {place} is on another branch and not ahead of what was read")]
    Behind { place: usize },
}

impl NoAnswer {
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// More was asked than it could say at once; or it was busy.
    pub(super) fn is_too_much(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Silent { .. })
    }

    /// The node does not know the method.
    pub(super) fn unknown_method(&self) -> bool {
        matches!(self, Self::Refused { code: METHOD_NOT_FOUND, .. })
    }
}

impl Node {
    pub(super) fn new(place: usize, chain: u64, config: &NodeConfig) -> anyhow::Result<Self> {
        Ok(Self {
            place,
            client: RpcClient::new_http(config.http.parse().context("a node's address")?),
            config: config.clone(),
            chain,
            known: Mutex::default(),
            meeting: tokio::sync::Mutex::default(),
        })
    }

    pub(super) fn known(&self) -> Known {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn learn(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One call.
    pub(super) async fn ask<T: Answer>(&self, method: &'static str, params: Value) -> Result<T, NoAnswer> {
        self.meet().await?;
        self.call(method, params, ANSWER).await
    }

    /// One call for which the node has to execute a block again. If that takes too long, it still answers other calls.
    pub(super) async fn ask_traces<T: Answer>(&self, method: &'static str, params: Value) -> Result<T, NoAnswer> {
        self.meet().await?;
        let silent = NoAnswer::Silent { what: method, place: self.place };
        let asking = self.client.request(method, params);
        timeout(TRACE, asking).await.map_or(Err(silent), |answer| self.heard(method, answer))
    }

    /// One call that others can do without: whatever becomes of it, the node still answers others.
    pub(super) async fn ask_aside<T: Answer>(&self, method: &'static str, params: Value) -> Result<T, NoAnswer> {
        self.meet().await?;
        let place = self.place;
        match timeout(ASIDE, self.client.request(method, params)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(RpcError::ErrorResp(error))) => Err(NoAnswer::Refused { what: method, code: error.code }),
            Ok(Err(RpcError::DeserError { .. } | RpcError::NullResp)) => {
                Err(NoAnswer::Senseless { what: method, place })
            }
            Ok(Err(_)) | Err(_) => Err(NoAnswer::Silent { what: method, place }),
        }
    }

    /// Calls that are answered in their order.
    pub(super) async fn ask_all<T: Answer>(&self, calls: &[(&'static str, Value)]) -> Result<Vec<T>, NoAnswer> {
        self.meet().await?;
        let mut answers = Vec::with_capacity(calls.len());
        for calls in calls.chunks(BATCH) {
            let asking = async {
                let mut batch = self.client.new_batch();
                let waiting = calls
                    .iter()
                    .map(|(method, params)| batch.add_call::<_, T>(*method, params))
                    .collect::<Result<Vec<_>, _>>()?;
                batch.send().await?;
                try_join_all(waiting).await
            };
            answers.extend(self.in_time("batch", timeout(ANSWER, asking).await)?);
        }
        Ok(answers)
    }

    /// The end of its chain.
    pub(super) async fn look(&self) -> Result<BlockRef, NoAnswer> {
        self.meet().await?;
        let header: Header = self.call("eth_getBlockByNumber", json!(["latest", false]), TIP).await?;
        self.learn(|known| known.tip = Some(header.at()));
        Ok(header.at())
    }

    /// It told of a block by itself.
    pub(super) fn told(&self, at: BlockRef) {
        self.learn(|known| known.tip = Some(at));
    }

    async fn meet(&self) -> Result<(), NoAnswer> {
        if self.known().answers {
            return Ok(());
        }
        let _one_at_a_time = self.meeting.lock().await;
        if self.known().answers {
            return Ok(());
        }
        let chain: U64 = self.call("eth_chainId", json!([]), TIP).await?;
        self.check_chain(chain.to())?;
        let tip: Header = self.call("eth_getBlockByNumber", json!(["latest", false]), TIP).await?;
        let tracer = self.tracer(tip.at()).await;
        tracing::info!(node = self.place, ?tracer, "a node answers");
        self.learn(|known| *known = Known { answers: true, tracer, tip: Some(tip.at()), stranger: false });
        Ok(())
    }

    /// # Errors
    /// When a node is not of the chain: nothing it says is about it.
    pub(super) fn check_chain(&self, chain: u64) -> Result<(), NoAnswer> {
        let stranger = chain != self.chain;
        if stranger && !self.known().stranger {
            tracing::error!(node = self.place, chain, expected = self.chain, "a node is of another chain: not used");
        }
        self.learn(|known| known.stranger = stranger);
        if stranger { Err(NoAnswer::OtherChain { place: self.place }) } else { Ok(()) }
    }

    /// How it can be asked what calls moved; none where it does not tell, or takes too long for a chain to be followed by it.
    async fn tracer(&self, at: BlockRef) -> Option<Tracer> {
        for tracer in [Tracer::Calls, Tracer::Flat] {
            let (method, params) = tracer.question(at);
            match self.call::<IgnoredAny>(method, params, ANSWER).await {
                Ok(_) => return Some(tracer),
                // What happened in the first block no node can tell.
                Err(error @ NoAnswer::Refused { .. }) if at.number == 0 && !error.unknown_method() => {
                    return Some(tracer);
                }
                Err(_) => {}
            }
        }
        None
    }

    async fn call<T: Answer>(&self, method: &'static str, params: Value, within: Duration) -> Result<T, NoAnswer> {
        self.in_time(method, timeout(within, self.client.request(method, params)).await)
    }

    fn in_time<T>(
        &self,
        what: &'static str,
        answer: Result<Result<T, TransportError>, tokio::time::error::Elapsed>,
    ) -> Result<T, NoAnswer> {
        self.heard(what, answer.unwrap_or_else(|_| Err(TransportErrorKind::custom_str("no answer in time"))))
    }

    /// Notes whether the node has answered at all.
    fn heard<T>(&self, what: &'static str, answer: Result<T, TransportError>) -> Result<T, NoAnswer> {
        let place = self.place;
        match answer {
            Ok(answer) => Ok(answer),
            Err(RpcError::ErrorResp(error)) => Err(NoAnswer::Refused { what, code: error.code }),
            Err(RpcError::DeserError { .. } | RpcError::NullResp) => Err(NoAnswer::Senseless { what, place }),
            Err(_) => {
                if self.known().answers {
                    tracing::warn!(node = place, what, "a node has fallen silent");
                }
                self.learn(|known| known.answers = false);
                Err(NoAnswer::Silent { what, place })
            }
        }
    }
}
