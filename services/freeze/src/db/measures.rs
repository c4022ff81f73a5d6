//! What operators watch.

use haetae_core::Moment;
use sqlx::PgPool;

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

/// Since when the oldest freeze, and the oldest release, wait for the exchange's answer to their highest revision.
///
/// # Errors
/// When the database fails.
pub(crate) async fn oldest_unanswered(pool: &PgPool) -> Result<(Option<Moment>, Option<Moment>), sqlx::Error> {
    sqlx::query_as(
        "select min(o.signed_at) filter (where l.cap is not null and l.reported_revision is distinct from l.revision),
                min(o.signed_at) filter (where l.cap is null and (l.reported_revision is distinct from l.revision
                                                                  or l.reported not in ('released', 'expired')))
         from leg l join leg_order o on o.leg = l.id and o.revision = l.revision",
    )
    .fetch_one(pool)
    .await
}
