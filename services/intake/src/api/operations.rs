//! What operators read and have done. Reads ask every service; acts become facts of intake's log, which the services
//! follow.

use futures::future::join_all;
use haetae_core::{Reason, RequestId, Violations};
use haetae_ledger::{Expected, NewEntry};
use haetae_mesh::{Peer, explain};
use haetae_service::{StatusApi, refuse, refuse_all};
use haetae_wire::{
    convert::timestamp,
    operations::v1::{
        self as wire, operations_service_server::OperationsService, status_service_client::StatusServiceClient,
        status_service_server::StatusService,
    },
    read,
};
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Api, Begun,
    caller::Caller,
    now,
    reads::{Reading, from_peer, purpose},
};
use crate::{
    commands::Fault,
    operations::{diagnose, may_operate, measure},
};

const NAME: usize = 200;

/// The services of the mesh, as operators name them.
pub(crate) struct Services {
    intake: StatusApi,
    others: Vec<(String, StatusServiceClient<Peer>)>,
}

/// A service that can be asked.
enum Asked {
    Own(StatusApi),
    Other(StatusServiceClient<Peer>),
}

impl Services {
    /// Intake itself and its peers, each by its name, in the order in which they are shown.
    pub(crate) fn new(intake: StatusApi, others: impl IntoIterator<Item = (String, Peer)>) -> Self {
        let others = others.into_iter().map(|(name, peer)| (name, StatusServiceClient::new(peer))).collect();
        Self { intake, others }
    }

    fn all(&self) -> impl Iterator<Item = (&str, Asked)> {
        let others = self.others.iter().map(|(name, client)| (name.as_str(), Asked::Other(client.clone())));
        std::iter::once(("intake", Asked::Own(self.intake.clone()))).chain(others)
    }

    fn named(&self, service: &str) -> Option<Asked> {
        self.all().find(|(name, _)| *name == service).map(|(_, asked)| asked)
    }
}

impl Asked {
    async fn status(self, service: &str) -> Result<wire::ServiceStatus, Status> {
        let question = Request::new(wire::GetStatusRequest {});
        let answer = match self {
            Self::Own(own) => own.get_status(question).await?,
            Self::Other(mut client) => client.get_status(question).await?,
        };
        let status = answer.into_inner().status.ok_or_else(|| refuse(Reason::Internal))?;
        Ok(wire::ServiceStatus { service: service.to_owned(), ..status })
    }

    async fn parked(self, service: &str) -> Result<Vec<wire::ParkedEntry>, Status> {
        let question = Request::new(wire::GetParkedRequest {});
        let answer = match self {
            Self::Own(own) => own.get_parked(question).await?,
            Self::Other(mut client) => client.get_parked(question).await?,
        };
        let named = |entry| wire::ParkedEntry { service: service.to_owned(), ..entry };
        Ok(answer.into_inner().parked.into_iter().map(named).collect())
    }
}

/// An act as it came, read.
struct Act {
    id: RequestId,
    service: String,
    /// The parked entry or the replica.
    object: String,
    purpose: String,
}

impl Api {
    /// Who calls, where the mesh is that person's to look after.
    fn operator<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let caller = Caller::of(request)?;
        may_operate(&self.intake.rules, &caller.unit.agency, caller.actor()).map_err(refuse)?;
        Ok(caller)
    }

    fn act(&self, request_id: &str, service: &str, object: (&str, &str), why: &str) -> Result<Act, Status> {
        let mut v = Violations::new();
        let id = read::parse::<RequestId>(&mut v, "request_id", request_id);
        self.known(&mut v, service);
        let object = read::text(&mut v, object.0, object.1, 1..=NAME);
        purpose(&mut v, why);
        let act =
            id.zip(object).map(|(id, object)| Act { id, service: service.to_owned(), object, purpose: why.to_owned() });
        Ok(v.finish(act).map_err(refuse_all)?)
    }

    fn known(&self, v: &mut Violations, service: &str) {
        if self.services.named(service).is_none() {
            v.add("service", Reason::NotFound, "is no service of the mesh; GetMeshStatus names them all");
        }
    }

    fn named(&self, service: &str) -> Result<Asked, Status> {
        Ok(self.services.named(service).ok_or_else(|| refuse(Reason::NotFound))?)
    }

    async fn find_parked(&self, act: &Act) -> Result<wire::ParkedEntry, Status> {
        let parked = self.named(&act.service)?.parked(&act.service).await.map_err(from_peer)?;
        let found = parked.into_iter().find(|entry| entry.parked_id == act.object);
        Ok(found.ok_or_else(|| refuse(Reason::NotFound))?)
    }

    async fn find_replica(&self, act: &Act) -> Result<wire::Replica, Status> {
        let status = self.named(&act.service)?.status(&act.service).await.map_err(from_peer)?;
        let found = status.replicas.into_iter().find(|replica| replica.name == act.object);
        Ok(found.ok_or_else(|| refuse(Reason::NotFound))?)
    }

    /// Makes an act a fact, once however often it is sent. What it is about was looked for before, since a repetition is
    /// answered even where that is gone.
    async fn carry_out<R: Message + Default>(
        &self,
        caller: &Caller,
        method: &'static str,
        kind: &'static str,
        act: &Act,
        fact: impl Message,
        answer: Result<R, Status>,
    ) -> Result<Response<R>, Status> {
        let now = now();
        let mut fingerprint = Sha256::new();
        for part in [&act.service, &act.object] {
            fingerprint.update((part.len() as u64).to_be_bytes());
            fingerprint.update(part);
        }
        let begun = self.begin(caller, method, act.id, fingerprint.finalize().into(), now).await?;
        let (mut tx, fresh) = match begun {
            Begun::Answered(answer) => return Ok(Response::new(answer)),
            Begun::Fresh(tx, fresh) => (tx, fresh),
        };
        let answer = answer?;
        let stream = format!("operation/{}", Uuid::now_v7());
        let entry = NewEntry {
            subject: stream.clone(),
            stream,
            expected: Expected::Version(0),
            kind,
            actor: caller.by.actor.clone(),
            audience: act.service.strip_prefix("connector/").map(str::to_owned),
            payload: fact.encode_to_vec(),
            time: now,
        };
        self.intake.log.append(&mut tx, entry).await.map_err(Fault::from)?;
        self.end(tx, fresh, answer, now).await
    }
}

