//! From a configuration to a running replica.

use std::{future::Future, time::Duration};

use anyhow::Context;
use haetae_ledger::{AuditApi, Doorbell, Follower, Following, Handler, Log, LogConfig, LogSource, Sealer};
use haetae_mesh::{Boot, Primary, Server, config::MigrateWhen};
use haetae_seal::checkpoint::{LogKey, LogVerifier};
use haetae_wire::audit::v1::audit_service_server::AuditServiceServer;
use opentelemetry::global;
use sqlx::{PgPool, migrate::Migrator};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    Tables, database,
    operations::{self, Operations},
    presence::{self, Presence},
    status::{Own, StatusApi},
};

/// How long tasks may take to finish the work in hand once the server has drained.
const LAST_WORK: Duration = Duration::from_secs(5);

/// A replica on its way to serving: database migrated, log open, tasks running.
pub struct Assembly {
    /// The service's database.
    pub pool: PgPool,
    /// The service's log.
    pub log: Log,
    /// Cancelled when the process is told to end.
    pub shutdown: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    service: &'static str,
    replica: String,
    followers: Vec<(String, watch::Receiver<Following>)>,
}

impl Assembly {
    /// Connects to the database, brings its tables up to date or looks whether that was done, opens the log and starts
    /// its sealer and doorbell. A database that is not there, or not migrated, is waited for.
    ///
    /// # Errors
    /// When configuration is missing, the tables cannot be brought up to date, or the database holds another log.
    pub async fn open<T>(service: &'static str, boot: &Boot<T>, migrations: &Migrator) -> anyhow::Result<Self> {
        let (config, log) = (boot.database()?, boot.log()?);
        let options = database::options(config, service)?;
        let connect = async || database::connect(options.clone(), config.max_connections).await;
        let pool = boot.wait_for("database", connect).await?;
        let tables = Tables::with_log(service, migrations);
        match config.migrate {
            MigrateWhen::Start => {
                let applied = tables.update(&options).await.context("the tables cannot be brought up to date")?;
                tracing::info!(?applied, "the tables are up to date");
            }
            MigrateWhen::Check => boot.wait_for("tables", async || tables.ready(&pool).await).await?,
        }
        let expects_standby = config.expect_synchronous_standby;

        let pem = std::fs::read_to_string(&log.key).with_context(|| format!("log.key: {}", log.key.display()))?;
        let doorbell = match Primary::of(&boot.settings().redis).context("redis")? {
            Some(primary) => {
                let find = move || {
                    let primary = primary.clone();
                    async move { primary.client().await }
                };
                Doorbell::redis(find, &log.origin)
            }
            None => Doorbell::local(),
        };
        let shutdown = boot.shutdown();
        let config =
            LogConfig { origin: log.origin.clone(), key: LogKey::from_pkcs8_pem(&pem)?, drain: shutdown.clone() };
        let log = Log::open(pool.clone(), config, doorbell.clone()).await?;

        let replica = boot.replica();
        let mut assembly = Self { pool, log, shutdown, tasks: JoinSet::new(), service, replica, followers: Vec::new() };
        database::tell_connections(&assembly.pool, service);
        if expects_standby {
            let pool = assembly.pool.clone();
            assembly.spawn(|cancel| database::watch_standby(pool, cancel));
        }
        let sealer = Sealer::new(assembly.log.clone());
        assembly.spawn(|cancel| async move {
            sealer.run(cancel).await;
            Ok(())
        });
        assembly.spawn(|cancel| async move {
            doorbell.run(cancel).await;
            Ok(())
        });
        Ok(assembly)
    }

    /// Runs a task for as long as the replica runs. One that ends by itself ends the replica.
    pub fn spawn<F>(&mut self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.tasks.spawn(task(self.shutdown.clone()));
    }

    /// Follows every entry of a log whose key is pinned; the handler may append to the service's own.
    ///
    /// # Errors
    /// When no key is pinned for it.
    pub fn follow(
        &mut self,
        of: &str,
        source: impl LogSource + 'static,
        pinned: Option<&LogVerifier>,
        handler: impl Handler + 'static,
    ) -> anyhow::Result<()> {
        let key = required(of, pinned)?;
        self.run_follower(of, |name, pool, log| Follower::new(pool, name, source, key, handler).appending_to(log));
        Ok(())
    }

    /// Follows what is addressed to one exchange.
    ///
    /// # Errors
    /// When no key is pinned for the log.
    pub fn follow_addressed(
        &mut self,
        of: &str,
        exchange: &str,
        source: impl LogSource + 'static,
        pinned: Option<&LogVerifier>,
        handler: impl Handler + 'static,
    ) -> anyhow::Result<()> {
        let key = required(of, pinned)?;
        self.run_follower(of, |name, pool, log| {
            Follower::new(pool, name, source, key, handler).appending_to(log).addressed_to(exchange)
        });
        Ok(())
    }

