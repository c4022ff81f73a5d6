//! Tracking's neighbours: intake's log, the exchanges' connectors' logs, and keys; and replicas of tracking itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use haetae_core::{
    Account, Amount, Asset, Confirmation, ConfirmationAnswer, ExchangeId, LegId, LegReport, LegState, Moment, Order,
    Receipt, RequestId, Subject, TaintRule, Target, WalletRole, WatchId, micros,
};
use haetae_ledger::{Doorbell, Expected, Follower, Log, LogConfig, NewEntry, Sealer};
use haetae_seal::checkpoint::LogKey;
use haetae_seal::dsse::{Algorithm, SigningKey};
use haetae_testkit::postgres::TestDb;
use haetae_tracking::{ChainConfig, Config, KeysConfig, LabelsConfig, NodeConfig, QuestionsConfig, Tracking};
use haetae_wire::connector::v1::ReceiptReceived;
use haetae_wire::convert::{asset_amounts, timestamp};
use haetae_wire::exchange::v1 as exchange;
use haetae_wire::intake::v1 as intake;
use haetae_wire::keys::Keyring;
use haetae_wire::registry::Registry;
use haetae_wire::signed::{open_order_envelope, order_identity, sign_authorisation, sign_receipt};
use haetae_wire::tracking::v1::{label_service_server::LabelService, tracking_service_server::TrackingService};
use prost::Message;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::authority::{authorisation, case, registry};
use crate::chain::Chain;

pub(crate) const EXCHANGES: [&str; 2] = ["bithumb", "upbit"];

/// A log in a database of its own.
pub(crate) struct House {
    db: TestDb,
    pub(crate) log: Log,
    pem: String,
    origin: String,
}

impl House {
    async fn new(db: TestDb, origin: &str) -> Self {
        let pem = LogKey::generate().to_pkcs8_pem().to_string();
        let log = open(&db.pool, origin, &pem).await;
        Self { db, log, pem, origin: origin.to_owned() }
    }

    async fn append(&self, entry: NewEntry) {
        self.append_all(vec![entry]).await;
    }

    async fn append_all(&self, entries: Vec<NewEntry>) {
        let mut tx = self.log.begin().await.unwrap();
        self.log.append_all(&mut tx, entries).await.unwrap();
        self.log.commit(tx).await.unwrap();
    }
}

async fn open(pool: &PgPool, origin: &str, pem: &str) -> Log {
    let key = LogKey::from_pkcs8_pem(pem).unwrap();
    let config = LogConfig { origin: origin.to_owned(), key, drain: CancellationToken::new() };
    Log::open(pool.clone(), config, Doorbell::local()).await.unwrap()
}

/// Tracking and its neighbours, reading one chain.
pub(crate) struct Mesh<C = Chain> {
    pub(crate) chain: C,
    pub(crate) tracking: House,
    intake: House,
    connectors: BTreeMap<ExchangeId, House>,
    authorise: SigningKey,
    exchange_keys: BTreeMap<ExchangeId, SigningKey>,
    pub(crate) registry: Registry,
    pub(crate) keyring: Keyring,
    config: Config,
    /// How long after their grant authorisations begin, as if intake's clock were ahead; none: they have begun.
    pub(crate) begins_in: Option<Duration>,
    _keys: tempfile::TempDir,
}

/// A replica of tracking; it ends as if killed when this is dropped.
pub(crate) struct Replica {
    tracking: Tracking,
    _tasks: JoinSet<()>,
}

impl Replica {
    pub(crate) fn api(&self) -> impl TrackingService + LabelService + use<> {
        self.tracking.api()
    }
}

/// What a watch is to be.
pub(crate) struct WatchOf {
    pub(crate) root: usize,
    pub(crate) stolen: BTreeMap<Asset, Amount>,
    pub(crate) limits: intake::WatchLimits,
    pub(crate) period: Duration,
    pub(crate) rule: TaintRule,
    pub(crate) start: Option<intake::watch::Start>,
    pub(crate) not_before: Option<Moment>,
}

