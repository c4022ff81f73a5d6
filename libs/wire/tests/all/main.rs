//! The contracts and the core, there and back; and what becomes of messages that were tampered with.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests: helpers may panic too")]

mod arbitrary;
mod failures;
mod orders;
mod party;
mod registry;
mod round_trip;
mod statements;
mod violations;
