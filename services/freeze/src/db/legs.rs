//! Legs: their rows, orders and grounds.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use haetae_core::{ArrivalId, AuthorisationId, LegId, Moment, RequestId, WatchId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::text;
use crate::leg::{Desired, Ground, Leg, Ordered, Owed, Reported};
use crate::standing::Reserve;

/// An order that was signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed {
    /// SHA-256 over its envelope.
    pub identity: [u8; 32],
    /// When.
    pub at: Moment,
}

/// A leg, and what it takes from its standing freeze's cap.
pub(super) type Held = (Leg, Option<Reserve>);

#[derive(sqlx::FromRow)]
struct LegRow {
    id: Uuid,
    request: Uuid,
    watch: Option<Uuid>,
    line: Uuid,
    exchange: String,
    account: String,
    memo: Option<String>,
    asset: String,
    opened_at: Moment,
    cap: Option<String>,
    until: Option<Moment>,
    ordered_at: Option<Moment>,
    reported_revision: Option<i64>,
    reported: Option<String>,
    reported_at: Option<Moment>,
    frozen: Option<String>,
    refusal: Option<String>,
    holder: Option<String>,
    binding_at: Option<Moment>,
    owed_at: Option<Moment>,
    owed_on_resume: bool,
    refusals: i64,
    contested: bool,
    reserve: Option<String>,
    closed: bool,
}

#[derive(sqlx::FromRow)]
struct OrderRow {
    leg: Uuid,
    cap: Option<String>,
    taken_in: Option<bool>,
}

#[derive(sqlx::FromRow)]
struct GroundRow {
    leg: Uuid,
    arrival: Uuid,
    since: i64,
    refused: bool,
    retracted: bool,
}

const COLUMNS: &str =
    "id, request, watch, line, exchange, account, memo, asset, opened_at, cap::text, until, ordered_at,
    reported_revision, reported, reported_at, frozen::text, refusal, holder, binding_at, owed_at, owed_on_resume,
    refusals, contested, reserve::text, closed";

/// All legs of a request.
pub(super) async fn of_request(conn: &mut PgConnection, request: RequestId) -> Result<Vec<Held>, sqlx::Error> {
    let rows = sqlx::query_as(sqlx::AssertSqlSafe(format!("select {COLUMNS} from leg where request = $1")))
        .bind(request.0)
        .fetch_all(&mut *conn)
        .await?;
    complete(conn, rows).await
}

/// Some legs of a request, oldest first, after the one named.
///
/// # Errors
/// When the database fails.
pub(crate) async fn page(
    pool: &PgPool,
    request: RequestId,
    after: Option<(Moment, LegId)>,
    limit: i64,
) -> Result<Vec<Leg>, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let (time, id) = after.map_or((Moment::UNIX_EPOCH, Uuid::nil()), |(time, id)| (time, id.0));
    let rows = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select {COLUMNS} from leg where request = $1 and (opened_at, id) > ($2, $3) order by opened_at, id limit $4"
    )))
    .bind(request.0)
    .bind(time)
    .bind(id)
    .bind(limit)
    .fetch_all(&mut *conn)
    .await?;
    Ok(complete(&mut conn, rows).await?.into_iter().map(|(leg, _)| leg).collect())
}

/// Adds orders and grounds to rows, in their order.
async fn complete(conn: &mut PgConnection, rows: Vec<LegRow>) -> Result<Vec<Held>, sqlx::Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ordered: Vec<OrderRow> =
        sqlx::query_as("select leg, cap::text, taken_in from leg_order where leg = any($1) order by leg, revision")
            .bind(&ids)
            .fetch_all(&mut *conn)
            .await?;
    let grounded: Vec<GroundRow> = sqlx::query_as(
        "select leg, arrival, since, refused, retracted from leg_ground where leg = any($1) order by leg, place",
    )
    .bind(&ids)
    .fetch_all(&mut *conn)
    .await?;
    let mut orders: BTreeMap<Uuid, Vec<Ordered>> = BTreeMap::new();
    for row in ordered {
        let order = Ordered { cap: text::amount_optional(row.cap.as_deref())?, taken_in: row.taken_in };
        orders.entry(row.leg).or_default().push(order);
    }
    let mut grounds: BTreeMap<Uuid, Vec<GroundRow>> = BTreeMap::new();
    for row in grounded {
        grounds.entry(row.leg).or_default().push(row);
    }
    rows.into_iter()
        .map(|row| {
            let (orders, grounds) = (orders.remove(&row.id), grounds.remove(&row.id));
            row.into_leg(orders.unwrap_or_default(), grounds.unwrap_or_default())
        })
        .collect()
}

