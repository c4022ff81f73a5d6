//! What any exchange needs to keep the public contract: it verifies orders, keeps legs and their revisions, answers with
//! receipts, and writes the log that others follow. Whose money it is, it asks a [`Book`].

mod api;
mod book;
mod budget;
mod db;
mod leg;
mod legs;
mod log;
mod orders;
mod signer;
mod terms;
mod withheld;

pub(crate) use api::{ExchangeApi, broken};
pub(crate) use book::{AccountKey, Book, Credit, Holding, Position, Searched};
pub(crate) use legs::Legs;
pub(crate) use log::EventLog;
pub(crate) use orders::Orders;
pub(crate) use signer::Signer;
pub(crate) use terms::{ChainTerms, Terms};