impl WatchOf {
    pub(crate) fn coins(root: usize, stolen: u64) -> Self {
        Self {
            root,
            stolen: BTreeMap::from([(Chain::coin(), Amount::from(stolen))]),
            limits: intake::WatchLimits {
                max_hops: 10,
                dust: asset_amounts(&BTreeMap::from([(Chain::coin(), Amount::from(10u64))])),
                max_addresses: 50,
                max_questions: 100,
                max_degree: 1_000,
            },
            period: Duration::from_secs(3_600),
            rule: TaintRule::TracedFirst,
            start: None,
            not_before: None,
        }
    }
}

/// One entry of tracking's log.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) kind: String,
    pub(crate) stream: String,
    pub(crate) audience: Option<String>,
    pub(crate) payload: Vec<u8>,
}

impl Said {
    pub(crate) fn read<M: Message + Default>(&self) -> M {
        M::decode(self.payload.as_slice()).unwrap()
    }
}

impl Mesh {
    pub(crate) async fn start() -> Self {
        Self::with(QuestionsConfig::default()).await
    }

    pub(crate) async fn with(questions: QuestionsConfig) -> Self {
        Self::looking(questions, false).await
    }

    /// One that looks at what waits to be included.
    pub(crate) async fn looking_at_what_waits() -> Self {
        Self::looking(QuestionsConfig::default(), true).await
    }

    async fn looking(questions: QuestionsConfig, look_at_waiting: bool) -> Self {
        let chain = Chain::start().await;
        let node = NodeConfig { http: chain.anvil.http_url(), ws: Some(chain.anvil.ws_url()), ..NodeConfig::default() };
        let config = ChainConfig {
            id: Chain::id().to_string(),
            nodes: vec![node],
            confirmations: 2,
            final_after: None,
            max_reorg_depth: 64,
            block_time_ms: 1_000,
            poll_ms: 250,
            look_at_waiting,
        };
        Self::of(chain, config, questions).await
    }

    /// Waits until everything on the chain was read, and what was found can be heard.
    pub(crate) async fn caught_up(&self) {
        let target = self.chain.number().await;
        eventually("the chain was read", async || self.head().await.is_some_and(|head| head >= target)).await;
        eventually("what was found is sealed", async || {
            let unsealed = sqlx::query_scalar("select exists (select from ledger.entry where position is null)");
            !unsealed.fetch_one(&self.tracking.db.pool).await.unwrap_or(true)
        })
        .await;
    }

    /// People approve a watch.
    pub(crate) async fn grant_watch(&self, of: &WatchOf) -> WatchId {
        self.grant_watch_from(self.chain.account(of.root), of).await
    }

    /// People approve a watch, and tracking takes it up.
    pub(crate) async fn watch(&self, of: &WatchOf) -> WatchId {
        self.watch_from(self.chain.account(of.root), of).await
    }
}

