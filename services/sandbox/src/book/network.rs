//! What one kind of chain does in its own way; everything else in the books is the same for all.

use std::fmt;

use anyhow::Context;
use haetae_core::{Account, Amount, Asset, ChainId, TransferIndex};
use sqlx::PgConnection;

use super::db::{self, ToSweep, Unpaid};

/// A chain that an exchange takes deposits on: its node, and the exchange's wallets on it.
#[tonic::async_trait]
pub(crate) trait Network: fmt::Debug + Send + Sync {
    fn chain(&self) -> &ChainId;

    /// The chain that the node is of.
    async fn found(&self) -> anyhow::Result<String>;

    /// The wallet that everything is swept into and paid from.
    fn hot(&self) -> Account;

    /// The deposit wallet of a customer: the same again after every restart, and after the loss of the database.
    fn deposit(&self, customer: i64) -> Account;

    /// The newest block.
    async fn newest(&self) -> anyhow::Result<Header>;

    /// The block of this number; none beyond the newest.
    async fn at(&self, number: u64) -> anyhow::Result<Option<Header>>;

    /// The block of this number with what it moved; none beyond the newest, or where it is being replaced just now.
    async fn block(&self, number: u64) -> anyhow::Result<Option<Block>>;

    /// How many transactions a wallet has sent, where the chain numbers them by sender.
    async fn sent_by(&self, wallet: &Account) -> anyhow::Result<u64>;

    /// Signs what can be paid and swept now and stores it to be sent, in a transaction that holds the hot wallet. Answers
    /// whether anything was signed.
    async fn sign(&self, tx: &mut PgConnection, work: &Work) -> anyhow::Result<bool>;

    /// Hands a signed transaction in. That it is known or mined already is no failure.
    async fn send(&self, raw: &[u8]) -> anyhow::Result<()>;
}

/// What is to be signed on a chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    /// Oldest first.
    pub(super) unpaid: Vec<Unpaid>,
    pub(super) sweeps: Vec<ToSweep>,
}

/// A block's place, name and predecessor; hashes as the chain prints them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(super) number: u64,
    pub(super) hash: String,
    pub(super) parent: String,
}

/// A block and what came to whom in it, in the order of the chain.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(super) header: Header,
    /// All of them, as the chain prints their hashes.
    pub(super) transactions: Vec<String>,
    pub(super) transfers: Vec<Transfer>,
}

/// Value that came to an account. Never zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(super) transaction: String,
    pub(super) index: TransferIndex,
    pub(super) to: Account,
    pub(super) asset: Asset,
    pub(super) amount: Amount,
}

/// A wallet that was not used since the database was begun may have been used before.
pub(super) async fn know_wallet(
    network: &(impl Network + ?Sized),
    conn: &mut PgConnection,
    wallet: &Account,
) -> anyhow::Result<()> {
    if !db::has_wallet(&mut *conn, wallet).await? {
        let sent = network.sent_by(wallet).await.context("what a wallet has sent")?;
        db::put_wallet(conn, wallet, sent).await?;
    }
    Ok(())
}
