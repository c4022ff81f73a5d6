//! Who takes part, and which keys are believed: `exchanges.toml`, read by every service at its start.

mod file;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use haetae_core::{ChainId, ExchangeId, Violation};
use haetae_seal::checkpoint::LogVerifier;
use sha2::{Digest, Sha256};
use tonic::transport::Uri;

use crate::{exchange::v1::Hotline, keys::Keyring};

/// The exchanges and the pinned keys.
#[derive(Clone, Debug)]
pub struct Registry {
    /// SHA-256 over the file, so that a log can say which registry its service ran with.
    pub digest: [u8; 32],
    exchanges: BTreeMap<ExchangeId, Exchange>,
    keyring: Keyring,
}

/// An exchange, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its name in the mesh.
    pub id: ExchangeId,
    /// Its name for people.
    pub display_name: String,
    /// Where its service listens, in order of preference; `https` only.
    pub endpoints: Vec<Uri>,
    /// The DNS name in its certificate.
    pub server_name: String,
    /// PEM file of the authority that issued its certificate.
    pub ca: PathBuf,
    /// Within what time it answers a confirmation; after it the answer counts as UNAVAILABLE.
    pub confirm_within: Duration,
    /// Within what time a freeze is binding.
    pub freeze_within: Duration,
    /// The chains it takes deposits on.
    pub chains: Vec<ChainId>,
    /// Whom people call there when nothing else helps.
    pub hotline: Option<Hotline>,
}

/// Why a registry is not used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The file cannot be read.
    #[error("cannot read the registry {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not TOML, or a value has another type than is expected there.
    #[error("the registry is not well-formed: {0}")]
    Syntax(#[from] toml::de::Error),
    /// Its content is wrong; all faults.
    #[error("the registry has faults: {}", crate::signed::in_words(.0))]
    Faults(Vec<Violation>),
}

impl Registry {
    /// Reads the file. A relative path of a certificate authority is taken from the file's folder.
    ///
    /// # Errors
    /// [`RegistryError`]; all faults of the content at once.
    pub fn load(path: &Path) -> Result<Self, RegistryError> {
        let text =
            fs::read_to_string(path).map_err(|source| RegistryError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads the file's text. A relative path of a certificate authority is taken from `folder`.
    ///
    /// # Errors
    /// [`RegistryError::Syntax`] or [`RegistryError::Faults`].
    pub fn parse(text: &str, folder: &Path) -> Result<Self, RegistryError> {
        let (exchanges, keyring) = file::read(text, folder)?;
        Ok(Self { digest: Sha256::digest(text).into(), exchanges, keyring })
    }

    /// The exchange of this name.
    pub fn exchange(&self, id: &ExchangeId) -> Option<&Exchange> {
        self.exchanges.get(id)
    }

    /// All exchanges, by name.
    pub fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.values()
    }

    /// The pinned key of a service's log, such as `freeze` or `connector/upbit`.
    pub fn log_verifier(&self, service: &str) -> Option<&LogVerifier> {
        self.keyring.log(service)
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }
}
