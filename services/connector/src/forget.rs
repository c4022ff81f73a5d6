//! Orders that were settled long ago leave the queue for good. What became of them stands in the logs.

use std::time::Duration;

use haetae_core::{Moment, micros};
use sqlx::PgPool;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::db;

/// How often it is looked for them.
const LOOK: Duration = Duration::from_secs(60);

/// How many are removed at once, so that nothing waits long for the rows.
const BATCH: u32 = 1_000;

/// Removes what was settled longer ago than `keep`, until cancelled.
pub(crate) async fn run(pool: PgPool, keep: Duration, cancel: CancellationToken) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(tick.tick()).await.is_some() {
        if let Err(error) = forget(&pool, keep, &cancel).await {
            tracing::warn!(%error, "settled orders are removed later");
        }
    }
    Ok(())
}

async fn forget(pool: &PgPool, keep: Duration, cancel: &CancellationToken) -> sqlx::Result<()> {
    let now = micros(Moment::now_utc());
    db::note_settled(pool, now).await?;
    while db::forget(pool, now - keep, BATCH.into()).await? == u64::from(BATCH) && !cancel.is_cancelled() {}
    Ok(())
}