impl<C> Mesh<C> {
    /// Tracking that is to read this chain.
    pub(crate) async fn of(chain: C, reads: ChainConfig, questions: QuestionsConfig) -> Self {
        let ledger = async || TestDb::migrated(&haetae_ledger::MIGRATOR).await.unwrap();
        let tracking = House::new(tracking_database().await, "test/tracking").await;
        let intake = House::new(ledger().await, "test/intake").await;
        let mut connectors = BTreeMap::new();
        for name in EXCHANGES {
            connectors
                .insert(name.parse().unwrap(), House::new(ledger().await, &format!("test/connector/{name}")).await);
        }
        let key = || SigningKey::generate(Algorithm::Ed25519);
        let (authorise, arrive, confirm) = (key(), key(), key());
        let exchange_keys: BTreeMap<ExchangeId, SigningKey> = EXCHANGES
            .into_iter()
            .map(|name| (name.parse().unwrap(), SigningKey::generate(Algorithm::EcdsaP256Sha256)))
            .collect();
        let text = registry(&authorise, &arrive, &confirm, &exchange_keys);
        let registry = Registry::parse(&text, Path::new("/nowhere")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, key: &SigningKey| {
            let path = folder.path().join(name);
            std::fs::write(&path, &*key.to_pkcs8_pem()).unwrap();
            path
        };
        let config = Config {
            registry: folder.path().join("exchanges.toml"),
            keys: KeysConfig { arrive: file("arrive.pem", &arrive), confirm: file("confirm.pem", &confirm) },
            chains: vec![reads],
            questions,
            labels: LabelsConfig::default(),
        };
        let keyring = Keyring::from_registry(&registry);
        Self {
            chain,
            tracking,
            intake,
            connectors,
            authorise,
            exchange_keys,
            registry,
            keyring,
            config,
            begins_in: None,
            _keys: folder,
        }
    }

    /// Replicas that are started from here on do not know the key of an exchange, or the one that signs authorisations.
    pub(crate) fn forget_key_of(&mut self, exchange: Option<&str>) {
        let other = SigningKey::generate(Algorithm::EcdsaP256Sha256);
        let known = |id: &ExchangeId, key| if exchange == Some(id.as_str()) { &other } else { key };
        let exchanges = self.exchange_keys.iter().map(|(id, key)| (id, known(id, key)));
        self.registry = self.pinning(if exchange.is_none() { &other } else { &self.authorise }, exchanges);
    }

    /// They know all keys again.
    pub(crate) fn remember_keys(&mut self) {
        self.registry = self.pinning(&self.authorise, &self.exchange_keys);
    }

    fn pinning<'a>(
        &self,
        authorise: &SigningKey,
        exchanges: impl IntoIterator<Item = (&'a ExchangeId, &'a SigningKey)>,
    ) -> Registry {
        let own = |path: &Path| SigningKey::from_pkcs8_pem(&std::fs::read_to_string(path).unwrap()).unwrap();
        let KeysConfig { arrive, confirm } = &self.config.keys;
        let text = registry(authorise, &own(arrive), &own(confirm), exchanges);
        Registry::parse(&text, Path::new("/nowhere")).unwrap()
    }

    /// The chains that replicas read which are started from here on.
    pub(crate) fn chains(&mut self) -> &mut Vec<ChainConfig> {
        &mut self.config.chains
    }

    /// Replicas that are started from here on let so many blocks leave the chain.
    pub(crate) fn bound_reorganisations(&mut self, depth: u64) {
        self.config.chains[0].max_reorg_depth = depth;
    }

    /// Replicas that are started from here on hear of new blocks at this address.
    pub(crate) fn subscribe_at(&mut self, address: std::net::SocketAddr) {
        self.config.chains[0].nodes[0].ws = Some(format!("ws://{address}"));
    }

    /// Starts a replica and waits until the chain is being read.
    pub(crate) async fn replica(&self) -> Replica {
        let log = open(&self.tracking.db.pool, &self.tracking.origin, &self.tracking.pem).await;
        let tracking = || Tracking::new(self.config.clone(), &self.registry, log.clone()).unwrap();
        let (working, asked) = (tracking(), tracking());
        let mut tasks = JoinSet::new();
        let cancel = CancellationToken::new();
        let mut followers = vec![self.follower("intake", &self.intake, working.of_intake(), &log)];
        for (exchange, connector) in &self.connectors {
            let handler = working.of_connector(exchange);
            followers.push(self.follower(&format!("connector/{exchange}"), connector, handler, &log));
        }
        for follower in followers {
            let cancel = cancel.clone();
            tasks.spawn(async move { follower.run(cancel).await.unwrap() });
        }
        let sealer = Sealer::new(log.clone());
        let stop = cancel.clone();
        tasks.spawn(async move { sealer.run(stop).await });
        tasks.spawn(async move { working.run(cancel).await.unwrap() });
        eventually("the chain is read", async || self.head().await.is_some()).await;
        Replica { tracking: asked, _tasks: tasks }
    }

    fn follower(&self, name: &str, of: &House, handler: impl haetae_ledger::Handler + 'static, log: &Log) -> Follower {
        let (name, verifier) = (format!("tracking<-{name}"), of.log.verifier().clone());
        Follower::new(self.tracking.db.pool.clone(), name, of.log.clone(), verifier, handler).appending_to(log.clone())
    }

    /// The last block that was read.
    pub(crate) async fn head(&self) -> Option<u64> {
        let number: Option<i64> =
            sqlx::query_scalar("select number from chain_head").fetch_optional(&self.tracking.db.pool).await.unwrap();
        number.map(|number| u64::try_from(number).unwrap())
    }

