//! Intake, as the test writes its answers.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{Stream, StreamExt, stream};
use haetae_wire::{
    intake::v1::{intake_service_server::IntakeService, *},
    tracking::v1::Confirmation,
};
use tonic::{Request as Asked, Response, Status, async_trait};

type Updates = Pin<Box<dyn Stream<Item = Result<FollowUpdatesResponse, Status>> + Send>>;
type Told<T> = Result<Response<T>, Status>;

/// What was asked and what is still to be answered. Where nothing is left to answer, it is not found.
#[derive(Clone, Default)]
pub(crate) struct Intake(Arc<Mutex<Script>>);

#[derive(Default)]
pub(crate) struct Script {
    /// The tokens that came, call by call.
    pub(crate) tokens: Vec<String>,
    pub(crate) submitted: Vec<SubmitRequestRequest>,
    /// The state that submitted requests get.
    pub(crate) state: RequestState,
    /// The answers to `GetConfirmation`; the last one stays.
    pub(crate) confirmations: VecDeque<Confirmation>,
    /// What each call of `FollowUpdates` brings, and the cursors it was called with. Stays open where none is left.
    pub(crate) updates: VecDeque<Vec<Result<FollowUpdatesResponse, Status>>>,
    pub(crate) cursors: Vec<String>,
    /// The answer to `GetSignedOrder`.
    pub(crate) order: Option<GetSignedOrderResponse>,
    /// The answer to `Trace`, and what it was asked.
    pub(crate) trace: Option<TraceResponse>,
    pub(crate) traced: Vec<TraceRequest>,
    /// What `ApproveRequest` is refused with.
    pub(crate) refusal: Option<Status>,
}

impl Intake {
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Script) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn heard<T>(&self, asked: Asked<T>) -> T {
        let token = asked.metadata().get("authorization").and_then(|token| token.to_str().ok()).unwrap_or_default();
        self.with(|script| script.tokens.push(token.to_owned()));
        asked.into_inner()
    }
}

fn nothing<T>() -> Told<T> {
    Err(haetae_mesh::Refusal::new(tonic::Code::NotFound, "NOT_FOUND", "there is nothing of that id").into())
}

#[async_trait]
impl IntakeService for Intake {
    type FollowUpdatesStream = Updates;

    async fn submit_request(&self, asked: Asked<SubmitRequestRequest>) -> Told<SubmitRequestResponse> {
        let asked = self.heard(asked);
        let state = self.with(|script| {
            script.submitted.push(asked.clone());
            script.state
        });
        let (request_id, content) = (asked.request_id, asked.content);
        let request = Request { request_id, state: state.into(), content, approvals_needed: 1, ..Default::default() };
        Ok(Response::new(SubmitRequestResponse { request: Some(request) }))
    }

    async fn approve_request(&self, asked: Asked<ApproveRequestRequest>) -> Told<ApproveRequestResponse> {
        self.heard(asked);
        match self.with(|script| script.refusal.clone()) {
            Some(refusal) => Err(refusal),
            None => nothing(),
        }
    }

    async fn reject_request(&self, _: Asked<RejectRequestRequest>) -> Told<RejectRequestResponse> {
        nothing()
    }

    async fn cancel_request(&self, _: Asked<CancelRequestRequest>) -> Told<CancelRequestResponse> {
        nothing()
    }

    async fn get_request(&self, _: Asked<GetRequestRequest>) -> Told<GetRequestResponse> {
        nothing()
    }

    async fn list_requests(&self, _: Asked<ListRequestsRequest>) -> Told<ListRequestsResponse> {
        nothing()
    }

    async fn follow_updates(&self, asked: Asked<FollowUpdatesRequest>) -> Told<Updates> {
        let cursor = self.heard(asked).cursor;
        let updates = self.with(|script| {
            script.cursors.push(cursor);
            script.updates.pop_front()
        });
        Ok(Response::new(match updates {
            Some(updates) => stream::iter(updates).boxed(),
            None => stream::pending().boxed(),
        }))
    }

    async fn get_confirmation(&self, asked: Asked<GetConfirmationRequest>) -> Told<GetConfirmationResponse> {
        self.heard(asked);
        let next = self.with(|script| match script.confirmations.len() {
            0 | 1 => script.confirmations.front().cloned(),
            _ => script.confirmations.pop_front(),
        });
        match next {
            Some(confirmation) => Ok(Response::new(GetConfirmationResponse { confirmation: Some(confirmation) })),
            None => nothing(),
        }
    }

    async fn get_watch(&self, _: Asked<GetWatchRequest>) -> Told<GetWatchResponse> {
        nothing()
    }

    async fn list_trail(&self, _: Asked<ListTrailRequest>) -> Told<ListTrailResponse> {
        nothing()
    }

    async fn list_watches(&self, _: Asked<ListWatchesRequest>) -> Told<ListWatchesResponse> {
        nothing()
    }

    async fn list_trail_ends(&self, _: Asked<ListTrailEndsRequest>) -> Told<ListTrailEndsResponse> {
        nothing()
    }

    async fn trace(&self, asked: Asked<TraceRequest>) -> Told<TraceResponse> {
        let asked = self.heard(asked);
        let answer = self.with(|script| {
            script.traced.push(asked);
            script.trace.clone()
        });
        answer.map_or_else(nothing, |answer| Ok(Response::new(answer)))
    }

    async fn list_legs(&self, _: Asked<ListLegsRequest>) -> Told<ListLegsResponse> {
        nothing()
    }

    async fn get_signed_order(&self, _: Asked<GetSignedOrderRequest>) -> Told<GetSignedOrderResponse> {
        match self.with(|script| script.order.clone()) {
            Some(order) => Ok(Response::new(order)),
            None => nothing(),
        }
    }

    async fn list_exchanges(&self, _: Asked<ListExchangesRequest>) -> Told<ListExchangesResponse> {
        nothing()
    }
}
