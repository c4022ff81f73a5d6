//! Who can open a connection to whom, compared with who may: the contracts' callers inside the mesh, and what a
//! program's own configuration names beside it. What may call can connect; nothing else can.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use prost_reflect::{DescriptorPool, Value as Reflected};

use super::manifest::{Object, Pod, at, list, text};
use super::network::{Policies, ports};

/// The label that carries a pod's role in the contracts, and the one that carries the exchange it is for.
const ROLE: &str = "haetae-role";
const EXCHANGE: &str = "haetae-exchange";

/// Where calls of the mesh are taken, and where a rehearsal exchange is driven.
const CALLS: u16 = 8443;
const CONTROL: u16 = 8444;

/// Who serves which contract; a contract that is not here is not served by anyone, which is a fault.
const SERVERS: [(&str, &[&str]); 8] = [
    ("haetae.intake.v1.", &["intake"]),
    ("haetae.operations.v1.OperationsService", &["intake"]),
    ("haetae.operations.v1.StatusService", &["intake", "tracking", "freeze", "connector"]),
    ("haetae.audit.v1.", &["intake", "tracking", "freeze", "connector"]),
    ("haetae.tracking.v1.", &["tracking"]),
    ("haetae.freeze.v1.", &["freeze"]),
    ("haetae.connector.v1.", &["connector"]),
    ("haetae.sandbox.v1.", &["sandbox"]),
];

/// The contract that exchanges serve to their own connector.
const PUBLIC: &str = "haetae.exchange.v1.ExchangeService";

/// The roles that may call what each program serves.
pub(crate) type Callers = BTreeMap<String, BTreeSet<String>>;

/// Reads the callers from the contracts as they were compiled.
pub(crate) fn callers() -> Result<Callers> {
    let pool = DescriptorPool::decode(haetae_wire::DESCRIPTORS)?;
    let option =
        pool.get_extension_by_name("haetae.mesh.v1.callers").context("the contracts have no option callers")?;
    let mut callers = Callers::new();
    for service in pool.services().filter(|service| service.full_name().starts_with("haetae.")) {
        if service.full_name() == PUBLIC {
            continue;
        }
        let served = SERVERS.iter().find(|(prefix, _)| service.full_name().starts_with(prefix));
        let Some((_, servers)) = served else { bail!("who serves {}? Say it in reach.rs", service.full_name()) };
        for method in service.methods() {
            if let Reflected::List(roles) = method.options().get_extension(&option).as_ref() {
                for role in roles.iter().filter_map(|role| role.as_str()) {
                    for server in *servers {
                        callers.entry((*server).to_owned()).or_default().insert(role.to_owned());
                    }
                }
            }
        }
    }
    Ok(callers)
}

/// Compares the chart's list of callers, which its policies are made from, with the contracts.
pub(crate) fn compare(listed: &Callers, callers: &Callers) -> Vec<String> {
    let servers: BTreeSet<_> = listed.keys().chain(callers.keys()).collect();
    let none = BTreeSet::new();
    let of = |callers: &Callers, server: &String| callers.get(server).cloned().unwrap_or_else(|| none.clone());
    servers
        .into_iter()
        .filter_map(|server| {
            let (listed, named) = (of(listed, server), of(callers, server));
            (listed != named).then(|| format!("{server} may be called by {named:?}, the chart says {listed:?}"))
        })
        .collect()
}

/// What was compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Pairs of pods and ports.
    pub(crate) pairs: usize,
    /// Those that differ.
    pub(crate) findings: Vec<String>,
}

/// Tries every pair of pods at every port of the second, and at one that nobody listens on.
pub(crate) fn judge(objects: &[Object], namespace: &str, callers: &Callers) -> Reach {
    let policies = Policies::of(objects, namespace);
    let pods: Vec<_> = objects.iter().filter_map(Object::pod).collect();
    let mut reach = Reach::default();
    for from in &pods {
        let named = named_by(from, objects);
        for to in pods.iter().filter(|to| to.title() != from.title()) {
            let stray = ("that nobody listens on", 1);
            for (name, port) in ports(to).chain([stray]) {
                let configured = names(&named, to, port, objects);
                let may = match may_call(from, to, port, callers) {
                    Some(may) => {
                        if configured && !may {
                            reach.findings.push(format!(
                                "{} is configured to call {}, which its contracts do not allow",
                                from.title(),
                                to.title()
                            ));
                        }
                        may
                    }
                    None => configured,
                };
                let can = policies.let_through(from, to, port);
                reach.pairs += 1;
                if can != may {
                    let what = if can { "can connect, but must not" } else { "must be able to connect, but cannot" };
                    reach.findings.push(format!("{} → {} port {port} ({name}): {what}", from.title(), to.title()));
                }
            }
        }
    }
    reach
}

