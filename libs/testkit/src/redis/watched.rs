//! A Redis with a standby, and a sentinel that makes the standby its successor.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use super::{Place, Redis, ask};
use crate::process::{Owned, log_to};
use crate::until::until;

/// Two servers and one sentinel, on free ports of loopback.
#[derive(Debug)]
pub struct Watched {
    first: Redis,
    _standby: Redis,
    _sentinel: Owned,
    port: u16,
    _folder: TempDir,
}

impl Watched {
    /// What the sentinel calls the server that takes writes.
    pub const MASTER: &str = "haetae";

    /// Starts all three, and waits until the sentinel knows of a standby that has everything.
    ///
    /// # Errors
    /// When Redis is missing or one of them does not answer.
    pub async fn start() -> Result<Self> {
        let first = Redis::start().await?;
        let standby = Redis::placed(Place::Copy(first.port)).await?;
        let port = crate::ports::free_port()?;
        let folder = tempfile::Builder::new().prefix("haetae-sentinel-").tempdir()?;
        let (config, log) = (folder.path().join("sentinel.conf"), folder.path().join("sentinel.log"));
        // The sentinel writes into its configuration what it learns.
        std::fs::write(
            &config,
            format!(
                "bind 127.0.0.1\nport {port}\ndir {folder}\nsentinel monitor {name} 127.0.0.1 {first} 1\n\
                 sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 5000\n",
                folder = folder.path().display(),
                name = Self::MASTER,
                first = first.port,
            ),
        )?;
        let mut command = Command::new(&first.program);
        command.arg(&config).arg("--sentinel");
        log_to(&mut command, &log)?;
        let mut sentinel = Owned::spawn("redis-sentinel", command, Signal::KILL)?;
        until("the sentinel knows the standby", Duration::from_secs(40), async || {
            if let Some(status) = sentinel.exit_status() {
                bail!("redis-sentinel ended ({status}): {}", std::fs::read_to_string(&log)?);
            }
            Ok(knows_a_standby(port).await.unwrap_or(false))
        })
        .await?;
        Ok(Self { first, _standby: standby, _sentinel: sentinel, port, _folder: folder })
    }

    /// The sentinel's, `redis://127.0.0.1:port`
    pub fn sentinel_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The server that takes writes is gone at once. The sentinel notices and makes the standby its successor.
    pub fn lose_master(&mut self) {
        self.first.stop();
    }
}

async fn knows_a_standby(port: u16) -> Result<bool> {
    let replicas = ask(port, &format!("SENTINEL REPLICAS {}", Watched::MASTER)).await?;
    Ok(replicas.contains("master-link-status\r\n$2\r\nok"))
}
