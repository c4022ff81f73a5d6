//! From configuration to a running replica; timers and measurements.

use std::{fs, sync::Arc, time::Duration};

use anyhow::Context;
use haetae_core::{LegalRules, Moment, micros};
use haetae_ledger::{Expected, Log, NewEntry};
use haetae_mesh::Boot;
use haetae_seal::dsse::SigningKey;
use haetae_service::{
    Assembly, Own,
    logs::{self, IntakeLog},
};
use haetae_wire::{
    intake::v1::{
        RegistryRead, intake_log_service_server::IntakeLogServiceServer, intake_service_server::IntakeServiceServer,
        label_service_server::LabelServiceServer,
    },
    keys::Keyring,
    operations::v1::{operations_service_server::OperationsServiceServer, status_service_server::StatusServiceServer},
    registry::Registry,
};
use opentelemetry::{KeyValue, global};
use prost::Message;
use sqlx::{PgPool, postgres::PgListener};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    Config,
    api::{Api, Services},
    approval::{Command, State},
    commands::Intake,
    db, follow,
};

/// How often requests are looked at whose time is over.
const OVERDUE: Duration = Duration::from_secs(1);
/// How many of them at once.
const OVERDUE_BATCH: i64 = 100;
/// How often requests are counted.
const MEASURE: Duration = Duration::from_secs(5);
/// How often answers that are kept for repeated calls are swept.
const SWEEP: Duration = Duration::from_secs(60);
const SWEEP_BATCH: u32 = 1_000;
/// How long a lost line for wake-ups is left alone. Meanwhile updates are found by polling.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Runs a replica until it is told to end.
///
/// # Errors
/// When it cannot start, or stops by itself.
pub async fn run(boot: Boot<Config>) -> anyhow::Result<()> {
    let config = boot.config();
    let rules = rules(config)?;
    let registry = Registry::load(&config.registry)?;
    let pem = fs::read_to_string(&config.keys.authorise).context("keys.authorise cannot be read")?;
    let key = SigningKey::from_pkcs8_pem(&pem).context("keys.authorise")?;
    let mut assembly = Assembly::open("intake", &boot, &db::MIGRATOR).await?;
    record_registry(&assembly.log, registry.digest).await?;

    let intake = Arc::new(Intake {
        log: assembly.log.clone(),
        rules,
        keyring: Keyring::from_registry(&registry),
        registry,
        key,
    });
    let registry = &intake.registry;
    let (tracking, freeze) = (boot.peer("tracking")?, boot.peer("freeze")?);
    let pinned = registry.log_verifier("tracking");
    assembly.follow("tracking", logs::tracking(tracking.clone()), pinned, follow::Tracking(Arc::clone(&intake)))?;
    let pinned = registry.log_verifier("freeze");
    assembly.follow("freeze", logs::freeze(freeze.clone()), pinned, follow::Freeze(Arc::clone(&intake)))?;
    let mut others = vec![("tracking".to_owned(), tracking.clone()), ("freeze".to_owned(), freeze.clone())];
    for exchange in registry.exchanges().map(|exchange| &exchange.id) {
        let name = format!("connector/{exchange}");
        let connector = boot.peer(&format!("connector-{exchange}"))?;
        others.push((name.clone(), connector.clone()));
        let source = logs::connector(connector);
        let handler = follow::Connector { exchange: exchange.clone(), intake: Arc::clone(&intake) };
        assembly.follow(&name, source, registry.log_verifier(&name), handler)?;
    }
    // What operators have done is acted on here, too, once it is sealed.
    let (own, verifier) = (assembly.log.clone(), assembly.log.verifier().clone());
    let status = assembly.operate("intake", own, Some(&verifier), || async { Ok(Own::default()) })?;

    let bell = watch::Sender::new(0u64);
    let (pool, ring) = (assembly.pool.clone(), bell.clone());
    assembly.spawn(|cancel| listen(pool, ring, cancel));
    let timed = Arc::clone(&intake);
    assembly.spawn(|cancel| end_overdue(timed, cancel));
    let pool = assembly.pool.clone();
    assembly.spawn(|cancel| measure(pool, cancel));
    let pool = assembly.pool.clone();
    assembly.spawn(|cancel| sweep(pool, cancel));

    let api = Arc::new(Api::new(intake, tracking, freeze, Services::new(status.clone(), others), bell));
    let server = boot
        .server()
        .add(IntakeServiceServer::from_arc(Arc::clone(&api)))
        .with_person()
        .add(OperationsServiceServer::from_arc(Arc::clone(&api)))
        .with_person()
        .add(LabelServiceServer::from_arc(api))
        .with_person()
        .add(StatusServiceServer::new(status))
        .add(IntakeLogServiceServer::new(IntakeLog(assembly.log.clone())));
    assembly.serve(server).await
}

