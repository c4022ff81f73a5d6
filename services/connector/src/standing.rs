//! How the line to the exchange stands, for operators.

use haetae_core::ExchangeId;
use haetae_service::Own;
use haetae_wire::{
    convert::timestamp,
    operations::v1::{CircuitState, DeliveryState, LineState},
};
use sqlx::PgPool;
use tokio::sync::watch;

use crate::{circuit::Circuit, db::standing};

/// Every kind of order, the most urgent first.
const KINDS: [&str; 3] = ["release", "freeze", "question"];

/// Reads how the line stands.
///
/// # Errors
/// When the database fails.
pub(crate) async fn own(
    exchange: ExchangeId,
    pool: PgPool,
    circuit: watch::Receiver<Circuit>,
) -> Result<Own, sqlx::Error> {
    let (waiting, heard) = tokio::try_join!(standing::waiting(&pool), standing::heard(&pool))?;
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    let deliveries = KINDS.map(|wanted| match waiting.iter().find(|waiting| waiting.wanted == wanted) {
        None => DeliveryState { wanted: wanted.to_owned(), ..DeliveryState::default() },
        Some(waiting) => DeliveryState {
            wanted: wanted.to_owned(),
            undelivered: count(waiting.undelivered),
            oldest_at: waiting.oldest.map(timestamp),
            overdue: count(waiting.overdue),
            held_back: count(waiting.held_back),
        },
    });
    let circuit = if circuit.borrow().is_closed() { CircuitState::Closed } else { CircuitState::Open };
    let line = LineState {
        exchange: exchange.to_string(),
        circuit: circuit.into(),
        last_answer_at: heard.last_answer.map(timestamp),
        deliveries: deliveries.to_vec(),
        events_refused: heard.refused,
    };
    Ok(Own { line: Some(line), ..Own::default() })
}
