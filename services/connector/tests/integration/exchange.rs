//! An exchange that takes orders in and answers them, or does what it is told to do instead.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use haetae_core::{
    Confirmation, ConfirmationAnswer, Desired, Event, EventContent, LegId, LegReport, LegState, Moment, Receipt,
    WalletRole, micros,
};
use haetae_mesh::Server;
use haetae_mesh::config::{IdPattern, ServerConfig};
use haetae_seal::dsse::SigningKey;
use haetae_wire::exchange::v1::exchange_service_server::{ExchangeService, ExchangeServiceServer};
use haetae_wire::exchange::v1::{
    DescribeRequest, DescribeResponse, FollowRequest, FollowResponse, GetOrderRequest, GetOrderResponse, SignedEvent,
    SignedOrder, SignedReceipt, SubmitRequest, SubmitResponse,
};
use haetae_wire::keys::Keyring;
use haetae_wire::signed::{OpenedOrder, open_signed_order, order_identity, sign_event, sign_receipt};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::police::{bithumb, upbit};

/// How the exchange meets a call about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As the contract says.
    Answers,
    /// Takes the order in and never answers.
    Silent,
    /// Says that it cannot now, and takes nothing in.
    Unavailable,
    /// Takes the order in and says something else.
    Lies(Lie),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Signed by somebody else.
    WrongKey,
    /// About another leg.
    OtherLeg,
    /// In the name of another exchange.
    OtherExchange,
    /// About other bytes than were sent.
    OtherBytes,
}

/// An order as it came in.
pub(crate) struct Submitted {
    pub(crate) order: SignedOrder,
    pub(crate) opened: OpenedOrder,
    pub(crate) at: Instant,
}

/// One entry of the exchange's log; its number need not be the next.
struct Logged {
    sequence: u64,
    envelope: Vec<u8>,
}

pub(crate) struct Book {
    pub(crate) mood: Mood,
    pub(crate) submitted: Vec<Submitted>,
    /// Legs that were asked about.
    pub(crate) asked: Vec<LegId>,
    /// Orders that cannot be taken in.
    pub(crate) refused: usize,
    /// How often the log was asked for.
    pub(crate) follows: usize,
    /// Receipts by the order they answer.
    pub(crate) receipts: BTreeMap<[u8; 32], Vec<u8>>,
    /// What `GetOrder` says.
    views: BTreeMap<LegId, (NonZeroU32, Vec<u8>)>,
    log_id: String,
    epoch: u64,
    events: Vec<Logged>,
    key: SigningKey,
    forger: SigningKey,
    keys: Keyring,
}

/// The exchange, running.
pub(crate) struct Exchange {
    book: Arc<Mutex<Book>>,
    changed: watch::Sender<()>,
    pub(crate) address: SocketAddr,
    _server: AbortOnDropHandle<()>,
}

pub(crate) fn now() -> Moment {
    micros(Moment::now_utc())
}

