//! All SQL of the connector.

pub(crate) mod standing;

use haetae_core::{LegId, Moment, RequestId};
use sqlx::{FromRow, PgConnection, PgPool, migrate::Migrator};
use uuid::Uuid;

use crate::delivery::{Settled, Wanted};

/// The connector's own tables.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Postgres channel that says, at commit, that orders may be due.
pub(crate) const DUE: &str = "haetae_connector_due";

/// An order to be delivered.
pub(crate) struct NewDelivery<'a> {
    /// Identity of the order: SHA-256 of its envelope.
    pub(crate) order_sha256: [u8; 32],
    /// The leg.
    pub(crate) leg: LegId,
    /// Its revision.
    pub(crate) revision: u32,
    /// What it wants.
    pub(crate) wanted: Wanted,
    /// The agency whose case it is.
    pub(crate) agency: &'a str,
    /// The case.
    pub(crate) case_number: &'a str,
    /// The exact `SignedOrder`.
    pub(crate) signed_order: Vec<u8>,
    /// Trace of the work that made the order.
    pub(crate) traceparent: &'a str,
    /// When its envelope expires.
    pub(crate) expires_at: Moment,
}

/// An order whose turn it is.
#[derive(FromRow)]
pub(crate) struct Due {
    /// Identity of the order.
    pub(crate) order_sha256: Vec<u8>,
    /// The leg.
    pub(crate) leg_id: Uuid,
    /// Its revision.
    pub(crate) revision: i64,
    /// The exact `SignedOrder`.
    pub(crate) signed_order: Vec<u8>,
    /// Trace of the work that made the order.
    pub(crate) traceparent: String,
    /// When its envelope expires.
    pub(crate) expires_at: Moment,
    /// Attempts so far, this one included.
    pub(crate) attempts: i64,
}

/// Takes an order in, and drops lower revisions of its leg that are still due. Gives the revisions that are dropped without
/// ever having been sent. Read again, it changes nothing; another order with the same leg and revision violates the table's
/// uniqueness.
pub(crate) async fn take_in(tx: &mut PgConnection, delivery: NewDelivery<'_>, now: Moment) -> sqlx::Result<Vec<i64>> {
    let came_late: Option<i64> = sqlx::query_scalar(
        "with taken as (
             insert into delivery
                (order_sha256, leg_id, revision, wanted, agency, case_number, signed_order, traceparent,
                 taken_at, expires_at, next_attempt_at, state, settled_at)
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9,
                    case when late then 'superseded' else 'due' end, case when late then $9 end
             from (select exists (select from delivery where leg_id = $2 and revision > $3) as late) as other
             on conflict (order_sha256) do nothing
             returning revision, state)
         select revision from taken where state = 'superseded'",
    )
    .bind(delivery.order_sha256)
    .bind(delivery.leg.0)
    .bind(i64::from(delivery.revision))
    .bind(delivery.wanted.as_str())
    .bind(delivery.agency)
    .bind(delivery.case_number)
    .bind(delivery.signed_order)
    .bind(delivery.traceparent)
    .bind(now)
    .bind(delivery.expires_at)
    .fetch_optional(&mut *tx)
    .await?;
    let dropped: Vec<i64> = sqlx::query_scalar(
        "with dropped as (
             update delivery set state = 'superseded', settled_at = $3
             where leg_id = $1 and revision < $2 and state = 'due'
             returning revision, attempts)
         select revision from dropped where attempts = 0 order by revision",
    )
    .bind(delivery.leg.0)
    .bind(i64::from(delivery.revision))
    .bind(now)
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query("select pg_notify($1, '')").bind(DUE).execute(tx).await?;
    Ok(dropped.into_iter().chain(came_late).collect())
}

