//! What is addressed to the exchange: orders to deliver, halts to heed.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use async_trait::async_trait;
use haetae_core::{ExchangeId, Moment, RequestId, micros};
use haetae_ledger::{FollowedEntry, HandleError, Handler, Log};
use haetae_wire::{
    exchange::v1::SignedOrder,
    freeze::v1::DispatchMoved,
    keys::Keyring,
    signed::{open_order_envelope, order_identity},
};
use prost::Message;
use sqlx::PgConnection;

use crate::{
    db::{self, NewDelivery},
    delivery::Wanted,
    facts,
};

/// Takes in what another service's log addresses to this exchange.
pub(crate) struct Orders {
    /// The exchange.
    pub(crate) exchange: ExchangeId,
    /// Pinned keys.
    pub(crate) keyring: Arc<Keyring>,
    /// The connector's log.
    pub(crate) log: Log,
}

#[async_trait]
impl Handler for Orders {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        let now = micros(Moment::now_utc());
        match entry.kind.as_str() {
            "question" | "order" => self.take_in(tx, entry, now).await,
            "dispatch-halted" => {
                let moved = DispatchMoved::decode(&*entry.payload)?;
                let request: RequestId = moved.request_id.parse().map_err(HandleError::poison)?;
                Ok(db::halt(tx, request, scope(&moved)).await?)
            }
            "dispatch-resumed" => {
                let moved = DispatchMoved::decode(&*entry.payload)?;
                Ok(db::resume(tx, scope(&moved), now).await?)
            }
            _ => Ok(()),
        }
    }
}

fn scope(moved: &DispatchMoved) -> Option<(&str, &str)> {
    moved.case.as_ref().map(|case| (case.agency.as_str(), case.number.as_str()))
}

impl Orders {
    /// Assembles the order once, with the proof that came with the entry, and queues it. An order that its own signer
    /// should not have made is parked here, where an operator sees it, instead of being refused there.
    async fn take_in(&self, tx: &mut PgConnection, entry: &FollowedEntry, now: Moment) -> Result<(), HandleError> {
        let opened = open_order_envelope(&entry.payload, &self.keyring).map_err(HandleError::poison)?;
        if opened.order.recipient != self.exchange {
            return Err(HandleError::Poison(anyhow!("an order for another exchange is addressed to this one")));
        }
        let inclusion = entry.inclusion.clone().context("an addressed entry without its proof");
        let signed = SignedOrder {
            envelope: entry.payload.clone(),
            opening: Some(entry.opening()),
            inclusion: Some(inclusion.map_err(HandleError::Poison)?),
            checkpoint: entry.checkpoint.to_string(),
        };
        let delivery = NewDelivery {
            order_sha256: order_identity(&entry.payload),
            leg: opened.order.leg,
            revision: opened.order.revision.get(),
            wanted: Wanted::of(&opened.order),
            agency: opened.authorisation.case.agency.as_str(),
            case_number: &opened.authorisation.case.number,
            signed_order: signed.encode_to_vec(),
            traceparent: entry.traceparent(),
            expires_at: opened.order.expires_at,
        };
        let leg = delivery.leg;
        // Its signer counts an order of which nothing is known as one that the exchange may have taken in.
        let unsent =
            db::take_in(tx, delivery, now).await?.into_iter().filter_map(|revision| u32::try_from(revision).ok());
        let facts = unsent.map(|revision| facts::undelivered(&self.exchange, leg, revision, now)).collect();
        self.log.append_all(tx, facts).await?;
        Ok(())
    }
}
