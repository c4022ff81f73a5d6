//! Which crate may depend on which: arrows run one way only.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// What each library may use of the house. Services and tools may use every library but testkit, and no service.
const LIBRARIES: [(&str, &[&str]); 7] = [
    ("haetae-core", &[]),
    ("haetae-seal", &[]),
    ("haetae-wire", &["haetae-core", "haetae-seal"]),
    ("haetae-mesh", &["haetae-wire"]),
    ("haetae-ledger", &["haetae-wire", "haetae-seal"]),
    ("haetae-service", &["haetae-core", "haetae-wire", "haetae-seal", "haetae-mesh", "haetae-ledger"]),
    ("haetae-testkit", &[]),
];

fn arrows() -> BTreeMap<String, Vec<String>> {
    let metadata = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: Vec<_> = packages.iter().map(|package| package["name"].as_str().unwrap().to_owned()).collect();
    let ours = |dependency: &Value| {
        let name = dependency["name"].as_str().unwrap().to_owned();
        (dependency["kind"].is_null() && names.contains(&name)).then_some(name)
    };
    packages
        .iter()
        .map(|package| {
            let arrows = package["dependencies"].as_array().unwrap().iter().filter_map(ours).collect();
            (package["name"].as_str().unwrap().to_owned(), arrows)
        })
        .collect()
}

#[test]
fn libraries_depend_only_downwards() {
    let arrows = arrows();
    for (library, allowed) in LIBRARIES {
        for used in &arrows[library] {
            assert!(allowed.contains(&used.as_str()), "{library} must not use {used}");
        }
    }
}

#[test]
fn services_depend_on_no_service_and_on_no_test_library() {
    let arrows = arrows();
    let services = ["haetae-intake", "haetae-tracking", "haetae-freeze", "haetae-connector", "haetae-sandbox"];
    for (package, used) in &arrows {
        for service in services {
            assert!(!used.iter().any(|name| name == service), "{package} must not use {service}");
        }
    }
    for service in services.into_iter().chain(["haetae"]) {
        for test_only in ["haetae-testkit", "haetae-tests"] {
            assert!(!arrows[service].iter().any(|name| name == test_only), "{service} must not use {test_only}");
        }
    }
}