/// Takes up to `limit` orders that are due for an attempt that will be over at `until`: releases first, then freezes
/// that no halt covers, the longest due first; then questions, the newest first. Where more is asked than an exchange may
/// be asked at once, the newest asks about where the money is now; an older one that is not reached in time is said to be
/// without an answer, and asked anew as a new one. Nobody else takes them before then.
pub(crate) async fn claim(pool: &PgPool, now: Moment, until: Moment, limit: i64) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as(
        "update delivery set attempts = attempts + 1, claimed_until = $2
         where order_sha256 in (
             select order_sha256 from sendable
             where next_attempt_at <= $1 and (claimed_until is null or claimed_until <= $1)
             order by case wanted when 'release' then 0 when 'freeze' then 1 else 2 end,
                      case wanted when 'question' then taken_at end desc, next_attempt_at
             limit $3
             for update skip locked)
         returning order_sha256, leg_id, revision, signed_order, traceparent, expires_at, attempts",
    )
    .bind(now)
    .bind(until)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// When, after `now`, the next order becomes due or a claim runs out.
pub(crate) async fn next_due(pool: &PgPool, now: Moment) -> sqlx::Result<Option<Moment>> {
    sqlx::query_scalar(
        "select min(greatest(next_attempt_at, claimed_until)) from sendable
         where greatest(next_attempt_at, claimed_until) > $1",
    )
    .bind(now)
    .fetch_one(pool)
    .await
}

/// Whether any order may be sent, now or later.
pub(crate) async fn anything_to_send(pool: &PgPool) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from sendable)").fetch_one(pool).await
}

/// Sets an order aside until its next attempt, unless its claim has run out and somebody else has begun another.
pub(crate) async fn postpone(pool: &PgPool, due: &Due, next: Moment) -> sqlx::Result<()> {
    sqlx::query(
        "update delivery set next_attempt_at = $3, claimed_until = null
         where order_sha256 = $1 and attempts = $2 and state = 'due'",
    )
    .bind(&due.order_sha256)
    .bind(due.attempts)
    .bind(next)
    .execute(pool)
    .await?;
    Ok(())
}

/// The exchange answers again: everything that waits is due at once. Attempts under way are not begun anew.
pub(crate) async fn hurry(pool: &PgPool, now: Moment) -> sqlx::Result<()> {
    sqlx::query(
        "with hurried as (
             update delivery set next_attempt_at = $1 where state = 'due' and next_attempt_at > $1 returning 1)
         select pg_notify($2, '') where exists (select from hurried)",
    )
    .bind(now)
    .bind(DUE)
    .execute(pool)
    .await?;
    Ok(())
}

/// Notes what was wrong with an order's answer. False where the same was noted before.
pub(crate) async fn note_fault(tx: &mut PgConnection, order_sha256: &[u8], fault: &str) -> sqlx::Result<bool> {
    let noted = sqlx::query("update delivery set fault = $2 where order_sha256 = $1 and fault is distinct from $2")
        .bind(order_sha256)
        .bind(fault)
        .execute(tx)
        .await?;
    Ok(noted.rows_affected() == 1)
}

/// An order is settled. False where another attempt has settled it before.
pub(crate) async fn settle(
    tx: &mut PgConnection,
    order_sha256: &[u8],
    state: Settled,
    now: Moment,
) -> sqlx::Result<bool> {
    let settled = sqlx::query(
        "update delivery set state = $2, settled_at = $3 where order_sha256 = $1 and state in ('due', 'superseded')",
    )
    .bind(order_sha256)
    .bind(state.as_str())
    .bind(now)
    .execute(tx)
    .await?;
    Ok(settled.rows_affected() == 1)
}

/// Removes up to `limit` orders that were settled by `by`, of legs of which nothing is due any more: what is due keeps
/// its leg's earlier orders. Returns how many.
pub(crate) async fn forget(pool: &PgPool, by: Moment, limit: i64) -> sqlx::Result<u64> {
    let forgotten = sqlx::query(
        "delete from delivery where order_sha256 in (
             select order_sha256 from delivery d
             where state <> 'due' and settled_at <= $1
               and not exists (select from delivery o where o.leg_id = d.leg_id and o.state = 'due')
             order by settled_at limit $2
             for update skip locked)",
    )
    .bind(by)
    .bind(limit)
    .execute(pool)
    .await?;
    Ok(forgotten.rows_affected())
}

