//! Delivering orders, and saying so when a question is not answered in its time.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use anyhow::Context;
use haetae_core::{LegId, Moment, micros};
use haetae_ledger::Log;
use haetae_mesh::{Peer, telemetry};
use haetae_wire::{
    exchange::v1::{
        GetOrderRequest, SignedOrder, SignedReceipt, SubmitRequest, exchange_service_client::ExchangeServiceClient,
    },
    keys::Keyring,
    signed::{OrderRef, open_receipt, order_identity},
};
use opentelemetry::metrics::{Counter, Histogram};
use prost::Message;
use rand::Rng;
use sqlx::postgres::PgListener;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::Instrument;

use crate::{
    circuit::Circuit,
    config::Config,
    db::{self, Due},
    delivery::{Attempt, attempt, wait},
    facts,
};

/// How often the queue is looked at when nothing says that it grew.
const POLL: Duration = Duration::from_millis(200);

/// How long a claim outlasts its attempt, so that nobody else sends while the answer is being stored.
const CLAIM_SLACK: Duration = Duration::from_secs(1);

/// Everything a delivery needs.
pub(crate) struct Deliverer {
    config: Config,
    keyring: Arc<Keyring>,
    log: Log,
    exchange: ExchangeServiceClient<Peer>,
    confirm_within: Duration,
    circuit: watch::Sender<Circuit>,
    attempts: Counter<u64>,
    duration: Histogram<f64>,
}

/// What one attempt came to.
enum Outcome {
    /// The exchange answered, validly or not.
    Answered,
    /// No answer.
    Failed,
}

impl Deliverer {
    /// A deliverer over the line to the exchange.
    pub(crate) fn new(config: Config, keyring: Arc<Keyring>, log: Log, peer: Peer, confirm_within: Duration) -> Self {
        let meter = opentelemetry::global::meter("haetae");
        Self {
            config,
            keyring,
            log,
            exchange: ExchangeServiceClient::new(peer),
            confirm_within,
            circuit: watch::Sender::new(Circuit::CLOSED),
            attempts: meter.u64_counter("haetae.delivery.attempts").build(),
            duration: meter.f64_histogram("haetae.delivery.duration").with_unit("s").build(),
        }
    }

    /// The circuit as it stands, now and later.
    pub(crate) fn circuit(&self) -> watch::Receiver<Circuit> {
        self.circuit.subscribe()
    }

