//! What a connector is told at its start.

use std::{path::PathBuf, time::Duration};

use haetae_core::ExchangeId;
use haetae_mesh::config::{Fault, Section};
use serde::{Deserialize, Serialize};

use crate::{circuit::Threshold, delivery::Pace};

/// `[service]` of a connector.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The exchange it speaks to; its certificate names the same.
    pub exchange: ExchangeId,
    /// The registry of exchanges and keys; it also says where the exchange listens and whose certificates it has.
    pub registry: PathBuf,
    /// The certificate that the exchange knows the agency by.
    pub certificate: ClientCertificate,
    /// Deadline of one attempt, in milliseconds.
    #[serde(default = "attempt_ms")]
    pub attempt_ms: u64,
    /// How far the exchange's clock may differ, in seconds: until then an expired order may still be taken there.
    #[serde(default = "clock_tolerance_seconds")]
    pub clock_tolerance_seconds: u32,
    /// Attempts under way at once, of one replica.
    #[serde(default = "max_in_flight")]
    pub max_in_flight: usize,
    /// Attempts per second at most, over all kinds, of one replica.
    #[serde(default = "max_per_second")]
    pub max_per_second: u32,
    /// The wait after an order's first failure, in milliseconds; it doubles from there.
    #[serde(default = "first_wait_ms")]
    pub first_wait_ms: u64,
    /// The longest wait, in milliseconds.
    #[serde(default = "slowest_wait_ms")]
    pub slowest_wait_ms: u64,
    /// Failures in a row that open the circuit.
    #[serde(default = "circuit_failures")]
    pub circuit_failures: u32,
    /// Time between probes of an open circuit, in milliseconds.
    #[serde(default = "probe_every_ms")]
    pub probe_every_ms: u64,
    /// How long orders are kept after they were settled, in days. What is not settled is kept whatever its age.
    #[serde(default = "keep_settled_days")]
    pub keep_settled_days: u32,
}

/// `[service.certificate]`: who we are to the exchange, issued by the exchanges' own authority.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

fn attempt_ms() -> u64 {
    2_000
}

fn clock_tolerance_seconds() -> u32 {
    30
}

fn max_in_flight() -> usize {
    16
}

fn max_per_second() -> u32 {
    50
}

fn first_wait_ms() -> u64 {
    100
}

fn slowest_wait_ms() -> u64 {
    30_000
}

fn circuit_failures() -> u32 {
    5
}

fn probe_every_ms() -> u64 {
    1_000
}

fn keep_settled_days() -> u32 {
    30
}

impl Config {
    /// Deadline of one attempt.
    pub(crate) fn attempt(&self) -> Duration {
        Duration::from_millis(self.attempt_ms)
    }

    /// How far the exchange's clock may differ.
    pub(crate) fn clock_tolerance(&self) -> Duration {
        Duration::from_secs(self.clock_tolerance_seconds.into())
    }

    /// How attempts at one order follow one another.
    pub(crate) fn pace(&self) -> Pace {
        Pace { first: Duration::from_millis(self.first_wait_ms), slowest: Duration::from_millis(self.slowest_wait_ms) }
    }

    /// How long settled orders are kept.
    pub(crate) fn keep_settled(&self) -> Duration {
        Duration::from_secs(u64::from(self.keep_settled_days) * 86_400)
    }

    /// When the circuit opens and how it is probed.
    pub(crate) fn threshold(&self) -> Threshold {
        Threshold { failures: self.circuit_failures, probe_every: Duration::from_millis(self.probe_every_ms) }
    }
}

impl Section for Config {
    fn faults(&self, at: &str) -> Vec<Fault> {
        let files = [
            ("registry", &self.registry),
            ("certificate.cert", &self.certificate.cert),
            ("certificate.key", &self.certificate.key),
        ];
        let mut faults: Vec<Fault> =
            files.into_iter().filter_map(|(key, file)| Fault::unreadable(format!("{at}.{key}"), file)).collect();
        for (key, zero) in [
            ("attempt_ms", self.attempt_ms == 0),
            ("max_in_flight", self.max_in_flight == 0),
            ("max_per_second", self.max_per_second == 0),
            ("first_wait_ms", self.first_wait_ms == 0),
            ("circuit_failures", self.circuit_failures == 0),
            ("probe_every_ms", self.probe_every_ms == 0),
            ("keep_settled_days", self.keep_settled_days == 0),
        ] {
            if zero {
                faults.push(Fault::new(format!("{at}.{key}"), "must be at least 1"));
            }
        }
        if self.slowest_wait_ms < self.first_wait_ms {
            faults.push(Fault::new(format!("{at}.slowest_wait_ms"), "must not be less than first_wait_ms"));
        }
        faults
    }
}
