//! How the queue and the exchange's log stand, for operators.

use haetae_core::Moment;
use sqlx::{FromRow, PgPool};

/// What waits for an answer, of one kind.
#[derive(FromRow)]
pub(crate) struct Waiting {
    /// The kind.
    pub(crate) wanted: String,
    /// How many may be sent.
    pub(crate) undelivered: i64,
    /// When the oldest of them was taken in.
    pub(crate) oldest: Option<Moment>,
    /// How many of them the log says are late.
    pub(crate) overdue: i64,
    /// How many a halt holds back.
    pub(crate) held_back: i64,
}

/// How the exchange's side is doing.
#[derive(FromRow)]
pub(crate) struct Heard {
    /// When the exchange last answered.
    pub(crate) last_answer: Option<Moment>,
    /// Its log is not read past an event that does not verify.
    pub(crate) refused: bool,
}

/// What waits, by kind; kinds of which nothing waits are left out.
pub(crate) async fn waiting(pool: &PgPool) -> sqlx::Result<Vec<Waiting>> {
    sqlx::query_as(
        "select wanted, count(*) filter (where free) as undelivered, min(taken_at) filter (where free) as oldest,
                count(*) filter (where free and coalesce(overdue_at, unavailable_at) is not null) as overdue,
                count(*) filter (where not free) as held_back
         from (
             select d.wanted, d.taken_at, d.overdue_at, d.unavailable_at, s.order_sha256 is not null as free
             from delivery d left join sendable s using (order_sha256) where d.state = 'due'
         ) as due
         group by wanted",
    )
    .fetch_all(pool)
    .await
}

/// What is heard of the exchange.
pub(crate) async fn heard(pool: &PgPool) -> sqlx::Result<Heard> {
    sqlx::query_as("select last_answer, exchange_cursor.refused is not null as refused from line, exchange_cursor")
        .fetch_one(pool)
        .await
}
