//! The keys that sign and check envelopes.

use std::fmt;

use ed25519_dalek::Signer as _;
use p256::ecdsa;
use p256::ecdsa::signature::Verifier as _;
use p256::elliptic_curve::rand_core::OsRng;
use p256::pkcs8::spki::der::Decode;
use p256::pkcs8::spki::der::pem::LineEnding;
use p256::pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use p256::pkcs8::{Document, EncodePrivateKey, EncodePublicKey, ObjectIdentifier, PrivateKeyInfo, SecretDocument};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::ed25519;

/// id-Ed25519 (RFC 8410).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// id-ecPublicKey (RFC 5480); which curve is in its parameters.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// secp256r1 (RFC 5480), the only curve known here.
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// How a signature is made. Named in every signature and compared with the pinned key, so that no key is ever used
/// with an algorithm that it was not made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032), checked strictly: no small-order keys, no malleable signatures.
    Ed25519,
    /// ECDSA over NIST P-256 with SHA-256, signatures as 64 bytes r ‖ s.
    EcdsaP256Sha256,
}

impl Algorithm {
    fn of(identifier: AlgorithmIdentifierRef<'_>) -> Result<Self, KeyError> {
        if identifier.oid == ED25519 {
            Ok(Self::Ed25519)
        } else if identifier.oid == EC_PUBLIC_KEY && identifier.parameters_oid() == Ok(P256) {
            Ok(Self::EcdsaP256Sha256)
        } else {
            Err(KeyError::UnsupportedAlgorithm)
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "Ed25519",
            Self::EcdsaP256Sha256 => "ECDSA P-256 SHA-256",
        })
    }
}

/// Why a file holds no key that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PEM, or PEM of something else; the label expected is named.
    #[error("not a PEM file of a {0}")]
    NotPem(&'static str),
    /// The DER inside is not the structure that it should be.
    #[error("not a well-formed {0}")]
    Malformed(&'static str),
    /// Neither Ed25519 nor ECDSA on P-256.
    #[error("the key is neither Ed25519 nor ECDSA P-256")]
    UnsupportedAlgorithm,
    /// The bytes are no key of that algorithm, or one under which signatures prove nothing.
    #[error("the key is not a valid {0} key")]
    Invalid(Algorithm),
}

const PUBLIC: &str = "PUBLIC KEY";
const PRIVATE: &str = "PRIVATE KEY";

/// A key that checks signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Public);

#[derive(Clone, PartialEq, Eq)]
enum Public {
    Ed25519(ed25519_dalek::VerifyingKey),
    EcdsaP256(ecdsa::VerifyingKey),
}

impl PublicKey {
    /// Reads a `PUBLIC KEY` PEM (SubjectPublicKeyInfo, RFC 5280).
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_spki_pem(pem: &str) -> Result<Self, KeyError> {
        match Document::from_pem(pem) {
            Ok((PUBLIC, document)) => Self::from_spki_der(document.as_bytes()),
            _ => Err(KeyError::NotPem(PUBLIC)),
        }
    }

    /// Reads a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed("SubjectPublicKeyInfo"))?;
        let algorithm = Algorithm::of(info.algorithm)?;
        let public = match algorithm {
            Algorithm::Ed25519 => ed25519_dalek::VerifyingKey::try_from(info)
                .ok()
                .and_then(|key| ed25519::public_key(key.as_bytes()))
                .map(Public::Ed25519),
            Algorithm::EcdsaP256Sha256 => ecdsa::VerifyingKey::try_from(info).ok().map(Public::EcdsaP256),
        };
        public.map(Self).ok_or(KeyError::Invalid(algorithm))
    }

    /// Writes a `PUBLIC KEY` PEM.
    #[must_use]
    pub fn to_spki_pem(&self) -> String {
        #[expect(clippy::expect_used, reason = "a SubjectPublicKeyInfo of fixed size always has a PEM form")]
        self.spki().to_pem(PUBLIC, LineEnding::LF).expect("a public key has a PEM form")
    }

    /// The SubjectPublicKeyInfo in DER; P-256 points are uncompressed, however they were read.
    #[must_use]
    pub fn to_spki_der(&self) -> Vec<u8> {
        self.spki().into_vec()
    }

    fn spki(&self) -> Document {
        #[expect(clippy::expect_used, reason = "a structure of fixed size always has a DER encoding")]
        match &self.0 {
            Public::Ed25519(key) => key.to_public_key_der(),
            Public::EcdsaP256(key) => key.to_public_key_der(),
        }
        .expect("a public key has a DER encoding")
    }

    /// The key's name in signatures: the first 16 bytes of SHA-256 over [`PublicKey::to_spki_der`], in lower-case hex.
    #[must_use]
    pub fn key_id(&self) -> String {
        hex::encode(&Sha256::digest(self.spki().as_bytes())[..16])
    }

    /// The only algorithm this key is used with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Public::Ed25519(_) => Algorithm::Ed25519,
            Public::EcdsaP256(_) => Algorithm::EcdsaP256Sha256,
        }
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Public::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .and_then(|signature| key.verify_strict(message, &signature))
                .is_ok(),
            Public::EcdsaP256(key) => {
                ecdsa::Signature::from_slice(signature).and_then(|signature| key.verify(message, &signature)).is_ok()
            }
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm(), self.key_id())
    }
}

