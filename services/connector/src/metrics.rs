//! What operators watch: how attempts go, what waits for the exchange, and whether it can be expected to answer.

use std::sync::LazyLock;
use std::time::Duration;

use haetae_core::{ExchangeId, Moment};
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use opentelemetry::{KeyValue, global};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{circuit::Circuit, db::standing};

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// How often the queue is measured.
const MEASURE: Duration = Duration::from_secs(5);

/// Kinds of orders, as the queue spells them and as operators know them.
const KINDS: [(&str, &str); 3] = [("release", "release"), ("freeze", "freeze"), ("question", "confirm")];

/// Taken from the global meter provider on first use.
pub(crate) struct Metrics {
    attempts: Counter<u64>,
    duration: Histogram<f64>,
    invalid: Counter<u64>,
    logs_anew: Counter<u64>,
    oldest: Gauge<f64>,
    undelivered: Gauge<u64>,
    overdue: Gauge<u64>,
    held_back: Gauge<u64>,
}

impl Metrics {
    fn new() -> Self {
        let meter = global::meter("haetae");
        Self {
            attempts: meter
                .u64_counter("haetae.delivery.attempts")
                .with_unit("{attempt}")
                .with_description("Attempts to bring an order to the exchange, by what came of them")
                .build(),
            duration: meter
                .f64_histogram("haetae.delivery.duration")
                .with_unit("s")
                .with_description("Time of an attempt, the storing of its answer included")
                .with_boundaries(vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
                .build(),
            invalid: meter
                .u64_counter("haetae.delivery.statements.invalid")
                .with_unit("{statement}")
                .with_description("What the exchange sent and does not verify; the same again is not counted")
                .build(),
            logs_anew: meter
                .u64_counter("haetae.delivery.exchange_logs_anew")
                .with_unit("{log}")
                .with_description("Times that the exchange began its log anew, as after restoring a backup")
                .build(),
            oldest: meter
                .f64_gauge("haetae.delivery.oldest_undelivered")
                .with_unit("s")
                .with_description("Age of the oldest order that may be sent and has no answer")
                .build(),
            undelivered: meter
                .u64_gauge("haetae.delivery.undelivered")
                .with_unit("{order}")
                .with_description("Orders that may be sent and have no answer")
                .build(),
            overdue: meter
                .u64_gauge("haetae.delivery.overdue")
                .with_unit("{order}")
                .with_description("Orders without an answer for longer than the exchange declares")
                .build(),
            held_back: meter
                .u64_gauge("haetae.delivery.held_back")
                .with_unit("{order}")
                .with_description("Orders that a halt holds back")
                .build(),
        }
    }

    /// After an attempt.
    pub(crate) fn attempted(&self, exchange: &ExchangeId, outcome: &'static str, took: Duration) {
        let labels = [of(exchange), KeyValue::new("outcome", outcome)];
        self.attempts.add(1, &labels);
        self.duration.record(took.as_secs_f64(), &labels);
    }

    /// Something of the exchange did not verify.
    pub(crate) fn invalid(&self, exchange: &ExchangeId) {
        self.invalid.add(1, &[of(exchange)]);
    }

    /// The exchange began its log anew.
    pub(crate) fn log_anew(&self, exchange: &ExchangeId) {
        self.logs_anew.add(1, &[of(exchange)]);
    }

    fn queue(&self, exchange: &ExchangeId, waiting: &[standing::Waiting], now: Moment) {
        for (kind, wanted) in KINDS {
            let labels = [of(exchange), KeyValue::new("wanted", wanted)];
            // A kind of which nothing waits any more must not keep its last figures.
            let found = waiting.iter().find(|waiting| waiting.wanted == kind);
            let age = found.and_then(|found| found.oldest).map_or(0.0, |since| (now - since).as_seconds_f64());
            self.oldest.record(age.max(0.0), &labels);
            self.undelivered.record(found.map_or(0, |found| found.undelivered.unsigned_abs()), &labels);
            self.overdue.record(found.map_or(0, |found| found.overdue.unsigned_abs()), &labels);
            self.held_back.record(found.map_or(0, |found| found.held_back.unsigned_abs()), &labels);
        }
    }
}

fn of(exchange: &ExchangeId) -> KeyValue {
    KeyValue::new("exchange", exchange.to_string())
}

/// Tells how this replica sees the line, for as long as somebody keeps the circuit.
pub(crate) fn tell_circuit(exchange: &ExchangeId, circuit: watch::Receiver<Circuit>) {
    let labels = [of(exchange)];
    global::meter("haetae")
        .u64_observable_gauge("haetae.delivery.circuit")
        .with_description("The line to the exchange as this replica sees it: 0 closed, 1 a probe is under way, 2 open")
        .with_callback(move |told| {
            if circuit.has_changed().is_ok() {
                told.observe(circuit.borrow().number(), &labels);
            }
        })
        .build();
}

/// Measures the queue until cancelled.
///
/// # Errors
/// Never; a measure that fails is left out.
pub(crate) async fn run(pool: PgPool, exchange: ExchangeId, cancel: CancellationToken) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(MEASURE);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(tick.tick()).await.is_some() {
        if let Ok(waiting) = standing::waiting(&pool).await {
            METRICS.queue(&exchange, &waiting, Moment::now_utc());
        }
    }
    Ok(())
}
