//! What objects say about one another.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::helm::manifest::{Object, at, list, object, selects, text};
use crate::helm::network::ports;

pub(super) fn findings(objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    twice(objects, &mut found);
    workloads(objects, &mut found);
    services(objects, &mut found);
    references(objects, &mut found);
    policies(objects, &mut found);
    found
}

/// The second of two objects with one name would replace the first.
fn twice(objects: &[Object], found: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for object in objects {
        let key = (object.api_version(), object.kind(), text(&object.0, "/metadata/namespace"), object.name());
        if !seen.insert(key) {
            found.push(format!("{} is there twice", object.title()));
        }
    }
}

/// A workload whose selector takes another's pods would fight over them.
fn workloads(objects: &[Object], found: &mut Vec<String>) {
    let controllers =
        || objects.iter().filter(|object| matches!(object.kind(), "Deployment" | "StatefulSet" | "DaemonSet"));
    for controller in controllers() {
        let selector = controller.at("/spec/selector");
        if object(selector, "").is_empty() {
            found.push(format!("{} has no selector", controller.title()));
            continue;
        }
        for other in objects {
            let Some(pod) = other.pod() else { continue };
            let own = other.title() == controller.title();
            if selects(selector, pod.labels()) != own {
                let what = if own { "does not select its own pods" } else { "also selects the pods of" };
                let whose = if own { String::new() } else { format!(" {}", other.title()) };
                found.push(format!("{} {what}{whose}", controller.title()));
            }
        }
    }
    for scaler in objects.iter().filter(|object| object.kind() == "HorizontalPodAutoscaler") {
        let target = controllers().find(|controller| {
            controller.kind() == text(&scaler.0, "/spec/scaleTargetRef/kind")
                && controller.name() == text(&scaler.0, "/spec/scaleTargetRef/name")
        });
        match target {
            None => found.push(format!("{} scales what is not there", scaler.title())),
            Some(target) if !target.at("/spec/replicas").is_null() => {
                found.push(format!("{}: replicas are said here and by {}", target.title(), scaler.title()));
            }
            Some(_) => {}
        }
    }
}

/// A Service without pods, or to a port that nothing listens on, is found at the first call.
fn services(objects: &[Object], found: &mut Vec<String>) {
    for service in objects.iter().filter(|object| object.kind() == "Service") {
        let selector = json!({ "matchLabels": service.at("/spec/selector") });
        if service.at("/spec/selector").is_null() {
            continue;
        }
        let pods: Vec<_> =
            objects.iter().filter_map(Object::pod).filter(|pod| selects(&selector, pod.labels())).collect();
        if pods.is_empty() {
            found.push(format!("{} selects no pod", service.title()));
        }
        for port in list(&service.0, "/spec/ports") {
            let target = match at(port, "/targetPort") {
                Value::Null => at(port, "/port"),
                said => said,
            };
            for pod in &pods {
                let open = ports(pod).any(|(name, number)| target == &json!(name) || target == &json!(number));
                if !open {
                    found.push(format!("{}: {} has no port {target}", service.title(), pod.title()));
                }
            }
        }
    }
}

/// What pods name of our own must be there. Secrets are not ours: they exist before.
fn references(objects: &[Object], found: &mut Vec<String>) {
    let is_there = |kind: &str, name: &str| objects.iter().any(|object| object.kind() == kind && object.name() == name);
    for pod in objects.iter().filter_map(Object::pod) {
        let account = text(pod.spec(), "/serviceAccountName");
        if !account.is_empty() && account != "default" && !is_there("ServiceAccount", account) {
            found.push(format!("{}: no ServiceAccount {account}", pod.title()));
        }
        let priority = text(pod.spec(), "/priorityClassName");
        let ours = objects.iter().any(|object| object.kind() == "PriorityClass");
        if ours && !priority.is_empty() && !priority.starts_with("system-") && !is_there("PriorityClass", priority) {
            found.push(format!("{}: no PriorityClass {priority}", pod.title()));
        }
        let volumes: BTreeSet<_> = list(pod.spec(), "/volumes").iter().map(|volume| text(volume, "/name")).collect();
        for container in pod.containers() {
            for mount in list(container, "/volumeMounts") {
                let name = text(mount, "/name");
                if !volumes.contains(name) {
                    found.push(format!("{}: mounts {name}, which is no volume", pod.title()));
                }
            }
        }
    }
}

/// A rule without peers lets everybody through, and looks like one that lets nobody.
fn policies(objects: &[Object], found: &mut Vec<String>) {
    for policy in objects.iter().filter(|object| object.kind() == "NetworkPolicy") {
        for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
            for rule in list(&policy.0, &format!("/spec/{rules}")) {
                if list(rule, &format!("/{peers}")).is_empty() {
                    found.push(format!("{}: a rule for {rules} names nobody, which means everybody", policy.title()));
                }
                if list(rule, "/ports").is_empty() {
                    found.push(format!("{}: a rule for {rules} names no port, which means all", policy.title()));
                }
            }
        }
    }
}
