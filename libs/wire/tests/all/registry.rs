//! `exchanges.toml`: what it says, and all that is wrong with it at once.

use std::{path::Path, time::Duration};

use haetae_seal::{
    checkpoint::LogKey,
    dsse::{Algorithm, SigningKey},
};
use haetae_wire::{
    keys::{Keyring, Purpose},
    registry::{Registry, RegistryError},
};

use crate::party::{exchange, fields};

fn pem(key: &SigningKey) -> String {
    format!("\"\"\"\n{}\"\"\"", key.public_key().to_spki_pem())
}

fn upbit(public_key: &str) -> String {
    format!(
        r#"
        [[exchange]]
        id = "upbit"
        display_name = "Upbit"
        endpoints = ["https://a.upbit.example:7443", "https://b.upbit.example"]
        server_name = "haetae.upbit.example"
        ca = "upbit-ca.pem"
        confirm_within = "500ms"
        freeze_within = "2s"
        chains = ["eip155:31337"]
        hotline = {{ name = "Compliance desk", phone = "+82-2-0000-0000" }}
        [[exchange.key]]
        public_key = {public_key}
        "#
    )
}

fn agency(freeze: &str, log: &str) -> String {
    format!(
        r#"
        [agency]
        [[agency.key]]
        purpose = "freeze"
        public_key = {freeze}
        [[agency.log]]
        service = "freeze"
        verifier = "{log}"
        [[agency.log]]
        service = "connector/upbit"
        verifier = "{}"
        "#,
        LogKey::generate().verifier("police.example/connector/upbit").unwrap()
    )
}

fn faults(text: &str) -> Vec<String> {
    match Registry::parse(text, Path::new("/etc/haetae")) {
        Err(RegistryError::Faults(faults)) => fields(&faults).into_iter().map(str::to_owned).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_registry_says_who_takes_part_and_whose_keys_count() {
    let key = || SigningKey::generate(Algorithm::EcdsaP256Sha256);
    let (freeze, upbit_key) = (key(), key());
    let log = LogKey::generate().verifier("police.example/freeze").unwrap();
    let text = agency(&pem(&freeze), &log.to_string()) + &upbit(&pem(&upbit_key));
    let registry = Registry::parse(&text, Path::new("/etc/haetae")).unwrap();

    let exchange_entry = registry.exchange(&exchange("upbit")).unwrap();
    assert_eq!(registry.exchanges().count(), 1);
    assert_eq!(exchange_entry.endpoints[0].to_string(), "https://a.upbit.example:7443/");
    assert_eq!(exchange_entry.ca, Path::new("/etc/haetae/upbit-ca.pem"));
    assert_eq!(exchange_entry.confirm_within, Duration::from_millis(500));
    assert_eq!(exchange_entry.freeze_within, Duration::from_secs(2));
    let hotline = exchange_entry.hotline.as_ref().unwrap();
    assert_eq!((hotline.name.as_str(), hotline.phone.as_str()), ("Compliance desk", "+82-2-0000-0000"));
    assert_eq!(registry.exchange(&exchange("bithumb")), None);
    assert_eq!(registry.log_verifier("freeze"), Some(&log));
    assert!(registry.log_verifier("connector/upbit").is_some() && registry.log_verifier("tracking").is_none());

    let keyring = Keyring::from_registry(&registry);
    let freeze_id = freeze.public_key().key_id();
    assert_eq!(keyring.key(&Purpose::Freeze, &freeze_id), Some(&freeze.public_key()));
    assert_eq!(keyring.key(&Purpose::Confirm, &freeze_id), None);
    let upbit_id = upbit_key.public_key().key_id();
    assert!(keyring.key(&Purpose::Exchange(exchange("upbit")), &upbit_id).is_some());
    assert!(keyring.key(&Purpose::Exchange(exchange("bithumb")), &upbit_id).is_none());
}

#[test]
fn the_digest_is_that_of_the_file() {
    let folder = std::env::temp_dir().join(format!("haetae-registry-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("exchanges.toml");
    std::fs::write(&path, "[agency]\n").unwrap();
    let registry = Registry::load(&path);
    std::fs::remove_dir_all(&folder).unwrap();
    // SHA-256 of the nine bytes, by sha256sum.
    let digest = "e349ad60eaf70f6dd390c059a25faef1a35925fb419168ae3517a28f9c163818";
    assert_eq!(registry.unwrap().digest.map(|byte| format!("{byte:02x}")).concat(), digest);
    assert!(matches!(Registry::load(&path), Err(RegistryError::Unreadable { .. })));
}

#[test]
fn all_faults_are_named_at_once() {
    let text = r#"
        owner = "nobody"
        [agency]
        nickname = "knp"
        [[agency.key]]
        purpose = "sign-everything"
        public_key = "-----BEGIN PUBLIC KEY-----"
        [[agency.log]]
        service = "desk"
        verifier = "no key"
        [[agency.log]]
        service = "connector/nobody"
        [[exchange]]
        id = "Upbit"
        endpoints = ["http://plain.example", "https://"]
        server_name = "x"
        ca = "x"
        confirm_within = "soon"
        freeze_within = "0s"
        chains = ["ethereum"]
        colour = "blue"
        hotline = { name = "desk", fax = "1" }
        [[exchange.key]]
        public_key = "x"
        size = 3
    "#;
    assert_eq!(
        faults(text),
        [
            "owner",
            "exchange[0].colour",
            "exchange[0].id",
            "exchange[0].display_name",
            "exchange[0].endpoints[0]",
            "exchange[0].endpoints[1]",
            "exchange[0].confirm_within",
            "exchange[0].freeze_within",
            "exchange[0].chains[0]",
            "exchange[0].hotline.fax",
            "exchange[0].hotline.phone",
            "exchange[0].key[0].size",
            "exchange[0].key[0].public_key",
            "agency.nickname",
            "agency.key[0].purpose",
            "agency.key[0].public_key",
            "agency.log[0].service",
            "agency.log[0].verifier",
            "agency.log[1].service",
            "agency.log[1].verifier",
        ]
    );
}

#[test]
fn no_key_has_two_owners_and_no_exchange_two_entries() {
    let key = pem(&SigningKey::generate(Algorithm::Ed25519));
    let log = LogKey::generate().verifier("police.example/freeze").unwrap().to_string();
    assert_eq!(faults(&(agency(&key, &log) + &upbit(&key))), ["agency.key[0].public_key"]);

    let other = pem(&SigningKey::generate(Algorithm::Ed25519));
    let twice = agency(&pem(&SigningKey::generate(Algorithm::Ed25519)), &log) + &upbit(&key) + &upbit(&other);
    assert_eq!(faults(&twice), ["exchange[1].id"]);

    let same_log = format!(
        "[agency]\nlog = [{{ service = \"freeze\", verifier = \"{log}\" }}, {{ service = \"intake\", verifier = \"{log}\" }}]"
    );
    assert_eq!(faults(&same_log), ["agency.log[1].verifier"]);
}

#[test]
fn what_is_not_toml_is_refused_with_its_place() {
    let error = Registry::parse("[agency]\nkey = 3", Path::new("")).unwrap_err();
    assert!(matches!(error, RegistryError::Syntax(_)) && error.to_string().contains("line 2"), "{error}");
}
