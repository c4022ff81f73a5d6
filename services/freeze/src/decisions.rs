//! The shell around every decision: load, decide, sign, store, append; in the caller's transaction.

use std::collections::{BTreeMap, BTreeSet};

use haetae_core::{CaseRef, ExchangeId, LegId, Moment, RequestId, micros};
use haetae_ledger::{HandleError, Log, NewEntry};
use haetae_wire::signed::order_identity;
use sqlx::{Connection, PgConnection};
use tracing::Instrument;

use crate::authority::{Authority, Command, Event, Now};
use crate::brake::{self, Scope};
use crate::db::{self, Signed};
use crate::leg::{self, Pace};
use crate::metrics::{METRICS, acknowledged};
use crate::orders::Orders;
use crate::{facts, standing};

/// How long what cannot be sent is put off.
const PUT_OFF: time::Duration = time::Duration::MINUTE;

/// Carries decisions out.
#[derive(Clone)]
pub(crate) struct Decisions {
    pub(crate) log: Log,
    pub(crate) orders: Orders,
    pub(crate) pace: Pace,
    /// All exchanges of the registry.
    pub(crate) exchanges: BTreeSet<ExchangeId>,
}

/// Now, as it is stored and signed.
pub(crate) fn now() -> Moment {
    micros(Moment::now_utc())
}

impl Decisions {
    /// Decides what follows for one authority and writes it down. The caller holds the turn.
    ///
    /// # Errors
    /// When an order cannot be signed, or the database fails.
    pub(crate) async fn decide(
        &self,
        conn: &mut PgConnection,
        request: RequestId,
        command: Command,
        now: Moment,
    ) -> Result<(), HandleError> {
        let Some(before) = db::load(conn, request).await? else { return Ok(()) };
        let brake = db::brake(conn).await?;
        let contested = db::contested(conn, request).await?;
        let stored_at = match &command {
            Command::Reported { stored_at, .. } => *stored_at,
            _ => now,
        };
        let events = before.decide(command, Now { at: now, brake: &brake, contested: &contested, pace: self.pace });
        if events.is_empty() {
            return Ok(());
        }
        let (mut after, mut signed, mut entries) = (before.clone(), BTreeMap::new(), Vec::new());
        for event in &events {
            after.apply(event);
            entries.extend(self.carry_out(conn, &after, event, &mut signed, now).await?);
        }
        // A leg is told once, as all of this leaves it.
        for (id, leg) in &after.legs {
            if before.legs.get(id) != Some(leg) {
                entries.push(facts::leg(leg, now));
            }
        }
        db::save(conn, &before, &after, &signed).await?;
        self.log.append_all(conn, entries).await?;
        METRICS.decided(&after, &events);
        for leg in acknowledged(&after, &events) {
            if let Some(ordered) = db::release_ordered_at(conn, leg.id).await? {
                METRICS.released(&leg.exchange, ordered, stored_at);
            }
        }
        Ok(())
    }

    /// What others must hear of an event.
    async fn carry_out(
        &self,
        conn: &mut PgConnection,
        authority: &Authority,
        event: &Event,
        signed: &mut BTreeMap<(LegId, u32), Signed>,
        now: Moment,
    ) -> Result<Option<NewEntry>, HandleError> {
        match event {
            Event::Leg(id, leg::Event::Ordered { revision, at, desired, grounds }) => {
                let Some(leg) = authority.legs.get(id) else { return Ok(None) };
                let envelope = self.orders.sign(conn, leg, *revision, *desired, grounds, *at).await?;
                signed.insert((*id, revision.get()), Signed { identity: order_identity(&envelope), at: *at });
                Ok(Some(facts::order(*id, &leg.exchange, envelope, now)))
            }
            Event::Standing(standing::Event::Waits { found, why }) => Ok(authority
                .standing
                .as_ref()
                .map(|standing| facts::unserved(authority.request, &standing.terms, found, *why, now))),
            Event::Ended => Ok(Some(facts::ended(authority.request, &authority.case, now))),
            Event::Standing(_) | Event::Opened(_) | Event::Leg(..) => Ok(None),
        }
    }

