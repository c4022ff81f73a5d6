//! From configuration to a running replica: followers, the timer, the server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use haetae_core::ExchangeId;
use haetae_ledger::{Handler, Log};
use haetae_mesh::Boot;
use haetae_seal::dsse::SigningKey;
use haetae_service::{
    Assembly,
    logs::{self, FreezeLog},
};
use haetae_wire::{
    freeze::v1::{
        freeze_log_service_server::FreezeLogServiceServer,
        freeze_service_server::{FreezeService, FreezeServiceServer},
    },
    keys::Keyring,
    operations::v1::status_service_server::StatusServiceServer,
    registry::Registry,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::answers::Answers;
use crate::api::{Api, own};
use crate::arrivals::Arrivals;
use crate::config::Config;
use crate::decisions::{Decisions, now};
use crate::granted::Granted;
use crate::leg::Pace;
use crate::metrics;
use crate::orders::Orders;

/// How often it is looked whether an order is due.
const LOOK: Duration = Duration::from_millis(500);

/// How often it is tried again to send what could not be sent when dispatch was resumed.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// What a replica does, apart from where its peers are: what follows from each log, what is sent when it is due, what
/// is answered.
#[derive(Clone)]
pub struct Replica(Decisions);

/// What a replica is made from.
pub struct Parts {
    /// Its log, in a database that has [`MIGRATOR`](crate::MIGRATOR)'s tables too.
    pub log: Log,
    /// The key that signs freezes and releases.
    pub key: SigningKey,
    /// The keys that are believed.
    pub keyring: Keyring,
    /// All exchanges.
    pub exchanges: BTreeSet<ExchangeId>,
    /// How long an exchange may take an order in.
    pub order_valid_for: time::Duration,
    /// How what is refused and not given up is chased.
    pub pace: Pace,
}

impl Replica {
    /// A replica of these parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { log, key, keyring, exchanges, order_valid_for, pace } = parts;
        let orders = Orders { key: Arc::new(key), keyring: Arc::new(keyring), valid_for: order_valid_for };
        Self(Decisions { log, orders, pace, exchanges })
    }

    /// What follows from intake's log.
    pub fn on_intake(&self) -> impl Handler + use<> {
        Granted(self.0.clone())
    }

    /// What follows from tracking's log.
    pub fn on_tracking(&self) -> impl Handler + use<> {
        Arrivals(self.0.clone())
    }

    /// What follows from the log of an exchange's connector.
    pub fn on_connector(&self, exchange: ExchangeId) -> impl Handler + use<> {
        Answers { exchange, decisions: self.0.clone() }
    }

    /// What is answered.
    pub fn api(&self) -> impl FreezeService + use<> {
        Api { log: self.0.log.clone() }
    }

    /// Sends what has become due, until cancelled.
    ///
    /// # Errors
    /// Never; what cannot be sent is tried again.
    pub async fn chase(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tried = Instant::now();
        while cancel.run_until_cancelled(tick.tick()).await.is_some() {
            let mut sent = self.0.send_what_is_due(now()).await;
            if tried.elapsed() >= TRY_AGAIN {
                sent = sent.and(self.0.send_what_no_halt_stops(now()).await);
                tried = Instant::now();
            }
            if let Err(error) = sent {
                tracing::error!(error = format!("{error:#}"), "what is due cannot be sent; it is tried again");
            }
        }
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
    let key = &config.keys.freeze;
    let key = std::fs::read_to_string(key).with_context(|| format!("keys.freeze: {}", key.display()))?;
    let mut assembly = Assembly::open("freeze", &boot, &crate::MIGRATOR).await?;
    let exchanges: BTreeSet<_> = registry.exchanges().map(|exchange| exchange.id.clone()).collect();
    let replica = Replica::new(Parts {
        log: assembly.log.clone(),
        key: SigningKey::from_pkcs8_pem(&key)?,
        keyring: Keyring::from_registry(&registry),
        exchanges: exchanges.clone(),
        order_valid_for: config.order_valid_for(),
        pace: config.pace(),
    });

    let at_intake = boot.peer("intake")?;
    let intake = logs::intake(at_intake.clone());
    assembly.follow("intake", intake, registry.log_verifier("intake"), replica.on_intake())?;
    let tracking = logs::tracking(boot.peer("tracking")?);
    assembly.follow("tracking", tracking, registry.log_verifier("tracking"), replica.on_tracking())?;
    for exchange in exchanges {
        let connector = logs::connector(boot.peer(&format!("connector-{exchange}"))?);
        let name = format!("connector/{exchange}");
        assembly.follow(&name, connector, registry.log_verifier(&name), replica.on_connector(exchange))?;
    }
    let pool = assembly.pool.clone();
    let pinned = registry.log_verifier("intake");
    let status = assembly.operate("freeze", logs::intake(at_intake), pinned, move || own(pool.clone()))?;
    let api = replica.api();
    assembly.spawn(|cancel| replica.chase(cancel));
    let pool = assembly.pool.clone();
    assembly.spawn(|cancel| metrics::run(pool, cancel));

    let server = boot
        .server()
        .add(StatusServiceServer::new(status))
        .add(FreezeServiceServer::new(api))
        .add(FreezeLogServiceServer::new(FreezeLog(assembly.log.clone())));
    assembly.serve(server).await
}
