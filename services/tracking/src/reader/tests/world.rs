//! What the tests of the reader are told with: a database, a scripted node, people who grant, exchanges that answer. Time
//! is what the story says it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use haetae_core::{
    Account, Amount, AuthorisationId, Confirmation, ConfirmationAnswer, ExchangeId, LegId, LegReport, LegState, Moment,
    Receipt, RequestId, Subject, TaintRule, Target, WalletRole, WatchId, derived,
};
use haetae_ledger::{Doorbell, Log, LogConfig};
use haetae_seal::checkpoint::LogKey;
use haetae_seal::dsse::{Algorithm, SigningKey};
use haetae_testkit::postgres::TestDb;
use haetae_wire::connector::v1::ReceiptReceived;
use haetae_wire::convert::{asset_amounts, timestamp};
use haetae_wire::exchange::v1 as exchange;
use haetae_wire::intake::v1 as intake;
use haetae_wire::keys::Keyring;
use haetae_wire::registry::Registry;
use haetae_wire::signed::{sign_authorisation, sign_receipt};
use haetae_wire::tracking::v1::{TrailItem, trail_item::Item};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::answers::Answers;
use crate::authority::{authorisation, case, registry};
use crate::config::{ChainConfig, LabelsConfig, QuestionsConfig};
use crate::db;
use crate::intake::Intake;
use crate::reader::Reader;
use crate::scene;
use crate::scripted::Scripted;
use crate::voice::{Clock, Voice};

pub(crate) const EXCHANGES: [&str; 2] = ["bithumb", "upbit"];

/// The keys that everybody has, in every database of a test.
pub(crate) struct Keys {
    log: LogKey,
    authorise: SigningKey,
    arrive: SigningKey,
    confirm: SigningKey,
    exchanges: BTreeMap<ExchangeId, SigningKey>,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let key = || SigningKey::generate(Algorithm::Ed25519);
        Self {
            log: LogKey::generate(),
            authorise: key(),
            arrive: key(),
            confirm: key(),
            exchanges: EXCHANGES.into_iter().map(|name| (name.parse().unwrap(), key())).collect(),
        }
    }

    fn keyring(&self) -> Keyring {
        let text = registry(&self.authorise, &self.arrive, &self.confirm, &self.exchanges);
        Keyring::from_registry(&Registry::parse(&text, Path::new("/nowhere")).unwrap())
    }

    /// A watch from account 0 that people approve at this time, as intake's log tells it.
    pub(crate) fn grant(&self, of: &Granted, now: Moment) -> Vec<(&'static str, Vec<u8>)> {
        let request = RequestId(Uuid::from_u128(of.watch.0.as_u128() | 1 << 100));
        let root = Target::account(scene::account(0));
        let subject = Subject::Watch { watch: of.watch, root: root.clone() };
        let mut entries = Vec::new();
        let mut references = Vec::new();
        for exchange in self.exchanges.keys() {
            let mut granted = authorisation(request, exchange, subject.clone(), now);
            granted.valid_until = of.until;
            granted.id = AuthorisationId(derived("test", &[&request.to_string(), exchange.as_str()]));
            granted.line = granted.id;
            references.push(intake::AuthorisationRef {
                exchange: exchange.to_string(),
                authorisation_id: granted.id.to_string(),
            });
            entries.push(("authorisation", sign_authorisation(&granted, &self.authorise)));
        }
        let content = intake::request_content::Kind::Watch(intake::Watch {
            root: Some((&root).into()),
            stolen: asset_amounts(&BTreeMap::from([(scene::token(), Amount::from(of.stolen))])),
            limits: Some(intake::WatchLimits {
                max_hops: 10,
                dust: asset_amounts(&BTreeMap::from([(scene::token(), Amount::from(3u64))])),
                max_addresses: 1_000,
                max_questions: 10_000,
                max_degree: 1_000,
            }),
            taint_rule: exchange::TaintRule::from(of.rule).into(),
            ..Default::default()
        });
        let granted = intake::RequestGranted {
            request_id: request.to_string(),
            case: Some((&case()).into()),
            content: Some(intake::RequestContent { kind: Some(content), ..Default::default() }),
            authorisations: references,
            watch_id: of.watch.to_string(),
            granted_at: Some(timestamp(now)),
            watch_until: Some(timestamp(of.until)),
            freeze_until: None,
            watch_not_before: None,
        };
        entries.push(("request-granted", granted.encode_to_vec()));
        entries
    }
}

