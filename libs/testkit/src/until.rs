//! Waiting for a condition, never for a length of time.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// Asks every 20 ms whether `ready` holds, for at most `patience`.
pub(crate) async fn until(what: &str, patience: Duration, mut ready: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !ready().await? {
        if Instant::now() >= deadline {
            bail!("{what}: not so after {} s", patience.as_secs());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
