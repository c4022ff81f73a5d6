//! Who said it: DSSE v1.0 envelopes (github.com/secure-systems-lab/dsse).
//!
//! The payload is signed as the bytes it is, together with its type, and nobody re-encodes it on the way. The envelope
//! is a struct here; how it is written on a wire is the business of those who have one.

mod key;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof;

pub use key::{Algorithm, KeyError, PublicKey, SigningKey};

/// One signature of an envelope.
///
/// A valid ECDSA signature (r, s) has a twin (r, n − s) that is valid too and that anyone can compute. Both are
/// accepted, since HSMs emit either: never take a signature for the identity of what it signs. What was
/// said is the payload; which order was received is a hash over the envelope's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// [`PublicKey::key_id`] of the signer.
    pub key_id: String,
    /// The algorithm, which must be that of the pinned key.
    pub algorithm: Algorithm,
    /// 64 bytes: R ‖ S for Ed25519 (RFC 8032), r ‖ s big-endian for ECDSA (IEEE P1363, not DER).
    pub bytes: Vec<u8>,
}

/// A payload, its type, and who vouches for both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What the payload is, so that bytes signed as one thing cannot be passed off as another.
    pub payload_type: String,
    /// The signed bytes.
    pub payload: Vec<u8>,
    /// At least one, each by another key.
    pub signatures: Vec<Signature>,
}

/// Why an envelope is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The payload is signed as something else than what is expected here.
    #[error("the payload is signed as {found:?}, expected {expected:?}")]
    WrongPayloadType {
        /// The type expected.
        expected: String,
        /// The type that the envelope states.
        found: String,
    },
    /// Nobody signed.
    #[error("the envelope is not signed")]
    NoSignature,
    /// No key with this id is pinned.
    #[error("no key {key_id:?} is known")]
    UnknownKey {
        /// The id that the signature names.
        key_id: String,
    },
    /// The same key signed twice, which proves nothing more and would be counted twice.
    #[error("key {key_id:?} signed more than once")]
    RepeatedKey {
        /// The id of the key.
        key_id: String,
    },
    /// The signature names another algorithm than that of the pinned key.
    #[error("key {key_id:?} is for {pinned}, the signature names {named}")]
    AlgorithmMismatch {
        /// The id of the key.
        key_id: String,
        /// Algorithm of the pinned key.
        pinned: Algorithm,
        /// Algorithm that the signature names.
        named: Algorithm,
    },
    /// The signature does not verify under the pinned key.
    #[error("the signature of key {key_id:?} does not verify")]
    BadSignature {
        /// The id of the key.
        key_id: String,
    },
}

impl Envelope {
    /// Signs a payload with each of the keys. The same keys and payload give the same envelope: both algorithms are
    /// deterministic (RFC 8032, RFC 6979).
    #[must_use]
    pub fn sign(payload_type: impl Into<String>, payload: impl Into<Vec<u8>>, keys: &[&SigningKey]) -> Self {
        let (payload_type, payload) = (payload_type.into(), payload.into());
        let message = pre_authentication_encoding(&payload_type, &payload);
        let signatures = keys
            .iter()
            .map(|key| Signature {
                key_id: key.public_key().key_id(),
                algorithm: key.algorithm(),
                bytes: key.sign(&message).to_vec(),
            })
            .collect();
        Self { payload_type, payload, signatures }
    }

    /// Checks the payload type and every signature, and returns the ids of the keys that signed, in order and each
    /// once. Whether *these* keys may say *this* is for the caller to decide.
    ///
    /// `key` looks up a pinned key by its id; keys pinned for another purpose should not be found. A signature by an
    /// unknown key is an error like a bad one: nothing unverified travels in an envelope that is believed.
    ///
    /// # Errors
    ///
    /// [`SignatureError`], the first that is found.
    pub fn verify(
        &self,
        expected_payload_type: &str,
        key: impl Fn(&str) -> Option<PublicKey>,
    ) -> Result<Vec<String>, SignatureError> {
        if self.payload_type != expected_payload_type {
            return Err(SignatureError::WrongPayloadType {
                expected: expected_payload_type.to_owned(),
                found: self.payload_type.clone(),
            });
        }
        if self.signatures.is_empty() {
            return Err(SignatureError::NoSignature);
        }
        let message = pre_authentication_encoding(&self.payload_type, &self.payload);
        let mut verified = Vec::with_capacity(self.signatures.len());
        for signature in &self.signatures {
            let key_id = signature.key_id.clone();
            if verified.contains(&key_id) {
                return Err(SignatureError::RepeatedKey { key_id });
            }
            // A lookup that answers with another key would let one key sign under many names.
            let Some(key) = key(&key_id).filter(|key| key.key_id() == key_id) else {
                return Err(SignatureError::UnknownKey { key_id });
            };
            if key.algorithm() != signature.algorithm {
                return Err(SignatureError::AlgorithmMismatch {
                    key_id,
                    pinned: key.algorithm(),
                    named: signature.algorithm,
                });
            }
            if !key.verifies(&message, &signature.bytes) {
                return Err(SignatureError::BadSignature { key_id });
            }
            verified.push(key_id);
        }
        Ok(verified)
    }
}

/// What is really signed: `"DSSEv1" SP LEN(type) SP type SP LEN(body) SP body`, lengths in decimal bytes.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}
