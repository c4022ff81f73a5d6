//! An exchange's bad days: while the API is down, every call of the public contract fails and open streams end.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use haetae_core::Reason;
use haetae_service::refuse;
use haetae_wire::exchange::v1::{
    DescribeRequest, DescribeResponse, FollowRequest, FollowResponse, GetOrderRequest, GetOrderResponse, SubmitRequest,
    SubmitResponse, exchange_service_server::ExchangeService,
};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

/// Whether the API is down. Kept in memory only: a restart ends an outage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outage(watch::Sender<bool>);

impl Outage {
    pub(crate) fn set(&self, down: bool) {
        self.0.send_replace(down);
    }

    fn pass(&self) -> Result<(), Status> {
        if *self.0.borrow() { Err(down()) } else { Ok(()) }
    }

    /// Waits until the API is down.
    async fn begins(&self) {
        // The sender lives in this value: waiting ends only when it is so.
        let _ = self.0.subscribe().wait_for(|down| *down).await;
    }
}

fn down() -> Status {
    refuse(Reason::PeerUnavailable).into()
}

/// The contract, when there is no outage.
#[derive(Debug)]
pub(crate) struct WithOutages<S> {
    pub(crate) service: S,
    pub(crate) outage: Outage,
}

#[tonic::async_trait]
impl<S> ExchangeService for WithOutages<S>
where
    S: ExchangeService,
    S::FollowStream: Unpin,
{
    async fn describe(&self, request: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        self.outage.pass()?;
        self.service.describe(request).await
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        self.outage.pass()?;
        self.service.submit(request).await
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        self.outage.pass()?;
        self.service.get_order(request).await
    }

    type FollowStream = Pin<Box<dyn Stream<Item = Result<FollowResponse, Status>> + Send>>;

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        self.outage.pass()?;
        let mut events = self.service.follow(request).await?.into_inner();
        let outage = self.outage.clone();
        Ok(Response::new(Box::pin(async_stream::stream! {
            loop {
                tokio::select! {
                    biased;
                    () = outage.begins() => {
                        yield Err(down());
                        break;
                    }
                    event = events.next() => match event {
                        Some(event) => yield event,
                        None => break,
                    },
                }
            }
        })))
    }
}
