//! The exchange's secrets: keys of wallets, and the key of pseudonyms.

use std::fmt;

use alloy::primitives::{B256, Keccak256};
use anyhow::Context;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Holds the hot wallet's key on one chain and the seed from which everything else follows. Not shown by `Debug`.
#[derive(Clone)]
pub(crate) struct Vault {
    hot: B256,
    seed: B256,
}

impl Vault {
    /// From the contents of the key files: 32 bytes each, in hexadecimal.
    pub(crate) fn new(hot: &str, seed: &str) -> anyhow::Result<Self> {
        let hot = hot.trim().parse().context("the hot wallet's key is not 32 bytes in hexadecimal")?;
        let seed = seed.trim().parse().context("the seed is not 32 bytes in hexadecimal")?;
        Ok(Self { hot, seed })
    }

    /// The key of the wallet that everything is swept into and paid from.
    pub(super) fn hot(&self) -> B256 {
        self.hot
    }

    /// The key of a customer's deposit wallet on chains of one kind, as the chain reads it.
    pub(super) fn deposit<K>(&self, kind: &[u8], customer: i64, read: impl Fn(&B256) -> Option<K>) -> K {
        // One hash in 2^128 is no key of the curve; then the next one is taken.
        let mut key = self.derived(kind, &customer.to_be_bytes());
        loop {
            match read(&key) {
                Some(signer) => return signer,
                None => key = self.derived(kind, key.as_slice()),
            }
        }
    }

    /// What the police is told of a customer: the same for the same person, and nothing besides.
    pub(crate) fn pseudonym(&self, customer: &str) -> String {
        let key = self.derived(b"pseudonym", &[]);
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).expect("any length is right");
        mac.update(customer.as_bytes());
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        alloy::hex::encode(&digest[..16])
    }

    fn derived(&self, kind: &[u8], index: &[u8]) -> B256 {
        let mut hash = Keccak256::new();
        hash.update(self.seed);
        hash.update(kind);
        hash.update(index);
        hash.finalize()
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(seed: u8) -> Vault {
        let file = |byte: u8| format!("0x{}\n", alloy::hex::encode([byte; 32]));
        Vault::new(&file(1), &file(seed)).unwrap()
    }

    #[test]
    fn a_customers_wallet_follows_from_the_seed() {
        let key = |seed, kind: &[u8], customer| vault(seed).deposit(kind, customer, |key| Some(*key));
        assert_eq!(key(2, b"deposit", 7), key(2, b"deposit", 7));
        assert_ne!(key(2, b"deposit", 7), key(2, b"deposit", 8));
        assert_ne!(key(2, b"deposit", 7), key(3, b"deposit", 7));
        assert_ne!(key(2, b"deposit", 7), key(2, b"deposit on bitcoin", 7));
    }

    #[test]
    fn what_is_no_key_is_passed_over() {
        let first = vault(2).deposit(b"deposit", 7, |key| Some(*key));
        let next = vault(2).deposit(b"deposit", 7, |key| (*key != first).then_some(*key));
        assert_ne!(first, next);
    }

    #[test]
    fn a_pseudonym_is_the_same_at_one_exchange_and_another_elsewhere() {
        assert_eq!(vault(2).pseudonym("mallory"), vault(2).pseudonym("mallory"));
        assert_ne!(vault(2).pseudonym("mallory"), vault(2).pseudonym("alice"));
        assert_ne!(vault(2).pseudonym("mallory"), vault(3).pseudonym("mallory"));
    }

    #[test]
    fn a_key_file_with_something_else_in_it_is_refused_without_repeating_it() {
        let error = Vault::new("hunter2", "hunter2").unwrap_err();
        assert!(!format!("{error:#}{:?}", vault(2)).contains("hunter2"));
    }
}
