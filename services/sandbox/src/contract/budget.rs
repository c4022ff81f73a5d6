//! Whether an order keeps within its authorisation's budgets, given what its line has used so far. Pure.
//!
//! A question is an address asked about, however often. A leg is opened when its first order is signed: an exchange that
//! was down takes in at once what was opened over hours, and must not hold its own outage against the agency.

use haetae_core::{Authorisation, Desired, Moment, Order};
use time::Duration;

/// What other legs of the line have used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Questions.
    pub(crate) questions: usize,
    /// Freezes: when each was opened, where that is known.
    pub(crate) freezes: Vec<Option<Moment>>,
}

/// What a leg uses of its line's budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Question,
    Freeze {
        /// When it was opened; none where it is first seen under a later revision.
        opened_at: Option<Moment>,
    },
}

/// How an order goes beyond a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exceeded {
    #[error("more addresses are asked about than the authorisation's budget allows")]
    Questions,
    #[error("more legs are opened within an hour than the authorisation's budget allows")]
    LegsPerHour,
}

/// What a leg's first order uses; none for a release, which only gives back.
pub(crate) fn used_by(order: &Order) -> Option<Use> {
    match order.desired {
        Desired::ConfirmAddress => Some(Use::Question),
        Desired::Frozen { .. } => {
            Some(Use::Freeze { opened_at: (order.revision.get() == 1).then_some(order.issued_at) })
        }
        Desired::Released => None,
    }
}

/// Whether there is room for a new leg. `issued_at` is when its order was signed.
pub(crate) fn allows(authorisation: &Authorisation, used: &Used, new: Use, issued_at: Moment) -> Result<(), Exceeded> {
    let budgets = authorisation.budgets;
    match new {
        Use::Question if used.questions < budgets.max_questions as usize => Ok(()),
        Use::Question => Err(Exceeded::Questions),
        Use::Freeze { opened_at } => {
            let most = budgets.max_legs_per_hour as usize;
            // Where it is not known when legs were opened, the whole time bounds them: no hour of it had more.
            let hours = usize::try_from((issued_at - authorisation.valid_from).whole_hours()).unwrap_or(0) + 1;
            let in_all = used.freezes.len() < most.saturating_mul(hours);
            let in_any_hour = opened_at.is_none_or(|at| busiest_hour_with(&used.freezes, at) <= most);
            if in_all && in_any_hour { Ok(()) } else { Err(Exceeded::LegsPerHour) }
        }
    }
}

/// The most legs opened in any hour that holds `at`, the one opened then included.
fn busiest_hour_with(opened: &[Option<Moment>], at: Moment) -> usize {
    let near = || opened.iter().flatten().filter(|other| (**other - at).abs() < Duration::HOUR);
    let ends = near().copied().filter(|end| *end >= at).chain([at]);
    ends.map(|end| near().filter(|other| **other > end - Duration::HOUR && **other <= end).count() + 1)
        .max()
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: Moment = time::macros::datetime!(2026-03-02 12:00 UTC);

    fn minutes(minutes: i64) -> Moment {
        NOON + Duration::minutes(minutes)
    }

    fn opened(at: &[i64]) -> Vec<Option<Moment>> {
        at.iter().map(|at| Some(minutes(*at))).collect()
    }

    #[test]
    fn an_hour_is_any_hour() {
        assert_eq!(busiest_hour_with(&[], NOON), 1);
        assert_eq!(busiest_hour_with(&opened(&[-59, -30]), NOON), 3);
        assert_eq!(busiest_hour_with(&opened(&[-60, -30]), NOON), 2, "an hour ago is another hour");
        assert_eq!(busiest_hour_with(&opened(&[-40, 40]), NOON), 2, "not within one hour of each other");
        assert_eq!(busiest_hour_with(&opened(&[20, 40]), NOON), 3, "orders may come late");
    }

    proptest! {
        /// Whoever opens no more than the budget in any hour is never refused, in whatever order the orders come.
        #[test]
        fn who_keeps_the_budget_is_never_refused(
            gaps in prop::collection::vec(0i64..90, 1..30), most in 1usize..5, shuffle in any::<u64>(),
        ) {
            let mut times: Vec<Moment> = Vec::new();
            let mut at = 0;
            for gap in gaps {
                at += gap;
                let recent = times.iter().filter(|other| **other > minutes(at) - Duration::HOUR).count();
                if recent < most {
                    times.push(minutes(at));
                }
            }
            let len = times.len();
            times.rotate_left(usize::try_from(shuffle % 97).unwrap_or(0) % len);
            for (taken, at) in times.iter().enumerate() {
                let before: Vec<_> = times[..taken].iter().copied().map(Some).collect();
                prop_assert!(busiest_hour_with(&before, *at) <= most);
            }
        }

        /// Whatever is let through, no hour has more than the budget.
        #[test]
        fn what_is_let_through_keeps_the_budget(at in prop::collection::vec(0i64..200, 0..40), most in 1usize..5) {
            let mut through: Vec<Option<Moment>> = Vec::new();
            for at in at {
                if busiest_hour_with(&through, minutes(at)) <= most {
                    through.push(Some(minutes(at)));
                }
            }
            for end in through.iter().flatten() {
                let within = through.iter().flatten().filter(|o| **o > *end - Duration::HOUR && **o <= *end).count();
                prop_assert!(within <= most);
            }
        }
    }
}
