//! Freeze among its peers: real logs in real databases, played by appending to them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration as StdDuration;

use haetae_core::{
    Act, Amount, Arrival, Asset, Authorisation, AuthorisationId, Budgets, CaseRef, ChainId, Confidentiality, Decision,
    DecisionRole, Document, Event, EventContent, ExchangeId, LegId, LegReport, LegState, LegalGround, Moment, Officer,
    OrderKind, Receipt, Refusal, RefusalReason, RequestId, Subject, TaintRule, Target, TransferId, TransferIndex,
    WalletRole, WatchId, derived, micros,
};
use haetae_freeze::leg::Pace;
use haetae_freeze::{Parts, Replica};
use haetae_ledger::{Doorbell, Expected, Follower, Handler, Log, LogConfig, NewEntry, Sealer};
use haetae_seal::checkpoint::LogKey;
use haetae_seal::dsse::{Algorithm, SigningKey};
use haetae_testkit::postgres::TestDb;
use haetae_wire::convert::{asset_amounts, timestamp};
use haetae_wire::exchange::v1::SignedOrder;
use haetae_wire::freeze::v1::freeze_service_server::FreezeService;
use haetae_wire::freeze::v1::{
    ArrivalUnserved, DispatchMoved, GetSignedOrderRequest, Leg, LegChanged, ListLegsRequest, UnservedReason,
};
use haetae_wire::keys::{Keyring, Purpose};
use haetae_wire::signed::{
    OpenedOrder, open_order_envelope, sign_arrival, sign_authorisation, sign_event, sign_receipt,
};
use haetae_wire::{connector, exchange as wire, intake, tracking};
use prost::Message;
use time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

const PATIENCE: StdDuration = StdDuration::from_secs(20);

/// Someone with a log of their own.
pub(crate) struct House {
    pub(crate) log: Log,
    pub(crate) db: TestDb,
    pem: String,
}

impl House {
    async fn new(origin: &str) -> Self {
        let db = TestDb::prepared(b"freeze 5", async |pool| {
            haetae_ledger::migrate(&pool).await?;
            Ok(haetae_freeze::MIGRATOR.run(&pool).await?)
        });
        let (db, pem) = (db.await.unwrap(), LogKey::generate().to_pkcs8_pem().to_string());
        let log = open(&db, origin, &pem).await;
        Self { log, db, pem }
    }

