//! The rehearsal exchange's own books, kept true to a chain: deposits are seen, credited after confirmations and swept
//! into the hot wallet, withdrawals are paid from it.

mod block;
mod books;
mod customers;
mod db;
mod node;
mod sweep;
mod teller;
mod vault;
mod watcher;
mod withdrawal;

pub(crate) use books::Books;
pub(crate) use customers::{Customers, NotWithdrawn};
pub(crate) use node::{Node, keep_subscribed};
pub(crate) use teller::{Teller, Till};
pub(crate) use vault::Vault;
pub(crate) use watcher::Watcher;
pub(crate) use withdrawal::Outcome;
