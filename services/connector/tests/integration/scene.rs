//! Tracking's and freeze's logs, an exchange behind a line that can break, and replicas of the connector in between.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use haetae_connector::{Config, Connector, MIGRATOR};
use haetae_core::{CaseRef, Desired, LegId, Order, RequestId};
use haetae_ledger::{Audience, Doorbell, Expected, Follower, Log, LogConfig, LogSource, NewEntry, Sealer};
use haetae_seal::checkpoint::LogKey;
use haetae_seal::dsse::{Algorithm, SigningKey};
use haetae_testkit::certs::{Ca, Leaf};
use haetae_testkit::postgres::TestDb;
use haetae_testkit::proxy::FaultProxy;
use haetae_wire::connector::v1::connector_service_server::ConnectorService;
use haetae_wire::connector::v1::{EventReceived, GetStatusRequest, GetStatusResponse, ReceiptReceived};
use haetae_wire::freeze::v1::DispatchMoved;
use haetae_wire::keys::{Keyring, Purpose};
use haetae_wire::log::v1::Cursor;
use haetae_wire::registry::Registry;
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::exchange::{Exchange, now};
use crate::police::{Case, Police, upbit};

pub(crate) const PATIENCE: Duration = Duration::from_secs(25);

/// Asks until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not so in time");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A service's log in a database of its own.
struct House {
    log: Log,
    db: TestDb,
    origin: String,
    pem: String,
}

impl House {
    async fn new(name: &str, db: TestDb) -> Self {
        let (origin, pem) = (format!("haetae.test/{name}"), LogKey::generate().to_pkcs8_pem().to_string());
        Self { log: open(&db, &origin, &pem).await, db, origin, pem }
    }

    /// Addresses something to the exchange.
    async fn say(&self, kind: &'static str, about: &str, payload: Vec<u8>) {
        let entry = NewEntry {
            stream: about.to_owned(),
            expected: Expected::Any,
            kind,
            subject: about.to_owned(),
            actor: "service:test".to_owned(),
            audience: Some(upbit().to_string()),
            payload,
            time: now(),
        };
        let mut tx = self.log.begin().await.unwrap();
        self.log.append(&mut tx, entry).await.unwrap();
        self.log.commit(tx).await.unwrap();
    }
}

async fn open(db: &TestDb, origin: &str, pem: &str) -> Log {
    let key = LogKey::from_pkcs8_pem(pem).unwrap();
    let config = LogConfig { origin: origin.to_owned(), key, drain: CancellationToken::new() };
    Log::open(db.pool.clone(), config, Doorbell::local()).await.unwrap()
}

/// What a log shows the exchange's connector.
fn addressed(log: &Log) -> impl LogSource + 'static {
    let log = log.clone();
    move |cursor: Cursor| {
        let batches = log.follow(Audience::Exchange(upbit().to_string()), cursor);
        async move { Ok(batches.map(|batch| batch.map_err(Status::from)).boxed()) }
    }
}

/// A replica, running; dropped, it ends as if killed.
pub(crate) struct Replica {
    api: Box<dyn Api>,
    tasks: JoinSet<()>,
}

impl Replica {
    pub(crate) async fn dies(mut self) {
        self.tasks.shutdown().await;
    }

    pub(crate) async fn status(&self) -> GetStatusResponse {
        self.api.status().await
    }
}

/// [`ConnectorService`] behind a pointer.
#[tonic::async_trait]
trait Api: Send + Sync {
    async fn status(&self) -> GetStatusResponse;
}

#[tonic::async_trait]
impl<T: ConnectorService> Api for T {
    async fn status(&self) -> GetStatusResponse {
        self.get_status(Request::new(GetStatusRequest {})).await.unwrap().into_inner()
    }
}

