//! The mesh as its services and callers see it: real sockets, real certificates, real Redis.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something it needs is not there")]

mod callers;
mod deadlines;
mod failures;
mod limits;
mod lines;
mod persons;
mod shutdown;
mod world;
