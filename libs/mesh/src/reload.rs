//! Files that change under a running service: certificates, keys, key sets.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use opentelemetry::{KeyValue, global};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// How often files are looked at. Contents are compared, not times: mounted secrets change by a swapped link.
const EVERY: Duration = Duration::from_secs(2);

/// A value built from files, built anew when their contents change.
pub(crate) struct Reloaded<T> {
    current: watch::Receiver<Arc<T>>,
    stale: Arc<AtomicBool>,
    _poll: AbortOnDropHandle<()>,
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Builds the value and keeps it current. `what` names it in logs and metrics. Needs a Tokio runtime.
    ///
    /// New files that no value can be built from leave the old value in place, are logged and counted: a rotation
    /// that is half done (new certificate, old key) mends itself with the next look.
    ///
    /// # Errors
    /// When the files cannot be read or built from now.
    pub(crate) fn open(
        what: &'static str,
        files: Vec<PathBuf>,
        build: impl Fn(&[Vec<u8>]) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let contents = files
            .iter()
            .map(|f| std::fs::read(f).with_context(|| format!("{what}: {}", f.display())))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut seen = Some(digest(&contents));
        let (sender, current) = watch::channel(Arc::new(build(&contents).context(what)?));
        let stale = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stale);
        let poll = tokio::spawn(async move {
            let failures = global::meter("haetae.mesh")
                .u64_counter("haetae.reload.failures")
                .with_unit("{failure}")
                .with_description("New files that could not be used, by what they are")
                .build();
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                let built = match read_all(&files).await {
                    Ok(contents) if Some(digest(&contents)) == seen => continue,
                    Ok(contents) => {
                        seen = Some(digest(&contents));
                        build(&contents)
                    }
                    Err(error) => {
                        seen = None;
                        Err(error.into())
                    }
                };
                told.store(built.is_err(), Ordering::Relaxed);
                match built {
                    Ok(value) => {
                        tracing::info!(what, "re-read");
                        sender.send_replace(Arc::new(value));
                    }
                    Err(error) => {
                        failures.add(1, &[KeyValue::new("what", what)]);
                        tracing::warn!(what, error = format!("{error:#}"), "kept the old one");
                    }
                }
            }
        });
        Ok(Self { current, stale, _poll: AbortOnDropHandle::new(poll) })
    }

    /// Whether there are newer files that cannot be used.
    pub(crate) fn stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    /// The newest value.
    pub(crate) fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.borrow())
    }
}

async fn read_all(files: &[PathBuf]) -> std::io::Result<Vec<Vec<u8>>> {
    let mut contents = Vec::with_capacity(files.len());
    for file in files {
        contents.push(tokio::fs::read(file).await?);
    }
    Ok(contents)
}

fn digest(contents: &[Vec<u8>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for content in contents {
        hash.update((content.len() as u64).to_be_bytes());
        hash.update(content);
    }
    hash.finalize().into()
}