    pub(crate) async fn say(&self, kind: &'static str, about: &str, payload: Vec<u8>) {
        let entry = NewEntry {
            stream: about.to_owned(),
            expected: Expected::Any,
            kind,
            subject: about.to_owned(),
            actor: "service:test".to_owned(),
            audience: None,
            payload,
            time: Moment::now_utc(),
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

/// What the agency's services and the exchanges sign with.
pub(crate) struct Keys {
    authorise: SigningKey,
    arrive: SigningKey,
    freeze_pem: String,
    exchanges: BTreeMap<ExchangeId, SigningKey>,
    pub(crate) keyring: Keyring,
}

impl Keys {
    fn new() -> Self {
        let new = || SigningKey::generate(Algorithm::Ed25519);
        let (authorise, arrive, freeze) = (new(), new(), new());
        let mut keyring = Keyring::new();
        keyring.pin(Purpose::Authorise, authorise.public_key()).unwrap();
        keyring.pin(Purpose::Arrive, arrive.public_key()).unwrap();
        keyring.pin(Purpose::Freeze, freeze.public_key()).unwrap();
        let exchanges: BTreeMap<_, _> = [upbit(), bithumb()]
            .into_iter()
            .map(|exchange| (exchange, SigningKey::generate(Algorithm::EcdsaP256Sha256)))
            .collect();
        for (exchange, key) in &exchanges {
            keyring.pin(Purpose::Exchange(exchange.clone()), key.public_key()).unwrap();
        }
        Self { authorise, arrive, freeze_pem: freeze.to_pkcs8_pem().to_string(), exchanges, keyring }
    }
}

/// The mesh as freeze sees it.
pub(crate) struct World {
    pub(crate) keys: Keys,
    pub(crate) intake: House,
    pub(crate) tracking: House,
    pub(crate) connectors: BTreeMap<ExchangeId, House>,
    pub(crate) freeze: House,
    pub(crate) api: Box<dyn Api>,
    _running: Vec<DropGuard>,
}

/// What people approve.
pub(crate) struct Approved {
    pub(crate) cap: u64,
    pub(crate) legs_per_hour: u32,
    pub(crate) exchanges: Vec<ExchangeId>,
}

impl Default for Approved {
    fn default() -> Self {
        Self { cap: 100, legs_per_hour: 10, exchanges: vec![upbit(), bithumb()] }
    }
}

pub(crate) fn upbit() -> ExchangeId {
    "upbit".parse().unwrap()
}

pub(crate) fn bithumb() -> ExchangeId {
    "bithumb".parse().unwrap()
}

pub(crate) fn ether() -> Asset {
    Asset::evm_native(ChainId::evm(1))
}

pub(crate) fn case() -> CaseRef {
    CaseRef { agency: "knp".parse().unwrap(), unit: "cyber".parse().unwrap(), number: "2026-1".into() }
}

/// Account `n`.
pub(crate) fn account(n: u64) -> Target {
    Target::account(format!("eip155:1:0x{:040x}", n + 1).parse().unwrap())
}

pub(crate) fn request(n: u128) -> RequestId {
    RequestId(Uuid::from_u128(n))
}

pub(crate) fn watch() -> WatchId {
    WatchId(Uuid::from_u128(0x77))
}

/// The grant's authorisation at an exchange.
pub(crate) fn line(request: RequestId, exchange: &ExchangeId) -> AuthorisationId {
    AuthorisationId(derived("test-authorisation", &[&request.to_string(), exchange.as_str()]))
}

/// Waits until something is so.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not so after {} s", PATIENCE.as_secs());
        sleep(StdDuration::from_millis(10)).await;
    }
}

/// [`FreezeService`] behind a pointer.
#[tonic::async_trait]
pub(crate) trait Api: Send + Sync {
    async fn legs(&self, request: ListLegsRequest) -> Result<(Vec<Leg>, String), tonic::Status>;
    async fn signed_order(&self, leg: &str) -> Result<SignedOrder, tonic::Status>;
}

#[tonic::async_trait]
impl<T: FreezeService> Api for T {
    async fn legs(&self, request: ListLegsRequest) -> Result<(Vec<Leg>, String), tonic::Status> {
        let answer = self.list_legs(tonic::Request::new(request)).await?.into_inner();
        Ok((answer.legs, answer.next_page_token))
    }

    async fn signed_order(&self, leg: &str) -> Result<SignedOrder, tonic::Status> {
        let request = tonic::Request::new(GetSignedOrderRequest { leg_id: leg.to_owned() });
        Ok(self.get_signed_order(request).await?.into_inner().order.unwrap())
    }
}

impl World {
    /// One replica, running.
    pub(crate) async fn new() -> Self {
        Self::with_replicas(1).await
    }

    pub(crate) async fn with_replicas(count: usize) -> Self {
        let keys = Keys::new();
        let intake = House::new("haetae.test/intake").await;
        let tracking = House::new("haetae.test/tracking").await;
        let mut connectors = BTreeMap::new();
        for exchange in [upbit(), bithumb()] {
            connectors.insert(exchange.clone(), House::new(&format!("haetae.test/connector/{exchange}")).await);
        }
        let freeze = House::new("haetae.test/freeze").await;
        let (mut running, mut api): (Vec<_>, Option<Box<dyn Api>>) = (Vec::new(), None);
        for _ in 0..count {
            let log = open(&freeze.db, freeze.log.origin(), &freeze.pem).await;
            let replica = replica(&keys, log.clone());
            api.get_or_insert_with(|| Box::new(replica.api()));
            running.push(run(replica, log, &intake, &tracking, &connectors));
        }
        Self { keys, intake, tracking, connectors, freeze, api: api.unwrap(), _running: running }
    }

