//! Delivering orders: whose turn it is, one attempt at it, and what its answer leaves in the log.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use haetae_core::{LegId, Moment, micros};
use haetae_ledger::Log;
use haetae_mesh::{Peer, telemetry};
use haetae_wire::{
    exchange::v1::{
        GetOrderRequest, SignedOrder, SignedReceipt, SubmitRequest, exchange_service_client::ExchangeServiceClient,
    },
    keys::Keyring,
    signed::{OrderRef, StatementFault, open_receipt, order_identity},
};
use prost::Message;
use rand::Rng;
use sqlx::postgres::PgListener;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::Instrument;

use crate::{
    circuit::Circuit,
    config::Config,
    db::{self, Due},
    delivery::{Attempt, Settled, attempt, reconcile, wait},
    facts,
    metrics::METRICS,
};

/// How often the queue is looked at while nothing says that it grew, because the database cannot say so now.
const DEAF: Duration = Duration::from_millis(200);

/// How often it is looked at while the database would say so, in case it did not.
const HEARING: Duration = Duration::from_secs(1);

/// The rate is kept in steps: what is urgent waits no longer than one behind what was just sent.
const STEPS_PER_SECOND: usize = 10;

/// How long a claim outlasts its attempt, so that nobody else sends while the answer is being stored.
const CLAIM_SLACK: Duration = Duration::from_secs(1);

/// Everything a delivery needs.
pub(crate) struct Deliverer {
    config: Config,
    keyring: Arc<Keyring>,
    log: Log,
    exchange: ExchangeServiceClient<Peer>,
    circuit: watch::Sender<Circuit>,
}

/// What one attempt came to.
enum Outcome {
    /// The exchange's answer is stored: the order is settled.
    Settled,
    /// No answer, or one that does not verify: the order stays due.
    Open,
}

/// What the exchange said.
enum Answer {
    /// This is the receipt of the order.
    Receipt(SignedReceipt),
    /// This is how the leg stands; none where it was never seen.
    View(Option<SignedReceipt>),
}

impl Deliverer {
    /// A deliverer over the line to the exchange.
    pub(crate) fn new(config: Config, keyring: Arc<Keyring>, log: Log, peer: Peer) -> Self {
        Self {
            config,
            keyring,
            log,
            exchange: ExchangeServiceClient::new(peer),
            circuit: watch::Sender::new(Circuit::CLOSED),
        }
    }

    /// The circuit as it stands, now and later.
    pub(crate) fn circuit(&self) -> watch::Receiver<Circuit> {
        self.circuit.subscribe()
    }

    /// Delivers until cancelled; attempts under way are finished.
    pub(crate) async fn run(self: Arc<Self>, cancel: CancellationToken) -> anyhow::Result<()> {
        let heard = Heard::default();
        tokio::join!(
            cancel.run_until_cancelled(self.hear(&heard)),
            Arc::clone(&self).send_what_is_due(&heard, &cancel)
        );
        Ok(())
    }

