//! Accounts, as CAIP-10 names them, in one canonical spelling each.

use std::{fmt, str::FromStr};

use alloy_primitives::Address;
use bitcoin::{Network, Script, ScriptBuf, address::NetworkUnchecked, base58, bech32};
use thiserror::Error;

use crate::{ChainId, ChainKind};

/// Why a text is not a chain, an account or an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MalformedAccount {
    /// Not of the form CAIP-2, CAIP-10 or CAIP-19 asks for.
    #[error("must have the form {0}")]
    Form(&'static str),
    /// A chain whose addresses are not known here.
    #[error("is on a chain whose addresses are not supported; supported: eip155, tron and bip122 (Bitcoin)")]
    ChainNotSupported,
    /// The address is not one of its chain.
    #[error("is not an address of its chain: {0}")]
    NotAnAddress(&'static str),
    /// The address is one of another network of the same kind.
    #[error("is an address of another network than its chain")]
    OtherNetwork,
    /// The address does not match its own checksum (EIP-55, base58check, BIP-173, BIP-350): most likely mistyped.
    #[error("has a wrong checksum: at least one character is mistyped")]
    WrongChecksum,
}

const EVM_FORM: MalformedAccount = MalformedAccount::NotAnAddress("0x and 40 hexadecimal digits");
const TRON_FORM: MalformedAccount = MalformedAccount::NotAnAddress("34 characters beginning with T");
const BITCOIN_FORM: MalformedAccount = MalformedAccount::NotAnAddress("P2PKH, P2SH or SegWit (bc1…)");

/// What comes before the 20 bytes in a Tron address.
const TRON_PREFIX: u8 = 0x41;

/// An account on a chain, as CAIP-10 names it. The address has been checked and has its canonical
/// spelling: EIP-55 on EVM chains, base58check on Tron, on Bitcoin base58check or lower-case bech32.
/// `Debug` does not show the address: who is looked at is a secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    chain: ChainId,
    address: String,
}

impl Account {
    /// An account on an EVM chain.
    pub fn evm(chain: ChainId, address: Address) -> Self {
        Self { chain, address: address.to_checksum(None) }
    }

    /// The account that an Ethereum-style node knows by these 20 bytes, on an EVM chain or on Tron; none on others.
    pub fn of_bytes(chain: ChainId, address: Address) -> Option<Self> {
        let text = spelled(&chain, address)?;
        Some(Self { chain, address: text })
    }

    /// The account on Bitcoin that this script pays; none for scripts that have no address, and on other chains.
    pub fn of_script(chain: ChainId, script: &Script) -> Option<Self> {
        let Some(ChainKind::Bitcoin(network)) = chain.kind() else { return None };
        let address = bitcoin::Address::from_script(script, network).ok()?.to_string();
        Some(Self { chain, address })
    }

    /// Its chain.
    pub fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// The address alone, as its chain spells it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The 20 bytes, where it is on an EVM chain.
    pub fn evm_address(&self) -> Option<Address> {
        self.chain.evm_number()?;
        self.bytes()
    }

    /// The 20 bytes by which an Ethereum-style node knows it, on an EVM chain or on Tron; none on others.
    pub fn bytes(&self) -> Option<Address> {
        match self.chain.kind()? {
            ChainKind::Evm(_) => self.address.parse().ok(),
            ChainKind::Tron => parse_tron(&self.address).ok(),
            ChainKind::Bitcoin(_) => None,
        }
    }

    /// The script that pays it, where it is on Bitcoin.
    pub fn script(&self) -> Option<ScriptBuf> {
        let ChainKind::Bitcoin(_) = self.chain.kind()? else { return None };
        let address: bitcoin::Address<NetworkUnchecked> = self.address.parse().ok()?;
        Some(address.assume_checked().script_pubkey())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.chain, self.address)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}:…)", self.chain)
    }
}

impl FromStr for Account {
    type Err = MalformedAccount;

    fn from_str(text: &str) -> Result<Self, MalformedAccount> {
        const FORM: MalformedAccount = MalformedAccount::Form("chain:address (CAIP-10), such as eip155:1:0x…");
        let (chain, address) = text.rsplit_once(':').ok_or(FORM)?;
        let chain: ChainId = chain.parse().map_err(|_| FORM)?;
        let address = match chain.kind().ok_or(MalformedAccount::ChainNotSupported)? {
            ChainKind::Evm(_) => parse_evm(address)?.to_checksum(None),
            ChainKind::Tron => tron(parse_tron(address)?),
            ChainKind::Bitcoin(network) => parse_bitcoin(address, network)?,
        };
        Ok(Self { chain, address })
    }
}