    /// A freeze with a database of its own that reads the same logs from their beginning.
    pub(crate) async fn read_again(&self) -> (House, DropGuard) {
        let house = House::new(self.freeze.log.origin()).await;
        let running = run(
            replica(&self.keys, house.log.clone()),
            house.log.clone(),
            &self.intake,
            &self.tracking,
            &self.connectors,
        );
        (house, running)
    }

    // intake

    /// A watch is approved, with a standing freeze on it.
    pub(crate) async fn approve_watch(&self, request: RequestId, approved: Approved) {
        let terms = intake::v1::StandingFreezeTerms {
            caps: asset_amounts(&caps(approved.cap)),
            freeze_period: None,
            max_legs_per_hour: approved.legs_per_hour,
            max_holders: 10,
        };
        let kind = intake::v1::request_content::Kind::Watch(intake::v1::Watch {
            standing_freeze: Some(terms),
            ..Default::default()
        });
        let subject = Subject::Watch { watch: watch(), root: account(999) };
        self.approve(request, kind, &approved, subject).await;
    }

    /// Freezes at named accounts are approved.
    pub(crate) async fn approve_freeze(&self, request: RequestId, accounts: &[Target]) {
        let approved = Approved { exchanges: vec![upbit()], ..Default::default() };
        // What is approved is a cap for each account; the authorisation's is over all of them.
        let kind = intake::v1::request_content::Kind::Freeze(intake::v1::Freeze {
            caps: asset_amounts(&caps(approved.cap)),
            ..Default::default()
        });
        let approved = Approved { cap: approved.cap * accounts.len() as u64, ..approved };
        self.approve(request, kind, &approved, Subject::Targets(accounts.iter().cloned().collect())).await;
    }

    async fn approve(
        &self,
        request: RequestId,
        kind: intake::v1::request_content::Kind,
        approved: &Approved,
        subject: Subject,
    ) {
        let mut refs = Vec::new();
        for exchange in &approved.exchanges {
            let authorisation = Authorisation {
                caps: caps(approved.cap),
                subject: subject.clone(),
                budgets: Budgets { max_questions: 10, max_legs_per_hour: approved.legs_per_hour },
                ..authorisation(line(request, exchange), exchange, request)
            };
            refs.push(self.authorise(&authorisation).await);
        }
        self.grant(request, kind, refs).await;
    }

    async fn authorise(&self, authorisation: &Authorisation) -> intake::v1::AuthorisationRef {
        let envelope = sign_authorisation(authorisation, &self.keys.authorise);
        self.intake.say("authorisation", "case/knp/2026-1", envelope).await;
        intake::v1::AuthorisationRef {
            exchange: authorisation.exchange.to_string(),
            authorisation_id: authorisation.id.to_string(),
        }
    }

    async fn grant(
        &self,
        request: RequestId,
        kind: intake::v1::request_content::Kind,
        authorisations: Vec<intake::v1::AuthorisationRef>,
    ) {
        let now = Moment::now_utc();
        let fact = intake::v1::RequestGranted {
            request_id: request.to_string(),
            case: Some((&case()).into()),
            content: Some(intake::v1::RequestContent { kind: Some(kind), ..Default::default() }),
            authorisations,
            watch_id: watch().to_string(),
            granted_at: Some(timestamp(now)),
            freeze_until: Some(timestamp(now + Duration::days(30))),
            ..Default::default()
        };
        self.intake.say("request-granted", "case/knp/2026-1", fact.encode_to_vec()).await;
    }

