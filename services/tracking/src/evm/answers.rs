//! What a node answers, as far as it is needed, and the transfers in it. Nothing is asked of a transaction's type: new
//! types of transaction move money like old ones.

use std::collections::HashMap;

use alloy::primitives::{Address, B256, Bytes, U64, U256, b256};
use anyhow::ensure;
use haetae_core::{Moment, TransferIndex};
use serde::Deserialize;
use time::PrimitiveDateTime;

use super::traces::{Step, Traces};
use crate::source::{Block, BlockRef, Body, Dated, Transfer};

/// `Transfer(address,address,uint256)` (ERC-20).
pub(super) const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    number: U64,
    pub(super) hash: B256,
    parent_hash: B256,
    /// Seconds since 1970.
    timestamp: U64,
}

impl Header {
    pub(super) fn at(&self) -> BlockRef {
        BlockRef { number: self.number.to(), hash: self.hash }
    }

    /// The time that it states, whatever that is: where no calendar has it, the calendar's end.
    fn time(&self) -> Moment {
        Moment::from_unix_timestamp(self.seconds()).unwrap_or(PrimitiveDateTime::MAX.assume_utc())
    }

    fn seconds(&self) -> i64 {
        i64::try_from(self.timestamp.to::<u64>()).unwrap_or(i64::MAX)
    }

    pub(super) fn dated(&self) -> Dated {
        Dated { at: self.at(), time: self.seconds() }
    }
}

/// Where a transaction is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Placed {
    block_number: Option<U64>,
    block_hash: Option<B256>,
}

impl Placed {
    /// None while it waits for a block.
    pub(super) fn at(&self) -> Option<BlockRef> {
        Some(BlockRef { number: self.block_number?.to(), hash: self.block_hash? })
    }
}

/// A block of which nothing but the number of its transactions matters.
#[derive(Debug, Deserialize)]
pub(super) struct ShortBlock {
    #[serde(flatten)]
    pub(super) header: Header,
    transactions: Vec<serde::de::IgnoredAny>,
}

impl ShortBlock {
    /// The block without what it does.
    pub(super) fn outline(&self) -> Block {
        let (at, time) = (self.header.at(), self.header.time());
        Block { at, parent: self.header.parent_hash, time, body: Body::Transfers(Vec::new()) }
    }

