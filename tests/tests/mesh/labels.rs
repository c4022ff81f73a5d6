//! Labels, by the command line: in at the one door, and known to everybody.

use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use haetae_tests::{Mesh, Options, Who, until};
use serde_json::Value;
use tokio::process::Command;

use crate::{alone, haetae};

const PATIENCE: Duration = Duration::from_secs(60);
const MIXER: &str = "eip155:1:0x47CE0C6eD5B0Ce3d3A51fdb1C52DC66a7c3c2936";

/// What a person has the command line do: how it ended, and the document it printed.
pub(crate) async fn by(who: Who, mesh: &Mesh, words: &[&str]) -> (i32, Value, String) {
    let profile = mesh.house.write_profile(&mesh.chain.token()).unwrap();
    let mut command = Command::new(haetae());
    command.arg("--profile").arg(profile).args(["--json", "--as", who.slug()]).args(words);
    let output = command.output().await.unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_default(), text)
}

/// Waits until this many labels of an address count.
async fn known(mesh: &Mesh, address: &str, count: usize, patience: Duration) -> Value {
    let known = until("the labels are known", patience, async || {
        let (_, said, _) = by(Who::JiWoo, mesh, &["labels", "show", address]).await;
        let labels = said["labels"].as_array().cloned().unwrap_or_default();
        let count_now = labels.iter().filter(|label| label["superseded_by"] == "").count();
        Ok((count_now == count).then_some(said))
    });
    known.await.unwrap()
}

fn well_known() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/haetae/labels/well-known.yaml");
    std::fs::read_to_string(file).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_an_operator_imports_are_known_to_everybody_with_where_they_are_from() {
    let alone = alone(Options::default()).await;
    let mesh = &alone.mesh;
    let file = mesh.house.path("well-known.yaml");
    std::fs::write(&file, well_known()).unwrap();
    let file = file.to_str().unwrap();

    let (code, _, text) = by(Who::JiWoo, mesh, &["labels", "import", file]).await;
    assert!(code == 1 && text.contains("ROLE_MISSING"), "{text}");
    let (code, first, text) = by(Who::SuBin, mesh, &["labels", "import", file]).await;
    assert_eq!(code, 0, "{text}");
    let said = known(mesh, MIXER, 1, PATIENCE).await;
    let label = &said["labels"][0];
    assert_eq!((label["says"]["label"].as_str(), label["confidence"].as_u64()), (Some("Tornado Cash 1 ETH"), Some(60)));
    assert_eq!((&label["pack_id"], label["person"].as_str()), (&first["packs"][0]["pack_id"], Some("knp-su-bin")));

    // A newer version takes its place, and the older one can still be written out as it was.
    std::fs::write(file, well_known().replace("Tornado Cash 1 ETH", "Tornado Cash, one ether")).unwrap();
    let (code, newer, text) = by(Who::SuBin, mesh, &["labels", "import", file]).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(newer["packs"][0]["superseded_pack_id"], first["packs"][0]["pack_id"]);
    let changed = until("the newer version counts", PATIENCE, async || {
        let (_, said, _) = by(Who::JiWoo, mesh, &["labels", "show", MIXER]).await;
        Ok((said["labels"][0]["says"]["label"] == "Tornado Cash, one ether").then_some(said))
    });
    assert_eq!(changed.await.unwrap()["labels"].as_array().unwrap().len(), 2);
    let out = mesh.house.path("out.yaml");
    let id = first["packs"][0]["pack_id"].as_str().unwrap();
    let words = ["labels", "export", "--pack", id, "--out", out.to_str().unwrap()];
    let (code, _, text) = by(Who::JiWoo, mesh, &words).await;
    assert_eq!(code, 0, "{text}");
    let (code, checked, text) = by(Who::JiWoo, mesh, &["labels", "check", out.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(checked["packs"][0]["labels"], first["packs"][0]["labels"]);
}

/// From the file to the last label that is known.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; run it alone"]
async fn two_hundred_thousand() {
    const LABELS: u64 = 200_000;
    let alone = alone(Options::default()).await;
    let mesh = &alone.mesh;
    let mut text = "title: Many\ncreator: test\nsource: https://labels.test\ncurrency: ETH\ntags:\n".to_owned();
    for n in 1..=LABELS {
        writeln!(text, "- address: '0x{n:040x}'\n  label: wallet {n}\n  actor: one\n  concepts:\n  - exchange")
            .unwrap();
    }
    let file = mesh.house.path("many.yaml");
    std::fs::write(&file, text).unwrap();
    let begun = Instant::now();
    let (code, _, text) = by(Who::SuBin, mesh, &["labels", "import", file.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{text}");
    let taken = begun.elapsed();
    known(mesh, &format!("0x{LABELS:040x}"), 1, Duration::from_secs(300)).await;
    let known = begun.elapsed();
    println!("{LABELS} labels: taken in after {taken:?}, known after {known:?}");
    assert!(known < Duration::from_mins(1), "{known:?}");
}
