//! A client in another language, written from the guide alone, on a running mesh.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use haetae_testkit::parts::{Install, python_with};
use haetae_tests::{Actor, COIN, Options, Replicas};
use serde_json::Value;

use crate::alone;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

/// A Python with what the client needs.
fn python() -> PathBuf {
    python_with(&Path::new(FOLDER).join("requirements.txt"), Install::Allowed).unwrap()
}

fn run(command: &mut Command, hint: &str) -> String {
    let ended = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}; {hint}"));
    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?} failed; {hint}\n{complaint}");
    String::from_utf8(ended.stdout).unwrap()
}

#[test]
fn the_worked_examples_of_the_guide_are_right() {
    run(Command::new(python()).args(["agency.py", "--vectors"]).current_dir(FOLDER), "the guide and the code differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agency_client_in_python_submits_approves_and_follows() {
    let python = tokio::task::spawn_blocking(python).await.unwrap();
    let alone = alone(Options { replicas: Replicas::Two, ..Options::default() }).await;
    let mesh = &alone.mesh;
    let account = mesh.customers.open("coinone", "hana").await.unwrap();
    let path = |name: &str| mesh.house.path(name);
    let mut client = Command::new(python);
    client.arg("agency.py").current_dir(FOLDER);
    for endpoint in mesh.house.endpoints("intake").unwrap() {
        client.arg("--endpoint").arg(endpoint);
    }
    client
        .args(["--server-name", "intake"])
        .arg("--cert")
        .arg(path("certs/knp-portal/tls.crt"))
        .arg("--key")
        .arg(path("certs/knp-portal/tls.key"))
        .arg("--ca")
        .arg(path("certs/knp-portal/ca.crt"))
        .arg("--asker-token")
        .arg(path("tokens/ji-woo"))
        .arg("--approver-token")
        .arg(path("tokens/min-jun"))
        .args(["--confirm", &account])
        .args(["--root", &Actor::named("python's thief").account()])
        .args(["--stolen", &format!("{COIN}=1000000000000000000")])
        .arg("--exchange-key")
        .arg(format!("coinone={}", path("keys/coinone.pub.pem").display()))
        .arg("--exchange-key")
        .arg(format!("binance={}", path("keys/binance.pub.pem").display()));
    let printed = tokio::task::spawn_blocking(move || run(&mut client, "see what it printed")).await.unwrap();
    let outcome: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(outcome["ok"], true);
    assert_eq!(outcome["confirmation"]["verified"].as_array().map(Vec::len), Some(2), "{outcome}");
}
