//! The form of `exchanges.toml`. Every field is optional to serde, and what it does not know is kept, so that all faults
//! are found in one reading.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    str::FromStr,
    time::Duration,
};

use haetae_core::{ExchangeId, Reason, Violations};
use haetae_seal::{checkpoint::LogVerifier, dsse::PublicKey};
use serde::Deserialize;
use tonic::transport::Uri;

use super::{Exchange, RegistryError};
use crate::{
    exchange::v1::Hotline,
    keys::{Keyring, Purpose},
    read,
};

type Unknown = BTreeMap<String, toml::Value>;

#[derive(Deserialize)]
struct File {
    agency: Option<Agency>,
    #[serde(default)]
    exchange: Vec<ExchangeEntry>,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Deserialize)]
struct Agency {
    #[serde(default)]
    key: Vec<AgencyKey>,
    #[serde(default)]
    log: Vec<AgencyLog>,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct AgencyKey {
    purpose: String,
    public_key: String,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AgencyLog {
    service: String,
    verifier: String,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ExchangeEntry {
    id: String,
    display_name: String,
    endpoints: Vec<String>,
    server_name: String,
    ca: String,
    confirm_within: String,
    freeze_within: String,
    chains: Vec<String>,
    hotline: Option<HotlineEntry>,
    key: Vec<ExchangeKey>,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct HotlineEntry {
    name: String,
    phone: String,
    email: String,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ExchangeKey {
    public_key: String,
    #[serde(flatten)]
    unknown: Unknown,
}

/// The services of the mesh that write one log each; a connector's is `connector/<exchange>`.
const SERVICES: [&str; 3] = ["intake", "tracking", "freeze"];

pub(super) fn read(text: &str, folder: &Path) -> Result<(BTreeMap<ExchangeId, Exchange>, Keyring), RegistryError> {
    let file: File = toml::from_str(text)?;
    let mut v = Violations::new();
    let mut keyring = Keyring::new();
    refuse_unknown(&mut v, &file.unknown);

    let mut exchanges = BTreeMap::new();
    for (i, entry) in file.exchange.iter().enumerate() {
        v.within(format!("exchange[{i}]"), |v| {
            let Some(exchange) = read_exchange(v, entry, folder, &mut keyring) else { return };
            if exchanges.contains_key(&exchange.id) {
                v.add("id", Reason::FieldMalformed, "is named twice");
            }
            exchanges.insert(exchange.id.clone(), exchange);
        });
    }
    let named: HashSet<&str> = file.exchange.iter().map(|entry| entry.id.as_str()).collect();
    if let Some(agency) = read::present(&mut v, "agency", file.agency.as_ref()) {
        v.within("agency", |v| read_agency(v, agency, &named, &mut keyring));
    }
    v.finish(Some((exchanges, keyring))).map_err(RegistryError::Faults)
}

fn read_agency(v: &mut Violations, agency: &Agency, exchanges: &HashSet<&str>, keyring: &mut Keyring) {
    refuse_unknown(v, &agency.unknown);
    for (i, key) in agency.key.iter().enumerate() {
        v.within(format!("key[{i}]"), |v| {
            refuse_unknown(v, &key.unknown);
            let purpose =
                Purpose::AGENCY.into_iter().find(|(name, _)| *name == key.purpose).map(|(_, purpose)| purpose);
            if purpose.is_none() {
                let names = Purpose::AGENCY.map(|(name, _)| name).join(", ");
                v.add("purpose", Reason::FieldMalformed, format!("must be one of {names}"));
            }
            pin(v, keyring, purpose, &key.public_key);
        });
    }
    let mut origins = HashSet::new();
    for (i, log) in agency.log.iter().enumerate() {
        v.within(format!("log[{i}]"), |v| {
            refuse_unknown(v, &log.unknown);
            let of_connector = log.service.strip_prefix("connector/").is_some_and(|name| exchanges.contains(name));
            if !of_connector && !SERVICES.contains(&log.service.as_str()) {
                let names = SERVICES.join(", ");
                v.add("service", Reason::FieldMalformed, format!("must be one of {names}, connector/<an exchange>"));
            } else if keyring.log(&log.service).is_some() {
                v.add("service", Reason::FieldMalformed, "is named twice");
            }
            let Some(verifier) = parsed::<LogVerifier>(v, "verifier", &log.verifier) else { return };
            if !origins.insert(verifier.origin().to_owned()) {
                v.add("verifier", Reason::FieldMalformed, "is of the same log as another");
            }
            keyring.pin_log(&log.service, verifier);
        });
    }
}

fn read_exchange(v: &mut Violations, entry: &ExchangeEntry, folder: &Path, keyring: &mut Keyring) -> Option<Exchange> {
    refuse_unknown(v, &entry.unknown);
    let id = read::parse::<ExchangeId>(v, "id", &entry.id);
    let display_name = read::text(v, "display_name", &entry.display_name, 1..=100);
    read::not_empty(v, "endpoints", &entry.endpoints);
    let endpoints = entry.endpoints.iter().enumerate().map(|(i, text)| endpoint(v, &format!("endpoints[{i}]"), text));
    let endpoints: Vec<_> = endpoints.collect();
    let server_name = read::text(v, "server_name", &entry.server_name, 1..=253);
    let ca = read::text(v, "ca", &entry.ca, 1..=1_000);
    let confirm_within = period(v, "confirm_within", &entry.confirm_within);
    let freeze_within = period(v, "freeze_within", &entry.freeze_within);
    read::not_empty(v, "chains", &entry.chains);
    let chains = read::parse_set(v, "chains", &entry.chains);
    let hotline = entry.hotline.as_ref().map(|hotline| v.within("hotline", |v| read_hotline(v, hotline)));
    read::not_empty(v, "key", &entry.key);
    for (i, key) in entry.key.iter().enumerate() {
        v.within(format!("key[{i}]"), |v| {
            refuse_unknown(v, &key.unknown);
            pin(v, keyring, id.clone().map(Purpose::Exchange), &key.public_key);
        });
    }
    Some(Exchange {
        id: id?,
        display_name: display_name?,
        endpoints: endpoints.into_iter().collect::<Option<_>>()?,
        server_name: server_name?,
        ca: folder.join(ca?),
        confirm_within: confirm_within?,
        freeze_within: freeze_within?,
        chains: chains?.into_iter().collect(),
        hotline: hotline.flatten(),
    })
}

/// Whom people call: a telephone at least.
fn read_hotline(v: &mut Violations, entry: &HotlineEntry) -> Option<Hotline> {
    refuse_unknown(v, &entry.unknown);
    let name = read::text(v, "name", &entry.name, 1..=100);
    let phone = read::text(v, "phone", &entry.phone, 1..=100);
    let email = read::text(v, "email", &entry.email, 0..=100);
    Some(Hotline { name: name?, phone: phone?, email: email? })
}

fn refuse_unknown(v: &mut Violations, unknown: &Unknown) {
    for key in unknown.keys() {
        v.add(key, Reason::FieldMalformed, "is not a key that the registry knows");
    }
}

fn pin(v: &mut Violations, keyring: &mut Keyring, purpose: Option<Purpose>, pem: &str) {
    if pem.is_empty() {
        return read::missing(v, "public_key");
    }
    match PublicKey::from_spki_pem(pem) {
        Err(error) => v.add("public_key", Reason::FieldMalformed, error.to_string()),
        Ok(key) => {
            if let Some(Err(error)) = purpose.map(|purpose| keyring.pin(purpose, key)) {
                v.add("public_key", Reason::FieldMalformed, error.to_string());
            }
        }
    }
}

/// A length of time as people write it: `500ms`, `2s`, `10d`.
fn period(v: &mut Violations, field: &str, text: &str) -> Option<Duration> {
    if text.is_empty() {
        read::missing(v, field);
        return None;
    }
    match humantime::parse_duration(text) {
        Ok(period) if !period.is_zero() => Some(period),
        Ok(_) => {
            v.add(field, Reason::FieldMalformed, "must be longer than nothing");
            None
        }
        Err(_) => {
            v.add(field, Reason::FieldMalformed, "must be a length of time such as 500ms, 2s or 10d");
            None
        }
    }
}

fn endpoint(v: &mut Violations, field: &str, text: &str) -> Option<Uri> {
    let uri = text.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("https") && uri.host().is_some());
    if uri.is_none() {
        v.add(field, Reason::FieldMalformed, "must be an address such as https://haetae.example:443");
    }
    uri
}

fn parsed<T: FromStr<Err: ToString>>(v: &mut Violations, field: &str, text: &str) -> Option<T> {
    if text.is_empty() {
        read::missing(v, field);
        return None;
    }
    text.parse().inspect_err(|error: &T::Err| v.add(field, Reason::FieldMalformed, error.to_string())).ok()
}