    /// Delivers until cancelled; attempts under way are finished.
    pub(crate) async fn run(self: Arc<Self>, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut listener = self.listen().await;
        let room = Arc::new(Semaphore::new(self.config.max_in_flight));
        let mut attempts = JoinSet::new();
        let pause = Duration::from_secs(1) / self.config.max_per_second;
        let mut last_claim = Instant::now();
        while !cancel.is_cancelled() {
            match self.claim(&room).await {
                Ok(due) if !due.is_empty() => {
                    last_claim = Instant::now() + pause * u32::try_from(due.len()).unwrap_or(u32::MAX);
                    for order in due {
                        let (this, room) = (Arc::clone(&self), Arc::clone(&room));
                        let permit = room.acquire_owned().await.context("the semaphore is never closed")?;
                        attempts.spawn(async move {
                            this.deliver(order).await;
                            drop(permit);
                        });
                    }
                }
                Ok(_) => {
                    cancel.run_until_cancelled(self.rest(&mut listener)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the queue cannot be read");
                    cancel.run_until_cancelled(tokio::time::sleep(POLL)).await;
                }
            }
            while attempts.try_join_next().is_some() {}
            cancel.run_until_cancelled(tokio::time::sleep_until(last_claim)).await;
        }
        while attempts.join_next().await.is_some() {}
        Ok(())
    }

    /// Hears when a transaction that queued an order commits. Without it, orders wait for the poll.
    async fn listen(&self) -> Option<PgListener> {
        let mut listener = PgListener::connect_with(self.log.pool()).await.ok()?;
        listener.listen(db::DUE).await.ok()?;
        Some(listener)
    }

    /// Until something is due: woken, or at the next poll.
    async fn rest(&self, listener: &mut Option<PgListener>) {
        match listener {
            Some(hearing) => {
                if let Ok(Err(_)) = timeout(POLL, hearing.recv()).await {
                    *listener = None;
                }
            }
            None => {
                tokio::time::sleep(POLL).await;
                *listener = self.listen().await;
            }
        }
    }

    async fn claim(&self, room: &Semaphore) -> sqlx::Result<Vec<Due>> {
        let now = micros(Moment::now_utc());
        let limit = self.circuit.borrow().allows(now, room.available_permits());
        let Ok(limit @ 1..) = i64::try_from(limit) else { return Ok(Vec::new()) };
        db::claim(self.log.pool(), now, now + self.config.attempt() + CLAIM_SLACK, limit).await
    }

    async fn deliver(&self, due: Due) {
        let span = tracing::info_span!("deliver", exchange = %self.config.exchange, attempt = due.attempts);
        telemetry::continue_from(&span, &due.traceparent);
        async {
            let started = Instant::now();
            let outcome = self.attempt(&due).await;
            let (name, settled) = match &outcome {
                Ok(Outcome::Answered) => ("answered", true),
                Ok(Outcome::Failed) => ("failed", false),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "an answer could not be stored");
                    ("not_stored", false)
                }
            };
            let labels = [
                opentelemetry::KeyValue::new("exchange", self.config.exchange.to_string()),
                opentelemetry::KeyValue::new("outcome", name),
            ];
            self.attempts.add(1, &labels);
            self.duration.record(started.elapsed().as_secs_f64(), &labels);
            if !settled {
                self.postpone(&due).await;
            }
        }
        .instrument(span)
        .await;
    }

    async fn attempt(&self, due: &Due) -> anyhow::Result<Outcome> {
        let now = micros(Moment::now_utc());
        let leg = LegId(due.leg_id);
        let answered = match attempt(due.expires_at, now, self.config.clock_tolerance()) {
            Attempt::Submit => self.submit(due).await.map(|receipt| receipt.map(Some)),
            Attempt::Reconcile => self.reconcile(leg).await.map(Ok),
        };
        let receipt = match answered {
            Ok(Ok(receipt)) => receipt,
            Ok(Err(unusable)) => return Err(unusable),
            Err(status) => {
                self.failed(&status);
                return Ok(Outcome::Failed);
            }
        };
        self.answers_again().await?;
        match receipt {
            Some(receipt) => self.store(due, receipt).await,
            None => {
                let revision = u32::try_from(due.revision)?;
                let mut tx = self.log.begin().await?;
                if db::settle(&mut tx, &due.order_sha256, "undelivered").await? {
                    self.log.append(&mut tx, facts::undelivered(&self.config.exchange, leg, revision, now)).await?;
                }
                self.log.commit(tx).await?;
                Ok(Outcome::Answered)
            }
        }
    }

    /// The bytes in the queue are ours: that they cannot be read is a fault of ours, and no attempt.
    async fn submit(&self, due: &Due) -> Result<anyhow::Result<SignedReceipt>, Status> {
        let order = match SignedOrder::decode(&*due.signed_order) {
            Ok(order) => order,
            Err(error) => return Ok(Err(error.into())),
        };
        let mut request = tonic::Request::new(SubmitRequest { order: Some(order) });
        request.set_timeout(self.config.attempt());
        let answer = self.exchange.clone().submit(request).await?.into_inner();
        answer.receipt.map(Ok).ok_or_else(|| Status::data_loss("an answer without a receipt"))
    }

    async fn reconcile(&self, leg: LegId) -> Result<Option<SignedReceipt>, Status> {
        let mut request = tonic::Request::new(GetOrderRequest { leg_id: leg.to_string() });
        request.set_timeout(self.config.attempt());
        Ok(self.exchange.clone().get_order(request).await?.into_inner().receipt)
    }

    /// Stores what the exchange said, if it said it: signed, of this exchange, for this order. Else the fact is that it
    /// did not, and the order stays due.
    async fn store(&self, due: &Due, receipt: SignedReceipt) -> anyhow::Result<Outcome> {
        let now = micros(Moment::now_utc());
        let (exchange, leg, revision) = (&self.config.exchange, LegId(due.leg_id), u32::try_from(due.revision)?);
        let order = OrderRef {
            leg,
            revision: NonZeroU32::new(revision).context("revisions begin with 1")?,
            order_sha256: due.order_sha256.as_slice().try_into()?,
        };
        let opened = open_receipt(&receipt.envelope, &self.keyring, exchange, Some(&order));
        let mut tx = self.log.begin().await?;
        let outcome = match opened {
            Ok(_) => {
                if db::settle(&mut tx, &due.order_sha256, "answered").await? {
                    let fact = facts::receipt(exchange, leg, revision, &due.order_sha256, receipt.envelope, now);
                    self.log.append(&mut tx, fact).await?;
                }
                Outcome::Answered
            }
            Err(fault) => {
                let bytes = order_identity(&receipt.envelope);
                let fact = facts::invalid_statement(exchange, Some((leg, revision)), fault.name(), bytes, now);
                self.log.append(&mut tx, fact).await?;
                Outcome::Failed
            }
        };
        db::answered_at(&mut tx, now).await?;
        self.log.commit(tx).await?;
        Ok(outcome)
    }

    async fn postpone(&self, due: &Due) {
        let now = micros(Moment::now_utc());
        let failures = u32::try_from(due.attempts).unwrap_or(u32::MAX);
        let next = now + wait(self.config.pace(), failures, rand::rng().random());
        // If this fails too, the claim runs out by itself.
        if let Err(error) = db::postpone(self.log.pool(), &due.order_sha256, next).await {
            tracing::warn!(%error, "an order could not be postponed");
        }
    }

    fn failed(&self, status: &Status) {
        tracing::info!(code = status.code().description(), "no answer");
        // An exchange that says what is wrong with a call is there; so is one that throttles.
        let absent =
            !matches!(status.code(), Code::InvalidArgument | Code::ResourceExhausted | Code::FailedPrecondition);
        if absent {
            let now = micros(Moment::now_utc());
            self.circuit.send_modify(|circuit| *circuit = circuit.failed(now, self.config.threshold()));
        }
    }

    /// After an outage everything that waits is sent at once, as fast as the rate allows.
    async fn answers_again(&self) -> sqlx::Result<()> {
        let was_open = self.circuit.send_replace(Circuit::CLOSED) != Circuit::CLOSED;
        if was_open {
            db::hurry(self.log.pool(), micros(Moment::now_utc())).await?;
        }
        Ok(())
    }

    /// Says in the log, once each, which questions the exchange has not answered within the time it declares.
    pub(crate) async fn run_lateness(self: Arc<Self>, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(POLL);
        while cancel.run_until_cancelled(tick.tick()).await.is_some() {
            if let Err(error) = self.say_unavailable().await {
                tracing::warn!(error = format!("{error:#}"), "overdue questions could not be noted");
            }
        }
        Ok(())
    }

    async fn say_unavailable(&self) -> anyhow::Result<()> {
        let now = micros(Moment::now_utc());
        let mut tx = self.log.begin().await?;
        let overdue = db::overdue_questions(&mut tx, now - self.confirm_within, now).await?;
        if overdue.is_empty() {
            return Ok(());
        }
        let entries = overdue
            .into_iter()
            .map(|(leg, revision, since)| {
                let revision = u32::try_from(revision)?;
                Ok(facts::unavailable(&self.config.exchange, LegId(leg), revision, since, now))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        self.log.append_all(&mut tx, entries).await?;
        self.log.commit(tx).await?;
        Ok(())
    }
}
