//! Finding the real parts that tests and demos run on, and installing those that are missing.

mod apt;
mod npm;
mod python;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use self::{npm::Modules, python::Requirements};
use crate::workspace::{self, Hold};

/// The oldest Postgres the services are written for.
const OLDEST_POSTGRES: u32 = 15;

/// One real part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Postgres 15 or later. Found as the folder that holds `initdb` and `postgres`.
    Postgres,
    /// Redis. Found as the executable `redis-server`.
    Redis,
    /// `python3` that can make virtual environments.
    Python,
    /// An Ethereum node for development. Found as the executable itself, not its script, so that killing it works.
    Anvil,
    /// A Bitcoin node. Found as its script, for Node.js.
    Bcoin,
    /// The linter of the contracts. Found as the executable itself.
    Buf,
    /// The Solidity compiler. Found as the folder of the npm module, for `require` in Node.js.
    Solc,
    /// The package manager of Kubernetes, for rendering the chart. Found as the executable itself.
    Helm,
    /// Kubernetes' own schemas of many versions, and what compares manifests with them. Found as the executable.
    KubernetesValidate,
    /// What checks and tests alerting rules. Found as the executable `promtool`.
    Promtool,
    /// What builds images without a daemon. Found as the executable `buildah`.
    Buildah,
    /// A browser. Found as the executable `chromium`.
    Chromium,
    /// What makes a small Debian in a folder. Found as the executable `debootstrap`.
    Debootstrap,
}

/// Whether missing parts may be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Install {
    /// Install what is missing, after saying so on standard error. `HAETAE_NO_INSTALL=1` overrules this.
    Allowed,
    /// A missing part is an error that says how to install it.
    Forbidden,
}

/// Where the parts are.
#[derive(Clone, Debug)]
pub struct Found(BTreeMap<Part, PathBuf>);

impl Found {
    /// The place of one part; what is found there is said at [`Part`].
    ///
    /// # Errors
    /// When the part was not asked for.
    pub fn path(&self, part: Part) -> Result<&Path> {
        self.0.get(&part).map(PathBuf::as_path).ok_or_else(|| anyhow!("{part:?} was not asked for"))
    }
}

/// Finds the parts, installing those that are missing where that is allowed and possible: Debian packages as root,
/// packages of npm and PyPI into Cargo's target folder. No system service is left running. Blocks; from async code call
/// [`ensure_async`].
///
/// # Errors
/// When a part is missing and may not or cannot be installed; the error names the package and the command.
pub fn ensure(parts: &[Part], install: Install) -> Result<Found> {
    let find_all = || {
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        for &part in parts {
            match find(part)? {
                Some(place) => drop(found.insert(part, place)),
                None => missing.push(part),
            }
        }
        Ok::<_, anyhow::Error>((found, missing))
    };

    let (found, missing) = find_all()?;
    if missing.is_empty() {
        return Ok(Found(found));
    }
    let forbidden = install.forbidden();
    let _one_installer = one_installer()?;
    // Another process may have installed them while this one waited.
    let (_, missing) = find_all()?;
    let mut debian = Vec::new();
    let mut npm = BTreeSet::new();
    let mut python = BTreeSet::new();
    for part in missing {
        match part.carrier() {
            Carrier::Debian(package) => debian.push(package),
            Carrier::Npm(modules) => drop(npm.insert(modules)),
            Carrier::Python(requirements) => drop(python.insert(requirements)),
        }
    }
    apt::install(&debian, forbidden)?;
    for modules in npm {
        modules.install(forbidden)?;
    }
    for requirements in python {
        requirements.install(forbidden)?;
    }
    let (found, missing) = find_all()?;
    if missing.is_empty() { Ok(Found(found)) } else { Err(anyhow!("installed, but still not found: {missing:?}")) }
}

/// [`ensure`] on a thread where it may block.
///
/// # Errors
/// As [`ensure`].
pub async fn ensure_async(parts: &[Part], install: Install) -> Result<Found> {
    let parts = parts.to_vec();
    tokio::task::spawn_blocking(move || ensure(&parts, install)).await?
}

/// A Python with the packages that a requirements file pins, made once for each of its contents in Cargo's target
/// folder. Blocks.
///
/// # Errors
/// As [`ensure`].
pub fn python_with(requirements: &Path, install: Install) -> Result<PathBuf> {
    let requirements = Requirements::of(requirements);
    if let Some(python) = requirements.program("python")? {
        return Ok(python);
    }
    let _one_installer = one_installer()?;
    if let Some(python) = requirements.program("python")? {
        return Ok(python);
    }
    requirements.install(install.forbidden())?;
    requirements.program("python")?.ok_or_else(|| anyhow!("installed, but still not found: {requirements}"))
}

