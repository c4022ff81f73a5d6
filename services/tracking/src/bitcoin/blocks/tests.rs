use bitcoin::consensus::{deserialize, serialize};
use bitcoin::{Network, ScriptBuf};

use super::*;

/// Block 702,861 of the main network, from the test data of the `bitcoin` crate (CC0).
const MAIN: &[u8] = include_bytes!("../../../tests/data/mainnet-block.raw");

fn main_block() -> bitcoin::Block {
    deserialize(MAIN).unwrap()
}

fn decoded(block: &bitcoin::Block) -> anyhow::Result<Block> {
    decode(&alloy_primitives::hex::encode(serialize(block)), shown_hash(block.block_hash()), 7)
}

fn refused(block: &bitcoin::Block) -> String {
    decoded(block).unwrap_err().to_string()
}

#[test]
fn a_whole_block_of_the_main_network_is_read_with_every_output() {
    let block = decoded(&main_block()).unwrap();
    let hash = block.at.hash.to_string();
    assert_eq!(hash, "0x000000000000000000000c835b2adcaedc20fdf6ee440009c249452c726dafae");
    let Body::Transactions(transactions) = &block.body else { panic!("{block:?}") };
    assert_eq!(transactions.len(), main_block().txdata.len());
    let chain = haetae_core::ChainId::bitcoin(Network::Bitcoin).unwrap();
    for output in transactions.iter().flat_map(|transaction| &transaction.body.output) {
        let account = haetae_core::Account::of_script(chain.clone(), &output.script_pubkey);
        let named = account.as_ref().and_then(haetae_core::Account::script);
        assert!(named.is_none_or(|script| script == output.script_pubkey));
        assert!(account.is_some() || output.value == bitcoin::Amount::ZERO || output.script_pubkey.is_p2pk());
    }
}

#[test]
fn the_first_block_of_every_network_is_read() {
    for network in [Network::Bitcoin, Network::Testnet, Network::Signet, Network::Regtest] {
        let genesis = bitcoin::constants::genesis_block(network);
        let block = decoded(&genesis).unwrap();
        assert_eq!(block.parent, B256::ZERO);
        assert!(block.transfers().is_empty());
    }
}

#[test]
fn another_block_than_was_asked_for_is_refused() {
    let raw = alloy_primitives::hex::encode(MAIN);
    assert!(decode(&raw, B256::repeat_byte(1), 7).unwrap_err().to_string().contains("another block"));
    assert!(decode(&raw[..200], shown_hash(main_block().block_hash()), 7).is_err());
}

#[test]
fn transactions_that_the_header_does_not_commit_to_are_refused() {
    let mut other = main_block();
    other.txdata[5].output[0].script_pubkey = ScriptBuf::new();
    assert!(refused(&other).contains("other transactions"));
    let mut without = main_block();
    without.txdata.remove(0);
    assert!(refused(&without).contains("coinbase"));
}

#[test]
fn signatures_that_the_block_does_not_commit_to_are_refused() {
    let mut other = main_block();
    let signed = other.txdata.iter_mut().skip(1).flat_map(|tx| &mut tx.input).find(|i| !i.witness.is_empty()).unwrap();
    signed.witness.push([1]);
    assert!(refused(&other).contains("signatures"));
}

/// CVE-2012-2459.
#[test]
fn a_block_whose_end_is_repeated_is_refused_though_its_merkle_root_is_right() {
    let mut block = bitcoin::constants::genesis_block(Network::Regtest);
    let mut second = block.txdata[0].clone();
    second.input[0].previous_output.vout = 0;
    let mut third = second.clone();
    third.input[0].previous_output.vout = 1;
    block.txdata.extend([second, third.clone()]);
    block.header.merkle_root = block.compute_merkle_root().unwrap();
    while block.header.validate_pow(block.header.target()).is_err() {
        block.header.nonce += 1;
    }
    decoded(&block).unwrap();
    block.txdata.push(third);
    assert!(refused(&block).contains("twice"));
}

#[test]
fn a_block_without_the_work_it_claims_is_refused() {
    let mut block = main_block();
    block.header.nonce += 1;
    assert!(refused(&block).contains("work"));
}