    async fn send_what_is_due(self: Arc<Self>, heard: &Heard, cancel: &CancellationToken) {
        let mut under_way = JoinSet::new();
        while !cancel.is_cancelled() {
            while under_way.try_join_next().is_some() {}
            let room = self.config.max_in_flight.saturating_sub(under_way.len());
            match self.claim(room).await {
                Ok(due) if !due.is_empty() => {
                    let pause = Duration::from_secs(1) / self.config.max_per_second;
                    let next = Instant::now() + pause.saturating_mul(u32::try_from(due.len()).unwrap_or(u32::MAX));
                    for order in due {
                        under_way.spawn(Arc::clone(&self).deliver(order));
                    }
                    cancel.run_until_cancelled(tokio::time::sleep_until(next)).await;
                }
                Ok(_) => {
                    self.close_if_idle().await;
                    let rest = self.rest(heard.hearing.load(Ordering::Relaxed)).await;
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = heard.wake.notified() => {}
                        // It may have made room, set its order aside for less than the rest, or closed the circuit.
                        Some(_) = under_way.join_next() => {}
                        () = tokio::time::sleep(rest) => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the queue cannot be read");
                    cancel.run_until_cancelled(tokio::time::sleep(HEARING)).await;
                }
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Hears when a transaction that queued an order, or let one go, commits.
    async fn hear(&self, heard: &Heard) {
        loop {
            if let Err(error) = self.hear_until_lost(heard).await {
                tracing::debug!(%error, "the queue is polled");
            }
            heard.hearing.store(false, Ordering::Relaxed);
            tokio::time::sleep(HEARING).await;
        }
    }

    async fn hear_until_lost(&self, heard: &Heard) -> sqlx::Result<()> {
        let mut listener = PgListener::connect_with(self.log.pool()).await?;
        listener.listen(db::DUE).await?;
        heard.hearing.store(true, Ordering::Relaxed);
        loop {
            // What was said while nobody listened, or while the connection was made anew, is not said again.
            heard.wake.notify_one();
            listener.try_recv().await?;
        }
    }

    async fn claim(&self, room: usize) -> sqlx::Result<Vec<Due>> {
        let now = micros(Moment::now_utc());
        let step = usize::try_from(self.config.max_per_second).unwrap_or(usize::MAX) / STEPS_PER_SECOND;
        let limit = self.circuit.borrow().allows(now, room.min(step.max(1)));
        let Ok(limit @ 1..) = i64::try_from(limit) else { return Ok(Vec::new()) };
        let due = db::claim(self.log.pool(), now, now + self.config.attempt() + CLAIM_SLACK, limit).await?;
        if !due.is_empty() {
            self.circuit.send_modify(|circuit| *circuit = circuit.attempted(now, self.config.threshold()));
        }
        Ok(due)
    }

    /// An open circuit that nothing waits behind would stay open: there is nothing to probe with.
    async fn close_if_idle(&self) {
        if !self.circuit.borrow().is_closed() && matches!(db::anything_to_send(self.log.pool()).await, Ok(false)) {
            self.circuit.send_replace(Circuit::CLOSED);
        }
    }

    /// How long to rest when nothing can be claimed: until something is due, but not for long.
    async fn rest(&self, hearing: bool) -> Duration {
        let longest = if hearing { HEARING } else { DEAF };
        let now = micros(Moment::now_utc());
        let probe = self.circuit.borrow().probe_at().filter(|at| *at > now);
        let next = match probe {
            Some(at) => Some(at),
            None => db::next_due(self.log.pool(), now).await.ok().flatten(),
        };
        let until = next.and_then(|at| Duration::try_from(at - now).ok()).unwrap_or(longest);
        // Never so short that a clock that stands still makes it a spin.
        until.clamp(Duration::from_millis(5), longest)
    }

    async fn deliver(self: Arc<Self>, due: Due) {
        let span = tracing::info_span!("deliver", exchange = %self.config.exchange, attempt = due.attempts);
        telemetry::continue_from(&span, &due.traceparent);
        async {
            let started = Instant::now();
            let outcome = self.attempt(&due).await;
            let (name, settled) = match &outcome {
                Ok(Outcome::Settled) => ("answered", true),
                Ok(Outcome::Open) => ("failed", false),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "an answer could not be stored");
                    ("not_stored", false)
                }
            };
            METRICS.attempted(&self.config.exchange, name, started.elapsed());
            if !settled {
                self.postpone(&due).await;
            }
        }
        .instrument(span)
        .await;
    }

    async fn attempt(&self, due: &Due) -> anyhow::Result<Outcome> {
        let now = micros(Moment::now_utc());
        let answer = match attempt(due.expires_at, now, self.config.clock_tolerance()) {
            Attempt::Submit => {
                // Bytes that we queued and cannot read are a fault of ours, and no attempt.
                let order = SignedOrder::decode(&*due.signed_order)?;
                self.submit(order).await.map(Answer::Receipt)
            }
            Attempt::Reconcile => self.ask(LegId(due.leg_id)).await.map(Answer::View),
        };
        match answer {
            Ok(answer) => {
                let outcome = self.store(due, answer).await;
                self.answers_again().await;
                outcome
            }
            Err(status) => {
                self.failed(&status);
                Ok(Outcome::Open)
            }
        }
    }

    async fn submit(&self, order: SignedOrder) -> Result<SignedReceipt, Status> {
        let mut request = tonic::Request::new(SubmitRequest { order: Some(order) });
        request.set_timeout(self.config.attempt());
        let answer = self.exchange.clone().submit(request).await?.into_inner();
        answer.receipt.ok_or_else(|| Status::data_loss("an answer without a receipt"))
    }

    async fn ask(&self, leg: LegId) -> Result<Option<SignedReceipt>, Status> {
        let mut request = tonic::Request::new(GetOrderRequest { leg_id: leg.to_string() });
        request.set_timeout(self.config.attempt());
        Ok(self.exchange.clone().get_order(request).await?.into_inner().receipt)
    }

    /// Stores what the exchange said, if it said it: signed, of this exchange, for this order. Else the fact is that it
    /// did not, and the order stays due.
    async fn store(&self, due: &Due, answer: Answer) -> anyhow::Result<Outcome> {
        let now = micros(Moment::now_utc());
        let (exchange, leg, revision) = (&self.config.exchange, LegId(due.leg_id), u32::try_from(due.revision)?);
        let order = OrderRef {
            leg,
            revision: NonZeroU32::new(revision).context("revisions begin with 1")?,
            order_sha256: due.order_sha256.as_slice().try_into()?,
        };
        let read = self.read(&answer, &order);
        let envelope = match answer {
            Answer::Receipt(receipt) | Answer::View(Some(receipt)) => receipt.envelope,
            Answer::View(None) => Vec::new(),
        };
        let mut tx = self.log.begin().await?;
        let outcome = match read {
            Ok(settled) => {
                if db::settle(&mut tx, &due.order_sha256, settled, now).await? {
                    let fact = match settled {
                        Settled::Answered => {
                            Some(facts::receipt(exchange, leg, revision, &due.order_sha256, envelope, now))
                        }
                        Settled::Undelivered => Some(facts::undelivered(exchange, leg, revision, now)),
                        Settled::Superseded => None,
                    };
                    self.log.append_all(&mut tx, fact.into_iter().collect()).await?;
                }
                Outcome::Settled
            }
            Err(fault) => {
                if db::note_fault(&mut tx, &due.order_sha256, fault.name()).await? {
                    let bytes = order_identity(&envelope);
                    let fact = facts::invalid_statement(exchange, Some((leg, revision)), fault.name(), bytes, now);
                    self.log.append(&mut tx, fact).await?;
                    METRICS.invalid(exchange);
                }
                Outcome::Open
            }
        };
        // Last, as everywhere: who holds this row waits for no other lock.
        db::answered_at(&mut tx, now).await?;
        self.log.commit(tx).await?;
        Ok(outcome)
    }

    fn read(&self, answer: &Answer, order: &OrderRef) -> Result<Settled, StatementFault> {
        let open = |receipt: &SignedReceipt, answering| {
            open_receipt(&receipt.envelope, &self.keyring, &self.config.exchange, answering)
        };
        match answer {
            Answer::Receipt(receipt) => open(receipt, Some(order)).map(|_| Settled::Answered),
            Answer::View(view) => {
                let view = view.as_ref().map(|receipt| open(receipt, None)).transpose()?;
                reconcile(view.as_ref().map(|receipt| &receipt.report), order)
            }
        }
    }

    async fn postpone(&self, due: &Due) {
        let now = micros(Moment::now_utc());
        let failures = u32::try_from(due.attempts).unwrap_or(u32::MAX);
        let next = now + wait(self.config.pace(), failures, rand::rng().random());
        // If this fails too, the claim runs out by itself.
        if let Err(error) = db::postpone(self.log.pool(), due, next).await {
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
    async fn answers_again(&self) {
        let was_open = !self.circuit.send_replace(Circuit::CLOSED).is_closed();
        if was_open && let Err(error) = db::hurry(self.log.pool(), micros(Moment::now_utc())).await {
            tracing::warn!(%error, "what waits could not be hurried, and is sent in its own time");
        }
    }
}

/// What the database says about the queue.
#[derive(Default)]
struct Heard {
    /// The queue may have grown.
    wake: Notify,
    /// Whether it would be heard.
    hearing: AtomicBool,
}
