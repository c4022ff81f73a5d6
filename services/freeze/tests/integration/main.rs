//! Freeze with real Postgres and real logs: what people approve, what arrives, what exchanges answer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests: helpers may panic too")]

mod arrivals;
mod brakes;
mod handing_over;
mod releases;
mod replicas;
mod statements;
mod world;