    /// A release of what a request froze is approved; without legs, of everything.
    pub(crate) async fn approve_release(&self, of: RequestId, legs: &[LegId]) {
        let mut refs = Vec::new();
        for exchange in [upbit(), bithumb()] {
            let grant = authorisation(line(of, &exchange), &exchange, of);
            let cancellation = Authorisation {
                id: AuthorisationId(Uuid::new_v4()),
                act: Act::Cancel { legs: legs.iter().copied().collect() },
                amendment: 2,
                ..grant
            };
            refs.push(self.authorise(&cancellation).await);
        }
        let release = intake::v1::Release {
            frozen_by_request_id: of.to_string(),
            leg_ids: legs.iter().map(ToString::to_string).collect(),
        };
        let kind = intake::v1::request_content::Kind::Release(release);
        self.grant(RequestId(Uuid::new_v4()), kind, refs).await;
    }

    pub(crate) async fn halt(&self, exchange: &ExchangeId) {
        let scope = Some(halt_scope(exchange));
        let kind = intake::v1::request_content::Kind::Halt(intake::v1::Halt { scope });
        self.grant(RequestId(Uuid::new_v4()), kind, Vec::new()).await;
    }

    pub(crate) async fn resume(&self, exchange: &ExchangeId) {
        let scope = Some(halt_scope(exchange));
        let kind = intake::v1::request_content::Kind::Resume(intake::v1::Resume { scope });
        self.grant(RequestId(Uuid::new_v4()), kind, Vec::new()).await;
    }

    // tracking

    /// Transfer `n` brings stolen money to account `to` at an exchange.
    pub(crate) async fn arrive(&self, n: u64, exchange: &ExchangeId, to: u64, traced: u64) -> Arrival {
        let arrival = arrival(n, exchange, to, traced);
        self.announce(&arrival).await;
        arrival
    }

    pub(crate) async fn announce(&self, arrival: &Arrival) {
        let envelope = sign_arrival(arrival, &self.keys.arrive);
        self.tracking.say("arrival", &format!("watch/{}", arrival.watch), envelope).await;
    }

    pub(crate) async fn retract(&self, arrival: &Arrival) {
        let fact = tracking::v1::ArrivalMoved {
            arrived: Some(tracking::v1::Arrived { arrival: Some(arrival.into()), ..Default::default() }),
            ..Default::default()
        };
        self.tracking.say("arrival-retracted", &format!("watch/{}", arrival.watch), fact.encode_to_vec()).await;
    }

    /// What exchanges say about the account that an arrival paid comes to this.
    pub(crate) async fn conclude(&self, arrival: &Arrival, conclusion: tracking::v1::Conclusion) {
        let fact = tracking::v1::AddressConcluded {
            watch_id: arrival.watch.to_string(),
            target: Some((&arrival.target).into()),
            conclusion: conclusion.into(),
            ..Default::default()
        };
        self.tracking.say("address-concluded", &format!("watch/{}", arrival.watch), fact.encode_to_vec()).await;
    }

    // exchanges

    /// The exchange's receipt for an order, through its connector.
    pub(crate) async fn answer(&self, order: &OpenedOrder, state: LegState) {
        let exchange = order.order.recipient.clone();
        let receipt = sign_receipt(&receipt(order, state), &self.keys.exchanges[&exchange]);
        self.store_receipt(&exchange, order, receipt).await;
    }

    /// An event of the exchange's own log, through its connector.
    pub(crate) async fn happen(&self, order: &OpenedOrder, state: LegState) {
        let Receipt { exchange, report, at } = receipt(order, state);
        let event = Event {
            exchange: exchange.clone(),
            log_id: "log".into(),
            epoch: 1,
            sequence: 1,
            at,
            content: EventContent::Report(report),
        };
        let fact = connector::v1::EventReceived {
            exchange: exchange.to_string(),
            event: sign_event(&event, &self.keys.exchanges[&exchange]),
            leg_id: order.order.leg.to_string(),
        };
        self.connectors[&exchange].say("event", &format!("leg/{}", order.order.leg), fact.encode_to_vec()).await;
    }

