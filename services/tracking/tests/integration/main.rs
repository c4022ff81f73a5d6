//! Tracking against a real Postgres and real nodes of Ethereum and Bitcoin. Intake and the connectors are their logs, to which the
//! tests append what those would; exchanges are keys that sign.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod asking;
mod authority;
mod bitcoin;
mod chain;
mod coins;
mod core;
mod ending;
mod failures;
mod following;
mod history;
mod labels;
mod mesh;
mod nodes;
mod odd;
mod reading;
mod reorganised;
mod speed;
mod tainted;
mod tracing;
mod tron;
mod waiting;