impl LegRow {
    fn into_leg(self, orders: Vec<Ordered>, grounds: Vec<GroundRow>) -> Result<Held, sqlx::Error> {
        let reported = match (self.reported_revision, &self.reported, self.reported_at) {
            (Some(revision), Some(state), Some(at)) => Some(Reported {
                revision: NonZeroU32::new(text::count(revision)).ok_or_else(|| text::damaged("a revision"))?,
                state: text::state(state)?,
                at,
                frozen: text::amount_optional(self.frozen.as_deref())?,
                refusal: self.refusal.as_deref().map(text::refusal).transpose()?,
            }),
            _ => None,
        };
        let desired = match (text::amount_optional(self.cap.as_deref())?, self.until) {
            (Some(cap), Some(until)) => Desired::Frozen { cap, until },
            _ => Desired::Released,
        };
        let retracted: BTreeSet<_> =
            grounds.iter().filter(|ground| ground.retracted).map(|ground| ArrivalId(ground.arrival)).collect();
        let leg = Leg {
            id: LegId(self.id),
            request: RequestId(self.request),
            watch: self.watch.map(WatchId),
            line: AuthorisationId(self.line),
            exchange: text::parse(&self.exchange, "an exchange")?,
            target: text::target(&self.account, self.memo)?,
            asset: text::parse(&self.asset, "an asset")?,
            opened_at: self.opened_at,
            desired,
            orders,
            grounds: grounds
                .into_iter()
                .map(|row| Ground {
                    arrival: ArrivalId(row.arrival),
                    since: text::count(row.since),
                    refused: row.refused,
                })
                .collect(),
            reported,
            holder: self.holder,
            ordered_at: self.ordered_at,
            binding_at: self.binding_at,
            owed: text::owed(self.owed_on_resume, self.owed_at),
            refusals: text::count(self.refusals),
            retracted,
            contested: self.contested,
        };
        let reserve = match text::amount_optional(self.reserve.as_deref())? {
            Some(amount) => Some(Reserve {
                asset: leg.asset.clone(),
                exchange: leg.exchange.clone(),
                amount,
                opened_at: leg.opened_at,
                holder: leg.holder.clone(),
                closed: self.closed,
            }),
            None => None,
        };
        Ok((leg, reserve))
    }
}

