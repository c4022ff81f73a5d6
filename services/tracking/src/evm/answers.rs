//! What a node answers, as far as it is needed, and the transfers in it. Nothing is asked of a transaction's type: new
//! types of transaction move money like old ones.

use std::collections::HashMap;

use alloy::primitives::{Address, B256, Bytes, U64, U256, b256};
use anyhow::{Context, ensure};
use haetae_core::{Moment, TransferIndex};
use serde::Deserialize;

use crate::source::{Block, BlockRef, Body, Transfer};

/// `Transfer(address,address,uint256)` (ERC-20).
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

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
    from: Address,
    /// None where a contract is created.
    to: Option<Address>,
    value: U256,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    transaction_hash: B256,
    block_hash: B256,
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

#[derive(Debug, Deserialize)]
struct Log {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
}

impl FullBlock {
    /// The block with its transfers, taken from its transactions and their receipts.
    ///
    /// # Errors
    /// When the receipts are not those of this block.
    pub(super) fn with(self, receipts: &[Receipt]) -> anyhow::Result<Block> {
        let at = self.header.at();
        ensure!(receipts.len() == self.transactions.len(), "the node has not all receipts of the block");
        let by_transaction: HashMap<B256, &Receipt> = receipts.iter().map(|r| (r.transaction_hash, r)).collect();
        let mut transfers = Vec::new();
        for transaction in &self.transactions {
            let receipt = by_transaction.get(&transaction.hash).context("a transaction without a receipt")?;
            ensure!(receipt.block_hash == at.hash, "a receipt of another block");
            // What failed has its price as well.
            transfers.push(transaction.fee(receipt));
            if receipt.status.is_none_or(|status| status == U64::from(1)) {
                transfers.extend(transaction.own_value(receipt));
                transfers.extend(receipt.tokens());
            }
        }
        transfers.retain(|transfer: &Transfer| {
            !transfer.amount.is_zero() && (transfer.from != transfer.to || transfer.is_fee())
        });
        let time = Moment::from_unix_timestamp(self.header.timestamp.to()).context("a block of no possible time")?;
        Ok(Block { at, parent: self.header.parent_hash, time, body: Body::Transfers(transfers) })
    }
}

