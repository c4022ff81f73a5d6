//! What agency systems follow: one numbered sequence for each unit.

use haetae_core::RequestId;
use sqlx::{PgConnection, PgPool};

use super::{Result, Unit};

/// Postgres channel that says, at commit, that there is something new for those who follow updates.
pub(crate) const UPDATED: &str = "haetae_intake_updated";

/// Holds the right to take more than one unit's row, until the transaction ends. Taken before any of them: a follower's
/// batch and a resume that closes other units' halts take them in the order of what happened, and two of those at once
/// would block one another crosswise. Whoever does not hold this takes one unit's row and no other.
pub(crate) async fn lock_several(tx: &mut PgConnection) -> Result<()> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('haetae_intake_several_units', 0))").execute(tx).await?;
    Ok(())
}

/// Holds the unit's row until the transaction ends. Taken before any request's row, so that commands, timers and
/// followers of one unit queue here instead of blocking one another crosswise.
pub(crate) async fn lock_unit(tx: &mut PgConnection, unit: &Unit) -> Result<()> {
    sqlx::query(
        "insert into unit_updates (agency, unit, last) values ($1, $2, 0)
         on conflict (agency, unit) do update set last = unit_updates.last",
    )
    .bind(unit.agency.as_str())
    .bind(unit.unit.as_str())
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds an update under the unit's next number, and wakes those who follow at commit.
pub(crate) async fn add(tx: &mut PgConnection, unit: &Unit, request: RequestId, body: &[u8]) -> Result<()> {
    sqlx::query(
        "with next as (
            insert into unit_updates (agency, unit, last) values ($1, $2, 1)
            on conflict (agency, unit) do update set last = unit_updates.last + 1 returning last
         )
         insert into unit_update (agency, unit, number, request_id, body)
         select $1, $2, last, $3, $4 from next",
    )
    .bind(unit.agency.as_str())
    .bind(unit.unit.as_str())
    .bind(request.0)
    .bind(body)
    .execute(&mut *tx)
    .await?;
    sqlx::query("select pg_notify($1, '')").bind(UPDATED).execute(tx).await?;
    Ok(())
}

/// Updates after a number, oldest first: number and body.
pub(crate) async fn after(
    pool: &PgPool,
    unit: &Unit,
    number: i64,
    of: Option<RequestId>,
    limit: i64,
) -> Result<Vec<(i64, Vec<u8>)>> {
    sqlx::query_as(
        "select number, body from unit_update
         where agency = $1 and unit = $2 and number > $3 and ($4::uuid is null or request_id = $4)
         order by number limit $5",
    )
    .bind(unit.agency.as_str())
    .bind(unit.unit.as_str())
    .bind(number)
    .bind(of.map(|id| id.0))
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// The number of a watch's next trail item.
pub(crate) async fn count_trail_item(tx: &mut PgConnection, request: RequestId) -> Result<i64> {
    sqlx::query_scalar("update request set trail_items = trail_items + 1 where id = $1 returning trail_items")
        .bind(request.0)
        .fetch_one(tx)
        .await
}
