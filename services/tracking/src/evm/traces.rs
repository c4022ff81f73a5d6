//! What calls inside transactions moved, as nodes' tracers tell it.
//!
//! There are two kinds of tracer: Geth's `callTracer` gives each transaction's calls as a tree, `trace_block` gives the
//! calls of a block as a list. Both lead to the same steps with the same numbers, so that a transfer has one id whichever
//! node told of it. Calls that failed move nothing, nor does anything within them, and they take no number: tracers do
//! not agree on whether a call that could not even begin is shown. Nor do calls of precompiled contracts with no value,
//! which most `trace_block`s leave out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::iter::{Peekable, repeat};
use std::vec;

use alloy::primitives::{Address, B256, U64, U256};
use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::source::BlockRef;

/// The highest address at which chains have contracts that are part of the node.
const LAST_PRECOMPILED: u16 = 0x1ff;

/// What happened inside each transaction of a block, in the order of its execution.
pub(super) type Traces = HashMap<B256, Vec<Step>>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A call moved value. Its path is the ordinal of each call on the way to it, among those of its caller.
    Moved { path: Vec<u32>, from: Address, to: Address, amount: U256 },
    /// A contract wrote a log. Only some tracers tell.
    Logged(Address),
}

/// How a node is asked for traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracer {
    /// `debug_traceBlockByHash` with `callTracer`; most tell as well where logs were written among the calls.
    Calls,
    /// `trace_block`, which takes a number only.
    Flat,
}

impl Tracer {
    pub(super) fn question(self, at: BlockRef) -> (&'static str, Value) {
        match self {
            Self::Calls => {
                let tracer = json!({"tracer": "callTracer", "tracerConfig": {"withLog": true}});
                ("debug_traceBlockByHash", json!([at.hash, tracer]))
            }
            Self::Flat => ("trace_block", json!([U64::from(at.number)])),
        }
    }
}

/// One transaction's answer of `debug_traceBlockByHash`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TracedTransaction {
    /// Left out by older nodes: then they are in the order of the block.
    tx_hash: Option<B256>,
    /// None where the tracer gave up.
    result: Option<Box<RawValue>>,
}

/// A call, as `callTracer` tells it. Its own calls are read when it is their turn: up to 1,024 lie in one another, which is
/// more than parsers and stacks take at once, and whoever has something to hide may use them all.
#[derive(Deserialize)]
struct Call<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    from: Address,
    to: Option<Address>,
    value: Option<U256>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    calls: Vec<&'a RawValue>,
    #[serde(default)]
    logs: Vec<CallLog>,
}

#[derive(Debug, Deserialize)]
struct CallLog {
    address: Address,
    /// How many calls its contract had made before; left out by older nodes.
    position: Option<U64>,
}

/// A call, as `trace_block` tells it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FlatCall {
    action: Action,
    block_hash: B256,
    error: Option<String>,
    result: Option<Created>,
    trace_address: Vec<u32>,
    /// None for rewards.
    transaction_hash: Option<B256>,
    #[serde(rename = "type")]
    kind: String,
}

/// Of a call, a creation or a contract's end, whichever it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    call_type: Option<String>,
    from: Option<Address>,
    to: Option<Address>,
    value: Option<U256>,
    /// The contract that ends.
    address: Option<Address>,
    refund_address: Option<Address>,
    balance: Option<U256>,
}

#[derive(Debug, Deserialize)]
struct Created {
    address: Option<Address>,
}

/// Steps from `callTracer`'s answer; `transactions` are the block's, in its order.
///
/// # Errors
/// When it does not tell of every transaction it should tell of.
pub(super) fn from_calls(answer: &[TracedTransaction], transactions: &[B256]) -> anyhow::Result<Traces> {
    let named = answer.iter().all(|traced| traced.tx_hash.is_some());
    ensure!(named || answer.len() == transactions.len(), "the node traced other transactions than the block's");
    let steps = answer.iter().zip(transactions.iter().map(Some).chain(repeat(None))).map(|(traced, in_order)| {
        let hash = traced.tx_hash.or(in_order.copied()).context("a trace of no transaction")?;
        let result = traced.result.as_deref().context("the node could not trace a transaction")?;
        Ok((hash, steps_of(result)?))
    });
    steps.collect()
}

/// A call that succeeded, as far as it was read.
struct Open<'a> {
    calls: vec::IntoIter<&'a RawValue>,
    /// How many of its calls were read.
    read: u64,
    /// How many of them were numbered.
    numbered: u32,
    logs: Peekable<vec::IntoIter<CallLog>>,
}

