//! A connector between real logs in real databases and an exchange over real TLS that can be told to misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests: helpers may panic too")]

mod delivering;
mod events;
mod exchange;
mod expired;
mod forgetting;
mod halts;
mod late;
mod police;
mod replicas;
mod scene;
mod statements;
