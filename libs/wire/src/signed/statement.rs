//! Opening what an exchange says. Every consumer does it for itself, so that no connector can invent an answer.

use std::num::NonZeroU32;

use haetae_core::{Event, ExchangeId, LegId, Receipt};

use super::{EVENT, RECEIPT, StatementFault, envelope, read_payload};
use crate::{
    exchange::v1,
    keys::{Keyring, Purpose},
};

/// An order as a receipt refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderRef {
    /// The leg.
    pub leg: LegId,
    /// The revision.
    pub revision: NonZeroU32,
    /// [`super::order_identity`] of the envelope that was sent.
    pub order_sha256: [u8; 32],
}

/// Opens a receipt of this exchange; and, where an order is given, only the answer to that one.
///
/// # Errors
/// [`StatementFault`].
pub fn open_receipt(
    envelope: &[u8],
    keys: &Keyring,
    exchange: &ExchangeId,
    answering: Option<&OrderRef>,
) -> Result<Receipt, StatementFault> {
    let payload = envelope::open(envelope, RECEIPT, &Purpose::Exchange(exchange.clone()), keys)?;
    let receipt = read_payload::<v1::Receipt, Receipt>(&payload)?;
    speaks_for(&receipt.exchange, exchange)?;
    let Some(order) = answering else { return Ok(receipt) };
    let report = &receipt.report;
    if report.leg != order.leg {
        return Err(StatementFault::OtherLeg { stated: report.leg, expected: order.leg });
    }
    if (report.revision, report.order_sha256) != (order.revision, order.order_sha256) {
        return Err(StatementFault::OtherOrder);
    }
    Ok(receipt)
}

/// Opens an event of this exchange's log.
///
/// # Errors
/// [`StatementFault`]; legs and orders are not compared.
pub fn open_event(envelope: &[u8], keys: &Keyring, exchange: &ExchangeId) -> Result<Event, StatementFault> {
    let payload = envelope::open(envelope, EVENT, &Purpose::Exchange(exchange.clone()), keys)?;
    let event = read_payload::<v1::Event, Event>(&payload)?;
    speaks_for(&event.exchange, exchange)?;
    Ok(event)
}

fn speaks_for(stated: &ExchangeId, expected: &ExchangeId) -> Result<(), StatementFault> {
    if stated == expected {
        Ok(())
    } else {
        Err(StatementFault::OtherExchange { stated: stated.clone(), expected: expected.clone() })
    }
}
