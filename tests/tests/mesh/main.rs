//! The whole mesh, on real processes. One at a time: each of these tests wants the machine for itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod arrows;
mod bytecode;
mod case;
mod contracts;
mod doors;
mod labels;
mod metrics;
mod migrated;
mod operations;
mod otlp;
mod past;
mod python;
mod trace;

use haetae_tests::{Mesh, Options};
use tokio::sync::{Mutex, MutexGuard};

static MACHINE: Mutex<()> = Mutex::const_new(());

/// A mesh, and the machine for as long as it is held.
struct Alone {
    mesh: Mesh,
    _machine: MutexGuard<'static, ()>,
}

async fn alone(options: Options) -> Alone {
    let machine = MACHINE.lock().await;
    Alone { mesh: Mesh::start(options).await.unwrap(), _machine: machine }
}

/// The command line, built.
fn haetae() -> std::path::PathBuf {
    haetae_testkit::binaries::built(&["haetae"]).unwrap().join("haetae")
}