/// The 20 bytes as the chain's own addresses spell them.
pub(crate) fn spelled(chain: &ChainId, address: Address) -> Option<String> {
    match chain.kind()? {
        ChainKind::Evm(_) => Some(address.to_checksum(None)),
        ChainKind::Tron => Some(tron(address)),
        ChainKind::Bitcoin(_) => None,
    }
}

fn tron(address: Address) -> String {
    let mut bytes = [TRON_PREFIX; 21];
    bytes[1..].copy_from_slice(address.as_slice());
    base58::encode_check(&bytes)
}

/// Base58check of 0x41 and 20 bytes, as Tron's wallets print it.
pub(crate) fn parse_tron(text: &str) -> Result<Address, MalformedAccount> {
    let bytes = base58::decode_check(text).map_err(|error| match error {
        base58::Error::IncorrectChecksum(_) => MalformedAccount::WrongChecksum,
        _ => TRON_FORM,
    })?;
    match bytes.split_first() {
        Some((&TRON_PREFIX, address)) if address.len() == 20 => Ok(Address::from_slice(address)),
        _ => Err(TRON_FORM),
    }
}

/// The canonical spelling of a Bitcoin address: P2PKH, P2SH, SegWit v0 (BIP-173) and later versions (BIP-350).
fn parse_bitcoin(text: &str, network: Network) -> Result<String, MalformedAccount> {
    use bech32::primitives::decode::SegwitHrpstringError::Checksum;
    use bitcoin::address::ParseError::Base58;

    let address: bitcoin::Address<NetworkUnchecked> = text.parse().map_err(|error| {
        let segwit = bech32::segwit::decode(text).is_err_and(|error| matches!(error.0, Checksum(_)));
        let mistyped = segwit || matches!(error, Base58(base58::Error::IncorrectChecksum(_)));
        if mistyped { MalformedAccount::WrongChecksum } else { BITCOIN_FORM }
    })?;
    Ok(address.require_network(network).map_err(|_| MalformedAccount::OtherNetwork)?.to_string())
}

/// EIP-55: one case throughout carries no checksum; mixed case must match it.
pub(crate) fn parse_evm(text: &str) -> Result<Address, MalformedAccount> {
    let digits = text.strip_prefix("0x").ok_or(EVM_FORM)?;
    if digits.len() != 40 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(EVM_FORM);
    }
    let address: Address = text.parse().map_err(|_| EVM_FORM)?;
    let one_case = !digits.bytes().any(|b| b.is_ascii_uppercase()) || !digits.bytes().any(|b| b.is_ascii_lowercase());
    if one_case || address.to_checksum(None) == text { Ok(address) } else { Err(MalformedAccount::WrongChecksum) }
}

/// An account, and the memo that tells customers apart where several share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The account.
    pub account: Account,
    /// Memo or tag; none for most.
    pub memo: Option<String>,
}

