//! Wire → decision → wire. Who calls, and what is remembered of a call, is in `caller`; streams of updates are in
//! `updates`; pages in `page`; labels in `labels`; what those do who keep the mesh running in `operations`.

mod ahead;
mod caller;
mod labels;
mod operations;
mod page;
mod reads;
mod updates;

use std::sync::Arc;

use haetae_core::{Moment, Reason, RequestId, Violations, micros};
use haetae_ledger::{AppendError, request as repeated};
use haetae_mesh::{Peer, Refusal};
use haetae_service::{refuse, refuse_all};
use haetae_wire::{
    freeze::v1::freeze_service_client::FreezeServiceClient,
    intake::v1::{self, intake_service_server::IntakeService},
    read,
    tracking::v1::{label_service_client::LabelServiceClient, tracking_service_client::TrackingServiceClient},
};
use prost::Message;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgTransaction;
use time::Duration;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

pub(crate) use self::operations::Services;

use self::caller::Caller;
use crate::{
    approval::Command,
    commands::{Fault, Intake, Said, Submission},
    submission::{self, Law},
};

/// How long a call may be repeated under its id and get the same answer.
const REMEMBERED: Duration = Duration::days(7);
const REASON: usize = 500;
/// When a call that failed for want of something else may be tried again.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// What agency systems call.
pub(crate) struct Api {
    intake: Arc<Intake>,
    tracking: TrackingServiceClient<Peer>,
    labels: LabelServiceClient<Peer>,
    freeze: FreezeServiceClient<Peer>,
    services: Services,
    /// Rung when there are new updates; polling finds them too.
    bell: watch::Sender<u64>,
}

impl Api {
    pub(crate) fn new(
        intake: Arc<Intake>,
        tracking: Peer,
        freeze: Peer,
        services: Services,
        bell: watch::Sender<u64>,
    ) -> Self {
        let labels = LabelServiceClient::new(tracking.clone());
        let (tracking, freeze) = (TrackingServiceClient::new(tracking), FreezeServiceClient::new(freeze));
        Self { intake, tracking, labels, freeze, services, bell }
    }

    /// Begins a command that is carried out once, however often it is sent: a repetition gets the answer of the first
    /// success.
    async fn begin<R: Message + Default>(
        &self,
        caller: &Caller,
        method: &'static str,
        id: RequestId,
        fingerprint: [u8; 32],
        now: Moment,
    ) -> Result<Begun<R>, Status> {
        let scope = repeated::Scope {
            system: caller.by.system.clone(),
            person: caller.by.person.clone(),
            method: method.to_owned(),
        };
        let mut tx = self.intake.log.begin().await.map_err(Fault::from)?;
        let begun = repeated::begin(&mut tx, scope, &id.to_string(), fingerprint, now).await.map_err(Fault::from)?;
        match begun {
            repeated::Begun::Fresh(fresh) => Ok(Begun::Fresh(tx, fresh)),
            repeated::Begun::Mismatch => Err(refuse(Reason::RequestIdReused).into()),
            repeated::Begun::Replay(answer) => match R::decode(answer.as_slice()) {
                Ok(answer) => Ok(Begun::Answered(answer)),
                Err(_) => Err(refuse(Reason::Internal).into()),
            },
        }
    }

    /// Remembers the answer of a command that succeeded, and commits both.
    async fn end<R: Message>(
        &self,
        mut tx: PgTransaction<'static>,
        fresh: repeated::Fresh,
        answer: R,
        now: Moment,
    ) -> Result<Response<R>, Status> {
        fresh.remember(&mut tx, &answer.encode_to_vec(), now + REMEMBERED).await.map_err(Fault::from)?;
        self.intake.log.commit(tx).await.map_err(Fault::from)?;
        Ok(Response::new(answer))
    }

