//! How a service starts: command line, configuration, telemetry, signals, exit code.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    Peer, Server,
    config::{DatabaseConfig, LogConfig, Section, Settings},
    telemetry,
};

/// Everything went well.
const OK: u8 = 0;
/// The service could not start or stopped by itself.
const FAILED: u8 = 1;
/// The command line or the configuration is at fault.
const MISUSED: u8 = 2;

/// What a service is handed at its start.
pub struct Boot<T> {
    name: &'static str,
    settings: Settings<T>,
    shutdown: CancellationToken,
}

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
}

/// Runs a service to its end: reads the command line and the configuration, starts telemetry, and ends it when the
/// process gets SIGTERM or SIGINT. A second signal ends the process at once.
///
/// Exit codes: 0 after a shutdown that was asked for, 1 when the service fails, 2 for a faulty command line or
/// configuration.
pub fn main<T, F>(name: &'static str, service: F) -> ExitCode
where
    T: Section,
    F: AsyncFnOnce(Boot<T>) -> anyhow::Result<()>,
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
        Ok(Command::Run(file)) => Settings::<T>::load(file.as_deref(), environment),
        Err(unknown) => {
            eprintln!("{name}: {unknown}\n\n{}", usage(name));
            return ExitCode::from(MISUSED);
        }
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(MISUSED);
        }
    };
    match serve(name, settings, service) {
        Ok(()) => ExitCode::from(OK),
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn serve<T, F>(name: &'static str, settings: Settings<T>, service: F) -> anyhow::Result<()>
where
    F: AsyncFnOnce(Boot<T>) -> anyhow::Result<()>,
{
    // Libraries that ask for the process's default get the same one; an earlier one is the same too.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let _telemetry = telemetry::init(&settings.telemetry, name)?;
        tracing::info!(service = name, version = env!("CARGO_PKG_VERSION"), "starting");
        let shutdown = CancellationToken::new();
        let signals = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(end_on_signal(
            shutdown.clone(),
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        )));
        let boot = Boot { name, settings, shutdown };
        let outcome = service(boot).await;
        drop(signals);
        if let Err(error) = &outcome {
            tracing::error!(error = format!("{error:#}"), "ended");
        }
        outcome
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
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

/// Prints the effective configuration, or every fault.
fn check<T: Section>(file: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> ExitCode {
    let shown = Settings::<T>::load(file, environment)
        .map_err(anyhow::Error::from)
        .and_then(|settings| Ok(settings.effective()?));
    match shown {
        Ok(text) => {
            print!("{text}");
            ExitCode::from(OK)
        }
        Err(faults) => {
            eprintln!("{faults}");
            ExitCode::from(MISUSED)
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Run(Option<PathBuf>),
    CheckConfig(Option<PathBuf>),
    Version,
    Help,
}

impl Command {
    fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let (mut file, mut check) = (None, false);
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => return Ok(Self::Help),
                "--version" | "-V" => return Ok(Self::Version),
                "check-config" => check = true,
                "--config" => {
                    let path = arguments.next().ok_or("--config needs a file")?;
                    file = Some(PathBuf::from(path));
                }
                other => match other.strip_prefix("--config=") {
                    Some(path) => file = Some(PathBuf::from(path)),
                    None => return Err(format!("unknown argument `{other}`")),
                },
            }
        }
        Ok(if check { Self::CheckConfig(file) } else { Self::Run(file) })
    }
}

fn usage(name: &str) -> String {
    format!(
        "Usage: {name} [--config FILE] [check-config]\n\n\
         Without a command the service runs until it gets SIGTERM or SIGINT.\n\n\
         Commands:\n  check-config   print the effective configuration with secrets hidden, or every fault\n\n\
         Options:\n  --config FILE  configuration as TOML; HAETAE__SECTION__KEY in the environment overrides it\n  \
         --version      print the version\n  --help         print this"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Command, String> {
        Command::read(arguments.iter().map(|a| (*a).to_owned()))
    }

    #[test]
    fn the_command_line_is_small_and_strict() {
        assert_eq!(read(&[]), Ok(Command::Run(None)));
        assert_eq!(read(&["check-config", "--config", "a.toml"]), Ok(Command::CheckConfig(Some("a.toml".into()))));
        assert_eq!(read(&["--config=a.toml"]), Ok(Command::Run(Some("a.toml".into()))));
        assert_eq!(read(&["--version"]), Ok(Command::Version));
        assert!(read(&["--confg", "a"]).is_err());
        assert!(read(&["--config"]).is_err());
    }
}
