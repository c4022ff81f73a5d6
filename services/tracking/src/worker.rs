//! From configuration to a running service.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use haetae_core::{ChainId, ExchangeId};
use haetae_ledger::{Handler, Log};
use haetae_mesh::Boot;
use haetae_seal::dsse::SigningKey;
use haetae_service::{Assembly, logs};
use haetae_wire::keys::Keyring;
use haetae_wire::operations::v1::status_service_server::StatusServiceServer;
use haetae_wire::registry::Registry;
use haetae_wire::tracking::v1::{
    label_service_server::{LabelService, LabelServiceServer},
    tracking_log_service_server::TrackingLogServiceServer,
    tracking_service_server::{TrackingService, TrackingServiceServer},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::answers::Answers;
use crate::api::{Api, own};
use crate::config::{ChainConfig, Config, LabelsConfig};
use crate::db::MIGRATOR;
use crate::history::History;
use crate::intake::Intake;
use crate::reader::Reader;
use crate::sources;
use crate::timers;
use crate::voice::{Clock, Voice};

/// Runs a replica until it is told to end.
///
/// # Errors
/// When it cannot start, or stops by itself.
pub async fn run(boot: Boot<Config>) -> anyhow::Result<()> {
    let registry = Registry::load(&boot.config().registry)?;
    let mut assembly = Assembly::open("tracking", &boot, &MIGRATOR).await?;
    let tracking = Tracking::new(boot.config().clone(), &registry, assembly.log.clone())?;

    let at_intake = boot.peer("intake")?;
    let intake = logs::intake(at_intake.clone());
    assembly.follow("intake", intake, registry.log_verifier("intake"), tracking.of_intake())?;
    for exchange in registry.exchanges() {
        let name = format!("connector/{}", exchange.id);
        let connector = logs::connector(boot.peer(&format!("connector-{}", exchange.id))?);
        let handler = tracking.of_connector(&exchange.id);
        assembly.follow(&name, connector, registry.log_verifier(&name), handler)?;
    }
    let (pool, block_times) = (assembly.pool.clone(), Arc::new(tracking.block_times()));
    let own = move || own(pool.clone(), Arc::clone(&block_times));
    let status = assembly.operate("tracking", logs::intake(at_intake), registry.log_verifier("intake"), own)?;
    let server = boot
        .server()
        .add(StatusServiceServer::new(status))
        .add(TrackingServiceServer::new(tracking.api()))
        .add(LabelServiceServer::new(tracking.api()))
        .add(TrackingLogServiceServer::new(logs::TrackingLog(assembly.log.clone())));
    assembly.spawn(|cancel| tracking.run(cancel));
    assembly.serve(server).await
}

/// The service's own work, apart from how it is reached and how it reaches others.
#[derive(Debug)]
pub struct Tracking {
    voice: Arc<Voice>,
    chains: Vec<(ChainId, ChainConfig)>,
    labels: LabelsConfig,
}

impl Tracking {
    /// Reads keys; its tables ([`MIGRATOR`](crate::MIGRATOR)) and its log are there already.
    ///
    /// # Errors
    /// When a key or a chain's name cannot be read.
    pub fn new(config: Config, registry: &Registry, log: Log) -> anyhow::Result<Self> {
        let voice = Voice {
            log,
            arrive: signing_key(&config.keys.arrive)?,
            confirm: signing_key(&config.keys.confirm)?,
            keyring: Keyring::from_registry(registry),
            pace: config.questions.pace(),
            clock: Clock::of_the_machine(),
        };
        let chains =
            config.chains.into_iter().map(|chain| Ok((chain.id.parse()?, chain))).collect::<anyhow::Result<_>>()?;
        Ok(Self { voice: Arc::new(voice), chains, labels: config.labels })
    }

    /// What is done about intake's log.
    pub fn of_intake(&self) -> impl Handler + use<> {
        let chains = self.chains.iter().map(|(chain, _)| chain.clone()).collect();
        Intake { voice: Arc::clone(&self.voice), chains }
    }

    /// What is done about the log of an exchange's connector.
    pub fn of_connector(&self, exchange: &ExchangeId) -> impl Handler + use<> {
        Answers { exchange: exchange.clone(), voice: Arc::clone(&self.voice) }
    }

    /// The chains that are read, and the usual time between the blocks of each.
    pub fn block_times(&self) -> BTreeMap<ChainId, Duration> {
        let of =
            |(chain, config): &(ChainId, ChainConfig)| (chain.clone(), Duration::from_millis(config.block_time_ms));
        self.chains.iter().map(of).collect()
    }

    /// Answers to questions.
    pub fn api(&self) -> impl TrackingService + LabelService + Clone + use<> {
        Api { voice: Arc::clone(&self.voice) }
    }

    /// Reads the chains, brings watches up to them, asks again, and ends watches, until cancelled.
    ///
    /// # Errors
    /// When a chain's nodes cannot be called at all, or a task panicked.
    pub async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        for (chain, config) in self.chains {
            let source = sources::open(&chain, &config)?;
            let labels = self.labels;
            let history = History::new(chain.clone(), config.clone(), labels, source.clone(), Arc::clone(&self.voice));
            tasks.spawn(history.run(cancel.clone()));
            let reader = Reader::new(chain, config, labels, source, Arc::clone(&self.voice));
            tasks.spawn(reader.run(cancel.clone()));
        }
        tasks.spawn(timers::run(self.voice, cancel));
        while let Some(ended) = tasks.join_next().await {
            ended.context("a task panicked")??;
        }
        Ok(())
    }
}

fn signing_key(file: &Path) -> anyhow::Result<SigningKey> {
    let pem = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    SigningKey::from_pkcs8_pem(&pem).with_context(|| file.display().to_string())
}