fn rules(config: &Config) -> anyhow::Result<LegalRules> {
    let path = config.rules.display();
    let text = fs::read_to_string(&config.rules).with_context(|| format!("{path} cannot be read"))?;
    LegalRules::parse(&text).map_err(|faults| anyhow::anyhow!("{path} has faults:\n{}", faults.join("\n")))
}

/// Which exchanges and keys this replica believes in stands in the log, beside what it decided with them.
async fn record_registry(log: &Log, sha256: [u8; 32]) -> anyhow::Result<()> {
    let mut tx = log.begin().await?;
    let entry = NewEntry {
        stream: "registry".to_owned(),
        expected: Expected::Any,
        kind: "registry-read",
        subject: "registry".to_owned(),
        actor: "service:intake".to_owned(),
        audience: None,
        payload: RegistryRead { sha256: sha256.to_vec() }.encode_to_vec(),
        time: micros(Moment::now_utc()),
    };
    log.append(&mut tx, entry).await?;
    log.commit(tx).await?;
    Ok(())
}

/// Wakes this replica's streams of updates whenever a transaction of any replica commits one.
async fn listen(pool: PgPool, bell: watch::Sender<u64>, cancel: CancellationToken) -> anyhow::Result<()> {
    let hear = async {
        loop {
            if let Err(error) = hear(&pool, &bell).await {
                tracing::debug!(%error, "updates are found by polling");
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    };
    cancel.run_until_cancelled(hear).await;
    Ok(())
}

async fn hear(pool: &PgPool, bell: &watch::Sender<u64>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(db::updates::UPDATED).await?;
    loop {
        listener.recv().await?;
        bell.send_modify(|rung| *rung = rung.wrapping_add(1));
    }
}

/// Lapses what nobody approved in time and closes what is over.
async fn end_overdue(intake: Arc<Intake>, cancel: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = interval(OVERDUE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = intake.end_overdue(micros(Moment::now_utc())).await {
            tracing::warn!(%error, "what is over cannot be ended now");
        }
    }
    Ok(())
}

impl Intake {
    /// Ends what is over at `now`; each request in a transaction of its own. Returns how many.
    pub(crate) async fn end_overdue(&self, now: Moment) -> Result<usize, crate::commands::Fault> {
        let mut ended = 0;
        for (id, awaiting) in db::overdue(self.log.pool(), now, OVERDUE_BATCH).await? {
            let command = if awaiting { Command::Lapse } else { Command::Close };
            let mut tx = self.log.begin().await?;
            // Another replica may have been faster.
            let advanced = self.advance(&mut tx, id, command, now);
            ended += usize::from(advanced.instrument(tracing::info_span!("end what is over")).await?);
            self.log.commit(tx).await?;
        }
        Ok(ended)
    }
}

/// How many requests are in each state, and for how long the oldest has waited for another person.
async fn measure(pool: PgPool, cancel: CancellationToken) -> anyhow::Result<()> {
    let meter = global::meter("haetae");
    let requests = meter
        .u64_gauge("haetae.intake.requests")
        .with_unit("{request}")
        .with_description("Requests by how far they have come")
        .build();
    let oldest = meter
        .f64_gauge("haetae.intake.oldest_awaiting_approval")
        .with_unit("s")
        .with_description("Age of the oldest request that waits for another person")
        .build();
    let mut ticks = interval(MEASURE);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        let Ok((by_state, since)) = db::tally(&pool).await else { continue };
        for state in State::ALL {
            let count = by_state.iter().find(|(name, _)| name == state.name()).map_or(0, |(_, count)| *count);
            requests.record(count.unsigned_abs(), &[KeyValue::new("state", state.name())]);
        }
        let waited = since.map_or(time::Duration::ZERO, |since| Moment::now_utc() - since);
        oldest.record(waited.as_seconds_f64(), &[]);
    }
    Ok(())
}

async fn sweep(pool: PgPool, cancel: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = interval(SWEEP);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = haetae_ledger::request::sweep(&pool, Moment::now_utc(), SWEEP_BATCH).await {
            tracing::warn!(%error, "old answers are swept later");
        }
    }
    Ok(())
}