pub(crate) struct Scene {
    pub(crate) exchange: Exchange,
    /// The line to the exchange.
    pub(crate) line: FaultProxy,
    tracking: House,
    freeze: House,
    connector: House,
    pub(crate) police: Police,
    registry: Registry,
    config: Config,
    _folder: TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// With other settings than those that make tests fast.
    pub(crate) async fn with(settings: Value) -> Self {
        let ledger = || TestDb::migrated(&haetae_ledger::MIGRATOR).map(Result::unwrap);
        let (tracking, freeze) =
            (House::new("tracking", ledger().await).await, House::new("freeze", ledger().await).await);
        let connector = House::new("connector/upbit", connector_database().await).await;

        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::new("upbit").unwrap();
        for name in ["exchange", "connector"] {
            let spiffe = format!("spiffe://upbit.test/{name}");
            let leaf = Leaf { spiffe: Some(&spiffe), ..Leaf::default() };
            ca.issue(&leaf).unwrap().write_to(&folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("ca.crt"), ca.cert_pem()).unwrap();

        let (police, key) = (Police::new(), SigningKey::generate(Algorithm::EcdsaP256Sha256));
        let mut keyring = Keyring::new();
        police.pin(&mut keyring);
        keyring.pin(Purpose::Exchange(upbit()), key.public_key()).unwrap();
        for (name, house) in [("tracking", &tracking), ("freeze", &freeze)] {
            keyring.pin_log(name, house.log.verifier().clone());
        }
        let pem = key.public_key().to_spki_pem();
        let forger = SigningKey::generate(Algorithm::EcdsaP256Sha256);
        let exchange = Exchange::start(folder.path(), keyring, key, forger).await;
        let line = FaultProxy::start(exchange.address).await.unwrap();

        let text = registry(&police, [&tracking, &freeze], &pem, line.address());
        let file = folder.path().join("exchanges.toml");
        std::fs::write(&file, text).unwrap();
        let own = folder.path().join("connector");
        let mut config = json!({
            "exchange": "upbit",
            "registry": file,
            "certificate": {"cert": own.join("tls.crt"), "key": own.join("tls.key")},
            "attempt_ms": 5_000,
            "max_per_second": 500,
            "first_wait_ms": 20,
            "slowest_wait_ms": 200,
            "circuit_failures": 1_000_000,
            "probe_every_ms": 100,
        });
        config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        Self {
            exchange,
            line,
            tracking,
            freeze,
            connector,
            police,
            registry: Registry::load(&file).unwrap(),
            config: serde_json::from_value(config).unwrap(),
            _folder: folder,
        }
    }

    pub(crate) async fn replica(&self) -> Replica {
        let House { db, origin, pem, .. } = &self.connector;
        let log = open(db, origin, pem).await;
        let connector = Connector::new(self.config.clone(), &self.registry, log.clone()).unwrap();
        let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
        for (name, of) in [("tracking", &self.tracking), ("freeze", &self.freeze)] {
            let verifier = self.registry.log_verifier(name).unwrap().clone();
            let source = addressed(&of.log);
            let follower =
                Follower::new(db.pool.clone(), format!("connector<-{name}"), source, verifier, connector.orders())
                    .appending_to(log.clone())
                    .addressed_to(upbit().to_string());
            let cancel = cancel.clone();
            tasks.spawn(async move { follower.run(cancel).await.unwrap() });
        }
        let (sealer, sealed) = (Sealer::new(log), cancel.clone());
        tasks.spawn(async move { sealer.run(sealed).await });
        let api = Box::new(connector.api());
        tasks.spawn(async move { connector.run(cancel).await.unwrap() });
        Replica { api, tasks }
    }

    /// The service whose order it is addresses it to the exchange; the answer is its envelope.
    pub(crate) async fn order(&self, case: &Case, order: &Order) -> Vec<u8> {
        let envelope = self.police.sign(case, order);
        let (house, kind) = match order.desired {
            Desired::ConfirmAddress => (&self.tracking, "question"),
            Desired::Frozen { .. } | Desired::Released => (&self.freeze, "order"),
        };
        house.say(kind, &format!("leg/{}", order.leg), envelope.clone()).await;
        envelope
    }

    /// Freezes are halted, everywhere or in one case.
    pub(crate) async fn halt(&self, case: Option<&CaseRef>) {
        self.dispatch("dispatch-halted", case).await;
    }

    pub(crate) async fn resume(&self, case: Option<&CaseRef>) {
        self.dispatch("dispatch-resumed", case).await;
    }

    async fn dispatch(&self, kind: &'static str, case: Option<&CaseRef>) {
        let fact = DispatchMoved {
            request_id: RequestId(Uuid::new_v4()).to_string(),
            exchange: upbit().to_string(),
            case: case.map(Into::into),
        };
        self.freeze.say(kind, "exchange/upbit", fact.encode_to_vec()).await;
    }

    /// The connector's facts of a kind, in order.
    pub(crate) async fn facts<M: Message + Default>(&self, kind: &str) -> Vec<M> {
        let payloads: Vec<Vec<u8>> = sqlx::query_scalar("select payload from ledger.entry where kind = $1 order by id")
            .bind(kind)
            .fetch_all(&self.connector.db.pool)
            .await
            .unwrap();
        payloads.iter().map(|payload| M::decode(payload.as_slice()).unwrap()).collect()
    }

    pub(crate) async fn wait_for<M: Message + Default>(&self, kind: &str, count: usize) -> Vec<M> {
        eventually(&format!("{count} of {kind}"), async || {
            Some(self.facts::<M>(kind).await).filter(|facts| facts.len() >= count)
        })
        .await
    }

    /// Whatever is in the queue has been there for so many days longer.
    pub(crate) async fn age(&self, days: i32) {
        sqlx::query(
            "update delivery set taken_at = taken_at - make_interval(days => $1),
                                 settled_at = settled_at - make_interval(days => $1)",
        )
        .bind(days)
        .execute(&self.connector.db.pool)
        .await
        .unwrap();
    }

    /// What is in the queue, settled or not: leg and revision.
    pub(crate) async fn queued(&self) -> Vec<(LegId, i64)> {
        let rows: Vec<(Uuid, i64)> = sqlx::query_as("select leg_id, revision from delivery order by leg_id, revision")
            .fetch_all(&self.connector.db.pool)
            .await
            .unwrap();
        rows.into_iter().map(|(leg, revision)| (LegId(leg), revision)).collect()
    }

    /// Waits until so many entries have been set aside for an operator.
    pub(crate) async fn parked(&self, count: i64) {
        eventually("entries are parked", async || {
            let parked: i64 = sqlx::query_scalar("select count(*) from ledger.parked")
                .fetch_one(&self.connector.db.pool)
                .await
                .unwrap();
            (parked == count).then_some(())
        })
        .await;
    }

    /// Cuts the connections over which the database tells replicas that orders are due.
    pub(crate) async fn deafen(&self) {
        let deafened: i64 = sqlx::query_scalar(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where datname = current_database() and query like 'LISTEN %'",
        )
        .fetch_one(&self.connector.db.pool)
        .await
        .unwrap();
        assert!(deafened > 0, "somebody listened");
    }

    /// Waits for the receipts of a leg.
    pub(crate) async fn receipt_of(&self, leg: LegId) -> Vec<ReceiptReceived> {
        eventually("a receipt of the leg", async || {
            let mut receipts = self.facts::<ReceiptReceived>("receipt").await;
            receipts.retain(|receipt| receipt.leg_id == leg.to_string());
            Some(receipts).filter(|receipts| !receipts.is_empty())
        })
        .await
    }

    /// Waits until an order of a leg has come in so often.
    pub(crate) async fn attempts_at(&self, leg: LegId, count: usize) {
        eventually("so many attempts", async || (self.exchange.attempts_at(leg) >= count).then_some(())).await;
    }

    /// Waits until the exchange's log has been asked for so many more times.
    pub(crate) async fn asked_for_its_log(&self, more: usize) {
        let before = self.exchange.book().follows;
        eventually("the log is asked for", async || (self.exchange.book().follows >= before + more).then_some(()))
            .await;
    }

    /// Waits for so many events of the exchange, as they are stored.
    pub(crate) async fn events(&self, count: usize) -> Vec<Vec<u8>> {
        let events = self.wait_for::<EventReceived>("event", count).await;
        events.into_iter().map(|fact| fact.event).collect()
    }
}

/// The connector's tables and the ledger's, made once and copied for each test.
async fn connector_database() -> TestDb {
    let mut key = b"connector".to_vec();
    for migration in haetae_ledger::MIGRATOR.iter().chain(MIGRATOR.iter()) {
        key.extend_from_slice(&migration.checksum);
    }
    let made = TestDb::prepared(&key, async |pool| {
        haetae_ledger::migrate(&pool).await?;
        Ok(MIGRATOR.run(&pool).await?)
    });
    made.await.unwrap()
}

fn registry(police: &Police, houses: [&House; 2], exchange_key: &str, line: std::net::SocketAddr) -> String {
    let mut text = String::new();
    for (purpose, _, key) in police.keys() {
        let pem = key.public_key().to_spki_pem();
        text += &format!("[[agency.key]]\npurpose = \"{purpose}\"\npublic_key = '''\n{pem}'''\n");
    }
    for (service, house) in ["tracking", "freeze"].into_iter().zip(houses) {
        text += &format!("[[agency.log]]\nservice = \"{service}\"\nverifier = \"{}\"\n", house.log.verifier());
    }
    text + &format!(
        "[[exchange]]\nid = \"upbit\"\ndisplay_name = \"Upbit\"\nendpoints = [\"https://{line}\"]\n\
         server_name = \"localhost\"\nca = \"ca.crt\"\nconfirm_within = \"1s\"\nfreeze_within = \"1s\"\n\
         chains = [\"eip155:1\"]\n[[exchange.key]]\npublic_key = '''\n{exchange_key}'''\n"
    )
}
