//! The rehearsal exchange with a real chain, a real database and real orders.

mod chain;
mod freezes;
mod orders;
mod police;
mod scene;
mod service;