pub(crate) struct Granted {
    pub(crate) watch: WatchId,
    pub(crate) stolen: u64,
    pub(crate) rule: TaintRule,
    pub(crate) until: Moment,
}

/// Tracking on a database of its own.
pub(crate) struct World {
    pub(crate) db: TestDb,
    pub(crate) node: Arc<Scripted>,
    pub(crate) voice: Arc<Voice>,
    keys: Arc<Keys>,
    seconds: Arc<AtomicI64>,
    pub(crate) reader: Reader,
    pub(crate) depth: u64,
}

impl World {
    /// Reads the scripted node's chain, from what it shows now.
    pub(crate) async fn new(keys: &Arc<Keys>, node: &Arc<Scripted>) -> Self {
        let db = database().await;
        let seconds = Arc::new(AtomicI64::new(1_800_000_000));
        let voice = voice(&db, keys, &seconds).await;
        let reader = Reader::new(
            scene::chain(),
            chain_config(12),
            LabelsConfig::default(),
            Arc::<Scripted>::clone(node),
            Arc::clone(&voice),
        );
        let mut world = Self { db, node: Arc::clone(node), voice, keys: Arc::clone(keys), seconds, reader, depth: 12 };
        world.read().await.unwrap();
        world
    }

    /// Everything is forgotten, so that the database is as if nothing had ever been read; then the reading begins at what
    /// the node shows.
    pub(crate) async fn begin_anew(&mut self) {
        sqlx::query(
            "truncate chain_head, block, authorisation, watch, watch_asset, watch_line, known_account, movement,
                      trail_item, confirmation, question, opening, payment cascade",
        )
        .execute(&self.db.pool)
        .await
        .unwrap();
        self.depth = 12;
        self.restart().await;
        self.read().await.unwrap();
    }

    pub(crate) fn now(&self) -> Moment {
        self.voice.now()
    }

    pub(crate) fn wait(&self, time: time::Duration) {
        self.seconds.fetch_add(time.whole_seconds(), Ordering::Relaxed);
    }

    /// The process is killed and another takes its place: all it has is the database, whose migrations it runs.
    pub(crate) async fn restart(&mut self) {
        crate::MIGRATOR.run(&self.db.pool).await.unwrap();
        self.voice = voice(&self.db, &self.keys, &self.seconds).await;
        let (config, source) = (chain_config(self.depth), Arc::<Scripted>::clone(&self.node));
        self.reader = Reader::new(scene::chain(), config, LabelsConfig::default(), source, Arc::clone(&self.voice));
    }

    /// Reads all that the node shows.
    pub(crate) async fn read(&mut self) -> anyhow::Result<()> {
        self.wait(time::Duration::SECOND);
        let newest = self.node.shown();
        let Some(mut head) = db::chain::head(&self.db.pool, &scene::chain()).await? else {
            return self.reader.begin(newest).await;
        };
        while self.reader.step(head, newest).await? {
            head = db::chain::head(&self.db.pool, &scene::chain()).await?.unwrap();
        }
        Ok(())
    }

