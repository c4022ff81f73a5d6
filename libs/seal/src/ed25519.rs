//! Ed25519 keys as both envelopes and checkpoints use them.

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey, KeypairBytes};
use ed25519_dalek::{SigningKey, VerifyingKey};
use p256::elliptic_curve::rand_core::OsRng;
use zeroize::Zeroizing;

pub(crate) fn generate() -> SigningKey {
    SigningKey::generate(&mut OsRng)
}

/// PKCS#8 version 1, without the public key: several TLS libraries and HSM tools cannot read version 2.
pub(crate) fn to_pkcs8_pem(key: &SigningKey) -> Zeroizing<String> {
    let bytes = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    #[expect(clippy::expect_used, reason = "a fixed-size structure always has a DER encoding")]
    bytes.to_pkcs8_pem(LineEnding::LF).expect("an Ed25519 key encodes")
}

/// The public key in these bytes; `None` if they are no point of the curve or one of small order, under which
/// signatures can be made that verify for many messages.
pub(crate) fn public_key(bytes: &[u8; 32]) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak())
}
