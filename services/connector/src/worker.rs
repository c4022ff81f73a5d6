//! From configuration to a running connector.

use std::sync::Arc;

use anyhow::Context;
use haetae_core::Moment;
use haetae_mesh::{
    Boot, Peer,
    config::{PeerConfig, PeerTls},
};
use haetae_service::{
    Assembly,
    logs::{self, ConnectorLog},
};
use haetae_wire::{
    connector::v1::{
        connector_log_service_server::ConnectorLogServiceServer, connector_service_server::ConnectorServiceServer,
    },
    keys::Keyring,
    registry::{Exchange, Registry},
};
use opentelemetry::{KeyValue, global};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{Config, api::Api, config::ClientCertificate, db, deliver::Deliverer, events::Events, orders::Orders};

/// How often the queue is measured.
const MEASURE: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs a replica until it is told to end.
///
/// # Errors
/// When it cannot start, or stops by itself.
pub async fn run(boot: Boot<Config>) -> anyhow::Result<()> {
    let config = boot.config().clone();
    let registry = Registry::load(&config.registry)?;
    let keyring = Arc::new(Keyring::from_registry(&registry));
    let exchange = registry.exchange(&config.exchange).context("the registry does not know this exchange")?;
    let confirm_within = exchange.confirm_within;
    let mut assembly = Assembly::open("connector", &boot, &db::MIGRATOR).await?;

    let orders = || Orders { exchange: config.exchange.clone(), keyring: Arc::clone(&keyring) };
    let addressed_to = config.exchange.as_str();
    let tracking = logs::tracking(boot.peer("tracking")?);
    assembly.follow_addressed("tracking", addressed_to, tracking, registry.log_verifier("tracking"), orders())?;
    let freeze = logs::freeze(boot.peer("freeze")?);
    assembly.follow_addressed("freeze", addressed_to, freeze, registry.log_verifier("freeze"), orders())?;

    let peer = line_to(exchange, &config)?;
    let deliverer = Arc::new(Deliverer::new(
        config.clone(),
        Arc::clone(&keyring),
        assembly.log.clone(),
        peer.clone(),
        confirm_within,
    ));
    let circuit = deliverer.circuit();
    assembly.spawn(|cancel| Arc::clone(&deliverer).run(cancel));
    assembly.spawn(|cancel| deliverer.run_lateness(cancel));
    let events = Events { exchange: config.exchange.clone(), keyring, log: assembly.log.clone(), peer };
    assembly.spawn(|cancel| events.run(cancel));
    let (pool, name) = (assembly.pool.clone(), config.exchange.to_string());
    assembly.spawn(|cancel| measure(pool, name, cancel));

    let api = Api { exchange: config.exchange, pool: assembly.pool.clone(), circuit, confirm_within };
    let server = boot
        .server()
        .add(ConnectorServiceServer::new(api))
        .add(ConnectorLogServiceServer::new(ConnectorLog(assembly.log.clone())));
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

/// Ages of the oldest undelivered freeze and release, which are what an alert is about.
async fn measure(pool: PgPool, exchange: String, cancel: CancellationToken) -> anyhow::Result<()> {
    let meter = global::meter("haetae");
    let oldest = meter.f64_gauge("haetae.delivery.oldest_undelivered").with_unit("s").build();
    let waiting = meter.u64_gauge("haetae.delivery.undelivered").build();
    let mut tick = tokio::time::interval(MEASURE);
    while cancel.run_until_cancelled(tick.tick()).await.is_some() {
        let Ok(line) = db::status(&pool).await else { continue };
        let now = Moment::now_utc();
        for (wanted, since) in [("freeze", line.oldest_freeze), ("release", line.oldest_release)] {
            let age = since.map_or(0.0, |since| (now - since).as_seconds_f64());
            oldest.record(age, &[KeyValue::new("exchange", exchange.clone()), KeyValue::new("wanted", wanted)]);
        }
        waiting.record(line.undelivered.unsigned_abs(), &[KeyValue::new("exchange", exchange.clone())]);
    }
    Ok(())
}
