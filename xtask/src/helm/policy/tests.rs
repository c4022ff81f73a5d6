//! A release that passes, and what is found when one thing about it is wrong.

use serde_json::{Value, json};

use super::judge;
use crate::helm::manifest::Object;

/// Two replicas of a program, and everything that belongs to them.
fn release() -> Vec<Value> {
    let labels = json!({ "app": "haetae", "part": "freeze" });
    vec![
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "freeze" },
            "spec": {
                "replicas": 2,
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": {
                    "serviceAccountName": "freeze",
                    "automountServiceAccountToken": false,
                    "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
                    "topologySpreadConstraints": [{ "labelSelector": { "matchLabels": labels } }],
                    "volumes": [{ "name": "tmp", "emptyDir": { "sizeLimit": "16Mi" } }],
                    "containers": [{
                        "name": "freeze", "image": "registry:5000/haetae:0.1.0",
                        "ports": [{ "name": "calls", "containerPort": 8443 }],
                        "env": [{ "name": "PGPASSWORD", "valueFrom": { "secretKeyRef": { "name": "db", "key": "password" } } }],
                        "securityContext": {
                            "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
                        },
                        "resources": { "requests": { "cpu": "1", "memory": "1Gi" }, "limits": { "cpu": "1", "memory": "1Gi" } },
                        "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
                        "readinessProbe": {}, "livenessProbe": {},
                    }],
                } },
            },
        }),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "freeze" } }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "freeze" },
            "spec": { "selector": labels, "ports": [{ "port": 8443, "targetPort": "calls" }] },
        }),
        json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "freeze" },
            "spec": { "selector": { "matchLabels": labels }, "maxUnavailable": 1 },
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "nothing" },
            "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"] },
        }),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "empty" } }),
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "freeze" }, "data": {} }),
    ]
}

fn judged(release: Vec<Value>) -> Vec<String> {
    judge(&release.into_iter().map(Object).collect::<Vec<_>>())
}

const POD: &str = "/0/spec/template/spec";

#[test]
fn the_release_passes() {
    assert_eq!(judged(release()), Vec::<String>::new());
}

#[test]
fn each_thing_that_is_wrong_is_found() {
    let container = |key: &str| format!("{POD}/containers/0/{key}");
    let cases = [
        (container("image"), json!("haetae:latest"), "latest"),
        (container("image"), json!("registry:5000/haetae"), "neither tag nor digest"),
        (container("resources/limits/memory"), Value::Null, "no limits.memory"),
        (container("resources/requests/cpu"), Value::Null, "no requests.cpu"),
        (container("securityContext/readOnlyRootFilesystem"), json!(false), "can be written"),
        (container("securityContext/allowPrivilegeEscalation"), Value::Null, "allowPrivilegeEscalation"),
        (container("securityContext/capabilities/drop"), json!([]), "drop ALL"),
        (container("readinessProbe"), Value::Null, ""),
        (container("env/0"), json!({ "name": "PGPASSWORD", "value": "hunter2" }), "holds its secret itself"),
        (container("volumeMounts/0/name"), json!("elsewhere"), "no volume"),
        (container("ports/0/name"), json!("probes"), "has no port"),
        (format!("{POD}/securityContext/runAsNonRoot"), json!(false), "runAsNonRoot"),
        (format!("{POD}/securityContext/seccompProfile"), json!({}), "seccomp"),
        (format!("{POD}/automountServiceAccountToken"), Value::Null, "token"),
        (format!("{POD}/topologySpreadConstraints"), json!([]), "all be on one node"),
        (format!("{POD}/volumes/0"), json!({ "name": "tmp", "hostPath": { "path": "/" } }), "folder of the node"),
        (format!("{POD}/volumes/0/emptyDir"), json!({}), "sizeLimit"),
        (format!("{POD}/serviceAccountName"), json!("intake"), "no ServiceAccount"),
        ("/0/spec/selector/matchLabels/part".to_owned(), json!("intake"), "own pods"),
        ("/2/spec/selector/part".to_owned(), json!("intake"), "selects no pod"),
        ("/3/spec/selector/matchLabels/part".to_owned(), json!("intake"), "without a disruption budget"),
        ("/3/spec/maxUnavailable".to_owned(), json!(0), "lets no node be drained"),
        ("/4/spec/policyTypes".to_owned(), json!(["Ingress"]), "denies egress"),
        ("/4/spec/podSelector".to_owned(), json!({ "matchLabels": { "part": "intake" } }), "denies ingress"),
        (
            "/4/spec".to_owned(),
            json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{}] }),
            "everybody",
        ),
        (
            "/5".to_owned(),
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "data": { "a": "Yg==" } }),
            "holds data",
        ),
        ("/6/data".to_owned(), json!({ "haetae.toml": "url = \"postgres://a:b@c\"" }), "URL with a password"),
        ("/6/data".to_owned(), json!({ "key.pem": "-----BEGIN PRIVATE KEY-----" }), "private key"),
        ("/6/kind".to_owned(), json!("ServiceAccount"), "is there twice"),
    ];
    for (pointer, wrong, expected) in cases {
        let mut release = Value::Array(release());
        *release.pointer_mut(&pointer).unwrap_or_else(|| panic!("{pointer}")) = wrong;
        if expected.is_empty() {
            // A probe that is absent, not one that is null.
            release
                .pointer_mut(&format!("{POD}/containers/0"))
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove("readinessProbe");
        }
        let Value::Array(release) = release else { unreachable!() };
        let found = judged(release);
        assert!(found.iter().any(|finding| finding.contains(expected)), "{pointer}: {found:?}");
    }
}

#[test]
fn one_replica_needs_no_disruption_budget() {
    let mut release = release();
    release[0]["spec"]["replicas"] = json!(1);
    release.remove(3);
    assert_eq!(judged(release), Vec::<String>::new());
}

#[test]
fn pods_of_two_workloads_must_not_be_mixed_up() {
    let mut release = release();
    let mut second = release[0].clone();
    second["metadata"]["name"] = json!("freeze-again");
    release.push(second);
    assert!(judged(release).iter().any(|finding| finding.contains("also selects the pods of Deployment/freeze")));
}
