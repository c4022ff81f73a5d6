//! How a service starts: command line, configuration, telemetry, signals, exit code.

use std::{net::SocketAddr, path::Path, process::ExitCode, time::Duration};

use anyhow::Context;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Peer, Server,
    command::{Command, usage},
    config::{self, DatabaseConfig, LogConfig, Section, ServerConfig, Settings},
    ready::Readiness,
    server::probe,
    telemetry,
};

/// Everything went well.
const OK: u8 = 0;
/// The service could not start or stopped by itself.
const FAILED: u8 = 1;
/// The command line or the configuration is at fault.
const MISUSED: u8 = 2;

/// How often what is missing at the start is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// What a service is handed at its start.
pub struct Boot<T> {
    name: &'static str,
    settings: Settings<T>,
    shutdown: CancellationToken,
}

/// What the command `migrate` is told.
#[derive(Debug)]
pub struct Migration {
    /// Where, connecting as the owner of the tables.
    pub database: DatabaseConfig,
    /// The role that the service itself connects as, where it is another.
    pub grant: Option<String>,
}

/// The process was told to end before the service had begun. No failure.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("told to end before it had begun")]
struct ToldToEnd;

impl<T> Boot<T> {
    /// The service's own section.
    pub fn config(&self) -> &T {
        &self.settings.service
    }

    /// All settings.
    pub fn settings(&self) -> &Settings<T> {
        &self.settings
    }

    /// Cancelled when the process is told to end; hand it to [`Server::run`] and to workers.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// What this replica is called among those of its service: as configured, else as the machine is.
    pub fn replica(&self) -> String {
        replica(&self.settings.server)
    }

    /// The server of `[server]`, with `[redis]` for its budgets.
    pub fn server(&self) -> Server {
        Server::new(self.name, &self.settings.server).redis(&self.settings.redis)
    }

    /// The peer of `[peers.NAME]`.
    ///
    /// # Errors
    /// When it is not configured, or its certificates and keys cannot be used.
    pub fn peer(&self, name: &str) -> anyhow::Result<Peer> {
        let config = self.settings.peers.get(name).with_context(|| format!("the section [peers.{name}] is missing"))?;
        Peer::connect(name, config)
    }

    /// `[database]`.
    ///
    /// # Errors
    /// When the section is missing.
    pub fn database(&self) -> anyhow::Result<&DatabaseConfig> {
        let section = self.settings.database.as_ref();
        section.context("the section [database] is missing")
    }

    /// `[log]`.
    ///
    /// # Errors
    /// When the section is missing.
    pub fn log(&self) -> anyhow::Result<&LogConfig> {
        let section = self.settings.log.as_ref();
        section.context("the section [log] is missing")
    }

    /// Waits for something of its own without which the service cannot begin, such as its database: an orchestrator
    /// that restarts it meanwhile would only make it later. Probes are answered: alive, and not ready for want of
    /// `what`. The log says why, once for each reason.
    ///
    /// # Errors
    /// When the process is told to end, or the probe port is taken.
    pub async fn wait_for<R>(
        &self,
        what: &'static str,
        mut look: impl AsyncFnMut() -> anyhow::Result<R>,
    ) -> anyhow::Result<R> {
        let (mut said, mut meanwhile) = (String::new(), None);
        let found = loop {
            match self.shutdown.run_until_cancelled(look()).await {
                None => break Err(ToldToEnd.into()),
                Some(Ok(found)) => break Ok(found),
                Some(Err(error)) => {
                    let error = format!("{error:#}");
                    if error != said {
                        tracing::warn!(what, error, "not ready yet");
                        said = error;
                    }
                }
            }
            if meanwhile.is_none() {
                meanwhile = Some(Meanwhile::begin(self.name, self.settings.server.probe_listen, what).await?);
            }
            self.shutdown.run_until_cancelled(sleep(LOOK)).await;
        };
        if let Some(meanwhile) = meanwhile {
            meanwhile.end().await;
        }
        found
    }
}

fn replica(server: &ServerConfig) -> String {
    // A container's host name is its pod's name.
    let host = || std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    server.replica.clone().or_else(host).unwrap_or_else(|| format!("process-{}", std::process::id()))
}

