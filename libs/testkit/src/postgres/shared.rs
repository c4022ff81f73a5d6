//! The cluster that test processes share.
//!
//! Four files in its folder carry the agreement: `start.lock` is held by whoever looks or starts, `in-use.lock` is
//! held together by all who use the cluster (and alone by the watch that stops it), `watch.lock` is held by the watch
//! for as long as there is a server, and Postgres' own `data/postmaster.pid` names the port. Locks go with their
//! holder, so a killed process leaves none.

use std::fs::{self, TryLockError};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{Account, Cluster, Layout, START, Server, answers, programs};
use crate::parts::on_path;
use crate::process::log_to;
use crate::until::until;
use crate::workspace::{self, Hold};

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();

/// Runs Postgres and stops it when nobody has held `in-use.lock` for a minute; while it stops it, it holds that lock
/// alone, so that newcomers wait and then find it gone. Arguments: the folder, then the server's command.
///
/// It is patient with `watch.lock`, which those who look whether there is a watch hold for a moment.
const WATCH: &str = r#"
trap '' HUP INT
cd "$1" || exit 1
shift
exec 9<watch.lock
flock --timeout 10 9 || exit 1
"$@" 9<&- &
server=$!
idle=0
while kill -0 $server 2>/dev/null; do
    sleep 5 9<&-
    if flock --nonblock in-use.lock true 9<&-; then idle=$((idle + 5)); else idle=0; fi
    if [ $idle -ge 60 ]; then
        exec 8<in-use.lock
        if flock --nonblock 8; then
            kill -INT $server
            wait $server
            exit 0
        fi
        exec 8<&-
        idle=0
    fi
done
"#;

pub(super) async fn cluster() -> Result<&'static Cluster> {
    CLUSTER.get_or_try_init(attach).await
}

async fn attach() -> Result<Cluster> {
    let programs = programs().await?;
    let account = Account::of_the_server()?;
    let folder = folder(&account)?;
    let lock = |name: &str, hold| {
        let path = folder.join(name);
        async move { tokio::task::spawn_blocking(move || workspace::lock(&path, hold, 2 * START)).await? }
    };
    let _one_at_a_time = lock("start.lock", Hold::Alone).await?;
    let in_use = lock("in-use.lock", Hold::Together).await?;

    let layout = Layout::new(&programs, &folder);
    let mut port = None;
    let ready = until("the shared Postgres answers", START, async || {
        // Looked at each time: the watch may just be ending, with the server that it watched over.
        if !is_watched(&folder)? {
            start(&layout, &account).await?;
        }
        port = listening_port(&layout.data);
        match port {
            Some(port) => Ok(answers(port).await),
            None => Ok(false),
        }
    });
    ready.await.with_context(|| format!("see {}", layout.log.display()))?;
    Ok(Cluster {
        port: port.ok_or_else(|| anyhow!("the shared Postgres named no port"))?,
        server: Server::Shared(in_use),
        _folder: None,
    })
}

/// Below Cargo's target folder; where the server's account cannot come there, in the folder for temporary files.
fn folder(account: &Account) -> Result<PathBuf> {
    let beside_the_build = workspace::target().join("parts/pg");
    fs::create_dir_all(&beside_the_build).with_context(|| format!("cannot create {}", beside_the_build.display()))?;
    let beside_the_build = fs::canonicalize(beside_the_build)?;
    if account.reaches(&beside_the_build) {
        account.owns(&beside_the_build)?;
        return Ok(beside_the_build);
    }
    let name = Uuid::new_v5(&Uuid::NAMESPACE_OID, beside_the_build.as_os_str().as_encoded_bytes());
    let folder = std::env::temp_dir().join(format!("haetae-pg-{}", name.simple()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    account.owns(&folder)?;
    Ok(folder)
}

fn is_watched(folder: &Path) -> Result<bool> {
    match workspace::lock_file(&folder.join("watch.lock"))?.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).context("cannot look at watch.lock"),
    }
}

/// Starts from nothing. Without its watch a server may still run (only when somebody killed the watch alone): it is
/// told to end by the loss of its files, which Postgres checks for.
async fn start(layout: &Layout<'_>, account: &Account) -> Result<()> {
    if on_path("flock").is_none() {
        bail!("missing: flock (Debian's package util-linux), which stops an unused shared Postgres");
    }
    if layout.data.exists() {
        fs::remove_dir_all(&layout.data).with_context(|| format!("cannot remove {}", layout.data.display()))?;
    }
    if layout.log.exists() {
        fs::remove_file(&layout.log)?;
    }
    fs::create_dir(&layout.data)?;
    account.owns(&layout.data)?;
    layout.initialise(account).await?;

    let server = layout.server(crate::ports::free_port()?, false);
    let mut watch = Command::new("sh");
    watch
        .args(["-c", WATCH, "watch"])
        .arg(layout.folder)
        .arg(server.get_program())
        .args(server.get_args())
        .env("LC_ALL", "C")
        .current_dir(layout.folder)
        .process_group(0);
    account.runs(&mut watch);
    log_to(&mut watch, &layout.log)?;
    // Not ours to wait for: it outlives this process on purpose.
    drop(watch.spawn().context("cannot start the watch over the shared Postgres")?);
    until("the watch over the shared Postgres is there", START, async || is_watched(layout.folder)).await
}

/// The fourth line of `postmaster.pid`.
fn listening_port(data: &Path) -> Option<u16> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    text.lines().nth(3)?.trim().parse().ok()
}
