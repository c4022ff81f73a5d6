//! Assets, as CAIP-19 names them, in one canonical spelling each.

use std::{fmt, str::FromStr};

use alloy_primitives::Address;

use crate::account::{parse_evm, parse_tron, spelled};
use crate::{ChainId, ChainKind, MalformedAccount};

/// An asset, as CAIP-19 names it: `eip155:1/slip44:60` (the chain's own coin) or `eip155:1/erc20:0x…`. Tron has no
/// profile in CAIP-19; its tokens are written `tron:728126428/trc20:T…`. The asset is the contract, never the symbol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset {
    chain: ChainId,
    kind: AssetKind,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum AssetKind {
    /// SLIP-44's coin type.
    Native {
        slip44: u32,
    },
    Token {
        contract: Address,
    },
}

impl ChainKind {
    /// SLIP-44's coin type of the chain's own coin; 60, ether's, for every EVM chain, and 1 for every test network of
    /// Bitcoin.
    fn slip44(self) -> u32 {
        match self {
            Self::Evm(_) => 60,
            Self::Tron => 195,
            Self::Bitcoin(bitcoin::Network::Bitcoin) => 0,
            Self::Bitcoin(_) => 1,
        }
    }

    /// The asset namespace of its tokens, where it has any.
    fn tokens(self) -> Option<&'static str> {
        match self {
            Self::Evm(_) => Some("erc20"),
            Self::Tron => Some("trc20"),
            Self::Bitcoin(_) => None,
        }
    }
}

impl Asset {
    /// The own coin of a chain; none where the chain's kind is not known.
    pub fn coin(chain: ChainId) -> Option<Self> {
        let slip44 = chain.kind()?.slip44();
        Some(Self { chain, kind: AssetKind::Native { slip44 } })
    }

    /// A token on an EVM chain or on Tron, by the bytes of its contract; none on chains without tokens.
    pub fn token(chain: ChainId, contract: Address) -> Option<Self> {
        chain.kind()?.tokens()?;
        Some(Self { chain, kind: AssetKind::Token { contract } })
    }

    /// The own coin of an EVM chain.
    pub fn evm_native(chain: ChainId) -> Self {
        Self { chain, kind: AssetKind::Native { slip44: ChainKind::Evm(0).slip44() } }
    }

    /// A token on an EVM chain.
    pub fn erc20(chain: ChainId, contract: Address) -> Self {
        Self { chain, kind: AssetKind::Token { contract } }
    }

    /// Its chain.
    pub fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// The token's contract; none for the chain's own coin.
    pub fn contract(&self) -> Option<Address> {
        match self.kind {
            AssetKind::Native { .. } => None,
            AssetKind::Token { contract } => Some(contract),
        }
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            AssetKind::Native { slip44 } => write!(f, "{}/slip44:{slip44}", self.chain),
            AssetKind::Token { contract } => {
                let namespace = self.chain.kind().and_then(ChainKind::tokens).unwrap_or("token");
                let contract = spelled(&self.chain, *contract).unwrap_or_default();
                write!(f, "{}/{namespace}:{contract}", self.chain)
            }
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
        let kind = chain.kind().ok_or(MalformedAccount::ChainNotSupported)?;
        let (namespace, reference) = asset.split_once(':').ok_or(FORM)?;
        let kind = match (namespace, kind) {
            ("slip44", kind) if kind.slip44().to_string() == reference => AssetKind::Native { slip44: kind.slip44() },
            ("erc20", ChainKind::Evm(_)) => AssetKind::Token { contract: parse_evm(reference)? },
            ("trc20", ChainKind::Tron) => AssetKind::Token { contract: parse_tron(reference)? },
            _ => return Err(FORM),
        };
        Ok(Self { chain, kind })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_asset_is_named_by_its_chain_and_contract() {
        for text in [
            "eip155:1/slip44:60",
            "eip155:56/slip44:60",
            "eip155:1/erc20:0xdAC17F958D2ee523a2206206994597C13D831ec7",
            "tron:728126428/slip44:195",
            "tron:728126428/trc20:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
            "bip122:000000000019d6689c085ae165831e93/slip44:0",
            "bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1",
        ] {
            assert_eq!(text.parse::<Asset>().unwrap().to_string(), text);
        }
        for text in [
            "eip155:1/slip44:0",
            "eip155:1/trc20:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
            "tron:728126428/erc20:0xdAC17F958D2ee523a2206206994597C13D831ec7",
            "bip122:000000000019d6689c085ae165831e93/slip44:1",
            "eip155:1/USDT",
        ] {
            assert!(matches!(text.parse::<Asset>(), Err(MalformedAccount::Form(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn assets_are_read_back_as_printed(bytes: [u8; 20], number in 1u64..1_000_000) {
            for chain in [ChainId::evm(number), ChainId::tron(number)] {
                let token = Asset::token(chain.clone(), Address::from(bytes)).unwrap();
                prop_assert_eq!(token.to_string().parse::<Asset>(), Ok(token));
                let coin = Asset::coin(chain).unwrap();
                prop_assert_eq!(coin.to_string().parse::<Asset>(), Ok(coin));
            }
        }

        #[test]
        fn no_text_makes_parsing_panic(text: String) {
            let _ = text.parse::<Asset>();
            let _ = format!("eip155:1/{text}").parse::<Asset>();
        }
    }
}