impl Exchange {
    /// Serves the contract with the certificate in `folder` to the connector.
    pub(crate) async fn start(folder: &Path, keys: Keyring, key: SigningKey, forger: SigningKey) -> Self {
        let book = Arc::new(Mutex::new(Book {
            mood: Mood::Answers,
            submitted: Vec::new(),
            asked: Vec::new(),
            refused: 0,
            follows: 0,
            receipts: BTreeMap::new(),
            views: BTreeMap::new(),
            log_id: "a".into(),
            epoch: 1,
            events: Vec::new(),
            key,
            forger,
            keys,
        }));
        let changed = watch::Sender::new(());
        let tls = folder.join("exchange");
        let config: ServerConfig = serde_json::from_value(json!({
            "listen": "127.0.0.1:0",
            "probe_listen": "127.0.0.1:0",
            "tls": {"cert": tls.join("tls.crt"), "key": tls.join("tls.key"), "client_ca": tls.join("ca.crt")},
        }))
        .unwrap();
        let callers: Vec<IdPattern> = vec!["spiffe://upbit.test/connector".parse().unwrap()];
        let service = Service { book: Arc::clone(&book), changed: changed.clone() };
        let server = Server::new("exchange", &config).add_public(ExchangeServiceServer::new(service), callers);
        let listening = server.listen().await.unwrap();
        let address = listening.local_addr().unwrap();
        let serving = async move { listening.run(CancellationToken::new()).await.unwrap() };
        Self { book, changed, address, _server: AbortOnDropHandle::new(tokio::spawn(serving)) }
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    pub(crate) fn feels(&self, mood: Mood) {
        self.book().mood = mood;
    }

    /// How often orders of a leg came in.
    pub(crate) fn attempts_at(&self, leg: LegId) -> usize {
        self.book().submitted.iter().filter(|submitted| submitted.opened.order.leg == leg).count()
    }

    /// Writes the event with this number into the log; the answer is its envelope.
    pub(crate) fn logs(&self, sequence: u64) -> Vec<u8> {
        let envelope = self.book().event(sequence, false);
        self.write(sequence, envelope)
    }

    /// Writes one that somebody else has signed.
    pub(crate) fn logs_forgery(&self, sequence: u64) -> Vec<u8> {
        let envelope = self.book().event(sequence, true);
        self.write(sequence, envelope)
    }

    fn write(&self, sequence: u64, envelope: Vec<u8>) -> Vec<u8> {
        let mut book = self.book();
        book.events.retain(|logged| logged.sequence != sequence);
        book.events.push(Logged { sequence, envelope: envelope.clone() });
        book.events.sort_by_key(|logged| logged.sequence);
        drop(book);
        self.changed.send_replace(());
        envelope
    }

    /// Loses its log and begins another.
    pub(crate) fn begins_anew(&self, log_id: &str, epoch: u64) {
        let mut book = self.book();
        book.events.clear();
        (book.log_id, book.epoch) = (log_id.into(), epoch);
        drop(book);
        self.changed.send_replace(());
    }
}

impl Book {
    /// The keys that the exchange believes.
    pub(crate) fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// Takes an order in as if it had come some other way; the answer is its receipt.
    pub(crate) fn takes_in(&mut self, envelope: &[u8], opened: &OpenedOrder) -> Vec<u8> {
        let identity = order_identity(envelope);
        let order = &opened.order;
        let report = report(order.leg, order.revision, identity, order.desired == Desired::ConfirmAddress);
        let receipt = Receipt { exchange: upbit(), report, at: now() };
        let key = &self.key;
        let receipt = self.receipts.entry(identity).or_insert_with(|| sign_receipt(&receipt, key)).clone();
        let highest = self.views.get(&order.leg).is_none_or(|(seen, _)| *seen <= order.revision);
        if highest {
            self.views.insert(order.leg, (order.revision, receipt.clone()));
        }
        receipt
    }

    fn lie(&self, lie: Lie, opened: &OpenedOrder) -> Vec<u8> {
        let order = &opened.order;
        let asked = order.desired == Desired::ConfirmAddress;
        let mut receipt =
            Receipt { exchange: upbit(), report: report(order.leg, order.revision, opened.identity, asked), at: now() };
        let mut key = &self.key;
        match lie {
            Lie::WrongKey => key = &self.forger,
            Lie::OtherLeg => receipt.report.leg = LegId(Uuid::new_v4()),
            Lie::OtherExchange => receipt.exchange = bithumb(),
            Lie::OtherBytes => receipt.report.order_sha256 = [1; 32],
        }
        sign_receipt(&receipt, key)
    }