    /// Stops orders or lets them go again, tells the connectors, and after a resume sends what had waited, oldest
    /// first. The caller holds the turn.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub(crate) async fn move_brake(
        &self,
        conn: &mut PgConnection,
        request: RequestId,
        case: &CaseRef,
        command: brake::Command,
        now: Moment,
    ) -> Result<(), HandleError> {
        let before = db::brake(conn).await?;
        // A refusal means that there is nothing to do: the halt is in force already, or lifted already.
        let Ok(events) = before.decide(command, now) else { return Ok(()) };
        let mut after = before.clone();
        let mut entries = Vec::new();
        let mut resumed = false;
        for event in &events {
            after.apply(event);
            let (halted, scope) = match event {
                brake::Event::Halted(halt) => {
                    db::halt(conn, halt).await?;
                    (true, &halt.scope)
                }
                brake::Event::Resumed(scope) => {
                    let of_scope: Vec<_> = before.halts().iter().filter(|halt| halt.scope == *scope).cloned().collect();
                    db::lift(conn, &of_scope).await?;
                    (false, scope)
                }
            };
            resumed |= !halted;
            let (reached, of_case) = match scope {
                Scope::Case { agency, number } => (db::exchanges_of_case(conn, agency, number).await?, Some(case)),
                Scope::Everything | Scope::Exchange(_) => (self.exchanges.clone(), None),
            };
            let told = before.told(&after, scope, &reached);
            entries.extend(told.iter().map(|exchange| facts::dispatch(halted, request, exchange, of_case, now)));
        }
        self.log.append_all(conn, entries).await?;
        if resumed {
            for request in db::waiting(conn).await? {
                self.resume(conn, request, now).await?;
            }
        }
        Ok(())
    }

    /// Sends what had waited under one authority. What one lacks must not hold up the others: it goes on waiting, and is
    /// [tried again](Self::send_what_no_halt_stops).
    async fn resume(&self, conn: &mut PgConnection, request: RequestId, now: Moment) -> Result<(), HandleError> {
        let mut savepoint = conn.begin().await?;
        match self.decide(&mut savepoint, request, Command::Resume, now).await {
            Ok(()) => Ok(savepoint.commit().await?),
            Err(HandleError::Poison(error)) => {
                savepoint.rollback().await?;
                tracing::error!(%request, error = format!("{error:#}"), "what had waited cannot be sent");
                Ok(())
            }
            Err(retry) => Err(retry),
        }
    }

    /// Sends what is owed and due.
    ///
    /// # Errors
    /// When the database fails, or an order cannot be signed; the others are sent nevertheless.
    pub(crate) async fn send_what_is_due(&self, now: Moment) -> anyhow::Result<()> {
        for (request, exchange) in db::restating(self.log.pool()).await? {
            let mut tx = self.log.begin().await?;
            db::take_turn(&mut tx).await?;
            if db::restated(&mut tx, request, &exchange).await? {
                let told = self.decide(&mut tx, request, Command::Restate(exchange), now).await;
                told.map_err(|(HandleError::Poison(error) | HandleError::Retry(error))| error)?;
            }
            self.log.commit(tx).await?;
        }
        let mut conn = self.log.pool().acquire().await?;
        let due = db::due(&mut conn, now).await?;
        drop(conn);
        self.tell_each(due, &Command::Due, now).await
    }

    /// Sends what waits for a resume that has been: then it could not be sent.
    ///
    /// # Errors
    /// As [`send_what_is_due`](Self::send_what_is_due).
    pub(crate) async fn send_what_no_halt_stops(&self, now: Moment) -> anyhow::Result<()> {
        let left: Vec<RequestId> = db::left_waiting(self.log.pool()).await?.into_keys().collect();
        self.tell_each(left, &Command::Resume, now).await
    }

    /// Decides for one authority after the other, in a transaction each: what one lacks must not hold up another's release.
    async fn tell_each(&self, requests: Vec<RequestId>, command: &Command, now: Moment) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for request in requests {
            let mut tx = self.log.begin().await?;
            db::take_turn(&mut tx).await?;
            let span = tracing::info_span!("send what is due", %request);
            match self.decide(&mut tx, request, command.clone(), now).instrument(span).await {
                Ok(()) => self.log.commit(tx).await?,
                Err(HandleError::Poison(error)) => {
                    drop(tx);
                    db::put_off(self.log.pool(), request, now, now + PUT_OFF).await?;
                    outcome = Err(error);
                }
                Err(HandleError::Retry(error)) => outcome = Err(error),
            }
        }
        outcome
    }
}
