//! The ledger against real Postgres and Redis.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod audit;
mod doorbell;
mod fixture;
mod following;
mod parking;
mod refusing;
mod requests;
mod sealing;
mod speed;
mod standing;
