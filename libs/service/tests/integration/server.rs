use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use haetae_service::database::is_synchronous;
use haetae_testkit::{
    certs::{Ca, Leaf},
    postgres::{Cluster, ClusterOptions},
};
use sqlx::{AssertSqlSafe, Executor, PgPool};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::connect;

const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until there is something.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Some(found) => return found,
            None if begun.elapsed() < PATIENCE => sleep(Duration::from_millis(20)).await,
            None => panic!("not in {PATIENCE:?}"),
        }
    }
}

/// A server of its own, for settings that a shared one cannot have.
struct Server {
    cluster: Cluster,
    folder: TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = ClusterOptions { folder: Some(folder.path().to_owned()), ..ClusterOptions::default() };
        Self { cluster: Cluster::start(options).await.unwrap(), folder }
    }

    async fn pool(&self) -> PgPool {
        connect(&self.cluster.url("postgres")).await.unwrap()
    }

    async fn set(&self, settings: &[(&str, String)]) {
        let pool = self.pool().await;
        for (name, value) in settings {
            pool.execute(AssertSqlSafe(format!("alter system set {name} = '{value}'"))).await.unwrap();
        }
        pool.execute("select pg_reload_conf()").await.unwrap();
    }

    /// A file that the server may read and nobody else.
    fn private(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let owner = fs::metadata(self.folder.path().join("data")).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        path
    }
}

#[tokio::test]
async fn a_connection_is_encrypted_and_only_to_the_server_that_was_meant() {
    let server = Server::start().await;
    let (ca, stranger) = (Ca::new("databases").unwrap(), Ca::new("somebody else").unwrap());
    let identity = ca.issue(&Leaf { dns: &["db.test"], ..Leaf::default() }).unwrap();
    let path = |path: PathBuf| path.display().to_string();
    server
        .set(&[
            ("ssl_cert_file", path(server.private("server.crt", &identity.cert_pem))),
            ("ssl_key_file", path(server.private("server.key", &identity.key_pem))),
            ("ssl", "on".to_owned()),
        ])
        .await;
    let folder = tempfile::tempdir().unwrap();
    let root = |name: &str, ca: &Ca| {
        let path = folder.path().join(name);
        fs::write(&path, ca.cert_pem()).unwrap();
        path
    };
    let (root, other) = (root("ca.crt", &ca), root("other.crt", &stranger));
    let plain = server.cluster.url("postgres");
    let verified = |url: &str, root: &Path| format!("{url}?sslmode=verify-full&sslrootcert={}", root.display());

    let pool = until(async || connect(&verified(&plain, &root)).await.ok()).await;
    let encrypted: bool =
        sqlx::query_scalar("select ssl from pg_stat_ssl where pid = pg_backend_pid()").fetch_one(&pool).await.unwrap();
    assert!(encrypted);

    let unknown = format!("{:#}", connect(&verified(&plain, &other)).await.unwrap_err());
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let named = plain.replacen("127.0.0.1", "localhost", 1);
    let elsewhere = format!("{:#}", connect(&verified(&named, &root)).await.unwrap_err());
    assert!(elsewhere.contains("not valid for name"), "{elsewhere}");
}

#[tokio::test]
async fn it_is_seen_whether_a_commit_waits_for_another_machine() {
    let server = Server::start().await;
    // Tests' servers do not wait for their own disk; a commit here must not wait for anything either.
    let pool = server.pool().await;
    assert!(!is_synchronous(&pool).await.unwrap(), "no standby is named");
    server.set(&[("synchronous_standby_names", "any 1 (*)".to_owned())]).await;
    let url = server.cluster.url("postgres");
    let waits = connect(&format!("{url}?options[synchronous_commit]=on")).await.unwrap();
    until(async || is_synchronous(&waits).await.unwrap().then_some(())).await;
    assert!(!is_synchronous(&pool).await.unwrap(), "a role that does not wait for it");
}