/// Answers probes before there is a server that does.
struct Meanwhile {
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Meanwhile {
    async fn begin(name: &'static str, at: SocketAddr, missing: &'static str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(at).await.with_context(|| format!("cannot listen on {at}"))?;
        let (_, findings) = watch::channel(Readiness::without(missing));
        let stop = CancellationToken::new();
        let serving = tokio::spawn(probe::serve(listener, probe::State::new(name, findings, None), stop.clone()));
        Ok(Self { stop, serving })
    }

    /// Frees the port: the server listens there next.
    async fn end(mut self) {
        self.stop.cancel();
        if timeout(LOOK, &mut self.serving).await.is_err() {
            self.serving.abort();
            let _ = self.serving.await;
        }
    }
}

/// Runs a service to its end: reads the command line and the configuration, starts telemetry, and ends it when the
/// process gets SIGTERM or SIGINT. A second signal ends the process at once. With the command `migrate` only `migrate`
/// is run, which prints what it does.
///
/// Exit codes: 0 after a shutdown that was asked for, 1 when the service fails, 2 for a faulty command line or
/// configuration.
pub fn main<T, F, M>(name: &'static str, service: F, migrate: M) -> ExitCode
where
    T: Section,
    F: AsyncFnOnce(Boot<T>) -> anyhow::Result<()>,
    M: AsyncFnOnce(Migration) -> anyhow::Result<()>,
{
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let settings = match Command::read(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{}", usage(name));
            return ExitCode::from(OK);
        }
        Ok(Command::Version) => {
            println!("{name} {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::from(OK);
        }
        Ok(Command::CheckConfig(file)) => return check::<T>(file.as_deref(), environment),
        Ok(Command::Migrate { file, grant }) => {
            return match config::database_alone(file.as_deref(), environment) {
                Ok(database) => ended(name, run(migrate(Migration { database, grant }))),
                Err(faults) => misused(&faults.to_string()),
            };
        }
        Ok(Command::Run(file)) => Settings::<T>::load(file.as_deref(), environment),
        Err(unknown) => return misused(&format!("{name}: {unknown}\n\n{}", usage(name))),
    };
    match settings {
        Ok(settings) => ended(name, run(serve(name, settings, service))),
        Err(faults) => misused(&faults.to_string()),
    }
}

fn misused(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(MISUSED)
}

fn ended(name: &str, outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::from(OK),
        Err(error) if error.is::<ToldToEnd>() => ExitCode::from(OK),
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    // Libraries that ask for the process's default get the same one; an earlier one is the same too.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn serve<T, F>(name: &'static str, settings: Settings<T>, service: F) -> anyhow::Result<()>
where
    F: AsyncFnOnce(Boot<T>) -> anyhow::Result<()>,
{
    let _telemetry = telemetry::init(&settings.telemetry, name, replica(&settings.server))?;
    tracing::info!(service = name, version = env!("CARGO_PKG_VERSION"), "starting");
    let shutdown = CancellationToken::new();
    let signals = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(end_on_signal(
        shutdown.clone(),
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    )));
    let outcome = service(Boot { name, settings, shutdown }).await;
    drop(signals);
    if let Err(error) = &outcome
        && !error.is::<ToldToEnd>()
    {
        tracing::error!(error = format!("{error:#}"), "ended");
    }
    outcome
}

async fn end_on_signal(shutdown: CancellationToken, mut term: Signal, mut int: Signal) {
    for _ in 0..2 {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        if shutdown.is_cancelled() {
            std::process::exit(i32::from(FAILED));
        }
        shutdown.cancel();
    }
}

/// Prints the effective configuration, or every fault. Reads files and connects nowhere.
fn check<T: Section>(file: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> ExitCode {
    let shown = Settings::<T>::load(file, environment)
        .map_err(anyhow::Error::from)
        .and_then(|settings| Ok(settings.effective()?));
    match shown {
        Ok(text) => {
            print!("{text}");
            ExitCode::from(OK)
        }
        Err(faults) => misused(&faults.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use haetae_testkit::ports::free_port;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;
    use crate::config::Nothing;

    async fn asked(port: u16, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await?;
        let mut answer = vec![0; 4096];
        let read = stream.read(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
    }

    fn boot(probes: u16) -> Boot<Nothing> {
        let tls = r#"tls = { cert = "/dev/null", key = "/dev/null", client_ca = "/dev/null" }"#;
        let text = format!("[server]\nprobe_listen = \"127.0.0.1:{probes}\"\n{tls}\n");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let settings = Settings::load(Some(file.path()), []).unwrap();
        Boot { name: "test", settings, shutdown: CancellationToken::new() }
    }

    #[tokio::test]
    async fn who_waits_for_its_database_is_alive_and_not_ready_and_leaves_the_port_free() {
        let port = free_port().unwrap();
        let boot = boot(port);
        let mut looks = 0;
        boot.wait_for("database", async || {
            looks += 1;
            match looks {
                1 => anyhow::bail!("no route"),
                _ => {
                    assert!(asked(port, "/livez").await.unwrap().starts_with("HTTP/1.1 200"));
                    let answer = asked(port, "/readyz").await.unwrap();
                    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"database\""), "{answer}");
                    Ok(())
                }
            }
        })
        .await
        .unwrap();
        TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    }

    #[tokio::test]
    async fn who_has_what_it_needs_does_not_wait() {
        // Port 1 is nobody's to listen on, or somebody else's.
        assert_eq!(boot(1).wait_for("database", async || Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn waiting_ends_when_told_and_that_is_no_failure() {
        let boot = boot(free_port().unwrap());
        boot.shutdown.cancel();
        let ended = boot.wait_for("database", async || anyhow::bail!("no route")).await;
        let error: anyhow::Error = Result::<(), _>::unwrap_err(ended);
        assert!(error.is::<ToldToEnd>());
    }
}
