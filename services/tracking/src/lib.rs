//! Where is the money?
//!
//! Tracking reads chains block by block (`reader.rs`, `segment.rs`, `evm.rs`, `bitcoin.rs`), matches every transfer against
//! the accounts under watch (`book.rs`), and follows the stolen money by one pure fold (`trail.rs`; where money is kept in
//! outputs, `trail/pool.rs`) from which everything that is said follows (`watched.rs`, `said.rs`, `tell.rs`). What waits to
//! be included is told beside it, as a warning (`waiting.rs`). Where the money comes to an account, it asks the exchanges
//! that people allowed to be asked (`question.rs`), and hears what they answer (`answers.rs`). Money at an account that
//! an exchange holds has arrived: that is signed, and what freezes it. Where trails end otherwise, labels may say why
//! (`labels.rs`); `ends.rs` lists where the money is, `trace.rs` shows what was found as a graph.

mod answers;
mod api;
mod asked;
#[cfg(test)]
#[path = "../tests/integration/authority.rs"]
mod authority;
mod bitcoin;
mod book;
mod config;
mod db;
mod ends;
mod evm;
mod grant;
mod history;
mod intake;
mod knowledge;
mod labels;
mod lease;
mod metrics;
mod page;
mod question;
mod reader;
mod said;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod scripted;
mod segment;
mod sleepers;
mod source;
mod sources;
mod taint;
mod tell;
mod terms;
mod timers;
mod trace;
mod trail;
mod voice;
mod waiting;
mod watched;
mod worker;

pub use config::{ChainConfig, Config, KeysConfig, LabelsConfig, NodeConfig, QuestionsConfig};
pub use db::MIGRATOR;
pub use worker::{Tracking, run};
