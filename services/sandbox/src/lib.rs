//! A rehearsal exchange: it implements the public contract for real, over books of its own that live on a real chain.
//!
//! Two rooms and the doors to them. `contract` is what any exchange needs — it verifies orders, keeps legs, answers with
//! receipts, writes the log — and asks a `Book` whose money it is. `book` is this exchange's own: customers, deposits,
//! withdrawals. The public contract is served to the agency's connector; `haetae.sandbox.v1`, on a listener of its own,
//! drives what real customers and bad days would do.

mod api;
mod book;
mod config;
mod contract;
mod outage;
mod start;
mod worker;

pub use config::{Chain, Config, Hotline, Keys};
pub use start::{Addresses, MIGRATOR, Sandbox};
