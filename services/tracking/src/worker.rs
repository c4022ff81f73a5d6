//! From configuration to a running service.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use haetae_core::ChainId;
use haetae_ledger::Log;
use haetae_mesh::Boot;
use haetae_seal::dsse::SigningKey;
use haetae_service::{Assembly, logs};
use haetae_wire::keys::Keyring;
use haetae_wire::registry::Registry;
use haetae_wire::tracking::v1::{
    tracking_log_service_server::TrackingLogServiceServer, tracking_service_server::TrackingServiceServer,
};

use crate::answers::Answers;
use crate::api::Api;
use crate::config::{ChainConfig, Config};
use crate::db;
use crate::evm::{Evm, Nodes};
use crate::intake::Intake;
use crate::reader::Reader;
use crate::timers;
use crate::voice::Voice;

/// Runs a replica until it is told to end.
///
/// # Errors
/// When it cannot start, or stops by itself.
pub async fn run(boot: Boot<Config>) -> anyhow::Result<()> {
    let config = boot.config().clone();
    let registry = Registry::load(&config.registry)?;
    let mut assembly = Assembly::open("tracking", &boot, &db::MIGRATOR).await?;
    let voice = Arc::new(voice(&config, &registry, assembly.log.clone())?);

    let chains = chains(&config)?;
    let intake =
        Intake { voice: Arc::clone(&voice), chains: chains.iter().map(|(chain, _)| chain.clone()).collect() };
    assembly.follow("intake", logs::intake(boot.peer("intake")?), registry.log_verifier("intake"), intake)?;
    for exchange in registry.exchanges() {
        let name = format!("connector/{}", exchange.id);
        let connector = logs::connector(boot.peer(&format!("connector-{}", exchange.id))?);
        let answers = Answers { exchange: exchange.id.clone(), voice: Arc::clone(&voice) };
        assembly.follow(&name, connector, registry.log_verifier(&name), answers)?;
    }
    for (chain, config) in chains {
        let source = Arc::new(Evm::new(Nodes::new(&config.nodes)?));
        let reader = Reader::new(chain, config, source, Arc::clone(&voice));
        assembly.spawn(|cancel| reader.run(cancel));
    }
    assembly.spawn(|cancel| timers::run(voice, cancel));

    let server = boot
        .server()
        .add(TrackingServiceServer::new(Api { pool: assembly.pool.clone() }))
        .add(TrackingLogServiceServer::new(logs::TrackingLog(assembly.log.clone())));
    assembly.serve(server).await
}

fn voice(config: &Config, registry: &Registry, log: Log) -> anyhow::Result<Voice> {
    Ok(Voice {
        log,
        arrive: signing_key(&config.keys.arrive)?,
        confirm: signing_key(&config.keys.confirm)?,
        keyring: Keyring::from_registry(registry),
        pace: config.questions.pace(),
    })
}

fn signing_key(file: &Path) -> anyhow::Result<SigningKey> {
    let pem = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    SigningKey::from_pkcs8_pem(&pem).with_context(|| file.display().to_string())
}

fn chains(config: &Config) -> anyhow::Result<Vec<(ChainId, ChainConfig)>> {
    config.chains.iter().map(|chain| Ok((chain.id.parse()?, chain.clone()))).collect()
}
