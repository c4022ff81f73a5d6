//! What must be frozen, and is it?
//!
//! Freeze follows intake (what people approved: `granted.rs`), tracking (what arrived where: `arrivals.rs`) and every
//! connector (what its exchange says: `answers.rs`). Each fact becomes one decision about one [`authority`]: a
//! [`standing`] freeze with its caps and queue, its [legs](leg), the [`brake`]s. These are pure; `decisions.rs` carries
//! them out: it signs orders (`orders.rs`), stores what changed (`db.rs`) and appends what others must hear
//! (`facts.rs`), all in the transaction that moves the follower's cursor.

mod answers;
mod api;
mod arrivals;
pub mod authority;
pub mod brake;
mod config;
mod db;
mod decisions;
mod facts;
mod granted;
pub mod leg;
mod metrics;
mod orders;
pub mod standing;
mod worker;

pub use config::Config;
pub use db::MIGRATOR;
pub use worker::{Parts, Replica, run};
