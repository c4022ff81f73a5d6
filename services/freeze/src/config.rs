//! What freeze is told at its start.

use std::path::PathBuf;

use haetae_mesh::config::{Fault, Section};
use serde::{Deserialize, Serialize};
use time::Duration;

use crate::leg::Pace;

/// `[service]` of freeze.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The registry of exchanges and keys.
    pub registry: PathBuf,
    /// Keys it signs with.
    pub keys: Keys,
    /// How long an exchange may take an order in, in seconds; past it the order is signed anew under the next revision.
    #[serde(default = "order_valid_for_seconds")]
    pub order_valid_for_seconds: u32,
    /// A release that was refused, and a freeze that was refused for now or answered so that it cannot be verified, is ordered
    /// again after this time, in seconds; it doubles from there.
    #[serde(default = "chase_first_seconds")]
    pub chase_first_seconds: u32,
    /// The longest such time, in seconds.
    #[serde(default = "chase_most_seconds")]
    pub chase_most_seconds: u32,
}

/// `[service.keys]`: signing keys by purpose, PKCS #8 PEM.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Freezes and releases.
    pub freeze: PathBuf,
}

fn order_valid_for_seconds() -> u32 {
    600
}

fn chase_first_seconds() -> u32 {
    30
}

fn chase_most_seconds() -> u32 {
    3_600
}

impl Config {
    /// How long an exchange may take an order in.
    pub fn order_valid_for(&self) -> Duration {
        Duration::seconds(self.order_valid_for_seconds.into())
    }

    /// How releases are chased.
    pub fn pace(&self) -> Pace {
        Pace {
            first: Duration::seconds(self.chase_first_seconds.into()),
            most: Duration::seconds(self.chase_most_seconds.into()),
        }
    }
}

impl Section for Config {
    fn faults(&self, at: &str) -> Vec<Fault> {
        let files = [("registry", &self.registry), ("keys.freeze", &self.keys.freeze)];
        let mut faults: Vec<Fault> =
            files.into_iter().flat_map(|(key, file)| Fault::unreadable(format!("{at}.{key}"), file)).collect();
        for (key, seconds) in [
            ("order_valid_for_seconds", self.order_valid_for_seconds),
            ("chase_first_seconds", self.chase_first_seconds),
        ] {
            if seconds == 0 {
                faults.push(Fault::new(format!("{at}.{key}"), "must be at least 1"));
            }
        }
        if self.chase_most_seconds < self.chase_first_seconds {
            faults.push(Fault::new(format!("{at}.chase_most_seconds"), "must not be less than chase_first_seconds"));
        }
        faults
    }
}