/// Notes when orders were settled where a replica of an earlier version has not.
pub(crate) async fn note_settled(pool: &PgPool, now: Moment) -> sqlx::Result<()> {
    sqlx::query("update delivery set settled_at = $1 where state <> 'due' and settled_at is null")
        .bind(now)
        .execute(pool)
        .await?;
    Ok(())
}

/// Notes that the exchange answered something.
pub(crate) async fn answered_at(tx: &mut PgConnection, now: Moment) -> sqlx::Result<()> {
    sqlx::query("update line set last_answer = greatest(last_answer, $1)").bind(now).execute(tx).await?;
    Ok(())
}

/// What waits for an answer, and about which there may be something to say.
#[derive(FromRow)]
pub(crate) struct Waiting {
    /// When the oldest question was taken in of which nothing was said yet.
    pub(crate) question: Option<Moment>,
    /// Since when the oldest freeze or release waits of which nothing was said yet; freezes that a halt holds back are
    /// not missing an answer.
    pub(crate) order: Option<Moment>,
    /// When the next freeze or release is to be reminded of.
    pub(crate) reminder: Option<Moment>,
}

/// Looks for what there may be something to say about.
pub(crate) async fn waiting(pool: &PgPool) -> sqlx::Result<Waiting> {
    sqlx::query_as(
        "select min(taken_at) filter (where wanted = 'question' and unavailable_at is null) as question,
                min(coalesce(resumed_at, taken_at)) filter (where wanted <> 'question' and overdue_at is null) as \"order\",
                min(coalesce(remind_at, overdue_at)) filter (where wanted <> 'question') as reminder
         from sendable",
    )
    .fetch_one(pool)
    .await
}

/// Questions taken in by `by`, still due, of which the log has not said so yet; they are marked as said.
pub(crate) async fn overdue_questions(
    tx: &mut PgConnection,
    by: Moment,
    now: Moment,
) -> sqlx::Result<Vec<(Uuid, i64, Moment)>> {
    sqlx::query_as(
        "update delivery set unavailable_at = $2
         where order_sha256 in (
             select order_sha256 from delivery
             where state = 'due' and wanted = 'question' and unavailable_at is null and taken_at <= $1
             for update skip locked)
         returning leg_id, revision, taken_at",
    )
    .bind(by)
    .bind(now)
    .fetch_all(tx)
    .await
}

/// A freeze or release that has waited too long for its answer.
pub(crate) struct Overdue {
    /// Identity of the order.
    pub(crate) order_sha256: Vec<u8>,
    /// The leg.
    pub(crate) leg: LegId,
    /// Its revision.
    pub(crate) revision: u32,
    /// What it wants.
    pub(crate) wanted: String,
    /// Since when it waits.
    pub(crate) since: Moment,
    /// How often this was said before.
    pub(crate) said: u32,
}