    /// A person's decision on a request.
    async fn decided<R>(
        &self,
        caller: &Caller,
        method: &'static str,
        decision: Decision<'_>,
        command: Command<'_>,
        answer: impl FnOnce(v1::Request) -> R,
    ) -> Result<Response<R>, Status>
    where
        R: Message + Default,
    {
        let now = now();
        let mut v = Violations::new();
        let id = read::parse::<RequestId>(&mut v, "request_id", decision.request_id);
        let on = read::parse::<RequestId>(&mut v, decision.on.0, decision.on.1);
        let why = match decision.reason {
            Some(reason) => read::text(&mut v, "reason", reason, 1..=REASON),
            None => Some(String::new()),
        };
        let parsed = (|| Some((id?, on?, why?)))();
        let (id, on, why) = v.finish(parsed).map_err(refuse_all)?;
        let mut fingerprint = Sha256::new_with_prefix(on.0.as_bytes());
        fingerprint.update(&why);
        let (mut tx, fresh) = match self.begin(caller, method, id, fingerprint.finalize().into(), now).await? {
            Begun::Answered(answer) => return Ok(Response::new(answer)),
            Begun::Fresh(tx, fresh) => (tx, fresh),
        };
        let decided =
            self.intake.decide(&mut tx, &caller.unit, on, command, Said { by: &caller.by, why: &why }, now).await?;
        self.end(tx, fresh, answer((&decided).into()), now).await
    }
}

/// A command that may have been carried out before.
enum Begun<R> {
    Answered(R),
    Fresh(PgTransaction<'static>, repeated::Fresh),
}

/// A decision as it came.
struct Decision<'a> {
    request_id: &'a str,
    /// The field that names the request decided on, and what it holds.
    on: (&'static str, &'a str),
    /// Why, where the decision states it.
    reason: Option<&'a str>,
}

fn now() -> Moment {
    micros(Moment::now_utc())
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        refusal(fault).into()
    }
}

fn refusal(fault: Fault) -> Refusal {
    match fault {
        Fault::Refused(reason) => refuse(reason),
        Fault::Invalid(violations) => refuse_all(violations),
        Fault::Append(AppendError::Conflict { .. }) => refuse(Reason::Conflict),
        Fault::Database(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code.starts_with("40")) => {
            refuse(Reason::Conflict)
        }
        Fault::Database(sqlx::Error::PoolTimedOut) => refuse(Reason::Overloaded).retry_after(AGAIN),
        Fault::Database(sqlx::Error::Io(_)) => refuse(Reason::PeerLost).retry_after(AGAIN),
        other => {
            tracing::error!(error = %other, "a call failed");
            refuse(Reason::Internal)
        }
    }
}

#[tonic::async_trait]
impl IntakeService for Api {
    async fn submit_request(
        &self,
        request: Request<v1::SubmitRequestRequest>,
    ) -> Result<Response<v1::SubmitRequestResponse>, Status> {
        let now = now();
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let mut v = Violations::new();
        let id = read::parse::<RequestId>(&mut v, "request_id", &message.request_id);
        let registry = &self.intake.registry;
        let proposal = submission::parse(message.content.as_ref(), Some(registry)).ok();
        let (Some(id), Some(proposal), Some(content)) = (id, proposal, &message.content) else {
            // What is wrong in form is told together with what is wrong before the law.
            let law = Law { rules: &self.intake.rules, agency: &caller.unit.agency, now };
            submission::under(law, message.content.as_ref(), registry, &mut v);
            let none: Option<()> = None;
            return Err(refuse_all(v.finish(none).err().unwrap_or_default()).into());
        };
        let begun = self.begin(&caller, "SubmitRequest", id, proposal.fingerprint(), now).await?;
        let (mut tx, fresh) = match begun {
            Begun::Answered(answer) => return Ok(Response::new(answer)),
            Begun::Fresh(tx, fresh) => (tx, fresh),
        };
        let submission = Submission {
            id,
            unit: &caller.unit,
            person: &caller.person,
            roles: &caller.roles,
            by: &caller.by,
            content,
        };
        let submitted = self.intake.submit(&mut tx, submission, now).await?;
        let answer = v1::SubmitRequestResponse { request: Some((&submitted).into()) };
        self.end(tx, fresh, answer, now).await
    }

