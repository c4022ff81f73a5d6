//! Say it to the exchange, bring back its answer.
//!
//! One deployment per exchange holds that exchange's credentials and nothing else's. It takes from tracking's and
//! freeze's logs what is addressed to its exchange (`orders.rs`), delivers it until it is answered (`deliver.rs`,
//! `delivery.rs`, `circuit.rs`), says so when no answer comes in time (`late.rs`), and writes into its own log, verbatim,
//! what the exchange says: receipts as they come and the exchange's own log (`events.rs`). It can neither forge an order nor invent an answer: both are signed by
//! others, and whoever acts on them checks that.

mod api;
mod circuit;
mod config;
mod db;
mod deliver;
mod delivery;
mod events;
mod facts;
mod forget;
mod late;
mod metrics;
mod orders;
mod standing;
mod worker;

pub use config::{ClientCertificate, Config};
pub use db::MIGRATOR;
pub use worker::{Connector, run};