/// Writes a leg as it is now. `signed` has each order that is new.
pub(super) async fn save(
    conn: &mut PgConnection,
    leg: &Leg,
    reserve: Option<&Reserve>,
    signed: &BTreeMap<(LegId, u32), Signed>,
) -> Result<(), sqlx::Error> {
    let (cap, until) = match leg.desired {
        Desired::Frozen { cap, until } => (Some(cap.to_string()), Some(until)),
        Desired::Released => (None, None),
    };
    let word = leg.reported;
    sqlx::query(
        "insert into leg
            (id, request, watch, line, exchange, account, memo, asset, opened_at, cap, until, revision, ordered_at,
             reported_revision, reported, reported_at, frozen, refusal, holder, binding_at, owed_at, owed_on_resume,
             refusals, contested, reserve, closed)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::numeric, $11, $12, $13, $14, $15, $16, $17::numeric, $18, $19,
                 $20, $21, $22, $23, $24, $25::numeric, $26)
         on conflict (id) do update set
            cap = excluded.cap, until = excluded.until, revision = excluded.revision, ordered_at = excluded.ordered_at,
            reported_revision = excluded.reported_revision, reported = excluded.reported,
            reported_at = excluded.reported_at, frozen = excluded.frozen, refusal = excluded.refusal,
            holder = excluded.holder, binding_at = excluded.binding_at, owed_at = excluded.owed_at,
            owed_on_resume = excluded.owed_on_resume, refusals = excluded.refusals, contested = excluded.contested,
            reserve = excluded.reserve, closed = excluded.closed",
    )
    .bind(leg.id.0)
    .bind(leg.request.0)
    .bind(leg.watch.map(|watch| watch.0))
    .bind(leg.line.0)
    .bind(leg.exchange.as_str())
    .bind(leg.target.account.to_string())
    .bind(&leg.target.memo)
    .bind(leg.asset.to_string())
    .bind(leg.opened_at)
    .bind(cap)
    .bind(until)
    .bind(i64::from(leg.revision()))
    .bind(leg.ordered_at)
    .bind(word.map(|word| i64::from(word.revision.get())))
    .bind(word.map(|word| text::state_text(word.state)))
    .bind(word.map(|word| word.at))
    .bind(word.and_then(|word| word.frozen).map(|amount| amount.to_string()))
    .bind(word.and_then(|word| word.refusal).map(text::refusal_text))
    .bind(&leg.holder)
    .bind(leg.binding_at)
    .bind(match leg.owed {
        Some(Owed::At(at)) => Some(at),
        Some(Owed::OnResume) | None => None,
    })
    .bind(leg.owed == Some(Owed::OnResume))
    .bind(i64::from(leg.refusals))
    .bind(leg.contested)
    .bind(reserve.map(|reserve| reserve.amount.to_string()))
    .bind(reserve.is_some_and(|reserve| reserve.closed))
    .execute(&mut *conn)
    .await?;
    save_orders(conn, leg, signed).await?;
    save_grounds(conn, leg).await
}

async fn save_orders(
    conn: &mut PgConnection,
    leg: &Leg,
    signed: &BTreeMap<(LegId, u32), Signed>,
) -> Result<(), sqlx::Error> {
    for (revision, order) in (1_u32..).zip(&leg.orders) {
        let written = match signed.get(&(leg.id, revision)) {
            Some(order_signed) => {
                sqlx::query(
                    "insert into leg_order (leg, revision, cap, sha256, signed_at, taken_in)
                     values ($1, $2, $3::numeric, $4, $5, $6)",
                )
                .bind(leg.id.0)
                .bind(i64::from(revision))
                .bind(order.cap.map(|cap| cap.to_string()))
                .bind(order_signed.identity.as_slice())
                .bind(order_signed.at)
                .bind(order.taken_in)
                .execute(&mut *conn)
                .await?
            }
            None => {
                sqlx::query("update leg_order set taken_in = $3 where leg = $1 and revision = $2")
                    .bind(leg.id.0)
                    .bind(i64::from(revision))
                    .bind(order.taken_in)
                    .execute(&mut *conn)
                    .await?
            }
        };
        // An order that was never signed must not look as if it had been.
        if written.rows_affected() != 1 {
            return Err(sqlx::Error::RowNotFound);
        }
    }
    Ok(())
}

async fn save_grounds(conn: &mut PgConnection, leg: &Leg) -> Result<(), sqlx::Error> {
    let column = |of: fn(&Ground) -> i64| leg.grounds.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "insert into leg_ground (leg, arrival, place, since, refused, retracted)
         select $1, g.arrival, g.place, g.since, g.refused, g.retracted
         from unnest($2::uuid[], $3::integer[], $4::bigint[], $5::boolean[], $6::boolean[])
              as g (arrival, place, since, refused, retracted)
         on conflict (leg, arrival) do update set
            place = excluded.place, since = excluded.since, refused = excluded.refused, retracted = excluded.retracted",
    )
    .bind(leg.id.0)
    .bind(leg.grounds.iter().map(|ground| ground.arrival.0).collect::<Vec<_>>())
    .bind((0_i32..).take(leg.grounds.len()).collect::<Vec<_>>())
    .bind(column(|ground| i64::from(ground.since)))
    .bind(leg.grounds.iter().map(|ground| ground.refused).collect::<Vec<_>>())
    .bind(leg.grounds.iter().map(|ground| leg.retracted.contains(&ground.arrival)).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}
