//! A running mesh: real processes over mutual TLS, on a real Postgres, Redis, Ethereum node and, where wanted, Bitcoin
//! node.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use haetae_testkit::{
    anvil::{Anvil, AnvilOptions},
    binaries,
    postgres::{Cluster, ClusterOptions},
    process::{ProcessSpec, Service},
    redis::Redis,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    Bitcoin, Chain, Customers, House, People,
    house::{Replicas, Room, Surroundings},
    until,
};

/// The programs that a mesh is made of.
const PROGRAMS: [&str; 5] = ["haetae-intake", "haetae-tracking", "haetae-freeze", "haetae-connector", "haetae-sandbox"];

/// How long a process may take to become ready on a busy machine.
const READY: Duration = Duration::from_secs(60);

/// What kind of mesh.
#[derive(Clone, Debug)]
pub struct Options {
    /// Replicas of the core services.
    pub replicas: Replicas,
    /// With Redis, or with polling only.
    pub redis: bool,
    /// With Bitcoin beside the chain of Ethereum's kind.
    pub bitcoin: bool,
    /// Commits survive a crash of the machine.
    pub durable: bool,
    /// Where everything is kept; none for a temporary folder.
    pub folder: Option<PathBuf>,
    /// The folder with the programs; none to build them.
    pub programs: Option<PathBuf>,
    /// Where traces and metrics go.
    pub otlp: Option<String>,
    /// As it is operated: jobs bring the tables up to date, and services connect as roles that may read and write and
    /// no more.
    pub least_privilege: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            replicas: Replicas::One,
            redis: true,
            bitcoin: false,
            durable: false,
            folder: None,
            programs: None,
            otlp: None,
            least_privilege: false,
        }
    }
}

/// A running mesh. Dropping it ends every process it started.
pub struct Mesh {
    /// What is on disk.
    pub house: House,
    /// The chain.
    pub chain: Chain,
    /// Bitcoin, where there is one.
    pub bitcoin: Option<Bitcoin>,
    /// Persons at agencies.
    pub people: People,
    /// Customers of exchanges.
    pub customers: Customers,
    /// Redis, where there is one.
    pub redis: Option<Redis>,
    processes: Vec<Service>,
    rooms: Vec<Room>,
    cluster: Cluster,
    _temporary: Option<tempfile::TempDir>,
}

