//! An intake with two units, two exchanges, and the logs it follows.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use haetae_core::{AuthorisationId, LegalRules, Moment, Reason, micros};
use haetae_ledger::{Doorbell, Expected, Follower, Handler, Log, LogConfig, NewEntry};
use haetae_mesh::{Explained, Identity, Peer, Person, Role, config::PeerConfig, explain};
use haetae_seal::{
    checkpoint::LogKey,
    dsse::{Algorithm, SigningKey},
};
use haetae_service::{Operations, Own, StatusApi};
use haetae_testkit::{
    certs::{Ca, Leaf},
    postgres::TestDb,
};
use haetae_wire::{
    convert::timestamp,
    exchange::v1::{AssetAmount, Confidentiality, Document, Officer, Target},
    intake::v1::{self, intake_service_server::IntakeService, request_content::Kind},
    keys::Keyring,
    registry::Registry,
};
use prost::Message;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::{
    api::{Api, Services},
    approval::{Actor, Command},
    commands::{By, Fault, Intake, Said},
    db::{self, Unit},
};

pub(super) const CHAIN: &str = "eip155:31337";
pub(super) const COIN: &str = "eip155:31337/slip44:60";
pub(super) const ADDRESS: &str = "eip155:31337:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
pub(super) const OTHER: &str = "eip155:31337:0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359";

/// Who calls.
pub(super) const JI_WOO: Who = Who { id: "knp-ji-woo", unit: "cyber-1", roles: &["investigator", "approver"] };
pub(super) const MIN_JUN: Who = Who { id: "knp-min-jun", unit: "cyber-1", roles: &["approver"] };
pub(super) const DO_YUN: Who = Who { id: "knp-do-yun", unit: "cyber-1", roles: &["investigator"] };
pub(super) const SEO_YEON: Who = Who { id: "knp-seo-yeon", unit: "cyber-2", roles: &["investigator", "approver"] };
/// She keeps the mesh running.
pub(super) const SU_BIN: Who = Who { id: "knp-su-bin", unit: "operations", roles: &["operator"] };

#[derive(Clone, Copy)]
pub(super) struct Who {
    pub(super) id: &'static str,
    pub(super) unit: &'static str,
    pub(super) roles: &'static [&'static str],
}

impl Who {
    /// A call of this person through the police's system.
    pub(super) fn calls<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(Person {
            id: self.id.to_owned(),
            name: "somebody".to_owned(),
            agency: "knp".to_owned(),
            unit: self.unit.to_owned(),
            roles: self.roles.iter().map(|role| (*role).to_owned()).collect(),
            on_duty: true,
        });
        request.extensions_mut().insert(Identity {
            spiffe: "spiffe://haetae.test/agency/knp-portal".to_owned(),
            role: Some(Role::Agency),
            exchange: None,
            system: Some("knp-portal".to_owned()),
        });
        request
    }
}

pub(super) struct Scene {
    pub(super) api: Api,
    pub(super) intake: Arc<Intake>,
    /// The log of another service, whichever the test makes it, in a database of its own.
    pub(super) other: Log,
    other_key: LogKey,
    cancel: CancellationToken,
    _databases: [TestDb; 2],
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

pub(super) fn rules() -> LegalRules {
    LegalRules::parse(include_str!("../../legal-basis.toml")).unwrap()
}

impl Scene {
    /// Its peers are down.
    pub(super) async fn new() -> Self {
        Self::among(nobody("tracking"), nobody("freeze")).await
    }

    /// Its peers are down, and the law is another.
    pub(super) async fn under(rules: &str) -> Self {
        Self::made(nobody("tracking"), nobody("freeze"), LegalRules::parse(rules).unwrap()).await
    }

    pub(super) async fn among(tracking: Peer, freeze: Peer) -> Self {
        Self::made(tracking, freeze, rules()).await
    }

