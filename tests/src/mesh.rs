//! A running mesh: real processes over mutual TLS, on a real Postgres, Redis and Ethereum node.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
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
    Chain, Customers, House, People,
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
    /// Commits survive a crash of the machine.
    pub durable: bool,
    /// Where everything is kept; none for a temporary folder.
    pub folder: Option<PathBuf>,
    /// The folder with the programs; none to build them.
    pub programs: Option<PathBuf>,
    /// Where traces and metrics go.
    pub otlp: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { replicas: Replicas::One, redis: true, durable: false, folder: None, programs: None, otlp: None }
    }
}

/// A running mesh. Dropping it ends every process it started.
pub struct Mesh {
    /// What is on disk.
    pub house: House,
    /// The chain.
    pub chain: Chain,
    /// Persons at agencies.
    pub people: People,
    /// Customers of exchanges.
    pub customers: Customers,
    /// Redis, where there is one.
    pub redis: Option<Redis>,
    processes: Vec<Service>,
    rooms: Vec<Room>,
    _cluster: Cluster,
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
        let house = async { House::build(&folder, options.replicas) };
        let (cluster, redis, chain, house) = tokio::try_join!(cluster, redis, chain, house)?;

        let around = Surroundings {
            postgres: cluster.url(""),
            redis: redis.as_ref().map(Redis::url),
            node: chain.node(),
            token: chain.token(),
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
        let processes = rooms.iter().map(|room| spawn(room, &programs, &logs)).collect::<Result<_>>()?;
        let mesh =
            Self { house, chain, people, customers, redis, processes, rooms, _cluster: cluster, _temporary: temporary };
        mesh.ready().await?;
        Ok(mesh)
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

fn spawn(room: &Room, programs: &Path, logs: &Path) -> Result<Service> {
    Service::spawn(ProcessSpec {
        name: room.name.clone(),
        program: programs.join(room.program),
        args: vec!["--config".into(), room.config.clone().into()],
        env: Vec::new(),
        log: logs.join(format!("{}.log", room.name)),
    })
}

/// Asks the probe port, as Kubernetes would.
async fn is_ready(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer.starts_with("HTTP/1.1 200"))
    };
    matches!(tokio::time::timeout(Duration::from_secs(2), ask).await, Ok(Ok(true)))
}
