//! Authorities: loaded whole, stored where they changed.

use std::collections::BTreeMap;

use haetae_core::{AgencyId, ArrivalId, AuthorisationId, CaseRef, LegId, Moment, RequestId, UnitId, WatchId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{legs, legs::Signed, text};
use crate::authority::Authority;
use crate::standing::{Claim, Found, Line, Rest, Standing, Terms};

#[derive(sqlx::FromRow)]
struct AuthorityRow {
    agency: String,
    unit: String,
    case_number: String,
    over: bool,
    watch: Option<Uuid>,
    until: Option<Moment>,
    legs_per_hour: Option<i64>,
    holders: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct LineRow {
    exchange: String,
    line: Uuid,
    valid_until: Moment,
    legs_per_hour: i64,
}

#[derive(sqlx::FromRow)]
struct ClaimRow {
    arrival: Uuid,
    exchange: String,
    account: String,
    memo: Option<String>,
    asset: String,
    traced: String,
    wallet_role: Option<String>,
    granted: String,
    rest: String,
    withdrawn: bool,
}

/// The authority of a request, with everything under it. Whoever decides on it holds the turn.
///
/// # Errors
/// When the database fails.
pub(crate) async fn load(conn: &mut PgConnection, request: RequestId) -> Result<Option<Authority>, sqlx::Error> {
    let row: Option<AuthorityRow> = sqlx::query_as(
        "select agency, unit, case_number, over, watch, until, legs_per_hour, holders from authority where request = $1",
    )
    .bind(request.0)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let case = CaseRef {
        agency: text::parse::<AgencyId>(&row.agency, "an agency")?,
        unit: text::parse::<UnitId>(&row.unit, "a unit")?,
        number: row.case_number,
    };
    let lines = lines(conn, request).await?;
    let (mut reserves, mut all) = (BTreeMap::new(), BTreeMap::new());
    for (leg, reserve) in legs::of_request(conn, request).await? {
        if let Some(reserve) = reserve {
            reserves.insert(leg.id, reserve);
        }
        all.insert(leg.id, leg);
    }
    let standing = match (row.watch, row.until, row.legs_per_hour, row.holders) {
        (Some(watch), Some(until), Some(legs_per_hour), Some(holders)) => Some(Standing {
            terms: Terms {
                watch: WatchId(watch),
                case: case.clone(),
                caps: caps(conn, request).await?,
                until,
                legs_per_hour: text::count(legs_per_hour),
                holders: text::count(holders),
                lines: lines.clone(),
            },
            over: row.over,
            reserves,
            claims: claims(conn, request).await?,
        }),
        _ => None,
    };
    Ok(Some(Authority { request, case, lines, standing, legs: all, over: row.over }))
}

async fn lines(
    conn: &mut PgConnection,
    request: RequestId,
) -> Result<BTreeMap<haetae_core::ExchangeId, Line>, sqlx::Error> {
    let rows: Vec<LineRow> =
        sqlx::query_as("select exchange, line, valid_until, legs_per_hour from authority_line where request = $1")
            .bind(request.0)
            .fetch_all(conn)
            .await?;
    rows.into_iter()
        .map(|row| {
            let line = Line {
                id: AuthorisationId(row.line),
                valid_until: row.valid_until,
                legs_per_hour: text::count(row.legs_per_hour),
            };
            Ok((text::parse(&row.exchange, "an exchange")?, line))
        })
        .collect()
}

async fn caps(
    conn: &mut PgConnection,
    request: RequestId,
) -> Result<BTreeMap<haetae_core::Asset, haetae_core::Amount>, sqlx::Error> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("select asset, amount::text from authority_cap where request = $1")
            .bind(request.0)
            .fetch_all(conn)
            .await?;
    rows.into_iter().map(|(asset, cap)| Ok((text::parse(&asset, "an asset")?, text::amount(&cap)?))).collect()
}

async fn claims(conn: &mut PgConnection, request: RequestId) -> Result<Vec<Claim>, sqlx::Error> {
    let rows: Vec<ClaimRow> = sqlx::query_as(
        "select c.arrival, c.exchange, a.account, a.memo, a.asset, a.traced::text, a.wallet_role, c.granted::text, c.rest,
                c.withdrawn or c.granted = 0 as withdrawn
         from claim c join arrival a on a.id = c.arrival and a.exchange = c.exchange
         where c.request = $1 order by a.number, a.id",
    )
    .bind(request.0)
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Claim {
                found: Found {
                    arrival: ArrivalId(row.arrival),
                    exchange: text::parse(&row.exchange, "an exchange")?,
                    target: text::target(&row.account, row.memo)?,
                    asset: text::parse(&row.asset, "an asset")?,
                    traced: text::amount(&row.traced)?,
                    wallet_role: row.wallet_role.as_deref().map(text::role).transpose()?,
                },
                granted: text::amount(&row.granted)?,
                rest: match text::rest(&row.rest)? {
                    Rest::Closed if row.withdrawn => Rest::Withdrawn,
                    rest => rest,
                },
            })
        })
        .collect()
}

