//! Whom the server runs as: Postgres refuses to run as root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow};

/// The account of the server.
pub(super) enum Account {
    /// We are not root: the server runs as we do.
    Ours,
    /// We are root: the server runs as this user.
    Unprivileged { user: u32, group: u32 },
}

impl Account {
    pub(super) fn of_the_server() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ours);
        }
        let accounts = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| entry(&accounts, name))
            .map(|(user, group)| Self::Unprivileged { user, group })
            .ok_or_else(|| anyhow!("Postgres does not run as root, and there is no user postgres or nobody"))
    }

    pub(super) fn runs(&self, command: &mut Command) {
        if let Self::Unprivileged { user, group } = *self {
            command.uid(user).gid(group);
        }
    }

    pub(super) fn owns(&self, folder: &Path) -> Result<()> {
        if let Self::Unprivileged { user, group } = *self {
            chown(folder, Some(user), Some(group))
                .with_context(|| format!("cannot give {} to the user of the server", folder.display()))?;
        }
        Ok(())
    }

    /// Whether the account can come to `folder`: it needs to pass every folder above it.
    pub(super) fn reaches(&self, folder: &Path) -> bool {
        let Self::Unprivileged { user, .. } = *self else {
            return true;
        };
        folder.ancestors().skip(1).all(|above| {
            fs::metadata(above).is_ok_and(|data| data.permissions().mode() & 0o001 != 0 || data.uid() == user)
        })
    }
}

/// User and group number, from `name:password:user:group:…`.
fn entry(accounts: &str, name: &str) -> Option<(u32, u32)> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}
