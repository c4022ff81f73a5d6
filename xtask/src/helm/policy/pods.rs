//! One workload's pods by themselves.

use serde_json::{Value, json};

use crate::helm::manifest::{Object, Pod, at, list, replicas, selects, text};
use crate::helm::network::{Direction, Policies};

pub(super) fn findings(pod: &Pod<'_>, all: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    security(pod, &mut found);
    for container in pod.containers() {
        let name = text(container, "/name");
        let mut ours = Vec::new();
        image(container, &mut ours);
        resources(container, &mut ours);
        confinement(pod, container, &mut ours);
        found.extend(ours.into_iter().map(|what| format!("container {name}: {what}")));
    }
    if !pod.is_task() {
        for container in list(pod.spec(), "/containers") {
            for probe in ["readinessProbe", "livenessProbe"] {
                if container.get(probe).is_none() {
                    found.push(format!("container {}: no {probe}", text(container, "/name")));
                }
            }
        }
    }
    token(pod, all, &mut found);
    closed(pod, all, &mut found);
    if pod.owner.kind() == "Deployment" {
        spread(pod, all, &mut found);
    }
    found
}

/// What the pod shares with its node.
fn security(pod: &Pod<'_>, found: &mut Vec<String>) {
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        if at(pod.spec(), &format!("/{shared}")) == &json!(true) {
            found.push(format!("{shared} is set"));
        }
    }
    for volume in list(pod.spec(), "/volumes") {
        if volume.get("hostPath").is_some() {
            found.push(format!("volume {} is a folder of the node", text(volume, "/name")));
        }
        if volume.get("emptyDir").is_some_and(|folder| folder.get("sizeLimit").is_none()) {
            found.push(format!("volume {} has no sizeLimit", text(volume, "/name")));
        }
    }
}

/// Names exactly one image: by digest, or by a tag that is not moved.
fn image(container: &Value, found: &mut Vec<String>) {
    let image = text(container, "/image");
    if image.contains("@sha256:") {
        return;
    }
    // A registry's port comes before the last slash, a tag after it.
    match image.rsplit('/').next().and_then(|last| last.split_once(':')) {
        Some((_, "latest")) => found.push(format!("image {image} is whatever is latest")),
        Some((_, tag)) if !tag.is_empty() => {}
        _ => found.push(format!("image {image} has neither tag nor digest")),
    }
}

/// Memory has one amount that is asked for and never exceeded; CPU is limited too, because programs start their threads by it.
fn resources(container: &Value, found: &mut Vec<String>) {
    for kind in ["requests", "limits"] {
        for what in ["cpu", "memory"] {
            if at(container, &format!("/resources/{kind}/{what}")).is_null() {
                found.push(format!("no {kind}.{what}"));
            }
        }
    }
}

/// Pod security "restricted", and a root file system that cannot be written.
fn confinement(pod: &Pod<'_>, container: &Value, found: &mut Vec<String>) {
    let own = |key: &str| at(container, &format!("/securityContext/{key}"));
    let effective = |key: &str| match own(key) {
        Value::Null => at(pod.spec(), &format!("/securityContext/{key}")),
        said => said,
    };
    if own("readOnlyRootFilesystem") != &json!(true) {
        found.push("its root file system can be written".to_owned());
    }
    if own("allowPrivilegeEscalation") != &json!(false) {
        found.push("allowPrivilegeEscalation is not false".to_owned());
    }
    if own("privileged") == &json!(true) {
        found.push("is privileged".to_owned());
    }
    if !list(own("capabilities"), "/drop").contains(&json!("ALL")) {
        found.push("does not drop ALL capabilities".to_owned());
    }
    if !list(own("capabilities"), "/add").is_empty() {
        found.push("adds capabilities".to_owned());
    }
    if effective("runAsNonRoot") != &json!(true) {
        found.push("runAsNonRoot is not set".to_owned());
    }
    if effective("runAsUser").as_u64() == Some(0) {
        found.push("runs as root".to_owned());
    }
    if !matches!(text(effective("seccompProfile"), "/type"), "RuntimeDefault" | "Localhost") {
        found.push("no seccomp profile".to_owned());
    }
}

/// A token for Kubernetes' API only where something was granted to the account.
fn token(pod: &Pod<'_>, all: &[Object], found: &mut Vec<String>) {
    if at(pod.spec(), "/automountServiceAccountToken") == &json!(false) {
        return;
    }
    let account = text(pod.spec(), "/serviceAccountName");
    let granted = all.iter().filter(|object| object.kind().ends_with("RoleBinding")).any(|binding| {
        let subjects = list(&binding.0, "/subjects");
        subjects.iter().any(|subject| text(subject, "/kind") == "ServiceAccount" && text(subject, "/name") == account)
    });
    if !granted {
        found.push("mounts a token of Kubernetes' API that it has no use for".to_owned());
    }
}

/// Nothing comes in and nothing goes out unless a policy says so.
fn closed(pod: &Pod<'_>, all: &[Object], found: &mut Vec<String>) {
    let policies = Policies::of(all, "");
    for (direction, name) in [(Direction::Ingress, "ingress"), (Direction::Egress, "egress")] {
        if !policies.closes(pod, direction) {
            found.push(format!("no policy denies {name} by default"));
        }
    }
}

/// More than one replica must survive a drained node, a lost node and a lost zone.
fn spread(pod: &Pod<'_>, all: &[Object], found: &mut Vec<String>) {
    let (least, _) = replicas(pod.owner, all);
    let budgets: Vec<_> = all
        .iter()
        .filter(|object| object.kind() == "PodDisruptionBudget" && selects(object.at("/spec/selector"), pod.labels()))
        .collect();
    if budgets.len() > 1 {
        found.push("two disruption budgets select its pods, so that none can be evicted".to_owned());
    }
    for budget in &budgets {
        let stays = budget.at("/spec/minAvailable").as_u64().is_some_and(|number| number >= least);
        if stays || budget.at("/spec/maxUnavailable").as_u64() == Some(0) {
            found.push(format!("{} lets no node be drained", budget.title()));
        }
    }
    if least < 2 {
        return;
    }
    if budgets.is_empty() {
        found.push(format!("{least} replicas without a disruption budget"));
    }
    let apart = list(pod.spec(), "/topologySpreadConstraints")
        .iter()
        .any(|constraint| selects(at(constraint, "/labelSelector"), pod.labels()))
        || at(pod.spec(), "/affinity/podAntiAffinity").is_object();
    if !apart {
        found.push(format!("{least} replicas that may all be on one node"));
    }
}