impl Mesh {
    /// Starts everything and waits until every process is ready.
    ///
    /// # Errors
    /// When a part is missing or a process does not become ready; the error names it and ends with its log.
    pub async fn start(options: Options) -> Result<Self> {
        let programs = match options.programs {
            Some(folder) => folder,
            None => tokio::task::spawn_blocking(|| binaries::built(&PROGRAMS)).await??,
        };
        let (folder, temporary) = match options.folder {
            Some(folder) => (folder, None),
            None => {
                let temporary = tempfile::Builder::new().prefix("haetae-mesh-").tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        // The parts do not depend on one another.
        let anvil = AnvilOptions { block_time: Some(1), slots_in_an_epoch: 1, ..AnvilOptions::default() };
        let cluster = Cluster::start(ClusterOptions { durable: options.durable, ..ClusterOptions::default() });
        let redis = async { if options.redis { Redis::start().await.map(Some) } else { Ok(None) } };
        let chain = async { Chain::begin(Anvil::start(anvil).await?).await };
        let bitcoin = async { if options.bitcoin { Bitcoin::begin().await.map(Some) } else { Ok(None) } };
        let house = async { House::build(&folder, options.replicas) };
        let (cluster, redis, chain, bitcoin, house) = tokio::try_join!(cluster, redis, chain, bitcoin, house)?;

        let around = Surroundings {
            postgres: cluster.url(""),
            redis: redis.as_ref().map(Redis::url),
            node: chain.node(),
            token: chain.token(),
            bitcoin: bitcoin.as_ref().map(|bitcoin| bitcoin.node().url_with_key()),
            otlp: options.otlp,
        };
        let rooms = house.furnish(&around)?;
        let mut databases: Vec<_> = rooms.iter().map(|room| room.database.clone()).collect();
        databases.sort();
        databases.dedup();
        for database in &databases {
            cluster.database(database).await?;
        }
        let people = People::gather(&house)?;
        let customers = Customers::gather(&house)?;
        let logs = house.path("logs");
        std::fs::create_dir_all(&logs)?;
        if options.least_privilege {
            for database in &databases {
                let room = rooms.iter().find(|room| room.database == *database).context("a database of nobody")?;
                cluster.role(database).await?;
                migrate(room, &programs, database).await?;
            }
        }
        let environment = |room: &Room| match options.least_privilege {
            true => vec![
                ("HAETAE__DATABASE__URL".into(), cluster.url_as(&room.database, &room.database).into()),
                ("HAETAE__DATABASE__MIGRATE".into(), "check".into()),
            ],
            false => Vec::new(),
        };
        let processes =
            rooms.iter().map(|room| spawn(room, &programs, &logs, environment(room))).collect::<Result<_>>()?;
        let mesh =
            Self { house, chain, bitcoin, people, customers, redis, processes, rooms, cluster, _temporary: temporary };
        mesh.ready().await?;
        Ok(mesh)
    }

    /// The database of a process, as its owner: for tests that meddle with it.
    ///
    /// # Errors
    /// When there is no process of that name.
    pub fn database(&self, process: &str) -> Result<String> {
        let room = self.rooms.iter().find(|room| room.name == process);
        let room = room.with_context(|| format!("no process is called {process}"))?;
        Ok(self.cluster.url(&room.database))
    }

    /// When a block of any chain was first heard of.
    pub fn first_heard(&self, block_hash: &str) -> Option<SystemTime> {
        let on_bitcoin = || self.bitcoin.as_ref()?.first_heard(block_hash);
        self.chain.first_heard(block_hash).or_else(on_bitcoin)
    }

    /// How many processes of its own the mesh has.
    pub fn size(&self) -> usize {
        self.processes.len()
    }

    /// Waits until every process is ready.
    ///
    /// # Errors
    /// When one is not, in time.
    pub async fn ready(&self) -> Result<()> {
        let checks = self.rooms.iter().map(|room| async move {
            let what = format!("{} is ready", room.name);
            let ready = until(&what, READY, async || Ok(is_ready(room.listener.probes).await.then_some(())));
            ready.await.with_context(|| self.last_words(&room.name))
        });
        futures::future::try_join_all(checks).await.map(drop)
    }

    /// A process of the mesh, such as `freeze-1` or `connector-upbit`.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn process(&mut self, name: &str) -> Result<&mut Service> {
        let found = self.processes.iter_mut().find(|process| process.name() == name);
        found.with_context(|| format!("no process is called {name}"))
    }

    /// `kill -9` and a new start; waits until it is ready again.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn kill9_and_restart(&mut self, name: &str) -> Result<()> {
        let process = self.process(name)?;
        process.kill9();
        process.restart()?;
        self.ready().await
    }

    /// Checks that every process still runs.
    ///
    /// # Errors
    /// Names the first that does not, with the end of its log.
    pub fn all_running(&mut self) -> Result<()> {
        for place in 0..self.processes.len() {
            if !self.processes[place].is_running() {
                let name = self.processes[place].name().to_owned();
                bail!("{name} has ended: {}", self.last_words(&name));
            }
        }
        Ok(())
    }

    /// The end of a process's log.
    fn last_words(&self, name: &str) -> String {
        let log = std::fs::read_to_string(self.house.path("logs").join(format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// Brings a database's tables up to date as their owner, and lets a role use them.
async fn migrate(room: &Room, programs: &Path, role: &str) -> Result<()> {
    let mut job = tokio::process::Command::new(programs.join(room.program));
    job.args(["migrate", "--grant", role, "--config"]).arg(&room.config);
    let done = job.output().await?;
    ensure!(done.status.success(), "{} migrate: {}", room.name, String::from_utf8_lossy(&done.stderr));
    Ok(())
}

fn spawn(room: &Room, programs: &Path, logs: &Path, env: Vec<(OsString, OsString)>) -> Result<Service> {
    Service::spawn(ProcessSpec {
        name: room.name.clone(),
        program: programs.join(room.program),
        args: vec!["--config".into(), room.config.clone().into()],
        env,
        log: logs.join(format!("{}.log", room.name)),
    })
}

async fn is_ready(port: u16) -> bool {
    probe(port, "/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Asks a probe port, as Kubernetes would; the whole answer.
///
/// # Errors
/// When nobody answers within two seconds.
pub async fn probe(port: u16, path: &str) -> Result<String> {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    tokio::time::timeout(Duration::from_secs(2), ask).await?
}
