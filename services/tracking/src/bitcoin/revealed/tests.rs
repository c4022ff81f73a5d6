use bitcoin::key::Secp256k1;
use bitcoin::opcodes::all::{OP_DROP, OP_PUSHNUM_1};
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::secp256k1::SecretKey;
use bitcoin::{CompressedPublicKey, PublicKey, Witness};

use super::*;

fn key() -> CompressedPublicKey {
    let secret = SecretKey::from_slice(&[7; 32]).unwrap();
    CompressedPublicKey(secret.public_key(&Secp256k1::signing_only()))
}

fn bytes(of: &[u8]) -> PushBytesBuf {
    PushBytesBuf::try_from(of.to_vec()).unwrap()
}

const SIGNATURE: [u8; 71] = [0x30; 71];

fn input(script_sig: ScriptBuf, witness: &[&[u8]]) -> TxIn {
    TxIn { script_sig, witness: Witness::from_slice(witness), ..TxIn::default() }
}

#[test]
fn every_kind_of_address_but_taproot_is_shown_by_what_spends_it() {
    let key = key();
    let program = ScriptBuf::new_p2wpkh(&key.wpubkey_hash());
    let script = Builder::new().push_opcode(OP_PUSHNUM_1).into_script();
    let in_p2sh = |inner: &Script| Builder::new().push_slice(bytes(inner.as_bytes())).into_script();
    let p2pkh = Builder::new().push_slice(SIGNATURE).push_slice(bytes(&key.to_bytes())).into_script();
    for (input, spends) in [
        (input(p2pkh, &[]), ScriptBuf::new_p2pkh(&key.pubkey_hash())),
        (input(ScriptBuf::new(), &[&SIGNATURE, &key.to_bytes()]), program.clone()),
        (input(in_p2sh(&program), &[&SIGNATURE, &key.to_bytes()]), program.to_p2sh()),
        (input(ScriptBuf::new(), &[&[], script.as_bytes()]), script.to_p2wsh()),
        (input(in_p2sh(&script.to_p2wsh()), &[script.as_bytes()]), script.to_p2wsh().to_p2sh()),
        (input(in_p2sh(&script), &[]), script.to_p2sh()),
    ] {
        assert!(revealed(&input).contains(&spends), "{spends}");
    }
}

#[test]
fn an_uncompressed_key_has_an_address_of_its_own() {
    let key = PublicKey { compressed: false, inner: key().0 };
    let script_sig = Builder::new().push_slice(SIGNATURE).push_key(&key).into_script();
    assert!(revealed(&input(script_sig, &[])).contains(&ScriptBuf::new_p2pkh(&key.pubkey_hash())));
}

#[test]
fn a_script_behind_p2sh_is_seen_past_the_numbers_that_choose_its_branch() {
    let script = Builder::new().push_opcode(OP_DROP).push_opcode(OP_PUSHNUM_1).into_script();
    let script_sig =
        Builder::new().push_slice(SIGNATURE).push_int(1).push_slice(bytes(script.as_bytes())).into_script();
    assert!(revealed(&input(script_sig, &[])).contains(&script.to_p2sh()));
}

#[test]
fn taproot_shows_nothing_and_is_told_by_its_shape() {
    let control = [0xc0; 33 + 64];
    let annex = [ANNEX; 5];
    let by_key: [&[&[u8]]; 3] = [&[&[1; 64]], &[&[1; 65]], &[&[1; 64], &annex]];
    let by_script: [&[&[u8]]; 2] = [&[&[1; 3], &[2; 9], &control], &[&[2; 9], &control, &annex]];
    for witness in by_key.into_iter().chain(by_script) {
        assert!(may_be_taproot(&input(ScriptBuf::new(), witness)));
    }
    assert!(!may_be_taproot(&input(ScriptBuf::new(), &[])));
    assert!(!may_be_taproot(&input(ScriptBuf::new(), &[&SIGNATURE, &[2; 34]])));
}

/// Against a whole block of the main network: what an input spends that was made in the same block is known.
#[test]
fn on_the_main_network_inputs_show_what_they_spend() {
    let raw = include_bytes!("../../../tests/data/mainnet-block.raw");
    let block: bitcoin::Block = bitcoin::consensus::deserialize(raw).unwrap();
    let made: std::collections::HashMap<_, _> = block.txdata.iter().map(|tx| (tx.compute_txid(), tx)).collect();
    let (mut shown, mut taproot) = (0, 0);
    for input in block.txdata.iter().skip(1).flat_map(|tx| &tx.input) {
        let Some(made) = made.get(&input.previous_output.txid) else { continue };
        let script = &made.output[input.previous_output.vout as usize].script_pubkey;
        if script.is_p2tr() {
            assert!(may_be_taproot(input), "{script}");
            taproot += 1;
        } else {
            assert!(revealed(input).contains(script), "{script}");
            shown += 1;
        }
    }
    assert!(shown > 0, "{shown} {taproot}");
}