    /// A watch that is active stands as it did before it came to the head, when it was read up to this block.
    pub(crate) async fn set_back(&self, watch: WatchId, read: u64) {
        let set = sqlx::query(
            "update watch set state = 'catching-up', read_number = block.number, read_hash = block.hash
             from block where id = $1 and block.chain = watch.chain and block.number = $2",
        );
        let set = set.bind(watch.0).bind(i64::try_from(read).unwrap()).execute(&self.tracking.db.pool).await.unwrap();
        assert_eq!(set.rows_affected(), 1);
    }

    /// From here on each step that a watch is brought forward takes so long, and the block that it comes to is noted.
    pub(crate) async fn note_steps(&self, took: Duration) {
        let note = format!(
            "create table step (number bigint generated always as identity, block bigint);
             create function note_step() returns trigger language plpgsql as $$ begin
                 perform pg_sleep({});
                 insert into step (block) values (new.read_number);
                 return new;
             end $$;
             create trigger note_step before update on watch for each row
                 when (new.read_number is distinct from old.read_number and new.read_number is not null)
                 execute function note_step()",
            took.as_secs_f64()
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(note)).execute(&self.tracking.db.pool).await.unwrap();
    }

    /// The blocks to which watches were brought, step by step.
    pub(crate) async fn steps(&self) -> Vec<u64> {
        let steps: Vec<i64> = sqlx::query_scalar("select block from step order by number")
            .fetch_all(&self.tracking.db.pool)
            .await
            .unwrap();
        steps.into_iter().map(|block| u64::try_from(block).unwrap()).collect()
    }

    /// Facts that were set aside for an operator.
    pub(crate) async fn parked(&self) -> i64 {
        sqlx::query_scalar("select count(*) from ledger.parked").fetch_one(&self.tracking.db.pool).await.unwrap()
    }

    /// People approve a watch that begins at this account.
    pub(crate) async fn grant_watch_from(&self, root: Account, of: &WatchOf) -> WatchId {
        let watch = WatchId(Uuid::new_v4());
        let root = Target::account(root);
        let content = intake::request_content::Kind::Watch(intake::Watch {
            root: Some((&root).into()),
            stolen: asset_amounts(&of.stolen),
            period: None,
            limits: Some(of.limits.clone()),
            standing_freeze: None,
            taint_rule: exchange::TaintRule::from(of.rule).into(),
            start: of.start.clone(),
        });
        let until = Moment::now_utc() + of.period;
        self.grant(content, Subject::Watch { watch, root }, Some((watch, until)), of.not_before).await;
        watch
    }

    /// People approve a watch that begins at this account, and tracking takes it up.
    pub(crate) async fn watch_from(&self, root: Account, of: &WatchOf) -> WatchId {
        let watch = self.grant_watch_from(root, of).await;
        eventually("the watch is active", async || self.stream(watch).await.iter().any(|s| s.kind == "watch-active"))
            .await;
        watch
    }

    /// A person ends a watch before its period is over.
    pub(crate) async fn end_watch(&self, watch: WatchId) {
        let request = RequestId(Uuid::new_v4());
        let kind = intake::request_content::Kind::EndWatch(intake::EndWatch { watch_id: watch.to_string() });
        let granted = intake::RequestGranted {
            request_id: request.to_string(),
            case: Some((&case()).into()),
            content: Some(intake::RequestContent { kind: Some(kind), ..Default::default() }),
            watch_id: watch.to_string(),
            granted_at: Some(timestamp(micros(Moment::now_utc()))),
            ..Default::default()
        };
        self.intake.append(entry("request-granted", &format!("request/{request}"), granted.encode_to_vec())).await;
    }

    /// People approve that exchanges are asked about an account.
    pub(crate) async fn ask_about(&self, account: &Account) -> RequestId {
        let target = Target::account(account.clone());
        let kind = intake::ConfirmAddress { target: Some((&target).into()) };
        let content = intake::request_content::Kind::ConfirmAddress(kind);
        self.grant(content, Subject::Targets(BTreeSet::from([target])), None, None).await
    }

