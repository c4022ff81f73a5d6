//! Until when an answer is of use, carried from hop to hop in `grpc-timeout`.

use std::{future::Future, time::Duration};

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

pub(crate) const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Less than this is not worth starting a handler for.
const TOO_LITTLE: Duration = Duration::from_millis(3);

tokio::task_local! {
    static CURRENT: Deadline;
}

/// When the answer must be there. In the extensions of requests; insert one into a request to a peer to set its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline from now on.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The deadline of the call that the current task is handling; none in workers and in tasks spawned by handlers.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|d| *d).ok()
    }

    /// Time left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The instant itself, for [`tokio::time::timeout_at`].
    pub fn instant(self) -> Instant {
        self.0
    }

    pub(crate) async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }
}

/// How long a call may take here, given what its caller states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// Our own timer runs this long.
    Run(Duration),
    /// There is not enough time to be of use.
    TooLate,
}

/// A little less than the caller waits, so that the answer "here it took too long" still arrives: a tenth, at least
/// 2 ms and at most 50 ms. A stated time above the maximum is cut to it.
pub(crate) fn allowance(stated: Option<Duration>, default: Duration, max: Duration) -> Allowance {
    let time = stated.unwrap_or(default).min(max);
    let shave = (time / 10).clamp(Duration::from_millis(2), Duration::from_millis(50));
    match time.checked_sub(shave) {
        Some(left) if left >= TOO_LITTLE => Allowance::Run(left),
        _ => Allowance::TooLate,
    }
}

/// The `grpc-timeout` of a request. A value that breaks the form (at most eight digits and a unit) counts as none.
pub(crate) fn stated(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

/// The header for a time to go: microseconds while eight digits hold them, else milliseconds, else seconds.
pub(crate) fn header(time: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let (n, unit) = match (time.as_micros(), time.as_millis()) {
        (us, _) if us <= MOST => (us, 'u'),
        (_, ms) if ms <= MOST => (ms, 'm'),
        _ => (u128::from(time.as_secs()).min(MOST), 'S'),
    };
    HeaderValue::try_from(format!("{n}{unit}")).unwrap_or(HeaderValue::from_static("0u"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn parsed(text: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_static(text));
        stated(&headers)
    }

    #[test]
    fn the_inner_hop_gives_up_before_its_caller_does() {
        assert_eq!(allowance(Some(MS(200)), MS(5000), MS(30_000)), Allowance::Run(MS(180)));
        assert_eq!(allowance(Some(MS(4000)), MS(5000), MS(30_000)), Allowance::Run(MS(3950)));
        assert_eq!(allowance(None, MS(5000), MS(30_000)), Allowance::Run(MS(4950)));
        assert_eq!(allowance(Some(MS(90_000)), MS(5000), MS(30_000)), Allowance::Run(MS(29_950)));
    }

    #[test]
    fn too_little_time_is_refused_before_any_work() {
        assert_eq!(allowance(Some(MS(4)), MS(5000), MS(30_000)), Allowance::TooLate);
        assert_eq!(allowance(Some(MS(0)), MS(5000), MS(30_000)), Allowance::TooLate);
    }

    #[test]
    fn a_stated_time_is_read_as_the_protocol_writes_it() {
        assert_eq!(parsed("1500m"), Some(MS(1500)));
        assert_eq!(parsed("2S"), Some(MS(2000)));
        assert_eq!(parsed("250000u"), Some(MS(250)));
        for broken in ["", "m", "123456789m", "5x", "-5m", "+5m", "5 m"] {
            assert_eq!(parsed(broken), None, "{broken}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for time in [MS(1), MS(99_999), MS(100_000), Duration::from_secs(2_000_000)] {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, header(time));
            assert_eq!(stated(&headers), Some(time));
        }
    }
}
