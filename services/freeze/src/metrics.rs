//! What operators watch: how many legs stand where, what waits for an exchange's answer, how fast freezes bind.

use std::sync::LazyLock;
use std::time::Duration;

use haetae_core::{ExchangeId, Moment};
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use opentelemetry::{KeyValue, global};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::authority::{Authority, Event};
use crate::{db, leg, standing};

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// How often the tables are measured.
const MEASURE: Duration = Duration::from_secs(5);

/// Taken from the global meter provider on first use.
pub(crate) struct Metrics {
    time_to_binding: Histogram<f64>,
    unserved: Counter<u64>,
    ignored: Counter<u64>,
    legs: Gauge<u64>,
    oldest: Gauge<f64>,
}

/// Why an exchange's statement, or a connector's word, was not acted on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ignored {
    /// It is not signed by the exchange, or cannot be read.
    NotSigned,
    /// There is no such leg at this exchange.
    NoSuchLeg,
    /// It does not answer an order of ours.
    OtherOrder,
    /// The connector speaks of another exchange than its own.
    OtherExchange,
}

impl Metrics {
    fn new() -> Self {
        let meter = global::meter("haetae");
        Self {
            time_to_binding: meter
                .f64_histogram("haetae.freeze.time_to_binding")
                .with_unit("s")
                .with_description("From the first order of a leg to the storing of the first statement that it binds")
                .build(),
            unserved: meter
                .u64_counter("haetae.freeze.unserved")
                .with_description("Arrivals that were not frozen, or not in full")
                .build(),
            ignored: meter
                .u64_counter("haetae.freeze.statements.ignored")
                .with_description("Statements that were not acted on")
                .build(),
            legs: meter.u64_gauge("haetae.freeze.legs").with_description("Legs by what their exchange reports").build(),
            oldest: meter
                .f64_gauge("haetae.freeze.oldest_unanswered")
                .with_unit("s")
                .with_description("Age of the oldest order whose exchange has not answered it")
                .build(),
        }
    }

    pub(crate) fn decided(&self, authority: &Authority, events: &[Event]) {
        for event in events {
            match event {
                Event::Leg(id, leg::Event::Bound(at)) => {
                    let Some(leg) = authority.legs.get(id) else { continue };
                    let took = leg.ordered_at.map_or(0.0, |ordered| (*at - ordered).as_seconds_f64());
                    self.time_to_binding.record(took.max(0.0), &[of(&leg.exchange)]);
                }
                Event::Standing(standing::Event::Waits { found, why }) => {
                    self.unserved.add(1, &[of(&found.exchange), KeyValue::new("why", format!("{why:?}"))]);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn ignored(&self, exchange: &ExchangeId, why: Ignored) {
        tracing::warn!(%exchange, ?why, "a statement is not acted on");
        self.ignored.add(1, &[of(exchange), KeyValue::new("why", format!("{why:?}"))]);
    }
}

fn of(exchange: &ExchangeId) -> KeyValue {
    KeyValue::new("exchange", exchange.to_string())
}

/// Measures the tables until cancelled.
///
/// # Errors
/// Never; a measure that fails is left out.
pub(crate) async fn run(pool: PgPool, cancel: CancellationToken) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(MEASURE);
    while cancel.run_until_cancelled(tick.tick()).await.is_some() {
        let (Ok(states), Ok((freeze, release))) = (db::legs_by_state(&pool).await, db::oldest_unanswered(&pool).await)
        else {
            continue;
        };
        for state in db::STATES {
            // A state that no leg is in any more must not keep its last count.
            let count = states.iter().find(|(of, _)| of == state).map_or(0, |(_, count)| count.unsigned_abs());
            METRICS.legs.record(count, &[KeyValue::new("state", state)]);
        }
        let now = Moment::now_utc();
        for (wanted, since) in [("freeze", freeze), ("release", release)] {
            let age = since.map_or(0.0, |since| (now - since).as_seconds_f64());
            METRICS.oldest.record(age.max(0.0), &[KeyValue::new("wanted", wanted)]);
        }
    }
    Ok(())
}
