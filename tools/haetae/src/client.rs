//! The line to intake: with the system's certificate, the person's token and the purpose of reading.

mod labels;
mod operations;

use std::time::Duration;

use haetae_mesh::Peer;
use haetae_wire::{
    freeze::v1::Leg,
    intake::v1::{self, intake_service_client::IntakeServiceClient},
    tracking::v1::{Confirmation, TrailItem, Watch, WatchState},
};
use tonic::{
    Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
};

pub(crate) use self::labels::{Labels, fitting};
pub(crate) use self::operations::Operations;
use crate::{failure::Failure, profile::Profile};

/// What the services give at most in one page.
const PAGE: i32 = 200;
const TRAIL_PAGE: i32 = 1_000;

/// Says who speaks.
#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Intake, as one person speaks to it.
#[derive(Clone)]
pub(crate) struct Intake {
    client: IntakeServiceClient<InterceptedService<Peer, Bearer>>,
    purpose: Option<String>,
}

impl Intake {
    /// Prepares the line; connects with the first call.
    pub(crate) fn open(
        profile: &Profile,
        person: Option<&str>,
        purpose: Option<String>,
        timeout: Option<Duration>,
    ) -> Result<Self, Failure> {
        let (peer, bearer) = line(profile, person, timeout)?;
        let purpose = stated(purpose, profile);
        Ok(Self { client: IntakeServiceClient::with_interceptor(peer, bearer), purpose })
    }

    /// Why things are read. Ask before changing anything whose outcome is to be read.
    pub(crate) fn purpose(&self) -> Result<String, Failure> {
        self.purpose.clone().ok_or_else(Failure::no_purpose)
    }

    pub(crate) async fn submit(
        &mut self,
        request_id: String,
        content: v1::RequestContent,
    ) -> Result<v1::Request, Failure> {
        let asked = v1::SubmitRequestRequest { request_id, content: Some(content) };
        whole(self.client.submit_request(asked).await?.into_inner().request)
    }

    pub(crate) async fn approve(&mut self, request_id: String, approved: String) -> Result<v1::Request, Failure> {
        let asked = v1::ApproveRequestRequest { request_id, approved_request_id: approved };
        whole(self.client.approve_request(asked).await?.into_inner().request)
    }

    pub(crate) async fn reject(
        &mut self,
        request_id: String,
        rejected: String,
        reason: String,
    ) -> Result<v1::Request, Failure> {
        let asked = v1::RejectRequestRequest { request_id, rejected_request_id: rejected, reason };
        whole(self.client.reject_request(asked).await?.into_inner().request)
    }

    pub(crate) async fn cancel(
        &mut self,
        request_id: String,
        cancelled: String,
        reason: String,
    ) -> Result<v1::Request, Failure> {
        let asked = v1::CancelRequestRequest { request_id, cancelled_request_id: cancelled, reason };
        whole(self.client.cancel_request(asked).await?.into_inner().request)
    }

    pub(crate) async fn request(&mut self, request_id: String) -> Result<v1::Request, Failure> {
        let asked = v1::GetRequestRequest { request_id, purpose: self.purpose()? };
        whole(self.client.get_request(asked).await?.into_inner().request)
    }

    /// At most `limit` requests, newest first; all of them for 0. The token goes on where they were cut.
    pub(crate) async fn requests(
        &mut self,
        state: v1::RequestState,
        limit: usize,
    ) -> Result<v1::ListRequestsResponse, Failure> {
        let purpose = self.purpose()?;
        let mut all = v1::ListRequestsResponse::default();
        loop {
            let left = if limit == 0 { usize::MAX } else { limit - all.requests.len() };
            let page_size = i32::try_from(left).unwrap_or(PAGE).min(PAGE);
            let page_token = std::mem::take(&mut all.next_page_token);
            let asked =
                v1::ListRequestsRequest { state: state.into(), page_size, page_token, purpose: purpose.clone() };
            let page = self.client.list_requests(asked).await?.into_inner();
            all.requests.extend(page.requests);
            all.next_page_token = page.next_page_token;
            if all.next_page_token.is_empty() || (limit != 0 && all.requests.len() >= limit) {
                return Ok(all);
            }
        }
    }

    pub(crate) async fn follow(
        &mut self,
        cursor: String,
        request_id: String,
    ) -> Result<Streaming<v1::FollowUpdatesResponse>, Failure> {
        let asked = v1::FollowUpdatesRequest { cursor, request_id, purpose: self.purpose()? };
        Ok(self.client.follow_updates(asked).await?.into_inner())
    }

    pub(crate) async fn confirmation(&mut self, request_id: String) -> Result<Confirmation, Failure> {
        let asked = v1::GetConfirmationRequest { request_id, purpose: self.purpose()? };
        whole(self.client.get_confirmation(asked).await?.into_inner().confirmation)
    }

    pub(crate) async fn watch(&mut self, watch_id: String) -> Result<Watch, Failure> {
        let asked = v1::GetWatchRequest { watch_id, purpose: self.purpose()? };
        whole(self.client.get_watch(asked).await?.into_inner().watch)
    }

