//! Making blocks by hand.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::Builder;
use bitcoin::transaction::Version as TransactionVersion;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Target, Transaction, TxIn, TxMerkleNode,
    TxOut, Witness,
};

/// Every block of regtest is as easy as this.
const EASY: u32 = 0x207f_ffff;
/// Blocks between two halvings of the subsidy.
const HALVING: u32 = 150;

/// Told apart from every other coinbase made here.
static COINBASES: AtomicU64 = AtomicU64::new(0);

/// A valid block.
pub(super) fn mined(
    parent: BlockHash,
    height: u32,
    time: u32,
    to: ScriptBuf,
    transactions: &[Transaction],
) -> Result<Block> {
    let header = Header {
        version: Version::from_consensus(0x2000_0000),
        prev_blockhash: parent,
        merkle_root: TxMerkleNode::all_zeros(),
        time,
        bits: CompactTarget::from_consensus(EASY),
        nonce: 0,
    };
    let mut block = Block { header, txdata: vec![coinbase(height, to)] };
    block.txdata.extend_from_slice(transactions);
    commit_to_witnesses(&mut block)?;
    block.header.merkle_root = block.compute_merkle_root().context("a block of nothing")?;
    let target = Target::from_compact(block.header.bits);
    while !target.is_met_by(block.block_hash()) {
        block.header.nonce += 1;
    }
    Ok(block)
}

fn coinbase(height: u32, to: ScriptBuf) -> Transaction {
    let number = COINBASES.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let halvings = height / HALVING;
    let subsidy = if halvings < 33 { Amount::from_int_btc(50).to_sat() >> halvings } else { 0 };
    Transaction {
        version: TransactionVersion::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new().push_int(height.into()).push_slice(number).into_script(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0; 32]]),
        }],
        output: vec![TxOut { value: Amount::from_sat(subsidy), script_pubkey: to }],
    }
}

/// BIP 141: the coinbase commits to what signatures say.
fn commit_to_witnesses(block: &mut Block) -> Result<()> {
    let root = block.witness_root().context("a block of nothing")?;
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]);
    let mut marked = [0xaa, 0x21, 0xa9, 0xed].to_vec();
    marked.extend_from_slice(commitment.as_ref());
    let marked: [u8; 36] = marked.as_slice().try_into()?;
    let script = Builder::new().push_opcode(OP_RETURN).push_slice(marked).into_script();
    block.txdata[0].output.push(TxOut { value: Amount::ZERO, script_pubkey: script });
    Ok(())
}
