//! A child process that cannot outlive its parent.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A child in a process group of its own. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Owned {
    name: String,
    child: Child,
    /// What it is sent when its owner is dropped or this process dies.
    last_signal: Signal,
}

impl Owned {
    /// Starts `command`. `last_signal` ends it when it is dropped or when this process dies.
    pub(crate) fn spawn(name: &str, mut command: Command, last_signal: Signal) -> Result<Self> {
        command.process_group(0);
        let program = command.get_program().to_owned();
        let child = spawn_with_parent_death_signal(command, last_signal)
            .with_context(|| format!("cannot start {name} ({})", program.display()))?;
        Ok(Self { name: name.to_owned(), child, last_signal })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// To the process alone, not its group: a server passes it on as it sees fit.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(pid(&self.child)?, signal).with_context(|| format!("{} cannot be signalled", self.name))
    }

    /// Sends `signal` and waits; kills what is left after `patience`, which is an error.
    pub(crate) async fn end(&mut self, signal: Signal, patience: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.exit_status() {
            return Ok(status);
        }
        self.signal(signal)?;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.exit_status() {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.kill();
        bail!("{} had not ended {} s after {signal:?}; killed", self.name, patience.as_secs())
    }

    /// SIGKILL to the whole group; returns when the child is gone.
    pub(crate) fn kill(&mut self) {
        if self.exit_status().is_some() {
            return;
        }
        if let Ok(group) = pid(&self.child) {
            // It can only fail because nothing is left to kill.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.last_signal != Signal::KILL && self.exit_status().is_none() && self.signal(self.last_signal).is_ok() {
            let deadline = Instant::now() + Duration::from_secs(10);
            while self.exit_status().is_none() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
        }
        self.kill();
    }
}

fn pid(child: &Child) -> Result<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| anyhow!("not a process id: {}", child.id()))
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Linux sends the death signal when the *thread* that forked ends, not when the process does; a test's thread or an
/// idle runtime thread ends too early. This thread ends with the process.
static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (orders, inbox) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for (mut command, answer) in inbox {
            // Who asked may have stopped waiting; its child is then dropped, and dies with this process.
            let _ = answer.send(command.spawn());
        }
    });
    orders
});

fn spawn_with_parent_death_signal(mut command: Command, signal: Signal) -> io::Result<Child> {
    die_with_parent(&mut command, signal);
    let (answer, child) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes has ended");
    SPAWNER.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "pre_exec is the only moment at which a child can ask to be killed with its parent; between fork and exec \
              the closure makes two system calls and neither allocates nor locks"
)]
fn die_with_parent(command: &mut Command, signal: Signal) {
    use rustix::process::{getppid, set_parent_process_death_signal};

    let parent = Pid::from_raw(std::process::id().cast_signed());
    // SAFETY: only async-signal-safe system calls, no allocation, no locks; `parent` and `signal` are plain values.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(signal))?;
            // The parent may have died before the line above; nobody would tell us any more.
            if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
        });
    }
}

/// Elsewhere a killed parent leaves its children behind; a dropped owner still ends them.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command, _signal: Signal) {}
