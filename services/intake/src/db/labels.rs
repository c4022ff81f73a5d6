//! Packs of labels, as far as they have come in.

use haetae_core::Moment;
use sqlx::PgConnection;

use super::Result;
use crate::labels::{Import, PackId};

/// Begins to take a pack in. False where it was begun before.
pub(crate) async fn begin(conn: &mut PgConnection, id: PackId, series: &str, labels: i64) -> Result<bool> {
    let begun = sqlx::query("insert into label_pack (id, series, labels) values ($1, $2, $3) on conflict do nothing")
        .bind(id)
        .bind(series)
        .bind(labels)
        .execute(conn)
        .await?;
    Ok(begun.rows_affected() == 1)
}

/// How far a pack has come, until the transaction ends.
pub(crate) async fn lock(conn: &mut PgConnection, id: PackId) -> Result<Option<Import>> {
    let row: Option<(String, i64, i64)> =
        sqlx::query_as("select series, labels, received from label_pack where id = $1 for update")
            .bind(id)
            .fetch_optional(conn)
            .await?;
    Ok(row.map(|(series, labels, received)| Import {
        series,
        labels: labels.unsigned_abs(),
        received: received.unsigned_abs(),
    }))
}

/// Notes that more labels of a pack have come.
pub(crate) async fn advance(
    conn: &mut PgConnection,
    id: PackId,
    received: i64,
    complete_at: Option<Moment>,
) -> Result<()> {
    sqlx::query("update label_pack set received = $2, complete_at = $3 where id = $1")
        .bind(id)
        .bind(received)
        .bind(complete_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// Has a pack take the place of the one of its series that counts; gives that one. Packs of a series come one after the
/// other.
pub(crate) async fn supersede(conn: &mut PgConnection, id: PackId, series: &str) -> Result<Option<PackId>> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('haetae-label-series ' || $1, 0))")
        .bind(series)
        .execute(&mut *conn)
        .await?;
    sqlx::query_scalar(
        "update label_pack set superseded_by = $1
         where series = $2 and id <> $1 and complete_at is not null and superseded_by is null
         returning id",
    )
    .bind(id)
    .bind(series)
    .fetch_optional(conn)
    .await
}
