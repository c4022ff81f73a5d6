//! What operators watch.

use haetae_core::{LegId, Moment};
use sqlx::{PgConnection, PgPool};

/// What a leg can be reported as; `unanswered` before its exchange's first word.
pub(crate) const STATES: [&str; 8] =
    ["unanswered", "accepted", "binding", "frozen-partial", "frozen-full", "refused", "released", "expired"];

/// How many legs there are in each of [`STATES`].
///
/// # Errors
/// When the database fails.
pub(crate) async fn legs_by_state(pool: &PgPool) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as("select coalesce(reported, 'unanswered') as state, count(*) from leg group by 1")
        .fetch_all(pool)
        .await
}

/// When a leg was first ordered to be released, since it was last ordered to be frozen.
///
/// # Errors
/// When the database fails.
pub(crate) async fn release_ordered_at(conn: &mut PgConnection, leg: LegId) -> Result<Option<Moment>, sqlx::Error> {
    sqlx::query_scalar(
        "select min(signed_at) from leg_order
         where leg = $1 and cap is null
           and revision > coalesce((select max(revision) from leg_order where leg = $1 and cap is not null), 0)",
    )
    .bind(leg.0)
    .fetch_one(conn)
    .await
}

/// Since when the oldest freeze, and the oldest release, wait for the exchange's answer to their highest revision: one that
/// is not a refusal for now.
///
/// # Errors
/// When the database fails.
pub(crate) async fn oldest_unanswered(pool: &PgPool) -> Result<(Option<Moment>, Option<Moment>), sqlx::Error> {
    sqlx::query_as(
        "select min(o.signed_at) filter (where l.cap is not null and (l.reported_revision is distinct from l.revision
                                                                      or l.owed_at is not null)),
                min(o.signed_at) filter (where l.cap is null and (l.reported_revision is distinct from l.revision
                                                                  or l.reported not in ('released', 'expired')))
         from leg l join leg_order o on o.leg = l.id and o.revision = l.revision",
    )
    .fetch_one(pool)
    .await
}
