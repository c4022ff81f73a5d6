//! Chains, accounts and assets: CAIP-2, CAIP-10, CAIP-19, in one canonical spelling each.

use std::{fmt, str::FromStr};

use alloy_primitives::Address;
use thiserror::Error;

/// Why a text is not a chain, an account or an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MalformedAccount {
    /// Not of the form CAIP-2, CAIP-10 or CAIP-19 asks for.
    #[error("must have the form {0}")]
    Form(&'static str),
    /// A chain that no chain source reads yet.
    #[error("is on a chain whose addresses are not supported; supported: eip155")]
    ChainNotSupported,
    /// The address is not one of its chain.
    #[error("is not an address of its chain: 0x and 40 hexadecimal digits")]
    NotAnAddress,
    /// Mixed case that does not match the checksum (EIP-55): most likely mistyped.
    #[error("has a wrong checksum (EIP-55): at least one character is mistyped")]
    WrongChecksum,
}

/// A chain, as CAIP-2 names it: `eip155:1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(String);

impl ChainId {
    /// An EVM chain by its number (EIP-155).
    pub fn evm(number: u64) -> Self {
        Self(format!("eip155:{number}"))
    }

    /// The CAIP-2 text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The EIP-155 number, where it is an EVM chain.
    pub fn evm_number(&self) -> Option<u64> {
        self.0.strip_prefix("eip155:")?.parse().ok()
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
        if namespace == "eip155" && reference.parse::<u64>().ok().map(|n| n.to_string()).as_deref() != Some(reference) {
            return Err(FORM);
        }
        Ok(Self(text.to_owned()))
    }
}

/// An account on a chain, as CAIP-10 names it. The address has been checked and has its canonical
/// spelling (EIP-55 on EVM chains). `Debug` does not show the address: who is looked at is a secret.
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
        self.address.parse().ok()
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
        if chain.evm_number().is_none() {
            return Err(MalformedAccount::ChainNotSupported);
        }
        Ok(Self::evm(chain, parse_evm(address)?))
    }
}

/// EIP-55: one case throughout carries no checksum; mixed case must match it.
fn parse_evm(text: &str) -> Result<Address, MalformedAccount> {
    let digits = text.strip_prefix("0x").ok_or(MalformedAccount::NotAnAddress)?;
    if digits.len() != 40 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(MalformedAccount::NotAnAddress);
    }
    let address: Address = text.parse().map_err(|_| MalformedAccount::NotAnAddress)?;
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

/// An asset, as CAIP-19 names it: `eip155:1/slip44:60` (the chain's own coin) or `eip155:1/erc20:0x…`.
/// The asset is the contract, never the symbol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset {
    chain: ChainId,
    kind: AssetKind,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum AssetKind {
    Native { slip44: u32 },
    Erc20 { contract: Address },
}

/// SLIP-44 coin type of ether, used for the own coin of every EVM chain.
const ETHER: u32 = 60;

impl Asset {
    /// The own coin of an EVM chain.
    pub fn evm_native(chain: ChainId) -> Self {
        Self { chain, kind: AssetKind::Native { slip44: ETHER } }
    }

    /// A token on an EVM chain.
    pub fn erc20(chain: ChainId, contract: Address) -> Self {
        Self { chain, kind: AssetKind::Erc20 { contract } }
    }

    /// Its chain.
    pub fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// The token's contract; none for the chain's own coin.
    pub fn contract(&self) -> Option<Address> {
        match self.kind {
            AssetKind::Native { .. } => None,
            AssetKind::Erc20 { contract } => Some(contract),
        }
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            AssetKind::Native { slip44 } => write!(f, "{}/slip44:{slip44}", self.chain),
            AssetKind::Erc20 { contract } => write!(f, "{}/erc20:{}", self.chain, contract.to_checksum(None)),
        }
    }
}

impl FromStr for Asset {
    type Err = MalformedAccount;

    fn from_str(text: &str) -> Result<Self, MalformedAccount> {
        const FORM: MalformedAccount =
            MalformedAccount::Form("chain/erc20:contract or chain/slip44:60 (CAIP-19), such as eip155:1/erc20:0x…");
        let (chain, asset) = text.split_once('/').ok_or(FORM)?;
        let chain: ChainId = chain.parse().map_err(|_| FORM)?;
        if chain.evm_number().is_none() {
            return Err(MalformedAccount::ChainNotSupported);
        }
        match asset.split_once(':').ok_or(FORM)? {
            ("slip44", "60") => Ok(Self::evm_native(chain)),
            ("erc20", contract) => Ok(Self::erc20(chain, parse_evm(contract)?)),
            _ => Err(FORM),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        use MalformedAccount::{ChainNotSupported, NotAnAddress};
        for (text, reason) in [
            ("eip155:1:0x123", NotAnAddress),
            ("eip155:1:52908400098527886E0F7030069857D2E4169EE7aa", NotAnAddress),
            ("bip122:000000000019d6689c085ae165831e93:bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", ChainNotSupported),
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

    proptest! {
        #[test]
        fn accounts_and_assets_are_read_back_as_printed(bytes: [u8; 20], chain in 1u64..1_000_000) {
            let chain = ChainId::evm(chain);
            let account = Account::evm(chain.clone(), Address::from(bytes));
            prop_assert_eq!(account.to_string().parse::<Account>(), Ok(account));
            let token = Asset::erc20(chain.clone(), Address::from(bytes));
            prop_assert_eq!(token.to_string().parse::<Asset>(), Ok(token));
            let coin = Asset::evm_native(chain);
            prop_assert_eq!(coin.to_string().parse::<Asset>(), Ok(coin));
        }

        #[test]
        fn no_text_makes_parsing_panic(text: String) {
            let _ = text.parse::<Account>();
            let _ = text.parse::<Asset>();
            let _ = text.parse::<ChainId>();
        }
    }
}