impl Transaction {
    fn fee(&self, receipt: &Receipt) -> Transfer {
        Transfer {
            transaction: self.hash,
            index: TransferIndex::Fee,
            from: self.from,
            to: self.from,
            token: None,
            amount: receipt.cost(),
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

    fn tokens(&self) -> impl Iterator<Item = Transfer> {
        // The ordinal counts all logs of the transaction, transfers or not: so it does not depend on what is one.
        self.logs.iter().zip(0u32..).filter_map(|(log, ordinal)| {
            // A transfer of an ERC-721 token has the same first topic, and a fourth.
            let [TRANSFER, from, to] = log.topics[..] else { return None };
            let amount: [u8; 32] = log.data.as_ref().try_into().ok()?;
            Some(Transfer {
                transaction: self.transaction_hash,
                index: TransferIndex::Log(ordinal),
                from: Address::from_word(from),
                to: Address::from_word(to),
                token: Some(log.address),
                amount: U256::from_be_bytes(amount),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const HASH: &str = "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn address(n: u8) -> Address {
        Address::repeat_byte(n)
    }

    fn word(n: u8) -> String {
        address(n).into_word().to_string()
    }

    fn transaction(n: u8, value: u64) -> Value {
        json!({"hash": B256::repeat_byte(n), "from": address(1), "to": address(2), "value": U256::from(value),
               "type": "0x7e", "unheardOf": true})
    }

    fn receipt(n: u8, status: &str, logs: Vec<Value>) -> Value {
        json!({"transactionHash": B256::repeat_byte(n), "blockHash": HASH, "status": status,
               "contractAddress": null, "logs": logs})
    }

    fn log(topics: &[String], data: &str) -> Value {
        json!({"address": address(0xee), "topics": topics, "data": data})
    }

    fn transfer_log(from: u8, to: u8, amount: u64) -> Value {
        log(&[TRANSFER.to_string(), word(from), word(to)], &format!("0x{amount:064x}"))
    }

    fn block(transactions: Vec<Value>, receipts: Vec<Value>) -> anyhow::Result<Vec<Transfer>> {
        let block = json!({"number": "0x7", "hash": HASH, "parentHash": HASH, "timestamp": "0x65", "transactions": transactions});
        let block: FullBlock = serde_json::from_value(block)?;
        let receipts: Vec<Receipt> = receipts.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
        Ok(block.with(&receipts)?.transfers().to_vec())
    }

    #[test]
    fn a_transactions_own_value_comes_before_its_logs_and_logs_count_all() {
        let other_event = log(&[B256::repeat_byte(9).to_string()], "0x");
        let nft = log(&[TRANSFER.to_string(), word(3), word(4), word(5)], "0x");
        let logs = vec![other_event, transfer_log(3, 4, 70), nft, transfer_log(4, 5, 60)];
        let found = block(vec![transaction(1, 50)], vec![receipt(1, "0x1", logs)]).unwrap();
        let short: Vec<_> = found.iter().map(|t| (t.index.to_string(), t.token.is_some(), t.amount)).collect();
        let expected = [("native", false, 50u64), ("log/1", true, 70), ("log/3", true, 60)];
        assert_eq!(short, expected.map(|(index, token, amount)| (index.to_owned(), token, U256::from(amount))));
        assert_eq!((found[1].from, found[1].to), (address(3), address(4)));
    }

    #[test]
    fn failed_transactions_move_nothing() {
        assert!(block(vec![transaction(1, 50)], vec![receipt(1, "0x0", Vec::new())]).unwrap().is_empty());
    }

    #[test]
    fn what_a_transaction_cost_comes_first_also_where_it_failed() {
        let mut paid = receipt(1, "0x1", Vec::new());
        (paid["gasUsed"], paid["effectiveGasPrice"]) = (json!("0x5208"), json!("0x3"));
        (paid["blobGasUsed"], paid["blobGasPrice"]) = (json!("0x2"), json!("0x5"));
        let mut failed = receipt(2, "0x0", Vec::new());
        (failed["gasUsed"], failed["effectiveGasPrice"]) = (json!("0x7"), json!("0x2"));
        let found = block(vec![transaction(1, 50), transaction(2, 60)], vec![paid, failed]).unwrap();
        let short: Vec<_> = found.iter().map(|t| (t.index.to_string(), t.amount)).collect();
        let expected = [("fee", 63_010u64), ("native", 50), ("fee", 14)];
        assert_eq!(short, expected.map(|(index, amount)| (index.to_owned(), U256::from(amount))));
        assert!(found[0].is_fee() && found[0].from == address(1) && found[0].to == address(1));
    }

    #[test]
    fn transfers_of_nothing_and_to_oneself_are_none() {
        let logs = vec![transfer_log(3, 4, 0), transfer_log(3, 3, 9)];
        assert!(block(vec![transaction(1, 0)], vec![receipt(1, "0x1", logs)]).unwrap().is_empty());
    }

    #[test]
    fn a_log_that_is_not_shaped_like_a_transfer_is_none() {
        let short = log(&[TRANSFER.to_string(), word(3), word(4)], "0x01");
        let two_topics = log(&[TRANSFER.to_string(), word(3)], &format!("0x{:064x}", 5));
        assert!(block(vec![transaction(1, 0)], vec![receipt(1, "0x1", vec![short, two_topics])]).unwrap().is_empty());
    }

    #[test]
    fn the_order_of_transactions_is_the_blocks_whatever_that_of_the_receipts() {
        let receipts = vec![receipt(2, "0x1", vec![]), receipt(1, "0x1", vec![])];
        let found = block(vec![transaction(1, 1), transaction(2, 2)], receipts).unwrap();
        assert_eq!(found.iter().map(|t| t.amount).collect::<Vec<_>>(), [U256::from(1), U256::from(2)]);
    }

    #[test]
    fn a_block_without_all_its_receipts_is_refused() {
        assert!(block(vec![transaction(1, 1), transaction(2, 2)], vec![receipt(1, "0x1", vec![])]).is_err());
        let mut foreign = receipt(1, "0x1", vec![]);
        foreign["blockHash"] = json!(B256::repeat_byte(0xbb));
        assert!(block(vec![transaction(1, 1)], vec![foreign]).is_err());
    }
}
