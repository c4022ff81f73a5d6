//! The logs of the mesh over the wire: following another service's, and serving one's own.
//!
//! Every area has a contract of its own for this, with its own callers; the entries are the same.

use futures::{StreamExt, stream::BoxStream};
use haetae_ledger::{Audience, Log, LogSource};
use haetae_mesh::{Identity, Peer, Role};
use haetae_wire::log::v1::{Batch, Cursor};
use tonic::{Request, Response, Status};

type Batches = BoxStream<'static, Result<Batch, Status>>;

/// What a caller may see of a log: a connector what is addressed to its exchange, others everything.
fn audience<T>(request: &Request<T>) -> Result<Audience, Status> {
    let identity = request.extensions().get::<Identity>();
    match identity.map(|caller| (caller.role, caller.exchange.as_deref())) {
        Some((Some(Role::Connector), Some(exchange))) => Ok(Audience::Exchange(exchange.to_owned())),
        Some((Some(Role::Intake | Role::Tracking | Role::Freeze), _)) => Ok(Audience::Everything),
        // The callers layer lets nobody else through; if it ever did, this is the second lock.
        _ => Err(Status::permission_denied("this caller may not follow logs")),
    }
}

fn cursor(cursor: Option<Cursor>) -> Cursor {
    cursor.unwrap_or_default()
}

fn serve(log: &Log, audience: Audience, from: Option<Cursor>) -> Batches {
    log.follow(audience, cursor(from)).map(|batch| batch.map_err(Status::from)).boxed()
}

fn carried(batch: Option<Batch>) -> Result<Batch, Status> {
    batch.ok_or_else(|| Status::internal("a message without a batch"))
}

macro_rules! area {
    ($(#[$doc:meta])* $area:ident, $served:ident, $server:ident :: $trait:ident, $client_module:ident :: $client:ident) => {
        #[doc = concat!("The log of ", stringify!($area), ", over the wire.")]
        pub fn $area(peer: Peer) -> impl LogSource {
            move |cursor: Cursor| {
                let mut client = haetae_wire::$area::v1::$client_module::$client::new(peer.clone());
                async move {
                    let request = haetae_wire::$area::v1::FollowRequest { cursor: Some(cursor) };
                    let batches = client.follow(request).await?.into_inner();
                    Ok(batches.map(|message| carried(message?.batch)).boxed())
                }
            }
        }

        #[doc = concat!("Serves the log of ", stringify!($area), " to those who may follow it.")]
        #[derive(Clone, Debug)]
        pub struct $served(pub Log);

        #[tonic::async_trait]
        impl haetae_wire::$area::v1::$server::$trait for $served {
            type FollowStream = BoxStream<'static, Result<haetae_wire::$area::v1::FollowResponse, Status>>;

            async fn follow(
                &self,
                request: Request<haetae_wire::$area::v1::FollowRequest>,
            ) -> Result<Response<Self::FollowStream>, Status> {
                let audience = audience(&request)?;
                let batches = serve(&self.0, audience, request.into_inner().cursor);
                let answers = batches.map(|batch| Ok(haetae_wire::$area::v1::FollowResponse { batch: Some(batch?) }));
                Ok(Response::new(answers.boxed()))
            }
        }
    };
}

area!(
    intake,
    IntakeLog,
    intake_log_service_server::IntakeLogService,
    intake_log_service_client::IntakeLogServiceClient
);
area!(
    tracking,
    TrackingLog,
    tracking_log_service_server::TrackingLogService,
    tracking_log_service_client::TrackingLogServiceClient
);
area!(
    freeze,
    FreezeLog,
    freeze_log_service_server::FreezeLogService,
    freeze_log_service_client::FreezeLogServiceClient
);
area!(
    connector,
    ConnectorLog,
    connector_log_service_server::ConnectorLogService,
    connector_log_service_client::ConnectorLogServiceClient
);
