//! The rehearsal contracts on the chain are the sources beside them.

use std::process::Command;

use haetae_testkit::parts::{Install, Part, ensure};

#[test]
fn the_bytecode_is_what_the_sources_compile_to() {
    let parts = ensure(&[Part::Solc], Install::Allowed).unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/contracts");
    let compiled =
        Command::new("node").arg(format!("{folder}/build.mjs")).arg(parts.path(Part::Solc).unwrap()).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let fresh: serde_json::Value = serde_json::from_slice(&compiled.stdout).unwrap();
    let stored: serde_json::Value = serde_json::from_str(haetae_tests::chain::BYTECODE).unwrap();
    assert_eq!(fresh, stored, "run build.mjs and store what it prints in contracts/bytecode.json");
}