    /// An exchange begins its log anew.
    pub(crate) async fn begin_log_anew(&self, exchange: &ExchangeId) {
        let fact = connector::v1::ExchangeLogAnew { exchange: exchange.to_string(), log_id: "log".into(), epoch: 2 };
        let about = format!("exchange/{exchange}");
        self.connectors[exchange].say("exchange-log-anew", &about, fact.encode_to_vec()).await;
    }

    /// A receipt in a connector's log, whoever signed it and for whatever order.
    pub(crate) async fn store_receipt(&self, connector: &ExchangeId, order: &OpenedOrder, receipt: Vec<u8>) {
        let fact = connector::v1::ReceiptReceived {
            exchange: connector.to_string(),
            leg_id: order.order.leg.to_string(),
            revision: order.order.revision.get(),
            order_sha256: order.identity.to_vec(),
            receipt,
        };
        self.connectors[connector].say("receipt", &format!("leg/{}", order.order.leg), fact.encode_to_vec()).await;
    }

    pub(crate) fn sign_as(&self, exchange: &ExchangeId, receipt: &Receipt) -> Vec<u8> {
        sign_receipt(receipt, &self.keys.exchanges[exchange])
    }

    pub(crate) async fn lose(&self, order: &OpenedOrder) {
        let fact = connector::v1::OrderUndelivered {
            exchange: order.order.recipient.to_string(),
            leg_id: order.order.leg.to_string(),
            revision: order.order.revision.get(),
        };
        let about = format!("leg/{}", order.order.leg);
        self.connectors[&order.order.recipient].say("undelivered", &about, fact.encode_to_vec()).await;
    }

    // freeze

    /// Freeze does not find the authorisations of a request any more.
    pub(crate) async fn lose_authorisations(&self, of: RequestId) {
        let lines: Vec<_> = [upbit(), bithumb()].iter().map(|exchange| line(of, exchange).0).collect();
        let lose = "update authorisation set act = 'cancel' where line = any($1)";
        let lost = sqlx::query(lose).bind(lines).execute(&self.freeze.db.pool).await.unwrap();
        assert!(lost.rows_affected() > 0);
    }

    /// And finds them again.
    pub(crate) async fn find_authorisations(&self) {
        let find = "update authorisation set act = 'grant' where act = 'cancel'";
        sqlx::query(find).execute(&self.freeze.db.pool).await.unwrap();
    }

    /// The orders issued so far, opened as an exchange would: signatures, authorisation, arrivals.
    pub(crate) async fn orders(&self) -> Vec<OpenedOrder> {
        orders_of(&self.freeze, &self.keys).await
    }

    /// Waits for so many orders, and answers with all there are.
    pub(crate) async fn wait_for_orders(&self, count: usize) -> Vec<OpenedOrder> {
        until(&format!("{count} orders"), async || Some(self.orders().await).filter(|orders| orders.len() >= count))
            .await
    }

    /// Waits for a leg's newest fact to be as wanted.
    pub(crate) async fn wait_for_leg(&self, leg: LegId, what: &str, wanted: impl Fn(&Leg) -> bool) -> Leg {
        let stream = format!("leg/{leg}");
        until(what, async || {
            let facts = facts_of::<LegChanged>(&self.freeze, "leg", Some(&stream)).await;
            facts.into_iter().next_back().and_then(|fact| fact.leg).filter(&wanted)
        })
        .await
    }

    /// Why arrivals were not served, in the order it was said.
    pub(crate) async fn unserved(&self) -> Vec<UnservedReason> {
        let facts = facts_of::<ArrivalUnserved>(&self.freeze, "arrival-unserved", None).await;
        facts.into_iter().filter_map(|fact| fact.unserved).map(|unserved| unserved.reason()).collect()
    }

    pub(crate) async fn wait_for_unserved(&self, reason: UnservedReason) {
        until("an arrival is unserved", async || self.unserved().await.contains(&reason).then_some(())).await;
    }

