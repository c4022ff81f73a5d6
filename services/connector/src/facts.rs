//! The facts of a connector's log.

use haetae_core::{ExchangeId, LegId, Moment};
use haetae_ledger::{Expected, NewEntry};
use haetae_wire::{connector::v1, convert::timestamp};
use prost::Message;

use crate::db::Overdue;

const ACTOR: &str = "service:connector";

fn entry(exchange: &ExchangeId, leg: Option<LegId>, kind: &'static str, payload: Vec<u8>, now: Moment) -> NewEntry {
    let about = leg.map_or_else(|| format!("exchange/{exchange}"), |leg| format!("leg/{leg}"));
    NewEntry {
        stream: about.clone(),
        expected: Expected::Any,
        kind,
        subject: about,
        actor: ACTOR.to_owned(),
        audience: None,
        payload,
        time: now,
    }
}

/// The exchange answered an order.
pub(crate) fn receipt(
    exchange: &ExchangeId,
    leg: LegId,
    revision: u32,
    order_sha256: &[u8],
    receipt: Vec<u8>,
    now: Moment,
) -> NewEntry {
    let fact = v1::ReceiptReceived {
        exchange: exchange.to_string(),
        leg_id: leg.to_string(),
        revision,
        order_sha256: order_sha256.to_vec(),
        receipt,
    };
    entry(exchange, Some(leg), "receipt", fact.encode_to_vec(), now)
}

/// The exchange's log said something.
pub(crate) fn event(exchange: &ExchangeId, leg: Option<LegId>, event: Vec<u8>, now: Moment) -> NewEntry {
    let leg_id = leg.map(|leg| leg.to_string()).unwrap_or_default();
    let fact = v1::EventReceived { exchange: exchange.to_string(), event, leg_id };
    entry(exchange, leg, "event", fact.encode_to_vec(), now)
}

/// A question was not answered in its time.
pub(crate) fn unavailable(exchange: &ExchangeId, leg: LegId, revision: u32, since: Moment, now: Moment) -> NewEntry {
    let fact = v1::ExchangeUnavailable {
        exchange: exchange.to_string(),
        leg_id: leg.to_string(),
        revision,
        since: Some(timestamp(since)),
    };
    entry(exchange, Some(leg), "unavailable", fact.encode_to_vec(), now)
}

/// A freeze or release has no answer for longer than the exchange declares.
pub(crate) fn overdue(exchange: &ExchangeId, order: &Overdue, now: Moment) -> NewEntry {
    let fact = v1::OrderOverdue {
        exchange: exchange.to_string(),
        leg_id: order.leg.to_string(),
        revision: order.revision,
        order_sha256: order.order_sha256.clone(),
        since: Some(timestamp(order.since)),
        reminders: order.said,
    };
    entry(exchange, Some(order.leg), "overdue", fact.encode_to_vec(), now)
}

/// The exchange never saw an order and will not see it: it expired, or a higher revision came before it was ever sent.
pub(crate) fn undelivered(exchange: &ExchangeId, leg: LegId, revision: u32, now: Moment) -> NewEntry {
    let fact = v1::OrderUndelivered { exchange: exchange.to_string(), leg_id: leg.to_string(), revision };
    entry(exchange, Some(leg), "undelivered", fact.encode_to_vec(), now)
}

/// The exchange began its log anew.
pub(crate) fn log_anew(exchange: &ExchangeId, log_id: &str, epoch: u64, now: Moment) -> NewEntry {
    let fact = v1::ExchangeLogAnew { exchange: exchange.to_string(), log_id: log_id.to_owned(), epoch };
    entry(exchange, None, "exchange-log-anew", fact.encode_to_vec(), now)
}

/// Something the exchange sent does not verify.
pub(crate) fn invalid_statement(
    exchange: &ExchangeId,
    order: Option<(LegId, u32)>,
    fault: &str,
    statement_sha256: [u8; 32],
    now: Moment,
) -> NewEntry {
    let fact = v1::InvalidStatement {
        exchange: exchange.to_string(),
        leg_id: order.map(|(leg, _)| leg.to_string()).unwrap_or_default(),
        revision: order.map(|(_, revision)| revision).unwrap_or_default(),
        fault: fault.to_owned(),
        statement_sha256: statement_sha256.to_vec(),
    };
    entry(exchange, order.map(|(leg, _)| leg), "invalid-statement", fact.encode_to_vec(), now)
}
