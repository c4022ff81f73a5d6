//! Reads of legs, their orders, and halts.

use haetae_core::{CaseRef, LegId, Moment, Reason, RequestId, Violations};
use haetae_ledger::{Log, Which};
use haetae_mesh::Refusal;
use haetae_service::{Own, refuse, refuse_all};
use haetae_wire::convert::timestamp;
use haetae_wire::exchange::v1::SignedOrder;
use haetae_wire::freeze::v1::{
    GetSignedOrderRequest, GetSignedOrderResponse, HaltInForce, ListHaltsRequest, ListHaltsResponse, ListLegsRequest,
    ListLegsResponse, freeze_service_server::FreezeService,
};
use haetae_wire::operations::v1::HaltState;
use haetae_wire::read;
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use crate::brake::{Halt, Scope};
use crate::{db, facts};

const PAGE: i32 = 50;
const LARGEST_PAGE: i32 = 200;

/// Answers intake.
pub(crate) struct Api {
    pub(crate) log: Log,
}

#[tonic::async_trait]
impl FreezeService for Api {
    async fn list_legs(&self, request: Request<ListLegsRequest>) -> Result<Response<ListLegsResponse>, Status> {
        let wire = request.into_inner();
        let mut violations = Violations::new();
        let id = read::parse::<RequestId>(&mut violations, "request_id", &wire.request_id);
        if wire.page_size < 0 {
            violations.add("page_size", Reason::FieldMalformed, "must not be negative");
        }
        let after = if wire.page_token.is_empty() { Some(None) } else { read_token(&wire.page_token).map(Some) };
        if after.is_none() {
            violations.add("page_token", Reason::PageTokenInvalid, "is not one that this server gave");
        }
        let (id, after) = violations.finish(id.zip(after)).map_err(refuse_all)?;
        let size = if wire.page_size == 0 { PAGE } else { wire.page_size.min(LARGEST_PAGE) };

        let mut legs = db::page(self.log.pool(), id, after, i64::from(size) + 1).await.map_err(unavailable)?;
        let more = legs.len() > size as usize;
        legs.truncate(size as usize);
        let next_page_token = match legs.last() {
            Some(last) if more => token(last.opened_at, last.id),
            _ => String::new(),
        };
        Ok(Response::new(ListLegsResponse { legs: legs.iter().map(facts::leg_message).collect(), next_page_token }))
    }

    async fn get_signed_order(
        &self,
        request: Request<GetSignedOrderRequest>,
    ) -> Result<Response<GetSignedOrderResponse>, Status> {
        let mut violations = Violations::new();
        let leg = read::parse::<LegId>(&mut violations, "leg_id", &request.get_ref().leg_id);
        let leg = violations.finish(leg).map_err(refuse_all)?;
        let mut conn = self.log.pool().acquire().await.map_err(unavailable)?;
        let stream = self.log.entries_of_stream(&mut conn, &facts::about(leg)).await.map_err(unavailable)?;
        drop(conn);
        // What is not sealed has not left; until it is, the order before it is the one in force.
        let sealed = stream.iter().rfind(|entry| entry.kind == facts::ORDER && entry.position.is_some());
        let entry = sealed.ok_or_else(|| refuse(Reason::NotFound))?;
        let proven = self.log.proof_of(Which::Id(entry.id)).await.map_err(|error| {
            tracing::error!(%error, "an order cannot be proven");
            refuse(Reason::Internal)
        })?;
        let order = proven.and_then(|proven| {
            Some(SignedOrder {
                envelope: proven.payload?,
                opening: proven.opening,
                inclusion: Some(proven.inclusion),
                checkpoint: proven.checkpoint,
            })
        });
        // Without its payload it was erased at the end of its retention.
        let order = order.ok_or_else(|| refuse(Reason::NotFound))?;
        Ok(Response::new(GetSignedOrderResponse { order: Some(order) }))
    }

    async fn list_halts(&self, _: Request<ListHaltsRequest>) -> Result<Response<ListHaltsResponse>, Status> {
        let mut conn = self.log.pool().acquire().await.map_err(unavailable)?;
        let brake = db::brake(&mut conn).await.map_err(unavailable)?;
        Ok(Response::new(ListHaltsResponse { halts: brake.halts().iter().map(in_force).collect() }))
    }
}

fn in_force(halt: &Halt) -> HaltInForce {
    let Halt { request, scope, case: CaseRef { agency, number, .. }, since } = halt;
    let of_case = matches!(scope, Scope::Case { .. });
    HaltInForce {
        request_id: request.to_string(),
        exchange: match scope {
            Scope::Exchange(exchange) => exchange.to_string(),
            Scope::Everything | Scope::Case { .. } => String::new(),
        },
        agency: if of_case { agency.to_string() } else { String::new() },
        case_number: if of_case { number.clone() } else { String::new() },
        since: Some(timestamp(*since)),
    }
}

/// The halts in force, for operators: without the numbers of the cases that they stop.
///
/// # Errors
/// When the database fails.
pub(crate) async fn own(pool: PgPool) -> Result<Own, sqlx::Error> {
    let brake = db::brake(&mut *pool.acquire().await?).await?;
    let halts = brake.halts().iter().map(|halt| {
        let (scope, exchange) = match &halt.scope {
            Scope::Everything => ("everything", String::new()),
            Scope::Exchange(exchange) => ("exchange", exchange.to_string()),
            Scope::Case { .. } => ("case", String::new()),
        };
        HaltState {
            request_id: halt.request.to_string(),
            agency: halt.case.agency.to_string(),
            scope: scope.to_owned(),
            exchange,
            since: Some(timestamp(halt.since)),
        }
    });
    Ok(Own { halts: halts.collect(), ..Own::default() })
}

/// The last leg of a page: when it was opened, in microseconds, and its id.
fn token(opened_at: Moment, leg: LegId) -> String {
    format!("{}.{leg}", opened_at.unix_timestamp_nanos() / 1_000)
}

fn read_token(token: &str) -> Option<(Moment, LegId)> {
    let (micros, leg) = token.split_once('.')?;
    let nanos = micros.parse::<i64>().ok().map(|micros| i128::from(micros) * 1_000)?;
    Some((Moment::from_unix_timestamp_nanos(nanos).ok()?, leg.parse().ok()?))
}

fn unavailable(error: sqlx::Error) -> Refusal {
    // The database's words may hold more than a caller should see.
    tracing::error!(%error, "legs or halts cannot be read");
    refuse(Reason::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_is_read_back_and_no_other_text_is_one() {
        let (at, leg) = (time::macros::datetime!(2026-03-01 12:00:00.123456 UTC), LegId(uuid::Uuid::from_u128(7)));
        assert_eq!(read_token(&token(at, leg)), Some((at, leg)));
        for bad in ["x", "1.x", ".", "99999999999999999999.00000000-0000-0000-0000-000000000007"] {
            assert_eq!(read_token(bad), None, "{bad}");
        }
    }
}