    async fn approve_request(
        &self,
        request: Request<v1::ApproveRequestRequest>,
    ) -> Result<Response<v1::ApproveRequestResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let decision = Decision {
            request_id: &message.request_id,
            on: ("approved_request_id", &message.approved_request_id),
            reason: None,
        };
        let answer = |request| v1::ApproveRequestResponse { request: Some(request) };
        self.decided(&caller, "ApproveRequest", decision, Command::Approve(caller.actor()), answer).await
    }

    async fn reject_request(
        &self,
        request: Request<v1::RejectRequestRequest>,
    ) -> Result<Response<v1::RejectRequestResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let decision = Decision {
            request_id: &message.request_id,
            on: ("rejected_request_id", &message.rejected_request_id),
            reason: Some(&message.reason),
        };
        let answer = |request| v1::RejectRequestResponse { request: Some(request) };
        self.decided(&caller, "RejectRequest", decision, Command::Reject(caller.actor()), answer).await
    }

    async fn cancel_request(
        &self,
        request: Request<v1::CancelRequestRequest>,
    ) -> Result<Response<v1::CancelRequestResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let decision = Decision {
            request_id: &message.request_id,
            on: ("cancelled_request_id", &message.cancelled_request_id),
            reason: Some(&message.reason),
        };
        let answer = |request| v1::CancelRequestResponse { request: Some(request) };
        self.decided(&caller, "CancelRequest", decision, Command::Cancel(caller.actor()), answer).await
    }

    async fn get_request(
        &self,
        request: Request<v1::GetRequestRequest>,
    ) -> Result<Response<v1::GetRequestResponse>, Status> {
        self.read_request(request).await
    }

    async fn list_requests(
        &self,
        request: Request<v1::ListRequestsRequest>,
    ) -> Result<Response<v1::ListRequestsResponse>, Status> {
        self.read_requests(request).await
    }

    type FollowUpdatesStream = updates::Updates;

    async fn follow_updates(
        &self,
        request: Request<v1::FollowUpdatesRequest>,
    ) -> Result<Response<Self::FollowUpdatesStream>, Status> {
        self.read_updates(request).await
    }

    async fn get_confirmation(
        &self,
        request: Request<v1::GetConfirmationRequest>,
    ) -> Result<Response<v1::GetConfirmationResponse>, Status> {
        self.read_confirmation(request).await
    }

    async fn get_watch(&self, request: Request<v1::GetWatchRequest>) -> Result<Response<v1::GetWatchResponse>, Status> {
        self.read_watch(request).await
    }

    async fn list_watches(
        &self,
        request: Request<v1::ListWatchesRequest>,
    ) -> Result<Response<v1::ListWatchesResponse>, Status> {
        self.read_watches(request).await
    }

    async fn list_trail(
        &self,
        request: Request<v1::ListTrailRequest>,
    ) -> Result<Response<v1::ListTrailResponse>, Status> {
        self.read_trail(request).await
    }

    async fn list_trail_ends(
        &self,
        request: Request<v1::ListTrailEndsRequest>,
    ) -> Result<Response<v1::ListTrailEndsResponse>, Status> {
        self.read_trail_ends(request).await
    }

    async fn trace(&self, request: Request<v1::TraceRequest>) -> Result<Response<v1::TraceResponse>, Status> {
        self.read_trace(request).await
    }

    async fn list_legs(&self, request: Request<v1::ListLegsRequest>) -> Result<Response<v1::ListLegsResponse>, Status> {
        self.read_legs(request).await
    }

    async fn get_signed_order(
        &self,
        request: Request<v1::GetSignedOrderRequest>,
    ) -> Result<Response<v1::GetSignedOrderResponse>, Status> {
        self.read_signed_order(request).await
    }

    async fn list_exchanges(
        &self,
        request: Request<v1::ListExchangesRequest>,
    ) -> Result<Response<v1::ListExchangesResponse>, Status> {
        self.read_exchanges(request).await
    }
}
