//! What operators watch: how many legs stand where, what waits for an exchange's answer, how fast freezes bind and
//! releases are acknowledged.

use std::sync::LazyLock;
use std::time::Duration;

use haetae_core::{ExchangeId, LegState, Moment};
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
    time_to_release: Histogram<f64>,
    unserved: Counter<u64>,
    ignored: Counter<u64>,
    legs: Gauge<u64>,
    oldest: Gauge<f64>,
    left_waiting: Gauge<u64>,
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
                .with_boundaries(vec![
                    0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
                ])
                .build(),
            time_to_release: meter
                .f64_histogram("haetae.freeze.time_to_release")
                .with_unit("s")
                .with_description("From the first order that releases a leg to the storing of its acknowledgement")
                .with_boundaries(vec![0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0])
                .build(),
            unserved: meter
                .u64_counter("haetae.freeze.unserved")
                .with_unit("{arrival}")
                .with_description("Arrivals that were not frozen, or not in full")
                .build(),
            ignored: meter
                .u64_counter("haetae.freeze.statements.ignored")
                .with_unit("{statement}")
                .with_description("Statements that were not acted on")
                .build(),
            legs: meter
                .u64_gauge("haetae.freeze.legs")
                .with_unit("{leg}")
                .with_description("Legs by what their exchange reports")
                .build(),
            oldest: meter
                .f64_gauge("haetae.freeze.oldest_unanswered")
                .with_unit("s")
                .with_description("Age of the oldest order whose exchange has not answered it")
                .build(),
            left_waiting: meter
                .u64_gauge("haetae.freeze.left_waiting")
                .with_description("Arrivals and legs that no halt holds back, and that could not be sent when it ended")
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

    /// An exchange has acknowledged a release, which was first ordered then.
    pub(crate) fn released(&self, exchange: &ExchangeId, ordered: Moment, stored: Moment) {
        self.time_to_release.record((stored - ordered).as_seconds_f64().max(0.0), &[of(exchange)]);
    }

    pub(crate) fn ignored(&self, exchange: &ExchangeId, why: Ignored) {
        tracing::warn!(%exchange, ?why, "a statement is not acted on");
        self.ignored.add(1, &[of(exchange), KeyValue::new("why", format!("{why:?}"))]);
    }
}

/// The legs whose release is acknowledged by these events. One that runs out instead was not released.
pub(crate) fn acknowledged<'a>(authority: &'a Authority, events: &'a [Event]) -> impl Iterator<Item = &'a leg::Leg> {
    events.iter().filter_map(|event| match event {
        Event::Leg(id, leg::Event::Reported(word)) if word.state == LegState::Released => authority.legs.get(id),
        _ => None,
    })
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
        let (Ok(states), Ok((freeze, release)), Ok(left)) =
            (db::legs_by_state(&pool).await, db::oldest_unanswered(&pool).await, db::left_waiting(&pool).await)
        else {
            continue;
        };
        METRICS.left_waiting.record(left.values().copied().sum(), &[]);
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
