//! Should it be done? The one door for agency systems.
//!
//! A request is read under the law (`submission.rs`), waits until enough other persons have approved it
//! (`approval.rs`), and becomes authorisations, one for each exchange (`grant.rs`). What others make of it comes back by
//! their logs (`follow.rs`) and is told to whoever follows the unit's updates. Reads go through here too, and are
//! recorded; so does what those do who keep the mesh running (`operations.rs`). Labels come in
//! here for everybody (`labels.rs`).

mod api;
mod approval;
mod commands;
mod config;
mod db;
mod follow;
mod grant;
mod labels;
mod operations;
mod proposal;
mod request;
mod submission;
mod worker;

pub use config::{Config, Keys};
pub use db::MIGRATOR;
pub use worker::run;

#[cfg(test)]
mod tests;
