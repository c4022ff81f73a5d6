//! What a node says of a block, as far as it is needed, and the transfers in it.

use std::collections::HashMap;

use alloy::primitives::{Address, B256, Bytes, U64, U256, b256};
use anyhow::{Context, ensure};
use haetae_core::{Account, Amount, Asset, ChainId, TransferIndex};
use serde::Deserialize;

use crate::book::network::{Block, Header as Named, Transfer};

/// `Transfer(address,address,uint256)` (ERC-20).
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// A block's place, name and predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    number: U64,
    pub(super) hash: B256,
    parent_hash: B256,
    /// None on chains without one.
    base_fee_per_gas: Option<U256>,
}

impl Header {
    pub(super) fn named(&self) -> Named {
        Named { number: self.number.to(), hash: self.hash.to_string(), parent: self.parent_hash.to_string() }
    }

    pub(super) fn base_fee(&self) -> Option<u128> {
        self.base_fee_per_gas.map(|fee| fee.saturating_to())
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct FullBlock {
    #[serde(flatten)]
    pub(super) header: Header,
    transactions: Vec<Transaction>,
}

#[derive(Debug, Deserialize)]
struct Transaction {
    hash: B256,
    to: Option<Address>,
    value: U256,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    transaction_hash: B256,
    block_hash: B256,
    status: U64,
    logs: Vec<Log>,
}

#[derive(Debug, Deserialize)]
struct Log {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
}

impl FullBlock {
    /// The block with its transfers. Value that a contract passes on is not seen; this exchange does not credit it.
    pub(super) fn with(self, chain: &ChainId, receipts: &[Receipt]) -> anyhow::Result<Block> {
        let by_transaction: HashMap<B256, &Receipt> = receipts.iter().map(|r| (r.transaction_hash, r)).collect();
        let mut transfers = Vec::new();
        for transaction in &self.transactions {
            let receipt = by_transaction.get(&transaction.hash).context("a transaction without a receipt")?;
            ensure!(receipt.block_hash == self.header.hash, "a receipt of another block");
            if receipt.status == U64::from(1) {
                transfers.extend(transaction.coin(chain));
                transfers.extend(receipt.tokens(chain));
            }
        }
        transfers.retain(|transfer| !transfer.amount.is_zero());
        let transactions = self.transactions.iter().map(|transaction| transaction.hash.to_string()).collect();
        Ok(Block { header: self.header.named(), transactions, transfers })
    }
}

impl Transaction {
    fn coin(&self, chain: &ChainId) -> Option<Transfer> {
        Some(Transfer {
            transaction: self.hash.to_string(),
            index: TransferIndex::Native,
            to: Account::evm(chain.clone(), self.to?),
            asset: Asset::evm_native(chain.clone()),
            amount: Amount::from_u256(self.value),
        })
    }
}

impl Receipt {
    fn tokens(&self, chain: &ChainId) -> impl Iterator<Item = Transfer> {
        // The ordinal counts all logs of the transaction, transfers or not.
        self.logs.iter().zip(0u32..).filter_map(move |(log, ordinal)| {
            let [TRANSFER, _, to] = log.topics[..] else { return None };
            let amount: [u8; 32] = log.data.as_ref().try_into().ok()?;
            Some(Transfer {
                transaction: self.transaction_hash.to_string(),
                index: TransferIndex::Log(ordinal),
                to: Account::evm(chain.clone(), Address::from_word(to)),
                asset: Asset::erc20(chain.clone(), log.address),
                amount: Amount::from_u256(U256::from_be_bytes(amount)),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn block(status: &str, logs: Value, receipt_of: B256) -> anyhow::Result<Vec<Transfer>> {
        let (hash, transaction) = (B256::repeat_byte(9), B256::repeat_byte(1));
        let full: FullBlock = serde_json::from_value(json!({
            "number": "0x7", "hash": hash, "parentHash": hash,
            "transactions": [{"hash": transaction, "to": Address::repeat_byte(2), "value": "0x32"}],
        }))?;
        let receipt: Receipt = serde_json::from_value(json!({
            "transactionHash": transaction, "blockHash": receipt_of, "status": status, "logs": logs,
        }))?;
        Ok(full.with(&ChainId::evm(1), &[receipt])?.transfers)
    }

    fn log(topics: &[B256], amount: u64) -> Value {
        json!({"address": Address::repeat_byte(0xee), "topics": topics, "data": B256::from(U256::from(amount))})
    }

    #[test]
    fn coin_and_tokens_are_found_under_the_index_that_names_them() {
        let to = Address::repeat_byte(4).into_word();
        let logs = json!([log(&[B256::ZERO], 1), log(&[TRANSFER, to, to], 70), log(&[TRANSFER, to, to], 0)]);
        let found = block("0x1", logs, B256::repeat_byte(9)).unwrap();
        let short: Vec<_> =
            found.iter().map(|t| (t.index.to_string(), t.asset.contract().is_some(), t.amount)).collect();
        assert_eq!(short, [("native".into(), false, Amount::from(50u64)), ("log/1".into(), true, Amount::from(70u64))]);
    }

    #[test]
    fn what_failed_moved_nothing() {
        assert!(block("0x0", json!([]), B256::repeat_byte(9)).unwrap().is_empty());
    }

    #[test]
    fn receipts_of_another_block_are_not_believed() {
        assert!(block("0x1", json!([]), B256::repeat_byte(8)).is_err());
    }
}
