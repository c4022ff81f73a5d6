//! The agency's side: keys with purposes, real logs, and orders with everything an exchange checks.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use haetae_core::{
    Account, Act, Amount, Arrival, Asset, Authorisation, AuthorisationId, Budgets, CaseRef, Confidentiality, Desired,
    Document, ExchangeId, FreezeScope, LegId, LegalGround, Moment, Officer, Order, OrderKind, RequestId, Subject,
    TaintRule, Target, TransferId, WalletRole, WatchId, micros,
};
use haetae_ledger::{Doorbell, Expected, Log, LogConfig, NewEntry, Which};
use haetae_seal::checkpoint::LogKey;
use haetae_seal::dsse::{Algorithm, SigningKey};
use haetae_testkit::postgres::TestDb;
use haetae_wire::exchange::v1::SignedOrder;
use haetae_wire::signed::{sign_arrival, sign_authorisation, sign_order};
use time::{Duration, OffsetDateTime};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A service of the agency with its log.
pub(crate) struct Service {
    pub(crate) log: Log,
    _db: TestDb,
}

pub(crate) struct Police {
    pub(crate) authorise: SigningKey,
    pub(crate) arrive: SigningKey,
    pub(crate) freeze: SigningKey,
    pub(crate) confirm: SigningKey,
    pub(crate) freezing: Service,
    pub(crate) tracking: Service,
}

impl Service {
    async fn new(name: &str) -> Self {
        let db = TestDb::migrated(&haetae_ledger::MIGRATOR).await.unwrap();
        let origin = format!("haetae.test/{name}");
        let config = LogConfig { origin, key: LogKey::generate(), drain: CancellationToken::new() };
        let log = Log::open(db.pool.clone(), config, Doorbell::local()).await.unwrap();
        Self { log, _db: db }
    }

    /// Puts an envelope into the log and assembles what travels.
    pub(crate) async fn issue(&self, leg: LegId, envelope: Vec<u8>) -> SignedOrder {
        let entry = NewEntry {
            stream: format!("leg/{leg}"),
            expected: Expected::Any,
            kind: "order-issued",
            subject: format!("leg/{leg}"),
            actor: "service:test".into(),
            audience: Some("upbit".into()),
            payload: envelope.clone(),
            time: now(),
        };
        let mut tx = self.log.begin().await.unwrap();
        let appended = self.log.append(&mut tx, entry).await.unwrap();
        self.log.commit(tx).await.unwrap();
        let sealed = match self.log.proof_of(Which::Id(appended.id)).await.unwrap() {
            Some(sealed) => sealed,
            None => {
                self.log.seal_once().await.unwrap();
                self.log.proof_of(Which::Id(appended.id)).await.unwrap().unwrap()
            }
        };
        SignedOrder {
            envelope,
            opening: sealed.opening,
            inclusion: Some(sealed.inclusion),
            checkpoint: sealed.checkpoint,
        }
    }
}

impl Police {
    pub(crate) async fn new() -> Self {
        let key = || SigningKey::generate(Algorithm::Ed25519);
        Self {
            authorise: key(),
            arrive: key(),
            freeze: SigningKey::generate(Algorithm::EcdsaP256Sha256),
            confirm: key(),
            freezing: Service::new("freeze").await,
            tracking: Service::new("tracking").await,
        }
    }

    /// The registry as the exchange has it.
    pub(crate) fn registry(&self, exchange_key: &SigningKey) -> String {
        let mut text = String::new();
        for (purpose, key) in [
            ("authorise", &self.authorise),
            ("arrive", &self.arrive),
            ("freeze", &self.freeze),
            ("confirm", &self.confirm),
        ] {
            let pem = key.public_key().to_spki_pem();
            text += &format!("[[agency.key]]\npurpose = \"{purpose}\"\npublic_key = '''\n{pem}'''\n");
        }
        for (service, from) in [("freeze", &self.freezing), ("tracking", &self.tracking)] {
            text += &format!("[[agency.log]]\nservice = \"{service}\"\nverifier = \"{}\"\n", from.log.verifier());
        }
        let pem = exchange_key.public_key().to_spki_pem();
        text += &format!(
            "[[exchange]]\nid = \"upbit\"\ndisplay_name = \"Upbit\"\nendpoints = [\"https://localhost:1\"]\n\
             server_name = \"localhost\"\nca = \"ca.crt\"\nconfirm_within = \"2s\"\nfreeze_within = \"2s\"\n\
             chains = [\"eip155:31337\"]\n[[exchange.key]]\npublic_key = '''\n{pem}'''\n"
        );
        text
    }

    /// Signs an order under an authorisation and puts it into the log it belongs into.
    pub(crate) async fn sign(&self, case: &Case, order: &Order) -> SignedOrder {
        let authorisation = sign_authorisation(&case.authorisation(&order.desired), &self.authorise);
        let arrivals: Vec<Vec<u8>> = order.arrivals.iter().map(|arrival| sign_arrival(arrival, &self.arrive)).collect();
        let (key, service) = match order.desired {
            Desired::ConfirmAddress => (&self.confirm, &self.tracking),
            Desired::Frozen { .. } | Desired::Released => (&self.freeze, &self.freezing),
        };
        service.issue(order.leg, sign_order(order, &authorisation, &arrivals, key)).await
    }
}

pub(crate) fn now() -> Moment {
    micros(OffsetDateTime::now_utc())
}

pub(crate) fn exchange() -> ExchangeId {
    "upbit".parse().unwrap()
}

