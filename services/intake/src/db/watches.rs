//! Requests as the watches that they started.

use haetae_core::{AgencyId, RequestId, WatchId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{After, Result, Row, Unit, damaged};
use crate::request::Request;

/// Where a watch stands, as tracking has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchState {
    Pending,
    CatchingUp,
    Active,
    Ended,
}

impl WatchState {
    const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::CatchingUp => "catching-up",
            Self::Active => "active",
            Self::Ended => "ended",
        }
    }
}

/// Notes where a watch stands. One that has ended does not begin again.
pub(crate) async fn put_state(tx: &mut PgConnection, request: RequestId, state: WatchState) -> Result<()> {
    sqlx::query("update request set watch_state = $2 where id = $1 and watch_state <> 'ended'")
        .bind(request.0)
        .bind(state.name())
        .execute(tx)
        .await?;
    Ok(())
}

pub(crate) async fn has_ended(tx: &mut PgConnection, watch: WatchId) -> Result<bool> {
    sqlx::query_scalar(
        "select exists (select from request where watch_id = $1 and kind = 'watch' and watch_state = 'ended')",
    )
    .bind(watch.0)
    .fetch_one(tx)
    .await
}

/// How many watches of a case and of its agency are under way. Whoever begins one queues here behind those that do, until
/// the transaction ends.
pub(crate) async fn under_way(tx: &mut PgConnection, agency: &AgencyId, case: &str) -> Result<(u64, u64)> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('watches of ' || $1, 0))")
        .bind(agency.as_str())
        .execute(&mut *tx)
        .await?;
    let (of_case, of_agency): (i64, i64) = sqlx::query_as(
        "select count(*) filter (where case_number = $2), count(*) from request
         where agency = $1 and kind = 'watch' and watch_state in ('pending', 'catching-up', 'active')",
    )
    .bind(agency.as_str())
    .bind(case)
    .fetch_one(tx)
    .await?;
    Ok((of_case.unsigned_abs(), of_agency.unsigned_abs()))
}

/// The requests under way that end a watch.
pub(crate) async fn ending(tx: &mut PgConnection, watch: WatchId) -> Result<Vec<RequestId>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select id from request where watch_id = $1 and kind = 'end-watch' and state in ('approved', 'in-effect')
         order by submitted_at, id",
    )
    .bind(watch.0)
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(RequestId).collect())
}

/// The watches of a unit, newest first, each as the request that started it.
pub(crate) async fn list(
    pool: &PgPool,
    unit: &Unit,
    (case, state): (Option<&str>, Option<WatchState>),
    after: Option<After>,
    limit: i64,
) -> Result<Vec<(WatchId, Request)>> {
    let rows: Vec<Row> = sqlx::query_as(requests!(
        " where agency = $1 and unit = $2 and kind = 'watch' and watch_id is not null
            and ($3::text is null or case_number = $3) and ($4::text is null or watch_state = $4)
            and ($5::timestamptz is null or (submitted_at, r.id) < ($5, $6))
          order by submitted_at desc, r.id desc limit $7"
    ))
    .bind(unit.agency.as_str())
    .bind(unit.unit.as_str())
    .bind(case)
    .bind(state.map(WatchState::name))
    .bind(after.map(|after| after.submitted_at))
    .bind(after.map(|after| after.id.0))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let request = row.read()?;
            Ok((request.watch.ok_or(damaged("watch"))?, request))
        })
        .collect()
}
