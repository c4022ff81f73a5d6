//! The public contract on the wire.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use haetae_core::{LegId, Moment, Reason, Violations, micros};
use haetae_mesh::Drain;
use haetae_seal::dsse::Algorithm;
use haetae_service::{refuse, refuse_all};
use haetae_wire::convert::duration;
use haetae_wire::exchange::v1::{
    self, DescribeRequest, DescribeResponse, FollowRequest, FollowResponse, GetOrderRequest, GetOrderResponse,
    OrderKind, SignatureAlgorithm, SignedEvent, SignedReceipt, SubmitRequest, SubmitResponse,
    exchange_service_server::ExchangeService,
};
use haetae_wire::read;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

use super::book::Book;
use super::orders::{NoReceipt, Orders};

const VERSION: &str = "haetae.exchange.v1";

/// A fault of ours: recorded here, named to nobody.
pub(crate) fn broken(error: sqlx::Error) -> Status {
    tracing::error!(%error, "the database failed");
    refuse(Reason::Internal).into()
}

/// Serves the contract over a book.
#[derive(Debug)]
pub(crate) struct ExchangeApi<B> {
    orders: Arc<Orders<B>>,
}

impl<B: Book> ExchangeApi<B> {
    pub(crate) fn new(orders: Arc<Orders<B>>) -> Self {
        Self { orders }
    }

    fn now() -> Moment {
        micros(OffsetDateTime::now_utc())
    }
}

#[tonic::async_trait]
impl<B: Book> ExchangeService for ExchangeApi<B> {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let (terms, log) = (self.orders.terms(), self.orders.legs().log());
        let key = log.signer().public_key();
        Ok(Response::new(DescribeResponse {
            exchange: log.signer().exchange().to_string(),
            contract_versions: vec![VERSION.into()],
            chains: terms.chains.iter().map(Into::into).collect(),
            kinds: vec![OrderKind::ConfirmAddress.into(), OrderKind::Freeze.into()],
            wallets_searched: self
                .orders
                .book()
                .searched()
                .into_iter()
                .map(|r| v1::WalletRole::from(r).into())
                .collect(),
            confirm_within: Some(duration(terms.confirm_within)),
            freeze_within: Some(duration(terms.freeze_within)),
            keys: vec![v1::SigningKey {
                key_id: key.key_id(),
                algorithm: match key.algorithm() {
                    Algorithm::Ed25519 => SignatureAlgorithm::Ed25519,
                    Algorithm::EcdsaP256Sha256 => SignatureAlgorithm::EcdsaP256Sha256,
                }
                .into(),
                public_key: key.to_spki_der(),
            }],
            hotline: Some(terms.hotline.clone()),
            max_message_bytes: terms.max_message_bytes,
            clock_tolerance: Some(duration(terms.clock_tolerance.unsigned_abs())),
            log_id: log.id().to_string(),
            epoch: log.epoch(),
        }))
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let mut v = Violations::new();
        let order = read::present(&mut v, "order", request.into_inner().order);
        let order = v.finish(order).map_err(refuse_all)?;
        let envelope = self.orders.submit(&order, Self::now()).await.map_err(|error| match error {
            NoReceipt::Unanswerable(violations) => refuse_all(violations).into(),
            NoReceipt::Database(error) => broken(error),
        })?;
        Ok(Response::new(SubmitResponse { receipt: Some(SignedReceipt { envelope }) }))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        let mut v = Violations::new();
        let leg = read::parse::<LegId>(&mut v, "leg_id", &request.get_ref().leg_id);
        let leg = v.finish(leg).map_err(refuse_all)?;
        let legs = self.orders.legs();
        let report = legs.report(leg).await.map_err(broken)?;
        let receipt = report.map(|report| SignedReceipt { envelope: legs.log().signer().receipt(report, Self::now()) });
        Ok(Response::new(GetOrderResponse { receipt }))
    }

    type FollowStream = Pin<Box<dyn Stream<Item = Result<FollowResponse, Status>> + Send>>;

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let drain = request.extensions().get::<Drain>().cloned().unwrap_or_default();
        let asked = request.into_inner();
        let log = self.orders.legs().log();
        let same = asked.log_id == log.id().to_string() && asked.epoch == log.epoch();
        let after = if same { asked.after_sequence } else { 0 };
        if after > log.last_sequence().await.map_err(broken)? {
            return Err(refuse(Reason::CursorAhead).into());
        }
        let mut reader = log.reader(after);
        Ok(Response::new(Box::pin(async_stream::try_stream! {
            loop {
                let next = tokio::select! {
                    () = drain.wait() => None,
                    events = reader.next() => Some(events),
                };
                let Some(events) = next else { break };
                for envelope in events.map_err(broken)? {
                    yield FollowResponse { event: Some(SignedEvent { envelope }) };
                }
            }
        })))
    }
}
