//! A private Redis that keeps nothing.

mod cluster;
mod watched;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::parts::{self, Install, Part};
use crate::process::{Owned, log_to};
use crate::until::until;

pub use self::{cluster::Cluster, watched::Watched};

/// A Redis server on a free port of loopback, without persistence: stopping it loses what it held.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    port: u16,
    place: Place,
    server: Option<Owned>,
    folder: TempDir,
}

/// What a server is to others.
#[derive(Clone, Copy, Debug)]
enum Place {
    Alone,
    /// It copies the server on this port.
    Copy(u16),
    /// It is a node of a cluster and speaks to the others on this port.
    Node(u16),
}

impl Redis {
    /// Starts a server.
    ///
    /// # Errors
    /// When Redis is missing or does not answer.
    pub async fn start() -> Result<Self> {
        Self::placed(Place::Alone).await
    }

    async fn placed(place: Place) -> Result<Self> {
        let found = parts::ensure_async(&[Part::Redis], Install::Allowed).await?;
        let mut redis = Self {
            program: found.path(Part::Redis)?.to_path_buf(),
            port: crate::ports::free_port()?,
            place,
            server: None,
            folder: tempfile::Builder::new().prefix("haetae-redis-").tempdir()?,
        };
        redis.start_again().await?;
        Ok(redis)
    }

    /// `redis://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port, which stays the same over stops and starts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops the server at once; its clients see their connections end. Does nothing when it is stopped.
    pub fn stop(&mut self) {
        drop(self.server.take());
    }

    /// Starts the server again, empty, on the same port.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn start_again(&mut self) -> Result<()> {
        self.stop();
        let log = self.folder.path().join("redis.log");
        let mut command = Command::new(&self.program);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--dir")
            .arg(self.folder.path());
        match self.place {
            Place::Alone => {}
            Place::Copy(original) => {
                command.args(["--replicaof", "127.0.0.1", &original.to_string()]);
            }
            // A lost node is missed soon, so that tests need not wait long; what the others hold stays in use.
            Place::Node(bus) => {
                command.args(["--cluster-enabled", "yes", "--cluster-port", &bus.to_string()]).args([
                    "--cluster-node-timeout",
                    "1000",
                    "--cluster-require-full-coverage",
                    "no",
                ]);
            }
        }
        log_to(&mut command, &log)?;
        let mut server = Owned::spawn("redis-server", command, Signal::KILL)?;
        until("redis-server answers", Duration::from_secs(20), async || {
            if let Some(status) = server.exit_status() {
                bail!("redis-server ended ({status}): {}", std::fs::read_to_string(&log)?);
            }
            Ok(answers(self.port).await.unwrap_or(false))
        })
        .await?;
        self.server = Some(server);
        Ok(())
    }
}

async fn answers(port: u16) -> Result<bool> {
    Ok(ask(port, "PING").await? == "+PONG\r\n")
}

/// Sends one command; the answer, or its beginning, as it comes.
async fn ask(port: u16, command: &str) -> Result<String> {
    let exchange = async {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
        connection.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut answer = vec![0; 8192];
        let length = connection.read(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    tokio::time::timeout(Duration::from_secs(2), exchange).await?
}
