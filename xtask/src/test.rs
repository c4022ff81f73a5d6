//! `cargo xtask test`.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, bail};
use haetae_testkit::parts::{Install, Part, ensure};

/// Everything that a cold machine needs, then everything that is tested.
pub(crate) fn run(all: bool, install: Install) -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let parts = ensure(&[Part::Postgres, Part::Redis, Part::Anvil, Part::Buf, Part::Solc], install)?;

    step("contracts", Command::new(parts.path(Part::Buf)?).arg("lint").current_dir(root.join("proto")))?;
    let cargo = || {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(root);
        cargo
    };
    step("units, properties, databases, the whole mesh", cargo().args(["test", "--workspace"]))?;
    if all {
        let long = ["test", "--package", "haetae-tests", "--", "--ignored"];
        step("long suites", cargo().args(long))?;
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