    fn event(&self, sequence: u64, forged: bool) -> Vec<u8> {
        let content = EventContent::Report(report(LegId(Uuid::new_v4()), NonZeroU32::MIN, [2; 32], false));
        let event =
            Event { exchange: upbit(), log_id: self.log_id.clone(), epoch: self.epoch, sequence, at: now(), content };
        sign_event(&event, if forged { &self.forger } else { &self.key })
    }
}

fn report(leg: LegId, revision: NonZeroU32, order_sha256: [u8; 32], asked: bool) -> LegReport {
    LegReport {
        leg,
        revision,
        order_sha256,
        state: if asked { LegState::Answered } else { LegState::Accepted },
        frozen: None,
        refusal: None,
        confirmation: asked.then(|| Confirmation {
            answer: ConfirmationAnswer::NotHeld,
            as_of: now(),
            wallets_searched: BTreeSet::from([WalletRole::CustomerDeposit]),
            wallet_role: None,
        }),
        holder: None,
    }
}

struct Service {
    book: Arc<Mutex<Book>>,
    changed: watch::Sender<()>,
}

impl Service {
    fn take_in(&self, order: SignedOrder) -> Result<Option<Vec<u8>>, Status> {
        let mut book = self.book.lock().unwrap();
        let opened = open_signed_order(&order, &book.keys, &upbit(), now(), time::Duration::seconds(30));
        let opened = opened.map_err(|fault| {
            book.refused += 1;
            Status::invalid_argument(fault.to_string())
        })?;
        let envelope = order.envelope.clone();
        let identified = OpenedOrder { identity: opened.identity, ..opened.clone() };
        book.submitted.push(Submitted { order, opened, at: Instant::now() });
        if book.mood == Mood::Unavailable {
            return Err(Status::unavailable("told to be"));
        }
        let receipt = book.takes_in(&envelope, &identified);
        Ok(match book.mood {
            Mood::Silent => None,
            Mood::Lies(lie) => Some(book.lie(lie, &identified)),
            Mood::Answers | Mood::Unavailable => Some(receipt),
        })
    }
}

#[tonic::async_trait]
impl ExchangeService for Service {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        match self.take_in(request.into_inner().order.unwrap())? {
            Some(envelope) => Ok(Response::new(SubmitResponse { receipt: Some(SignedReceipt { envelope }) })),
            None => {
                tokio::time::sleep(Duration::from_secs(3_600)).await;
                Err(Status::deadline_exceeded("far beyond the caller's deadline"))
            }
        }
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        let leg: LegId = request.into_inner().leg_id.parse().unwrap();
        let mut book = self.book.lock().unwrap();
        book.asked.push(leg);
        let receipt = book.views.get(&leg).map(|(_, envelope)| SignedReceipt { envelope: envelope.clone() });
        Ok(Response::new(GetOrderResponse { receipt }))
    }

    type FollowStream = BoxStream<'static, Result<FollowResponse, Status>>;

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let request = request.into_inner();
        let changes = self.changed.subscribe();
        let (log, after) = {
            let mut book = self.book.lock().unwrap();
            book.follows += 1;
            let log = (book.log_id.clone(), book.epoch);
            let known = (request.log_id, request.epoch) == log;
            (log, if known { request.after_sequence } else { 0 })
        };
        let book = Arc::clone(&self.book);
        let events = futures::stream::unfold((after, changes), move |(after, mut changes)| {
            let (book, log) = (Arc::clone(&book), log.clone());
            async move {
                loop {
                    let next = {
                        let book = book.lock().unwrap();
                        if (&book.log_id, book.epoch) != (&log.0, log.1) {
                            return None;
                        }
                        let next = book.events.iter().find(|logged| logged.sequence > after);
                        next.map(|logged| (logged.sequence, logged.envelope.clone()))
                    };
                    if let Some((sequence, envelope)) = next {
                        let message = FollowResponse { event: Some(SignedEvent { envelope }) };
                        return Some((Ok(message), (sequence, changes)));
                    }
                    changes.changed().await.ok()?;
                }
            }
        });
        Ok(Response::new(events.boxed()))
    }
}
