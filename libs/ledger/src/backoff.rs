//! Waiting longer each time something is found unavailable.

use std::time::Duration;

use rand::Rng;
use tokio_util::sync::CancellationToken;

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// Waits between half and all of the current step, then doubles it. False when cancelled meanwhile.
    pub(crate) async fn wait(&mut self, cancel: &CancellationToken) -> bool {
        let step = self.next;
        self.next = (step * 2).min(LONGEST);
        let jittered = step.mul_f64(rand::rng().random_range(0.5..=1.0));
        cancel.run_until_cancelled(tokio::time::sleep(jittered)).await.is_some()
    }
}
