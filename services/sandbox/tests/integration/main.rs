//! The rehearsal exchange with a real chain, a real database and real orders.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod bitcoin;
mod budgets;
mod chain;
mod freezes;
mod orders;
mod police;
mod scene;
mod service;
