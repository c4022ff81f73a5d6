//! What was started is ended, whenever a person or a system says so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// One mesh at a time.
static MACHINE: Mutex<()> = Mutex::new(());

/// `xtask`, with a folder of its own for everything temporary.
struct Started {
    process: Child,
    temporary: TempDir,
}

impl Started {
    fn with(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        // Postgres runs as another user where we are root.
        fs::set_permissions(temporary.path(), Permissions::from_mode(0o755)).unwrap();
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
        xtask.args(arguments).env("TMPDIR", temporary.path());
        let process = xtask.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { process, temporary }
    }

    /// Sends a signal as soon as this is narrated.
    fn told(&self, signal: Signal, narrated: &mut impl BufRead, when: &str) {
        let heard = narrated.lines().map_while(Result::ok).any(|line| line.contains(when));
        assert!(heard, "never: {when}");
        let process = Pid::from_raw(self.process.id().try_into().unwrap()).unwrap();
        kill_process(process, signal).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            sleep(Duration::from_millis(20));
        }
    }

    fn left(&self) -> Vec<String> {
        let names = fs::read_dir(self.temporary.path()).unwrap();
        names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_demonstration_that_is_interrupted_ends_what_it_started_and_says_that_it_is_not_well() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut demo = Started::with(&["demo", "--json"]);
    let mut narrated = BufReader::new(demo.process.stderr.take().unwrap());
    demo.told(Signal::INT, &mut narrated, "processes are ready");
    assert!(!demo.ended().success());
    let mut printed = String::new();
    demo.process.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    let outcome: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(outcome["ok"], false);
    assert_eq!(demo.left(), Vec::<String>::new());
}

#[test]
fn a_mesh_that_is_told_to_end_while_it_starts_leaves_nothing_behind() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut up = Started::with(&["up", "--no-redis"]);
    let mut narrated = BufReader::new(up.process.stdout.take().unwrap());
    up.told(Signal::TERM, &mut narrated, "A mesh is started");
    assert!(up.ended().success());
    assert_eq!(up.left(), Vec::<String>::new());
}
