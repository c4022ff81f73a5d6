//! What an input shows of the output that it spends. An input names only where its money lies; but to spend it, it has to
//! show the key or the script behind the address, except where that is Taproot's.
//!
//! An input may pretend: a script of somebody's own can be spent while showing another's key. So what is revealed is only
//! where to look; the output itself decides.

use bitcoin::hashes::Hash as _;
use bitcoin::opcodes::all::{OP_PUSHNUM_16, OP_PUSHNUM_NEG1};
use bitcoin::script::Instruction;
use bitcoin::{PubkeyHash, Script, ScriptBuf, TxIn, WPubkeyHash, WScriptHash};

/// Bytes of a public key, in its two forms.
const COMPRESSED: usize = 33;
const UNCOMPRESSED: usize = 65;
/// Opcodes that push a small number.
const PUSH_MINUS_ONE: u8 = OP_PUSHNUM_NEG1.to_u8();
const PUSH_SIXTEEN: u8 = OP_PUSHNUM_16.to_u8();
/// The first byte of a Taproot annex (BIP-341).
const ANNEX: u8 = 0x50;
/// Bytes of a control block before its Merkle path, and of each step of that (BIP-341).
const CONTROL: (usize, usize) = (33, 32);

/// Scripts that the output may have that an input spends: P2PKH, P2SH, P2WPKH, P2WSH. Few, and mostly one.
pub(crate) fn revealed(input: &TxIn) -> Vec<ScriptBuf> {
    let mut scripts = Vec::new();
    if input.script_sig.is_empty() {
        if let Some(last) = input.witness.last() {
            if input.witness.len() == 2 && last.len() == COMPRESSED {
                scripts.push(ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(last)));
            }
            scripts.push(ScriptBuf::new_p2wsh(&WScriptHash::hash(last)));
        }
        return scripts;
    }
    let Some(pushed) = pushes(&input.script_sig) else { return scripts };
    if let Some(last) = pushed.last() {
        // The script behind P2SH, or the witness program of a SegWit output in one.
        scripts.push(Script::from_bytes(last).to_p2sh());
    }
    if let [_, key] = pushed.as_slice()
        && matches!(key.len(), COMPRESSED | UNCOMPRESSED)
    {
        scripts.push(ScriptBuf::new_p2pkh(&PubkeyHash::hash(key)));
    }
    scripts
}

/// Whether an input may spend a Taproot output: by a signature alone, or by a script with its control block.
pub(crate) fn may_be_taproot(input: &TxIn) -> bool {
    let mut witness: Vec<&[u8]> = input.witness.iter().collect();
    if witness.len() > 1 && witness.last().is_some_and(|last| last.first() == Some(&ANNEX)) {
        witness.pop();
    }
    input.script_sig.is_empty()
        && match witness.as_slice() {
            [] => false,
            [signature] => matches!(signature.len(), 64 | 65),
            [.., control] => control.len() >= CONTROL.0 && (control.len() - CONTROL.0).is_multiple_of(CONTROL.1),
        }
}

/// What a script pushes, where it does nothing else. Small numbers have opcodes of their own; they are no key and no
/// script.
fn pushes(script: &Script) -> Option<Vec<&[u8]>> {
    let mut pushed = Vec::new();
    for instruction in script.instructions() {
        match instruction.ok()? {
            Instruction::PushBytes(bytes) => pushed.push(bytes.as_bytes()),
            Instruction::Op(op) if matches!(op.to_u8(), PUSH_MINUS_ONE..=PUSH_SIXTEEN) => pushed.push(&[][..]),
            Instruction::Op(_) => return None,
        }
    }
    Some(pushed)
}

#[cfg(test)]
mod tests;
