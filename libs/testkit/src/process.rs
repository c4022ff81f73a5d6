//! Programs that belong to this process and end with it.

mod owned;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

pub(crate) use owned::Owned;

/// What to run.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    /// What errors call it.
    pub name: String,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Added to this process's environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where its standard output and standard error go, appended.
    pub log: PathBuf,
}

/// A running program. Dropping it kills it, and so does the end of this process, however it ends.
#[derive(Debug)]
pub struct Service {
    spec: ProcessSpec,
    child: Owned,
}

impl Service {
    /// Starts the program; it is not waited for.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn spawn(spec: ProcessSpec) -> Result<Self> {
        let child = launch(&spec)?;
        Ok(Self { spec, child })
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The process id of the program as last started.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// The log file.
    pub fn log(&self) -> &Path {
        &self.spec.log
    }

    /// Whether it runs (a paused program does).
    pub fn is_running(&mut self) -> bool {
        self.child.exit_status().is_none()
    }

    /// How it ended; none while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.exit_status()
    }

    /// SIGKILL: it ends without a chance to tidy up. Returns when it is gone.
    pub fn kill9(&mut self) {
        self.child.kill();
    }

    /// SIGTERM, and waits for it to end by itself.
    ///
    /// # Errors
    /// When it still runs after `patience`; it is then killed.
    pub async fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.child.end(Signal::TERM, patience).await
    }

    /// SIGSTOP: the program hangs with its connections open, as a machine that has frozen does.
    ///
    /// # Errors
    /// When it no longer runs.
    pub fn pause(&self) -> Result<()> {
        self.child.signal(Signal::STOP)
    }

    /// Ends a [`pause`](Self::pause).
    ///
    /// # Errors
    /// When it no longer runs.
    pub fn resume(&self) -> Result<()> {
        self.child.signal(Signal::CONT)
    }

    /// Kills it if it runs and starts it again, as it was described.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub fn restart(&mut self) -> Result<()> {
        self.child.kill();
        self.child = launch(&self.spec)?;
        Ok(())
    }
}

fn launch(spec: &ProcessSpec) -> Result<Owned> {
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).envs(spec.env.iter().map(|(name, value)| (name, value)));
    log_to(&mut command, &spec.log)?;
    Owned::spawn(&spec.name, command, Signal::KILL)
}

/// Appends the program's output to a file and gives it no input.
pub(crate) fn log_to(command: &mut Command, log: &Path) -> Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot open the log {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    Ok(())
}