/// One leg's story: an authorisation line and what is ordered under it.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) line: AuthorisationId,
    /// None where the target is named, and its balance is meant.
    pub(crate) watch: Option<WatchId>,
    pub(crate) target: Target,
    pub(crate) asset: Asset,
    /// What the authorisation allows.
    pub(crate) limit: u128,
    pub(crate) freeze_until: Moment,
    /// What arrived at the target under the watch.
    pub(crate) arrivals: Vec<(TransferId, u128)>,
    pub(crate) exchange: ExchangeId,
    /// How much may be asked and ordered under the line.
    pub(crate) budgets: Budgets,
}

impl Case {
    /// A standing freeze, on whatever a watch finds.
    pub(crate) fn standing(target: &Account, asset: &Asset, arrivals: &[(TransferId, u128)]) -> Self {
        let watch = Some(WatchId(Uuid::new_v4()));
        Self { watch, arrivals: arrivals.to_vec(), ..Self::now(target, asset) }
    }

    /// A freeze of what is there and what comes.
    pub(crate) fn now(target: &Account, asset: &Asset) -> Self {
        Self {
            line: AuthorisationId(Uuid::new_v4()),
            watch: None,
            target: Target::account(target.clone()),
            asset: asset.clone(),
            limit: u128::MAX,
            freeze_until: now() + Duration::DAY,
            arrivals: Vec::new(),
            exchange: exchange(),
            budgets: Budgets { max_questions: 10, max_legs_per_hour: 10 },
        }
    }

    /// The same line, about another account.
    pub(crate) fn about(&self, target: &Account) -> Self {
        Self { target: Target::account(target.clone()), ..self.clone() }
    }

    pub(crate) fn leg(&self) -> LegId {
        LegId::of(self.line, &self.exchange, &self.target, Some(&self.asset))
    }

    pub(crate) fn freeze(&self, revision: u32, cap: u128) -> Order {
        let scope = match self.watch {
            Some(_) => FreezeScope::CreditsOfTransactions,
            None => FreezeScope::BalanceAndLaterCredits,
        };
        let desired = Desired::Frozen { cap: Amount::from(cap), until: self.freeze_until, scope };
        Order { arrivals: self.arrived(), ..self.order(revision, desired) }
    }

    pub(crate) fn release(&self, revision: u32) -> Order {
        self.order(revision, Desired::Released)
    }

    pub(crate) fn question(&self, revision: u32) -> Order {
        let leg = LegId::of(self.line, &self.exchange, &self.target, None);
        let hop = self.arrivals.first().map(|(transfer, _)| transfer.clone());
        Order { leg, asset: None, hop, ..self.order(revision, Desired::ConfirmAddress) }
    }

    fn order(&self, revision: u32, desired: Desired) -> Order {
        Order {
            recipient: self.exchange.clone(),
            leg: self.leg(),
            revision: NonZeroU32::new(revision).unwrap(),
            target: self.target.clone(),
            asset: Some(self.asset.clone()),
            desired,
            issued_at: now(),
            expires_at: now() + Duration::MINUTE,
            arrivals: Vec::new(),
            hop: None,
        }
    }

    fn arrived(&self) -> Vec<Arrival> {
        let Some(watch) = self.watch else { return Vec::new() };
        let arrived = self.arrivals.iter().map(|(transfer, amount)| Arrival {
            id: transfer.arrival(watch),
            watch,
            transfer: transfer.clone(),
            target: self.target.clone(),
            exchange: self.exchange.clone(),
            asset: self.asset.clone(),
            amount: Amount::from(*amount),
            traced: Amount::from(*amount),
            rule: TaintRule::TracedFirst,
            block_number: 1,
            block_hash: transfer.chain.hash([0xab; 32].into()),
            seen_at: now(),
            wallet_role: Some(WalletRole::CustomerDeposit),
        });
        arrived.collect()
    }

    fn authorisation(&self, desired: &Desired) -> Authorisation {
        let cancels = *desired == Desired::Released;
        Authorisation {
            id: if cancels { AuthorisationId(Uuid::new_v4()) } else { self.line },
            act: if cancels { Act::Cancel { legs: BTreeSet::new() } } else { Act::Grant },
            line: self.line,
            amendment: if cancels { 2 } else { 1 },
            exchange: self.exchange.clone(),
            request: RequestId(Uuid::new_v4()),
            case: CaseRef { agency: "knp".parse().unwrap(), unit: "cyber-1".parse().unwrap(), number: "2026-1".into() },
            ground: LegalGround {
                basis: "warrant".into(),
                citation: "Criminal Procedure Act, Art. 215".into(),
                document: Some(Document {
                    number: "W-1".into(),
                    issuer: "Seoul Central District Court".into(),
                    issued_at: now() - Duration::DAY,
                    valid_until: now() + Duration::WEEK,
                    sha256: [1; 32],
                }),
                ratify_by: None,
            },
            permitted: BTreeSet::from([OrderKind::ConfirmAddress, OrderKind::Freeze]),
            subject: match self.watch {
                Some(watch) => Subject::Watch { watch, root: self.target.clone() },
                None => Subject::Targets(BTreeSet::from([self.target.clone()])),
            },
            caps: BTreeMap::from([(self.asset.clone(), Amount::from(self.limit))]),
            valid_from: now() - Duration::DAY,
            valid_until: now() + Duration::HOUR,
            freeze_until: Some(self.freeze_until),
            confidentiality: Confidentiality::Open,
            officer: Officer {
                name: "Kim".into(),
                title: "Inspector".into(),
                address: "Seoul".into(),
                email: "kim@police.example".into(),
                phone: "+82-2-0".into(),
            },
            decisions: Vec::new(),
            issued_at: now(),
            budgets: self.budgets,
        }
    }
}
