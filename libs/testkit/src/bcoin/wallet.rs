//! Keys that a test holds, and what it signs with them.

use std::collections::VecDeque;

use anyhow::{Context, Result, ensure};
use bitcoin::absolute::LockTime;
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::key::{Keypair, TapTweak as _};
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::secp256k1::{All, Message, Secp256k1};
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, CompressedPublicKey, KnownHrp, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut,
    Witness, ecdsa, taproot,
};

/// What every payment leaves to the miner, in satoshi.
pub const FEE: u64 = 5_000;

/// In what form a wallet takes money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To a key's hash, without SegWit.
    P2pkh,
    /// SegWit wrapped in a script's hash.
    P2shP2wpkh,
    /// To a key's hash, SegWit version 0.
    P2wpkh,
    /// Taproot, by its key.
    P2tr,
}

/// One key, its address, and the coins that it knows of.
#[derive(Clone, Debug)]
pub struct Wallet {
    kind: Kind,
    key: Keypair,
    coins: VecDeque<(OutPoint, TxOut)>,
    secp: Secp256k1<All>,
}

impl Wallet {
    /// The wallet of this name: the same key whenever it is asked for.
    pub fn new(kind: Kind, name: &str) -> Self {
        let secp = Secp256k1::new();
        let mut seed = sha256::Hash::hash(name.as_bytes());
        let key = loop {
            match Keypair::from_seckey_slice(&secp, seed.as_ref()) {
                Ok(key) => break key,
                // One hash in 2^128 is no key of the curve.
                Err(_) => seed = sha256::Hash::hash(seed.as_ref()),
            }
        };
        Self { kind, key, coins: VecDeque::new(), secp }
    }

    /// Where it takes money, on regtest.
    pub fn address(&self) -> Address {
        let key = CompressedPublicKey(self.key.public_key());
        match self.kind {
            Kind::P2pkh => Address::p2pkh(key, Network::Regtest),
            Kind::P2shP2wpkh => Address::p2shwpkh(&key, Network::Regtest),
            Kind::P2wpkh => Address::p2wpkh(&key, KnownHrp::Regtest),
            Kind::P2tr => Address::p2tr(&self.secp, self.key.x_only_public_key().0, None, KnownHrp::Regtest),
        }
    }

    /// What it can spend, oldest first.
    pub fn coins(&self) -> impl Iterator<Item = &(OutPoint, TxOut)> {
        self.coins.iter()
    }

    /// The sum of its coins, in satoshi.
    pub fn balance(&self) -> u64 {
        self.coins.iter().map(|(_, output)| output.value.to_sat()).sum()
    }

    /// Learns of a transaction: what it spends is gone, what it pays here is there.
    pub fn note(&mut self, transaction: &Transaction) {
        self.coins.retain(|(coin, _)| transaction.input.iter().all(|input| input.previous_output != *coin));
        let (id, here) = (transaction.compute_txid(), self.address().script_pubkey());
        for (output, vout) in transaction.output.iter().zip(0..) {
            if output.script_pubkey == here {
                self.coins.push_back((OutPoint { txid: id, vout }, output.clone()));
            }
        }
    }

    /// Pays from its oldest coins; what is left comes back as the last output. Not sent yet; the wallet counts on it.
    ///
    /// # Errors
    /// When it does not have that much and the fee.
    pub fn pay(&mut self, to: &[(Address, u64)]) -> Result<Transaction> {
        let wanted = to.iter().map(|(_, satoshi)| satoshi).sum::<u64>() + FEE;
        let mut spent = Vec::new();
        let mut sum = 0;
        for coin in &self.coins {
            if sum >= wanted {
                break;
            }
            sum += coin.1.value.to_sat();
            spent.push(coin.clone());
        }
        ensure!(sum >= wanted, "the wallet has {sum}, not {wanted}");
        let paid = to
            .iter()
            .map(|(to, satoshi)| TxOut { value: Amount::from_sat(*satoshi), script_pubkey: to.script_pubkey() });
        let mut output: Vec<TxOut> = paid.collect();
        if sum > wanted {
            let change = Amount::from_sat(sum - wanted);
            output.push(TxOut { value: change, script_pubkey: self.address().script_pubkey() });
        }
        let inputs: Vec<_> = spent.iter().map(|(coin, output)| (*coin, output.clone(), &*self)).collect();
        let transaction = sign(&inputs, output, Sequence::MAX)?;
        self.note(&transaction);
        Ok(transaction)
    }

