//! What is said when no answer comes in the time that the exchange declares: a fact about a question, a warning about a
//! freeze or a release. Delivery goes on.

use std::time::Duration;

use haetae_core::{ExchangeId, LegId, Moment, micros};
use haetae_ledger::Log;
use tokio_util::sync::CancellationToken;

use crate::{
    db::{self, Unsaid},
    facts,
};

/// The longest time between two looks.
const LOOK: Duration = Duration::from_secs(1);

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

fn late(unsaid: &Unsaid, confirm_within: Duration, freeze_within: Duration, now: Moment) -> Late {
    let question = unsaid.question.map(|since| since + confirm_within);
    let order = unsaid.order.map(|since| since + freeze_within);
    // What is taken in after now cannot be late sooner than this.
    let unheard_of = now + LOOK.min(confirm_within).min(freeze_within);
    let coming = [question, order].into_iter().flatten().filter(|at| *at > now);
    Late {
        questions: question.is_some_and(|at| at <= now),
        orders: order.is_some_and(|at| at <= now),
        look_again: coming.chain([unheard_of]).min().unwrap_or(unheard_of),
    }
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
        let late = late(&db::unsaid(self.log.pool()).await?, self.confirm_within, self.freeze_within, now);
        if late.questions {
            self.say_unavailable(now).await?;
        }
        if late.orders {
            self.warn(now).await?;
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

    /// What a machine could not bring, a person has to: once for each order.
    async fn warn(&self, now: Moment) -> anyhow::Result<()> {
        for (leg, revision, wanted) in db::overdue_orders(self.log.pool(), now - self.freeze_within, now).await? {
            tracing::warn!(
                exchange = %self.exchange,
                %leg,
                revision,
                wanted,
                "no answer to this order for longer than the exchange declares: call its hotline, which its Describe \
                 names, and hand over the signed order; delivery goes on"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::UNIX_EPOCH;
    const CONFIRM: Duration = Duration::from_secs(2);
    const FREEZE: Duration = Duration::from_secs(30);

    fn of(question: Option<Duration>, order: Option<Duration>) -> Late {
        let unsaid = Unsaid { question: question.map(|age| NOW - age), order: order.map(|age| NOW - age) };
        late(&unsaid, CONFIRM, FREEZE, NOW)
    }

    #[test]
    fn each_kind_is_late_in_its_own_time() {
        let just = |within: Duration| within.saturating_sub(Duration::from_micros(1));
        assert!(of(Some(CONFIRM), None).questions && !of(Some(just(CONFIRM)), None).questions);
        assert!(of(None, Some(FREEZE)).orders && !of(None, Some(just(FREEZE))).orders);
    }

    #[test]
    fn it_is_looked_again_when_the_next_is_late_and_not_in_between() {
        assert_eq!(of(Some(CONFIRM - LOOK / 2), None).look_again, NOW + LOOK / 2);
        assert_eq!(of(Some(CONFIRM), Some(FREEZE)).look_again, NOW + LOOK);
        assert_eq!(of(None, None).look_again, NOW + LOOK);
        let hasty = late(&Unsaid { question: None, order: None }, LOOK / 4, FREEZE, NOW);
        assert_eq!(hasty.look_again, NOW + LOOK / 4);
    }
}