    /// Lets operators look after the service under this name: it does what intake's log says they want of it, and
    /// answers how it stands, with what `own` adds. Belongs after everything else that is followed.
    ///
    /// # Errors
    /// When no key is pinned for intake's log.
    pub fn operate<F, R>(
        &mut self,
        name: &str,
        intake: impl LogSource + 'static,
        pinned: Option<&LogVerifier>,
        own: F,
    ) -> anyhow::Result<StatusApi>
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Own, sqlx::Error>> + Send + 'static,
    {
        let handler = Operations::new(name, self.service);
        match name.strip_prefix("connector/") {
            Some(exchange) => self.follow_addressed(operations::FOLLOWED, exchange, intake, pinned, handler)?,
            None => self.follow(operations::FOLLOWED, intake, pinned, handler)?,
        }
        let followers = self.followers.iter().map(|(follower, _)| follower.clone()).collect();
        Ok(StatusApi::new(name, self.log.clone(), followers, own))
    }

    /// A log that was rolled back or forked is not followed any more, and says so; everything else goes on, since a
    /// freeze elsewhere must not wait for the investigation of one log.
    fn run_follower(&mut self, of: &str, make: impl FnOnce(String, PgPool, Log) -> Follower) {
        let name = format!("{}<-{of}", self.service);
        let follower = make(name.clone(), self.pool.clone(), self.log.clone());
        self.followers.push((name.clone(), follower.state()));
        self.spawn(|cancel| async move {
            if let Err(error) = follower.run(cancel.clone()).await {
                tracing::error!(follower = name, %error, "stopped: a person has to look at this log");
                let stopped = global::meter("haetae")
                    .u64_gauge("haetae.follower.stopped")
                    .with_description(
                        "1 where a log was rolled back, forked or is another, and is not followed any more",
                    )
                    .build();
                stopped.record(1, &[opentelemetry::KeyValue::new("follower", name)]);
                cancel.cancelled().await;
            }
            Ok(())
        });
    }

    /// Serves until told to end, then lets the tasks finish the work in hand.
    ///
    /// # Errors
    /// When the server cannot start, or a task ends by itself.
    pub async fn serve(self, server: Server) -> anyhow::Result<()> {
        self.serve_all(vec![server]).await
    }

    /// Serves on several listeners; the first also answers auditors.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub async fn serve_all(mut self, servers: Vec<Server>) -> anyhow::Result<()> {
        let shutdown = self.shutdown.clone();
        let presence = Presence {
            pool: self.pool.clone(),
            name: self.replica.clone(),
            followers: std::mem::take(&mut self.followers),
        };
        self.spawn(|shutdown| async move {
            presence.keep(shutdown).await;
            Ok(())
        });
        let mut listeners = JoinSet::new();
        for (place, mut server) in servers.into_iter().enumerate() {
            if place == 0 {
                let log = self.log.clone();
                server = server.add(AuditServiceServer::new(AuditApi::new(self.log.clone()))).ready("log", move || {
                    let log = log.clone();
                    async move { Ok(log.ready().await?) }
                });
            }
            // Both bind before either serves, so that a taken port ends the start and not a running replica.
            let listening = server.listen().await?;
            listeners.spawn(listening.run(shutdown.clone()));
        }
        let outcome = loop {
            tokio::select! {
                served = listeners.join_next() => match served {
                    None => break Ok(()),
                    Some(served) => if let Err(error) = served.context("the server panicked").and_then(|s| Ok(s?)) {
                        break Err(error);
                    },
                },
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    let ended = ended.context("a task panicked").and_then(|task| task);
                    if !shutdown.is_cancelled() {
                        break Err(ended.err().unwrap_or_else(|| anyhow::anyhow!("a task ended by itself")));
                    }
                }
            }
        };
        shutdown.cancel();
        while let Some(served) = listeners.join_next().await {
            if let Ok(Err(error)) = served {
                tracing::warn!(%error, "while draining");
            }
        }
        if tokio::time::timeout(LAST_WORK, async { while self.tasks.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!(
                "tasks did not finish in time and are aborted; what they were doing is done again after the start"
            );
            self.tasks.shutdown().await;
        }
        presence::leave(&self.pool, &self.replica).await;
        self.pool.close().await;
        outcome
    }
}

fn required(of: &str, pinned: Option<&LogVerifier>) -> anyhow::Result<LogVerifier> {
    pinned.cloned().with_context(|| format!("the registry pins no key for the log of {of}"))
}
