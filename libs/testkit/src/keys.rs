//! Signing keys for development and tests.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use p256::elliptic_curve::rand_core::OsRng;

use crate::files;

/// A key and its public half.
#[derive(Clone)]
pub struct SigningKey {
    /// PKCS#8 PEM.
    pub private_pem: String,
    /// SubjectPublicKeyInfo PEM.
    pub public_pem: String,
}

impl SigningKey {
    /// A new Ed25519 key.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn ed25519() -> Result<Self> {
        let key = ed25519_dalek::SigningKey::generate(&mut OsRng);
        Ok(Self {
            // Without the optional public key (RFC 5958), which other tools refuse to read.
            private_pem: ed25519_dalek::pkcs8::KeypairBytes { secret_key: key.to_bytes(), public_key: None }
                .to_pkcs8_pem(LineEnding::LF)?
                .to_string(),
            public_pem: key.verifying_key().to_public_key_pem(LineEnding::LF)?,
        })
    }

    /// A new ECDSA P-256 key.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn p256() -> Result<Self> {
        let key = p256::SecretKey::random(&mut OsRng);
        Ok(Self {
            private_pem: key.to_pkcs8_pem(LineEnding::LF)?.to_string(),
            public_pem: key.public_key().to_public_key_pem(LineEnding::LF)?,
        })
    }

    /// Writes `<name>.pem` (readable by the owner only) and `<name>.pub.pem` into a folder that exists.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_to(&self, folder: &Path, name: &str) -> Result<()> {
        files::replace(&folder.join(format!("{name}.pem")), &self.private_pem, 0o600)?;
        files::replace(&folder.join(format!("{name}.pub.pem")), &self.public_pem, 0o644)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public_pem).finish()
    }
}
