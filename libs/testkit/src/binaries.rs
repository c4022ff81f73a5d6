//! The workspace's own programs, built for tests that run them as processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::workspace::{self, Hold};

/// How programs are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Cargo's `dev`.
    Dev,
    /// Cargo's `release`.
    Release,
}

impl Profile {
    /// The one this process was compiled with.
    pub fn of_this_process() -> Self {
        if cfg!(debug_assertions) { Self::Dev } else { Self::Release }
    }
}

/// Builds the packages' programs as this process was built and returns the folder that holds them. `HAETAE_BIN_DIR`
/// names a folder of finished programs and spares the building. Blocks for as long as the compiler takes.
///
/// # Errors
/// When the build fails, or `HAETAE_BIN_DIR` lacks one of them.
pub fn built(packages: &[&str]) -> Result<PathBuf> {
    built_with(Profile::of_this_process(), packages)
}

/// [`built`], with the profile said.
///
/// # Errors
/// As [`built`].
pub fn built_with(profile: Profile, packages: &[&str]) -> Result<PathBuf> {
    /// What this process has built: the second test that asks gets the first one's answer.
    static BUILT: Mutex<BTreeMap<(Profile, Vec<String>), PathBuf>> = Mutex::new(BTreeMap::new());

    if let Some(folder) = std::env::var_os("HAETAE_BIN_DIR") {
        return finished(Path::new(&folder), packages);
    }
    let mut wanted: Vec<String> = packages.iter().map(|&name| name.to_owned()).collect();
    wanted.sort_unstable();
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = built.get(&(profile, wanted.clone())) {
        return Ok(folder.clone());
    }
    let folder = build(profile, &wanted)?;
    built.insert((profile, wanted), folder.clone());
    Ok(folder)
}

fn finished(folder: &Path, packages: &[&str]) -> Result<PathBuf> {
    match packages.iter().find(|name| !folder.join(name).is_file()) {
        Some(missing) => bail!("HAETAE_BIN_DIR={} has no {missing}", folder.display()),
        None => Ok(folder.to_path_buf()),
    }
}

fn build(profile: Profile, packages: &[String]) -> Result<PathBuf> {
    let parts = workspace::target().join("parts");
    std::fs::create_dir_all(&parts)?;
    let _one_build = workspace::lock(&parts.join("build.lock"), Hold::Alone, Duration::from_secs(1800))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // By the programs' names, which are their packages': with `--package`, features would be chosen for these alone, and
    // what the tests were built with would be compiled again.
    command
        .args(["build", "--message-format", "json-render-diagnostics"])
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if profile == Profile::Release {
        command.arg("--release");
    }
    for package in packages {
        command.args(["--bin", package]);
    }
    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo build of {} failed", packages.join(", "));
    }
    executables_folder(&output.stdout).ok_or_else(|| anyhow!("{} have no programs", packages.join(", ")))
}

/// One line of what cargo reports; only finished programs name an executable.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

fn executables_folder(messages: &[u8]) -> Option<PathBuf> {
    messages
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok()?.executable)
        .find_map(|file| Some(file.parent()?.to_path_buf()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_that_of_the_first_program_cargo_reports() {
        let messages = br#"{"reason":"compiler-artifact","executable":null,"target":{"kind":["lib"]}}
{"reason":"compiler-artifact","executable":"/target/debug/haetae-intake"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executables_folder(messages), Some("/target/debug".into()));
    }

    #[test]
    fn a_library_has_no_programs() {
        let messages = br#"{"reason":"compiler-artifact","executable":null}"#;
        assert_eq!(executables_folder(messages), None);
    }

    #[test]
    fn a_folder_of_finished_programs_must_hold_them_all() -> Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("haetae-intake"), "")?;
        assert!(finished(folder.path(), &["haetae-intake"]).is_ok());
        assert!(finished(folder.path(), &["haetae-intake", "haetae-freeze"]).is_err());
        Ok(())
    }
}
