//! Raw blocks, checked: a node can keep a block back, but not make one up without the work.

use std::collections::HashSet;

use alloy_primitives::B256;
use anyhow::{Context, ensure};
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Txid};
use haetae_core::Moment;

use crate::source::{Block, BlockRef, Body, Transaction};

/// A hash as people read it: the bytes turned round.
pub(super) fn read_hash(hash: B256) -> BlockHash {
    let mut bytes = hash.0;
    bytes.reverse();
    BlockHash::from_byte_array(bytes)
}

pub(super) fn shown_hash(hash: BlockHash) -> B256 {
    let mut bytes = hash.to_byte_array();
    bytes.reverse();
    bytes.into()
}

/// The block of this hash, from its bytes in hexadecimal. Its height is what the node says: that it follows the block
/// before it is seen where blocks are put one after another.
///
/// # Errors
/// When the bytes are not that block: another header, other transactions or signatures than the header commits to, or less
/// work than it claims.
pub(super) fn decode(raw: &str, hash: B256, height: u64) -> anyhow::Result<Block> {
    let block: bitcoin::Block = deserialize_hex(raw).context("the node's block cannot be read")?;
    ensure!(block.block_hash() == read_hash(hash), "the node answered with another block");
    block.header.validate_pow(block.header.target()).context("a block without the work it claims")?;
    ensure!(
        block.txdata.first().is_some_and(bitcoin::Transaction::is_coinbase),
        "a block that begins without a coinbase"
    );
    ensure!(block.check_merkle_root(), "a block with other transactions than its header commits to");
    ensure!(block.check_witness_commitment(), "a block with other signatures than it commits to");

    let time = Moment::from_unix_timestamp(block.header.time.into()).context("a block of no possible time")?;
    let transactions: Vec<Transaction> =
        block.txdata.into_iter().map(|body| Transaction { id: body.compute_txid(), body }).collect();
    // A list whose end is repeated has the same Merkle root (CVE-2012-2459).
    let distinct: HashSet<Txid> = transactions.iter().map(|transaction| transaction.id).collect();
    ensure!(distinct.len() == transactions.len(), "a block that names a transaction twice");
    Ok(Block {
        at: BlockRef { number: height, hash },
        parent: shown_hash(block.header.prev_blockhash),
        time,
        body: Body::Transactions(transactions),
    })
}

#[cfg(test)]
mod tests;
