//! What network policies let through, by the rules of Kubernetes: a pod that some policy selects is closed in that
//! direction but for what any policy that selects it allows, and a connection needs both ends' consent.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::manifest::{Object, Pod, list, object, selects, text};

/// The address that stands for a pod where a policy names blocks of addresses: clusters give pods private ones.
const POD_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 7);

/// A direction, seen from the pod that a policy selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Ingress,
    Egress,
}

/// All policies of a namespace.
pub(crate) struct Policies<'a> {
    policies: Vec<&'a Object>,
    namespace: Map<String, Value>,
}

impl<'a> Policies<'a> {
    /// The policies among these objects, which are all in one namespace.
    pub(crate) fn of(objects: &'a [Object], namespace: &str) -> Self {
        let policies = objects.iter().filter(|object| object.kind() == "NetworkPolicy").collect();
        let labels = json!({ "kubernetes.io/metadata.name": namespace });
        Self { policies, namespace: object(&labels, "").clone() }
    }

    /// Whether nothing passes in this direction unless a policy says so.
    pub(crate) fn closes(&self, pod: &Pod<'_>, direction: Direction) -> bool {
        self.selecting(pod, direction).next().is_some()
    }

    /// Whether a connection from one pod to a port of another is let through.
    pub(crate) fn let_through(&self, from: &Pod<'_>, to: &Pod<'_>, port: u16) -> bool {
        let out = !self.closes(from, Direction::Egress)
            || self.selecting(from, Direction::Egress).any(|policy| {
                list(&policy.0, "/spec/egress")
                    .iter()
                    .any(|rule| self.names(list(rule, "/to"), to) && opens(list(rule, "/ports"), to, port))
            });
        let into = !self.closes(to, Direction::Ingress)
            || self.selecting(to, Direction::Ingress).any(|policy| {
                list(&policy.0, "/spec/ingress")
                    .iter()
                    .any(|rule| self.names(list(rule, "/from"), from) && opens(list(rule, "/ports"), to, port))
            });
        out && into
    }