    async fn grant(
        &self,
        kind: intake::request_content::Kind,
        subject: Subject,
        watch: Option<(WatchId, Moment)>,
        not_before: Option<Moment>,
    ) -> RequestId {
        let request = RequestId(Uuid::new_v4());
        let now = micros(Moment::now_utc());
        let mut entries = Vec::new();
        let mut references = Vec::new();
        for exchange in self.connectors.keys() {
            let mut authorisation = authorisation(request, exchange, subject.clone(), now);
            if let Some(begins_in) = self.begins_in {
                authorisation.valid_from = micros(now + begins_in);
            }
            references.push(intake::AuthorisationRef {
                exchange: exchange.to_string(),
                authorisation_id: authorisation.id.to_string(),
            });
            let envelope = sign_authorisation(&authorisation, &self.authorise);
            let entry = entry("authorisation", &format!("request/{request}"), envelope);
            entries.push(NewEntry { audience: Some(exchange.to_string()), ..entry });
        }
        let granted = intake::RequestGranted {
            request_id: request.to_string(),
            case: Some((&case()).into()),
            content: Some(intake::RequestContent { kind: Some(kind), ..Default::default() }),
            authorisations: references,
            watch_id: watch.map(|(id, _)| id.to_string()).unwrap_or_default(),
            granted_at: Some(timestamp(now)),
            watch_until: watch.map(|(_, until)| timestamp(micros(until))),
            freeze_until: None,
            watch_not_before: not_before.map(timestamp),
        };
        entries.push(entry("request-granted", &format!("request/{request}"), granted.encode_to_vec()));
        self.intake.append_all(entries).await;
        request
    }

