//! The one who sends on a chain: has withdrawals paid from the hot wallet and deposit addresses swept into it, and sends
//! what is signed again and again until a block has it.
//!
//! Whoever holds the hot wallet's row in the database is the teller; other replicas pass. A transaction is signed and
//! stored before anybody sees it, so that a crash never sends twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::books::Books;
use super::db;
use super::network::{Network, Work, know_wallet};

/// How often the teller looks, besides being asked.
const LOOK: Duration = Duration::from_millis(200);

/// Where tellers are asked to look, and say that they have signed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Till {
    asked: watch::Sender<()>,
    signed: watch::Sender<()>,
}

impl Till {
    /// Asks every teller to look.
    pub(super) fn ask(&self) -> watch::Receiver<()> {
        let signed = self.signed.subscribe();
        self.asked.send_replace(());
        signed
    }
}

/// Sends on one chain for one exchange.
#[derive(Debug)]
pub(crate) struct Teller {
    books: Books,
    network: Arc<dyn Network>,
    till: Till,
}

impl Teller {
    pub(crate) fn new(books: Books, network: Arc<dyn Network>, till: Till) -> Self {
        Self { books, network, till }
    }

    /// Works until cancelled. A failure is logged and tried again.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        let mut asked = self.till.asked.subscribe();
        while !cancel.is_cancelled() {
            if let Err(error) = self.work().await {
                tracing::warn!(chain = %self.network.chain(), error = format!("{error:#}"), "payments wait");
            }
            let woken = async {
                let _ = timeout(LOOK, asked.changed()).await;
            };
            cancel.run_until_cancelled(woken).await;
        }
    }

    async fn work(&self) -> anyhow::Result<()> {
        if self.sign_all().await? {
            self.till.signed.send_replace(());
        }
        self.send_all().await
    }

    async fn sign_all(&self) -> anyhow::Result<bool> {
        let (chain, pool) = (self.network.chain(), self.books.pool());
        if db::unpaid(pool, chain).await?.is_empty() && db::to_sweep(pool, chain).await?.is_empty() {
            return Ok(false);
        }
        let hot = self.network.hot();
        know_wallet(&*self.network, &mut *pool.acquire().await?, &hot).await?;
        let mut tx = pool.begin().await?;
        if !db::hold_wallet(&mut tx, &hot).await? {
            return Ok(false);
        }
        let unpaid = db::unpaid(&mut *tx, chain).await?;
        let sweeps = db::to_sweep(&mut *tx, chain).await?;
        let signed = self.network.sign(&mut tx, &Work { unpaid, sweeps }).await?;
        tx.commit().await?;
        Ok(signed)
    }

    async fn send_all(&self) -> anyhow::Result<()> {
        for raw in db::unmined(self.books.pool(), self.network.chain()).await? {
            if let Err(error) = self.network.send(&raw).await {
                tracing::debug!(error = format!("{error:#}"), "a transaction was not taken, or is known already");
            }
        }
        Ok(())
    }
}
