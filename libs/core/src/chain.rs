//! Chains, as CAIP-2 names them, and what kind of money each keeps.

use std::{fmt, str::FromStr};

use alloy_primitives::B256;
use bitcoin::Network;

use crate::MalformedAccount;

/// A chain, as CAIP-2 names it: `eip155:1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(String);

/// How a chain keeps its money and spells its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// Accounts with balances; addresses of 20 bytes in EIP-55's spelling. The number is EIP-155's.
    Evm(u64),
    /// Accounts with balances; the same 20 bytes in Tron's base58check.
    Tron,
    /// Outputs that are spent whole.
    Bitcoin(Network),
}

/// CAIP-2 `bip122` references: the first 32 digits of the genesis block's hash.
const BITCOIN: [(&str, Network); 4] = [
    ("000000000019d6689c085ae165831e93", Network::Bitcoin),
    ("000000000933ea01ad0ee984209779ba", Network::Testnet),
    ("00000008819873e925422c1ff0f99f7c", Network::Signet),
    ("0f9188f13cb7b2c71f2a335e3a4fc328", Network::Regtest),
];

impl ChainId {
    /// An EVM chain by its number (EIP-155).
    pub fn evm(number: u64) -> Self {
        Self(format!("eip155:{number}"))
    }

    /// A Tron network by its number, which is the last four bytes of its genesis block's id; the main network has
    /// 728126428.
    pub fn tron(number: u64) -> Self {
        Self(format!("tron:{number}"))
    }

    /// A Bitcoin network; none where the network has no agreed name.
    pub fn bitcoin(network: Network) -> Option<Self> {
        let (reference, _) = BITCOIN.iter().find(|(_, known)| *known == network)?;
        Some(Self(format!("bip122:{reference}")))
    }

    /// The CAIP-2 text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The EIP-155 number, where it is an EVM chain.
    pub fn evm_number(&self) -> Option<u64> {
        self.0.strip_prefix("eip155:")?.parse().ok()
    }

    /// A hash of a block or a transaction, in the order in which people read it, as the chain prints it: with `0x` on EVM
    /// chains, without on others.
    pub fn hash(&self, hash: B256) -> String {
        match self.kind() {
            Some(ChainKind::Evm(_)) => hash.to_string(),
            _ => hex::encode(hash),
        }
    }

    /// The number by which its nodes name it over Ethereum's JSON-RPC (`eth_chainId`), on an EVM chain or on Tron.
    pub fn node_number(&self) -> Option<u64> {
        let (namespace, reference) = self.0.split_once(':')?;
        matches!(namespace, "eip155" | "tron").then(|| reference.parse().ok())?
    }

    /// Its kind; none for chains whose addresses are not known here.
    pub fn kind(&self) -> Option<ChainKind> {
        let (namespace, reference) = self.0.split_once(':')?;
        match namespace {
            "eip155" => reference.parse().ok().map(ChainKind::Evm),
            "tron" => reference.parse::<u64>().ok().map(|_| ChainKind::Tron),
            "bip122" => {
                let (_, network) = BITCOIN.iter().find(|(known, _)| *known == reference)?;
                Some(ChainKind::Bitcoin(*network))
            }
            _ => None,
        }
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ChainId {
    type Err = MalformedAccount;

    fn from_str(text: &str) -> Result<Self, MalformedAccount> {
        const FORM: MalformedAccount = MalformedAccount::Form("namespace:reference (CAIP-2), such as eip155:1");
        let (namespace, reference) = text.split_once(':').ok_or(FORM)?;
        let namespace_ok = (3..=8).contains(&namespace.len())
            && namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let reference_ok = (1..=32).contains(&reference.len())
            && reference.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !namespace_ok || !reference_ok {
            return Err(FORM);
        }
        // One spelling only: ids are derived from it.
        let numbered = matches!(namespace, "eip155" | "tron");
        if numbered && reference.parse::<u64>().ok().map(|n| n.to_string()).as_deref() != Some(reference) {
            return Err(FORM);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_chain_is_known_by_its_caip_2_name() {
        for (text, kind) in [
            ("eip155:1", Some(ChainKind::Evm(1))),
            ("tron:728126428", Some(ChainKind::Tron)),
            ("bip122:000000000019d6689c085ae165831e93", Some(ChainKind::Bitcoin(Network::Bitcoin))),
            ("bip122:0f9188f13cb7b2c71f2a335e3a4fc328", Some(ChainKind::Bitcoin(Network::Regtest))),
            ("bip122:12a765e31ffd4059bada1e25190f6e98", None),
            ("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", None),
        ] {
            assert_eq!(text.parse::<ChainId>().unwrap().kind(), kind, "{text}");
        }
        for network in [Network::Bitcoin, Network::Testnet, Network::Signet, Network::Regtest] {
            assert_eq!(ChainId::bitcoin(network).unwrap().kind(), Some(ChainKind::Bitcoin(network)));
        }
    }

    #[test]
    fn a_hash_is_printed_as_its_chain_prints_it() {
        let hash = B256::repeat_byte(0xab);
        assert_eq!(ChainId::evm(1).hash(hash), format!("0x{}", "ab".repeat(32)));
        assert_eq!(ChainId::tron(728_126_428).hash(hash), "ab".repeat(32));
        assert_eq!(ChainId::bitcoin(Network::Bitcoin).unwrap().hash(hash), "ab".repeat(32));
    }

    #[test]
    fn a_number_has_one_spelling() {
        for text in ["eip155:01", "eip155:x", "tron:0728126428", "eip155:", ":1", "EIP155:1"] {
            assert!(text.parse::<ChainId>().is_err(), "{text}");
        }
    }
}