/// Says what is being done, past the capture of a test's output: what a test installs must be seen also when it passes.
fn say(what: &str) {
    let _ = writeln!(io::stderr(), "{what}");
}

/// Held while something is installed.
fn one_installer() -> Result<fs::File> {
    let folder = workspace::target().join("parts");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    workspace::lock(&folder.join("install.lock"), Hold::Alone, Duration::from_secs(600))
}

/// Who carries a part.
enum Carrier {
    Debian(&'static str),
    Npm(Modules),
    Python(Requirements),
}

impl Install {
    fn forbidden(self) -> bool {
        self == Self::Forbidden || std::env::var_os("HAETAE_NO_INSTALL") == Some("1".into())
    }
}

impl Part {
    fn carrier(self) -> Carrier {
        match self {
            Self::Postgres => Carrier::Debian("postgresql"),
            Self::Redis => Carrier::Debian("redis-server"),
            Self::Python => Carrier::Debian("python3-venv"),
            Self::Promtool => Carrier::Debian("prometheus"),
            Self::Buildah => Carrier::Debian("buildah"),
            Self::Debootstrap => Carrier::Debian("debootstrap"),
            Self::Chromium => Carrier::Debian("chromium"),
            Self::Anvil | Self::Buf | Self::Solc => Carrier::Npm(Modules::Chains),
            Self::Bcoin => Carrier::Npm(Modules::Bitcoin),
            Self::Helm => Carrier::Npm(Modules::Helm),
            Self::KubernetesValidate => Carrier::Python(Requirements::of_the_chart()),
        }
    }
}

fn find(part: Part) -> Result<Option<PathBuf>> {
    match part {
        Part::Postgres => Ok(find_postgres()),
        Part::Redis => Ok(on_path("redis-server")),
        Part::Python => Ok(find_python()),
        Part::Anvil => npm::anvil(),
        Part::Bcoin => npm::bcoin(),
        Part::Buf => npm::buf(),
        Part::Solc => npm::solc(),
        Part::Helm => npm::helm(),
        Part::KubernetesValidate => Requirements::of_the_chart().program("kubernetes-validate"),
        Part::Promtool => Ok(on_path("promtool")),
        Part::Buildah => Ok(on_path("buildah")),
        Part::Debootstrap => Ok(on_path("debootstrap")),
        Part::Chromium => Ok(on_path("chromium")),
    }
}

/// The newest server programs in Debian's folders, else those on the path (whose links are followed, since `postgres`
/// looks for its files beside itself).
fn find_postgres() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|version| {
            let number: u32 = version.file_name().to_str()?.parse().ok()?;
            let bin = version.path().join("bin");
            let complete = is_executable(&bin.join("postgres")) && is_executable(&bin.join("initdb"));
            (number >= OLDEST_POSTGRES && complete).then_some((number, bin))
        })
        .max();
    debian.map(|(_, bin)| bin).or_else(|| {
        let bin = fs::canonicalize(on_path("initdb")?).ok()?.parent()?.to_path_buf();
        let complete = is_executable(&bin.join("postgres"));
        (complete && postgres_version(&bin)? >= OLDEST_POSTGRES).then_some(bin)
    })
}

/// Debian's own Python comes without what `python3 -m venv` needs.
fn find_python() -> Option<PathBuf> {
    let python = on_path("python3")?;
    let complete = std::process::Command::new(&python).args(["-c", "import venv, ensurepip"]).output().ok()?;
    complete.status.success().then_some(python)
}

/// The major version, from `postgres (PostgreSQL) 15.14 (…)`.
fn postgres_version(bin: &Path) -> Option<u32> {
    let answer = std::process::Command::new(bin.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    let number = text.split(' ').nth(2)?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The first executable of that name on the path.
pub(crate) fn on_path(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name.as_ref())).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "only for the test below, which runs it as another process would"]
    fn speaks() {
        say("installing nothing at all");
    }

    #[test]
    fn what_is_installed_is_said_even_where_a_test_passes() -> Result<()> {
        let mut passing = std::process::Command::new(std::env::current_exe()?);
        let ended = passing.args(["--exact", "parts::tests::speaks", "--ignored"]).output()?;
        assert!(ended.status.success());
        assert!(String::from_utf8(ended.stderr)?.contains("installing nothing at all"));
        Ok(())
    }
}
