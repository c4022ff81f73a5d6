//! A replica tells that it is there and what keeps its followers, and hears whether it is to go.

use std::time::Duration;

use haetae_ledger::{
    Following,
    replica::{self, Obstacle, Told},
};
use sqlx::PgPool;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

/// How often it tells.
const EVERY: Duration = Duration::from_secs(3);
/// How long telling may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// This process among the replicas of its service.
pub(crate) struct Presence {
    pub(crate) pool: PgPool,
    pub(crate) name: String,
    /// Its followers, and how each is getting on.
    pub(crate) followers: Vec<(String, watch::Receiver<Following>)>,
}

impl Presence {
    /// Tells until cancelled, and cancels where an operator wants this replica to go: it then goes down as on SIGTERM.
    pub(crate) async fn keep(self, shutdown: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What was told last; nothing before the replica has arrived.
        let mut told: Option<Vec<Obstacle>> = None;
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let obstacles: Vec<_> =
                self.followers.iter().filter_map(|(name, state)| obstacle(name, &state.borrow())).collect();
            match timeout(PATIENCE, self.tell(told.as_deref(), &obstacles)).await {
                Ok(Ok(Told::Stay)) => told = Some(obstacles),
                Ok(Ok(Told::Forgotten)) => told = None,
                Ok(Ok(Told::Drain)) => {
                    tracing::warn!(replica = self.name, "an operator wants this replica to go down");
                    shutdown.cancel();
                }
                Ok(Err(error)) => tracing::warn!(%error, "cannot tell that this replica is there"),
                Err(_) => tracing::warn!("telling that this replica is there takes too long"),
            }
        }
        if let Ok(Err(error)) = timeout(PATIENCE, replica::going(&self.pool, &self.name)).await {
            tracing::debug!(%error, "cannot tell that this replica goes down");
        }
    }

    async fn tell(&self, before: Option<&[Obstacle]>, now: &[Obstacle]) -> Result<Told, sqlx::Error> {
        if before.is_none() {
            replica::arrive(&self.pool, &self.name, env!("CARGO_PKG_VERSION")).await?;
        }
        replica::tell(&self.pool, &self.name, (before != Some(now)).then_some(now)).await
    }
}

fn obstacle(follower: &str, state: &Following) -> Option<Obstacle> {
    let (stopped, since, what) = match state {
        Following::GoingOn => return None,
        Following::Waiting { since, what } => (false, since, what),
        Following::Stopped { since, what } => (true, since, what),
    };
    Some(Obstacle { follower: follower.to_owned(), stopped, since: *since, what: what.clone() })
}

/// Takes this replica out of the list, as its last act.
pub(crate) async fn leave(pool: &PgPool, name: &str) {
    if let Ok(Err(error)) = timeout(PATIENCE, replica::leave(pool, name)).await {
        tracing::debug!(%error, "cannot tell that this replica is gone");
    }
}
