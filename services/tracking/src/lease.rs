//! Who reads a chain promptly: the replica that holds the lease. It only saves work. Correctness rests on the lock of the
//! chain's head, so a replica without the lease may do the same work, and does when nobody else seems to.

use std::time::Duration;

use haetae_core::ChainId;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::timeout;

use crate::db;

/// How long the database may take to answer about the lease.
const ANSWER: Duration = Duration::from_secs(1);

/// A session's advisory lock, on a connection of its own: it ends with the process, or with the connection.
#[derive(Debug)]
pub(crate) struct Lease {
    name: String,
    session: Option<PgConnection>,
    held: bool,
}

impl Lease {
    pub(crate) fn new(chain: &ChainId) -> Self {
        Self { name: format!("tracking.chain/{chain}"), session: None, held: false }
    }

    /// Who brings watches of a chain from where they begin to its head.
    pub(crate) fn of_history(chain: &ChainId) -> Self {
        Self { name: format!("tracking.history/{chain}"), ..Self::new(chain) }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// Takes the lease if it is free, and looks whether a lease that was taken is still held.
    pub(crate) async fn renew(&mut self, pool: &PgPool) {
        let had = self.held;
        self.held = match timeout(ANSWER, self.look(pool)).await {
            Ok(Ok(held)) => held,
            Ok(Err(_)) | Err(_) => {
                self.session = None;
                false
            }
        };
        if had != self.held {
            tracing::info!(lease = self.name, held = self.held, "the lease changed hands");
        }
    }

    async fn look(&mut self, pool: &PgPool) -> Result<bool, sqlx::Error> {
        let session = match &mut self.session {
            Some(session) => session,
            None => {
                let session = PgConnection::connect_with(&pool.connect_options()).await?;
                self.held = false;
                self.session.insert(session)
            }
        };
        if self.held {
            session.ping().await?;
            return Ok(true);
        }
        db::chain::take_lease(session, &self.name).await
    }
}
