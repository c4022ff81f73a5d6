//! From configuration to a running connector.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use futures::{FutureExt, future::BoxFuture};
use haetae_core::ExchangeId;
use haetae_ledger::{Handler, Log};
use haetae_mesh::{
    Boot, Peer,
    config::{PeerConfig, PeerTls},
};
use haetae_service::{
    Assembly, Own,
    logs::{self, ConnectorLog},
};
use haetae_wire::{
    connector::v1::{
        connector_log_service_server::ConnectorLogServiceServer,
        connector_service_server::{ConnectorService, ConnectorServiceServer},
    },
    keys::Keyring,
    operations::v1::status_service_server::StatusServiceServer,
    registry::{Exchange, Registry},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, api::Api, config::ClientCertificate, db, deliver::Deliverer, events::Events, forget, late::Lateness,
    metrics, orders::Orders, standing,
};

/// What a replica does, apart from where its peers are: it takes in what is addressed to its exchange, delivers it, and
/// brings back what the exchange says.
pub struct Connector {
    exchange: ExchangeId,
    keyring: Arc<Keyring>,
    log: Log,
    deliverer: Arc<Deliverer>,
    line: Peer,
    confirm_within: Duration,
    freeze_within: Duration,
    keep_settled: Duration,
}

impl Connector {
    /// A replica with this log, in a database that has [`MIGRATOR`](crate::MIGRATOR)'s tables too.
    ///
    /// # Errors
    /// When the registry does not know the exchange, or the certificate cannot be used.
    pub fn new(config: Config, registry: &Registry, log: Log) -> anyhow::Result<Self> {
        let exchange = registry.exchange(&config.exchange).context("the registry does not know this exchange")?;
        let keyring = Arc::new(Keyring::from_registry(registry));
        let line = line_to(exchange, &config)?;
        Ok(Self {
            exchange: config.exchange.clone(),
            keep_settled: config.keep_settled(),
            deliverer: Arc::new(Deliverer::new(config, Arc::clone(&keyring), log.clone(), line.clone())),
            keyring,
            log,
            line,
            confirm_within: exchange.confirm_within,
            freeze_within: exchange.freeze_within,
        })
    }

    /// What follows from tracking's and freeze's logs.
    pub fn orders(&self) -> impl Handler + use<> {
        Orders { exchange: self.exchange.clone(), keyring: Arc::clone(&self.keyring), log: self.log.clone() }
    }

    /// How the line stands, for operators.
    pub fn standing(&self) -> impl Fn() -> BoxFuture<'static, Result<Own, sqlx::Error>> + Send + Sync + use<> {
        let (exchange, pool, circuit) = (self.exchange.clone(), self.log.pool().clone(), self.deliverer.circuit());
        move || standing::own(exchange.clone(), pool.clone(), circuit.clone()).boxed()
    }

    /// What is answered.
    pub fn api(&self) -> impl ConnectorService + use<> {
        Api {
            exchange: self.exchange.clone(),
            pool: self.log.pool().clone(),
            circuit: self.deliverer.circuit(),
            confirm_within: self.confirm_within,
        }
    }

    /// Delivers and reads until cancelled; attempts under way are finished.
    ///
    /// # Errors
    /// Never; what cannot be done is tried again.
    pub async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let Self { exchange, keyring, log, deliverer, line, confirm_within, freeze_within, keep_settled } = self;
        metrics::tell_circuit(&exchange, deliverer.circuit());
        let measured = metrics::run(log.pool().clone(), exchange.clone(), cancel.clone());
        let forgotten = forget::run(log.pool().clone(), keep_settled, cancel.clone());
        let lateness = Lateness { exchange: exchange.clone(), log: log.clone(), confirm_within, freeze_within };
        let events = Events { exchange, keyring, log, peer: line };
        tokio::try_join!(
            deliverer.run(cancel.clone()),
            lateness.run(cancel.clone()),
            events.run(cancel),
            measured,
            forgotten,
        )?;
        Ok(())
    }
}

/// Runs a replica until it is told to end.
///
/// # Errors
/// When it cannot start, or stops by itself.
pub async fn run(boot: Boot<Config>) -> anyhow::Result<()> {
    let config = boot.config().clone();
    let registry = Registry::load(&config.registry)?;
    let mut assembly = Assembly::open("connector", &boot, &db::MIGRATOR).await?;
    let exchange = config.exchange.clone();
    let connector = Connector::new(config, &registry, assembly.log.clone())?;

    let addressed_to = exchange.as_str();
    let tracking = logs::tracking(boot.peer("tracking")?);
    let key = registry.log_verifier("tracking");
    assembly.follow_addressed("tracking", addressed_to, tracking, key, connector.orders())?;
    let freeze = logs::freeze(boot.peer("freeze")?);
    let key = registry.log_verifier("freeze");
    assembly.follow_addressed("freeze", addressed_to, freeze, key, connector.orders())?;

    let intake = logs::intake(boot.peer("intake")?);
    let name = format!("connector/{exchange}");
    let status = assembly.operate(&name, intake, registry.log_verifier("intake"), connector.standing())?;

    let server = boot
        .server()
        .add(StatusServiceServer::new(status))
        .add(ConnectorServiceServer::new(connector.api()))
        .add(ConnectorLogServiceServer::new(ConnectorLog(assembly.log.clone())));
    assembly.spawn(|cancel| connector.run(cancel));
    assembly.serve(server).await
}

/// The only line out.
fn line_to(exchange: &Exchange, config: &Config) -> anyhow::Result<Peer> {
    let endpoint = |uri: &tonic::transport::Uri| uri.to_string().trim_end_matches('/').parse();
    let endpoints =
        exchange.endpoints.iter().map(endpoint).collect::<Result<_, String>>().map_err(anyhow::Error::msg)?;
    let ClientCertificate { cert, key } = config.certificate.clone();
    Peer::connect(
        "exchange",
        &PeerConfig {
            endpoints,
            server_name: Some(exchange.server_name.clone()),
            tls: Some(PeerTls { cert, key, ca: exchange.ca.clone() }),
            deadline_ms: config.attempt_ms,
            connect_timeout_ms: config.attempt_ms,
        },
    )
}
