//! All SQL of intake: requests here, packs of labels in `labels`, what is told of requests in `updates`, what came of them in
//! `outcome`, the watches among them in `watches`.

pub(crate) mod labels;
pub(crate) mod outcome;
pub(crate) mod updates;

use haetae_core::{
    AgencyId, AuthorisationId, CaseRef, Decision, DecisionRole, ExchangeId, Moment, RequestId, UnitId, WatchId,
};
use haetae_wire::intake::v1::RequestContent;
use prost::Message;
use sqlx::{FromRow, PgConnection, PgPool, migrate::Migrator};
use uuid::Uuid;

use crate::{
    approval::{Life, State},
    proposal::Asked,
    request::Request,
    submission,
};

/// Intake's own tables.
pub static MIGRATOR: Migrator = sqlx::migrate!();

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Whose requests: the scope of everything that persons may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) agency: AgencyId,
    pub(crate) unit: UnitId,
}

impl Unit {
    pub(crate) fn of(case: &CaseRef) -> Self {
        Self { agency: case.agency.clone(), unit: case.unit.clone() }
    }
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    system: String,
    agency: String,
    unit: String,
    case_number: String,
    state: String,
    needed: i32,
    submitted_at: Moment,
    lapses_at: Moment,
    content: Vec<u8>,
    reason: String,
    watch_id: Option<Uuid>,
    watch_until: Option<Moment>,
    freeze_until: Option<Moment>,
    ends_at: Option<Moment>,
    version: i64,
    roles: Vec<String>,
    persons: Vec<String>,
    moments: Vec<Moment>,
    exchanges: Vec<String>,
    authorisations: Vec<Uuid>,
}

/// A query for whole requests, with what comes after `from`.
macro_rules! requests {
    ($rest:literal) => {
        concat!(
            "select r.id, system, agency, unit, case_number, state, needed, submitted_at, lapses_at, content, reason, \
                    watch_id, watch_until, freeze_until, ends_at, version, \
                    coalesce(d.roles, '{}') as roles, coalesce(d.persons, '{}') as persons, coalesce(d.moments, '{}') as moments, \
                    coalesce(a.exchanges, '{}') as exchanges, coalesce(a.ids, '{}') as authorisations \
             from request r \
             left join lateral ( \
                 select array_agg(role order by place) as roles, array_agg(person order by place) as persons, \
                        array_agg(at order by place) as moments \
                 from decision where request_id = r.id \
             ) d on true \
             left join lateral ( \
                 select array_agg(exchange order by exchange) as exchanges, array_agg(id order by exchange) as ids \
                 from authorisation where request_id = r.id \
             ) a on true",
            $rest
        )
    };
}

// Has such queries of its own.
pub(crate) mod watches;

/// A row that does not read back is damage, not a caller's fault.
fn damaged(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(format!("a stored request has no proper {what}").into())
}

impl Row {
    fn read(self) -> Result<Request> {
        let content = RequestContent::decode(self.content.as_slice()).map_err(|_| damaged("content"))?;
        let decisions = self.roles.iter().zip(&self.persons).zip(&self.moments).map(|((role, person), at)| {
            Ok(Decision {
                role: if role == "requested" { DecisionRole::Requested } else { DecisionRole::Approved },
                person: person.parse().map_err(|_| damaged("person"))?,
                at: *at,
            })
        });
        let authorisations = self.exchanges.iter().zip(&self.authorisations).map(|(exchange, id)| {
            let exchange: ExchangeId = exchange.parse().map_err(|_| damaged("exchange"))?;
            Ok((exchange, AuthorisationId(*id)))
        });
        Ok(Request {
            id: RequestId(self.id),
            system: self.system,
            case: CaseRef {
                agency: self.agency.parse().map_err(|_| damaged("agency"))?,
                unit: self.unit.parse().map_err(|_| damaged("unit"))?,
                number: self.case_number,
            },
            proposal: submission::parse(Some(&content), None).map_err(|_| damaged("content"))?,
            life: Life {
                state: State::named(&self.state).ok_or(damaged("state"))?,
                decisions: decisions.collect::<Result<_>>()?,
                needed: u32::try_from(self.needed).map_err(|_| damaged("number of approvals"))?,
                lapses_at: self.lapses_at,
            },
            submitted_at: self.submitted_at,
            reason: self.reason,
            watch: self.watch_id.map(WatchId),
            watch_until: self.watch_until,
            freeze_until: self.freeze_until,
            ends_at: self.ends_at,
            authorisations: authorisations.collect::<Result<_>>()?,
            version: u64::try_from(self.version).map_err(|_| damaged("version"))?,
        })
    }
}