/// By the contracts; none where no contract has a say about that port.
fn may_call(from: &Pod<'_>, to: &Pod<'_>, port: u16, callers: &Callers) -> Option<bool> {
    let (caller, server) = (from.label(ROLE), to.label(ROLE));
    let served_at = if server == "sandbox" { CONTROL } else { CALLS };
    if server == "sandbox" && port == CALLS {
        // The public contract: an exchange knows its own connector, and no other.
        return Some(caller == "connector" && from.label(EXCHANGE) == to.label(EXCHANGE));
    }
    (port == served_at && callers.contains_key(server))
        .then(|| callers.get(server).is_some_and(|callers| callers.contains(caller)))
}

/// What a pod's configuration names.
struct Named<'a> {
    /// Host and port.
    addresses: BTreeSet<(String, u16)>,
    /// Secrets that it takes variables from. What is in them is not seen here.
    secrets: BTreeSet<&'a str>,
}

fn named_by<'a>(pod: &'a Pod<'_>, objects: &[Object]) -> Named<'a> {
    let mut texts: Vec<&str> = Vec::new();
    let mut secrets = BTreeSet::new();
    for container in pod.containers() {
        texts.extend(list(container, "/env").iter().map(|variable| text(variable, "/value")));
        secrets.extend(list(container, "/env").iter().map(|variable| text(variable, "/valueFrom/secretKeyRef/name")));
        texts.extend(list(container, "/args").iter().filter_map(serde_json::Value::as_str));
    }
    let mut maps = BTreeSet::new();
    for volume in list(pod.spec(), "/volumes") {
        maps.insert((text(volume, "/configMap/name"), None));
        for source in list(volume, "/projected/sources") {
            let items = list(source, "/configMap/items");
            if items.is_empty() {
                maps.insert((text(source, "/configMap/name"), None));
            }
            maps.extend(items.iter().map(|item| (text(source, "/configMap/name"), Some(text(item, "/key")))));
        }
    }
    for (map, key) in maps {
        let found = objects.iter().find(|object| object.kind() == "ConfigMap" && object.name() == map);
        for (name, content) in found.into_iter().flat_map(|map| super::manifest::object(&map.0, "/data")) {
            // The registry names every exchange; a connector speaks to its own alone.
            if key.is_none_or(|key| key == name) && name.ends_with(".toml") && name != "exchanges.toml" {
                texts.extend(content.as_str());
            }
        }
    }
    Named { addresses: texts.into_iter().flat_map(addresses).collect(), secrets }
}

/// `scheme://user@host:port` wherever it stands in a text.
fn addresses(text: &str) -> Vec<(String, u16)> {
    text.match_indices("://")
        .filter_map(|(place, found)| {
            let rest = &text[place + found.len()..];
            let authority = rest.split(|c: char| "/?#\"' ,]\n".contains(c)).next()?;
            let (host, port) = authority.rsplit('@').next()?.rsplit_once(':')?;
            Some((host.to_owned(), port.parse().ok()?))
        })
        .collect()
}

/// Whether one of the addresses is a Service that leads to this port of this pod; or stands in one of the Secrets, as the Service
/// says itself.
fn names(named: &Named<'_>, to: &Pod<'_>, port: u16, objects: &[Object]) -> bool {
    let services = objects.iter().filter(|object| object.kind() == "Service");
    services.filter(|service| leads_to(service, to)).any(|service| {
        let in_secrets = text(&service.0, "/metadata/annotations/address-in-secrets");
        let in_secret =
            in_secrets.split(',').map(str::trim).any(|secret| !secret.is_empty() && named.secrets.contains(secret));
        list(&service.0, "/spec/ports").iter().any(|entry| {
            let outside = at(entry, "/port").as_u64().unwrap_or_default();
            let inside = match at(entry, "/targetPort") {
                serde_json::Value::String(name) => ports(to).find(|(known, _)| known == name).map(|(_, port)| port),
                serde_json::Value::Null => u16::try_from(outside).ok(),
                number => number.as_u64().and_then(|number| u16::try_from(number).ok()),
            };
            let addressed = named
                .addresses
                .iter()
                .any(|(host, number)| u64::from(*number) == outside && host.split('.').next() == Some(service.name()));
            inside == Some(port) && (addressed || in_secret)
        })
    })
}

