//! What intake is told at its start.

use std::path::PathBuf;

use haetae_mesh::config::{Fault, Section};
use serde::{Deserialize, Serialize};

/// `[service]` of intake.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The legal rules, such as `legal-basis.toml`.
    pub rules: PathBuf,
    /// The registry of exchanges and keys.
    pub registry: PathBuf,
    /// Its keys.
    pub keys: Keys,
}

/// `[service.keys]`: PKCS #8 PEM files by purpose.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Signs authorisations.
    pub authorise: PathBuf,
}

impl Section for Config {
    fn faults(&self, at: &str) -> Vec<Fault> {
        [("rules", &self.rules), ("registry", &self.registry), ("keys.authorise", &self.keys.authorise)]
            .into_iter()
            .filter_map(|(key, file)| Fault::unreadable(format!("{at}.{key}"), file))
            .collect()
    }
}
