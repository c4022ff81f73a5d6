//! Legs in the database: what a book tells of credits and asks before it lets money go, and periods that end.

use haetae_core::{Amount, Asset, LegId, LegReport, Moment};
use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};
use sqlx::{PgConnection, PgPool, PgTransaction};

use super::book::{AccountKey, Credit};
use super::leg::{Freeze, Happened, Leg};
use super::log::EventLog;
use super::{db, withheld};

/// The legs of one exchange. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Legs {
    pool: PgPool,
    log: EventLog,
    reports: Counter<u64>,
}

impl Legs {
    pub(crate) fn new(pool: PgPool, log: EventLog) -> Self {
        let reports = global::meter("haetae")
            .u64_counter("haetae.exchange.reports")
            .with_unit("{report}")
            .with_description("What the rehearsal exchange reported of legs, by their state")
            .build();
        Self { pool, log, reports }
    }

    pub(super) fn log(&self) -> &EventLog {
        &self.log
    }

    /// Begins a transaction, to be ended with [`commit`](Self::commit).
    pub(crate) async fn begin(&self) -> Result<PgTransaction<'static>, sqlx::Error> {
        self.pool.begin().await
    }

    /// Commits, and wakes those who follow the log.
    pub(crate) async fn commit(&self, tx: PgTransaction<'_>) -> Result<(), sqlx::Error> {
        self.log.commit(tx).await
    }

    /// Money was credited: freezes that lay claim to it withhold it, in the same transaction. The book holds the account
    /// until that ends, and takes no further locks after this.
    pub(crate) async fn credited(
        &self,
        tx: &mut PgConnection,
        credit: &Credit,
        now: Moment,
    ) -> Result<(), sqlx::Error> {
        for leg in db::legs_on(tx, &credit.account, &credit.asset).await? {
            self.happened(tx, leg, Happened::Credited(credit), now).await?;
        }
        Ok(())
    }

    /// What of a balance must stay. The book holds the account until the transaction ends, and lets go of no more than
    /// the rest.
    pub(crate) async fn withheld(
        &self,
        tx: &mut PgConnection,
        account: &AccountKey,
        asset: &Asset,
        balance: Amount,
        now: Moment,
    ) -> Result<Amount, sqlx::Error> {
        let mut freezes: Vec<Freeze> = Vec::new();
        for leg in db::legs_on(tx, account, asset).await? {
            freezes.extend(self.happened(tx, leg, Happened::TimePassed, now).await?.freeze);
        }
        Ok(withheld::withheld(&freezes, balance))
    }

    /// Ends freezes whose period is over; true where there may be more.
    pub(crate) async fn expire(&self, now: Moment) -> Result<bool, sqlx::Error> {
        let due = db::legs_due(&self.pool, now).await?;
        for leg in &due {
            let mut tx = self.begin().await?;
            if let Some(leg) = db::leg(&mut tx, *leg).await? {
                self.happened(&mut tx, leg, Happened::TimePassed, now).await?;
            }
            self.commit(tx).await?;
        }
        Ok(!due.is_empty())
    }

    /// What was last said of a leg; none where it was never heard of.
    pub(super) async fn report(&self, leg: LegId) -> Result<Option<LegReport>, sqlx::Error> {
        db::report(&self.pool, leg).await
    }

    /// Writes a leg that an order changed, and says so in the log. An answer to a question is complete in its receipt.
    pub(super) async fn changed(&self, tx: &mut PgConnection, leg: &Leg, now: Moment) -> Result<(), sqlx::Error> {
        db::put_leg(tx, leg).await?;
        self.reports.add(1, &[KeyValue::new("state", format!("{:?}", leg.report.state))]);
        if leg.report.confirmation.is_none() { self.log.append(tx, leg.report.clone(), now).await } else { Ok(()) }
    }

    async fn happened(
        &self,
        tx: &mut PgConnection,
        leg: Leg,
        happened: Happened<'_>,
        now: Moment,
    ) -> Result<Leg, sqlx::Error> {
        let Some(after) = leg.after(happened, now) else { return Ok(leg) };
        self.changed(tx, &after, now).await?;
        Ok(after)
    }
}
