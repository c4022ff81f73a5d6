//! From a configuration to a running exchange.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use haetae_core::ChainKind;
use haetae_mesh::config::{DatabaseConfig, MigrateWhen, Settings};
use haetae_mesh::{Listening, Server};
use haetae_seal::dsse::SigningKey;
use haetae_service::{Tables, database};
use haetae_wire::exchange::v1::{self, exchange_service_server::ExchangeServiceServer};
use haetae_wire::keys::Keyring;
use haetae_wire::registry::Registry;
use haetae_wire::sandbox::v1::sandbox_service_server::SandboxServiceServer;
use sqlx::{PgPool, migrate::Migrator};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::SandboxApi;
use crate::book::{Bitcoin, Books, Customers, Evm, Network, Teller, Till, Vault, Watcher, keep_subscribed};
use crate::config::{Chain, Config};
use crate::contract::{ChainTerms, EventLog, ExchangeApi, Legs, Orders, Signer, Terms};
use crate::outage::{Outage, WithOutages};
use crate::worker;

/// The exchange's tables.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// How long tasks may take to finish the work in hand.
const LAST_WORK: Duration = Duration::from_secs(5);

/// An exchange that has its addresses and serves when it is run.
#[must_use = "an exchange serves when it is run"]
pub struct Sandbox {
    public: Listening,
    control: Listening,
    pool: PgPool,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

/// Where an exchange is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The public contract.
    pub public: SocketAddr,
    /// The driving contract.
    pub control: SocketAddr,
}

impl Sandbox {
    /// Brings the database up to date, binds both listeners and starts to read its chains.
    ///
    /// # Errors
    /// When the configuration names something that cannot be used: files, keys, addresses, the database.
    pub async fn open(settings: &Settings<Config>, shutdown: CancellationToken) -> anyhow::Result<Self> {
        let config = &settings.service;
        let pool = tables(settings.database.as_ref().context("the section [database] is missing")?).await?;
        let registry = Registry::load(&config.registry)?;
        let digest: String = registry.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        tracing::info!(registry = digest, "pinned keys");

        let mut networks = Vec::new();
        let mut chains = Vec::new();
        for chain in &config.chains {
            let network = network(chain)?;
            // A node that is down now may come back; one of another chain never becomes the right one.
            match network.found().await {
                Ok(found) => ensure!(found == chain.id, "the node is of chain {found}, configured is {}", chain.id),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "the node does not answer yet"),
            }
            chains.push(ChainTerms {
                chain: network.chain().clone(),
                confirmations: chain.confirmations,
                assets: chain.parsed_assets().context("service.chains: assets")?,
            });
            networks.push(network);
        }

        let key = SigningKey::from_pkcs8_pem(&text(&config.keys.log)?).context("service.keys.log")?;
        let signer = Arc::new(Signer::new(config.exchange.clone(), key));
        let log = EventLog::open(pool.clone(), signer, config.log_epoch.get()).await?;
        let legs = Legs::new(pool.clone(), log);
        let assets = chains.iter().flat_map(|chain| chain.assets.clone()).collect();
        let vault = vault(config.chains.first().context("service.chains")?)?;
        let books = Books::new(pool.clone(), networks.clone(), assets, vault);
        let terms = Terms {
            chains,
            confirm_within: Duration::from_millis(config.confirm_within_ms.into()),
            freeze_within: Duration::from_millis(config.freeze_within_ms.into()),
            hotline: v1::Hotline {
                name: config.hotline.name.clone(),
                phone: config.hotline.phone.clone(),
                email: config.hotline.email.clone(),
            },
            max_message_bytes: u32::try_from(settings.server.limits.max_message_bytes).unwrap_or(u32::MAX),
            clock_tolerance: time::Duration::milliseconds(config.clock_tolerance_ms.into()),
        };
        let keys = Keyring::from_registry(&registry);
        let orders = Arc::new(Orders::new(pool.clone(), books.clone(), legs.clone(), terms, keys));