    async fn made(tracking: Peer, freeze: Peer, rules: LegalRules) -> Self {
        let mut key = b"intake".to_vec();
        for migration in haetae_ledger::MIGRATOR.iter().chain(db::MIGRATOR.iter()) {
            key.extend_from_slice(&migration.checksum);
        }
        let own = TestDb::prepared(&key, async |pool| {
            haetae_ledger::migrate(&pool).await?;
            Ok(db::MIGRATOR.run(&pool).await?)
        });
        let own = own.await.unwrap();
        let theirs =
            TestDb::prepared(b"ledger 2", async |pool| Ok(haetae_ledger::migrate(&pool).await?)).await.unwrap();
        let other_key = LogKey::generate();
        let open = |db: &TestDb, origin: &str, key: LogKey| {
            let config = LogConfig { origin: origin.to_owned(), key, drain: CancellationToken::new() };
            Log::open(db.pool.clone(), config, Doorbell::local())
        };
        let log = open(&own, "haetae.test/intake", LogKey::generate()).await.unwrap();
        let pem = other_key.to_pkcs8_pem();
        let other = open(&theirs, "haetae.test/other", LogKey::from_pkcs8_pem(&pem).unwrap()).await.unwrap();

        let key = SigningKey::generate(Algorithm::Ed25519);
        let registry = registry(&key);
        let intake = Arc::new(Intake { log, rules, keyring: Keyring::from_registry(&registry), registry, key });
        let followers = BTreeSet::from(["intake<-other".to_owned()]);
        let status = StatusApi::new("intake", intake.log.clone(), followers, || async { Ok(Own::default()) });
        let services = Services::new(status, [("tracking".to_owned(), tracking.clone())]);
        let api = Api::new(Arc::clone(&intake), tracking, freeze, services, watch::Sender::new(0));
        Self { api, intake, other, other_key, cancel: CancellationToken::new(), _databases: [own, theirs] }
    }

    pub(super) async fn submit(&self, who: Who, content: v1::RequestContent) -> Result<v1::Request, Status> {
        self.submit_as(&Uuid::new_v4().to_string(), who, content).await
    }

    pub(super) async fn submit_as(
        &self,
        id: &str,
        who: Who,
        content: v1::RequestContent,
    ) -> Result<v1::Request, Status> {
        let message = v1::SubmitRequestRequest { request_id: id.to_owned(), content: Some(content) };
        Ok(self.api.submit_request(who.calls(message)).await?.into_inner().request.unwrap())
    }

    pub(super) async fn approve(&self, who: Who, request: &str) -> Result<v1::Request, Status> {
        let message = v1::ApproveRequestRequest {
            request_id: Uuid::new_v4().to_string(),
            approved_request_id: request.to_owned(),
        };
        Ok(self.api.approve_request(who.calls(message)).await?.into_inner().request.unwrap())
    }

    /// Approved, or not, as if it were another time.
    pub(super) async fn approve_at(&self, who: Who, request: &str, now: Moment) -> Result<(), Reason> {
        let (person, roles) =
            (who.id.parse().unwrap(), who.roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>());
        let by = By { actor: format!("person:{}", who.id), person: who.id.to_owned(), system: "knp-portal".to_owned() };
        let unit = Unit { agency: "knp".parse().unwrap(), unit: who.unit.parse().unwrap() };
        let approve = Command::Approve(Actor { person: &person, roles: &roles });
        let mut tx = self.intake.log.begin().await.unwrap();
        let decided =
            self.intake.decide(&mut tx, &unit, request.parse().unwrap(), approve, Said { by: &by, why: "" }, now);
        match decided.await {
            Ok(_) => {
                self.intake.log.commit(tx).await.unwrap();
                Ok(())
            }
            Err(Fault::Refused(reason)) => Err(reason),
            Err(fault) => panic!("{fault}"),
        }
    }

    /// Submitted by one person and approved by another.
    pub(super) async fn granted(&self, content: v1::RequestContent) -> v1::Request {
        let submitted = self.submit(JI_WOO, content).await.unwrap();
        self.approve(MIN_JUN, &submitted.request_id).await.unwrap()
    }

    pub(super) async fn get(&self, request: &str) -> v1::Request {
        let message = v1::GetRequestRequest { request_id: request.to_owned(), purpose: "test".to_owned() };
        self.api.get_request(JI_WOO.calls(message)).await.unwrap().into_inner().request.unwrap()
    }

    /// Everything that a refusal must leave as it was.
    pub(super) async fn weight(&self) -> Vec<i64> {
        let mut weight = Vec::new();
        for table in ["ledger.entry", "request", "decision", "authorisation", "unit_update", "ledger.request"] {
            let query = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
            weight.push(sqlx::query_scalar(query).fetch_one(self.intake.log.pool()).await.unwrap());
        }
        weight
    }

