//! Reads: each states its purpose, is within the unit, and is recorded before it is answered.

use std::collections::{BTreeSet, HashMap};

use haetae_core::{ExchangeId, LegId, Moment, Reason, RequestId, Violations, WatchId};
use haetae_ledger::{Expected, NewEntry};
use haetae_mesh::explain;
use haetae_service::{refuse, refuse_all};
use haetae_wire::{
    convert::{duration, timestamp},
    exchange::v1::{Envelope, Order, SignedOrder},
    freeze::v1 as freeze,
    intake::v1::{self, trace_request::Scope},
    read,
    tracking::v1 as tracking,
};
use prost::Message;
use tonic::{Code, Request, Response, Status};

use super::{AGAIN, Api, ahead, caller::Caller, now, page};
use crate::{
    approval::State,
    commands::Fault,
    db::{self, After, watches::WatchState},
    request,
};

const PURPOSE: usize = 500;
/// Characters of a case's number at most.
const CASE: usize = 100;
/// Watches of a case that are traced at once.
const WATCHES: i64 = 100;
/// Legs that freeze gives at most at once.
const LEGS: i32 = 200;

/// Whose movements are traced.
enum Traced {
    Watch(WatchId),
    Case(String),
}

/// A read as it is recorded.
pub(super) struct Reading<'a> {
    pub(super) method: &'static str,
    /// The id of what is read; empty for lists.
    pub(super) resource: String,
    pub(super) purpose: &'a str,
}

/// Notes a read without a purpose.
pub(super) fn purpose(v: &mut Violations, text: &str) {
    if text.trim().is_empty() {
        v.add("purpose", Reason::PurposeMissing, "is required; it is recorded");
    } else {
        read::text(v, "purpose", text, 1..=PURPOSE);
    }
}