    fn selecting(&self, pod: &Pod<'_>, direction: Direction) -> impl Iterator<Item = &'a Object> {
        self.policies
            .iter()
            .copied()
            .filter(move |policy| selects(policy.at("/spec/podSelector"), pod.labels()) && governs(policy, direction))
    }

    /// Whether the pod is among a rule's peers. A rule without any names everybody.
    fn names(&self, peers: &[Value], pod: &Pod<'_>) -> bool {
        peers.is_empty()
            || peers.iter().any(|peer| match peer.get("ipBlock") {
                Some(block) => {
                    covers(text(block, "/cidr"), POD_ADDRESS)
                        && !list(block, "/except")
                            .iter()
                            .any(|except| except.as_str().is_some_and(|except| covers(except, POD_ADDRESS)))
                }
                None => {
                    let namespace = peer.get("namespaceSelector");
                    namespace.is_none_or(|selector| selects(selector, &self.namespace))
                        && peer.get("podSelector").is_none_or(|selector| selects(selector, pod.labels()))
                }
            })
    }
}

/// A policy without types governs ingress, and egress where it has rules for it.
fn governs(policy: &Object, direction: Direction) -> bool {
    let types = list(&policy.0, "/spec/policyTypes");
    match direction {
        Direction::Ingress => types.is_empty() || types.contains(&json!("Ingress")),
        Direction::Egress => {
            types.contains(&json!("Egress")) || (types.is_empty() && !policy.at("/spec/egress").is_null())
        }
    }
}

/// Whether a rule's ports hold this one. A rule without any opens them all; names are those of the destination's ports.
fn opens(ports: &[Value], destination: &Pod<'_>, port: u16) -> bool {
    ports.is_empty()
        || ports.iter().any(|entry| {
            let protocol = text(entry, "/protocol");
            if !(protocol.is_empty() || protocol == "TCP") {
                return false;
            }
            match entry.get("port") {
                None => true,
                Some(Value::String(name)) => port_named(destination, name) == Some(port),
                Some(first) => {
                    let first = first.as_u64().unwrap_or_default();
                    let last = entry.get("endPort").and_then(Value::as_u64).unwrap_or(first);
                    (first..=last).contains(&u64::from(port))
                }
            }
        })
}

/// A pod's port by its name.
fn port_named(pod: &Pod<'_>, name: &str) -> Option<u16> {
    ports(pod).find_map(|(known, port)| (known == name).then_some(port))
}

/// Ports that a pod's containers say they listen on, with their names.
pub(crate) fn ports<'a>(pod: &Pod<'a>) -> impl Iterator<Item = (&'a str, u16)> + use<'a> {
    list(pod.spec(), "/containers").iter().flat_map(|container| list(container, "/ports")).filter_map(|port| {
        let number = port.get("containerPort")?.as_u64()?;
        Some((text(port, "/name"), u16::try_from(number).ok()?))
    })
}

/// Whether a block of IPv4 addresses, `a.b.c.d/n`, holds an address.
fn covers(block: &str, address: Ipv4Addr) -> bool {
    let Some((network, length)) = block.split_once('/') else { return false };
    let (Ok(network), Ok(length)) = (network.parse::<Ipv4Addr>(), length.parse::<u32>()) else { return false };
    let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
    network.to_bits() & mask == address.to_bits() & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(part: &str, port: u16) -> Object {
        Object(json!({
            "kind": "Pod",
            "metadata": { "name": part, "labels": { "part": part } },
            "spec": { "containers": [{ "ports": [{ "name": "calls", "containerPort": port }] }] },
        }))
    }

    fn policy(spec: Value) -> Object {
        Object(json!({ "kind": "NetworkPolicy", "metadata": { "name": "p" }, "spec": spec }))
    }

    fn passes(policies: &[Object], port: u16) -> bool {
        let (from, to) = (pod("freeze", 8443), pod("intake", 8443));
        Policies::of(policies, "haetae").let_through(&from.pod().unwrap(), &to.pod().unwrap(), port)
    }

    fn closed() -> Object {
        policy(json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }))
    }

    fn to_intake(ports: Value) -> Object {
        policy(json!({
            "podSelector": { "matchLabels": { "part": "freeze" } },
            "policyTypes": ["Egress"],
            "egress": [{ "to": [{ "podSelector": { "matchLabels": { "part": "intake" } } }], "ports": ports }],
        }))
    }

    fn from_freeze() -> Object {
        policy(json!({
            "podSelector": { "matchLabels": { "part": "intake" } },
            "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "part": "freeze" } } }], "ports": [{ "port": "calls" }] }],
        }))
    }

    #[test]
    fn without_policies_everything_passes() {
        assert!(passes(&[], 8443));
    }

    #[test]
    fn a_pod_that_is_selected_is_closed() {
        assert!(!passes(&[closed()], 8443));
    }

    #[test]
    fn a_connection_needs_both_ends_consent() {
        let ports = json!([{ "port": 8443 }]);
        assert!(!passes(&[closed(), to_intake(ports.clone())], 8443));
        assert!(!passes(&[closed(), from_freeze()], 8443));
        assert!(passes(&[closed(), to_intake(ports.clone()), from_freeze()], 8443));
        assert!(!passes(&[closed(), to_intake(ports), from_freeze()], 8080));
    }

    #[test]
    fn names_of_ports_are_the_destinations() {
        assert!(passes(&[closed(), to_intake(json!([{ "port": "calls" }])), from_freeze()], 8443));
        assert!(!passes(&[closed(), to_intake(json!([{ "port": "probes" }])), from_freeze()], 8443));
    }

    #[test]
    fn a_block_of_all_addresses_opens_the_way_to_pods_unless_private_ones_are_excepted() {
        let world = |except: Value| {
            policy(json!({
                "podSelector": {},
                "policyTypes": ["Egress"],
                "egress": [{ "to": [{ "ipBlock": { "cidr": "0.0.0.0/0", "except": except } }] }],
            }))
        };
        assert!(passes(&[closed(), world(json!([])), from_freeze()], 8443));
        assert!(!passes(&[closed(), world(json!(["10.0.0.0/8"])), from_freeze()], 8443));
    }

    #[test]
    fn another_namespaces_peers_are_not_ours() {
        let elsewhere = policy(json!({
            "podSelector": {},
            "ingress": [{ "from": [{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "elsewhere" } } }] }],
        }));
        assert!(!passes(&[elsewhere], 8443));
    }
}
