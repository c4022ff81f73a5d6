//! The keys of a log.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::CheckpointError;
use crate::ed25519;

/// Signature type of Ed25519 in a signed note.
const ED25519: u8 = 0x01;

/// The first bytes of the hash of a key and its name, by which a signature line finds its key.
pub(super) type NoteKeyId = [u8; 4];

/// The Ed25519 key with which a log signs its checkpoints. It carries no name: the origin is part of the checkpoint.
pub struct LogKey(SigningKey);

impl LogKey {
    /// A new key from the operating system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self(ed25519::generate())
    }

    /// Reads an unencrypted PKCS#8 PEM (RFC 5958, RFC 8410).
    ///
    /// # Errors
    ///
    /// [`CheckpointError::BadKey`].
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, CheckpointError> {
        SigningKey::from_pkcs8_pem(pem)
            .map(Self)
            .map_err(|_| CheckpointError::BadKey("not an Ed25519 key in PKCS#8 PEM"))
    }

    /// Writes the key as unencrypted PKCS#8 PEM.
    #[must_use]
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        ed25519::to_pkcs8_pem(&self.0)
    }

    /// What others need to check the checkpoints of the log of this origin.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::BadOrigin`] if the origin cannot name a log.
    pub fn verifier(&self, origin: &str) -> Result<LogVerifier, CheckpointError> {
        LogVerifier::new(origin, self.0.verifying_key())
    }

    pub(super) fn sign(&self, text: &str) -> [u8; 64] {
        self.0.sign(text.as_bytes()).to_bytes()
    }

    #[cfg(test)]
    pub(super) fn from_seed_for_tests(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogKey(hidden)")
    }
}

/// A log's origin and public key. As text it is a C2SP verifier key: `origin+hex(key id)+base64(0x01 ‖ key)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogVerifier {
    origin: String,
    key_id: NoteKeyId,
    key: VerifyingKey,
}

impl LogVerifier {
    fn new(origin: &str, key: VerifyingKey) -> Result<Self, CheckpointError> {
        let unfit = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if origin.is_empty() || origin.contains(unfit) {
            return Err(CheckpointError::BadOrigin);
        }
        let [a, b, c, d, ..] = <[u8; 32]>::from(
            Sha256::new().chain_update(origin).chain_update([b'\n', ED25519]).chain_update(key.as_bytes()).finalize(),
        );
        Ok(Self { origin: origin.to_owned(), key_id: [a, b, c, d], key })
    }

    /// The origin of the log's checkpoints.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn key_id(&self) -> NoteKeyId {
        self.key_id
    }

    pub(super) fn verify(&self, text: &str, signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .and_then(|signature| self.key.verify_strict(text.as_bytes(), &signature))
            .is_ok()
    }
}

impl fmt::Display for LogVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519], &self.key.as_bytes()[..]].concat();
        write!(f, "{}+{}+{}", self.origin, hex::encode(self.key_id), BASE64.encode(key))
    }
}

impl FromStr for LogVerifier {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Base64 may hold a plus sign too: only the first two separate.
        let mut parts = text.splitn(3, '+');
        let (Some(origin), Some(key_id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(CheckpointError::BadKey("not of the form name+id+key"));
        };
        let key = BASE64.decode(key).map_err(|_| CheckpointError::BadKey("the key is not base64"))?;
        let Some((&ED25519, key)) = key.split_first() else {
            return Err(CheckpointError::BadKey("the key is not of type Ed25519"));
        };
        let key = <&[u8; 32]>::try_from(key)
            .ok()
            .and_then(ed25519::public_key)
            .ok_or(CheckpointError::BadKey("not an Ed25519 public key"))?;
        let verifier = Self::new(origin, key)?;
        if hex::encode(verifier.key_id) != key_id {
            return Err(CheckpointError::BadKey("the id is not that of the key"));
        }
        Ok(verifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the documentation of golang.org/x/mod/sumdb/note, and from the C2SP and transparency-dev test data.
    const PUBLISHED: [&str; 4] = [
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
    ];

    #[test]
    fn published_verifier_keys_survive_the_round_trip() {
        for vkey in PUBLISHED {
            assert_eq!(vkey.parse::<LogVerifier>().unwrap().to_string(), vkey);
        }
    }

    #[test]
    fn a_verifier_key_with_anything_altered_is_refused() {
        let vkey = PUBLISHED[0];
        for at in 0..vkey.len() {
            let mut altered = vkey.as_bytes().to_vec();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(altered.parse::<LogVerifier>().is_err(), "{altered}");
        }
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        let mut neutral = [0; 33];
        neutral[0] = ED25519;
        neutral[1] = 1;
        let vkey = format!("log+00000000+{}", BASE64.encode(neutral));
        assert_eq!(vkey.parse::<LogVerifier>(), Err(CheckpointError::BadKey("not an Ed25519 public key")));
    }

    #[test]
    fn a_key_of_another_type_is_refused() {
        let vkey = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
        assert_eq!(vkey.parse::<LogVerifier>(), Err(CheckpointError::BadKey("the key is not of type Ed25519")));
    }

    #[test]
    fn a_secret_key_survives_the_round_trip_through_pem() {
        let key = LogKey::generate();
        let pem = key.to_pkcs8_pem();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let read = LogKey::from_pkcs8_pem(&pem).unwrap();
        assert_eq!(read.verifier("log"), key.verifier("log"));
        assert_ne!(LogKey::generate().verifier("log"), key.verifier("log"), "keys are drawn anew");
    }

    /// The key of RFC 8410 §10.3, in versions 1 and 2 of the format.
    #[test]
    fn both_versions_of_the_pem_are_read() {
        let v1 = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            -----END PRIVATE KEY-----\n";
        let v2 = "-----BEGIN PRIVATE KEY-----\n\
            MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n\
            Z9w7lshQhqowtrbLDFw4rXAxZuE=\n\
            -----END PRIVATE KEY-----\n";
        let key = LogKey::from_pkcs8_pem(v1).unwrap();
        assert_eq!(key.to_pkcs8_pem().as_str(), v1);
        assert_eq!(LogKey::from_pkcs8_pem(v2).unwrap().verifier("log"), key.verifier("log"));
    }

    #[test]
    fn nothing_secret_is_in_the_debug_output() {
        assert_eq!(format!("{:?}", LogKey::generate()), "LogKey(hidden)");
    }
}
