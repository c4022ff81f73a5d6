//! What the log of one exchange's connector says: the exchange's own signed words, and what it never saw.
//!
//! The connector is not believed: a statement counts if the exchange's pinned key signed it and it answers an order of
//! ours, byte for byte. What does not is counted and otherwise ignored; the connector's log keeps it.

use async_trait::async_trait;
use haetae_core::{EventContent, ExchangeId, LegId, LegReport, LegState, Moment, Refusal};
use haetae_ledger::{FollowedEntry, HandleError, Handler};
use haetae_wire::connector::v1::{EventReceived, ExchangeLogAnew, OrderUndelivered, ReceiptReceived};
use haetae_wire::signed::{StatementFault, open_event, open_receipt};
use prost::Message;
use sqlx::PgConnection;

use crate::authority::Command;
use crate::db;
use crate::decisions::{Decisions, now};
use crate::leg::Reported;
use crate::metrics::{Ignored, METRICS};

/// Follows the connector of one exchange.
pub(crate) struct Answers {
    pub(crate) exchange: ExchangeId,
    pub(crate) decisions: Decisions,
}

#[async_trait]
impl Handler for Answers {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        let (exchange, keys) = (&self.exchange, &self.decisions.orders.keyring);
        match entry.kind.as_str() {
            "receipt" => {
                let fact = ReceiptReceived::decode(entry.payload.as_slice())?;
                match open_receipt(&fact.receipt, keys, exchange, None) {
                    Ok(receipt) => self.heard(tx, receipt.report, receipt.at, entry.time).await,
                    Err(fault) => self.unverified(tx, &fact.leg_id, fault).await,
                }
            }
            "event" => {
                let fact = EventReceived::decode(entry.payload.as_slice())?;
                match open_event(&fact.event, keys, exchange).map(|event| (event.content, event.at)) {
                    Ok((EventContent::Report(report), at)) => self.heard(tx, report, at, entry.time).await,
                    // Intake's to read.
                    Ok((EventContent::SuspiciousActivity(_), _)) => Ok(()),
                    Err(fault) => self.unverified(tx, &fact.leg_id, fault).await,
                }
            }
            "exchange-log-anew" => self.anew(tx, &ExchangeLogAnew::decode(entry.payload.as_slice())?).await,
            "undelivered" => self.undelivered(tx, &OrderUndelivered::decode(entry.payload.as_slice())?).await,
            _ => Ok(()),
        }
    }
}

impl Answers {
    async fn heard(
        &self,
        tx: &mut PgConnection,
        report: LegReport,
        at: Moment,
        stored_at: Moment,
    ) -> Result<(), HandleError> {
        // Answers to tracking's questions come the same way.
        if report.state == LegState::Answered {
            return Ok(());
        }
        db::take_turn(tx).await?;
        let Some(request) = db::request_of(tx, report.leg, &self.exchange).await? else {
            return ignore(&self.exchange, Ignored::NoSuchLeg);
        };
        let ordered = db::order_identity(tx, report.leg, report.revision.get()).await?;
        if ordered != Some(report.order_sha256) {
            return ignore(&self.exchange, Ignored::OtherOrder);
        }
        let for_now = report.refusal.as_ref().is_some_and(Refusal::is_for_now);
        let reported = Reported {
            revision: report.revision,
            state: report.state,
            at,
            frozen: report.frozen,
            refusal: report.refusal.map(|refusal| refusal.reason),
        };
        let command = Command::Reported { leg: report.leg, reported, holder: report.holder, for_now, stored_at };
        self.decisions.decide(tx, request, command, now()).await
    }

    /// A statement that does not verify. The connector wrote it down because it did for him: where the key is not known here, one
    /// of the two registries is the older one. It is as good as no answer, and the exchange is asked for another.
    async fn unverified(&self, tx: &mut PgConnection, leg: &str, fault: StatementFault) -> Result<(), HandleError> {
        if fault.is_unknown_key()
            && let Ok(leg) = leg.parse()
        {
            db::take_turn(tx).await?;
            if let Some(request) = db::request_of(tx, leg, &self.exchange).await? {
                self.decisions.decide(tx, request, Command::Unheard(leg), now()).await?;
            }
        }
        ignore(&self.exchange, Ignored::NotSigned)
    }

    /// Every freeze and release there that stands is ordered again, soon. At an exchange that lost nothing that changes nothing.
    async fn anew(&self, tx: &mut PgConnection, fact: &ExchangeLogAnew) -> Result<(), HandleError> {
        if fact.exchange != self.exchange.as_str() {
            return ignore(&self.exchange, Ignored::OtherExchange);
        }
        Ok(db::restate(tx, &self.exchange, now()).await?)
    }

    async fn undelivered(&self, tx: &mut PgConnection, fact: &OrderUndelivered) -> Result<(), HandleError> {
        if fact.exchange != self.exchange.as_str() {
            return ignore(&self.exchange, Ignored::OtherExchange);
        }
        let leg: LegId = fact.leg_id.parse().map_err(HandleError::poison)?;
        db::take_turn(tx).await?;
        // Tracking's questions expire too.
        let Some(request) = db::request_of(tx, leg, &self.exchange).await? else { return Ok(()) };
        let command = Command::Undelivered { leg, revision: fact.revision };
        self.decisions.decide(tx, request, command, now()).await
    }
}

/// Not poison: read again, it would be ignored again.
fn ignore(exchange: &ExchangeId, why: Ignored) -> Result<(), HandleError> {
    METRICS.ignored(exchange, why);
    Ok(())
}
