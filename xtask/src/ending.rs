//! Being told to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Listens from now on for Ctrl-C and for the signal with which systems end a process; what it returns waits for either.
///
/// # Errors
/// When signals cannot be heard.
pub(crate) fn told() -> io::Result<impl Future<Output = ()>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}
