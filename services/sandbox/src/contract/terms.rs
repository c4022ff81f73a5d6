//! What the exchange declares of itself.

use haetae_core::{Asset, ChainId};
use haetae_wire::exchange::v1;

/// What `Describe` says, as far as it does not follow from the rest.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) chains: Vec<ChainTerms>,
    /// Within what time a confirmation is answered.
    pub(crate) confirm_within: std::time::Duration,
    /// Within what time a freeze binds.
    pub(crate) freeze_within: std::time::Duration,
    pub(crate) hotline: v1::Hotline,
    pub(crate) max_message_bytes: u32,
    /// How far clocks may differ.
    pub(crate) clock_tolerance: time::Duration,
}

/// A chain on which deposits are taken.
#[derive(Clone, Debug)]
pub(crate) struct ChainTerms {
    pub(crate) chain: ChainId,
    pub(crate) confirmations: u32,
    pub(crate) assets: Vec<Asset>,
}

impl From<&ChainTerms> for v1::ChainSupport {
    fn from(terms: &ChainTerms) -> Self {
        Self {
            chain: terms.chain.to_string(),
            confirmations_before_credit: terms.confirmations,
            assets: terms.assets.iter().map(ToString::to_string).collect(),
        }
    }
}
