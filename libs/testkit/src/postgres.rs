//! Private Postgres clusters: real servers in folders of their own, on free ports of loopback.

mod account;
mod database;
mod shared;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

pub use database::{Database, TestDb};

use self::account::Account;
use crate::parts::{self, Install, Part};
use crate::process::{Owned, log_to};
use crate::until::until;

/// The superuser of every cluster; loopback trusts it without a password.
const USER: &str = "haetae";

/// How long a server may take to answer on a busy machine.
const START: Duration = Duration::from_secs(60);

/// How a cluster is made.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// Where it lives. A folder that holds a cluster already is started as it is. None: a temporary folder, which goes
    /// with the cluster.
    pub folder: Option<PathBuf>,
    /// The port to listen on. None: a free one.
    pub port: Option<u16>,
    /// Whether commits survive a crash of the machine. Tests do without; a demonstration of durability cannot.
    pub durable: bool,
}

/// A running Postgres server.
#[derive(Debug)]
pub struct Cluster {
    port: u16,
    /// Dropped in this order: the server ends before its folder goes.
    server: Server,
    _folder: Option<TempDir>,
}

#[derive(Debug)]
enum Server {
    Own(Owned),
    /// The shared one, kept up for as long as this process holds the lock.
    Shared(#[expect(dead_code, reason = "held, never read: closing the file frees the lock")] fs::File),
}

impl Cluster {
    /// Starts a cluster of its own.
    ///
    /// # Errors
    /// When Postgres is missing, cannot run in the folder (as root it runs as an unprivileged user, who must be able to
    /// reach it), or does not answer.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        let programs = programs().await?;
        let account = Account::of_the_server()?;
        let (folder, temporary) = match options.folder {
            Some(folder) => (folder, None),
            None => {
                let temporary = tempfile::Builder::new().prefix("haetae-pg-").tempdir()?;
                (temporary.path().to_path_buf(), Some(temporary))
            }
        };
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let folder = fs::canonicalize(folder)?;
        account.owns(&folder)?;
        let port = match options.port {
            Some(port) => port,
            None => crate::ports::free_port()?,
        };
        let layout = Layout::new(&programs, &folder);
        if !layout.data.join("PG_VERSION").exists() {
            layout.initialise(&account).await?;
        }
        let mut command = layout.server(port, options.durable);
        account.runs(&mut command);
        log_to(&mut command, &layout.log)?;
        // SIGINT is Postgres' fast shutdown: it does not wait for clients.
        let mut owned = Owned::spawn("postgres", command, Signal::INT)?;
        until("postgres answers", START, async || {
            if let Some(status) = owned.exit_status() {
                bail!("postgres ended ({status}); see {}", layout.log.display());
            }
            Ok(answers(port).await)
        })
        .await?;
        Ok(Self { port, server: Server::Own(owned), _folder: temporary })
    }

    /// The cluster that all tests on this machine share: started by whoever comes first, found by the others, stopped
    /// when no process has used it for a minute. Each start is from nothing, so a killed test leaves nothing behind.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn shared() -> Result<&'static Self> {
        shared::cluster().await
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database, whether or not it exists.
    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// The URL of a database for a role.
    pub fn url_as(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// A role of that name that may log in and nothing else, created when there is none.
    ///
    /// # Errors
    /// When the name is not a plain one (`a-z`, `0-9`, `_`) or the server refuses.
    pub async fn role(&self, name: &str) -> Result<()> {
        database::role(self, name).await
    }

    /// A database of that name, created when there is none. It stays when the value is dropped.
    ///
    /// # Errors
    /// When the name is not a plain one (`a-z`, `0-9`, `_`) or the server refuses.
    pub async fn database(&self, name: &str) -> Result<Database> {
        Database::named(self, name).await
    }

    /// Stops the server, politely to what is running in it. The shared cluster is merely let go.
    ///
    /// # Errors
    /// When it had to be killed.
    pub async fn stop(self) -> Result<()> {
        match self.server {
            Server::Own(mut owned) => owned.end(Signal::INT, Duration::from_secs(30)).await.map(drop),
            Server::Shared(_) => Ok(()),
        }
    }

    async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url("postgres")).await?)
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://{USER}@127.0.0.1:{port}/{database}")
}

async fn programs() -> Result<PathBuf> {
    let found = parts::ensure_async(&[Part::Postgres], Install::Allowed).await?;
    Ok(found.path(Part::Postgres)?.to_path_buf())
}

async fn answers(port: u16) -> bool {
    let attempt = PgConnection::connect(&url(port, "postgres"));
    match tokio::time::timeout(Duration::from_secs(2), attempt).await {
        Ok(Ok(connection)) => connection.close().await.is_ok(),
        _ => false,
    }
}

/// What lies where in a cluster's folder.
struct Layout<'a> {
    programs: &'a Path,
    folder: &'a Path,
    data: PathBuf,
    log: PathBuf,
}

impl<'a> Layout<'a> {
    fn new(programs: &'a Path, folder: &'a Path) -> Self {
        Self { programs, folder, data: folder.join("data"), log: folder.join("postgres.log") }
    }

    async fn initialise(&self, account: &Account) -> Result<()> {
        let mut command = Command::new(self.programs.join("initdb"));
        command
            .arg("--pgdata")
            .arg(&self.data)
            .args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"])
            .env("LC_ALL", "C")
            .current_dir(self.folder);
        account.runs(&mut command);
        log_to(&mut command, &self.log)?;
        let mut initdb = Owned::spawn("initdb", command, Signal::KILL)?;
        until("initdb has ended", START, async || Ok(initdb.exit_status().is_some())).await?;
        match initdb.exit_status() {
            Some(status) if status.success() => Ok(()),
            status => bail!("initdb failed ({status:?}); see {}", self.log.display()),
        }
    }

    fn server(&self, port: u16, durable: bool) -> Command {
        let mut command = Command::new(self.programs.join("postgres"));
        command.arg("-D").arg(&self.data).env("LC_ALL", "C").current_dir(self.folder);
        for setting in self.settings(port, durable) {
            command.arg("-c").arg(setting);
        }
        command
    }

    fn settings(&self, port: u16, durable: bool) -> Vec<String> {
        // A longer path than this does not fit a socket's address.
        let sockets = self.folder.display().to_string();
        let sockets = if sockets.len() < 80 { sockets } else { String::new() };
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            format!("unix_socket_directories={sockets}"),
            "max_connections=300".to_owned(),
            "shared_buffers=64MB".to_owned(),
        ];
        if !durable {
            settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
        }
        settings
    }
}
