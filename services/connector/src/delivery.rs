//! How an order is brought to the exchange: again and again, more and more slowly, never given up.

use std::{cmp::Ordering, time::Duration};

use haetae_core::{Desired, LegReport, Moment, Order};
use haetae_wire::signed::{OrderRef, StatementFault};

/// What an order wants; releases go first, and no halt stops them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// An answer about an address.
    Question,
    /// Money kept from leaving.
    Freeze,
    /// Money given back.
    Release,
}

impl Wanted {
    /// What this order wants.
    pub(crate) fn of(order: &Order) -> Self {
        match order.desired {
            Desired::ConfirmAddress => Self::Question,
            Desired::Frozen { .. } => Self::Freeze,
            Desired::Released => Self::Release,
        }
    }

    /// As the database spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Freeze => "freeze",
            Self::Release => "release",
        }
    }
}

/// How an order left the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The exchange's receipt is stored.
    Answered,
    /// It expired, and the exchange has never seen it.
    Undelivered,
    /// A higher revision of its leg took its place.
    Superseded,
}

impl Settled {
    /// As the database spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Undelivered => "undelivered",
            Self::Superseded => "superseded",
        }
    }
}

/// What the exchange's view of a leg (none where it does not know the leg) makes of an order that has expired. The view
/// is of the highest revision seen, which need not be the order's.
///
/// # Errors
/// The fault, where the view is of another leg, or of other bytes under the same revision.
pub(crate) fn reconcile(view: Option<&LegReport>, order: &OrderRef) -> Result<Settled, StatementFault> {
    let Some(view) = view else { return Ok(Settled::Undelivered) };
    if view.leg != order.leg {
        return Err(StatementFault::OtherLeg { stated: view.leg, expected: order.leg });
    }
    match view.revision.cmp(&order.revision) {
        Ordering::Less => Ok(Settled::Undelivered),
        Ordering::Greater => Ok(Settled::Superseded),
        Ordering::Equal if view.order_sha256 == order.order_sha256 => Ok(Settled::Answered),
        Ordering::Equal => Err(StatementFault::OtherOrder),
    }
}

/// How attempts follow one another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The wait after the first failure.
    pub(crate) first: Duration,
    /// The longest wait.
    pub(crate) slowest: Duration,
}

/// What to do about an order whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Send the same bytes. After an attempt without an answer that is the only safe thing: the exchange may have it.
    Submit,
    /// Its envelope has expired: ask what the exchange knows of the leg. Only an exchange that has never seen the
    /// revision frees the signer to issue the next one.
    Reconcile,
}

/// What an order's turn is used for. `tolerance` is how far the exchange's clock may be behind: until then it may still
/// take the order, so asking would race with that.
pub(crate) fn attempt(expires_at: Moment, now: Moment, tolerance: Duration) -> Attempt {
    if now <= expires_at + tolerance { Attempt::Submit } else { Attempt::Reconcile }
}

/// How long to wait after `failures` failures in a row: doubling, with full jitter in the upper half so that what failed
/// together does not come back together. `jitter` is drawn from 0 to 65,535.
pub(crate) fn wait(pace: Pace, failures: u32, jitter: u16) -> Duration {
    let doubled = pace.first.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let half = doubled.min(pace.slowest) / 2;
    half + half.mul_f64(f64::from(jitter) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use haetae_core::{LegId, LegState};
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace { first: Duration::from_millis(100), slowest: Duration::from_secs(30) };

    #[test]
    fn an_expired_order_is_asked_about_not_sent() {
        let expiry = Moment::UNIX_EPOCH;
        let tolerance = Duration::from_secs(5);
        assert_eq!(attempt(expiry, expiry, tolerance), Attempt::Submit);
        assert_eq!(attempt(expiry, expiry + tolerance, tolerance), Attempt::Submit);
        assert_eq!(attempt(expiry, expiry + Duration::from_secs(6), tolerance), Attempt::Reconcile);
    }

    fn view(leg: u128, revision: u32, order: u8) -> LegReport {
        LegReport {
            leg: LegId(uuid::Uuid::from_u128(leg)),
            revision: NonZeroU32::new(revision).unwrap(),
            order_sha256: [order; 32],
            state: LegState::Accepted,
            frozen: None,
            refusal: None,
            confirmation: None,
            holder: None,
        }
    }

    #[test]
    fn only_an_exchange_that_never_saw_the_revision_frees_the_signer() {
        let LegReport { leg, revision, order_sha256, .. } = view(1, 2, 7);
        let order = OrderRef { leg, revision, order_sha256 };
        assert_eq!(reconcile(None, &order), Ok(Settled::Undelivered));
        assert_eq!(reconcile(Some(&view(1, 1, 6)), &order), Ok(Settled::Undelivered));
        assert_eq!(reconcile(Some(&view(1, 2, 7)), &order), Ok(Settled::Answered));
        assert_eq!(reconcile(Some(&view(1, 3, 8)), &order), Ok(Settled::Superseded));
        assert_eq!(reconcile(Some(&view(1, 2, 8)), &order), Err(StatementFault::OtherOrder));
        let other = reconcile(Some(&view(2, 2, 7)), &order);
        assert!(matches!(other, Err(StatementFault::OtherLeg { .. })), "{other:?}");
    }

    proptest! {
        #[test]
        fn waits_grow_and_stay_within_bounds(failures in 1u32..1_000, jitter: u16) {
            let wait = wait(PACE, failures, jitter);
            prop_assert!(wait >= PACE.first / 2);
            prop_assert!(wait <= PACE.slowest);
        }

        #[test]
        fn the_longest_wait_after_a_failure_is_the_shortest_after_the_next_but_one(failures in 1u32..8) {
            prop_assert!(wait(PACE, failures, u16::MAX) <= wait(PACE, failures + 2, 0) * 2);
        }
    }
}