    /// The entries of a kind in intake's log: audience and payload.
    pub(super) async fn entries(&self, kind: &str) -> Vec<(Option<String>, Vec<u8>)> {
        sqlx::query_as("select audience, payload from ledger.entry where kind = $1 order by id")
            .bind(kind)
            .fetch_all(self.intake.log.pool())
            .await
            .unwrap()
    }

    /// Follows the other log with this handler.
    pub(super) fn follow(&self, handler: impl Handler + 'static) {
        let pool = self.intake.log.pool().clone();
        let verifier = self.other_key.verifier("haetae.test/other").unwrap();
        let follower = Follower::new(pool, "intake<-other", self.other.clone(), verifier, handler)
            .appending_to(self.intake.log.clone());
        tokio::spawn(follower.run(self.cancel.clone()));
    }

    /// Follows what operators have done, as every service does.
    pub(super) fn operate(&self) {
        let log = self.intake.log.clone();
        let (pool, verifier) = (log.pool().clone(), log.verifier().clone());
        let name = "intake<-intake/operations";
        let follower = Follower::new(pool, name, log, verifier, Operations::new("intake", "intake"));
        tokio::spawn(follower.run(self.cancel.clone()));
    }

    /// Has the other service say something.
    pub(super) async fn says(&self, kind: &'static str, payload: &impl Message) {
        let mut tx = self.other.begin().await.unwrap();
        let entry = NewEntry {
            stream: format!("any/{}", Uuid::new_v4()),
            expected: Expected::Version(0),
            kind,
            subject: "any".to_owned(),
            actor: "service:other".to_owned(),
            audience: None,
            payload: payload.encode_to_vec(),
            time: micros(Moment::now_utc()),
        };
        self.other.append(&mut tx, entry).await.unwrap();
        self.other.commit(tx).await.unwrap();
        self.other.seal_once().await.unwrap();
    }

    /// Freeze has told of some leg of this request.
    pub(super) async fn told_of_leg(&self, request: &str) -> String {
        let leg = Uuid::new_v4().to_string();
        self.leg(request, &leg).await;
        leg
    }

    /// Freeze has told of this leg.
    pub(super) async fn leg(&self, request: &str, leg: &str) {
        let mut connection = self.intake.log.pool().acquire().await.unwrap();
        let (leg, request) = (leg.parse().unwrap(), request.parse().unwrap());
        db::outcome::put_leg(&mut connection, leg, request, false).await.unwrap();
    }

