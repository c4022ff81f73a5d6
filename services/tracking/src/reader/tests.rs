//! The reader against a real Postgres and chains that are written beforehand.

mod laws;
mod speed;
mod weeks;
pub(crate) mod world;
