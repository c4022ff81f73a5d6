//! Everyone who signs, and the means to tamper with what they sign.

use haetae_core::{Arrival, Authorisation, ExchangeId, Order, Violation};
use haetae_seal::{
    checkpoint::{Checkpoint, LogKey},
    dsse::{Algorithm, SigningKey},
    leaf::{Leaf, commitment},
    merkle::{leaf_hash, node_hash},
};
use haetae_wire::{
    exchange::v1,
    keys::{Keyring, Purpose},
    log, signed,
};
use prost::Message as _;

pub(crate) struct Mesh {
    pub(crate) authorise: SigningKey,
    pub(crate) arrive: SigningKey,
    pub(crate) freeze: SigningKey,
    pub(crate) confirm: SigningKey,
    pub(crate) stranger: SigningKey,
    pub(crate) freeze_log: LogKey,
    pub(crate) tracking_log: LogKey,
    pub(crate) keyring: Keyring,
}

pub(crate) const FREEZE_LOG: &str = "police.example/freeze";
pub(crate) const TRACKING_LOG: &str = "police.example/tracking";

impl Mesh {
    pub(crate) fn new() -> Self {
        let key = || SigningKey::generate(Algorithm::Ed25519);
        let mesh = Self {
            authorise: key(),
            arrive: key(),
            freeze: SigningKey::generate(Algorithm::EcdsaP256Sha256),
            confirm: key(),
            stranger: key(),
            freeze_log: LogKey::generate(),
            tracking_log: LogKey::generate(),
            keyring: Keyring::new(),
        };
        let mut keyring = Keyring::new();
        for (purpose, key) in [
            (Purpose::Authorise, &mesh.authorise),
            (Purpose::Arrive, &mesh.arrive),
            (Purpose::Freeze, &mesh.freeze),
            (Purpose::Confirm, &mesh.confirm),
        ] {
            keyring.pin(purpose, key.public_key()).unwrap();
        }
        keyring.pin_log("freeze", mesh.freeze_log.verifier(FREEZE_LOG).unwrap());
        keyring.pin_log("tracking", mesh.tracking_log.verifier(TRACKING_LOG).unwrap());
        Self { keyring, ..mesh }
    }

    pub(crate) fn arrivals(&self, arrivals: &[Arrival]) -> Vec<Vec<u8>> {
        arrivals.iter().map(|arrival| signed::sign_arrival(arrival, &self.arrive)).collect()
    }

    /// The key that an order of this kind is signed with.
    pub(crate) fn signer(&self, order: &Order) -> &SigningKey {
        if order.asset.is_some() { &self.freeze } else { &self.confirm }
    }

    pub(crate) fn sign(&self, order: &Order, authorisation: &Authorisation) -> Vec<u8> {
        let authorisation = signed::sign_authorisation(authorisation, &self.authorise);
        signed::sign_order(order, &authorisation, &self.arrivals(&order.arrivals), self.signer(order))
    }

    /// An envelope in freeze's log.
    pub(crate) fn in_freeze_log(&self, envelope: Vec<u8>) -> v1::SignedOrder {
        in_log(envelope, FREEZE_LOG, &self.freeze_log)
    }

    /// An envelope in tracking's log.
    pub(crate) fn in_tracking_log(&self, envelope: Vec<u8>) -> v1::SignedOrder {
        in_log(envelope, TRACKING_LOG, &self.tracking_log)
    }
}

/// The envelope as the middle one of a log's three entries.
fn in_log(envelope: Vec<u8>, origin: &str, key: &LogKey) -> v1::SignedOrder {
    let opening = log::v1::LeafOpening {
        kind: "order".into(),
        version: 3,
        time: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 123_456_000 }),
        header: b"header".to_vec(),
        salt: vec![9; 32],
    };
    let leaf = Leaf {
        kind: opening.kind.clone(),
        version: opening.version,
        time_us: 1_800_000_000_123_456,
        commitment: commitment(&[9; 32], &opening.header, &envelope),
    };
    let (before, after) = (leaf_hash(b"before"), leaf_hash(b"after"));
    let root = node_hash(&node_hash(&before, &leaf.hash()), &after);
    v1::SignedOrder {
        envelope,
        opening: Some(opening),
        inclusion: Some(log::v1::InclusionProof {
            leaf_index: 1,
            tree_size: 3,
            hashes: vec![before.to_vec(), after.to_vec()],
        }),
        checkpoint: Checkpoint { origin: origin.into(), size: 3, root }.sign(key).unwrap(),
    }
}

pub(crate) fn exchange(name: &str) -> ExchangeId {
    name.parse().unwrap()
}

/// The envelope with its signatures taken off.
pub(crate) fn unsigned(envelope: &[u8]) -> Vec<u8> {
    let mut wire = v1::Envelope::decode(envelope).unwrap();
    wire.signatures.clear();
    wire.encode_to_vec()
}

/// The envelope with another payload under the same signatures.
pub(crate) fn with_payload<M: prost::Message + Default>(envelope: &[u8], change: impl FnOnce(&mut M)) -> Vec<u8> {
    let mut wire = v1::Envelope::decode(envelope).unwrap();
    let mut message = M::decode(wire.payload.as_slice()).unwrap();
    change(&mut message);
    wire.payload = message.encode_to_vec();
    wire.encode_to_vec()
}

/// A changed message, signed anew.
pub(crate) fn resigned<M: prost::Message + Default>(
    envelope: &[u8],
    key: &SigningKey,
    change: impl FnOnce(&mut M),
) -> Vec<u8> {
    let changed = v1::Envelope::decode(with_payload(envelope, change).as_slice()).unwrap();
    let sealed = haetae_seal::dsse::Envelope::sign(changed.payload_type.clone(), changed.payload.clone(), &[key]);
    let algorithm = match key.algorithm() {
        Algorithm::Ed25519 => v1::SignatureAlgorithm::Ed25519,
        Algorithm::EcdsaP256Sha256 => v1::SignatureAlgorithm::EcdsaP256Sha256,
    };
    let signatures = sealed.signatures.into_iter().map(|signature| v1::Signature {
        key_id: signature.key_id,
        algorithm: algorithm.into(),
        signature: signature.bytes,
    });
    v1::Envelope { signatures: signatures.collect(), ..changed }.encode_to_vec()
}

pub(crate) fn fields(faults: &[Violation]) -> Vec<&str> {
    faults.iter().map(|fault| fault.field.as_str()).collect()
}
