use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;

use super::*;

const TYPE: &str = "application/vnd.haetae.test";
const BOTH: [Algorithm; 2] = [Algorithm::Ed25519, Algorithm::EcdsaP256Sha256];

/// Looks keys up as a registry does.
fn pinned(keys: &[&SigningKey]) -> impl Fn(&str) -> Option<PublicKey> {
    let keys: Vec<_> = keys.iter().map(|key| key.public_key()).collect();
    move |id| keys.iter().find(|key| key.key_id() == id).cloned()
}

/// The key of the specification's test vector, made from its d = 97358161…926199.
fn specification_key() -> SigningKey {
    let d = hex::decode("d73ec437fd6346e3619c5ebfdfff0f6916804955ad32ac9ac492b0ede1f6ffb7");
    let secret = p256::SecretKey::from_slice(&d.unwrap()).unwrap();
    let pem = p256::pkcs8::EncodePrivateKey::to_pkcs8_pem(&secret, Default::default()).unwrap();
    SigningKey::from_pkcs8_pem(&pem).unwrap()
}

#[test]
fn the_specifications_encoding_is_ours() {
    assert_eq!(
        pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
}

#[test]
fn lengths_count_bytes_not_characters() {
    assert_eq!(pre_authentication_encoding("해태", b""), "DSSEv1 6 해태 0 ".as_bytes());
}

#[test]
fn the_specifications_envelope_is_ours_and_verifies() {
    let key = specification_key();
    let envelope = Envelope::sign("http://example.com/HelloWorld", *b"hello world", &[&key]);
    assert_eq!(
        BASE64.encode(&envelope.signatures[0].bytes),
        "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
    );
    assert_eq!(envelope.verify("http://example.com/HelloWorld", pinned(&[&key])), Ok(vec![key.public_key().key_id()]));
}

#[test]
fn several_keys_sign_one_envelope_and_all_are_named() {
    let (a, b) = (SigningKey::generate(Algorithm::Ed25519), SigningKey::generate(Algorithm::EcdsaP256Sha256));
    let envelope = Envelope::sign(TYPE, *b"order", &[&a, &b]);
    assert_eq!(envelope.verify(TYPE, pinned(&[&b, &a])), Ok(vec![a.public_key().key_id(), b.public_key().key_id()]));
}

#[test]
fn an_unsigned_envelope_is_not_believed() {
    let envelope = Envelope::sign(TYPE, *b"order", &[]);
    assert_eq!(envelope.verify(TYPE, pinned(&[])), Err(SignatureError::NoSignature));
}

#[test]
fn one_kind_of_message_does_not_pass_for_another() {
    let key = SigningKey::generate(Algorithm::Ed25519);
    let envelope = Envelope::sign("receipt", *b"order", &[&key]);
    assert_eq!(
        envelope.verify(TYPE, pinned(&[&key])),
        Err(SignatureError::WrongPayloadType { expected: TYPE.into(), found: "receipt".into() })
    );
    let relabelled = Envelope { payload_type: TYPE.into(), ..envelope };
    assert_eq!(
        relabelled.verify(TYPE, pinned(&[&key])),
        Err(SignatureError::BadSignature { key_id: key.public_key().key_id() })
    );
}

#[test]
fn a_good_signature_does_not_carry_an_unknown_one() {
    let (known, stranger) = (SigningKey::generate(Algorithm::Ed25519), SigningKey::generate(Algorithm::Ed25519));
    for keys in [[&known, &stranger], [&stranger, &known]] {
        assert_eq!(
            Envelope::sign(TYPE, *b"order", &keys).verify(TYPE, pinned(&[&known])),
            Err(SignatureError::UnknownKey { key_id: stranger.public_key().key_id() })
        );
    }
}

#[test]
fn a_good_signature_does_not_carry_a_bad_one() {
    let (a, b) = (SigningKey::generate(Algorithm::Ed25519), SigningKey::generate(Algorithm::Ed25519));
    let mut envelope = Envelope::sign(TYPE, *b"order", &[&a, &b]);
    envelope.signatures[1].bytes = envelope.signatures[0].bytes.clone();
    assert_eq!(
        envelope.verify(TYPE, pinned(&[&a, &b])),
        Err(SignatureError::BadSignature { key_id: b.public_key().key_id() })
    );
}

#[test]
fn a_key_counts_once() {
    let key = SigningKey::generate(Algorithm::EcdsaP256Sha256);
    let envelope = Envelope::sign(TYPE, *b"order", &[&key, &key]);
    assert_eq!(
        envelope.verify(TYPE, pinned(&[&key])),
        Err(SignatureError::RepeatedKey { key_id: key.public_key().key_id() })
    );
}

#[test]
fn a_key_signs_under_its_own_id_only() {
    let key = SigningKey::generate(Algorithm::Ed25519);
    let mut envelope = Envelope::sign(TYPE, *b"order", &[&key]);
    envelope.signatures[0].key_id = "alias".into();
    assert_eq!(
        envelope.verify(TYPE, |_| Some(key.public_key())),
        Err(SignatureError::UnknownKey { key_id: "alias".into() })
    );
}

#[test]
fn the_named_algorithm_is_that_of_the_pinned_key() {
    let key = SigningKey::generate(Algorithm::Ed25519);
    let mut envelope = Envelope::sign(TYPE, *b"order", &[&key]);
    envelope.signatures[0].algorithm = Algorithm::EcdsaP256Sha256;
    assert_eq!(
        envelope.verify(TYPE, pinned(&[&key])),
        Err(SignatureError::AlgorithmMismatch {
            key_id: key.public_key().key_id(),
            pinned: Algorithm::Ed25519,
            named: Algorithm::EcdsaP256Sha256
        })
    );
}

#[test]
fn both_twins_of_an_ecdsa_signature_are_accepted() {
    let key = SigningKey::generate(Algorithm::EcdsaP256Sha256);
    let mut envelope = Envelope::sign(TYPE, *b"order", &[&key]);
    let bytes = &mut envelope.signatures[0].bytes;
    let (r, s) = p256::ecdsa::Signature::from_slice(bytes).unwrap().split_scalars();
    let twin = p256::ecdsa::Signature::from_scalars(*r, -*s).unwrap();
    assert_ne!(*bytes, twin.to_bytes().to_vec());
    *bytes = twin.to_bytes().to_vec();
    assert!(envelope.verify(TYPE, pinned(&[&key])).is_ok());
}

#[test]
fn keys_survive_the_round_trip_through_pem() {
    for algorithm in BOTH {
        let key = SigningKey::generate(algorithm);
        assert_eq!(key.algorithm(), algorithm);
        let read = SigningKey::from_pkcs8_pem(&key.to_pkcs8_pem()).unwrap();
        assert_eq!(read.public_key(), key.public_key());
        let public = PublicKey::from_spki_pem(&key.public_key().to_spki_pem()).unwrap();
        assert_eq!(public, key.public_key());
        assert_ne!(SigningKey::generate(algorithm).public_key(), public, "keys are drawn anew");
    }
}

/// RFC 8410 §10.1; the id was computed with other tools.
#[test]
fn a_key_id_is_the_hash_of_the_public_key() {
    let pem = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";
    let key = PublicKey::from_spki_pem(pem).unwrap();
    assert_eq!(key.to_spki_pem(), pem);
    assert_eq!(key.key_id(), "a1e9156054e04fac899ae9f275132cdc");
}

#[test]
fn a_compressed_point_is_the_same_key() {
    let key = specification_key().public_key();
    let uncompressed = key.to_spki_der();
    let (x, y) = uncompressed[27..].split_at(32);
    let header = hex::decode("3039301306072a8648ce3d020106082a8648ce3d030107032200").unwrap();
    let compressed = [&header[..], &[2 + (y[31] & 1)], x].concat();
    assert_eq!(PublicKey::from_spki_der(&compressed), Ok(key));
}

#[test]
fn what_is_no_usable_key_is_named() {
    let key = SigningKey::generate(Algorithm::EcdsaP256Sha256);
    assert_eq!(PublicKey::from_spki_pem(&key.to_pkcs8_pem()), Err(KeyError::NotPem("PUBLIC KEY")));
    assert_eq!(
        SigningKey::from_pkcs8_pem(&key.public_key().to_spki_pem()).map(|_| ()),
        Err(KeyError::NotPem("PRIVATE KEY"))
    );
    assert_eq!(PublicKey::from_spki_der(&[0x30, 0x00]), Err(KeyError::Malformed("SubjectPublicKeyInfo")));
    let mut trailing = key.public_key().to_spki_der();
    trailing.push(0);
    assert_eq!(PublicKey::from_spki_der(&trailing), Err(KeyError::Malformed("SubjectPublicKeyInfo")));
    // P-256 with its last arc changed to that of another curve.
    let mut other_curve = key.public_key().to_spki_der();
    other_curve[22] = 1;
    assert_eq!(PublicKey::from_spki_der(&other_curve), Err(KeyError::UnsupportedAlgorithm));
    let mut off_the_curve = key.public_key().to_spki_der();
    off_the_curve[90] ^= 1;
    assert_eq!(PublicKey::from_spki_der(&off_the_curve), Err(KeyError::Invalid(Algorithm::EcdsaP256Sha256)));
    let mut small_order = hex::decode("302a300506032b6570032100").unwrap();
    small_order.extend([[1].as_slice(), &[0; 31]].concat());
    assert_eq!(PublicKey::from_spki_der(&small_order), Err(KeyError::Invalid(Algorithm::Ed25519)));
}

#[test]
fn nothing_secret_is_in_the_debug_output() {
    for algorithm in BOTH {
        assert_eq!(format!("{:?}", SigningKey::generate(algorithm)), format!("SigningKey({algorithm}, hidden)"));
    }
}

proptest! {
    #[test]
    fn what_was_signed_verifies_and_nothing_else_does(
        ed25519 in any::<bool>(),
        payload in prop::collection::vec(any::<u8>(), 1..200),
        at in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let key = SigningKey::generate(BOTH[usize::from(ed25519)]);
        let envelope = Envelope::sign(TYPE, payload, &[&key]);
        prop_assert!(envelope.verify(TYPE, pinned(&[&key])).is_ok());

        let mut altered = envelope.clone();
        let at_payload = at.index(altered.payload.len());
        altered.payload[at_payload] ^= 1 << bit;
        prop_assert!(altered.verify(TYPE, pinned(&[&key])).is_err());

        let mut altered = envelope.clone();
        altered.signatures[0].bytes[at.index(64)] ^= 1 << bit;
        prop_assert!(altered.verify(TYPE, pinned(&[&key])).is_err());

        let mut shortened = envelope;
        shortened.signatures[0].bytes.truncate(at.index(64));
        prop_assert!(shortened.verify(TYPE, pinned(&[&key])).is_err());
    }

    #[test]
    fn type_and_payload_never_run_together(
        a in ("[a-z0-9 ]{0,12}", prop::collection::vec(any::<u8>(), 0..12)),
        b in ("[a-z0-9 ]{0,12}", prop::collection::vec(any::<u8>(), 0..12)),
    ) {
        prop_assert_eq!(
            a == b,
            pre_authentication_encoding(&a.0, &a.1) == pre_authentication_encoding(&b.0, &b.1)
        );
    }
}
