//! Tracking against a real Postgres and a real Ethereum node. Intake and the connectors are their logs, to which the
//! tests append what those would; exchanges are keys that sign.

mod asking;
mod chain;
mod following;
mod mesh;
mod reading;
mod reorganised;
