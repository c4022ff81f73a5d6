//! The rehearsal exchange's own books, kept true to its chains: deposits are seen, credited after confirmations and swept
//! into the hot wallet, withdrawals are paid from it. What a kind of chain does in its own way is behind [`Network`].

mod bitcoin;
mod books;
mod customers;
mod db;
mod evm;
mod network;
mod teller;
mod vault;
mod watcher;
mod withdrawal;

pub(crate) use self::bitcoin::Bitcoin;
pub(crate) use books::Books;
pub(crate) use customers::{Customers, NotWithdrawn};
pub(crate) use evm::{Evm, keep_subscribed};
pub(crate) use network::Network;
pub(crate) use teller::{Teller, Till};
pub(crate) use vault::Vault;
pub(crate) use watcher::Watcher;
pub(crate) use withdrawal::Outcome;
