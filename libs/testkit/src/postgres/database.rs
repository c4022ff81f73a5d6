//! Databases that are made for one test and dropped after it.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::Cluster;

/// Guards the making of templates, among all processes that share a cluster. The number means nothing.
const TEMPLATES: i64 = 0x6861_6574_6165;

/// A pool never takes more: many tests share one server.
const CONNECTIONS: u32 = 8;

/// A database.
pub struct Database {
    /// `postgres://user@127.0.0.1:port/name`
    pub url: String,
    /// Where and what to drop when this is dropped; none for one that stays.
    drop_as: Option<(String, String)>,
}

impl Database {
    /// An empty database of the shared cluster, for one test. It is dropped with this value.
    ///
    /// # Errors
    /// As [`Cluster::shared`].
    pub async fn fresh() -> Result<Self> {
        Self::create(Cluster::shared().await?, "template1").await
    }

    pub(super) async fn named(cluster: &Cluster, name: &str) -> Result<Self> {
        plain(name)?;
        let mut server = cluster.connect().await?;
        if !exists(&mut server, name).await? {
            execute(&mut server, format!("CREATE DATABASE {name}")).await?;
        }
        server.close().await?;
        Ok(Self { url: cluster.url(name), drop_as: None })
    }

    async fn create(cluster: &Cluster, template: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let chance = Uuid::new_v4().as_u64_pair().0;
        let name = format!("t_{}_{number}_{chance:x}", std::process::id());
        let mut server = cluster.connect().await?;
        execute(&mut server, format!("CREATE DATABASE {name} TEMPLATE {template}")).await?;
        server.close().await?;
        Ok(Self { url: cluster.url(&name), drop_as: Some((cluster.url("postgres"), name)) })
    }
}

/// A role that may log in.
pub(super) async fn role(cluster: &Cluster, name: &str) -> Result<()> {
    plain(name)?;
    let mut server = cluster.connect().await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(name)
        .fetch_one(&mut server)
        .await?;
    if !exists {
        execute(&mut server, format!("CREATE ROLE {name} LOGIN")).await?;
    }
    Ok(server.close().await?)
}

/// Names are put into statements as they are.
fn plain(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
        bail!("not a plain name: {name:?}");
    }
    Ok(())
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some((server, name)) = self.drop_as.take() else {
            return;
        };
        // A thread with a runtime of its own: whoever drops this may be inside a runtime that must not be re-entered,
        // or one that is ending. It is waited for, else the end of the process would overtake it.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let drop = async {
                    let mut server = PgConnection::connect(&server).await?;
                    execute(&mut server, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
                };
                tokio::time::timeout(Duration::from_secs(10), drop).await?
            })
        });
        // What is not dropped goes with the cluster.
        let _ = dropping.join();
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&self.url).finish()
    }
}

/// A migrated database for one test, with a pool of connections to it.
#[derive(Debug)]
pub struct TestDb {
    /// At most eight connections.
    pub pool: PgPool,
    /// `postgres://user@127.0.0.1:port/name`, for processes that connect by themselves.
    pub url: String,
    _database: Database,
}

impl TestDb {
    /// A database of the shared cluster to which the migrations have been applied. They run once per set of migrations;
    /// each test gets a copy, which is dropped with this value.
    ///
    /// # Errors
    /// As [`Cluster::shared`], or when a migration fails.
    pub async fn migrated(migrator: &Migrator) -> Result<Self> {
        let mut migrations = Vec::new();
        for migration in migrator.iter() {
            migrations.extend_from_slice(&migration.version.to_be_bytes());
            migrations.extend_from_slice(&migration.checksum);
        }
        Self::prepared(&migrations, async |pool| Ok(migrator.run(&pool).await?)).await
    }

    /// As [`migrated`](Self::migrated), for databases that are prepared in another way: `prepare` runs once for each
    /// `key`, which must change when what it does changes.
    ///
    /// # Errors
    /// As [`Cluster::shared`], or when `prepare` fails.
    pub async fn prepared(key: &[u8], prepare: impl AsyncFnOnce(PgPool) -> Result<()>) -> Result<Self> {
        let cluster = Cluster::shared().await?;
        let template = format!("template_{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, key).simple());
        let mut server = cluster.connect().await?;
        sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATES).execute(&mut server).await?;
        if !is_template(&mut server, &template).await? {
            // One that is there but no template was left half done.
            execute(&mut server, format!("DROP DATABASE IF EXISTS {template} WITH (FORCE)")).await?;
            execute(&mut server, format!("CREATE DATABASE {template}")).await?;
            let pool = pool(&cluster.url(&template)).await?;
            let prepared = prepare(pool.clone()).await;
            pool.close().await;
            prepared.context("cannot prepare the template database")?;
            execute(&mut server, format!("ALTER DATABASE {template} IS_TEMPLATE true")).await?;
        }
        // Frees the lock. Copies are made side by side: Postgres locks the template only against connections.
        server.close().await?;

        let database = Database::create(cluster, &template).await?;
        Ok(Self { pool: pool(&database.url).await?, url: database.url.clone(), _database: database })
    }
}

async fn pool(url: &str) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(Duration::from_secs(30)).connect(url).await?)
}

async fn exists(server: &mut PgConnection, name: &str) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(server)
        .await?)
}

async fn is_template(server: &mut PgConnection, name: &str) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)")
        .bind(name)
        .fetch_one(server)
        .await?)
}

/// Statements about databases take no parameters; the names in them are made or checked here.
async fn execute(server: &mut PgConnection, statement: String) -> Result<()> {
    sqlx::query(AssertSqlSafe(statement)).execute(server).await?;
    Ok(())
}