/// Writes a new authority, unless there is one of its request.
///
/// # Errors
/// When the database fails.
pub(crate) async fn create(conn: &mut PgConnection, authority: &Authority) -> Result<bool, sqlx::Error> {
    let terms = authority.standing.as_ref().map(|standing| &standing.terms);
    let created = sqlx::query(
        "insert into authority (request, agency, unit, case_number, over, watch, until, legs_per_hour, holders)
         values ($1, $2, $3, $4, false, $5, $6, $7, $8) on conflict (request) do nothing",
    )
    .bind(authority.request.0)
    .bind(authority.case.agency.as_str())
    .bind(authority.case.unit.as_str())
    .bind(&authority.case.number)
    .bind(terms.map(|terms| terms.watch.0))
    .bind(terms.map(|terms| terms.until))
    .bind(terms.map(|terms| i64::from(terms.legs_per_hour)))
    .bind(terms.map(|terms| i64::from(terms.holders)))
    .execute(&mut *conn)
    .await?
    .rows_affected()
        == 1;
    if !created {
        return Ok(false);
    }
    for (exchange, line) in &authority.lines {
        sqlx::query(
            "insert into authority_line (request, exchange, line, valid_until, legs_per_hour) values ($1, $2, $3, $4, $5)",
        )
        .bind(authority.request.0)
        .bind(exchange.as_str())
        .bind(line.id.0)
        .bind(line.valid_until)
        .bind(i64::from(line.legs_per_hour))
        .execute(&mut *conn)
        .await?;
    }
    for (asset, cap) in terms.iter().flat_map(|terms| &terms.caps) {
        sqlx::query("insert into authority_cap (request, asset, amount) values ($1, $2, $3::numeric)")
            .bind(authority.request.0)
            .bind(asset.to_string())
            .bind(cap.to_string())
            .execute(&mut *conn)
            .await?;
    }
    Ok(true)
}

/// Writes what changed. `signed` has each order that is new.
///
/// # Errors
/// When the database fails.
pub(crate) async fn save(
    conn: &mut PgConnection,
    before: &Authority,
    after: &Authority,
    signed: &BTreeMap<(LegId, u32), Signed>,
) -> Result<(), sqlx::Error> {
    if after.over != before.over {
        sqlx::query("update authority set over = $2 where request = $1")
            .bind(after.request.0)
            .bind(after.over)
            .execute(&mut *conn)
            .await?;
    }
    let reserve = |of: &Authority, leg: &LegId| of.standing.as_ref().and_then(|s| s.reserves.get(leg).cloned());
    for (id, leg) in &after.legs {
        let now = reserve(after, id);
        if before.legs.get(id) != Some(leg) || reserve(before, id) != now {
            legs::save(conn, leg, now.as_ref(), signed).await?;
        }
    }
    let known = before.standing.iter().flat_map(|standing| &standing.claims);
    let known: BTreeMap<_, _> =
        known.map(|claim| ((claim.found.arrival, &claim.found.exchange), (claim.granted, claim.rest))).collect();
    for claim in after.standing.iter().flat_map(|standing| &standing.claims) {
        if known.get(&(claim.found.arrival, &claim.found.exchange)) != Some(&(claim.granted, claim.rest)) {
            save_claim(conn, after.request, claim).await?;
        }
    }
    Ok(())
}

async fn save_claim(conn: &mut PgConnection, request: RequestId, claim: &Claim) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into claim (request, arrival, exchange, granted, rest, withdrawn) values ($1, $2, $3, $4::numeric, $5, $6)
         on conflict (request, arrival, exchange) do update set
            granted = excluded.granted, rest = excluded.rest, withdrawn = excluded.withdrawn",
    )
    .bind(request.0)
    .bind(claim.found.arrival.0)
    .bind(claim.found.exchange.as_str())
    .bind(claim.granted.to_string())
    .bind(text::rest_text(claim.rest))
    .bind(claim.rest == Rest::Withdrawn)
    .execute(conn)
    .await?;
    Ok(())
}
