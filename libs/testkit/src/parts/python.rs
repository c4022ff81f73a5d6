//! Packages of PyPI, pinned by a requirements file and installed into an environment of their own in Cargo's target folder.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use super::{apt, find_python, is_executable, say};
use crate::workspace;

/// Written when the installation is complete.
const DONE: &str = "installed";

/// A requirements file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Requirements(PathBuf);

impl fmt::Display for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Python packages of {}", self.0.display())
    }
}

impl Requirements {
    pub(super) fn of(file: &Path) -> Self {
        Self(file.to_path_buf())
    }

    /// What the chart is checked with.
    pub(super) fn of_the_chart() -> Self {
        Self(workspace::root().join("tests/helm/requirements.txt"))
    }

    /// A program of the environment; none when the environment is missing or unfinished.
    pub(super) fn program(&self, name: &str) -> Result<Option<PathBuf>> {
        let home = self.home()?;
        let program = home.join("bin").join(name);
        Ok((home.join(DONE).exists() && is_executable(&program)).then_some(program))
    }

    pub(super) fn install(&self, forbidden: bool) -> Result<()> {
        if forbidden {
            bail!(
                "missing: {self}. Installing is forbidden here; it would be: pip install --requirement {} in a virtual environment",
                self.0.display()
            );
        }
        if find_python().is_none() {
            apt::install(&["python3-venv"], forbidden)?;
        }
        let home = self.home()?;
        say(&format!("installing {self} into {}", home.display()));
        apt::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        apt::run(Command::new(home.join("bin/python")).args(pip).arg(&self.0))?;
        fs::write(home.join(DONE), "").with_context(|| format!("cannot write into {}", home.display()))
    }

    /// Another content has another environment: one that is in use is never changed.
    fn home(&self) -> Result<PathBuf> {
        let content = fs::read(&self.0).with_context(|| format!("cannot read {}", self.0.display()))?;
        let version = Uuid::new_v5(&Uuid::NAMESPACE_OID, &content);
        Ok(workspace::target().join("parts").join(format!("python-{version}")))
    }
}