        let (outage, till) = (Outage::default(), Till::default());
        let exchange = WithOutages { service: ExchangeApi::new(orders), outage: outage.clone() };
        let ready = pool.clone();
        let public = Server::new("haetae-sandbox", &settings.server)
            .redis(&settings.redis)
            .add_public(ExchangeServiceServer::new(exchange), config.callers.clone())
            .ready("database", move || {
                let pool = ready.clone();
                async move {
                    sqlx::query("select from contract.log").execute(&pool).await?;
                    Ok(())
                }
            });
        let customers = Customers::new(books.clone(), legs.clone(), till.clone());
        let control = Server::new("haetae-sandbox-control", &config.control)
            .add(SandboxServiceServer::new(SandboxApi { customers, outage }));
        let (public, control) = (public.listen().await?, control.listen().await?);

        let mut tasks = JoinSet::new();
        for (chain, network) in config.chains.iter().zip(networks) {
            let grown = Arc::new(Notify::new());
            let (count, books, legs) = (chain.confirmations, books.clone(), legs.clone());
            let watcher = Watcher::new(books.clone(), legs, Arc::clone(&network), count, Arc::clone(&grown));
            tasks.spawn(watcher.run(shutdown.clone()));
            tasks.spawn(Teller::new(books, network, till.clone()).run(shutdown.clone()));
            if let Some(ws) = chain.ws.clone() {
                let cancel = shutdown.clone();
                tasks.spawn(async move {
                    cancel.run_until_cancelled(keep_subscribed(ws.expose(), grown)).await;
                });
            }
        }
        tasks.spawn(worker::expire(legs, shutdown.clone()));
        Ok(Self { public, control, pool, tasks, shutdown })
    }

    /// Where it is reached.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses { public: self.public.local_addr()?, control: self.control.local_addr()? })
    }

    /// Serves until told to end, then lets the tasks finish the work in hand.
    ///
    /// # Errors
    /// When a listener or a task ends by itself.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let cancel = self.shutdown.clone();
        let (public, control) = (self.public.run(cancel.clone()), self.control.run(cancel.clone()));
        let outcome = {
            let served = async { tokio::try_join!(ends_all(public, &cancel), ends_all(control, &cancel)).map(drop) };
            tokio::pin!(served);
            tokio::select! {
                served = &mut served => served,
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    let by_itself = !cancel.is_cancelled();
                    cancel.cancel();
                    served.await?;
                    ensure!(!by_itself, "a task ended by itself: {ended:?}");
                    Ok(())
                }
            }
        };
        cancel.cancel();
        let finishing = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORK, finishing).await.is_err() {
            tracing::warn!("tasks did not finish in time and are aborted");
            self.tasks.shutdown().await;
        }
        self.pool.close().await;
        outcome
    }
}

/// A listener that ends by itself ends the other one too.
async fn ends_all(
    listener: impl Future<Output = Result<(), haetae_mesh::ServeError>>,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let ended = listener.await;
    cancel.cancel();
    Ok(ended?)
}

/// A chain by its kind.
fn network(config: &Chain) -> anyhow::Result<Arc<dyn Network>> {
    let kind = config.chain_id().and_then(|chain| chain.kind());
    let assets = config.parsed_assets().context("service.chains: assets")?;
    Ok(match kind.context("service.chains: id")? {
        ChainKind::Evm(number) => Arc::new(Evm::new(number, config.http.expose(), vault(config)?, &assets)?),
        ChainKind::Bitcoin(network) => Arc::new(Bitcoin::new(network, config.http.expose(), vault(config)?)?),
        ChainKind::Tron => bail!("service.chains: id: no deposits are taken on Tron here"),
    })
}

fn vault(config: &Chain) -> anyhow::Result<Vault> {
    Vault::new(&text(&config.hot_wallet_key_file)?, &text(&config.seed_file)?)
}

async fn tables(config: &DatabaseConfig) -> anyhow::Result<PgPool> {
    let options = database::options(config, "sandbox")?;
    let pool = database::connect(options.clone(), config.max_connections).await?;
    let tables = Tables::own("sandbox", &MIGRATOR);
    match config.migrate {
        MigrateWhen::Start => drop(tables.update(&options).await.context("the tables cannot be brought up to date")?),
        MigrateWhen::Check => tables.ready(&pool).await?,
    }
    Ok(pool)
}

fn text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}