fn leads_to(service: &Object, pod: &Pod<'_>) -> bool {
    let selector = super::manifest::object(&service.0, "/spec/selector");
    !selector.is_empty() && selector.iter().all(|(name, value)| pod.labels().get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn program(name: &str, role: &str) -> Object {
        Object(json!({
            "kind": "Pod", "metadata": { "name": name, "labels": { ROLE: role, EXCHANGE: name } },
            "spec": { "containers": [{ "ports": [{ "name": "grpc", "containerPort": 8443 }] }] },
        }))
    }

    fn policy(selector: Value, rules: Value) -> Object {
        let mut spec = json!({ "podSelector": selector, "policyTypes": ["Ingress", "Egress"] });
        spec.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
        Object(json!({ "kind": "NetworkPolicy", "metadata": { "name": "p" }, "spec": spec }))
    }

    fn role(role: &str) -> Value {
        json!({ "podSelector": { "matchLabels": { ROLE: role } } })
    }

    /// Freeze follows intake, and nobody may call freeze.
    fn mesh() -> (Vec<Object>, Callers) {
        let calls = json!([{ "port": 8443 }]);
        let objects = vec![
            program("intake", "intake"),
            program("freeze", "freeze"),
            policy(json!({}), json!({})),
            policy(
                role("intake")["podSelector"].clone(),
                json!({ "ingress": [{ "from": [role("freeze")], "ports": calls }] }),
            ),
            policy(
                role("freeze")["podSelector"].clone(),
                json!({ "egress": [{ "to": [role("intake")], "ports": calls }] }),
            ),
        ];
        let callers = Callers::from([
            ("intake".to_owned(), BTreeSet::from(["freeze".to_owned()])),
            ("freeze".to_owned(), BTreeSet::new()),
        ]);
        (objects, callers)
    }

    #[test]
    fn what_may_call_can_connect_and_nothing_else_can() {
        let (objects, callers) = mesh();
        assert_eq!(judge(&objects, "haetae", &callers), Reach { pairs: 4, findings: Vec::new() });
    }

    #[test]
    fn a_caller_that_cannot_connect_is_found() {
        let (mut objects, callers) = mesh();
        objects.pop();
        let found = judge(&objects, "haetae", &callers).findings;
        assert_eq!(found, ["Pod/freeze → Pod/intake port 8443 (grpc): must be able to connect, but cannot"]);
    }

    #[test]
    fn a_connection_that_no_contract_asks_for_is_found() {
        let (objects, mut callers) = mesh();
        callers.insert("intake".to_owned(), BTreeSet::new());
        let found = judge(&objects, "haetae", &callers).findings;
        assert_eq!(found, ["Pod/freeze → Pod/intake port 8443 (grpc): can connect, but must not"]);
    }

    #[test]
    fn an_open_port_that_nobody_listens_on_is_found() {
        let (mut objects, callers) = mesh();
        let everyone =
            json!({ "egress": [{ "to": [{ "podSelector": {} }] }], "ingress": [{ "from": [{ "podSelector": {} }] }] });
        objects.push(policy(json!({}), everyone));
        assert!(judge(&objects, "haetae", &callers).findings.iter().any(|found| found.contains("nobody listens on")));
    }

    #[test]
    fn a_rehearsal_exchange_is_called_by_its_own_connector_alone() {
        let connector = program("upbit", "connector");
        let (own, other) = (program("upbit", "sandbox"), program("bithumb", "sandbox"));
        let may = |to: &Object| may_call(&connector.pod().unwrap(), &to.pod().unwrap(), CALLS, &Callers::new());
        assert_eq!((may(&own), may(&other)), (Some(true), Some(false)));
    }

    #[test]
    fn addresses_are_found_in_any_text() {
        let text = r#"url = "postgres://freeze@db.haetae.svc:5432/x?sslmode=require"
endpoints = ["https://intake:8443", "https://tracking:8443"]"#;
        let expected = [("db.haetae.svc", 5432), ("intake", 8443), ("tracking", 8443)];
        assert_eq!(addresses(text), expected.map(|(host, port)| (host.to_owned(), port)));
    }

    #[test]
    fn the_contracts_name_callers_for_every_program() {
        let callers = callers().unwrap();
        for program in ["intake", "tracking", "freeze", "connector", "sandbox"] {
            assert!(!callers[program].is_empty(), "{program}");
        }
        assert!(callers["intake"].contains("freeze") && !callers["freeze"].contains("agency"));
    }

    #[test]
    fn the_charts_list_must_be_the_contracts() {
        let (_, callers) = mesh();
        let mut listed = callers.clone();
        assert!(compare(&listed, &callers).is_empty());
        listed.get_mut("freeze").unwrap().insert("agency".to_owned());
        assert_eq!(compare(&listed, &callers).len(), 1);
    }
}
