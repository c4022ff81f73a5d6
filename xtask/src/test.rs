//! `cargo xtask test`.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, bail};
use haetae_testkit::parts::{Install, Part, ensure, python_with};

/// Tests that measure: hundreds of thousands of labels, hours of a chain's past, a million watches, a picture of many accounts.
const MEASURES: [&str; 5] = [
    "two_hundred_thousand_tags_are_read",
    "labels::two_hundred_thousand",
    "six_hours_back_is_at_the_head_within_a_minute",
    "reader::tests::speed",
    "five_hundred_accounts_are_laid_out_within_a_second",
];

/// Everything that a cold machine needs, then everything that is tested.
pub(crate) fn run(all: bool, install: Install) -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let parts =
        ensure(&[Part::Postgres, Part::Redis, Part::Anvil, Part::Bcoin, Part::Buf, Part::Solc, Part::Python], install)?;
    python_with(&root.join("tests/python/requirements.txt"), install)?;

    let buf = || -> Result<Command> {
        let mut buf = Command::new(parts.path(Part::Buf)?);
        buf.current_dir(root.join("proto"));
        Ok(buf)
    };
    step("contracts", buf()?.arg("lint"))?;
    match last_release(root) {
        Some(tag) => {
            let against = format!("../.git#tag={tag},subdir=proto");
            step(&format!("contracts against {tag}"), buf()?.args(["breaking", "--against", &against]))?;
        }
        None => eprintln!("== contracts: not compared, there is no release (a tag v…) yet"),
    }
    step("build", cargo(root).args(["test", "--workspace", "--no-run"]))?;
    // The services' programs were built with their tests. Built alone some would be built anew: tests join other features.
    let programs = std::env::current_exe()?.parent().context("xtask lies in a folder")?.to_owned();
    // All of them, whichever fail: whoever mends one thing wants to know of the others.
    let tests = ["test", "--workspace", "--no-fail-fast"];
    step("units, properties, databases, the whole mesh", &mut running(&tests, root, &programs))?;
    if all {
        let long =
            ["test", "--workspace", "--no-fail-fast", "--test", "mesh", "--", "--ignored", "--skip", "two_hundred"];
        step("long suites", &mut running(&long, root, &programs))?;
        ensure(&[Part::Chromium], install)?;
        let pictures = ["test", "--workspace", "--", "--ignored", "pictures_in_a_browser"];
        step("pictures in a browser", &mut running(&pictures, root, &programs))?;
        // Alone, one after the other, and what they print is shown: each says how long it took and fails where that is too long.
        for measure in MEASURES {
            let alone = ["test", "--workspace", "--", "--ignored", "--nocapture", measure];
            step(&format!("measure {measure}"), &mut running(&alone, root, &programs))?;
        }
    }
    Ok(())
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}

/// Tests on programs that are built and parts that are there: what a test prints is not seen while it passes, so none
/// may install anything by itself.
fn running(arguments: &[&str], root: &Path, programs: &Path) -> Command {
    let mut tests = cargo(root);
    tests.args(arguments).env("HAETAE_BIN_DIR", programs).env("HAETAE_NO_INSTALL", "1");
    tests
}

/// The newest release before this commit: what it promised is not broken within a version of the contracts.
fn last_release(root: &Path) -> Option<String> {
    let mut git = Command::new("git");
    git.args(["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]).current_dir(root);
    let answer = git.output().ok().filter(|answer| answer.status.success())?;
    Some(String::from_utf8(answer.stdout).ok()?.trim().to_owned())
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

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn no_test_installs_anything_by_itself() {
        let command = running(&["test"], Path::new("."), Path::new("target/debug"));
        let ban = command.get_envs().find(|(name, _)| *name == OsStr::new("HAETAE_NO_INSTALL"));
        assert_eq!(ban.and_then(|(_, value)| value), Some(OsStr::new("1")));
    }

    /// A repository with one commit.
    fn repository() -> Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        git(&folder, &["init", "--quiet"])?;
        commit(&folder)?;
        Ok(folder)
    }

    fn commit(folder: &tempfile::TempDir) -> Result<()> {
        let who = ["-c", "user.name=test", "-c", "user.email=test@example.org"];
        git(folder, &[&who[..], &["commit", "--quiet", "--allow-empty", "--message", "one"]].concat())
    }

    fn git(folder: &tempfile::TempDir, arguments: &[&str]) -> Result<()> {
        let ended = Command::new("git").args(arguments).current_dir(folder.path()).status()?;
        if ended.success() { Ok(()) } else { bail!("git {arguments:?} failed") }
    }

    #[test]
    fn contracts_are_compared_with_the_newest_release_once_there_is_one() -> Result<()> {
        let folder = repository()?;
        git(&folder, &["tag", "nightly"])?;
        assert_eq!(last_release(folder.path()), None);
        git(&folder, &["tag", "v0.1.0"])?;
        commit(&folder)?;
        git(&folder, &["tag", "v0.2.0"])?;
        commit(&folder)?;
        assert_eq!(last_release(folder.path()).as_deref(), Some("v0.2.0"));
        Ok(())
    }
}