/// A request, for changing it.
pub(crate) async fn request_for_update(tx: &mut PgConnection, id: RequestId) -> Result<Option<Request>> {
    sqlx::query("select from request where id = $1 for update").bind(id.0).execute(&mut *tx).await?;
    let row: Option<Row> = sqlx::query_as(requests!(" where r.id = $1")).bind(id.0).fetch_optional(tx).await?;
    row.map(Row::read).transpose()
}

/// The same, of the unit. Another unit's is not touched: its row is for those who hold that unit's.
pub(crate) async fn own_for_update(tx: &mut PgConnection, unit: &Unit, id: RequestId) -> Result<Option<Request>> {
    let own = sqlx::query("select from request where id = $1 and agency = $2 and unit = $3 for update")
        .bind(id.0)
        .bind(unit.agency.as_str())
        .bind(unit.unit.as_str())
        .execute(&mut *tx)
        .await?;
    if own.rows_affected() == 0 { Ok(None) } else { request_for_update(tx, id).await }
}

/// A request that the unit may see.
pub(crate) async fn request_of_unit(pool: &PgPool, unit: &Unit, id: RequestId) -> Result<Option<Request>> {
    let row: Option<Row> = sqlx::query_as(requests!(" where r.id = $1 and agency = $2 and unit = $3"))
        .bind(id.0)
        .bind(unit.agency.as_str())
        .bind(unit.unit.as_str())
        .fetch_optional(pool)
        .await?;
    row.map(Row::read).transpose()
}

/// The unit of a request.
pub(crate) async fn unit_of(tx: &mut PgConnection, id: RequestId) -> Result<Option<Unit>> {
    let row: Option<(String, String)> =
        sqlx::query_as("select agency, unit from request where id = $1").bind(id.0).fetch_optional(tx).await?;
    row.map(|(agency, unit)| {
        Ok(Unit {
            agency: agency.parse().map_err(|_| damaged("agency"))?,
            unit: unit.parse().map_err(|_| damaged("unit"))?,
        })
    })
    .transpose()
}

/// Whether a request asks for dispatch to go on, which closes halts of other units too.
pub(crate) async fn is_resume(tx: &mut PgConnection, id: RequestId) -> Result<bool> {
    let resume: Option<bool> =
        sqlx::query_scalar("select kind = 'resume' from request where id = $1").bind(id.0).fetch_optional(tx).await?;
    Ok(resume.unwrap_or(false))
}

/// The request that started a watch.
pub(crate) async fn request_of_watch(tx: &mut PgConnection, watch: WatchId) -> Result<Option<RequestId>> {
    let id: Option<Uuid> = sqlx::query_scalar("select id from request where watch_id = $1 and kind = 'watch'")
        .bind(watch.0)
        .fetch_optional(tx)
        .await?;
    Ok(id.map(RequestId))
}

/// The watches of a case of the unit, the newest first and no more than some.
pub(crate) async fn watches_of_case(pool: &PgPool, unit: &Unit, case: &str, most: i64) -> Result<Vec<WatchId>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select watch_id from request
         where agency = $1 and unit = $2 and case_number = $3 and kind = 'watch' and watch_id is not null
         order by submitted_at desc, id desc limit $4",
    )
    .bind(unit.agency.as_str())
    .bind(unit.unit.as_str())
    .bind(case)
    .bind(most)
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(WatchId).collect())
}

/// The requests of a case of the unit under which something may be frozen.
pub(crate) async fn freezing(pool: &PgPool, unit: &Unit, case: &str) -> Result<Vec<RequestId>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select id from request
         where agency = $1 and unit = $2 and case_number = $3 and kind in ('watch', 'standing-freeze', 'freeze')
           and state in ('approved', 'in-effect', 'closed')
         order by submitted_at, id",
    )
    .bind(unit.agency.as_str())
    .bind(unit.unit.as_str())
    .bind(case)
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(RequestId).collect())
}

/// Where a list of requests goes on: after this one, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) submitted_at: Moment,
    pub(crate) id: RequestId,
}

/// The requests of a unit, newest first.
pub(crate) async fn requests(
    pool: &PgPool,
    unit: &Unit,
    state: Option<State>,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<Request>> {
    let rows: Vec<Row> = sqlx::query_as(requests!(
        " where agency = $1 and unit = $2 and ($3::text is null or state = $3)
            and ($4::timestamptz is null or (submitted_at, r.id) < ($4, $5))
          order by submitted_at desc, r.id desc limit $6"
    ))
    .bind(unit.agency.as_str())
    .bind(unit.unit.as_str())
    .bind(state.map(State::name))
    .bind(after.map(|after| after.submitted_at))
    .bind(after.map(|after| after.id.0))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Row::read).collect()
}