    /// Intake says these things about a subject.
    pub(crate) async fn intake_says(&self, subject: &str, facts: Vec<(&'static str, Vec<u8>)>) {
        let entries = facts.into_iter().map(|(kind, payload)| entry(kind, subject, payload));
        self.intake.append_all(entries.collect()).await;
    }

    /// Everything tracking said, in the order of its log.
    pub(crate) async fn said(&self) -> Vec<Said> {
        let rows: Vec<(String, String, Option<String>, Vec<u8>)> = sqlx::query_as(
            "select kind, stream, audience, payload from ledger.entry where position is not null order by position",
        )
        .fetch_all(&self.tracking.db.pool)
        .await
        .unwrap();
        rows.into_iter().map(|(kind, stream, audience, payload)| Said { kind, stream, audience, payload }).collect()
    }

    /// What tracking said of a watch.
    pub(crate) async fn stream(&self, watch: WatchId) -> Vec<Said> {
        let stream = format!("watch/{watch}");
        self.said().await.into_iter().filter(|said| said.stream == stream).collect()
    }

    /// What tracking said of a watch, by kind.
    pub(crate) async fn of_kind<M: Message + Default>(&self, watch: WatchId, kind: &str) -> Vec<M> {
        self.stream(watch).await.iter().filter(|said| said.kind == kind).map(Said::read).collect()
    }

    /// Questions to an exchange, verified as the exchange would, in the order of the log.
    pub(crate) async fn all_questions(&self, exchange: &str) -> Vec<(Order, Vec<u8>)> {
        let said = self.said().await;
        let to = said.into_iter().filter(|s| s.kind == "question" && s.audience.as_deref() == Some(exchange));
        to.map(|s| (open_order_envelope(&s.payload, &self.keyring).unwrap().order, s.payload)).collect()
    }

    /// Those about an account.
    pub(crate) async fn questions(&self, exchange: &str, account: &Account) -> Vec<(Order, Vec<u8>)> {
        let mut questions = self.all_questions(exchange).await;
        questions.retain(|(order, _)| order.target.account == *account);
        questions
    }

    /// Waits for a question.
    pub(crate) async fn asked(&self, exchange: &str, account: &Account, revision: u32) -> (Order, Vec<u8>) {
        let mut found = None;
        eventually("the exchange is asked", async || {
            let questions = self.questions(exchange, account).await;
            found = questions.into_iter().find(|(order, _)| order.revision.get() == revision);
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// An exchange answers the first question about an account.
    pub(crate) async fn answer(&self, exchange: &str, account: &Account, answer: ConfirmationAnswer) {
        let (order, envelope) = self.asked(exchange, account, 1).await;
        let exchange: ExchangeId = exchange.parse().unwrap();
        let role = (answer == ConfirmationAnswer::Held).then_some(WalletRole::CustomerDeposit);
        self.receipt(&exchange, &order, &envelope, (answer, role), &self.exchange_keys[&exchange]).await;
    }

    /// An exchange answers every question about an account so far.
    pub(crate) async fn answer_all(&self, exchange: &str, account: &Account, answer: ConfirmationAnswer) {
        let role = (answer == ConfirmationAnswer::Held).then_some(WalletRole::CustomerDeposit);
        let name: ExchangeId = exchange.parse().unwrap();
        for (order, envelope) in self.questions(exchange, account).await {
            self.receipt(&name, &order, &envelope, (answer, role), &self.exchange_keys[&name]).await;
        }
    }

    /// An exchange answers that an account is its own wallet.
    pub(crate) async fn answer_as_own(&self, exchange: &str, account: &Account) {
        let (order, envelope) = self.asked(exchange, account, 1).await;
        let exchange: ExchangeId = exchange.parse().unwrap();
        let answer = (ConfirmationAnswer::Held, Some(WalletRole::ExchangeOwn));
        self.receipt(&exchange, &order, &envelope, answer, &self.exchange_keys[&exchange]).await;
    }

    /// An exchange's connector brings an answer that another's key has signed.
    pub(crate) async fn forge(&self, exchange: &str, account: &Account, answer: ConfirmationAnswer) {
        let (order, envelope) = self.asked(exchange, account, 1).await;
        let exchange: ExchangeId = exchange.parse().unwrap();
        let other = self.exchange_keys.iter().find(|(name, _)| **name != exchange).map(|(_, key)| key);
        let role = (answer == ConfirmationAnswer::Held).then_some(WalletRole::CustomerDeposit);
        self.receipt(&exchange, &order, &envelope, (answer, role), other.unwrap()).await;
    }

    async fn receipt(
        &self,
        exchange: &ExchangeId,
        order: &Order,
        envelope: &[u8],
        (answer, role): (ConfirmationAnswer, Option<WalletRole>),
        key: &SigningKey,
    ) {
        let now = micros(Moment::now_utc());
        let receipt = Receipt {
            exchange: exchange.clone(),
            report: LegReport {
                leg: order.leg,
                revision: order.revision,
                order_sha256: order_identity(envelope),
                state: LegState::Answered,
                frozen: None,
                refusal: None,
                confirmation: Some(Confirmation {
                    answer,
                    as_of: now,
                    wallets_searched: BTreeSet::from([WalletRole::CustomerDeposit]),
                    wallet_role: role,
                }),
                holder: None,
            },
            at: now,
        };
        let fact = ReceiptReceived {
            exchange: exchange.to_string(),
            leg_id: order.leg.to_string(),
            revision: order.revision.get(),
            order_sha256: order_identity(envelope).to_vec(),
            receipt: sign_receipt(&receipt, key),
        };
        self.tell(exchange, "receipt", order.leg, fact.encode_to_vec()).await;
    }

    /// A connector says something about a leg.
    pub(crate) async fn tell(&self, exchange: &ExchangeId, kind: &'static str, leg: LegId, payload: Vec<u8>) {
        self.connectors[exchange].append(entry(kind, &format!("leg/{leg}"), payload)).await;
    }
}

/// Tracking's tables and the ledger's, made once and copied for each test.
async fn tracking_database() -> TestDb {
    let mut key = b"tracking".to_vec();
    for migration in haetae_ledger::MIGRATOR.iter().chain(haetae_tracking::MIGRATOR.iter()) {
        key.extend_from_slice(&migration.checksum);
    }
    TestDb::prepared(&key, async |pool| {
        haetae_ledger::migrate(&pool).await?;
        Ok(haetae_tracking::MIGRATOR.run(&pool).await?)
    })
    .await
    .unwrap()
}

fn entry(kind: &'static str, subject: &str, payload: Vec<u8>) -> NewEntry {
    NewEntry {
        stream: subject.to_owned(),
        expected: Expected::Any,
        kind,
        subject: subject.to_owned(),
        actor: "service:test".to_owned(),
        audience: None,
        payload,
        time: Moment::now_utc(),
    }
}

pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    eventually_within(Duration::from_secs(30), what, &mut holds).await;
}

pub(crate) async fn eventually_within(patience: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
