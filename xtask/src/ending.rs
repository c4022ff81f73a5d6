//! Being told to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Waits for Ctrl-C, or for the signal with which systems end a process.
///
/// # Errors
/// When signals cannot be heard.
pub(crate) async fn told() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