    /// Waits until a request is in a state.
    pub(super) async fn until(&self, request: &str, state: v1::RequestState) -> v1::Request {
        let wait = async {
            loop {
                let found = self.get(request).await;
                if found.state() == state {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let Ok(found) = tokio::time::timeout(Duration::from_secs(10), wait).await else {
            panic!("not {state:?} but {:?}", self.get(request).await.state());
        };
        found
    }
}

/// Exchanges on two chains.
pub(super) fn registry(key: &SigningKey) -> Registry {
    let mut text = format!(
        "[agency]\n[[agency.key]]\npurpose = \"authorise\"\npublic_key = '''\n{}'''\n",
        key.public_key().to_spki_pem()
    );
    for (exchange, chain) in [("bithumb", CHAIN), ("korbit", "eip155:1"), ("upbit", CHAIN)] {
        let key = SigningKey::generate(Algorithm::Ed25519).public_key().to_spki_pem();
        text += &format!(
            "[[exchange]]\nid = \"{exchange}\"\ndisplay_name = \"{exchange}\"\nendpoints = [\"https://{exchange}.test\"]\n\
             server_name = \"{exchange}.test\"\nca = \"ca.pem\"\nconfirm_within = \"500ms\"\nfreeze_within = \"2s\"\n\
             chains = [\"{chain}\"]\nhotline = {{ name = \"desk\", phone = \"+82\" }}\n[[exchange.key]]\npublic_key = '''\n{key}'''\n"
        );
    }
    Registry::parse(&text, Path::new("/")).unwrap()
}

/// A peer that is down.
fn nobody(name: &str) -> Peer {
    let folder = tempfile::tempdir().unwrap();
    Ca::new("test").unwrap().issue(&Leaf::default()).unwrap().write_to(folder.path()).unwrap();
    let at = |file: &str| folder.path().join(file);
    let config: PeerConfig = toml::from_str(&format!(
        "endpoints = [\"https://127.0.0.1:1\"]\n[tls]\ncert = {:?}\nkey = {:?}\nca = {:?}\n",
        at("tls.crt"),
        at("tls.key"),
        at("ca.crt")
    ))
    .unwrap();
    Peer::connect(name, &config).unwrap()
}

/// Why a call was refused, and which fields were at fault, each with its reason.
pub(super) fn faults(status: &Status) -> (Explained, BTreeSet<(String, String)>) {
    let explained = explain(status);
    let fields =
        explained.violations.iter().map(|violation| (violation.field.clone(), violation.reason.clone())).collect();
    (explained, fields)
}

/// Waits for a condition.
pub(super) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(), "never: {what}");
}

pub(super) fn refused_as(status: &Status) -> String {
    explain(status).reason.unwrap_or_default()
}

pub(super) fn target(account: &str) -> Option<Target> {
    Some(Target { account: account.to_owned(), memo: String::new() })
}

pub(super) fn amount(asset: &str, amount: &str) -> AssetAmount {
    AssetAmount { asset: asset.to_owned(), amount: amount.to_owned() }
}

pub(super) fn days(days: u64) -> Option<prost_types::Duration> {
    Some(haetae_wire::convert::duration(Duration::from_secs(days * 86_400)))
}

pub(super) fn under(basis: &str, kind: Kind) -> v1::RequestContent {
    let now = Moment::now_utc();
    v1::RequestContent {
        case_number: "2026-cyber-00412".to_owned(),
        legal_basis: basis.to_owned(),
        document: Some(Document {
            number: "2026-1".to_owned(),
            issuer: "Seoul Central District Court".to_owned(),
            issued_at: Some(timestamp(now - time::Duration::HOUR)),
            valid_until: Some(timestamp(now + time::Duration::days(7))),
            sha256: vec![7; 32],
        }),
        officer: Some(Officer {
            name: "김지우".to_owned(),
            title: "Inspector".to_owned(),
            address: "Seoul".to_owned(),
            email: "ji-woo@police.test".to_owned(),
            phone: "+82-2-1".to_owned(),
        }),
        confidentiality: Some(Confidentiality { customer_may_be_told: true, ..Confidentiality::default() }),
        summary: "Coins were taken from a private wallet.".to_owned(),
        exchanges: Vec::new(),
        kind: Some(kind),
    }
}

pub(super) fn confirm() -> v1::RequestContent {
    under("warrant", Kind::ConfirmAddress(v1::ConfirmAddress { target: target(ADDRESS) }))
}

pub(super) fn watch_terms() -> v1::Watch {
    v1::Watch {
        root: target(ADDRESS),
        stolen: vec![amount(COIN, "1000")],
        period: days(6),
        limits: None,
        standing_freeze: Some(v1::StandingFreezeTerms {
            caps: vec![amount(COIN, "900")],
            freeze_period: days(30),
            ..v1::StandingFreezeTerms::default()
        }),
        taint_rule: 0,
        start: None,
    }
}

pub(super) fn watch() -> v1::RequestContent {
    under("warrant", Kind::Watch(watch_terms()))
}

pub(super) fn freeze_terms() -> v1::Freeze {
    v1::Freeze {
        targets: vec![target(ADDRESS).unwrap(), target(OTHER).unwrap()],
        caps: vec![amount(COIN, "500")],
        freeze_period: days(10),
    }
}

pub(super) fn freeze() -> v1::RequestContent {
    v1::RequestContent { exchanges: vec!["upbit".to_owned()], ..under("warrant", Kind::Freeze(freeze_terms())) }
}

pub(super) fn release(frozen_by: &str, legs: &[String]) -> v1::RequestContent {
    let release = v1::Release { frozen_by_request_id: frozen_by.to_owned(), leg_ids: legs.to_vec() };
    v1::RequestContent { document: None, ..under("warrant", Kind::Release(release)) }
}

pub(super) fn end_watch(watch: &str) -> v1::RequestContent {
    let end = Kind::EndWatch(v1::EndWatch { watch_id: watch.to_owned() });
    v1::RequestContent { document: None, ..under("warrant", end) }
}

pub(super) fn halt_scope(exchange: &str) -> Option<v1::HaltScope> {
    Some(v1::HaltScope { scope: Some(v1::halt_scope::Scope::Exchange(exchange.to_owned())) })
}

/// An id that no authorisation has.
pub(super) fn some_line() -> AuthorisationId {
    AuthorisationId(Uuid::from_u128(7))
}
