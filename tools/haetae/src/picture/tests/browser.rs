//! The page in a real browser. It is found as `chromium` on the path, and told what to do by a script that the page's own
//! policy lets in because it is part of the page.

use std::{fs, path::Path, process::Command};

use super::scene::flow;
use crate::picture::html;

/// Runs as the page's user would act, and writes what came of it where the test reads it.
const ACTS: &str = include_str!("acts.js");

fn open(page: &Path) -> (String, String) {
    let ran = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
        .args(["--enable-logging=stderr", "--window-size=1400,900", "--virtual-time-budget=4000", "--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    (String::from_utf8(ran.stdout).unwrap(), String::from_utf8_lossy(&ran.stderr).into_owned())
}

#[test]
#[ignore = "needs a browser: `cargo xtask test --all` runs it"]
fn pictures_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    for size in [8, 500] {
        let page = folder.path().join(format!("{size}.html"));
        fs::write(&page, html::document_with(&flow(size), &format!("{}{ACTS}", html::SCRIPT)).unwrap()).unwrap();
        let (dom, log) = open(&page);
        let (_, told) = dom.split_once("<pre id=\"seen\">").unwrap_or_else(|| panic!("nothing was told: {log}"));
        let (told, _) = told.split_once("</pre>").unwrap();
        let seen: serde_json::Value = serde_json::from_str(&told.replace("&amp;", "&")).unwrap();
        assert_eq!(seen["faults"], serde_json::json!([]), "{size}");
        assert!(!log.contains("CONSOLE"), "{log}");
        for holds in ["zoomed", "fitted", "cleared"] {
            assert_eq!(seen[holds], true, "{holds} at {size}: {seen}");
        }
        assert_eq!(seen["fonts"], "650", "the page's own style is let in");
        assert!(seen["account"].as_array().unwrap().iter().any(|id| id.as_str().unwrap().starts_with("eip155:1:0x")));
        assert!(seen["dimmed"].as_u64().unwrap() > 0 && seen["upstream"].as_u64().unwrap() >= 2, "{seen}");
        assert!(seen["overview"].as_u64().unwrap() >= 2, "what is frozen and where it began: {seen}");
        assert!(seen["found"].as_str().unwrap().ends_with(" found"), "{seen}");
        assert!(seen["hidden"].as_u64().unwrap() > 0 && seen["transfers"].as_u64().unwrap() > 0, "{seen}");
        assert!(size == 8 || seen["expanded"] == true, "{seen}");
    }
}

/// Writes the pictures of all sizes into the folder that `PICTURES` names, to be looked at.
#[test]
#[ignore = "for people's eyes"]
fn pictures_to_look_at() {
    let Some(folder) = std::env::var_os("PICTURES") else { return };
    for size in super::scene::SIZES {
        for (form, ending) in [
            (super::Form::Svg, "svg"),
            (super::Form::Html, "html"),
            (super::Form::Json, "json"),
            (super::Form::Graphml, "graphml"),
        ] {
            let file = Path::new(&folder).join(format!("flow-{size}.{ending}"));
            fs::write(file, super::draw(&flow(size), form).unwrap()).unwrap();
        }
    }
}