/// Freezes and releases that have waited since `by` or earlier and of which nothing was said yet, and those that are to
/// be reminded of; locked. Those that another replica has in hand are passed over.
pub(crate) async fn overdue_orders(tx: &mut PgConnection, by: Moment, now: Moment) -> sqlx::Result<Vec<Overdue>> {
    let rows: Vec<(Vec<u8>, Uuid, i64, String, Moment, i64)> = sqlx::query_as(
        "select order_sha256, leg_id, revision, wanted, coalesce(resumed_at, taken_at), overdue_said
         from delivery
         where order_sha256 in (select order_sha256 from sendable where wanted <> 'question')
           and (case when overdue_at is null then coalesce(resumed_at, taken_at) <= $1
                     else coalesce(remind_at, overdue_at) <= $2 end)
         order by taken_at
         for update skip locked",
    )
    .bind(by)
    .bind(now)
    .fetch_all(tx)
    .await?;
    let counted = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    let read = |(order_sha256, leg, revision, wanted, since, said)| Overdue {
        order_sha256,
        leg: LegId(leg),
        revision: counted(revision),
        wanted,
        since,
        said: counted(said),
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Notes that it was said of an order, and when it is to be said again.
pub(crate) async fn remind(tx: &mut PgConnection, order: &Overdue, now: Moment, again: Moment) -> sqlx::Result<()> {
    sqlx::query(
        "update delivery set overdue_at = $2, remind_at = $3, overdue_said = overdue_said + 1 where order_sha256 = $1",
    )
    .bind(&order.order_sha256)
    .bind(now)
    .bind(again)
    .execute(tx)
    .await?;
    Ok(())
}

/// A halt comes into force: for one case, or for all orders to the exchange.
pub(crate) async fn halt(tx: &mut PgConnection, request: RequestId, case: Option<(&str, &str)>) -> sqlx::Result<()> {
    sqlx::query("insert into halt (request_id, agency, case_number) values ($1, $2, $3) on conflict do nothing")
        .bind(request.0)
        .bind(case.map(|c| c.0))
        .bind(case.map(|c| c.1))
        .execute(tx)
        .await?;
    Ok(())
}

/// Halts of this scope end. What they held back waits for its answer from now on.
pub(crate) async fn resume(tx: &mut PgConnection, case: Option<(&str, &str)>, now: Moment) -> sqlx::Result<()> {
    sqlx::query(
        "with lifted as (
             delete from halt where agency is not distinct from $1 and case_number is not distinct from $2 returning 1)
         update delivery set resumed_at = $3, overdue_at = null, remind_at = null, overdue_said = 0
         where state = 'due' and wanted = 'freeze' and ($1 is null or (agency = $1 and case_number = $2))
           and exists (select from lifted)",
    )
    .bind(case.map(|c| c.0))
    .bind(case.map(|c| c.1))
    .bind(now)
    .execute(&mut *tx)
    .await?;
    sqlx::query("select pg_notify($1, '')").bind(DUE).execute(tx).await?;
    Ok(())
}

/// How far the exchange's log has been read.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub(crate) struct ExchangeCursor {
    /// Which log.
    pub(crate) log_id: String,
    /// Its epoch.
    pub(crate) epoch: i64,
    /// The last sequence stored.
    pub(crate) sequence: i64,
}

/// Reads the cursor.
pub(crate) async fn exchange_cursor(pool: &PgPool) -> sqlx::Result<ExchangeCursor> {
    sqlx::query_as("select log_id, epoch, sequence from exchange_cursor").fetch_one(pool).await
}

/// Reads the cursor and keeps other replicas from moving it.
pub(crate) async fn lock_exchange_cursor(tx: &mut PgConnection) -> sqlx::Result<ExchangeCursor> {
    sqlx::query_as("select log_id, epoch, sequence from exchange_cursor for update").fetch_one(tx).await
}

/// Moves the cursor.
pub(crate) async fn move_exchange_cursor(tx: &mut PgConnection, to: &ExchangeCursor) -> sqlx::Result<()> {
    sqlx::query("update exchange_cursor set log_id = $1, epoch = $2, sequence = $3, refused = null")
        .bind(&to.log_id)
        .bind(to.epoch)
        .bind(to.sequence)
        .execute(tx)
        .await?;
    Ok(())
}

/// Notes the event that cannot be read past. False where it was noted before.
pub(crate) async fn refuse_event(tx: &mut PgConnection, sha256: &[u8]) -> sqlx::Result<bool> {
    let noted = sqlx::query("update exchange_cursor set refused = $1 where refused is distinct from $1")
        .bind(sha256)
        .execute(tx)
        .await?;
    Ok(noted.rows_affected() == 1)
}

/// How the line is doing.
#[derive(FromRow)]
pub(crate) struct LineStatus {
    /// When the exchange last answered.
    pub(crate) last_answer: Option<Moment>,
    /// Orders without an answer.
    pub(crate) undelivered: i64,
    /// When the oldest of them was taken in.
    pub(crate) oldest: Option<Moment>,
    /// Freezes and releases among them of which the log says that they are overdue.
    pub(crate) overdue: i64,
}

/// Reads how the line is doing.
pub(crate) async fn status(pool: &PgPool) -> sqlx::Result<LineStatus> {
    sqlx::query_as(
        "select last_answer, undelivered, oldest, overdue
         from line, lateral (
             select count(*) as undelivered, min(taken_at) as oldest,
                    count(*) filter (where overdue_at is not null) as overdue
             from delivery where state = 'due') as waiting",
    )
    .fetch_one(pool)
    .await
}
