//! How the line to the exchange is doing.

use haetae_core::{ExchangeId, Moment, Reason};
use haetae_service::refuse;
use haetae_wire::{
    connector::v1::{GetStatusRequest, GetStatusResponse, connector_service_server::ConnectorService},
    convert::{duration, timestamp},
};
use sqlx::PgPool;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::{circuit::Circuit, db};

/// Answers about the line.
pub(crate) struct Api {
    /// The exchange.
    pub(crate) exchange: ExchangeId,
    /// The connector's database.
    pub(crate) pool: PgPool,
    /// The circuit as this replica sees it.
    pub(crate) circuit: watch::Receiver<Circuit>,
    /// Within what time the exchange declares to answer confirmations.
    pub(crate) confirm_within: std::time::Duration,
}

#[tonic::async_trait]
impl ConnectorService for Api {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let line = db::status(&self.pool).await.map_err(|error| {
            tracing::error!(%error, "the status cannot be read");
            refuse(Reason::Internal)
        })?;
        let age = |since: Moment| (Moment::now_utc() - since).try_into().unwrap_or_default();
        Ok(Response::new(GetStatusResponse {
            exchange: self.exchange.to_string(),
            reachable: self.circuit.borrow().is_closed(),
            last_answer: line.last_answer.map(timestamp),
            undelivered: u32::try_from(line.undelivered).unwrap_or(u32::MAX),
            oldest_undelivered: line.oldest.map(|since| duration(age(since))),
            confirm_within: Some(duration(self.confirm_within)),
            overdue: u32::try_from(line.overdue).unwrap_or(u32::MAX),
        }))
    }
}