    /// What a watch found last, newest first, at most so much.
    pub(crate) async fn newest_of_trail(&mut self, watch_id: &str, most: u16) -> Result<Vec<TrailItem>, Failure> {
        let asked = v1::ListTrailRequest {
            watch_id: watch_id.to_owned(),
            page_size: i32::from(most),
            page_token: String::new(),
            purpose: self.purpose()?,
            newest_first: true,
        };
        Ok(self.client.list_trail(asked).await?.into_inner().items)
    }

    /// At most `limit` watches, newest first; all of them for 0. The token goes on where they were cut.
    pub(crate) async fn watches(
        &mut self,
        case_number: String,
        state: WatchState,
        limit: usize,
    ) -> Result<v1::ListWatchesResponse, Failure> {
        let purpose = self.purpose()?;
        let mut all = v1::ListWatchesResponse::default();
        loop {
            let left = if limit == 0 { usize::MAX } else { limit - all.watches.len() };
            let asked = v1::ListWatchesRequest {
                case_number: case_number.clone(),
                state: state.into(),
                page_size: i32::try_from(left).unwrap_or(PAGE).min(PAGE),
                page_token: std::mem::take(&mut all.next_page_token),
                purpose: purpose.clone(),
            };
            let page = self.client.list_watches(asked).await?.into_inner();
            all.watches.extend(page.watches);
            all.next_page_token = page.next_page_token;
            if all.next_page_token.is_empty() || (limit != 0 && all.watches.len() >= limit) {
                return Ok(all);
            }
        }
    }

    /// All that a watch found.
    pub(crate) async fn trail(&mut self, watch_id: &str) -> Result<Vec<TrailItem>, Failure> {
        let purpose = self.purpose()?;
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let asked = v1::ListTrailRequest {
                watch_id: watch_id.to_owned(),
                page_size: TRAIL_PAGE,
                page_token,
                purpose: purpose.clone(),
                newest_first: false,
            };
            let page = self.client.list_trail(asked).await?.into_inner();
            all.extend(page.items);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Every place where the money of a watch is, for one of these reasons; for any where none is named.
    pub(crate) async fn ends(&mut self, watch_id: &str, reasons: &[i32]) -> Result<v1::ListTrailEndsResponse, Failure> {
        let purpose = self.purpose()?;
        let mut all = v1::ListTrailEndsResponse::default();
        loop {
            let asked = v1::ListTrailEndsRequest {
                watch_id: watch_id.to_owned(),
                reasons: reasons.to_vec(),
                page_size: TRAIL_PAGE,
                page_token: std::mem::take(&mut all.next_page_token),
                purpose: purpose.clone(),
            };
            let page = self.client.list_trail_ends(asked).await?.into_inner();
            all.places.extend(page.places);
            // The money moves while it is read: the last word about it counts.
            all.totals = page.totals;
            all.next_page_token = page.next_page_token;
            if all.next_page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Where recorded money went. The purpose is put in here.
    pub(crate) async fn trace(&mut self, asked: v1::TraceRequest) -> Result<v1::TraceResponse, Failure> {
        let asked = v1::TraceRequest { purpose: self.purpose()?, ..asked };
        let answer = self.client.trace(asked).await?.into_inner();
        if answer.trace.is_some() { Ok(answer) } else { whole(None) }
    }

    /// All legs of a request.
    pub(crate) async fn legs(&mut self, request_id: &str) -> Result<Vec<Leg>, Failure> {
        let purpose = self.purpose()?;
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let asked = v1::ListLegsRequest {
                request_id: request_id.to_owned(),
                page_size: PAGE,
                page_token,
                purpose: purpose.clone(),
            };
            let page = self.client.list_legs(asked).await?.into_inner();
            all.extend(page.legs);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    pub(crate) async fn signed_order(&mut self, leg_id: String) -> Result<v1::GetSignedOrderResponse, Failure> {
        let asked = v1::GetSignedOrderRequest { leg_id, purpose: self.purpose()? };
        Ok(self.client.get_signed_order(asked).await?.into_inner())
    }

    pub(crate) async fn exchanges(&mut self) -> Result<Vec<v1::Exchange>, Failure> {
        let asked = v1::ListExchangesRequest { purpose: self.purpose()? };
        Ok(self.client.list_exchanges(asked).await?.into_inner().exchanges)
    }
}

/// The line to intake, and who speaks on it.
fn line(profile: &Profile, person: Option<&str>, timeout: Option<Duration>) -> Result<(Peer, Bearer), Failure> {
    let token = profile.token(person, std::env::var("HAETAE_TOKEN").ok())?;
    let mut config = profile.intake()?;
    if let Some(timeout) = timeout {
        config.deadline_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
    }
    let endpoints = config.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let peer = Peer::connect("intake", &config)
        .map_err(|error| Failure::usage(format!("cannot call intake at {endpoints}: {error:#}")))?;
    Ok((peer, Bearer(token)))
}

/// The purpose given, else the profile's.
fn stated(purpose: Option<String>, profile: &Profile) -> Option<String> {
    purpose.or_else(|| profile.purpose.clone()).filter(|purpose| !purpose.trim().is_empty())
}

fn whole<T>(part: Option<T>) -> Result<T, Failure> {
    part.ok_or_else(|| Failure::failed("intake answered without what was asked for: it breaks its contract"))
}