/// One id and a purpose, which is all that most reads have.
fn one<T>(field: &'static str, id: &str, stated: &str) -> Result<T, Status>
where
    T: std::str::FromStr,
    Result<T, T::Err>: haetae_core::Collect<T>,
{
    let mut v = Violations::new();
    let id = read::parse::<T>(&mut v, field, id);
    purpose(&mut v, stated);
    Ok(v.finish(id).map_err(refuse_all)?)
}

impl Api {
    /// Records a read. What is not recorded is not answered.
    pub(super) async fn record(&self, caller: &Caller, reading: Reading<'_>, now: Moment) -> Result<(), Fault> {
        let log = &self.intake.log;
        let fact = v1::ReadRecorded {
            method: reading.method.to_owned(),
            resource: reading.resource,
            purpose: reading.purpose.to_owned(),
            person: caller.by.person.clone(),
            system: caller.by.system.clone(),
        };
        let entry = NewEntry {
            // A stream of its own: reads need no order among themselves, and must not wait for each other.
            stream: format!("read/{}", uuid::Uuid::now_v7()),
            expected: Expected::Version(0),
            kind: "read",
            subject: format!("unit/{}/{}", caller.unit.agency, caller.unit.unit),
            actor: caller.by.actor.clone(),
            audience: None,
            payload: fact.encode_to_vec(),
            time: now,
        };
        let mut tx = log.begin().await?;
        log.append(&mut tx, entry).await?;
        log.commit(tx).await?;
        Ok(())
    }

    /// A request that the caller may see.
    pub(super) async fn visible(&self, caller: &Caller, id: RequestId) -> Result<request::Request, Fault> {
        let request = db::request_of_unit(self.intake.log.pool(), &caller.unit, id).await?;
        request.ok_or(Fault::Refused(Reason::NotFound))
    }

    /// The request that started a watch, where the caller may see it.
    async fn visible_watch(&self, caller: &Caller, watch: WatchId) -> Result<request::Request, Fault> {
        let mut connection = self.intake.log.pool().acquire().await?;
        let id = db::request_of_watch(&mut connection, watch).await?;
        drop(connection);
        self.visible(caller, id.ok_or(Fault::Refused(Reason::NotFound))?).await
    }

    /// A request that is read: by whoever may see it, for a purpose, and recorded.
    async fn one_request(
        &self,
        caller: &Caller,
        method: &'static str,
        id: &str,
        purpose: &str,
    ) -> Result<(RequestId, request::Request), Status> {
        let id: RequestId = one("request_id", id, purpose)?;
        let found = self.visible(caller, id).await?;
        self.record(caller, Reading { method, resource: id.to_string(), purpose }, now()).await?;
        Ok((id, found))
    }

    /// A watch that is read, likewise, and the request that started it.
    async fn one_watch(
        &self,
        caller: &Caller,
        method: &'static str,
        id: &str,
        purpose: &str,
    ) -> Result<(WatchId, request::Request), Status> {
        let watch: WatchId = one("watch_id", id, purpose)?;
        let started = self.visible_watch(caller, watch).await?;
        self.record(caller, Reading { method, resource: watch.to_string(), purpose }, now()).await?;
        Ok((watch, started))
    }

    pub(super) async fn read_request(
        &self,
        request: Request<v1::GetRequestRequest>,
    ) -> Result<Response<v1::GetRequestResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let (_, found) = self.one_request(&caller, "GetRequest", &message.request_id, &message.purpose).await?;
        Ok(Response::new(v1::GetRequestResponse { request: Some((&found).into()) }))
    }

    pub(super) async fn read_requests(
        &self,
        request: Request<v1::ListRequestsRequest>,
    ) -> Result<Response<v1::ListRequestsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let mut v = Violations::new();
        let state = match v1::RequestState::try_from(message.state) {
            Ok(state) => Some(State::from_wire(state)),
            Err(_) => {
                v.add("state", Reason::FieldMalformed, "is a value that the contract does not know");
                None
            }
        };
        let size = page::size(&mut v, message.page_size, 50, 200);
        purpose(&mut v, &message.purpose);
        let after = page::after(&caller.unit, &message.page_token)
            .map_err(|reason| v.add("page_token", reason, "is not one that was given to this unit"))
            .unwrap_or_default();
        let (state, size) = v.finish(state.zip(size)).map_err(refuse_all)?;
        let reading = Reading { method: "ListRequests", resource: String::new(), purpose: &message.purpose };
        self.record(&caller, reading, now()).await?;
        // One more than asked for tells whether there is another page.
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let limit = i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1);
        let mut found =
            db::requests(self.intake.log.pool(), &caller.unit, state, after, limit).await.map_err(Fault::from)?;
        let more = found.len() > size;
        found.truncate(size);
        let next = found.last().filter(|_| more).map(|last| After { submitted_at: last.submitted_at, id: last.id });
        Ok(Response::new(v1::ListRequestsResponse {
            requests: found.iter().map(Into::into).collect(),
            next_page_token: next.map(|last| page::token(&caller.unit, last)).unwrap_or_default(),
        }))
    }

    pub(super) async fn read_confirmation(
        &self,
        request: Request<v1::GetConfirmationRequest>,
    ) -> Result<Response<v1::GetConfirmationResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let (id, asked) = self.one_request(&caller, "GetConfirmation", &message.request_id, &message.purpose).await?;
        let question = tracking::GetConfirmationRequest { request_id: id.to_string() };
        let confirmation = match known(self.tracking.clone().get_confirmation(question).await)? {
            Some(answer) => answer.confirmation,
            None => Some(ahead::confirmation(&asked).ok_or_else(|| refuse(Reason::NotFound))?),
        };
        Ok(Response::new(v1::GetConfirmationResponse { confirmation }))
    }

    pub(super) async fn read_watch(
        &self,
        request: Request<v1::GetWatchRequest>,
    ) -> Result<Response<v1::GetWatchResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let (watch, asked) = self.one_watch(&caller, "GetWatch", &message.watch_id, &message.purpose).await?;
        let question = tracking::GetWatchRequest { watch_id: watch.to_string() };
        let watch = match known(self.tracking.clone().get_watch(question).await)? {
            Some(answer) => answer.watch,
            None => Some(ahead::watch(&asked, watch).ok_or_else(|| refuse(Reason::NotFound))?),
        };
        Ok(Response::new(v1::GetWatchResponse { watch }))
    }

    pub(super) async fn read_watches(
        &self,
        request: Request<v1::ListWatchesRequest>,
    ) -> Result<Response<v1::ListWatchesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let mut v = Violations::new();
        let state = match tracking::WatchState::try_from(message.state) {
            Ok(tracking::WatchState::Unspecified) => Some(None),
            Ok(tracking::WatchState::Pending) => Some(Some(WatchState::Pending)),
            Ok(tracking::WatchState::CatchingUp) => Some(Some(WatchState::CatchingUp)),
            Ok(tracking::WatchState::Active) => Some(Some(WatchState::Active)),
            Ok(tracking::WatchState::Ended) => Some(Some(WatchState::Ended)),
            Err(_) => {
                v.add("state", Reason::FieldMalformed, "is a value that the contract does not know");
                None
            }
        };
        let size = page::size(&mut v, message.page_size, 50, 200);
        purpose(&mut v, &message.purpose);
        let after = page::after(&caller.unit, &message.page_token)
            .map_err(|reason| v.add("page_token", reason, "is not one that was given to this unit"))
            .unwrap_or_default();
        let (state, size) = v.finish(state.zip(size)).map_err(refuse_all)?;
        let reading = Reading { method: "ListWatches", resource: String::new(), purpose: &message.purpose };
        self.record(&caller, reading, now()).await?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let limit = i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1);
        let wanted = (Some(message.case_number.as_str()).filter(|case| !case.is_empty()), state);
        let found = db::watches::list(self.intake.log.pool(), &caller.unit, wanted, after, limit).await;
        let mut found = found.map_err(Fault::from)?;
        let more = found.len() > size;
        found.truncate(size);
        let next =
            found.last().filter(|_| more).map(|(_, last)| After { submitted_at: last.submitted_at, id: last.id });
        let watch_ids = found.iter().map(|(id, _)| id.to_string()).collect();
        let asked = tracking::BatchGetWatchesRequest { watch_ids };
        let answer = self.tracking.clone().batch_get_watches(asked).await.map_err(from_peer)?.into_inner();
        let mut known: HashMap<String, tracking::Watch> =
            answer.watches.into_iter().map(|watch| (watch.watch_id.clone(), watch)).collect();
        let watches = found.iter().map(|(id, started)| v1::ListedWatch {
            watch: known.remove(&id.to_string()).or_else(|| ahead::watch(started, *id)),
            case: Some((&started.case).into()),
        });
        Ok(Response::new(v1::ListWatchesResponse {
            watches: watches.collect(),
            next_page_token: next.map(|last| page::token(&caller.unit, last)).unwrap_or_default(),
        }))
    }

    pub(super) async fn read_trail(
        &self,
        request: Request<v1::ListTrailRequest>,
    ) -> Result<Response<v1::ListTrailResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let (watch, _) = self.one_watch(&caller, "ListTrail", &message.watch_id, &message.purpose).await?;
        let question = tracking::ListTrailRequest {
            watch_id: watch.to_string(),
            page_size: message.page_size,
            page_token: message.page_token,
            newest_first: message.newest_first,
        };
        // A watch that is not taken up yet has found nothing.
        let answer = known(self.tracking.clone().list_trail(question).await)?.unwrap_or_default();
        Ok(Response::new(v1::ListTrailResponse { items: answer.items, next_page_token: answer.next_page_token }))
    }

    pub(super) async fn read_trail_ends(
        &self,
        request: Request<v1::ListTrailEndsRequest>,
    ) -> Result<Response<v1::ListTrailEndsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let (watch, _) = self.one_watch(&caller, "ListTrailEnds", &message.watch_id, &message.purpose).await?;
        let question = tracking::ListTrailEndsRequest {
            watch_id: watch.to_string(),
            reasons: message.reasons,
            page_size: message.page_size,
            page_token: message.page_token,
        };
        let answer = known(self.tracking.clone().list_trail_ends(question).await)?.unwrap_or_default();
        Ok(Response::new(v1::ListTrailEndsResponse {
            places: answer.places,
            totals: answer.totals,
            next_page_token: answer.next_page_token,
            taint_rule: answer.taint_rule,
        }))
    }

    pub(super) async fn read_trace(
        &self,
        request: Request<v1::TraceRequest>,
    ) -> Result<Response<v1::TraceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let mut v = Violations::new();
        let scope = match &message.scope {
            Some(Scope::WatchId(id)) => read::parse::<WatchId>(&mut v, "watch_id", id).map(Traced::Watch),
            Some(Scope::CaseNumber(case)) => read::text(&mut v, "case_number", case, 1..=CASE).map(Traced::Case),
            None => {
                read::missing(&mut v, "watch_id");
                None
            }
        };
        purpose(&mut v, &message.purpose);
        let scope = v.finish(scope).map_err(refuse_all)?;
        let (watches, case, resource) = match scope {
            Traced::Watch(watch) => {
                let asked = self.visible_watch(&caller, watch).await?;
                (vec![watch], asked.case.number, watch.to_string())
            }
            Traced::Case(case) => {
                let watches = db::watches_of_case(self.intake.log.pool(), &caller.unit, &case, WATCHES);
                let resource = format!("case/{case}");
                (watches.await.map_err(Fault::from)?, case, resource)
            }
        };
        if watches.is_empty() {
            return Err(refuse(Reason::NotFound).into());
        }
        let reading = Reading { method: "Trace", resource, purpose: &message.purpose };
        self.record(&caller, reading, now()).await?;
        let question = tracking::TraceRequest {
            watch_ids: watches.iter().map(ToString::to_string).collect(),
            query: Some(message.query.unwrap_or_default()),
        };
        let trace = self.tracking.clone().trace(question).await.map_err(from_peer)?.into_inner().trace;
        let legs = match &trace {
            Some(trace) if message.with_legs => self.legs_on(trace, &caller, &case).await?,
            _ => Vec::new(),
        };
        Ok(Response::new(v1::TraceResponse { trace, case_number: case, legs }))
    }

    /// The legs of a case on the accounts of a trace.
    async fn legs_on(&self, trace: &tracking::Trace, caller: &Caller, case: &str) -> Result<Vec<freeze::Leg>, Status> {
        let accounts: BTreeSet<&str> = trace.nodes.iter().map(|node| node.account.as_str()).collect();
        let freezing = db::freezing(self.intake.log.pool(), &caller.unit, case).await.map_err(Fault::from)?;
        let mut legs = Vec::new();
        for request in freezing {
            let mut page_token = String::new();
            loop {
                let question = freeze::ListLegsRequest { request_id: request.to_string(), page_size: LEGS, page_token };
                let page = self.freeze.clone().list_legs(question).await.map_err(from_peer)?.into_inner();
                let here =
                    |leg: &freeze::Leg| leg.target.as_ref().is_some_and(|t| accounts.contains(t.account.as_str()));
                legs.extend(page.legs.into_iter().filter(here));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
        }
        Ok(legs)
    }

    pub(super) async fn read_legs(
        &self,
        request: Request<v1::ListLegsRequest>,
    ) -> Result<Response<v1::ListLegsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let (id, _) = self.one_request(&caller, "ListLegs", &message.request_id, &message.purpose).await?;
        let question = freeze::ListLegsRequest {
            request_id: id.to_string(),
            page_size: message.page_size,
            page_token: message.page_token,
        };
        let answer = self.freeze.clone().list_legs(question).await.map_err(from_peer)?.into_inner();
        Ok(Response::new(v1::ListLegsResponse { legs: answer.legs, next_page_token: answer.next_page_token }))
    }

    pub(super) async fn read_signed_order(
        &self,
        request: Request<v1::GetSignedOrderRequest>,
    ) -> Result<Response<v1::GetSignedOrderResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let leg: LegId = one("leg_id", &message.leg_id, &message.purpose)?;
        let mut connection = self.intake.log.pool().acquire().await.map_err(Fault::from)?;
        let frozen_by = db::outcome::request_of_leg(&mut connection, leg).await.map_err(Fault::from)?;
        drop(connection);
        self.visible(&caller, frozen_by.ok_or(Fault::Refused(Reason::NotFound))?).await?;
        let reading = Reading { method: "GetSignedOrder", resource: leg.to_string(), purpose: &message.purpose };
        self.record(&caller, reading, now()).await?;
        let question = freeze::GetSignedOrderRequest { leg_id: leg.to_string() };
        let order = self.freeze.clone().get_signed_order(question).await.map_err(from_peer)?.into_inner().order;
        let recipient = order.as_ref().and_then(recipient);
        let exchange = recipient.and_then(|recipient| self.intake.registry.exchange(&recipient));
        Ok(Response::new(v1::GetSignedOrderResponse {
            order,
            display_name: exchange.map(|exchange| exchange.display_name.clone()).unwrap_or_default(),
            hotline: exchange.and_then(|exchange| exchange.hotline.clone()),
        }))
    }

    pub(super) async fn read_exchanges(
        &self,
        request: Request<v1::ListExchangesRequest>,
    ) -> Result<Response<v1::ListExchangesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let mut v = Violations::new();
        purpose(&mut v, &message.purpose);
        v.finish(Some(())).map_err(refuse_all)?;
        let reading = Reading { method: "ListExchanges", resource: String::new(), purpose: &message.purpose };
        self.record(&caller, reading, now()).await?;
        let lines = db::outcome::lines(self.intake.log.pool()).await.map_err(Fault::from)?;
        let exchanges = self.intake.registry.exchanges().map(|exchange| {
            let line = lines.iter().find(|(name, ..)| name == exchange.id.as_str());
            let (answer, failure) = line.map_or((None, None), |(_, answer, failure)| (*answer, *failure));
            v1::Exchange {
                exchange: exchange.id.to_string(),
                display_name: exchange.display_name.clone(),
                // One that was never asked anything has not failed.
                reachable: failure.is_none_or(|failure| answer.is_some_and(|answer| answer > failure)),
                last_answer: answer.map(timestamp),
                confirm_within: Some(duration(exchange.confirm_within)),
            }
        });
        Ok(Response::new(v1::ListExchangesResponse { exchanges: exchanges.collect() }))
    }
}

/// Whom an order of freeze's is for. Who acts on the order verifies it.
fn recipient(order: &SignedOrder) -> Option<ExchangeId> {
    let envelope = Envelope::decode(order.envelope.as_slice()).ok()?;
    Order::decode(envelope.payload.as_slice()).ok()?.recipient.parse().ok()
}

/// A peer's answer; none where it knows nothing of what is asked about, since it has not read of it yet.
fn known<T>(answer: Result<Response<T>, Status>) -> Result<Option<T>, Status> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(from_peer(status)),
    }
}

/// What a peer's refusal means to an agency system. Reasons of this system pass as they are; what only concerns two
/// services is not the caller's business.
pub(super) fn from_peer(status: Status) -> Status {
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted | Code::Cancelled => {
            refuse(Reason::PeerUnavailable).retry_after(AGAIN).into()
        }
        Code::DeadlineExceeded => refuse(Reason::DeadlineExceeded).into(),
        Code::NotFound => refuse(Reason::NotFound).into(),
        Code::InvalidArgument if explain(&status).domain.is_some() => status,
        code => {
            tracing::error!(?code, "a peer refused a read");
            refuse(Reason::Internal).into()
        }
    }
}
