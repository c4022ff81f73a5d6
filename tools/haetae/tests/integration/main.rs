//! The program itself, against services whose answers the test decides.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod audit;
mod confirm;
mod intake;
mod labels;
mod operations;
mod orders;
mod refusals;
mod trace;
mod usage;
mod world;