impl Target {
    /// A target without a memo.
    pub fn account(account: Account) -> Self {
        Self { account, memo: None }
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash as _;
    use proptest::prelude::*;

    use super::*;

    // The addresses of EIP-55's own test cases.
    const EIP55: [&str; 8] = [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn the_checksums_that_eip_55_publishes_are_accepted() {
        for address in EIP55 {
            let account: Account = format!("eip155:1:{address}").parse().unwrap();
            assert_eq!(account.to_string(), format!("eip155:1:{address}"));
        }
    }

    #[test]
    fn one_mistyped_character_is_noticed() {
        let wrong = EIP55[4].replacen('A', "a", 1);
        assert_eq!(format!("eip155:1:{wrong}").parse::<Account>(), Err(MalformedAccount::WrongChecksum));
    }

    #[test]
    fn lower_case_is_accepted_and_made_canonical() {
        let account: Account = format!("eip155:1:{}", EIP55[4].to_lowercase()).parse().unwrap();
        assert_eq!(account.address(), EIP55[4]);
    }

    #[test]
    fn malformed_accounts_are_refused_with_their_reason() {
        use MalformedAccount::{ChainNotSupported, OtherNetwork, WrongChecksum};
        for (text, reason) in [
            ("eip155:1:0x123", EVM_FORM),
            ("eip155:1:52908400098527886E0F7030069857D2E4169EE7aa", EVM_FORM),
            ("tron:728126428:0x52908400098527886E0F7030069857D2E4169EE7", TRON_FORM),
            ("tron:728126428:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6u", WrongChecksum),
            ("tron:728126428:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", TRON_FORM),
            ("bip122:000000000019d6689c085ae165831e93:bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdr", WrongChecksum),
            ("bip122:000000000019d6689c085ae165831e93:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", WrongChecksum),
            ("bip122:000000000019d6689c085ae165831e93:0x52908400098527886E0F7030069857D2E4169EE7", BITCOIN_FORM),
            ("bip122:000000000019d6689c085ae165831e93:bcrt1q6rz28mcfaxtmd6v789l9rrlrusdprr9pz3cppk", OtherNetwork),
            ("bip122:0f9188f13cb7b2c71f2a335e3a4fc328:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", OtherNetwork),
            ("bip122:12a765e31ffd4059bada1e25190f6e98:LdP8Qox1VAhCzLJNqrr74YovaWYyNBUWvL", ChainNotSupported),
            ("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:abc", ChainNotSupported),
        ] {
            assert_eq!(text.parse::<Account>(), Err(reason), "{text}");
        }
        for text in
            ["", "0x52908400098527886E0F7030069857D2E4169EE7", "eip155:01:0x52908400098527886E0F7030069857D2E4169EE7"]
        {
            assert!(matches!(text.parse::<Account>(), Err(MalformedAccount::Form(_))), "{text}");
        }
    }

    #[test]
    fn debug_does_not_show_the_address() {
        let account: Account = format!("eip155:1:{}", EIP55[0]).parse().unwrap();
        assert!(!format!("{account:?}").contains("5290"));
    }

    /// USDT's contract, as Tron's wallets print it and as its event logs carry it.
    #[test]
    fn a_tron_address_is_base58check_of_the_bytes_that_its_logs_carry() {
        let account: Account = "tron:728126428:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t".parse().unwrap();
        let bytes: Address = "0xa614f803b6fd780986a42c78ec9c7f77e6ded13c".parse().unwrap();
        assert_eq!(account.bytes(), Some(bytes));
        assert_eq!(Account::of_bytes(ChainId::tron(728_126_428), bytes), Some(account.clone()));
        assert_eq!((account.evm_address(), account.script()), (None, None));
    }

    /// From BIP-173's and BIP-350's lists of valid addresses with their scripts, and of invalid ones.
    #[test]
    fn bitcoin_addresses_are_read_to_the_scripts_that_bip_173_and_bip_350_publish() {
        let main = ChainId::bitcoin(Network::Bitcoin).unwrap();
        for (address, script) in [
            ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
            (
                "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
                "5128751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6",
            ),
            ("BC1SW50QGDZ25J", "6002751e"),
            ("bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "5210751e76e8199196d454941c45d1b3a323"),
            (
                "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
                "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            ),
            ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"),
            ("3P14159f73E4gFr7JterCCQh9QjiTjiZrG", "a914e9c3dd0c07aac76179ebc76a6c78d4d67c6c160a87"),
        ] {
            let account: Account = format!("{main}:{address}").parse().unwrap();
            let script: ScriptBuf = ScriptBuf::from_hex(script).unwrap();
            assert_eq!(account.script().as_ref(), Some(&script), "{address}");
            assert_eq!(Account::of_script(main.clone(), &script), Some(account), "{address}");
        }
        for address in [
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
            "BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh",
            "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
            "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
            "bc1pw5dgrnzv",
            "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
            "bc1gmk9yu",
        ] {
            assert!(format!("{main}:{address}").parse::<Account>().is_err(), "{address}");
        }
    }

    proptest! {
        #[test]
        fn accounts_are_read_back_as_printed(bytes: [u8; 20], key: [u8; 32], chain in 1u64..1_000_000) {
            for chain in [ChainId::evm(chain), ChainId::tron(chain)] {
                let account = Account::of_bytes(chain, Address::from(bytes)).unwrap();
                prop_assert_eq!(account.bytes(), Some(Address::from(bytes)));
                prop_assert_eq!(account.to_string().parse::<Account>(), Ok(account));
            }
            let scripts = [
                ScriptBuf::new_p2pkh(&bitcoin::PubkeyHash::from_byte_array(bytes)),
                ScriptBuf::new_p2sh(&bitcoin::ScriptHash::from_byte_array(bytes)),
                ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array(bytes)),
                ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::from_byte_array(key)),
            ];
            for network in [Network::Bitcoin, Network::Regtest] {
                for script in &scripts {
                    let account = Account::of_script(ChainId::bitcoin(network).unwrap(), script).unwrap();
                    prop_assert_eq!(account.script(), Some(script.clone()));
                    prop_assert_eq!(account.to_string().parse::<Account>(), Ok(account));
                }
            }
        }

        #[test]
        fn no_text_makes_parsing_panic(text: String) {
            let _ = text.parse::<Account>();
            for chain in ["eip155:1", "tron:728126428", "bip122:000000000019d6689c085ae165831e93"] {
                let _ = format!("{chain}:{text}").parse::<Account>();
            }
        }
    }
}
