//! What others have signed: authorisations and arrivals, as the exact bytes that orders embed.

use std::collections::BTreeSet;

use haetae_core::{
    Act, AgencyId, Arrival, ArrivalId, Authorisation, AuthorisationId, ExchangeId, LegId, RequestId, Target, WatchId,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::text;
use crate::standing::Found;

/// Stores an authorisation; one that is there already stays.
///
/// # Errors
/// When the database fails.
pub(crate) async fn store_authorisation(
    conn: &mut PgConnection,
    authorisation: &Authorisation,
    envelope: &[u8],
) -> Result<(), sqlx::Error> {
    let (act, released) = match &authorisation.act {
        Act::Grant => ("grant", Vec::new()),
        Act::Revise => ("revise", Vec::new()),
        Act::Cancel { legs } => ("cancel", legs.iter().map(|leg| leg.0).collect()),
    };
    sqlx::query(
        "insert into authorisation (id, line, amendment, exchange, act, released_legs, agency, case_number, envelope)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (id) do nothing",
    )
    .bind(authorisation.id.0)
    .bind(authorisation.line.0)
    .bind(i32::try_from(authorisation.amendment).unwrap_or(i32::MAX))
    .bind(authorisation.exchange.as_str())
    .bind(act)
    .bind(released)
    .bind(authorisation.case.agency.as_str())
    .bind(&authorisation.case.number)
    .bind(envelope)
    .execute(conn)
    .await?;
    Ok(())
}

/// An authorisation's envelope.
///
/// # Errors
/// When the database fails.
pub(crate) async fn authorisation(
    conn: &mut PgConnection,
    id: AuthorisationId,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar("select envelope from authorisation where id = $1").bind(id.0).fetch_optional(conn).await
}

/// The authorisation that freezes under a line rest on: its highest amendment that is no cancellation.
///
/// # Errors
/// When the database fails.
pub(crate) async fn in_force(conn: &mut PgConnection, line: AuthorisationId) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar(
        "select envelope from authorisation where line = $1 and act <> 'cancel' order by amendment desc limit 1",
    )
    .bind(line.0)
    .fetch_optional(conn)
    .await
}

/// The newest cancellation of a line that covers a leg.
///
/// # Errors
/// When the database fails.
pub(crate) async fn cancellation(
    conn: &mut PgConnection,
    line: AuthorisationId,
    leg: LegId,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar(
        "select envelope from authorisation
         where line = $1 and act = 'cancel' and (released_legs = '{}' or $2 = any(released_legs))
         order by amendment desc limit 1",
    )
    .bind(line.0)
    .bind(leg.0)
    .fetch_optional(conn)
    .await
}

/// The exchanges that hold an authorisation of a case.
///
/// # Errors
/// When the database fails.
pub(crate) async fn exchanges_of_case(
    conn: &mut PgConnection,
    agency: &AgencyId,
    number: &str,
) -> Result<BTreeSet<ExchangeId>, sqlx::Error> {
    let names: Vec<String> =
        sqlx::query_scalar("select distinct exchange from authorisation where agency = $1 and case_number = $2")
            .bind(agency.as_str())
            .bind(number)
            .fetch_all(conn)
            .await?;
    names.iter().map(|name| text::parse(name, "an exchange")).collect()
}

/// Stores an arrival, or what is new about one that was taken back. False where it is known and holds.
///
/// # Errors
/// When the database fails.
pub(crate) async fn store_arrival(
    conn: &mut PgConnection,
    arrival: &Arrival,
    envelope: &[u8],
    number: i64,
) -> Result<bool, sqlx::Error> {
    let stored = sqlx::query(
        "insert into arrival (id, exchange, watch, account, memo, asset, traced, wallet_role, number, envelope)
         values ($1, $2, $3, $4, $5, $6, $7::numeric, $8, $9, $10)
         on conflict (id, exchange) do update set
            account = excluded.account, memo = excluded.memo, asset = excluded.asset, traced = excluded.traced,
            wallet_role = excluded.wallet_role, envelope = excluded.envelope, retracted = false
         where arrival.retracted",
    )
    .bind(arrival.id.0)
    .bind(arrival.exchange.as_str())
    .bind(arrival.watch.0)
    .bind(arrival.target.account.to_string())
    .bind(&arrival.target.memo)
    .bind(arrival.asset.to_string())
    .bind(arrival.traced.to_string())
    .bind(arrival.wallet_role.map(text::role_text))
    .bind(number)
    .bind(envelope)
    .execute(conn)
    .await?;
    Ok(stored.rows_affected() == 1)
}

/// Marks an arrival as taken back; the watch it was of, where it held.
///
/// # Errors
/// When the database fails.
pub(crate) async fn retract_arrival(
    conn: &mut PgConnection,
    arrival: ArrivalId,
    exchange: &ExchangeId,
) -> Result<Option<WatchId>, sqlx::Error> {
    let watch: Option<Uuid> = sqlx::query_scalar(
        "update arrival set retracted = true where id = $1 and exchange = $2 and not retracted returning watch",
    )
    .bind(arrival.0)
    .bind(exchange.as_str())
    .fetch_optional(conn)
    .await?;
    Ok(watch.map(WatchId))
}

/// Notes whether more than one exchange says it holds an account.
///
/// # Errors
/// When the database fails.
pub(crate) async fn contest(
    conn: &mut PgConnection,
    watch: WatchId,
    target: &Target,
    contested: bool,
) -> Result<(), sqlx::Error> {
    let query = if contested {
        "insert into contested (watch, account, memo) values ($1, $2, $3) on conflict do nothing"
    } else {
        "delete from contested where watch = $1 and account = $2 and memo is not distinct from $3"
    };
    sqlx::query(query).bind(watch.0).bind(target.account.to_string()).bind(&target.memo).execute(conn).await?;
    Ok(())
}

/// The accounts that more than one exchange says it holds, of the watch that a request's standing freeze is armed on.
///
/// # Errors
/// When the database fails.
pub(crate) async fn contested(conn: &mut PgConnection, request: RequestId) -> Result<BTreeSet<Target>, sqlx::Error> {
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(
        "select c.account, c.memo from contested c join authority a on a.watch = c.watch where a.request = $1",
    )
    .bind(request.0)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|(account, memo)| text::target(&account, memo)).collect()
}

/// What a watch has found so far and still holds, oldest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn arrivals_of(conn: &mut PgConnection, watch: WatchId) -> Result<Vec<Found>, sqlx::Error> {
    type Row = (Uuid, String, String, Option<String>, String, String, Option<String>);
    let rows: Vec<Row> = sqlx::query_as(
        "select id, exchange, account, memo, asset, traced::text, wallet_role
         from arrival where watch = $1 and not retracted order by number, id",
    )
    .bind(watch.0)
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(id, exchange, account, memo, asset, traced, role)| {
            Ok(Found {
                arrival: ArrivalId(id),
                exchange: text::parse(&exchange, "an exchange")?,
                target: text::target(&account, memo)?,
                asset: text::parse(&asset, "an asset")?,
                traced: text::amount(&traced)?,
                wallet_role: role.as_deref().map(text::role).transpose()?,
            })
        })
        .collect()
}

/// The signed statement of an arrival.
///
/// # Errors
/// When the database fails.
pub(crate) async fn arrival_envelope(
    conn: &mut PgConnection,
    arrival: ArrivalId,
    exchange: &ExchangeId,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar("select envelope from arrival where id = $1 and exchange = $2")
        .bind(arrival.0)
        .bind(exchange.as_str())
        .fetch_optional(conn)
        .await
}
