//! A service, started from the image's files as a container runtime would: a root that cannot be written, a user who is
//! nobody, no capabilities, no way to gain any, and the first process of its own. (No OCI runtime is asked: it does not
//! start in every kind of machine that this runs on. The network is the machine's.)

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::chown,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use haetae_testkit::{
    postgres::{Cluster, ClusterOptions},
    process::{ProcessSpec, Service},
};
use haetae_tests::{House, Replicas, Surroundings, until};
use rustix::process::{Pid, Signal, kill_process};

use super::check::USER;
use crate::{process::run, report::Report};

/// How long a service may take to become ready on a busy machine.
const READY: Duration = Duration::from_secs(60);

/// How long it may take to end when it is told to.
const DRAIN: Duration = Duration::from_secs(15);

/// The service that is started: its readiness needs a database, and nothing else of the mesh.
const SERVICE: &str = "freeze";

/// Mounts the image at `$1` read-only with an empty `/tmp` that holds the configuration at `$2`, and becomes what follows.
const ENTER: &str = r#"
set -e
image=$1 config=$2
shift 2
mount --make-rprivate /
mount --bind "$image" "$image"
mount -o remount,bind,ro "$image"
mount -t tmpfs -o mode=1777,size=16m,nosuid,nodev,noexec none "$image/tmp"
mkdir -p "$image$config"
mount --bind "$config" "$image$config"
mount -o remount,bind,ro "$image$config"
mount -t proc none "$image/proc"
mount --rbind /dev "$image/dev"
exec chroot "$image" setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
"#;

/// Succeeds where `/tmp` can be written and nothing else can.
const WRITES: &str = "touch /tmp/x && ! touch /x && ! touch /etc/x && ! touch /usr/local/bin/x";

/// Starts the service, sees it healthy, and has it end in good order.
pub(super) fn start(image: &Path, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(started(image, report))
}

async fn started(image: &Path, report: &mut Report) -> Result<()> {
    // In the folder for temporary files, which is what a container may have of its own.
    let folder = tempfile::Builder::new().prefix("haetae-image-").tempdir()?;
    let house = House::build(folder.path(), Replicas::One)?;
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let nothing = ("http://127.0.0.1:9".to_owned(), "ws://127.0.0.1:9".to_owned());
    let rooms = house.furnish(&Surroundings {
        postgres: cluster.url(""),
        redis: None,
        node: nothing,
        token: "eip155:31337/erc20:0x0000000000000000000000000000000000000001".to_owned(),
        bitcoin: None,
        otlp: None,
    })?;
    let room = rooms.iter().find(|room| room.name == SERVICE).context("the rehearsal has no such service")?;
    cluster.database(&room.database).await?;
    give_away(folder.path())?;

    let written = run(enter(image, folder.path()).args(["/bin/sh", "-c", WRITES]))?;
    if !written.ok {
        report.fail(format!("in the image more than /tmp can be written, or not even that: {}", written.said()));
    }
    report.count("root that cannot be written", 1);
    let log = tempfile::NamedTempFile::new()?;
    let command = enter(image, folder.path());
    let program = format!("/usr/local/bin/{}", room.program);
    let mut service = Service::spawn(ProcessSpec {
        name: format!("{SERVICE} in the image"),
        program: command.get_program().into(),
        args: command
            .get_args()
            .map(Into::into)
            .chain([program.into(), "--config".into(), room.config.clone().into()])
            .collect(),
        env: Vec::new(),
        log: log.path().to_owned(),
    })?;
    let ready = until("the service in the image is ready", READY, async || {
        if let Some(status) = service.exit_status() {
            bail!("it has ended ({status})");
        }
        Ok(answers(room.listener.probes, "/readyz").then_some(()))
    });
    ready.await.with_context(|| last_words(log.path()))?;
    report.count("service ready", 1);

    let process = first_process(service.pid())?;
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    for (line, wanted) in [("Uid", USER), ("Gid", USER), ("CapEff", "0000000000000000"), ("NoNewPrivs", "1")] {
        let found = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
        let found = found.and_then(|values| values.split_whitespace().next()).unwrap_or_default();
        if found != wanted {
            report.fail(format!("the service runs with {line} {found}, not {wanted}"));
        }
        report.count("confinements", 1);
    }
    let id = Pid::from_raw(process.try_into()?).context("no process")?;
    kill_process(id, Signal::TERM).context("the service cannot be told to end")?;
    let ended = until("the service ends when it is told to", DRAIN, async || Ok(service.exit_status())).await?;
    match ended.success() {
        true => report.count("service ended in good order", 1),
        false => report.fail(format!("told to end, the service ended with {ended}: {}", last_words(log.path()))),
    }
    Ok(())
}

/// The command that enters the image; what it becomes is added as arguments.
fn enter(image: &Path, config: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "enter"]).arg(image).arg(config);
    command
}

/// Everything in the folder becomes the image's user's, as a pod's `fsGroup` would have it.
fn give_away(folder: &Path) -> Result<()> {
    let user = Some(USER.parse()?);
    chown(folder, user, user)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give_away(&entry.path())?;
        } else {
            chown(entry.path(), user, user)?;
        }
    }
    Ok(())
}

/// The first process of the namespace that `unshare` has made.
fn first_process(unshare: u32) -> Result<u32> {
    let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"))?;
    children.split_whitespace().next().and_then(|child| child.parse().ok()).context("unshare has no child")
}

/// Asks the probe port, as Kubernetes would.
fn answers(port: u16, path: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
