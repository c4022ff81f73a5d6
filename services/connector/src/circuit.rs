//! Whether the exchange can be expected to answer. An open circuit slows attempts down to single probes; it never
//! abandons an order.

use std::time::Duration;

use haetae_core::Moment;

/// The line to the exchange as this replica sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Circuit {
    failures: u32,
    probe_at: Option<Moment>,
    /// An attempt through the open circuit has no outcome yet.
    probing: bool,
}

/// When a circuit opens, and how often it is probed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threshold {
    /// Failures in a row that open it.
    pub(crate) failures: u32,
    /// Time between probes.
    pub(crate) probe_every: Duration,
}

impl Circuit {
    /// Nothing known yet, or the exchange has just answered, whatever it said.
    pub(crate) const CLOSED: Self = Self { failures: 0, probe_at: None, probing: false };

    /// After an attempt without an answer.
    pub(crate) fn failed(self, now: Moment, threshold: Threshold) -> Self {
        let failures = self.failures.saturating_add(1);
        let probe_at = (failures >= threshold.failures).then(|| now + threshold.probe_every);
        Self { failures, probe_at, probing: false }
    }

    /// When an attempt begins. Where the circuit is open this is the probe, and the next one has its time to wait.
    pub(crate) fn attempted(self, now: Moment, threshold: Threshold) -> Self {
        let probe_at = self.probe_at.map(|_| now + threshold.probe_every);
        Self { probe_at, probing: probe_at.is_some(), ..self }
    }

    /// For a metric: 0 closed, 1 a probe is under way, 2 open.
    pub(crate) fn number(self) -> u64 {
        match (self.is_closed(), self.probing) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        }
    }

    /// True while attempts are made as orders come.
    pub(crate) fn is_closed(self) -> bool {
        self.probe_at.is_none()
    }

    /// When an open circuit is probed next.
    pub(crate) fn probe_at(self) -> Option<Moment> {
        self.probe_at
    }

    /// How many attempts may be made now, of those that could be.
    pub(crate) fn allows(self, now: Moment, wanted: usize) -> usize {
        match self.probe_at {
            None => wanted,
            Some(at) if now >= at => wanted.min(1),
            Some(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLD: Threshold = Threshold { failures: 3, probe_every: Duration::from_secs(1) };

    fn after(failures: u32) -> Circuit {
        (0..failures).fold(Circuit::CLOSED, |c, _| c.failed(Moment::UNIX_EPOCH, THRESHOLD))
    }

    #[test]
    fn single_failures_do_not_open_it() {
        assert!(after(2).is_closed());
        assert!(!after(3).is_closed());
    }

    #[test]
    fn an_open_circuit_lets_one_probe_through_in_its_time() {
        let open = after(5);
        assert_eq!(open.allows(Moment::UNIX_EPOCH, 10), 0);
        assert_eq!(open.allows(Moment::UNIX_EPOCH + THRESHOLD.probe_every, 10), 1);
    }

    #[test]
    fn while_a_probe_is_under_way_nothing_else_is_sent() {
        let due = Moment::UNIX_EPOCH + THRESHOLD.probe_every;
        let probed = after(5).attempted(due, THRESHOLD);
        assert_eq!(probed.allows(due, 10), 0);
        assert_eq!(probed.allows(due + THRESHOLD.probe_every, 10), 1);
        assert_eq!(Circuit::CLOSED.attempted(due, THRESHOLD), Circuit::CLOSED);
    }

    #[test]
    fn operators_see_it_close_open_and_be_probed() {
        let probed = after(3).attempted(Moment::UNIX_EPOCH, THRESHOLD);
        assert_eq!([Circuit::CLOSED, probed, after(3)].map(Circuit::number), [0, 1, 2]);
        assert_eq!(probed.failed(Moment::UNIX_EPOCH, THRESHOLD).number(), 2);
    }

    #[test]
    fn a_closed_one_lets_everything_through() {
        assert_eq!(Circuit::CLOSED.allows(Moment::UNIX_EPOCH, 10), 10);
    }

    #[test]
    fn it_never_stays_shut_for_ever() {
        let open = after(100_000);
        assert_eq!(open.allows(Moment::UNIX_EPOCH + Duration::from_secs(1), 1), 1);
    }
}
