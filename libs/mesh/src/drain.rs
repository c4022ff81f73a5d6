use tokio_util::sync::CancellationToken;

/// Tells handlers that this replica is going down. In the extensions of every request.
///
/// A stream that has reached a point from which it can be resumed ends itself when it sees this; one that does not is
/// ended for it, with `UNAVAILABLE` and the reason `DRAINING`. Calls other than streams just finish.
#[derive(Debug, Clone, Default)]
pub struct Drain(CancellationToken);

impl Drain {
    /// Whether the replica has begun to go down.
    pub fn begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it does.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    pub(crate) async fn owned_wait(self) {
        self.0.cancelled_owned().await;
    }

    pub(crate) fn begin(&self) {
        self.0.cancel();
    }
}
