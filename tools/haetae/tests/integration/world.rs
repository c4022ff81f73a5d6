//! An authority, a server with its certificate, a profile that leads to it, and the program.

use std::{fs, net::SocketAddr, path::PathBuf, process::Output};

use haetae_mesh::{ServeError, Server};
use haetae_testkit::certs::{Ca, Leaf};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{process::Command, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const DOMAIN: &str = "spiffe://haetae.test";
pub(crate) const ROOT: &str = "eip155:1:0x52908400098527886E0F7030069857D2E4169EE7";

pub(crate) struct World {
    ca: Ca,
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self { ca: Ca::new("mesh").unwrap(), folder: tempfile::tempdir().unwrap() };
        for name in ["agency", "auditor", "server"] {
            let spiffe = format!("{DOMAIN}/{name}");
            let leaf = Leaf { spiffe: Some(&spiffe), ..Leaf::default() };
            world.ca.issue(&leaf).unwrap().write_to(&world.path(name)).unwrap();
        }
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A server to which services are added.
    pub(crate) fn server(&self) -> Server {
        let tls = self.path("server");
        let config = serde_json::from_value(json!({
            "listen": "127.0.0.1:0",
            "probe_listen": "127.0.0.1:0",
            "tls": { "cert": tls.join("tls.crt"), "key": tls.join("tls.key"), "client_ca": tls.join("ca.crt") },
            "roles": { "agency": [format!("{DOMAIN}/agency")], "auditor": [format!("{DOMAIN}/auditor")] },
            "drain": { "grace_ms": 0, "limit_ms": 1_000 },
        }))
        .unwrap();
        Server::new("haetae-scripted", &config)
    }

    /// A profile that leads to this server, with what the test adds before and after.
    pub(crate) fn profile(&self, at: SocketAddr, top: &str, rest: &str) {
        self.write("token", "of-ji-woo\n");
        let tls = |name: &str| {
            format!("tls = {{ cert = \"{name}/tls.crt\", key = \"{name}/tls.key\", ca = \"{name}/ca.crt\" }}")
        };
        let text = format!(
            "purpose = \"test\"\nchain = \"eip155:1\"\ntoken_file = \"token\"\n{top}\n\
             [intake]\nendpoints = [\"https://{at}\"]\ndeadline_ms = 10000\n{}\n{rest}\n\
             [[case]]\nnumber = \"2026-1\"\nlegal_basis = \"information-request\"\nsummary = \"A theft.\"\n\
             [case.confidentiality]\ncustomer_may_be_told = true\n",
            tls("agency"),
        );
        self.write("profile.toml", &text.replace("AUDITOR", &tls("auditor")));
    }

    /// The program with this profile.
    pub(crate) async fn haetae(&self, words: &[&str]) -> Ran {
        run(Some(self.path("profile.toml")), words).await
    }
}

/// The program, without anything of this machine's own.
pub(crate) async fn run(profile: Option<PathBuf>, words: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haetae"));
    command.args(words).env_remove("HAETAE_TOKEN").env_remove("HAETAE_PROFILE").kill_on_drop(true);
    if let Some(profile) = profile {
        command.env("HAETAE_PROFILE", profile);
    }
    Ran(command.output().await.unwrap())
}

/// How the program ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran(Output);

impl Ran {
    pub(crate) fn code(&self) -> i32 {
        self.0.status.code().unwrap()
    }

    pub(crate) fn out(&self) -> &str {
        str::from_utf8(&self.0.stdout).unwrap()
    }

    pub(crate) fn err(&self) -> &str {
        str::from_utf8(&self.0.stderr).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.out()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A server at work; aborted when dropped.
pub(crate) struct Running {
    pub(crate) at: SocketAddr,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    pub(crate) async fn start(server: Server) -> Self {
        let listening = server.listen().await.unwrap();
        let at = listening.local_addr().unwrap();
        Self { at, task: tokio::spawn(listening.run(CancellationToken::new())) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
