//! What those ask who keep the mesh running.

use std::time::Duration;

use haetae_wire::operations::v1::{self, operations_service_client::OperationsServiceClient};
use tonic::service::interceptor::InterceptedService;

use super::{Bearer, Peer, line, stated, whole};
use crate::{failure::Failure, profile::Profile};

/// The operators' side of intake, as one person speaks to it.
pub(crate) struct Operations {
    client: OperationsServiceClient<InterceptedService<Peer, Bearer>>,
    purpose: String,
}

impl Operations {
    /// Prepares the line; connects with the first call. Why it is done is recorded, so it must be known.
    pub(crate) fn open(
        profile: &Profile,
        person: Option<&str>,
        purpose: Option<String>,
        timeout: Option<Duration>,
    ) -> Result<Self, Failure> {
        let purpose = stated(purpose, profile).ok_or_else(|| {
            Failure::usage("why is this done? Whatever an operator reads or does is recorded with its purpose")
                .hint("Give --purpose \"…\", or set purpose in the profile.")
        })?;
        let (peer, bearer) = line(profile, person, timeout)?;
        Ok(Self { client: OperationsServiceClient::with_interceptor(peer, bearer), purpose })
    }

    pub(crate) async fn status(&mut self) -> Result<v1::GetMeshStatusResponse, Failure> {
        let asked = v1::GetMeshStatusRequest { purpose: self.purpose.clone() };
        Ok(self.client.get_mesh_status(asked).await?.into_inner())
    }

    /// What is parked at one service, or at all of them where none is named.
    pub(crate) async fn parked(&mut self, service: &str) -> Result<v1::ListParkedResponse, Failure> {
        let asked = v1::ListParkedRequest { service: service.to_owned(), purpose: self.purpose.clone() };
        Ok(self.client.list_parked(asked).await?.into_inner())
    }

    pub(crate) async fn retry(
        &mut self,
        request_id: String,
        service: &str,
        parked_id: &str,
    ) -> Result<v1::ParkedEntry, Failure> {
        let asked = v1::RetryParkedRequest {
            request_id,
            service: service.to_owned(),
            parked_id: parked_id.to_owned(),
            purpose: self.purpose.clone(),
        };
        whole(self.client.retry_parked(asked).await?.into_inner().parked)
    }

    pub(crate) async fn drain(
        &mut self,
        request_id: String,
        service: &str,
        replica: &str,
    ) -> Result<v1::Replica, Failure> {
        let asked = v1::DrainReplicaRequest {
            request_id,
            service: service.to_owned(),
            replica: replica.to_owned(),
            purpose: self.purpose.clone(),
        };
        whole(self.client.drain_replica(asked).await?.into_inner().replica)
    }
}
