//! What is said when no answer comes in the time that the exchange declares: that a question is unanswered, once; that a
//! freeze or a release is, again and again, until a person has called. Delivery goes on.

use std::time::Duration;

use haetae_core::{ExchangeId, LegId, Moment, micros};
use haetae_ledger::Log;
use tokio_util::sync::CancellationToken;

use crate::{
    db::{self, Waiting},
    facts,
};

/// The longest time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// The longest time between two reminders.
const DAILY: Duration = Duration::from_secs(86_400);

/// Watches the queue for what is late.
pub(crate) struct Lateness {
    /// The exchange.
    pub(crate) exchange: ExchangeId,
    /// The connector's log.
    pub(crate) log: Log,
    /// Within what time the exchange declares to answer confirmations.
    pub(crate) confirm_within: Duration,
    /// Within what time it declares that a freeze is binding.
    pub(crate) freeze_within: Duration,
}

/// What is late at some time, and when something can be late next.
#[derive(Debug, PartialEq, Eq)]
struct Late {
    questions: bool,
    orders: bool,
    look_again: Moment,
}

fn late(waiting: &Waiting, confirm_within: Duration, freeze_within: Duration, now: Moment) -> Late {
    let question = waiting.question.map(|since| since + confirm_within);
    let order = waiting.order.map(|since| since + freeze_within);
    let orders = [order, waiting.reminder].into_iter().flatten();
    // What is taken in after now cannot be late sooner than this.
    let unheard_of = now + LOOK.min(confirm_within).min(freeze_within);
    let coming = orders.clone().chain(question).filter(|at| *at > now);
    Late {
        questions: question.is_some_and(|at| at <= now),
        orders: orders.clone().any(|at| at <= now),
        look_again: coming.chain([unheard_of]).min().unwrap_or(unheard_of),
    }
}

/// How long after it was said that an order is overdue it is said again, having been said `said` times before: whenever
/// the wait has doubled, and daily in the end.
fn next_reminder(freeze_within: Duration, said: u32) -> Duration {
    freeze_within.saturating_mul(1 << said.min(31)).min(DAILY)
}

impl Lateness {
    /// Watches until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        while !cancel.is_cancelled() {
            let pause = match self.look().await {
                Ok(again) => Duration::try_from(again - Moment::now_utc()).unwrap_or_default(),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "what is late cannot be looked for");
                    LOOK
                }
            };
            cancel.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        Ok(())
    }

    /// Says what is late; the answer is when to look again.
    async fn look(&self) -> anyhow::Result<Moment> {
        let now = micros(Moment::now_utc());
        let late = late(&db::waiting(self.log.pool()).await?, self.confirm_within, self.freeze_within, now);
        if late.questions {
            self.say_unavailable(now).await?;
        }
        if late.orders {
            self.say_overdue(now).await?;
        }
        Ok(late.look_again)
    }

    async fn say_unavailable(&self, now: Moment) -> anyhow::Result<()> {
        let mut tx = self.log.begin().await?;
        let questions = db::overdue_questions(&mut tx, now - self.confirm_within, now).await?;
        let entries = questions
            .into_iter()
            .map(|(leg, revision, since)| {
                let revision = u32::try_from(revision)?;
                Ok(facts::unavailable(&self.exchange, LegId(leg), revision, since, now))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        self.log.append_all(&mut tx, entries).await?;
        self.log.commit(tx).await?;
        Ok(())
    }

    /// What a machine could not bring, a person has to.
    async fn say_overdue(&self, now: Moment) -> anyhow::Result<()> {
        let mut tx = self.log.begin().await?;
        let overdue = db::overdue_orders(&mut tx, now - self.freeze_within, now).await?;
        for order in &overdue {
            db::remind(&mut tx, order, now, now + next_reminder(self.freeze_within, order.said)).await?;
        }
        let entries = overdue.iter().map(|order| facts::overdue(&self.exchange, order, now)).collect();
        self.log.append_all(&mut tx, entries).await?;
        self.log.commit(tx).await?;
        for order in overdue {
            tracing::warn!(
                exchange = %self.exchange,
                leg = %order.leg,
                revision = order.revision,
                wanted = order.wanted,
                reminders = order.said,
                "no answer to this order for longer than the exchange declares: call its hotline and hand over the \
                 signed order, which `haetae freeze order` prints; delivery goes on"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Moment = Moment::UNIX_EPOCH;
    const CONFIRM: Duration = Duration::from_secs(2);
    const FREEZE: Duration = Duration::from_secs(30);

    fn of(question: Option<Duration>, order: Option<Duration>) -> Late {
        let since = |age: Option<Duration>| age.map(|age| NOW - age);
        let waiting = Waiting { question: since(question), order: since(order), reminder: None };
        late(&waiting, CONFIRM, FREEZE, NOW)
    }

    #[test]
    fn each_kind_is_late_in_its_own_time() {
        let just = |within: Duration| within.saturating_sub(Duration::from_micros(1));
        assert!(of(Some(CONFIRM), None).questions && !of(Some(just(CONFIRM)), None).questions);
        assert!(of(None, Some(FREEZE)).orders && !of(None, Some(just(FREEZE))).orders);
    }

    #[test]
    fn a_reminder_comes_when_it_is_due_and_is_waited_for() {
        let reminder = |at: Moment| Waiting { question: None, order: None, reminder: Some(at) };
        assert!(late(&reminder(NOW), CONFIRM, FREEZE, NOW).orders);
        let soon = late(&reminder(NOW + LOOK / 2), CONFIRM, FREEZE, NOW);
        assert_eq!((soon.orders, soon.look_again), (false, NOW + LOOK / 2));
    }

    #[test]
    fn it_is_looked_again_when_the_next_is_late_and_not_in_between() {
        assert_eq!(of(Some(CONFIRM - LOOK / 2), None).look_again, NOW + LOOK / 2);
        assert_eq!(of(Some(CONFIRM), Some(FREEZE)).look_again, NOW + LOOK);
        assert_eq!(of(None, None).look_again, NOW + LOOK);
        let none = Waiting { question: None, order: None, reminder: None };
        let hasty = late(&none, LOOK / 4, FREEZE, NOW);
        assert_eq!(hasty.look_again, NOW + LOOK / 4);
    }

    #[test]
    fn reminders_come_when_the_wait_has_doubled_and_daily_in_the_end() {
        let waits: Vec<_> = (0..4).map(|said| next_reminder(FREEZE, said)).collect();
        // Said after 30 seconds of waiting, then after 60, 120, 240, 480.
        assert_eq!(waits, [30, 60, 120, 240].map(Duration::from_secs));
        assert_eq!(next_reminder(FREEZE, 40), DAILY);
    }

    proptest! {
        #[test]
        fn reminders_never_come_faster_and_never_end(said: u32, seconds in 1u64..600) {
            let within = Duration::from_secs(seconds);
            prop_assert!(next_reminder(within, said) <= next_reminder(within, said.saturating_add(1)));
            prop_assert!(next_reminder(within, said) <= DAILY);
        }
    }
}
