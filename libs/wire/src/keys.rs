//! The keys that are believed, each for one purpose only.

use std::{collections::HashMap, fmt};

use haetae_core::ExchangeId;
use haetae_seal::{checkpoint::LogVerifier, dsse::PublicKey};

use crate::registry::Registry;

/// What a key may sign. A key is pinned for exactly one purpose, so that a stolen one opens one door and no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Authorisations: intake.
    Authorise,
    /// Arrivals: tracking.
    Arrive,
    /// Freezes and releases: freeze.
    Freeze,
    /// Questions whether an address is held: tracking.
    Confirm,
    /// Requests for information: intake.
    Inform,
    /// Receipts and events of this exchange.
    Exchange(ExchangeId),
}

impl Purpose {
    /// The purposes of the mesh's own keys, by the names that the registry has for them.
    pub const AGENCY: [(&'static str, Self); 5] = [
        ("authorise", Self::Authorise),
        ("arrive", Self::Arrive),
        ("freeze", Self::Freeze),
        ("confirm", Self::Confirm),
        ("inform", Self::Inform),
    ];
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authorise => f.write_str("authorise"),
            Self::Arrive => f.write_str("arrive"),
            Self::Freeze => f.write_str("freeze"),
            Self::Confirm => f.write_str("confirm"),
            Self::Inform => f.write_str("inform"),
            Self::Exchange(exchange) => write!(f, "statements of {exchange}"),
        }
    }
}

/// A key that is pinned already, for this purpose or another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {key_id} is pinned already, for {purpose}")]
pub struct AlreadyPinned {
    /// The key.
    pub key_id: String,
    /// What it is pinned for.
    pub purpose: Purpose,
}

/// The pinned keys: those that sign messages, by purpose, and those that sign checkpoints, by service.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    keys: HashMap<String, (Purpose, PublicKey)>,
    logs: HashMap<String, LogVerifier>,
}

impl Keyring {
    /// No key is believed.
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys of a registry, which has been checked to pin each key once.
    pub fn from_registry(registry: &Registry) -> Self {
        registry.keyring().clone()
    }

    /// Pins a key for a purpose. Several keys may be pinned for one purpose, so that keys can be replaced.
    ///
    /// # Errors
    /// [`AlreadyPinned`], whatever the purpose: no key has two.
    pub fn pin(&mut self, purpose: Purpose, key: PublicKey) -> Result<(), AlreadyPinned> {
        let key_id = key.key_id();
        if let Some((purpose, _)) = self.keys.get(&key_id) {
            return Err(AlreadyPinned { key_id, purpose: purpose.clone() });
        }
        self.keys.insert(key_id, (purpose, key));
        Ok(())
    }

    /// Pins the key of a service's log, such as `freeze` or `connector/upbit`, instead of the one pinned before.
    pub fn pin_log(&mut self, service: impl Into<String>, verifier: LogVerifier) {
        self.logs.insert(service.into(), verifier);
    }

    /// The key of this id, where it is pinned for this purpose.
    pub fn key(&self, purpose: &Purpose, key_id: &str) -> Option<&PublicKey> {
        self.keys.get(key_id).filter(|(pinned, _)| pinned == purpose).map(|(_, key)| key)
    }

    /// What the key of this id is pinned for.
    pub fn purpose(&self, key_id: &str) -> Option<&Purpose> {
        self.keys.get(key_id).map(|(purpose, _)| purpose)
    }

    /// The key of a service's log.
    pub fn log(&self, service: &str) -> Option<&LogVerifier> {
        self.logs.get(service)
    }
}
