//! Whether a replica may be given work: what it needs of its own — database, keys, log head — never a peer.

use std::{future::Future, time::Duration};

use futures::future::BoxFuture;
use serde::Serialize;
use tokio::{sync::watch, time::timeout};

const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);

/// One thing that must be so before the replica is ready.
pub(crate) struct Check {
    name: &'static str,
    look: Box<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>,
}

impl Check {
    pub(crate) fn new<F, R>(name: &'static str, look: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self { name, look: Box::new(move || Box::pin(look())) }
    }

    async fn holds(&self) -> anyhow::Result<()> {
        timeout(PATIENCE, (self.look)()).await?
    }
}

/// What was found at the last look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Readiness {
    /// Every check held and the replica is not going down.
    pub(crate) ready: bool,
    pub(crate) draining: bool,
    pub(crate) checks: Vec<Finding>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) name: &'static str,
    pub(crate) holds: bool,
}

impl Readiness {
    /// While this is missing, nothing else has been looked at.
    pub(crate) fn without(name: &'static str) -> Self {
        Self { ready: false, draining: false, checks: vec![Finding { name, holds: false }] }
    }

    /// Before the first look.
    pub(crate) fn unknown(checks: &[Check]) -> Self {
        let checks = checks.iter().map(|c| Finding { name: c.name, holds: false }).collect();
        Self { ready: false, draining: false, checks }
    }
}

/// Looks every second until dropped and tells what changed. Errors go to the log, not to the probe port.
pub(crate) async fn watch(checks: Vec<Check>, found: watch::Sender<Readiness>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let looks = checks.iter().map(|check| async move {
            let result = check.holds().await;
            (check.name, result)
        });
        let results = futures::future::join_all(looks).await;
        found.send_if_modified(|before| {
            let mut changed = false;
            for (finding, (name, result)) in before.checks.iter_mut().zip(&results) {
                if finding.holds == result.is_ok() {
                    continue;
                }
                changed = true;
                finding.holds = result.is_ok();
                match result {
                    Ok(()) => tracing::info!(check = name, "holds"),
                    Err(error) => {
                        tracing::warn!(check = name, error = format!("{error:#}"), "does not hold");
                    }
                }
            }
            let ready = !before.draining && before.checks.iter().all(|c| c.holds);
            changed |= before.ready != ready;
            before.ready = ready;
            changed
        });
    }
}