    pub(crate) async fn wait_for_dispatch(&self, kind: &str) -> DispatchMoved {
        until(kind, async || facts_of::<DispatchMoved>(&self.freeze, kind, None).await.pop()).await
    }

    /// How many entries of a log have been acted on, by followers of freeze.
    pub(crate) async fn caught_up(&self, with: &House, follower: &str) {
        until("freeze has read the log", async || {
            let cursor: Option<i64> = sqlx::query_scalar("select next_position from ledger.cursor where follower = $1")
                .bind(follower)
                .fetch_optional(&self.freeze.db.pool)
                .await
                .unwrap();
            let size: i64 =
                sqlx::query_scalar("select count(*) from ledger.entry").fetch_one(&with.db.pool).await.unwrap();
            (cursor == Some(size)).then_some(())
        })
        .await;
    }

    pub(crate) async fn legs(&self, request: RequestId) -> Vec<Leg> {
        let request = ListLegsRequest { request_id: request.to_string(), ..Default::default() };
        self.api.legs(request).await.unwrap().0
    }
}

/// The cap of a freeze; none for a release.
pub(crate) fn cap(order: &OpenedOrder) -> Option<Amount> {
    match order.order.desired {
        haetae_core::Desired::Frozen { cap, .. } => Some(cap),
        _ => None,
    }
}

pub(crate) async fn orders_of(house: &House, keys: &Keys) -> Vec<OpenedOrder> {
    let envelopes: Vec<Vec<u8>> =
        sqlx::query_scalar("select payload from ledger.entry where kind = 'order' order by id")
            .fetch_all(&house.db.pool)
            .await
            .unwrap();
    envelopes.iter().map(|envelope| open_order_envelope(envelope, &keys.keyring).unwrap()).collect()
}

pub(crate) async fn facts_of<M: Message + Default>(house: &House, kind: &str, stream: Option<&str>) -> Vec<M> {
    let payloads: Vec<Vec<u8>> = sqlx::query_scalar(
        "select payload from ledger.entry where kind = $1 and ($2::text is null or stream = $2) order by id",
    )
    .bind(kind)
    .bind(stream)
    .fetch_all(&house.db.pool)
    .await
    .unwrap();
    payloads.iter().map(|payload| M::decode(payload.as_slice()).unwrap()).collect()
}

/// What an exchange says about an order, unsigned.
pub(crate) fn receipt(order: &OpenedOrder, state: LegState) -> Receipt {
    let refusal = || Refusal { reason: RefusalReason::ConflictOfLaw, message: "no".into(), retry: false };
    Receipt {
        exchange: order.order.recipient.clone(),
        report: LegReport {
            leg: order.order.leg,
            revision: order.order.revision,
            order_sha256: order.identity,
            state,
            frozen: matches!(state, LegState::FrozenPartial | LegState::FrozenFull).then(|| 1_u64.into()),
            refusal: (state == LegState::Refused).then(refusal),
            confirmation: None,
            holder: None,
        },
        at: micros(Moment::now_utc()),
    }
}

pub(crate) fn arrival(n: u64, exchange: &ExchangeId, to: u64, traced: u64) -> Arrival {
    let transfer =
        TransferId { chain: ChainId::evm(1), transaction: format!("0x{n:064x}"), index: TransferIndex::Native };
    Arrival {
        id: transfer.arrival(watch()),
        watch: watch(),
        transfer,
        target: account(to),
        exchange: exchange.clone(),
        asset: ether(),
        amount: traced.into(),
        traced: traced.into(),
        rule: TaintRule::TracedFirst,
        block_number: n,
        block_hash: format!("0x{n:064x}"),
        seen_at: micros(Moment::now_utc()),
        wallet_role: Some(WalletRole::CustomerDeposit),
    }
}

pub(crate) fn revision(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn caps(cap: u64) -> BTreeMap<Asset, Amount> {
    [(ether(), cap.into())].into()
}

fn halt_scope(exchange: &ExchangeId) -> intake::v1::HaltScope {
    intake::v1::HaltScope { scope: Some(intake::v1::halt_scope::Scope::Exchange(exchange.to_string())) }
}

fn authorisation(id: AuthorisationId, exchange: &ExchangeId, request: RequestId) -> Authorisation {
    let now = micros(Moment::now_utc());
    Authorisation {
        id,
        act: Act::Grant,
        line: id,
        amendment: 1,
        exchange: exchange.clone(),
        request,
        case: case(),
        ground: LegalGround {
            basis: "warrant".into(),
            citation: "Criminal Procedure Act, Art. 215".into(),
            document: Some(Document {
                number: "2026-1".into(),
                issuer: "Seoul Central District Court".into(),
                issued_at: now,
                valid_until: now + Duration::days(7),
                sha256: [7; 32],
            }),
            ratify_by: None,
        },
        permitted: BTreeSet::from([OrderKind::Freeze]),
        subject: Subject::Watch { watch: watch(), root: account(999) },
        caps: caps(100),
        valid_from: now,
        valid_until: now + Duration::days(7),
        freeze_until: Some(now + Duration::days(30)),
        confidentiality: Confidentiality::Open,
        officer: Officer {
            name: "Kim".into(),
            title: "Inspector".into(),
            address: "Seoul".into(),
            email: "kim@police.example".into(),
            phone: "112".into(),
        },
        decisions: vec![
            Decision { role: DecisionRole::Requested, person: "kim".parse().unwrap(), at: now },
            Decision { role: DecisionRole::Approved, person: "lee".parse().unwrap(), at: now },
        ],
        issued_at: now,
        budgets: Budgets { max_questions: 0, max_legs_per_hour: 10 },
    }
}

fn replica(keys: &Keys, log: Log) -> Replica {
    Replica::new(Parts {
        log,
        key: SigningKey::from_pkcs8_pem(&keys.freeze_pem).unwrap(),
        keyring: keys.keyring.clone(),
        exchanges: BTreeSet::from([upbit(), bithumb()]),
        order_valid_for: Duration::minutes(10),
        pace: Pace { first: Duration::milliseconds(50), most: Duration::milliseconds(200) },
    })
}

fn run(
    replica: Replica,
    log: Log,
    intake: &House,
    tracking: &House,
    connectors: &BTreeMap<ExchangeId, House>,
) -> DropGuard {
    let cancel = CancellationToken::new();
    let follow = |name: &str, house: &House, handler: Box<dyn Handler>| {
        let follower =
            Follower::new(log.pool().clone(), name, house.log.clone(), house.log.verifier().clone(), Boxed(handler));
        tokio::spawn(
            follower.appending_to(log.clone()).storing_passed_every(StdDuration::from_millis(50)).run(cancel.clone()),
        );
    };
    follow("freeze<-intake", intake, Box::new(replica.on_intake()));
    follow("freeze<-tracking", tracking, Box::new(replica.on_tracking()));
    for (exchange, house) in connectors {
        follow(&format!("freeze<-connector/{exchange}"), house, Box::new(replica.on_connector(exchange.clone())));
    }
    tokio::spawn(Sealer::new(log.clone()).run(cancel.clone()));
    tokio::spawn(replica.chase(cancel.clone()));
    cancel.drop_guard()
}

struct Boxed(Box<dyn Handler>);

#[async_trait::async_trait]
impl Handler for Boxed {
    async fn handle(
        &self,
        tx: &mut sqlx::PgConnection,
        entry: &haetae_ledger::FollowedEntry,
    ) -> Result<(), haetae_ledger::HandleError> {
        self.0.handle(tx, entry).await
    }
}

/// The wire's name for a state.
pub(crate) fn state(of: LegState) -> i32 {
    wire::v1::LegState::from(of).into()
}
