//! The envelope as a protobuf message, around [`haetae_seal::dsse`].

use haetae_seal::dsse::{self, Algorithm, SignatureError, SigningKey};
use prost::Message as _;

use super::EnvelopeFault;
use crate::{
    exchange::v1::{self, SignatureAlgorithm},
    keys::{Keyring, Purpose},
};

/// Signs a payload; the answer is the envelope's bytes.
pub(super) fn seal(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Vec<u8> {
    let envelope = dsse::Envelope::sign(payload_type, payload, &[key]);
    let signatures = envelope.signatures.into_iter().map(|signature| v1::Signature {
        key_id: signature.key_id,
        algorithm: match signature.algorithm {
            Algorithm::Ed25519 => SignatureAlgorithm::Ed25519,
            Algorithm::EcdsaP256Sha256 => SignatureAlgorithm::EcdsaP256Sha256,
        }
        .into(),
        signature: signature.bytes,
    });
    v1::Envelope { payload_type: envelope.payload_type, payload: envelope.payload, signatures: signatures.collect() }
        .encode_to_vec()
}

/// The payload, if every signature is by a key pinned for this purpose.
pub(super) fn open(
    bytes: &[u8],
    payload_type: &str,
    purpose: &Purpose,
    keys: &Keyring,
) -> Result<Vec<u8>, EnvelopeFault> {
    verify(decode(bytes)?, payload_type, purpose, keys)
}

/// Reads an envelope without believing it.
pub(super) fn decode(bytes: &[u8]) -> Result<dsse::Envelope, EnvelopeFault> {
    let wire = v1::Envelope::decode(bytes).map_err(|_| EnvelopeFault::Malformed("it is not an envelope"))?;
    let signatures = wire.signatures.into_iter().map(|signature| {
        let algorithm = match SignatureAlgorithm::try_from(signature.algorithm) {
            Ok(SignatureAlgorithm::Ed25519) => Algorithm::Ed25519,
            Ok(SignatureAlgorithm::EcdsaP256Sha256) => Algorithm::EcdsaP256Sha256,
            Ok(SignatureAlgorithm::Unspecified) | Err(_) => {
                return Err(EnvelopeFault::Malformed("a signature names no algorithm that the contract knows"));
            }
        };
        Ok(dsse::Signature { key_id: signature.key_id, algorithm, bytes: signature.signature })
    });
    Ok(dsse::Envelope {
        signatures: signatures.collect::<Result<_, _>>()?,
        payload_type: wire.payload_type,
        payload: wire.payload,
    })
}

pub(super) fn verify(
    envelope: dsse::Envelope,
    payload_type: &str,
    purpose: &Purpose,
    keys: &Keyring,
) -> Result<Vec<u8>, EnvelopeFault> {
    match envelope.verify(payload_type, |key_id| keys.key(purpose, key_id).cloned()) {
        Ok(_) => Ok(envelope.payload),
        Err(error) => Err(named(error, purpose, keys)),
    }
}

/// A key that is known, but for something else, is worth its own name: it is the sign of a stolen key or a mixed-up one.
fn named(error: SignatureError, purpose: &Purpose, keys: &Keyring) -> EnvelopeFault {
    match error {
        SignatureError::UnknownKey { key_id } => match keys.purpose(&key_id) {
            Some(pinned) => EnvelopeFault::OtherPurpose { key_id, pinned: pinned.clone(), wanted: purpose.clone() },
            None => SignatureError::UnknownKey { key_id }.into(),
        },
        error => error.into(),
    }
}
