//! The hint that a log grew: in this process at once, to the other replicas through Redis. A hint that is lost costs
//! time until the next poll, nothing else.

use std::{fmt, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use haetae_seal::checkpoint::log_id;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::metrics::METRICS;

/// How long Redis may take over one thing.
const DEADLINE: Duration = Duration::from_millis(500);

/// After so long without a ring Redis is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(5);

/// Wakes those who follow one log. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Doorbell {
    /// How often the log was said to have grown. Only *that* it changes matters.
    grown: watch::Sender<u64>,
    remote: Option<Remote>,
}

/// How the Redis that takes writes is found. Asked before every connection, so that a failover is followed.
type Find = dyn Fn() -> BoxFuture<'static, redis::RedisResult<redis::Client>> + Send + Sync;

#[derive(Clone)]
struct Remote {
    find: Arc<Find>,
    channel: String,
    /// Rings not yet sent. A queue of one: a second ring before the first was sent says nothing new.
    outgoing: watch::Sender<u64>,
}

impl Doorbell {
    /// For one replica, or without Redis: others find out by polling.
    #[must_use]
    pub fn local() -> Self {
        Self { grown: watch::Sender::new(0), remote: None }
    }

    /// Rings in the other replicas too, for the log of this origin. Needs [`run`](Self::run). `find` names the Redis that
    /// takes writes now, within a time of its own; it is asked anew for every connection.
    #[must_use]
    pub fn redis<F, R>(find: F, origin: &str) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = redis::RedisResult<redis::Client>> + Send + 'static,
    {
        Self {
            grown: watch::Sender::new(0),
            remote: Some(Remote {
                find: Arc::new(move || find().boxed()),
                channel: format!("haetae:log:{}", log_id(origin)),
                outgoing: watch::Sender::new(0),
            }),
        }
    }

    /// Says that the log grew. Never waits, never fails.
    pub(crate) fn ring(&self) {
        ring(&self.grown);
        if let Some(remote) = &self.remote {
            ring(&remote.outgoing);
        }
    }

    /// Wakes those who listen in this process, and nobody else.
    pub(crate) fn wake(&self) {
        ring(&self.grown);
    }

    pub(crate) fn listen(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    /// Carries rings to and from Redis until cancelled, reconnecting as often as it must.
    pub async fn run(&self, cancel: CancellationToken) {
        let work = async {
            match &self.remote {
                Some(remote) => drop(tokio::join!(remote.publish(&cancel), remote.subscribe(&self.grown, &cancel))),
                // Nothing to carry, but an end would look like a failure to whoever runs this.
                None => std::future::pending().await,
            }
        };
        cancel.run_until_cancelled(work).await;
    }
}

fn ring(bell: &watch::Sender<u64>) {
    bell.send_modify(|count| *count = count.wrapping_add(1));
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Remote {
    async fn publish(&self, cancel: &CancellationToken) {
        let mut backoff = Backoff::new();
        let mut rings = self.outgoing.subscribe();
        loop {
            match self.publish_until_lost(&mut rings, &mut backoff).await {
                Ok(()) => return,
                Err(error) => failed(&error),
            }
            if !backoff.wait(cancel).await {
                return;
            }
        }
    }

    async fn publish_until_lost(&self, rings: &mut watch::Receiver<u64>, backoff: &mut Backoff) -> Result<(), Lost> {
        let client = (self.find)().await?;
        let mut connection = timeout(DEADLINE, client.get_multiplexed_async_connection()).await??;
        while rings.changed().await.is_ok() {
            let mut publish = redis::cmd("PUBLISH");
            publish.arg(&self.channel).arg(1);
            timeout(DEADLINE, publish.query_async::<()>(&mut connection)).await??;
            backoff.reset();
        }
        Ok(())
    }

    async fn subscribe(&self, grown: &watch::Sender<u64>, cancel: &CancellationToken) {
        let mut backoff = Backoff::new();
        loop {
            if let Err(error) = self.listen_until_lost(grown, &mut backoff).await {
                failed(&error);
            }
            if !backoff.wait(cancel).await {
                return;
            }
        }
    }

    async fn listen_until_lost(&self, grown: &watch::Sender<u64>, backoff: &mut Backoff) -> Result<(), Lost> {
        let client = (self.find)().await?;
        let (mut ask, mut messages) = timeout(DEADLINE, client.get_async_pubsub()).await??.split();
        timeout(DEADLINE, ask.subscribe(&self.channel)).await??;
        backoff.reset();
        // What was rung while nobody listened is made up for by one ring now.
        ring(grown);
        loop {
            match timeout(QUIET, messages.next()).await {
                Ok(Some(_)) => ring(grown),
                Ok(None) => return Err(Lost::Ended),
                // A machine that vanishes ends no connection.
                Err(_) => drop(timeout(DEADLINE, ask.ping::<redis::Value>()).await??),
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("Redis took longer than {} ms", DEADLINE.as_millis())]
    Slow(#[from] tokio::time::error::Elapsed),
    #[error("Redis failed: {0}")]
    Failed(#[from] redis::RedisError),
    #[error("the subscription ended")]
    Ended,
}

fn failed(error: &Lost) {
    METRICS.doorbell_failed();
    tracing::debug!(%error, "no doorbell; followers are woken by polling");
}
