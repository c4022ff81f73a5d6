//! What goes on by itself besides the chain: periods that end.

use std::time::Duration;

use haetae_core::micros;
use time::OffsetDateTime;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::contract::Legs;

/// How often ended periods are looked for. A withdrawal looks for itself.
const LOOK: Duration = Duration::from_millis(200);

/// Ends freezes whose period is over, until cancelled.
pub(crate) async fn expire(legs: Legs, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        match legs.expire(micros(OffsetDateTime::now_utc())).await {
            Ok(true) => {}
            Ok(false) => {
                cancel.run_until_cancelled(sleep(LOOK)).await;
            }
            Err(error) => {
                tracing::warn!(%error, "periods that are over were not ended");
                cancel.run_until_cancelled(sleep(LOOK)).await;
            }
        }
    }
}
