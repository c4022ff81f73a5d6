//! What a label on an address means here: which account it is about, how much its source is worth, and whether money
//! that goes into the account can be followed out of it. A label is a hint, never a holder's word.

use std::{fmt, str::FromStr};

use bitcoin::Network;
use thiserror::Error;

use crate::{Account, ChainId, MalformedAccount};

/// Tron's main network.
const TRON: u64 = 728_126_428;

/// A kind of service that money goes into and comes out of elsewhere, so that a trail ends at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Crossing {
    /// It mixes the money of many.
    Mixer,
    /// It pays out on another chain.
    Bridge,
    /// It hides who takes out what.
    PrivacyPool,
}

/// A text that names no crossing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is none of mixer, bridge, privacy-pool")]
pub struct UnknownCrossing;

impl Crossing {
    /// What the concepts of a label say: those of the INTERPOL dark web and virtual assets taxonomy, and names in use
    /// beside it, in any spelling. That somebody *uses* a mixer (`mixing`) makes no mixer of the address. The narrower
    /// concept comes first.
    pub fn of<'a>(concepts: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        concepts.into_iter().filter_map(Self::named).max()
    }

    fn named(concept: &str) -> Option<Self> {
        match concept.trim().to_ascii_lowercase().replace([' ', '-'], "_").as_str() {
            "mixing_service" | "mixer" | "tumbler" | "coinjoin" => Some(Self::Mixer),
            "defi_bridge" | "bridge" | "cross_chain_bridge" => Some(Self::Bridge),
            "privacy_pool" | "privacy_pools" | "shielded_pool" | "privacy_protocol" => Some(Self::PrivacyPool),
            _ => None,
        }
    }

    /// Its name in tables and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mixer => "mixer",
            Self::Bridge => "bridge",
            Self::PrivacyPool => "privacy-pool",
        }
    }
}

impl fmt::Display for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Crossing {
    type Err = UnknownCrossing;

    fn from_str(text: &str) -> Result<Self, UnknownCrossing> {
        [Self::Mixer, Self::Bridge, Self::PrivacyPool].into_iter().find(|one| one.name() == text).ok_or(UnknownCrossing)
    }
}

/// Names of confidence and what each is worth, as the TagPack tool's table ranks them.
const CONFIDENCE: [(&str, u8); 12] = [
    ("override", 100),
    ("ownership", 100),
    ("manual_transaction", 90),
    ("service_api", 70),
    ("authority_data", 60),
    ("trusted_provider", 50),
    ("service_data", 50),
    ("forensic", 50),
    ("untrusted_transaction", 40),
    ("web_crawl", 20),
    ("heuristic", 10),
    ("unknown", UNKNOWN),
];
const UNKNOWN: u8 = 5;

/// How much a source is worth, from 0 to 100. A name that the table does not have, and none, are worth as much as
/// `unknown`.
pub fn confidence(name: &str) -> u8 {
    CONFIDENCE.iter().find(|(known, _)| *known == name.trim()).map_or(UNKNOWN, |(_, worth)| *worth)
}

/// Whether the table of confidence has this name.
pub fn is_confidence(name: &str) -> bool {
    CONFIDENCE.iter().any(|(known, _)| *known == name.trim())
}

/// The chain that a label is about, where it is one whose addresses are known here. The network says so; where it is not
/// named, the currency does, if it is a chain's own coin.
pub fn labelled_chain(currency: &str, network: &str) -> Option<ChainId> {
    let named = if network.trim().is_empty() { currency.trim() } else { network.trim() };
    match named.to_ascii_uppercase().as_str() {
        "BTC" => ChainId::bitcoin(Network::Bitcoin),
        "ETH" => Some(ChainId::evm(1)),
        "BSC" | "BNB" => Some(ChainId::evm(56)),
        "MATIC" | "POL" | "POLYGON" => Some(ChainId::evm(137)),
        "TRX" | "TRON" => Some(ChainId::tron(TRON)),
        _ => named.parse().ok().filter(|chain: &ChainId| chain.kind().is_some()),
    }
}

/// The account that a label is about; none where its chain is not known here.
///
/// # Errors
/// When the address is not one of its chain.
pub fn labelled_account(address: &str, currency: &str, network: &str) -> Result<Option<Account>, MalformedAccount> {
    let Some(chain) = labelled_chain(currency, network) else { return Ok(None) };
    // Packs shout now and then; what a checksum in mixed case would say is lost in them anyway.
    let lowered;
    let address = match address.trim().strip_prefix("0X") {
        Some(digits) => {
            lowered = format!("0x{}", digits.to_ascii_lowercase());
            lowered.as_str()
        }
        None => address.trim(),
    };
    format!("{chain}:{address}").parse().map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_ends_a_trail_is_said_by_concepts_in_any_spelling() {
        for (concepts, crossing) in [
            (vec!["exchange", "mixing_service"], Some(Crossing::Mixer)),
            (vec!["Mixing Service"], Some(Crossing::Mixer)),
            (vec!["coinjoin"], Some(Crossing::Mixer)),
            (vec!["defi", "defi_bridge"], Some(Crossing::Bridge)),
            (vec!["mixer", "Privacy-Pool"], Some(Crossing::PrivacyPool)),
            (vec!["mixing"], None),
            (vec!["exchange", "", "user"], None),
        ] {
            assert_eq!(Crossing::of(concepts.iter().copied()), crossing, "{concepts:?}");
        }
    }

    #[test]
    fn an_unknown_or_missing_confidence_is_worth_little() {
        assert_eq!((confidence("ownership"), confidence("web_crawl")), (100, 20));
        assert_eq!((confidence("hearsay"), confidence("")), (UNKNOWN, UNKNOWN));
    }

    #[test]
    fn the_network_says_which_chain_before_the_currency_does() {
        let chain = |currency, network| labelled_chain(currency, network).map(|chain| chain.to_string());
        assert_eq!(chain("BTC", "").as_deref(), Some("bip122:000000000019d6689c085ae165831e93"));
        assert_eq!(chain("USDT", "TRX").as_deref(), Some("tron:728126428"));
        assert_eq!(chain("usdt", "eip155:31337").as_deref(), Some("eip155:31337"));
        assert_eq!(chain("eth", " "), chain("USDC", "ETH"));
        assert_eq!((chain("XMR", ""), chain("USDT", ""), chain("", "")), (None, None, None));
    }

    #[test]
    fn an_address_is_read_as_its_chain_spells_it_and_one_that_is_none_is_refused() {
        let read = |address, currency| labelled_account(address, currency, "");
        let account = read("0x098b716b8aaf21512996dc57eb0615e2383e2f96", "ETH").unwrap().unwrap();
        assert_eq!(account.to_string(), "eip155:1:0x098B716B8Aaf21512996dC57EB0615e2383E2f96");
        assert!(read("0X098B716B8AAF21512996DC57EB0615E2383E2F96", "ETH").unwrap().is_some());
        assert_eq!(read("12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h", "XMR").unwrap(), None);
        assert!(read("3E6rY4dSCDW6y2bzJNwrjvTtdmMQjB6yeg", "BTC").is_err());
        assert!(read("0x12", "ETH").is_err());
    }

    proptest! {
        #[test]
        fn no_label_makes_reading_panic(address: String, currency: String, network: String) {
            let _ = labelled_account(&address, &currency, &network);
            let _ = Crossing::of([address.as_str(), network.as_str()]);
            let _ = confidence(&currency);
        }
    }
}