    /// The block, where nothing happened in it.
    pub(super) fn empty(&self) -> Option<Block> {
        self.transactions.is_empty().then(|| self.outline())
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct FullBlock {
    #[serde(flatten)]
    pub(super) header: Header,
    pub(super) transactions: Vec<Transaction>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Transaction {
    pub(super) hash: B256,
    pub(super) from: Address,
    /// None where a contract is created.
    pub(super) to: Option<Address>,
    pub(super) value: U256,
    /// What it cost, where that does not follow from the gas.
    #[serde(skip)]
    pub(super) fee: Option<U256>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    transaction_hash: B256,
    block_hash: B256,
    from: Option<Address>,
    /// 1 for success; absent in receipts older than EIP-658, where a failed transaction cannot be told.
    status: Option<U64>,
    contract_address: Option<Address>,
    logs: Vec<Log>,
    gas_used: Option<U64>,
    effective_gas_price: Option<U256>,
    /// Of a transaction with blobs (EIP-4844).
    blob_gas_used: Option<U64>,
    blob_gas_price: Option<U256>,
}

/// What a contract wrote down.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Log {
    pub(super) address: Address,
    pub(super) topics: Vec<B256>,
    pub(super) data: Bytes,
}

/// What became of a transaction, where a chain tells it in another way than by a receipt.
pub(super) struct Became {
    pub(super) transaction: B256,
    pub(super) block: B256,
    pub(super) from: Address,
    pub(super) failed: bool,
    /// The contract that it made.
    pub(super) contract: Option<Address>,
    pub(super) logs: Vec<Log>,
}

impl From<Became> for Receipt {
    fn from(became: Became) -> Self {
        Self {
            transaction_hash: became.transaction,
            block_hash: became.block,
            from: Some(became.from),
            status: Some(U64::from(!became.failed)),
            contract_address: became.contract,
            logs: became.logs,
            gas_used: None,
            effective_gas_price: None,
            blob_gas_used: None,
            blob_gas_price: None,
        }
    }
}

impl FullBlock {
    pub(super) fn hashes(&self) -> Vec<B256> {
        self.transactions.iter().map(|transaction| transaction.hash).collect()
    }

    /// The block with its transfers, taken from its transactions, their receipts, and what their calls moved where the
    /// node can tell. Of each transaction: what it cost, its own value, and then its calls and logs as they happened; or
    /// all calls before all logs, where the node does not tell their order.
    ///
    /// # Errors
    /// When the receipts are not those of this block.
    pub(super) fn with(self, receipts: &[Receipt], traces: Option<&Traces>) -> anyhow::Result<Block> {
        let at = self.header.at();
        ensure!(receipts.iter().all(|receipt| receipt.block_hash == at.hash), "a receipt of another block");
        let mut by_transaction: HashMap<B256, &Receipt> = receipts.iter().map(|r| (r.transaction_hash, r)).collect();
        let mut transfers = Vec::new();
        for transaction in &self.transactions {
            let Some(receipt) = by_transaction.remove(&transaction.hash) else {
                ensure!(transaction.is_of_the_chain(), "the node has not all receipts of the block");
                continue;
            };
            // What failed has its price as well.
            transfers.push(transaction.fee(receipt));
            if receipt.status.is_none_or(|status| status == U64::from(1)) {
                transfers.extend(transaction.own_value(receipt));
                let steps = traces.and_then(|traces| traces.get(&transaction.hash));
                transfers.extend(receipt.happened(steps.map(Vec::as_slice).unwrap_or_default()));
            }
        }
        // What the chain itself did to its contracts comes last.
        for receipt in receipts.iter().filter(|receipt| by_transaction.contains_key(&receipt.transaction_hash)) {
            ensure!(receipt.is_of_the_chain(), "a receipt of a transaction that is not in the block");
            transfers.extend(receipt.happened(&[]));
        }
        transfers.retain(|transfer: &Transfer| {
            !transfer.amount.is_zero() && (transfer.from != transfer.to || transfer.is_fee())
        });
        let time = self.header.time();
        Ok(Block { at, parent: self.header.parent_hash, time, body: Body::Transfers(transfers) })
    }
}

impl Transaction {
    /// Polygon's nodes name, at the end of some blocks, a transaction that nobody has sent: it takes over what happened
    /// on Ethereum. Some list it among the transactions and some only among the receipts.
    fn is_of_the_chain(&self) -> bool {
        self.from.is_zero() && self.value.is_zero()
    }

    fn fee(&self, receipt: &Receipt) -> Transfer {
        Transfer {
            transaction: self.hash,
            index: TransferIndex::Fee,
            from: self.from,
            to: self.from,
            token: None,
            amount: self.fee.unwrap_or_else(|| receipt.cost()),
        }
    }

    fn own_value(&self, receipt: &Receipt) -> Option<Transfer> {
        Some(Transfer {
            transaction: self.hash,
            index: TransferIndex::Native,
            from: self.from,
            to: self.to.or(receipt.contract_address)?,
            token: None,
            amount: self.value,
        })
    }
}

impl Receipt {
    /// What the transaction cost its sender; nothing where the node does not say.
    fn cost(&self) -> U256 {
        let price = |gas: Option<U64>, price: Option<U256>| {
            U256::from(gas.unwrap_or_default()).saturating_mul(price.unwrap_or_default())
        };
        let gas = price(self.gas_used, self.effective_gas_price);
        gas.saturating_add(price(self.blob_gas_used, self.blob_gas_price))
    }

    /// As [`Transaction::is_of_the_chain`].
    fn is_of_the_chain(&self) -> bool {
        self.from.is_none_or(|from| from.is_zero())
    }

    /// What the transaction's calls and its tokens moved.
    fn happened(&self, steps: &[Step]) -> Vec<Transfer> {
        let logged = steps.iter().filter_map(|step| match step {
            Step::Logged(by) => Some(*by),
            Step::Moved { .. } => None,
        });
        let in_order = logged.eq(self.logs.iter().map(|log| log.address));
        let mut tokens = (0u32..).zip(&self.logs).map(|(ordinal, log)| self.token(ordinal, log));
        let mut happened = Vec::new();
        for step in steps {
            match step {
                Step::Moved { path, from, to, amount } => happened.push(Transfer {
                    transaction: self.transaction_hash,
                    index: TransferIndex::Trace(spelled(path)),
                    from: *from,
                    to: *to,
                    token: None,
                    amount: *amount,
                }),
                Step::Logged(_) if in_order => happened.extend(tokens.next().flatten()),
                Step::Logged(_) => {}
            }
        }
        happened.extend(tokens.flatten());
        happened
    }

    /// The transfer that a log tells of. Its ordinal counts all logs of the transaction, transfers or not: so it does not
    /// depend on what is one.
    ///
    /// Both accounts have to be topics, as ERC-20 wants. Where they are not, or a third follows them, the number is as
    /// likely an ERC-721 token's as an amount. What follows the amount is none of the event's.
    fn token(&self, ordinal: u32, log: &Log) -> Option<Transfer> {
        let [TRANSFER, from, to] = log.topics[..] else { return None };
        Some(Transfer {
            transaction: self.transaction_hash,
            index: TransferIndex::Log(ordinal),
            from: account(from)?,
            to: account(to)?,
            token: Some(log.address),
            amount: U256::from_be_slice(log.data.get(..32)?),
        })
    }
}

/// The address in a word; none where the word is more than an address.
fn account(word: B256) -> Option<Address> {
    let address = Address::from_word(word);
    (address.into_word() == word).then_some(address)
}

fn spelled(path: &[u32]) -> String {
    path.iter().map(u32::to_string).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests;
