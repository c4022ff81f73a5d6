//! Debian packages, without the system services that they would start.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{on_path, say};

/// Packages whose service their installation would enable: the programs are wanted, not the service.
const SERVICES: [&str; 2] = ["redis-server", "prometheus"];

/// Debian asks this program whether a package's service may start; 101 says no (invoke-rc.d's protocol).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Read by Debian's `pg_createcluster`: no cluster, hence no service of the system's own.
const CLUSTER_POLICY: &str = "/etc/postgresql-common/createcluster.d/haetae.conf";

pub(super) fn install(packages: &[&str], forbidden: bool) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    let by_hand = format!("apt-get install --no-install-recommends {names}");
    if forbidden {
        bail!("missing: {names}. Installing is forbidden here; run: {by_hand}");
    }
    if !Path::new("/etc/debian_version").exists() || on_path("apt-get").is_none() {
        bail!("missing: {names} (Debian's package names). Install them and have them on the path");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("missing: {names}. Run as root: {by_hand}");
    }

    say(&format!("installing Debian packages: {names}"));
    let _policy = Policy::forbid_services()?;
    if packages.contains(&"postgresql") {
        let folder = Path::new(CLUSTER_POLICY).parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(CLUSTER_POLICY, "create_main_cluster = false\n"))
            .with_context(|| format!("cannot write {CLUSTER_POLICY}"))?;
    }
    if !lists_are_here() {
        apt(&["update"])?;
    }
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    // Old lists name versions that the mirror no longer holds.
    if apt(&arguments).is_err() {
        apt(&["update"])?;
        apt(&arguments)?;
    }
    if Path::new("/run/systemd/system").exists() {
        for service in packages.iter().filter(|package| SERVICES.contains(package)) {
            run(Command::new("systemctl").args(["disable", "--now", service]))?;
        }
    }
    Ok(())
}

fn lists_are_here() -> bool {
    fs::read_dir("/var/lib/apt/lists")
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}

fn apt(arguments: &[&str]) -> Result<()> {
    run(Command::new("apt-get").arg("--quiet").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Runs to the end; what it prints goes to our standard error, so that our standard output stays ours.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        bail!("{shown} failed: {status}");
    }
    Ok(())
}

/// While this lives, installing a package starts no service.
struct Policy {
    ours: bool,
}

impl Policy {
    fn forbid_services() -> Result<Self> {
        let created = OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY);
        match created {
            Ok(mut file) => {
                file.write_all(b"#!/bin/sh\nexit 101\n")?;
                Ok(Self { ours: true })
            }
            // The machine's owner has a policy already: it stays as it is.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { ours: false }),
            Err(error) => Err(error).with_context(|| format!("cannot write {POLICY}")),
        }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            say(&format!("could not remove {POLICY}, which keeps services from starting: {error}"));
        }
    }
}
