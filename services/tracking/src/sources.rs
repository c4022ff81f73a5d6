//! Which program reads a chain, by what kind of chain it is.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use haetae_core::{ChainId, ChainKind};

use crate::bitcoin::Bitcoin;
use crate::config::ChainConfig;
use crate::evm::{Evm, Nodes, Tron};
use crate::source::ChainSource;

/// The source of a chain.
///
/// # Errors
/// When its nodes cannot be called at all, or chains of its kind are not read.
pub(crate) fn open(chain: &ChainId, config: &ChainConfig) -> anyhow::Result<Arc<dyn ChainSource>> {
    let evm = || {
        let number = chain.node_number().with_context(|| format!("{chain} has no number"))?;
        let nodes = Nodes::new(number, &config.nodes, Duration::from_millis(config.block_time_ms))?;
        anyhow::Ok(Evm::new(chain.clone(), nodes))
    };
    match chain.kind() {
        Some(ChainKind::Evm(_)) => Ok(Arc::new(evm()?)),
        Some(ChainKind::Tron) => Ok(Arc::new(Tron::new(evm()?)?)),
        Some(ChainKind::Bitcoin(network)) => Ok(Arc::new(Bitcoin::new(&config.nodes, network)?)),
        None => bail!("chains such as {chain} are not read"),
    }
}