#[tonic::async_trait]
impl OperationsService for Api {
    async fn get_mesh_status(
        &self,
        request: Request<wire::GetMeshStatusRequest>,
    ) -> Result<Response<wire::GetMeshStatusResponse>, Status> {
        let caller = self.operator(&request)?;
        let message = request.into_inner();
        let mut v = Violations::new();
        purpose(&mut v, &message.purpose);
        v.finish(Some(())).map_err(refuse_all)?;
        let reading = Reading { method: "GetMeshStatus", resource: String::new(), purpose: &message.purpose };
        self.record(&caller, reading, now()).await?;

        let ask = |(name, asked): (&str, Asked)| {
            let service = name.to_owned();
            async move {
                let (status, unreachable) = match asked.status(&service).await {
                    Ok(status) => (Some(status), String::new()),
                    Err(status) => (None, why(&status)),
                };
                wire::ServiceReport { service, status, unreachable }
            }
        };
        let mut services = join_all(self.services.all().map(ask)).await;
        measure(&mut services);
        let as_of = now();
        let findings = diagnose(&services, as_of).into_iter().map(|finding| wire::Finding {
            severity: finding.severity.into(),
            service: finding.service,
            part: finding.part,
            what: finding.what,
            remedy: finding.remedy.to_owned(),
        });
        let findings = findings.collect();
        Ok(Response::new(wire::GetMeshStatusResponse { as_of: Some(timestamp(as_of)), services, findings }))
    }

    async fn list_parked(
        &self,
        request: Request<wire::ListParkedRequest>,
    ) -> Result<Response<wire::ListParkedResponse>, Status> {
        let caller = self.operator(&request)?;
        let message = request.into_inner();
        let mut v = Violations::new();
        purpose(&mut v, &message.purpose);
        if !message.service.is_empty() {
            self.known(&mut v, &message.service);
        }
        v.finish(Some(())).map_err(refuse_all)?;
        let reading = Reading { method: "ListParked", resource: message.service.clone(), purpose: &message.purpose };
        self.record(&caller, reading, now()).await?;

        let wanted = |(name, _): &(&str, Asked)| message.service.is_empty() || *name == message.service;
        let ask = |(name, asked): (&str, Asked)| {
            let service = name.to_owned();
            async move { (asked.parked(&service).await, service) }
        };
        let mut answer = wire::ListParkedResponse::default();
        for (parked, service) in join_all(self.services.all().filter(wanted).map(ask)).await {
            match parked {
                Ok(parked) => answer.parked.extend(parked),
                Err(_) => answer.unreachable.push(service),
            }
        }
        Ok(Response::new(answer))
    }

    async fn retry_parked(
        &self,
        request: Request<wire::RetryParkedRequest>,
    ) -> Result<Response<wire::RetryParkedResponse>, Status> {
        let caller = self.operator(&request)?;
        let message = request.into_inner();
        let act =
            self.act(&message.request_id, &message.service, ("parked_id", &message.parked_id), &message.purpose)?;
        let found = self.find_parked(&act).await;
        let answer = found.map(|parked| wire::RetryParkedResponse { parked: Some(parked) });
        let fact = wire::RetryAsked {
            service: act.service.clone(),
            parked_id: act.object.clone(),
            person: caller.by.person.clone(),
            system: caller.by.system.clone(),
            purpose: act.purpose.clone(),
        };
        self.carry_out(&caller, "RetryParked", "retry-asked", &act, fact, answer).await
    }

    async fn drain_replica(
        &self,
        request: Request<wire::DrainReplicaRequest>,
    ) -> Result<Response<wire::DrainReplicaResponse>, Status> {
        let caller = self.operator(&request)?;
        let message = request.into_inner();
        let act = self.act(&message.request_id, &message.service, ("replica", &message.replica), &message.purpose)?;
        let found = self.find_replica(&act).await;
        let answer = found.map(|replica| wire::DrainReplicaResponse { replica: Some(replica) });
        let fact = wire::DrainAsked {
            service: act.service.clone(),
            replica: act.object.clone(),
            person: caller.by.person.clone(),
            system: caller.by.system.clone(),
            purpose: act.purpose.clone(),
        };
        self.carry_out(&caller, "DrainReplica", "drain-asked", &act, fact, answer).await
    }
}

/// Why a service did not answer, as a reason where it has one.
fn why(status: &Status) -> String {
    explain(status).reason.unwrap_or_else(|| format!("{:?}", status.code()))
}
