//! The halts in force.

use haetae_core::{AgencyId, CaseRef, Moment, RequestId, UnitId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::text;
use crate::brake::{Brake, Halt, Scope};

/// The halts in force, oldest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn brake(conn: &mut PgConnection) -> Result<Brake, sqlx::Error> {
    type Row = (Uuid, String, Option<String>, String, String, String, Moment);
    let rows: Vec<Row> = sqlx::query_as(
        "select request, scope, exchange, agency, unit, case_number, since from halt order by since, request",
    )
    .fetch_all(conn)
    .await?;
    let halts = rows.into_iter().map(|(request, scope, exchange, agency, unit, number, since)| {
        let agency: AgencyId = text::parse(&agency, "an agency")?;
        let scope = match (scope.as_str(), exchange) {
            ("everything", None) => Scope::Everything,
            ("exchange", Some(exchange)) => Scope::Exchange(text::parse(&exchange, "an exchange")?),
            ("case", None) => Scope::Case { agency: agency.clone(), number: number.clone() },
            _ => return Err(text::damaged("a scope")),
        };
        let unit: UnitId = text::parse(&unit, "a unit")?;
        Ok(Halt { request: RequestId(request), scope, case: CaseRef { agency, unit, number }, since })
    });
    Ok(Brake::new(halts.collect::<Result<Vec<_>, sqlx::Error>>()?))
}

/// Puts a halt into force.
///
/// # Errors
/// When the database fails.
pub(crate) async fn halt(conn: &mut PgConnection, halt: &Halt) -> Result<(), sqlx::Error> {
    let (scope, exchange) = match &halt.scope {
        Scope::Everything => ("everything", None),
        Scope::Exchange(exchange) => ("exchange", Some(exchange.as_str())),
        Scope::Case { .. } => ("case", None),
    };
    sqlx::query(
        "insert into halt (request, scope, exchange, agency, unit, case_number, since) values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(halt.request.0)
    .bind(scope)
    .bind(exchange)
    .bind(halt.case.agency.as_str())
    .bind(halt.case.unit.as_str())
    .bind(&halt.case.number)
    .bind(halt.since)
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes halts out of force.
///
/// # Errors
/// When the database fails.
pub(crate) async fn lift(conn: &mut PgConnection, halts: &[Halt]) -> Result<(), sqlx::Error> {
    sqlx::query("delete from halt where request = any($1)")
        .bind(halts.iter().map(|halt| halt.request.0).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}
