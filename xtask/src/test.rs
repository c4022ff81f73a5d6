//! `cargo xtask test`.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, bail};
use haetae_testkit::parts::{Install, Part, ensure};

/// Everything that a cold machine needs, then everything that is tested.
pub(crate) fn run(all: bool, install: Install) -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let parts = ensure(&[Part::Postgres, Part::Redis, Part::Anvil, Part::Buf, Part::Solc, Part::Python], install)?;

    step("contracts", Command::new(parts.path(Part::Buf)?).arg("lint").current_dir(root.join("proto")))?;
    let cargo = || {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(root);
        cargo
    };
    step("build", cargo().args(["test", "--workspace", "--no-run"]))?;
    // The services' programs were built with their tests. Built alone they would be built anew: cargo joins other features.
    let programs = std::env::current_exe()?.parent().context("xtask lies in a folder")?.to_owned();
    let tests = |arguments: &[&str]| {
        let mut tests = cargo();
        tests.args(arguments).env("HAETAE_BIN_DIR", &programs);
        tests
    };
    step("units, properties, databases, the whole mesh", &mut tests(&["test", "--workspace"]))?;
    if all {
        let long = ["test", "--workspace", "--test", "mesh", "--", "--ignored"];
        step("long suites", &mut tests(&long))?;
    }
    Ok(())
}

fn step(what: &str, command: &mut Command) -> Result<()> {
    eprintln!("== {what}");
    let began = Instant::now();
    let status = command.status().with_context(|| format!("{what}: cannot be run"))?;
    if !status.success() {
        bail!("{what}: failed");
    }
    eprintln!("== {what}: passed in {} s", began.elapsed().as_secs());
    Ok(())
}