/// A key that makes signatures. Its memory is wiped when it is dropped.
pub struct SigningKey(Secret);

enum Secret {
    // Boxed, so that moving the key leaves no copies behind.
    Ed25519(Box<ed25519_dalek::SigningKey>),
    EcdsaP256(Box<ecdsa::SigningKey>),
}

impl SigningKey {
    /// A new key from the operating system's randomness.
    #[must_use]
    pub fn generate(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Ed25519 => Secret::Ed25519(Box::new(ed25519::generate())),
            Algorithm::EcdsaP256Sha256 => Secret::EcdsaP256(Box::new(ecdsa::SigningKey::random(&mut OsRng))),
        })
    }

    /// Reads an unencrypted `PRIVATE KEY` PEM (PKCS#8, RFC 5958); the algorithm is the one it names.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        let Ok((PRIVATE, document)) = SecretDocument::from_pem(pem) else {
            return Err(KeyError::NotPem(PRIVATE));
        };
        let info =
            PrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| KeyError::Malformed("PKCS#8 private key"))?;
        let algorithm = Algorithm::of(info.algorithm)?;
        let secret = match algorithm {
            Algorithm::Ed25519 => {
                ed25519_dalek::SigningKey::try_from(info).ok().map(|key| Secret::Ed25519(Box::new(key)))
            }
            Algorithm::EcdsaP256Sha256 => {
                ecdsa::SigningKey::try_from(info).ok().map(|key| Secret::EcdsaP256(Box::new(key)))
            }
        };
        secret.map(Self).ok_or(KeyError::Invalid(algorithm))
    }

    /// Writes the key as unencrypted `PRIVATE KEY` PEM.
    #[must_use]
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        match &self.0 {
            Secret::Ed25519(key) => ed25519::to_pkcs8_pem(key),
            Secret::EcdsaP256(key) =>
            {
                #[expect(clippy::expect_used, reason = "a structure of fixed size always has a DER encoding")]
                key.to_pkcs8_pem(LineEnding::LF).expect("a P-256 key encodes")
            }
        }
    }

    /// The key that checks this key's signatures.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(match &self.0 {
            Secret::Ed25519(key) => Public::Ed25519(key.verifying_key()),
            Secret::EcdsaP256(key) => Public::EcdsaP256(*key.verifying_key()),
        })
    }

    /// The algorithm of this key's signatures.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Secret::Ed25519(_) => Algorithm::Ed25519,
            Secret::EcdsaP256(_) => Algorithm::EcdsaP256Sha256,
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        match &self.0 {
            Secret::Ed25519(key) => key.sign(message).to_bytes(),
            Secret::EcdsaP256(key) => {
                let signature: ecdsa::Signature = key.sign(message);
                signature.to_bytes().into()
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, hidden)", self.algorithm())
    }
}