impl<'a> Open<'a> {
    fn new(call: Call<'a>) -> Self {
        Self { calls: call.calls.into_iter(), read: 0, numbered: 0, logs: call.logs.into_iter().peekable() }
    }
}

fn steps_of(result: &RawValue) -> serde_json::Result<Vec<Step>> {
    let top: Call<'_> = serde_json::from_str(result.get())?;
    let mut steps = Vec::new();
    let mut path = Vec::new();
    let mut open: Vec<Open<'_>> = Vec::new();
    if top.error.is_none() {
        open.push(Open::new(top));
    }
    while let Some(caller) = open.last_mut() {
        let read = caller.read;
        let written = |log: &CallLog| log.position.is_some_and(|position| position.to::<u64>() <= read);
        while let Some(log) = caller.logs.next_if(written) {
            steps.push(Step::Logged(log.address));
        }
        let Some(call) = caller.calls.next() else {
            steps.extend(caller.logs.by_ref().map(|log| Step::Logged(log.address)));
            open.pop();
            path.pop();
            continue;
        };
        caller.read += 1;
        let call: Call<'_> = serde_json::from_str(call.get())?;
        let value = call.value.unwrap_or_default();
        if call.error.is_some() || call.to.is_some_and(|to| is_precompiled(to, value)) {
            continue;
        }
        path.push(caller.numbered);
        caller.numbered += 1;
        let moves = matches!(&*call.kind, "CALL" | "CREATE" | "CREATE2" | "SELFDESTRUCT");
        if let Some(to) = call.to.filter(|_| moves && !value.is_zero()) {
            steps.push(Step::Moved { path: path.clone(), from: call.from, to, amount: value });
        }
        open.push(Open::new(call));
    }
    Ok(steps)
}

/// Steps from `trace_block`'s answer about the block of this hash.
///
/// # Errors
/// When it is about another block: it was asked for by number.
pub(super) fn from_flat(calls: &[FlatCall], block: B256) -> anyhow::Result<Traces> {
    /// A call that succeeded: its own path, and how many of its calls were numbered.
    struct Numbered {
        path: Vec<u32>,
        calls: u32,
    }

    let mut traces = Traces::new();
    let mut numbered: HashMap<(B256, &[u32]), Numbered> = HashMap::new();
    for call in calls {
        ensure!(call.block_hash == block, "the node traced another block");
        let Some(transaction) = call.transaction_hash else { continue };
        let steps = traces.entry(transaction).or_default();
        let moved = call.moved();
        if call.error.is_some() || moved.is_some_and(|(_, to, value)| is_precompiled(to, value)) {
            continue;
        }
        let path = match call.trace_address.split_last() {
            None => Vec::new(),
            Some((_, caller)) => {
                // A call within one that failed.
                let Some(caller) = numbered.get_mut(&(transaction, caller)) else { continue };
                let path = [caller.path.as_slice(), &[caller.calls]].concat();
                caller.calls += 1;
                path
            }
        };
        let moves = call.moves() && !path.is_empty();
        if let Some((from, to, amount)) = moved.filter(|(.., amount)| moves && !amount.is_zero()) {
            steps.push(Step::Moved { path: path.clone(), from, to, amount });
        }
        numbered.insert((transaction, call.trace_address.as_slice()), Numbered { path, calls: 0 });
    }
    Ok(traces)
}

impl FlatCall {
    /// Who gave what to whom, whether or not it moved.
    fn moved(&self) -> Option<(Address, Address, U256)> {
        let Action { from, to, value, address, refund_address, balance, .. } = &self.action;
        match self.kind.as_str() {
            "call" => Some(((*from)?, (*to)?, (*value)?)),
            "create" => Some(((*from)?, self.result.as_ref()?.address?, (*value)?)),
            "suicide" => Some(((*address)?, (*refund_address)?, (*balance)?)),
            _ => None,
        }
    }

    fn moves(&self) -> bool {
        self.kind != "call" || self.action.call_type.as_deref() == Some("call")
    }
}

fn is_precompiled(to: Address, value: U256) -> bool {
    value.is_zero() && is_low(to)
}

/// Whether chains have contracts at such addresses that are part of the node.
pub(super) fn is_low(address: Address) -> bool {
    !address.is_zero() && U256::from_be_slice(address.as_slice()) <= U256::from(LAST_PRECOMPILED)
}

#[cfg(test)]
mod tests;
