//! In which blocks tokens were paid, as nodes' index of logs has it. Nodes answer for so many blocks or logs at once and not
//! for more, and none says for how many: that is found out.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy::primitives::{Address, B256, U64};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::answers::{Header, TRANSFER};
use super::node::{NoAnswer, Node};
use crate::source::{Paying, Payments};

/// Blocks in one question at most.
const MOST: u64 = 1_024;
/// Accounts in one question at most: nodes refuse long lists, and beyond this most blocks hold a payment by one of them.
const ACCOUNTS: usize = 256;

/// How long a refusal counts: nodes refuse also because they are busy.
const REMEMBERED: Duration = Duration::from_mins(10);

#[derive(Debug, Default)]
pub(super) struct Logs(Mutex<Learnt>);

#[derive(Debug, Default)]
struct Learnt {
    span: Span,
    refused_at: Option<Instant>,
}

/// For how many blocks is asked at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    now: u64,
    /// The fewest for which there was no answer.
    refused: u64,
}

impl Default for Span {
    fn default() -> Self {
        Self { now: MOST, refused: MOST + 1 }
    }
}

impl Span {
    /// Half the way to what was refused, or to twice as many where that is less.
    fn answered(self) -> Self {
        let half_way = self.now + (self.refused.saturating_sub(self.now)) / 2;
        Self { now: half_way.min(self.now * 2).max(1), ..self }
    }

    fn refused(self, blocks: u64) -> Self {
        Self { now: (blocks / 2).max(1), refused: blocks.max(2) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logged {
    block_number: U64,
}

impl Logs {
    /// In which blocks there are such payments, all of it by one node; none where it has no such index, refuses to look for so
    /// many accounts, or does not have the last block.
    ///
    /// # Errors
    /// When it does not answer at all.
    pub(super) async fn paying(
        &self,
        node: &Node,
        payments: &Payments,
        first: u64,
        last: u64,
    ) -> Result<Option<Paying>, NoAnswer> {
        if payments.by.len() > ACCOUNTS {
            return Ok(None);
        }
        let by: Vec<B256> = payments.by.iter().map(Address::into_word).collect();
        let mut found = BTreeSet::new();
        let mut next = first;
        while next <= last {
            let span = self.span();
            let until = last.min(next + (span.now - 1));
            let filter = json!({
                "fromBlock": U64::from(next), "toBlock": U64::from(until), "address": payments.of, "topics": [TRANSFER, by]
            });
            match node.ask_aside::<Vec<Logged>>("eth_getLogs", json!([filter])).await {
                Ok(logs) => {
                    found.extend(logs.iter().map(|log| log.block_number.to::<u64>()));
                    // What is left at the end says nothing of what it answers for.
                    if until - next + 1 == span.now {
                        self.learnt().span = span.answered();
                    }
                    next = until + 1;
                }
                Err(error) if error.unknown_method() || error.is_too_much() && until == next => return Ok(None),
                Err(error) if error.is_too_much() => {
                    let refused_at = Some(Instant::now());
                    *self.learnt() = Learnt { span: span.refused(until - next + 1), refused_at };
                }
                Err(error) => return Err(error),
            }
        }
        // One that has not come as far knows of no payments there, and says so as if there were none.
        let last: Option<Header> = node.ask("eth_getBlockByNumber", json!([U64::from(last), false])).await?;
        Ok(last.map(|last| Paying { blocks: found, last: last.at() }))
    }

    fn span(&self) -> Span {
        let mut learnt = self.learnt();
        if learnt.refused_at.is_some_and(|at| at.elapsed() >= REMEMBERED) {
            *learnt = Learnt::default();
        }
        learnt.span
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
