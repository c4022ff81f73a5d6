//! What came of requests: authorisations signed, answers, legs, and how the lines to the exchanges are doing.

use std::collections::BTreeSet;

use haetae_core::{Authorisation, ExchangeId, LegId, Moment, RequestId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Result, damaged};

/// Writes an authorisation as it was signed. A grant begins a line, for the request that it is of.
pub(crate) async fn insert_authorisation(
    tx: &mut PgConnection,
    authorisation: &Authorisation,
    envelope: &[u8],
) -> Result<()> {
    sqlx::query(
        "insert into authorisation (line, amendment, id, request_id, granted_by, exchange, envelope)
         values ($1, $2, $3, $4,
                 coalesce((select granted_by from authorisation where line = $1 and amendment = 1), $4), $5, $6)",
    )
    .bind(authorisation.line.0)
    .bind(i32::try_from(authorisation.amendment).unwrap_or(i32::MAX))
    .bind(authorisation.id.0)
    .bind(authorisation.request.0)
    .bind(authorisation.exchange.as_str())
    .bind(envelope)
    .execute(tx)
    .await?;
    Ok(())
}

/// The envelopes in force of the lines that a request began, by exchange.
pub(crate) async fn lines_of(tx: &mut PgConnection, request: RequestId) -> Result<Vec<Vec<u8>>> {
    sqlx::query_scalar(
        "select envelope from (
            select distinct on (line) line, exchange, envelope from authorisation
            where granted_by = $1 order by line, amendment desc
         ) in_force order by exchange",
    )
    .bind(request.0)
    .fetch_all(tx)
    .await
}

/// Keeps whether anything is withheld under a leg, or still may be.
pub(crate) async fn put_leg(tx: &mut PgConnection, leg: LegId, request: RequestId, over: bool) -> Result<()> {
    sqlx::query(
        "insert into leg (id, request_id, over) values ($1, $2, $3)
         on conflict (id) do update set over = excluded.over",
    )
    .bind(leg.0)
    .bind(request.0)
    .bind(over)
    .execute(tx)
    .await?;
    Ok(())
}

/// The legs of a request, and which of them are over.
pub(crate) async fn legs_of(tx: &mut PgConnection, request: RequestId) -> Result<Vec<(LegId, bool)>> {
    let rows: Vec<(Uuid, bool)> =
        sqlx::query_as("select id, over from leg where request_id = $1").bind(request.0).fetch_all(tx).await?;
    Ok(rows.into_iter().map(|(id, over)| (LegId(id), over)).collect())
}

/// The request that a leg rests on.
pub(crate) async fn request_of_leg(tx: &mut PgConnection, leg: LegId) -> Result<Option<RequestId>> {
    let id: Option<Uuid> =
        sqlx::query_scalar("select request_id from leg where id = $1").bind(leg.0).fetch_optional(tx).await?;
    Ok(id.map(RequestId))
}

/// The releases under way of what a request froze.
pub(crate) async fn releases_of(tx: &mut PgConnection, request: RequestId) -> Result<Vec<RequestId>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select id from request where releases = $1 and state in ('approved', 'in-effect') order by submitted_at, id",
    )
    .bind(request.0)
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(RequestId).collect())
}

/// Keeps whether an exchange has answered a question.
pub(crate) async fn put_answer(
    tx: &mut PgConnection,
    request: RequestId,
    exchange: &ExchangeId,
    pending: bool,
) -> Result<()> {
    sqlx::query(
        "insert into answer (request_id, exchange, pending) values ($1, $2, $3)
         on conflict (request_id, exchange) do update set pending = excluded.pending",
    )
    .bind(request.0)
    .bind(exchange.as_str())
    .bind(pending)
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps whether the answers to a question allow a conclusion.
pub(crate) async fn put_concluded(tx: &mut PgConnection, request: RequestId, concluded: bool) -> Result<()> {
    sqlx::query("update request set concluded = $2 where id = $1").bind(request.0).bind(concluded).execute(tx).await?;
    Ok(())
}

/// Whether a question is concluded, and who has said something about it.
pub(crate) async fn answers_of(tx: &mut PgConnection, request: RequestId) -> Result<(bool, BTreeSet<ExchangeId>)> {
    let concluded =
        sqlx::query_scalar("select concluded from request where id = $1").bind(request.0).fetch_one(&mut *tx).await?;
    let answered: Vec<String> = sqlx::query_scalar("select exchange from answer where request_id = $1 and not pending")
        .bind(request.0)
        .fetch_all(tx)
        .await?;
    let answered = answered.iter().map(|name| name.parse().map_err(|_| damaged("exchange"))).collect::<Result<_>>()?;
    Ok((concluded, answered))
}

/// An exchange has answered something.
pub(crate) async fn answered(tx: &mut PgConnection, exchange: &str, at: Moment) -> Result<()> {
    sqlx::query(
        "insert into exchange_line (exchange, last_answer) values ($1, $2)
         on conflict (exchange) do update set last_answer = greatest(exchange_line.last_answer, excluded.last_answer)",
    )
    .bind(exchange)
    .bind(at)
    .execute(tx)
    .await?;
    Ok(())
}

/// An exchange has failed to answer.
pub(crate) async fn failed(tx: &mut PgConnection, exchange: &str, at: Moment) -> Result<()> {
    sqlx::query(
        "insert into exchange_line (exchange, last_failure) values ($1, $2)
         on conflict (exchange) do update set last_failure = greatest(exchange_line.last_failure, excluded.last_failure)",
    )
    .bind(exchange)
    .bind(at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Every exchange's last answer and last failure.
pub(crate) async fn lines(pool: &PgPool) -> Result<Vec<(String, Option<Moment>, Option<Moment>)>> {
    sqlx::query_as("select exchange, last_answer, last_failure from exchange_line").fetch_all(pool).await
}