    pub(crate) async fn act_on(&self, grant: &[(&'static str, Vec<u8>)]) {
        let intake = Intake { voice: Arc::clone(&self.voice), chains: vec![scene::chain()] };
        let mut tx = self.voice.log.begin().await.unwrap();
        for (kind, payload) in grant {
            intake.act(&mut tx, kind, payload).await.unwrap();
        }
        self.voice.log.commit(tx).await.unwrap();
    }

    /// Questions that were asked of an exchange about an account: leg and identity of the last order.
    async fn asked(&self, exchange: &str, account: &Account) -> Vec<(LegId, Vec<Vec<u8>>)> {
        let rows: Vec<(Uuid, Vec<Vec<u8>>)> = sqlx::query_as(
            "select leg_id, orders from question where exchange = $1 and account = $2 and orders <> '{}' order by leg_id",
        )
        .bind(exchange)
        .bind(account.to_string())
        .fetch_all(&self.db.pool)
        .await
        .unwrap();
        rows.into_iter().map(|(leg, orders)| (LegId(leg), orders)).collect()
    }

    /// An exchange answers all that it was asked about an account.
    pub(crate) async fn answer(&self, exchange: &str, account: u8, answer: ConfirmationAnswer) {
        let name: ExchangeId = exchange.parse().unwrap();
        for (leg, orders) in self.asked(exchange, &scene::account(account)).await {
            let now = self.now();
            let revision = u32::try_from(orders.len()).unwrap().try_into().unwrap();
            let order: [u8; 32] = orders.last().unwrap().as_slice().try_into().unwrap();
            let receipt = Receipt {
                exchange: name.clone(),
                report: LegReport {
                    leg,
                    revision,
                    order_sha256: order,
                    state: LegState::Answered,
                    frozen: None,
                    refusal: None,
                    confirmation: Some(Confirmation {
                        answer,
                        as_of: now,
                        wallets_searched: BTreeSet::from([WalletRole::CustomerDeposit]),
                        wallet_role: (answer == ConfirmationAnswer::Held).then_some(WalletRole::CustomerDeposit),
                    }),
                    holder: None,
                },
                at: now,
            };
            let fact = ReceiptReceived {
                exchange: exchange.to_owned(),
                leg_id: leg.to_string(),
                revision: revision.get(),
                order_sha256: order.to_vec(),
                receipt: sign_receipt(&receipt, &self.keys.exchanges[&name]),
            };
            let answers = Answers { exchange: name.clone(), voice: Arc::clone(&self.voice) };
            let mut tx = self.voice.log.begin().await.unwrap();
            answers.act(&mut tx, "receipt", &fact.encode_to_vec()).await.unwrap();
            self.voice.log.commit(tx).await.unwrap();
        }
    }

    /// What stands of a watch, as it is stored, and where the money is.
    pub(crate) async fn stands(&self, watch: WatchId) -> (Vec<String>, String) {
        let movements: Vec<String> = sqlx::query_scalar(
            "select concat_ws(' ', transaction, index, 'in', block_number, block_hash, position,
                    'hop', hop_depth, hop_traced, hop_provisional, hop_finality, hop_block_hash,
                    case when arrival_state <> 'retracted' then
                        concat_ws(' ', 'arrival', arrival_exchange, arrival_role, arrival_traced, arrival_state) end,
                    'end', end_reason, end_traced)
             from movement where watch_id = $1 and (hop_finality is null or hop_finality <> 'retracted')
               and (hop_finality is not null or end_reason is not null) order by block_number, position",
        )
        .bind(watch.0)
        .fetch_all(&self.db.pool)
        .await
        .unwrap();
        let mut connection = self.db.pool.acquire().await.unwrap();
        let (row, watched) = db::watch::load(&mut connection, watch).await.unwrap().unwrap();
        (movements, format!("{:?} {} {:?}", watched.totals(), row.active_after, watched.followed().collect::<Vec<_>>()))
    }

    pub(crate) async fn active_after(&self, watch: WatchId) -> u64 {
        let number: i64 = sqlx::query_scalar("select active_after from watch where id = $1")
            .bind(watch.0)
            .fetch_one(&self.db.pool)
            .await
            .unwrap();
        u64::try_from(number).unwrap()
    }

    /// How many hops of a watch were retracted and are not back.
    pub(crate) async fn retracted(&self, watch: WatchId) -> i64 {
        sqlx::query_scalar("select count(*) from movement where watch_id = $1 and hop_finality = 'retracted'")
            .bind(watch.0)
            .fetch_one(&self.db.pool)
            .await
            .unwrap()
    }

    /// What stands of what was said, by whoever has only the items of the trail.
    pub(crate) async fn said(&self, watch: WatchId) -> BTreeMap<String, String> {
        let items: Vec<Vec<u8>> = sqlx::query_scalar("select item from trail_item where watch_id = $1 order by number")
            .bind(watch.0)
            .fetch_all(&self.db.pool)
            .await
            .unwrap();
        let mut stands = BTreeMap::new();
        let mut unreached = BTreeSet::new();
        for item in items.iter().filter_map(|item| TrailItem::decode(item.as_slice()).unwrap().item) {
            use haetae_wire::tracking::v1::{ArrivalState, Finality, Hop};
            match item {
                Item::Hop(hop) => {
                    let (key, block) = (format!("hop {}", hop.hop_id), (hop.block_number, hop.block_hash.clone()));
                    let hop = Hop { finality: 0, block_number: 0, block_hash: String::new(), ..hop };
                    stands.insert(key.clone() + " is", format!("{hop:?}"));
                    stands.entry(key).or_insert_with(|| format!("in {block:?}"));
                }
                Item::Finality(changed) => {
                    let key = format!("hop {}", changed.hop_id);
                    match changed.finality() {
                        Finality::Retracted => stands.remove(&key),
                        _ => stands.insert(key, format!("in {:?}", (changed.block_number, changed.block_hash))),
                    };
                }
                Item::Arrived(arrived) => {
                    let arrival = arrived.arrival.clone().unwrap();
                    let key = format!("arrival {}", arrival.arrival_id);
                    match arrived.state() {
                        ArrivalState::Retracted => stands.remove(&key),
                        state => {
                            let now = format!("{} {} {state:?}", arrival.exchange, arrival.traced_amount);
                            let before = stands.insert(key, now.clone());
                            // Who freezes what arrived must not learn by the way that it was something else.
                            let settled = before.filter(|said| said.ends_with("Settled"));
                            assert!(settled.is_none(), "{settled:?} stood when {now} was said");
                            settled
                        }
                    };
                }
                Item::Ended(ended) => {
                    let key = format!("end of {:?} at {} in {}", ended.transfer, ended.account, ended.asset);
                    match ended.retracted {
                        true => stands.remove(&key),
                        false => stands.insert(key, format!("{:?} {}", ended.reason(), ended.traced_amount)),
                    };
                }
                Item::Address(concluded) => {
                    let account = concluded.target.unwrap().account;
                    stands.insert(
                        format!("account {account}"),
                        format!("{:?} {}", concluded.conclusion, concluded.exchange),
                    );
                }
                Item::Waiting(_) => {}
                Item::Reached(reached) => {
                    let account = reached.target.unwrap().account;
                    if reached.reached {
                        unreached.remove(&account)
                    } else {
                        unreached.insert(account)
                    };
                }
            }
        }
        // What a hop is holds as long as the hop is in the chain, and what an address is as long as a hop leads there.
        let hops: BTreeSet<String> = stands.keys().filter(|key| !key.ends_with(" is")).cloned().collect();
        stands.retain(|key, _| key.strip_suffix(" is").is_none_or(|hop| hops.contains(hop)));
        stands.retain(|key, _| key.strip_prefix("account ").is_none_or(|account| !unreached.contains(account)));
        stands
    }

    /// Everything that was said, byte for byte, in the order of the log.
    pub(crate) async fn log(&self) -> Vec<(String, String, Vec<u8>)> {
        sqlx::query_as("select kind, stream, payload from ledger.entry order by id")
            .fetch_all(&self.db.pool)
            .await
            .unwrap()
    }
}

async fn voice(db: &TestDb, keys: &Keys, seconds: &Arc<AtomicI64>) -> Arc<Voice> {
    let key = LogKey::from_pkcs8_pem(&keys.log.to_pkcs8_pem()).unwrap();
    let config = LogConfig { origin: "test/tracking".to_owned(), key, drain: CancellationToken::new() };
    let seconds = Arc::clone(seconds);
    Arc::new(Voice {
        log: Log::open(db.pool.clone(), config, Doorbell::local()).await.unwrap(),
        arrive: copy(&keys.arrive),
        confirm: copy(&keys.confirm),
        keyring: keys.keyring(),
        pace: QuestionsConfig::default().pace(),
        clock: Clock::told(move || Moment::from_unix_timestamp(seconds.load(Ordering::Relaxed)).unwrap()),
    })
}

fn copy(key: &SigningKey) -> SigningKey {
    SigningKey::from_pkcs8_pem(&key.to_pkcs8_pem()).unwrap()
}

fn chain_config(max_reorg_depth: u64) -> ChainConfig {
    let config = serde_json::json!({
        "id": scene::chain().as_str(),
        "nodes": [],
        "confirmations": 2,
        "max_reorg_depth": max_reorg_depth,
    });
    serde_json::from_value(config).unwrap()
}

/// A database with tracking's tables.
pub(crate) async fn database() -> TestDb {
    let mut key = b"tracking".to_vec();
    for migration in haetae_ledger::MIGRATOR.iter().chain(crate::MIGRATOR.iter()) {
        key.extend_from_slice(&migration.checksum);
    }
    TestDb::prepared(&key, async |pool| {
        haetae_ledger::migrate(&pool).await?;
        Ok(crate::MIGRATOR.run(&pool).await?)
    })
    .await
    .unwrap()
}
