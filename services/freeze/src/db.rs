//! All SQL. What must not be decided side by side is decided under the [`turn`](take_turn).

mod authorities;
mod halts;
mod legs;
mod measures;
mod statements;
mod text;

use std::collections::BTreeMap;

use haetae_core::{ExchangeId, LegId, Moment, RequestId, Target, WatchId};
use sqlx::migrate::Migrator;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub(crate) use authorities::{create, load, save};
pub(crate) use halts::{brake, halt, lift};
pub(crate) use legs::{Signed, page};
pub(crate) use measures::{STATES, legs_by_state, oldest_unanswered, release_ordered_at};
pub(crate) use statements::{
    arrival_envelope, arrivals_of, authorisation, cancellation, contest, contested, exchanges_of_case, in_force,
    retract_arrival, store_arrival, store_authorisation,
};

/// The service's tables.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Waits until nobody else decides. Everything read afterwards holds until the transaction ends.
///
/// # Errors
/// When the database fails.
pub(crate) async fn take_turn(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("select from turn for update").execute(conn).await?;
    Ok(())
}

/// The standing freezes of a watch.
///
/// # Errors
/// When the database fails.
pub(crate) async fn standing_on(conn: &mut PgConnection, watch: WatchId) -> Result<Vec<RequestId>, sqlx::Error> {
    requests(sqlx::query_scalar("select request from authority where watch = $1 order by request").bind(watch.0), conn)
        .await
}

/// Under which requests something is or was frozen at an account for a watch.
///
/// # Errors
/// When the database fails.
pub(crate) async fn frozen_at(
    conn: &mut PgConnection,
    watch: WatchId,
    target: &Target,
) -> Result<Vec<RequestId>, sqlx::Error> {
    let query = sqlx::query_scalar(
        "select distinct request from leg
         where watch = $1 and account = $2 and memo is not distinct from $3 order by request",
    )
    .bind(watch.0)
    .bind(target.account.to_string())
    .bind(&target.memo);
    requests(query, conn).await
}

/// Where something waits that a resume may let go, oldest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn waiting(conn: &mut PgConnection) -> Result<Vec<RequestId>, sqlx::Error> {
    let query = sqlx::query_scalar(
        "select request from (
            select c.request, a.number as number, null::timestamptz as opened_at
            from claim c join arrival a on a.id = c.arrival and a.exchange = c.exchange
            where c.rest in ('halted', 'legs-per-hour', 'holders')
            union all
            select request, null, opened_at from leg where owed_on_resume
         ) as waits
         group by request order by min(opened_at) nulls last, min(number) nulls last, request",
    );
    requests(query, conn).await
}

/// Notes that everything at an exchange has to be ordered again, request by request.
///
/// # Errors
/// When the database fails.
pub(crate) async fn restate(conn: &mut PgConnection, exchange: &ExchangeId, now: Moment) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into restating (request, exchange)
         select distinct request, exchange from leg
         where exchange = $1 and revision > 0 and (cap is null or until > $2)
         on conflict do nothing",
    )
    .bind(exchange.as_str())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Some of what has to be ordered again.
///
/// # Errors
/// When the database fails.
pub(crate) async fn restating(pool: &PgPool) -> Result<Vec<(RequestId, ExchangeId)>, sqlx::Error> {
    let rows: Vec<(Uuid, String)> =
        sqlx::query_as("select request, exchange from restating order by request limit 20").fetch_all(pool).await?;
    rows.into_iter()
        .map(|(request, exchange)| Ok((RequestId(request), text::parse(&exchange, "an exchange")?)))
        .collect()
}

/// Notes that a request's legs at an exchange are ordered again. False where another replica has.
///
/// # Errors
/// When the database fails.
pub(crate) async fn restated(
    conn: &mut PgConnection,
    request: RequestId,
    exchange: &ExchangeId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("delete from restating where request = $1 and exchange = $2")
        .bind(request.0)
        .bind(exchange.as_str())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// What a request owes and cannot send waits until then: others come before it meanwhile.
///
/// # Errors
/// When the database fails.
pub(crate) async fn put_off(pool: &PgPool, request: RequestId, now: Moment, until: Moment) -> Result<(), sqlx::Error> {
    sqlx::query("update leg set owed_at = $3 where request = $1 and owed_at <= $2")
        .bind(request.0)
        .bind(now)
        .bind(until)
        .execute(pool)
        .await?;
    Ok(())
}

/// What waits for a resume though no halt stops it any more: how much of it, by request. It could not be sent.
///
/// # Errors
/// When the database fails.
pub(crate) async fn left_waiting(pool: &PgPool) -> Result<BTreeMap<RequestId, u64>, sqlx::Error> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(
        "select w.request, count(*) from (
            select request, exchange from claim where rest = 'halted'
            union all
            select request, exchange from leg where owed_on_resume
         ) as w join authority a on a.request = w.request
         where not exists (
            select from halt h
            where h.scope = 'everything' or (h.scope = 'exchange' and h.exchange = w.exchange)
               or (h.scope = 'case' and h.agency = a.agency and h.case_number = a.case_number))
         group by w.request",
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(request, count)| (RequestId(request), count.unsigned_abs())).collect())
}

/// Where an order is owed whose time has come.
///
/// # Errors
/// When the database fails.
pub(crate) async fn due(conn: &mut PgConnection, now: Moment) -> Result<Vec<RequestId>, sqlx::Error> {
    let query = sqlx::query_scalar(
        "select request from leg where owed_at <= $1 group by request order by min(owed_at), request limit 100",
    );
    requests(query.bind(now), conn).await
}

type Scalars<'q> = sqlx::query::QueryScalar<'q, sqlx::Postgres, Uuid, sqlx::postgres::PgArguments>;

async fn requests(query: Scalars<'_>, conn: &mut PgConnection) -> Result<Vec<RequestId>, sqlx::Error> {
    Ok(query.fetch_all(conn).await?.into_iter().map(RequestId).collect())
}

/// The request of a leg at an exchange; none where there is no such leg there.
///
/// # Errors
/// When the database fails.
pub(crate) async fn request_of(
    conn: &mut PgConnection,
    leg: LegId,
    exchange: &ExchangeId,
) -> Result<Option<RequestId>, sqlx::Error> {
    let request: Option<Uuid> = sqlx::query_scalar("select request from leg where id = $1 and exchange = $2")
        .bind(leg.0)
        .bind(exchange.as_str())
        .fetch_optional(conn)
        .await?;
    Ok(request.map(RequestId))
}

/// The identity of a leg's order.
///
/// # Errors
/// When the database fails.
pub(crate) async fn order_identity(
    conn: &mut PgConnection,
    leg: LegId,
    revision: u32,
) -> Result<Option<[u8; 32]>, sqlx::Error> {
    sqlx::query_scalar("select sha256 from leg_order where leg = $1 and revision = $2")
        .bind(leg.0)
        .bind(i64::from(revision))
        .fetch_optional(conn)
        .await
}
