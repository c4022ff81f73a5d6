//! Authorisations as intake signed them.

use std::collections::HashMap;

use haetae_core::{Authorisation, AuthorisationId};
use sqlx::PgConnection;
use uuid::Uuid;

/// Keeps an authorisation. The same one again changes nothing.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    authorisation: &Authorisation,
    envelope: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into authorisation (id, line, amendment, exchange, envelope) values ($1, $2, $3, $4, $5)
         on conflict (id) do nothing",
    )
    .bind(authorisation.id.0)
    .bind(authorisation.line.0)
    .bind(i32::try_from(authorisation.amendment).unwrap_or(i32::MAX))
    .bind(authorisation.exchange.as_str())
    .bind(envelope)
    .execute(conn)
    .await?;
    Ok(())
}

/// The envelopes of these authorisations.
pub(crate) async fn by_id(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar("select envelope from authorisation where id = any($1) order by exchange")
        .bind(ids)
        .fetch_all(conn)
        .await
}

/// Of each line the one in force: its highest amendment.
pub(crate) async fn in_force(
    conn: &mut PgConnection,
    lines: &[Uuid],
) -> Result<HashMap<AuthorisationId, Vec<u8>>, sqlx::Error> {
    let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
        "select distinct on (line) line, envelope from authorisation where line = any($1) order by line, amendment desc",
    )
    .bind(lines)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(line, envelope)| (AuthorisationId(line), envelope)).collect())
}