    fn ecdsa(&self, hash: [u8; 32]) -> ecdsa::Signature {
        let signature = self.secp.sign_ecdsa(&Message::from_digest(hash), &self.key.secret_key());
        ecdsa::Signature { signature, sighash_type: EcdsaSighashType::All }
    }

    /// What unlocks an input that spends a coin of this wallet: script and witness.
    fn unlock(&self, unsigned: &Transaction, at: usize, coins: &[TxOut]) -> Result<(ScriptBuf, Witness)> {
        let mut cache = SighashCache::new(unsigned);
        let coin = coins.get(at).context("an input without its coin")?;
        let key = self.key.public_key();
        let wpkh = Address::p2wpkh(&CompressedPublicKey(key), KnownHrp::Regtest).script_pubkey();
        let pushed = |bytes: &[u8]| -> Result<PushBytesBuf> { Ok(PushBytesBuf::try_from(bytes.to_vec())?) };
        match self.kind {
            Kind::P2pkh => {
                let all = EcdsaSighashType::All;
                let hash = cache.legacy_signature_hash(at, &coin.script_pubkey, all.to_u32())?;
                let signature = pushed(&self.ecdsa(hash.to_byte_array()).to_vec())?;
                let script = Builder::new().push_slice(signature).push_slice(key.serialize()).into_script();
                Ok((script, Witness::new()))
            }
            Kind::P2wpkh | Kind::P2shP2wpkh => {
                let hash = cache.p2wpkh_signature_hash(at, &wpkh, coin.value, EcdsaSighashType::All)?;
                let witness = Witness::p2wpkh(&self.ecdsa(hash.to_byte_array()), &key);
                let wrapped = self.kind == Kind::P2shP2wpkh;
                let script = if wrapped {
                    Builder::new().push_slice(pushed(wpkh.as_bytes())?).into_script()
                } else {
                    ScriptBuf::new()
                };
                Ok((script, witness))
            }
            Kind::P2tr => {
                let sighash_type = TapSighashType::Default;
                let hash = cache.taproot_key_spend_signature_hash(at, &Prevouts::All(coins), sighash_type)?;
                let key = self.key.tap_tweak(&self.secp, None).to_keypair();
                let signature = self.secp.sign_schnorr_no_aux_rand(&Message::from_digest(hash.to_byte_array()), &key);
                Ok((ScriptBuf::new(), Witness::p2tr_key_spend(&taproot::Signature { signature, sighash_type })))
            }
        }
    }
}

/// A transaction that spends coins of any wallets, each with its wallet, signed. `sequence` is every input's:
/// [`Sequence::ENABLE_RBF_NO_LOCKTIME`] signals that it may be replaced, [`Sequence::MAX`] that it may not.
///
/// # Errors
/// When it cannot be signed: a coin that is not the wallet's.
pub fn sign(inputs: &[(OutPoint, TxOut, &Wallet)], output: Vec<TxOut>, sequence: Sequence) -> Result<Transaction> {
    let input =
        inputs.iter().map(|(coin, _, _)| TxIn { previous_output: *coin, sequence, ..TxIn::default() }).collect();
    let mut transaction = Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input, output };
    let coins: Vec<TxOut> = inputs.iter().map(|(_, coin, _)| coin.clone()).collect();
    let unlocked: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(at, (_, _, wallet))| wallet.unlock(&transaction, at, &coins))
        .collect::<Result<_>>()?;
    for (input, (script, witness)) in transaction.input.iter_mut().zip(unlocked) {
        input.script_sig = script;
        input.witness = witness;
    }
    Ok(transaction)
}
