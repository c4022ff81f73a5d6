//! Waiting for a condition, never for a length of time.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// Asks again and again until there is something, for at most `patience`.
///
/// # Errors
/// When there is nothing by then, or asking fails for good.
pub async fn until<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not so after {} s", patience.as_secs());
        }
        sleep(Duration::from_millis(25)).await;
    }
}
