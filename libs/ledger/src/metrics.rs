//! What operators watch: seconds and counts, never what an entry says.

use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::metrics::{Counter, Gauge, Histogram};
use opentelemetry::{KeyValue, global};

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Taken from the global meter provider on first use, so a service sets that up before it opens its log.
pub(crate) struct Metrics {
    oldest_unsealed: Gauge<f64>,
    log_size: Gauge<u64>,
    sealing: Histogram<f64>,
    follower_age: Gauge<f64>,
    follower_lag: Gauge<u64>,
    handled: Counter<u64>,
    parked: Gauge<u64>,
    poisoned: Counter<u64>,
    retries: Counter<u64>,
    doorbell_failures: Counter<u64>,
}

impl Metrics {
    fn new() -> Self {
        let meter = global::meter("haetae-ledger");
        Self {
            oldest_unsealed: meter
                .f64_gauge("haetae.log.oldest_unsealed")
                .with_unit("s")
                .with_description("Age of the oldest entry that is committed but not sealed")
                .build(),
            log_size: meter
                .u64_gauge("haetae.log.size")
                .with_unit("{entry}")
                .with_description("Sealed entries")
                .build(),
            sealing: meter
                .f64_histogram("haetae.log.sealing.duration")
                .with_unit("s")
                .with_description("Time that one sealing holds the head, without its commit")
                .with_boundaries(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0])
                .build(),
            follower_age: meter
                .f64_gauge("haetae.follower.lag")
                .with_unit("s")
                .with_description("Age of the entry that was handled last, or that is being tried")
                .build(),
            follower_lag: meter
                .u64_gauge("haetae.follower.lag.entries")
                .with_unit("{entry}")
                .with_description("Positions received but not yet passed by the cursor")
                .build(),
            handled: meter
                .u64_counter("haetae.follower.handled")
                .with_unit("{entry}")
                .with_description("Entries whose effect is committed")
                .build(),
            parked: meter
                .u64_gauge("haetae.follower.parked")
                .with_unit("{entry}")
                .with_description("Entries parked, or waiting behind a parked one")
                .build(),
            poisoned: meter
                .u64_counter("haetae.follower.poisoned")
                .with_unit("{entry}")
                .with_description("Entries parked because handling them failed twice")
                .build(),
            retries: meter
                .u64_counter("haetae.follower.retries")
                .with_unit("{attempt}")
                .with_description("Attempts that ended because something was unavailable")
                .build(),
            doorbell_failures: meter
                .u64_counter("haetae.doorbell.failures")
                .with_unit("{failure}")
                .with_description("Hints that could not be sent, and losses of the subscription")
                .build(),
        }
    }

    pub(crate) fn unsealed(&self, origin: &str, age: Duration) {
        self.oldest_unsealed.record(age.as_secs_f64(), &[log(origin)]);
    }

    pub(crate) fn sealed(&self, origin: &str, size: u64) {
        self.log_size.record(size, &[log(origin)]);
    }

    pub(crate) fn sealing_took(&self, origin: &str, time: Duration) {
        self.sealing.record(time.as_secs_f64(), &[log(origin)]);
    }

    pub(crate) fn follower_lag(&self, follower: &str, entries: u64, age: Duration) {
        let of = [name(follower)];
        self.follower_lag.record(entries, &of);
        self.follower_age.record(age.as_secs_f64(), &of);
    }

    pub(crate) fn handled(&self, follower: &str, entries: u64) {
        if entries > 0 {
            self.handled.add(entries, &[name(follower)]);
        }
    }

    pub(crate) fn parked(&self, follower: &str, entries: u64) {
        self.parked.record(entries, &[name(follower)]);
    }

    pub(crate) fn poisoned(&self, follower: &str) {
        self.poisoned.add(1, &[name(follower)]);
    }

    pub(crate) fn retried(&self, follower: &str) {
        self.retries.add(1, &[name(follower)]);
    }

    pub(crate) fn doorbell_failed(&self) {
        self.doorbell_failures.add(1, &[]);
    }
}

fn log(origin: &str) -> KeyValue {
    KeyValue::new("log", origin.to_owned())
}

fn name(follower: &str) -> KeyValue {
    KeyValue::new("follower", follower.to_owned())
}