/// Writes a new request. False where its id is taken.
pub(crate) async fn insert(tx: &mut PgConnection, request: &Request) -> Result<bool> {
    let (releases, halt_scope) = match &request.proposal.asked {
        Asked::Release { frozen_by, .. } => (Some(frozen_by.0), None),
        Asked::Halt(scope) | Asked::Resume(scope) => (None, Some(scope.key())),
        _ => (None, None),
    };
    let inserted = sqlx::query(
        "insert into request (id, system, agency, unit, case_number, kind, state, needed, submitted_at, lapses_at,
                              content, releases, halt_scope, version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0)
         on conflict (id) do nothing",
    )
    .bind(request.id.0)
    .bind(&request.system)
    .bind(request.case.agency.as_str())
    .bind(request.case.unit.as_str())
    .bind(&request.case.number)
    .bind(request.proposal.asked.kind().name())
    .bind(request.life.state.name())
    .bind(i32::try_from(request.life.needed).unwrap_or(i32::MAX))
    .bind(request.submitted_at)
    .bind(request.life.lapses_at)
    .bind(RequestContent::from(&request.proposal).encode_to_vec())
    .bind(releases)
    .bind(halt_scope)
    .execute(&mut *tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Writes what has changed about a request, its new decisions included.
pub(crate) async fn save(tx: &mut PgConnection, request: &Request) -> Result<()> {
    sqlx::query(
        "update request set state = $2, content = $3, reason = $4, watch_id = $5, watch_until = $6, freeze_until = $7,
                            ends_at = $8, version = $9,
                            watch_state = case when kind = 'watch' and $5 is not null
                                               then coalesce(watch_state, 'pending') end
         where id = $1",
    )
    .bind(request.id.0)
    .bind(request.life.state.name())
    .bind(RequestContent::from(&request.proposal).encode_to_vec())
    .bind(&request.reason)
    .bind(request.watch.map(|watch| watch.0))
    .bind(request.watch_until)
    .bind(request.freeze_until)
    .bind(request.ends_at)
    .bind(i64::try_from(request.version).unwrap_or(i64::MAX))
    .execute(&mut *tx)
    .await?;
    for (place, decision) in request.life.decisions.iter().enumerate() {
        sqlx::query(
            "insert into decision (request_id, place, role, person, at) values ($1, $2, $3, $4, $5)
             on conflict (request_id, place) do nothing",
        )
        .bind(request.id.0)
        .bind(i16::try_from(place).unwrap_or(i16::MAX))
        .bind(match decision.role {
            DecisionRole::Requested => "requested",
            DecisionRole::Approved => "approved",
        })
        .bind(decision.person.as_str())
        .bind(decision.at)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Halts of an agency's scope that are in force.
pub(crate) async fn halts(tx: &mut PgConnection, agency: &AgencyId, scope: &str) -> Result<Vec<RequestId>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select id from request
         where agency = $1 and halt_scope = $2 and kind = 'halt' and state in ('approved', 'in-effect') order by id",
    )
    .bind(agency.as_str())
    .bind(scope)
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(RequestId).collect())
}

/// Requests whose time for approval (true), or whose period (false), is over.
pub(crate) async fn overdue(pool: &PgPool, now: Moment, limit: i64) -> Result<Vec<(RequestId, bool)>> {
    let rows: Vec<(Uuid, bool)> = sqlx::query_as(
        "(select id, true from request where state = 'awaiting-approval' and lapses_at <= $1 order by lapses_at limit $2)
         union all
         (select id, false from request where state in ('approved', 'in-effect') and ends_at <= $1
          order by ends_at limit $2)",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(id, awaiting)| (RequestId(id), awaiting)).collect())
}

/// How many requests are in each state, and since when the oldest waits for approval.
pub(crate) async fn tally(pool: &PgPool) -> Result<(Vec<(String, i64)>, Option<Moment>)> {
    let by_state = sqlx::query_as("select state, count(*) from request group by state").fetch_all(pool).await?;
    let oldest = sqlx::query_scalar("select min(submitted_at) from request where state = 'awaiting-approval'")
        .fetch_one(pool)
        .await?;
    Ok((by_state, oldest))
}
